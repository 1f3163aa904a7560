import type { Actor, Details, Fact } from "@stint/core/audit";
import {
  denied,
  due,
  type EndReason,
  end as ended,
  finish,
  type Grant,
  issuedBy,
  proved,
  retry,
  running,
  stick,
  uncleared,
} from "@stint/core/grant";
import { changeRecord, type Deps, type Keeping } from "./deps.ts";
import type { Denial, Denials, Denied, Due, Grants, JobEnd, JobGrants, Stored } from "./ports.ts";

/** Lost races after which an end stops the refreshes that it loses against. */
const PATIENCE = 4;

/** Roles in which a grant that is ending still has sessions, each until the last of them is over. */
export function denialsOf(grant: Grant, now: number): Denial[] {
  if (grant.state !== "ending") return [];
  const denials = new Map<string, Denial>();
  for (const lease of running(grant.leases, now)) {
    const target = grant.targets[lease.target];
    if (target?.revocability !== "next-request") continue;
    const { until = 0, issuedBy: by = 0 } = denials.get(target.role) ?? {};
    denials.set(target.role, {
      role: target.role,
      grant: grant.id,
      until: Math.max(until, lease.until),
      issuedBy: Math.max(by, issuedBy(lease)),
    });
  }
  return [...denials.values()];
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

/** As `endGrant`; undefined unless it was this very call that ended it. */
export async function endLive(
  deps: Keeping,
  id: string,
  why: EndReason,
  actor: Actor,
  details: Details,
): Promise<Grant | undefined> {
  let mine: Grant | undefined;
  const transition = (grant: Grant, now: number) => {
    const after = ended(grant, why, now);
    mine = after === grant ? undefined : after;
    return after;
  };
  const stored = await settle(deps, id, transition, actor, details);
  return stored?.grant === mine ? mine : undefined;
}

/** What the table alone says about a grant whose time has come. */
export async function endIfDue(
  deps: Keeping,
  id: string,
  actor: Actor,
): Promise<Stored | undefined> {
  return settle(deps, id, due, actor, {});
}

/** Says of an end that it keeps failing, and how. */
export async function stickEnd(
  deps: Keeping,
  id: string,
  error: string,
  actor: Actor,
): Promise<void> {
  const stored = await settle(deps, id, (grant, now) => stick(grant, error, now), actor, {});
  if (stored?.grant.state !== "ending" || stored.grant.stuck !== true) return;
  deps.ambient.alarm("stuck", { grant: id, error: stored.grant.error });
}

/** Somebody wants an end that fails to be tried again now: what must be done for it follows from the write. */
export async function retryEnd(
  deps: Keeping,
  id: string,
  actor: Actor,
): Promise<Stored | undefined> {
  const again = (grant: Grant, now: number) => {
    const finished = finish(grant, now);
    return finished === grant ? retry(grant, now) : finished;
  };
  return settle(deps, id, again, actor, {});
}

/** What there is to tell of a change. A later look at a grant that goes on as it was tells nothing. */
function factOfChange(before: Grant, after: Grant): Fact | "state" | undefined {
  if (before.state !== after.state) return "state";
  if (before.state !== "ending" || after.state !== "ending") return undefined;
  if (before.stuck !== after.stuck) return "grant.stuck";
  return before.retries === after.retries ? undefined : "grant.retried";
}

export async function settle(
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
    const fact = factOfChange(stored.grant, after);
    const record =
      fact === undefined
        ? undefined
        : changeRecord(deps, after, actor, now, {
            ...details,
            ...(after.state === "ended" && after.provedAt !== undefined
              ? { timeToDeadMs: after.provedAt - after.endedAt }
              : {}),
            ...(fact === "state" ? {} : { fact }),
            ...(fact === "grant.stuck" && after.state === "ending" && after.error !== undefined
              ? { error: after.error }
              : {}),
          });
    // Denials belong to the write that ends the grant; a later look at it adds none.
    const denials = fact === "state" ? denialsOf(after, now) : [];
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
 * Ends a grant whose sessions are denied in each of its roles, or left to lapse there. True where nothing remains to be
 * denied. The denial is marked first and the grant ended after it: who stops in between leaves the rest to the sweeper.
 */
export async function endDenied(
  deps: Keeping<Pick<Grants, "replace"> & Pick<Denials, "denial">>,
  first: Stored,
  actor: Actor,
): Promise<boolean> {
  for (let stored = first; stored.grant.state === "ending"; ) {
    const { grant } = stored;
    const now = deps.ambient.now();
    const denials: Denial[] = [];
    for (const { role } of denialsOf(grant, now)) {
      const denial = await deps.store.denial(role, grant.id);
      if (denial?.deniedAt === undefined && denial?.spared === undefined) return false;
      denials.push(denial);
    }
    // No lease runs any more: that is for `finish` to say, which claims no denial.
    if (denials.length === 0) return false;
    const spared = denials.some((denial) => denial.deniedAt === undefined);
    const times = denials.map(({ deniedAt = 0 }) => deniedAt);
    const after = denied(grant, spared ? undefined : Math.max(...times));
    // Another of its targets has still to be cleared.
    if (after === grant) return false;
    const gone = denials.some((denial) => denial.spared === "gone");
    const record = changeRecord(deps, after, actor, now, gone ? { targetGone: true } : {});
    const result = await deps.store.replace(stored, after, record);
    if (result.kind === "written") await endProved(deps, result.stored, denials, actor);
    if (result.kind !== "changed") return true;
    stored = result.stored;
  }
  return true;
}

/** A grant that has ended is dead from its last proof on, once each of its denials is proved. */
export async function endProved(
  deps: Keeping<Pick<Grants, "replace">>,
  first: Stored,
  denials: readonly Denial[],
  actor: Actor,
): Promise<void> {
  const times = denials.map(({ provedAt }) => provedAt);
  if (times.length === 0 || times.includes(undefined)) return;
  const at = Math.max(...times.map((time) => time ?? 0));
  for (let stored = first; ; ) {
    const after = proved(stored.grant, at);
    if (after === stored.grant || after.state !== "ended") return;
    const timeToDeadMs = at - after.endedAt;
    const record = changeRecord(deps, after, actor, deps.ambient.now(), {
      fact: "grant.proved",
      timeToDeadMs,
    });
    const result = await deps.store.replace(stored, after, record);
    if (result.kind === "written")
      deps.ambient.measure("timeToDeadMs", timeToDeadMs, { grant: after.id });
    if (result.kind !== "changed") return;
    stored = result.stored;
  }
}

/** An end that takes longer has failed several times over. */
const STUCK_MS = 5 * 60_000;

export type Sweeping = Keeping<Grants & Pick<Denials, "denial"> & Due & Denied> &
  Pick<Deps, "dirty" | "clears">;

/** Looks after everything whose time has come, by the table alone. Returns how many grants it looked at. */
export async function sweep(deps: Sweeping): Promise<number> {
  let count = 0;
  const actor: Actor = { kind: "sweeper", id: "sweeper" };
  const failures: unknown[] = [];
  const inBatches = batches(256, failures);
  const lookAfter = async (id: string) => {
    const stored = await endIfDue(deps, id, actor);
    if (stored?.grant.state !== "ending" || (await endDenied(deps, stored, actor))) return;
    // Whatever became of the message that its end sent: its roles are marked again until it is done.
    for (const { role } of denialsOf(stored.grant, deps.ambient.now()))
      await deps.dirty.mark(role, `sweep:${id}:${stored.version}`, "check");
    if (uncleared(stored.grant).length > 0) await deps.clears.ask(id);
    if (stored.grant.stuck === true) deps.ambient.alarm("stuck", { grant: id });
    else if (deps.ambient.now() - stored.grant.endedAt > STUCK_MS)
      await stickEnd(deps, id, "not done after minutes: the log of its worker says why", actor);
  };
  await inBatches(deps.store.due(deps.ambient.now()), async (id) => {
    count++;
    await lookAfter(id);
  });
  // A list that somebody else has changed is found here and nowhere sooner. The minute makes two sweeps of it one.
  const minute = Math.floor(deps.ambient.now() / 60_000);
  await inBatches(deps.store.deniedRoles(deps.ambient.now()), (role) =>
    deps.dirty.mark(role, `minute:${minute}`, "check"),
  );
  if (failures.length > 0)
    throw new AggregateError(failures, "some grants could not be looked after");
  return count;
}

/** A walk that holds no more than a batch at a time. One thing that fails must not keep those after it alive. */
export const batches =
  (size: number, failures: unknown[]) =>
  async <T>(all: AsyncIterable<T>, work: (one: T) => Promise<unknown>): Promise<void> => {
    const batch: T[] = [];
    const flush = () =>
      inTurns(batch.splice(0), 16, work).catch((error: unknown) => failures.push(error));
    for await (const one of all) {
      batch.push(one);
      if (batch.length === size) await flush();
    }
    await flush();
  };

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
