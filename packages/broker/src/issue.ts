import type { Actor } from "@stint/core/audit";
import { GrantError } from "@stint/core/error";
import {
  type Active,
  type Grant,
  isLive,
  type Lease,
  lease as leased,
  type Opening,
} from "@stint/core/grant";
import { changeRecord, type Issuing } from "./deps.ts";
import { endGrant } from "./ending.ts";
import { type Credentials, type Replaced, type Stored, TargetGone } from "./ports.ts";

type Leases = Readonly<Record<string, Lease>>;

export interface Issued {
  readonly grant: Grant;
  readonly credentials: Readonly<Record<string, Credentials>>;
}

/**
 * Steps 2 and 3 for a grant that has just been written ahead: its schedule and every target at the same time, then the
 * lease. Nothing is handed out before the lease is durable. Whatever fails ends the grant; if that fails too, the
 * sweeper finds it at its issuing deadline.
 */
export async function open(deps: Issuing, opening: Opening, actor: Actor): Promise<Issued> {
  // Both must have settled before the grant is ended: what is still being made could not be ended with it.
  // The session takes longer, so its request is on its way first.
  const [minted, scheduled] = await Promise.allSettled([
    mint(deps, opening, opening.leases),
    deps.schedules.create(opening.id, opening.endsAt),
  ]);
  const failure = [scheduled, minted].find((result) => result.status === "rejected");
  if (failure !== undefined || minted.status === "rejected") {
    await giveUp(deps, opening.id, "failed", actor);
    throw failure?.reason;
  }
  return hand(deps, opening, minted.value, actor, "grant.activated");
}

/** A further mint of an active grant, planned already. */
export async function refresh(
  deps: Issuing,
  active: Active,
  planned: Leases,
  actor: Actor,
): Promise<Issued> {
  const minted = await mint(deps, active, planned).catch(async (error: unknown) => {
    if (error instanceof TargetGone) await giveUp(deps, active.id, "target_gone", actor);
    throw error;
  });
  return hand(deps, active, minted, actor, "grant.refreshed");
}

interface MintedLeases {
  readonly leases: Leases;
  readonly credentials: Readonly<Record<string, Credentials>>;
}

/** All targets or none: a half-made set of credentials is never handed out. */
async function mint(deps: Issuing, grant: Grant, planned: Leases): Promise<MintedLeases> {
  const profile = deps.config.profiles[grant.profile];
  const all = await Promise.allSettled(
    Object.entries(planned).map(async ([key, lease]) => {
      const target = profile?.targets[lease.target];
      if (target === undefined)
        throw new GrantError(
          "target_refused",
          `the configuration has no target ${lease.target} any more`,
        );
      const now = deps.ambient.now();
      const minted = await deps.target.mint({ grant, target, key, until: lease.until, now });
      return [key, { ...lease, mintedAt: now, ...minted.lease }, minted.credentials] as const;
    }),
  );
  const failed = all.find((one) => one.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  const done = all.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  return {
    leases: Object.fromEntries(done.map(([key, lease]) => [key, lease])),
    credentials: Object.fromEntries(done.map(([, lease, of]) => [lease.target, of])),
  };
}

async function hand(
  deps: Issuing,
  grant: Opening | Active,
  minted: MintedLeases,
  actor: Actor,
  fact: "grant.activated" | "grant.refreshed",
): Promise<Issued> {
  const after = leased(grant, minted.leases);
  const details = {
    fact,
    leases: Object.values(minted.leases).map(({ target, until, accessKeyId, user, hash }) => ({
      target,
      until,
      ...(accessKeyId === undefined ? {} : { accessKeyId }),
      ...(user === undefined ? {} : { user }),
      ...(hash === undefined ? {} : { hash }),
    })),
  };
  const record = changeRecord(deps, after, actor, deps.ambient.now(), details);
  const result = await deps.store.lease(after, minted.leases, record);
  if (result.kind === "written")
    return { grant: result.stored.grant, credentials: minted.credentials };
  if (result.kind === "job_ended") {
    await giveUp(deps, grant.id, "job_ended", actor);
    throw jobEnded();
  }
  throw grantEnded(result.stored.grant);
}

/** Ends what could not be issued. A fault here must not hide the fault that led here. */
async function giveUp(
  deps: Issuing,
  id: string,
  why: "failed" | "job_ended" | "target_gone",
  actor: Actor,
): Promise<void> {
  try {
    await endGrant(deps, id, why, actor);
  } catch (error) {
    deps.ambient.alarm("end_failed", { grant: id, error: String(error) });
  }
}

export const jobEnded = (): GrantError =>
  new GrantError("job_ended", "the job has ended, so it gets no more credentials", {
    hint: "a job's credentials end with it; ask from a job that is running",
  });

export const grantEnded = (grant: Grant): GrantError =>
  new GrantError("grant_ended", `grant ${grant.id} ${standing(grant)}`, {
    hint: "ask anew with another Idempotency-Key",
  });

function standing(grant: Grant): string {
  // Closed to refreshes by an end that has not been written yet.
  if (isLive(grant)) return "is being ended";
  return `is ${grant.state} (${grant.why})`;
}

/** The grant that a conditional write left behind, whoever wrote it. @throws GrantError job_ended */
export function storedOf(result: Replaced): Stored {
  if (result.kind === "job_ended") throw jobEnded();
  return result.stored;
}
