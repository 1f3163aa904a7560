/** What the audit log holds, and what goes out on the bus: one closed list of facts. */
import type { Explanation } from "./decision.ts";
import type { Code } from "./error.ts";
import { deadBy, endsAt, type Grant, jobOf, type State } from "./grant.ts";
import type { JobKey, Personal, Principal } from "./principal.ts";

export const FACTS = [
  "grant.requested",
  "grant.opened",
  "grant.ready",
  "grant.approved",
  "grant.activated",
  "grant.refreshed",
  "grant.ending",
  "grant.ended",
  "grant.stuck",
  "grant.retried",
  "grant.proved",
  "grant.refused",
  "grant.read",
  "decision.made",
  "job.ended",
  "run.ended",
  "revocation.ordered",
  "role.hard_revoked",
  "role.restored",
  "role.watermarked",
  "role.gone",
  "drift.schedule_removed",
  "drift.schedule_made",
  "drift.schedule_moved",
  "drift.life_removed",
  "drift.ids_removed",
  "drift.login_removed",
] as const;

/** Past tense: what happened. `grant.refused` is a request turned away. */
export type Fact = (typeof FACTS)[number];

/** Who did it: a verified principal, or a part of Stint on its own. */
export interface Actor {
  readonly kind:
    | Principal["kind"]
    | "schedule"
    | "sweeper"
    | "webhook"
    | "revoker"
    | "prover"
    | "clearer"
    | "reconciler"
    | "stint";
  readonly id: string;
  readonly personal?: Personal;
}

/**
 * One audit record: who, what, when, why, by which rule and policy version. It is written in the same database write
 * as the change that it tells of. Never a secret: of a credential it holds the access key id and a hash.
 */
export interface AuditRecord {
  readonly id: string;
  readonly time: number;
  readonly fact: Fact;
  readonly actor: Actor;
  readonly policyVersion: string;
  readonly grant?: string;
  readonly profile?: string;
  readonly state?: State;
  /** Whose grant it is, where the actor is somebody else. */
  readonly principal?: { readonly kind: Principal["kind"]; readonly id: string };
  readonly claims?: Readonly<Record<string, string>>;
  readonly job?: Partial<JobKey>;
  readonly rule?: string;
  /** Why it ended or was refused. */
  readonly why?: string;
  readonly code?: Code;
  /** What the caller or approver gave as reason. */
  readonly reason?: string;
  readonly endsAt?: number;
  readonly deadBy?: number;
  /** Credentials that were minted: one for each target. */
  readonly leases?: ReadonlyArray<{
    readonly target: string;
    readonly until: number;
    readonly accessKeyId?: string;
    readonly user?: string;
    readonly hash?: string;
  }>;
  readonly explanation?: Explanation;
  readonly policyErrors?: readonly string[];
  /** SHA-256 of the token by which the actor came in. */
  readonly tokenHash?: string;
  /** The role that it is about, where it is about no grant alone. */
  readonly role?: string;
  /** What failed, where an end is stuck. */
  readonly error?: string;
  /** What the grant was of is no longer there, so that nothing remained to be ended. */
  readonly targetGone?: true;
  /** From the fact that ended the grant to the proof that its credentials are dead, ms. */
  readonly timeToDeadMs?: number;
  /** How many grants an order of revocation ended, or would end. */
  readonly count?: number;
}

export interface Stamp {
  readonly id: string;
  readonly time: number;
  readonly policyVersion: string;
}

export type Details = Partial<
  Pick<
    AuditRecord,
    | "why"
    | "code"
    | "reason"
    | "leases"
    | "explanation"
    | "policyErrors"
    | "tokenHash"
    | "error"
    | "targetGone"
    | "timeToDeadMs"
  >
>;

export const actorOf = (principal: Principal): Actor => ({
  kind: principal.kind,
  id: principal.id,
  ...(principal.personal === undefined ? {} : { personal: principal.personal }),
});

/** The record of a change of one grant. */
export function grantRecord(
  stamp: Stamp,
  fact: Fact,
  actor: Actor,
  grant: Grant,
  details: Details = {},
): AuditRecord {
  const job = jobOf(grant);
  const dead = deadBy(grant);
  return {
    ...stamp,
    fact,
    actor,
    grant: grant.id,
    profile: grant.profile,
    state: grant.state,
    principal: { kind: grant.principal.kind, id: grant.principal.id },
    claims: grant.principal.claims,
    ...(job === undefined ? {} : { job }),
    rule: grant.rule,
    ...("why" in grant ? { why: grant.why } : {}),
    endsAt: endsAt(grant),
    ...(dead === undefined ? {} : { deadBy: dead }),
    ...details,
  };
}

/** The fact that tells of a grant's new state. */
export function factOf(grant: Grant): Fact {
  switch (grant.state) {
    case "pending":
      return "grant.requested";
    case "ready":
      return "grant.ready";
    case "opening":
      return "grant.opened";
    case "active":
      return "grant.activated";
    case "ending":
      return "grant.ending";
    case "ended":
      return "grant.ended";
    case "refused":
      return "grant.refused";
  }
}
