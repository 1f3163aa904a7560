import type { Decision } from "@stint/core/decision";
import { type Code, GrantError } from "@stint/core/error";
import type { Caller, Principal, TokenProof } from "@stint/core/principal";
import { type Deps, decisionRecord, type Keeping } from "./deps.ts";
import type { Notes } from "./ports.ts";

export type Verified = Extract<Caller, { kind: "principal" }>;

/** What was asked for, as far as a refusal tells of it. */
type Asked = { readonly profile: string; readonly reason?: string };

/** An error inside an evaluation denies, and somebody must look at it. */
export function alarmOf(deps: Pick<Deps, "ambient">, profile: string, decision: Decision): void {
  if (!decision.allowed && decision.errors !== undefined && decision.errors.length > 0)
    deps.ambient.alarm("policy_error", { profile, errors: decision.errors });
}

/**
 * A refusal, recorded in full; the caller is told what it is entitled to know. The same title and detail whether the
 * profile is forbidden or does not exist.
 */
export async function refused(
  deps: Keeping<Notes>,
  principal: Principal,
  decision: Extract<Decision, { allowed: false }>,
  of: { readonly body: Asked; readonly token?: TokenProof },
): Promise<GrantError> {
  await deps.store.note(
    decisionRecord(deps, "grant.refused", principal, deps.ambient.now(), {
      profile: of.body.profile,
      ...(of.token === undefined ? {} : { token: of.token }),
      decision,
      code: "refused",
      why: "rule",
      ...(of.body.reason === undefined ? {} : { reason: of.body.reason }),
    }),
  );
  return new GrantError("refused", "no rule gives you this profile", {
    explanation: decision.told,
    hint: "stint policy explain shows how the rules see a set of claims",
  });
}

export async function noteRefusal(
  deps: Keeping<Notes>,
  { principal, token }: Verified,
  body: Asked,
  code: Code,
  why: string,
): Promise<void> {
  const now = deps.ambient.now();
  await deps.store.note(
    decisionRecord(deps, "grant.refused", principal, now, {
      profile: body.profile,
      token,
      code,
      why,
    }),
  );
}

export async function turnedAway(
  deps: Keeping<Notes>,
  caller: Verified,
  body: Asked,
  code: Code,
  detail: string,
  hint?: string,
): Promise<GrantError> {
  await noteRefusal(deps, caller, body, code, detail);
  return new GrantError(code, detail, hint === undefined ? {} : { hint });
}
