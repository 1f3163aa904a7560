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
  Clearing,
  ClearRequests,
  Denials,
  DenyList,
  DirtyRoles,
  Grants,
  HardOrders,
  Inventory,
  Lists,
  LiveGrants,
  Notes,
  Openings,
  Prober,
  ProofRequests,
  Schedules,
  Store,
  Target,
  Timetable,
  TokenKeys,
  Unscheduling,
} from "./ports.ts";

/** Everything that a use case may talk to. Made once, by the composition root. */
export interface Deps {
  readonly config: Config;
  readonly policy: Policy;
  readonly store: Store;
  readonly target: Target;
  readonly schedules: Schedules & Unscheduling & Timetable;
  readonly keys: TokenKeys;
  readonly denyList: DenyList;
  readonly dirty: DirtyRoles;
  readonly proofs: ProofRequests;
  readonly prober: Prober;
  readonly clears: ClearRequests;
  readonly clearing: Clearing & Inventory;
  readonly ambient: Ambient;
}

/** What every use case has: where it is, and the parts of the table that it asks. */
export type Keeping<S = Grants> = Around & { readonly store: S };

/** What a caller's request may need besides. */
export type Issuing = Keeping<Grants & Openings & Notes & Lists> &
  Pick<Deps, "policy" | "target" | "keys"> & { readonly schedules: Schedules };

/** What turns a caller away by the rules, and says so. */
export type Judging = Keeping<Notes> & Pick<Deps, "policy">;

/** What ends others' grants, or has an end tried again. */
export type Revoking = Judging &
  Keeping<Grants & Lists & LiveGrants & HardOrders & Pick<Denials, "denial">>;

type Around = Pick<Deps, "config" | "ambient">;

/** Who puts right at night what has drifted apart. */
export const RECONCILER: Actor = { kind: "reconciler", id: "reconciler" };

const stamp = (deps: Around, now: number) => ({
  id: deps.ambient.id(),
  time: now,
  policyVersion: deps.config.hash,
});

/** The record of a grant's change to the state that it is in now. */
export const changeRecord = (
  deps: Around,
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
  deps: Around,
  fact: "grant.refused" | "grant.read" | "decision.made" | "revocation.ordered",
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
    readonly role?: string;
    readonly count?: number;
    readonly error?: string;
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

/** The record of what became of a role. */
export const roleRecord = (
  deps: Around,
  fact:
    | "role.restored"
    | "role.watermarked"
    | "role.gone"
    | "role.hard_revoked"
    | "drift.ids_removed",
  role: string,
  actor: Actor,
  now: number,
  details: Pick<Details, "reason" | "tokenHash"> = {},
): AuditRecord => ({ ...stamp(deps, now), fact, actor, role, ...details });

/** The record of something of a grant that had drifted. The grant itself may be long forgotten. */
export const driftRecord = (
  deps: Around,
  fact: "drift.schedule_removed" | "drift.life_removed" | "drift.login_removed",
  of: { readonly id: string; readonly grant: Grant | undefined; readonly role?: string },
  now: number,
): AuditRecord => ({
  ...(of.grant === undefined
    ? { ...stamp(deps, now), fact, actor: RECONCILER, grant: of.id }
    : changeRecord(deps, of.grant, RECONCILER, now, { fact })),
  ...(of.role === undefined ? {} : { role: of.role }),
});

/** The record of what a pipeline reported. */
export const jobRecord = (
  deps: Around,
  fact: "job.ended" | "run.ended",
  job: Partial<JobKey>,
  actor: Actor,
  now: number,
): AuditRecord => ({ ...stamp(deps, now), fact, actor, job });
