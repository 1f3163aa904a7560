/**
 * What has drifted apart, looked for once a day and over everything. Each walk may be stopped anywhere and begun again:
 * what is to be done about a thing is decided by a consistent read of its grant, never by the list that it was found in.
 */
import type { AuditRecord } from "@stint/core/audit";
import { type Grant, type GrantTarget, isRunning } from "@stint/core/grant";
import { GRANT_ID } from "@stint/core/id";
import { changeRecord, type Deps, driftRecord, type Keeping, RECONCILER } from "./deps.ts";
import { inTurns } from "./ending.ts";
import type {
  Due,
  Grants,
  KnownRoles,
  LiveGrants,
  Lives,
  Notes,
  Schedules,
  Timetable,
  Unscheduling,
} from "./ports.ts";

export type Reconciling = Keeping<
  Pick<Grants, "find"> & Notes & Due & LiveGrants & KnownRoles & Lives
> &
  Pick<Deps, "dirty" | "clearing"> & { readonly schedules: Schedules & Unscheduling & Timetable };

/** What one walk came to. */
export interface Walk {
  looked: number;
  corrected: number;
  failed: number;
  /** Names that nothing of ours has, which are left alone. The first few. */
  readonly strange: string[];
}

interface Walking {
  readonly walk: Walk;
  /** Looks at each, several at a time. One that fails keeps nobody else from being looked at. */
  each<T>(all: AsyncIterable<T>, look: (one: T) => Promise<void>): Promise<void>;
  /** Counts a failure, and goes on. */
  fail(error: unknown): void;
}

type Drift = (deps: Reconciling, walking: Walking) => Promise<void>;

/** Everything that is looked for, at the same time: a walk that is long or fails holds up no other. */
const DRIFTS: Readonly<Record<string, Drift>> = {
  strayedSchedules,
  missingSchedules,
  strayedLives,
  exceedingLists,
  strayedLogins,
};

const PAGE = 256;
const WIDTH = 16;
/** As many are told, whatever there is. */
const FEW = 20;
const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
/** The stream's reader removes the schedule of a grant that has ended; it may be late, and try again. */
const RELAY_MS = 10 * MINUTE_MS;

/** Looks for all of it, and tells what it came to. `failures` are what could not be looked at or put right. */
export async function reconcile(deps: Reconciling): Promise<{
  readonly walks: Readonly<Record<string, Walk>>;
  readonly failures: readonly unknown[];
}> {
  const failures: unknown[] = [];
  const run = async (drift: Drift): Promise<Walk> => {
    const walk: Walk = { looked: 0, corrected: 0, failed: 0, strange: [] };
    const fail = (error: unknown) => {
      walk.failed += 1;
      if (failures.length < FEW) failures.push(error);
    };
    const each: Walking["each"] = (all, look) =>
      inPages(all, async (one) => {
        walk.looked += 1;
        await look(one).catch(fail);
      }).catch(fail);
    await drift(deps, { walk, each, fail }).catch(fail);
    return walk;
  };
  const walks = await Promise.all(
    Object.entries(DRIFTS).map(async ([name, drift]) => [name, await run(drift)] as const),
  );
  return { walks: Object.fromEntries(walks), failures };
}

/** Holds no more than a page at a time. Where the list breaks off, what was had of it is still looked at. */
async function inPages<T>(all: AsyncIterable<T>, look: (one: T) => Promise<void>): Promise<void> {
  const page: T[] = [];
  const flush = () => inTurns(page.splice(0), WIDTH, look);
  try {
    for await (const one of all) {
      page.push(one);
      if (page.length === PAGE) await flush();
    }
  } finally {
    await flush();
  }
}

/** Schedules of grants that have none any more. One that is ending keeps its own: it goes with the end. */
async function strayedSchedules(deps: Reconciling, { walk, each }: Walking): Promise<void> {
  await each(deps.schedules.all(), async (name) => {
    if (!GRANT_ID.test(name)) {
      if (walk.strange.length < FEW) walk.strange.push(name);
      return;
    }
    // Read after the schedule was listed, and a schedule is made after its grant was opened: one that is not there
    // has none to come.
    const grant = (await deps.store.find(name))?.grant;
    const now = deps.ambient.now();
    if (grant !== undefined && !isLongOver(grant, now)) return;
    const record = driftRecord(deps, "drift.schedule_removed", { id: name, grant }, now);
    await correct(deps, walk, record, () => deps.schedules.remove(name));
  });
}

/** Whoever hears of its end has had the time to remove its schedule. */
function isLongOver(grant: Grant, now: number): boolean {
  if (grant.state === "refused") return now >= grant.endedAt + RELAY_MS;
  if (grant.state !== "ended") return false;
  // When the end was done is not written down: it was when the denial was, or with the last lease at the latest.
  const ends = Object.values(grant.leases).map(({ until }) => until);
  return now >= (grant.deniedAt ?? Math.max(grant.endedAt, ...ends)) + RELAY_MS;
}

/** Grants whose schedule is not there, or would not end them at their time. */
async function missingSchedules(deps: Reconciling, { walk, each }: Walking): Promise<void> {
  await each(deps.store.due(Number.MAX_SAFE_INTEGER), async (id) => {
    const found = await mustBeScheduled(deps, id);
    if (found === undefined) return;
    const schedule = await deps.schedules.check(id, found.endsAt);
    if (schedule === "right") return;
    // It may have ended, and its schedule be gone for that, since it was read.
    const grant = await mustBeScheduled(deps, id);
    if (grant === undefined) return;
    const fact = schedule === "missing" ? "drift.schedule_made" : "drift.schedule_moved";
    const record = changeRecord(deps, grant, RECONCILER, deps.ambient.now(), { fact });
    await correct(deps, walk, record, async () => {
      if (schedule === "wrong") await deps.schedules.remove(id);
      await deps.schedules.create(id, grant.endsAt);
      // And if it has ended since, whoever removes its schedule may have come too early.
      if ((await deps.store.find(id))?.grant.state === "ended") await deps.schedules.remove(id);
    });
  });
}

/** A grant whose issuer is done or gone, and whose end is still to come: not yet the sweeper's. */
async function mustBeScheduled(deps: Reconciling, id: string) {
  const grant = (await deps.store.find(id))?.grant;
  const now = deps.ambient.now();
  if (grant === undefined || !isRunning(grant)) return undefined;
  if (grant.state === "opening" && now < grant.openBy) return undefined;
  return grant.endsAt > now + MINUTE_MS ? grant : undefined;
}

/** Notes that a grant lives on a role, when it does not: they keep a full list from becoming a watermark. */
async function strayedLives(deps: Reconciling, { walk, each }: Walking): Promise<void> {
  for await (const role of rolesOf(deps))
    await each(deps.store.liveOf(role), async (id) => {
      const grant = (await deps.store.find(id))?.grant;
      if (grant !== undefined && isRunning(grant)) return;
      const record = driftRecord(
        deps,
        "drift.life_removed",
        { id, grant, role },
        deps.ambient.now(),
      );
      if (!(await deps.store.removeLife(role, id, record))) return;
      walk.corrected += 1;
      deps.ambient.alarm("drift", { fact: record.fact, grant: id, role });
    });
}

/**
 * Ids whose leases are over, and roles that are gone: each role's worker looks, since it alone writes on the role and
 * tells what it found. That ids go is no alarm, they go each night.
 */
async function exceedingLists(deps: Reconciling, { each }: Walking): Promise<void> {
  const day = Math.floor(deps.ambient.now() / DAY_MS);
  await each(rolesOf(deps), (role) => deps.dirty.mark(role, `reconcile:${day}`, "tidy"));
}

/** Roles that may have a list or lives on them. An account has some thousands at most. */
async function* rolesOf({ config, store }: Reconciling): AsyncGenerator<string> {
  const targets = Object.values(config.profiles).flatMap((profile) =>
    Object.values(profile.targets),
  );
  const told = new Set(targets.flatMap((target) => (target.kind === "aws" ? [target.role] : [])));
  yield* told;
  for await (const role of store.knownRoles()) {
    if (told.has(role)) continue;
    told.add(role);
    yield role;
  }
}

type Postgres = GrantTarget & { readonly kind: "postgres" };

/** Logins of databases whose grant is over, or was never known: each could be used until somebody finds it. */
async function strayedLogins(deps: Reconciling, { walk, each, fail }: Walking): Promise<void> {
  await each(serversOf(deps, fail), async (places) => {
    for (const place of places)
      try {
        for (const id of await deps.clearing.strays(place))
          await endStray(deps, walk, place, id).catch(fail);
      } catch (error) {
        fail(error);
      }
  });
}

async function endStray(
  deps: Reconciling,
  walk: Walk,
  target: Postgres,
  id: string,
): Promise<void> {
  // Read after the server was asked, and a grant's record is there before its first login.
  const grant = (await deps.store.find(id))?.grant;
  if (grant !== undefined && grant.state !== "ended" && grant.state !== "refused") return;
  const record = driftRecord(deps, "drift.login_removed", { id, grant }, deps.ambient.now());
  const { host, port, database } = target.place;
  await correct(
    deps,
    walk,
    record,
    async () => {
      await deps.clearing.clear(id, target);
    },
    { server: `${host}:${port}/${database}` },
  );
}

/**
 * The places of each server, one after the other: what the first has ended the next does not find. Those of the
 * configuration and those that live grants were made at, since a grant outlives the configuration that it came from.
 */
async function* serversOf(
  { config, store }: Reconciling,
  fail: Walking["fail"],
): AsyncGenerator<readonly Postgres[]> {
  const servers = new Map<string, Map<string, Postgres>>();
  const add = (target: Omit<Postgres, "revocability"> | { readonly kind: "aws" }) => {
    if (target.kind !== "postgres") return;
    const { place, secret } = target;
    const server = JSON.stringify([place.host, place.port, place.user]);
    const places = servers.get(server) ?? new Map<string, Postgres>();
    servers.set(server, places);
    // What differs in nothing that ending takes is one place.
    const key = JSON.stringify([place.database, place.tls, place.leavings, secret]);
    if (!places.has(key))
      places.set(key, { kind: "postgres", place, secret, revocability: "immediate" });
  };
  for (const { targets } of Object.values(config.profiles)) Object.values(targets).forEach(add);
  const addLive = async (id: string) =>
    Object.values((await store.find(id))?.grant.targets ?? {}).forEach(add);
  await inPages(store.due(Number.MAX_SAFE_INTEGER), (id) => addLive(id).catch(fail)).catch(fail);
  // Whose login it was nobody knows, so nothing is dropped where one place would have given it away.
  const keeps = ({ place }: Postgres) => Number(place.leavings.kind === "reassign");
  for (const places of servers.values())
    yield [...places.values()].toSorted((a, b) => keeps(b) - keeps(a));
}

/**
 * Told before it is done: who stops in between leaves a record of what the next walk does and tells again, never a
 * thing that was done and not told.
 */
async function correct(
  deps: Reconciling,
  walk: Walk,
  record: AuditRecord,
  deed: () => Promise<void>,
  more: Readonly<Record<string, string>> = {},
): Promise<void> {
  await deps.store.note(record);
  deps.ambient.alarm("drift", { fact: record.fact, grant: record.grant, ...more });
  await deed();
  walk.corrected += 1;
}
