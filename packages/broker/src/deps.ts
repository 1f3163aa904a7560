import {
  type Actor,
  type AuditRecord,
  actorOf,
  type Details,
  factOf,
  grantRecord,
} from "@stint/core/audit";
import type { Decision } from "@stint/core/decision";
import type { Code } from "@stint/core/error";
import type { Grant } from "@stint/core/grant";
import type { Policy } from "@stint/core/policy/decide";
import type { JobKey, Principal, TokenProof } from "@stint/core/principal";
import type { Config } from "@stint/core/profile";
import type {
  Ambient,
  DenyList,
  DirtyRoles,
  Schedules,
  Store,
  Target,
  TokenKeys,
} from "./ports.ts";

/** Everything that a use case may talk to. Made once, by the composition root. */
export interface Deps {
  readonly config: Config;
  readonly policy: Policy;
  readonly store: Store;
  readonly target: Target;
  readonly schedules: Schedules;
  readonly keys: TokenKeys;
  readonly denyList: DenyList;
  readonly dirty: DirtyRoles;
  readonly ambient: Ambient;
}

/** What looks after grants that exist. Ending one takes no more than the table. */
export type Keeping = Pick<Deps, "config" | "store" | "ambient">;

/** What a caller's request may need besides. */
export type Issuing = Keeping & Pick<Deps, "policy" | "target" | "schedules" | "keys">;

const stamp = (deps: Keeping, now: number) => ({
  id: deps.ambient.id(),
  time: now,
  policyVersion: deps.config.hash,
});

/** The record of a grant's change to the state that it is in now. */
export const changeRecord = (
  deps: Keeping,
  grant: Grant,
  actor: Actor,
  now: number,
  details: Details & { readonly fact?: AuditRecord["fact"] } = {},
): AuditRecord => {
  const { fact = factOf(grant), ...rest } = details;
  return grantRecord(stamp(deps, now), fact, actor, grant, rest);
};

/** A decision that changes nothing: a refusal, a read, a dry run. */
export const decisionRecord = (
  deps: Keeping,
  fact: "grant.refused" | "grant.read" | "decision.made",
  principal: Principal,
  now: number,
  details: {
    readonly profile?: string;
    readonly grant?: Grant;
    readonly token?: TokenProof;
    readonly decision?: Decision;
    readonly code?: Code;
    readonly why?: string;
    readonly reason?: string;
  },
): AuditRecord => {
  const { profile, grant, token, decision, ...rest } = details;
  return {
    ...stamp(deps, now),
    fact,
    actor: actorOf(principal),
    claims: principal.claims,
    ...(principal.kind === "job" ? { job: principal.job } : {}),
    ...(grant === undefined
      ? {}
      : {
          grant: grant.id,
          profile: grant.profile,
          state: grant.state,
          principal: { kind: grant.principal.kind, id: grant.principal.id },
        }),
    ...(profile === undefined ? {} : { profile }),
    ...(token === undefined ? {} : { tokenHash: token.hash }),
    ...(decision === undefined
      ? {}
      : decision.allowed
        ? { rule: decision.rule }
        : {
            explanation: decision.explanation,
            ...(decision.explanation.rule === undefined ? {} : { rule: decision.explanation.rule }),
            ...(decision.errors === undefined ? {} : { policyErrors: decision.errors }),
          }),
    ...rest,
  };
};

/** The record of what a pipeline reported. */
export const jobRecord = (
  deps: Keeping,
  fact: "job.ended" | "run.ended",
  job: Partial<JobKey>,
  actor: Actor,
  now: number,
): AuditRecord => ({ ...stamp(deps, now), fact, actor, job });
