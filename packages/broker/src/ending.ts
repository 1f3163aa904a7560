import type { Actor, Details } from "@stint/core/audit";
import { denied, due, type EndReason, end as ended, type Grant, running } from "@stint/core/grant";
import { changeRecord, type Deps, type Keeping } from "./deps.ts";
import type { Denial, Denials, Due, Grants, JobEnd, JobGrants, Stored } from "./ports.ts";

/** Lost races after which an end stops the refreshes that it loses against. */
const PATIENCE = 4;

/** Roles in which a grant that is ending still has sessions, each until the last of them is over. */
export function denialsOf(grant: Grant, now: number): Denial[] {
  if (grant.state !== "ending") return [];
  const until = new Map<string, number>();
  for (const lease of running(grant.leases, now)) {
    const target = grant.targets[lease.target];
    if (target !== undefined && target.revocability !== "lapse")
      until.set(target.role, Math.max(until.get(target.role) ?? 0, lease.until));
  }
  return [...until].map(([role, last]) => ({ role, grant: grant.id, until: last }));
}

/**
 * Ends a grant for a reason. Safe to call from everywhere at once: one end and one reason win, and the caller gets
 * the grant as it is then. Undefined where there is no such grant.
 */
export async function endGrant(
  deps: Keeping,
  id: string,
  why: EndReason,
  actor: Actor,
  details: Details = {},
): Promise<Stored | undefined> {
  return settle(deps, id, (grant, now) => ended(grant, why, now), actor, details);
}

/** What the table alone says about a grant whose time has come. */
export async function endIfDue(
  deps: Keeping,
  id: string,
  actor: Actor,
): Promise<Stored | undefined> {
  return settle(deps, id, due, actor, {});
}

async function settle(
  deps: Keeping,
  id: string,
  transition: (grant: Grant, now: number) => Grant,
  actor: Actor,
  details: Details,
): Promise<Stored | undefined> {
  let stored = await deps.store.find(id);
  for (let lost = 0; stored !== undefined; lost++) {
    // The time is taken anew in each round: a refresh that won the race planned against a later one.
    const now = deps.ambient.now();
    const after = transition(stored.grant, now);
    if (after === stored.grant) return stored;
    const same = after.state === stored.grant.state;
    const record = same ? undefined : changeRecord(deps, after, actor, now, details);
    // Denials belong to the write that ends the grant; a later look at it adds none.
    const denials = same ? [] : denialsOf(after, now);
    const result = await deps.store.replace(stored, after, record, denials);
    if (result.kind === "written") return result.stored;
    if (result.kind === "changed") stored = result.stored;
    if (lost === PATIENCE) await deps.store.close(id);
  }
  return undefined;
}

/** Ends all grants of a job, or of all jobs of a run, whose tombstone is already written. */
export async function endJob(
  deps: Keeping<Grants & JobGrants>,
  end: JobEnd,
  actor: Actor,
): Promise<number> {
  const ids = await deps.store.grantsOf(end);
  await inTurns(ids, 8, (id) => endGrant(deps, id, "job_ended", actor));
  return ids.length;
}

/**
 * Ends a grant whose sessions are denied in each of its roles. True where nothing remains to be denied. The denial is
 * marked first and the grant ended after it: who stops in between leaves the rest to the sweeper.
 */
export async function endDenied(
  deps: Keeping<Pick<Grants, "replace"> & Pick<Denials, "denial">>,
  first: Stored,
  actor: Actor,
): Promise<boolean> {
  for (let stored = first; stored.grant.state === "ending"; ) {
    const { grant } = stored;
    const now = deps.ambient.now();
    const times: number[] = [];
    for (const { role } of denialsOf(grant, now)) {
      const deniedAt = (await deps.store.denial(role, grant.id))?.deniedAt;
      if (deniedAt === undefined) return false;
      times.push(deniedAt);
    }
    // No lease runs any more: that is for `finish` to say, which claims no denial.
    if (times.length === 0) return false;
    const after = denied(grant, Math.max(...times));
    const result = await deps.store.replace(stored, after, changeRecord(deps, after, actor, now));
    if (result.kind !== "changed") return true;
    stored = result.stored;
  }
  return true;
}

/** An end that takes longer has failed several times over. */
const STUCK_MS = 5 * 60_000;

export type Sweeping = Keeping<Grants & Pick<Denials, "denial"> & Due> & Pick<Deps, "dirty">;

/** Looks after everything whose time has come, by the table alone. Returns how many grants it looked at. */
export async function sweep(deps: Sweeping): Promise<number> {
  let count = 0;
  const actor: Actor = { kind: "sweeper", id: "sweeper" };
  const failures: unknown[] = [];
  const batch: string[] = [];
  const flush = async () => {
    const done = inTurns(batch.splice(0), 16, async (id) => {
      const stored = await endIfDue(deps, id, actor);
      if (stored?.grant.state !== "ending" || (await endDenied(deps, stored, actor))) return;
      if (deps.ambient.now() - stored.grant.endedAt > STUCK_MS)
        deps.ambient.alarm("stuck", { grant: id });
      // Whatever became of the message that its end sent: its roles are marked again until it is done.
      for (const denial of denialsOf(stored.grant, deps.ambient.now()))
        await deps.dirty.mark(denial.role, `sweep:${id}:${stored.version}`);
    });
    // A grant that nobody can end must not keep those after it alive.
    await done.catch((error: unknown) => failures.push(error));
  };
  for await (const id of deps.store.due(deps.ambient.now())) {
    count++;
    batch.push(id);
    if (batch.length === 256) await flush();
  }
  await flush();
  if (failures.length > 0)
    throw new AggregateError(failures, "some grants could not be looked after");
  return count;
}

/** Runs `work` over all items, `width` at a time; one that fails does not keep the others from running. */
export async function inTurns<T>(
  items: readonly T[],
  width: number,
  work: (item: T) => Promise<unknown>,
): Promise<void> {
  const waiting = items.values();
  const failures: unknown[] = [];
  const turn = async () => {
    for (const item of waiting) await work(item).catch((error: unknown) => failures.push(error));
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, turn));
  if (failures.length > 0)
    throw new AggregateError(failures, `${failures.length} of ${items.length} failed`);
}
