import { type Actor, actorOf } from "@stint/core/audit";
import { GrantError } from "@stint/core/error";
import {
  claim,
  type Grant,
  ISSUING_MS,
  MAX_RUNNING_LEASES,
  plan,
  running,
} from "@stint/core/grant";
import { decide } from "@stint/core/policy/decide";
import type { Caller, Principal } from "@stint/core/principal";
import { changeRecord, decisionRecord, type Issuing } from "./deps.ts";
import { endIfDue } from "./ending.ts";
import { grantEnded, type Issued, open, refresh, storedOf } from "./issue.ts";
import type { Stored } from "./ports.ts";
import { alarmOf, refused } from "./refusal.ts";

/** How long a repeat waits for the first request to have its lease, and how often it looks. */
const WAIT_MS = 20_000;
const LOOK_MS = 100;

export const holds = (caller: Caller, grant: Grant): boolean =>
  caller.kind === "holder"
    ? caller.grantId === grant.id
    : caller.principal.id === grant.principal.id;

/** Whoever holds a grant token acts as the grant's own principal. */
export const actingAs = (caller: Caller, grant: Grant): Actor =>
  actorOf(caller.kind === "holder" ? grant.principal : caller.principal);

/** Claims a ready grant or refreshes an active one: a new lease either way. */
export async function credentials(
  deps: Issuing,
  caller: Caller,
  id: string,
  leaseSeconds: number | undefined,
): Promise<Issued> {
  const stored = await deps.store.find(id);
  if (stored === undefined) throw notFound(id);
  if (!holds(caller, stored.grant)) {
    if (caller.kind === "principal")
      await deps.store.note(
        decisionRecord(deps, "grant.refused", caller.principal, deps.ambient.now(), {
          grant: stored.grant,
          token: caller.token,
          code: "grant_not_found",
          why: "credentials",
        }),
      );
    throw notFound(id);
  }
  return continueGrant(deps, stored, stored.grant.principal, leaseSeconds);
}

export const notFound = (id: string): GrantError =>
  new GrantError("grant_not_found", `there is no grant ${id} that you may see`);

/** What a grant that exists already gives its holder, by the state that it is in. */
export async function continueGrant(
  deps: Issuing,
  first: Stored,
  principal: Principal,
  leaseSeconds: number | undefined,
): Promise<Issued> {
  const actor = actorOf(principal);
  const stored = await settled(deps, first);
  const { grant } = stored;
  switch (grant.state) {
    case "pending":
      throw new GrantError("wrong_state", `grant ${grant.id} still waits for approval`, {
        hint: `needs ${grant.approval.count}, has ${grant.approval.given.length}`,
      });
    case "ready":
      return claimReady(deps, stored, actor, leaseSeconds);
    case "active": {
      const now = deps.ambient.now();
      if (running(grant.leases, now).length >= MAX_RUNNING_LEASES)
        throw new GrantError("limit_reached", `grant ${grant.id} has too many leases that run`, {
          hint: "use one lease until it ends; a shorter one frees its place sooner",
        });
      const after = plan(grant, deps.ambient.id(), leaseSeconds ?? grant.leaseSeconds, now);
      if (after.state !== "active" || after === grant) throw await endedBy(deps, grant, actor);
      const planned = Object.fromEntries(
        Object.entries(after.leases).filter(([key]) => grant.leases[key] === undefined),
      );
      const over = Object.keys(grant.leases).filter((key) => after.leases[key] === undefined);
      const changed = await deps.store.plan(after, planned, over);
      if (changed !== undefined) throw grantEnded(changed.grant);
      return refresh(deps, after, planned, actor);
    }
    default:
      throw grantEnded(grant);
  }
}

/** A request that is still being issued is waited for; nobody mints for it twice. */
async function settled(deps: Issuing, first: Stored): Promise<Stored> {
  let stored: Stored | undefined = first;
  const patience = deps.ambient.now() + Math.min(WAIT_MS, ISSUING_MS);
  while (stored?.grant.state === "opening") {
    if (deps.ambient.now() >= patience)
      throw new GrantError("unavailable", `grant ${first.grant.id} is still being issued`, {
        hint: "repeat the request with the same Idempotency-Key",
      });
    await deps.ambient.sleep(LOOK_MS);
    stored = await deps.store.find(first.grant.id);
  }
  if (stored === undefined) throw notFound(first.grant.id);
  return stored;
}

/** A grant whose time is up reads as ended, also before its schedule or the sweeper came by. */
async function endedBy(deps: Issuing, grant: Grant, actor: Actor): Promise<GrantError> {
  return grantEnded((await endIfDue(deps, grant.id, actor))?.grant ?? grant);
}

async function claimReady(
  deps: Issuing,
  stored: Stored,
  actor: Actor,
  leaseSeconds: number | undefined,
): Promise<Issued> {
  const { grant } = stored;
  const now = deps.ambient.now();
  // Approvers decided under the rules of their day: the rules must still allow it when it starts.
  const decision = decide(deps.policy, {
    action: "request",
    principal: grant.principal,
    profile: grant.profile,
    seconds: grant.seconds,
    now,
  });
  alarmOf(deps, grant.profile, decision);
  if (!decision.allowed)
    throw await refused(deps, grant.principal, decision, { body: { profile: grant.profile } });
  const opening = claim(grant, deps.ambient.id(), leaseSeconds ?? grant.leaseSeconds, now);
  if (opening.state !== "opening") throw await endedBy(deps, grant, actor);
  const result = await deps.store.start(stored, opening, changeRecord(deps, opening, actor, now));
  if (result.kind === "written") return open(deps, opening, actor);
  return continueGrant(deps, storedOf(result), grant.principal, leaseSeconds);
}
