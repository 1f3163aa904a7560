import { actorOf } from "@stint/core/audit";
import type { Allowed, Decision } from "@stint/core/decision";
import { GrantError } from "@stint/core/error";
import { type GrantFacts, type GrantTarget, toOpening, toPending } from "@stint/core/grant";
import { grantId, namespaceOf, sha256 } from "@stint/core/id";
import { decide } from "@stint/core/policy/decide";
import type { Principal } from "@stint/core/principal";
import type { Profile } from "@stint/core/profile";
import { requestedSeconds } from "@stint/core/time";
import { changeRecord, decisionRecord, type Issuing } from "./deps.ts";
import { continueGrant } from "./holder.ts";
import { type Issued, jobEnded, open } from "./issue.ts";
import type { Stored } from "./ports.ts";
import { alarmOf, noteRefusal, refused, turnedAway, type Verified } from "./refusal.ts";
import { grantToken, newestVersion } from "./tokens.ts";

const LEAST_SECONDS = 60;
const LONGEST_LEASE_SECONDS = 3600;

export interface GrantRequest {
  readonly profile: string;
  /** `20m`. */
  readonly duration?: string;
  readonly lease?: string;
  /** A label, for people. */
  readonly name?: string;
  readonly reason?: string;
}

export type RequestAnswer = {
  readonly status: 200 | 201 | 202;
  readonly grant: Stored["grant"];
  readonly token: string;
  readonly credentials?: Issued["credentials"];
};

/**
 * One profile for one principal. The same principal with the same key is the same grant, whatever happened to the
 * first answer: its repeat gets the same token, and credentials of its own.
 */
export async function request(
  deps: Issuing,
  caller: Verified,
  body: GrantRequest,
  idempotencyKey: string | undefined,
): Promise<RequestAnswer> {
  const { principal, token } = caller;
  const lease = leaseOf(body);
  const { decision } = judge(deps, principal, body);
  if (!decision.allowed) throw await refused(deps, principal, decision, { body, token });
  const profile = deps.config.profiles[body.profile];
  if (profile === undefined)
    throw new Error(`a rule allowed ${body.profile}, which does not exist`);

  const now = deps.ambient.now();
  const keys = await deps.keys.current();
  const id = grantId(principal.id, idempotencyKey ?? token.id);
  const facts: GrantFacts = {
    ...grantFacts(deps, principal, body, profile, decision),
    id,
    namespace: namespaceOf(id),
    policyVersion: deps.config.hash,
    tokenKey: newestVersion(keys),
    createdAt: now,
    leaseSeconds: lease ?? profile.leaseSeconds,
  };
  const actor = actorOf(principal);
  const grant =
    decision.approval === undefined
      ? toOpening(facts, deps.ambient.id(), facts.leaseSeconds, now)
      : toPending(facts, decision.approval.count, decision.approval.withinSeconds, now);
  const record = changeRecord(deps, grant, actor, now, {
    tokenHash: token.hash,
    ...(body.reason === undefined ? {} : { reason: body.reason }),
  });
  const opened = await deps.store.open(grant, token, record);
  switch (opened.kind) {
    case "opened": {
      const handle = grantToken(grant.id, grant.tokenKey, keys);
      if (grant.state === "pending") return { status: 202, grant, token: handle };
      return { status: 201, token: handle, ...(await open(deps, grant, actor)) };
    }
    case "exists": {
      const { grant: first } = opened.stored;
      // The id is 75 bits of a hash: whoever found a second way to one must not become its holder.
      if (first.principal.id !== principal.id) throw new Error(`two principals share ${first.id}`);
      if (first.requestHash !== facts.requestHash)
        throw await turnedAway(
          deps,
          caller,
          body,
          "idempotency_mismatch",
          "this key was used with another body",
        );
      const handle = grantToken(first.id, first.tokenKey, keys);
      if (first.state === "pending") return { status: 202, grant: first, token: handle };
      return {
        status: 200,
        token: handle,
        ...(await continueGrant(deps, opened.stored, principal, lease)),
      };
    }
    case "token_used":
      throw await turnedAway(
        deps,
        caller,
        body,
        "idempotency_mismatch",
        "this token has opened a grant under another key",
        "fetch a fresh token for each grant, or repeat the first request's Idempotency-Key",
      );
    case "job_ended": {
      const error = jobEnded();
      await noteRefusal(deps, caller, body, error.code, error.message);
      throw error;
    }
  }
}

/** How many rules a request for the profile is held against. */
export const considered = (deps: Issuing, profile: string): number =>
  deps.config.rules.filter((rule) => rule.profile === profile && rule.may.includes("request"))
    .length;

/** Would the request be allowed? The same code as the request's own decision; nothing is opened. */
export async function tryOut(
  deps: Issuing,
  caller: Verified,
  body: GrantRequest,
): Promise<Decision> {
  leaseOf(body);
  const { decision, now } = judge(deps, caller.principal, body);
  await deps.store.note(
    decisionRecord(deps, "decision.made", caller.principal, now, {
      profile: body.profile,
      token: caller.token,
      decision,
    }),
  );
  return decision;
}

function judge(
  deps: Issuing,
  principal: Principal,
  body: GrantRequest,
): { decision: Decision; now: number } {
  const now = deps.ambient.now();
  const seconds =
    body.duration === undefined
      ? undefined
      : requestedSeconds("duration", body.duration, LEAST_SECONDS);
  const decision = decide(deps.policy, {
    action: "request",
    principal,
    profile: body.profile,
    now,
    ...(seconds === undefined ? {} : { seconds }),
  });
  alarmOf(deps, body.profile, decision);
  return { decision, now };
}

const leaseOf = ({ lease }: GrantRequest): number | undefined =>
  lease === undefined ? undefined : leaseSeconds(lease);

/** Seconds of the lease that a request asks for. @throws GrantError invalid_request */
export function leaseSeconds(text: string): number {
  const seconds = requestedSeconds("lease", text, LEAST_SECONDS);
  if (seconds > LONGEST_LEASE_SECONDS)
    throw new GrantError("invalid_request", "lease is longer than 1h", {
      hint: "AWS ends a session that a Lambda minted after an hour; refresh instead",
    });
  return seconds;
}

function grantFacts(
  deps: Issuing,
  principal: Principal,
  body: GrantRequest,
  profile: Profile,
  decision: Allowed,
) {
  return {
    profile: profile.name,
    principal,
    rule: decision.rule,
    seconds: decision.seconds,
    claimSeconds: profile.claimSeconds,
    targets: Object.fromEntries(
      Object.entries(profile.targets).map(([name, target]): [string, GrantTarget] => [
        name,
        deps.target.planned(target),
      ]),
    ),
    requestHash: sha256(
      JSON.stringify([body.profile, body.duration, body.lease, body.name, body.reason]),
    ),
    ...(body.name === undefined ? {} : { name: body.name }),
    ...(body.reason === undefined ? {} : { reason: body.reason }),
  };
}
