import {
  type Access,
  type Admin,
  asAdmin,
  holdGrant,
  inTransaction,
  joinRole,
  literal,
  name,
  names,
} from "./admin.ts";
import type { Connect } from "./connection.ts";
import { PostgresError } from "./error.ts";
import { grantOf, leasePrefixOf, ownerOf, type PostgresPlace } from "./place.ts";
import { thin } from "./thin.ts";

export interface DismantleRequest extends Access {
  readonly grantId: string;
}

/** What the catalog still has of a grant. */
export interface Remains {
  readonly roles: readonly string[];
  /** Open sessions of those roles. */
  readonly sessions: number;
  /** Its own schema or database. */
  readonly schemas: readonly string[];
  readonly databases: readonly string[];
}

/** True once the end is proved: nobody can log in as the grant, nobody is, and nothing of its own is left. */
export const isGone = (remains: Remains): boolean =>
  remains.roles.length === 0 &&
  remains.sessions === 0 &&
  remains.schemas.length === 0 &&
  remains.databases.length === 0;

/** How often sessions are looked at until they are gone: for 5 s in all, most are gone after the first look. */
const LOOKS = 60;
const pauseSeconds = (look: number): number => (look < 10 ? 0.01 : 0.1);
/** How many looks a login that is stalled is waited for: 1 s. */
const LANDING_LOOKS = 19;
/** How long a role that is to be barred is waited for before it counts as held, and how often it is tried then. */
const BAR_LOCK_MS = 250;
const BAR_ATTEMPTS = 20;
/** What drops in one database may uncover in another; more rounds than this is somebody working against us. */
const ROUNDS = 3;

interface Role {
  readonly oid: string;
  readonly name: string;
  readonly canLogin: boolean;
}

export async function dismantle(connect: Connect, request: DismantleRequest): Promise<Remains> {
  const { place, grantId } = request;
  const owner = ownerOf(grantId);
  return atServer(connect, request, async (admin) => {
    if (!(await holdGrant(admin, grantId))) {
      // Whoever holds it may be a session of the grant itself.
      await cut(connect, request, admin, await rolesOf(admin, grantId));
      await holdGrant(admin, grantId);
    }
    const roles = await rolesOf(admin, grantId);
    if (roles.length > 0) {
      await cut(connect, request, admin, roles);
      for (let round = 1; ; round++) {
        const databases = await reached(admin, roles, round === 1);
        for (const database of databases)
          if (database === admin.database) await empty(admin, place, owner, roles);
          else if (database !== owner)
            await asAdmin(connect, request, database, (there) => empty(there, place, owner, roles));
        await dropDatabase(connect, request, admin, owner);
        if (await dropRoles(admin, roles, round < ROUNDS)) break;
        await endSessions(admin, roles);
      }
    }
    return remainsOf(
      admin,
      grantId,
      roles.map(({ oid }) => oid),
    );
  });
}

/** The proof by itself: reads the catalog and changes nothing. */
export const prove = (connect: Connect, request: DismantleRequest): Promise<Remains> =>
  atServer(connect, request, (admin) => remainsOf(admin, request.grantId, []));

/** Ids of the grants that this admin's roles on the server are of. */
export const strays = (connect: Connect, access: Access): Promise<readonly string[]> =>
  atServer(connect, access, async (admin) => {
    // Only what was granted to this very admin: a superuser has the rights of every role, also of other deployments'.
    const found = await admin.run(
      "list the roles",
      `with ours as (
         select r.oid, r.rolname from pg_roles r
         join pg_auth_members m on m.roleid = r.oid
         where m.member = (select oid from pg_roles where rolname = current_user)
         union select oid, rolname from pg_roles where rolname = current_user)
       select rolname as name from ours
       union select datname from pg_database where datdba in (select oid from ours)
       union select nspname from pg_namespace where nspowner in (select oid from ours)`,
    );
    const ids = found.map((row) => grantOf(row.name ?? "")).filter((id) => id !== undefined);
    return [...new Set(ids)].sort();
  });

/**
 * Roles belong to the server, not to a database. So where the place's database was dropped they still can log in
 * elsewhere, and are ended from the one that every server has; the target is gone where that is missing too.
 */
async function atServer<T>(
  connect: Connect,
  access: Access,
  work: (admin: Admin) => Promise<T>,
): Promise<T> {
  try {
    return await asAdmin(connect, access, access.place.database, work);
  } catch (error) {
    if (!(error instanceof PostgresError) || error.fault !== "database_gone") throw error;
    try {
      return await asAdmin(connect, access, "postgres", work);
    } catch (second) {
      if (second instanceof PostgresError && second.fault === "database_gone") throw error;
      throw second;
    }
  }
}

async function rolesOf(admin: Admin, grantId: string): Promise<Role[]> {
  const rows = await admin.run(
    "list the grant's roles",
    `select oid::text, rolname, rolcanlogin from pg_roles
     where rolname = $1 or starts_with(rolname::text, $2) order by rolname`,
    [ownerOf(grantId), leasePrefixOf(grantId)],
  );
  return rows.map((row) => ({
    oid: row.oid ?? "",
    name: row.rolname ?? "",
    canLogin: row.rolcanlogin === "t",
  }));
}

/** Nobody new comes in, then nobody is in. What resists does not save the others. */
async function cut(
  connect: Connect,
  request: DismantleRequest,
  admin: Admin,
  roles: readonly Role[],
): Promise<void> {
  const errors: unknown[] = [];
  for (const role of roles)
    try {
      if (role.canLogin) await bar(connect, request, admin, role);
      await joinRole(admin, role.name);
    } catch (error) {
      errors.push(error);
    }
  try {
    await endSessions(admin, roles);
  } catch (error) {
    errors.push(error);
  }
  if (errors.length > 0) throw errors[0];
}

/**
 * A lease may change its own password, and in a transaction that it leaves open that keeps its role's row from us. So
 * while one session of ours queues for the row, another ends the sessions of the role: whoever logs in anew stands
 * behind us. One after the other would not do, since a login is as fast as we are.
 */
async function bar(
  connect: Connect,
  request: DismantleRequest,
  admin: Admin,
  { oid, name: role }: Role,
): Promise<void> {
  const step = `bar "${role}" from logging in`;
  const attempt = () => admin.run(step, `ALTER ROLE ${name(role)} NOLOGIN`);
  await admin.run(step, `SET lock_timeout = ${BAR_LOCK_MS}`);
  try {
    await attempt();
    return;
  } catch (error) {
    if (!isBusy(error)) throw error;
  } finally {
    await admin.run(step, "RESET lock_timeout").catch(() => undefined);
  }
  await asAdmin(connect, request, admin.database, async (second) => {
    let waiting = true;
    const barring = repeat(BAR_ATTEMPTS, attempt).finally(() => {
      waiting = false;
    });
    const ending = (async () => {
      while (waiting)
        await second.run(
          "end the sessions that are in the way",
          "select count(pg_terminate_backend(pid)), pg_sleep(0.01) from pg_stat_activity where usesysid = $1",
          [oid],
        );
    })();
    await Promise.all([barring, ending]);
  });
}

/** Again where somebody else was faster. */
async function repeat<T>(attempts: number, work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++)
    try {
      return await work();
    } catch (error) {
      if (!isBusy(error) || attempt === attempts) throw error;
    }
}

const isBusy = (error: unknown): boolean =>
  error instanceof PostgresError && error.fault === "busy";

async function endSessions(admin: Admin, roles: readonly Role[]): Promise<void> {
  const oids = roles.map(({ oid }) => oid);
  for (let look = 0; look < LOOKS; look++) {
    const ended = await admin.run(
      "end the grant's sessions",
      "select pg_terminate_backend(pid) from pg_stat_activity where usesysid = any($1::oid[])",
      [oids],
    );
    // A login that was let in before NOLOGIN shows in pg_stat_activity only once it is complete; until then it has
    // nothing but a transaction. One that somebody stalls is not waited for longer than a second: it is refused.
    const landing =
      look > LANDING_LOOKS
        ? []
        : await admin.run(
            "look for logins under way",
            `select from pg_locks l where l.locktype = 'virtualxid' and l.pid is not null and not exists (
               select from pg_stat_activity a
               where a.pid = l.pid and (a.usesysid is not null or a.backend_type <> 'client backend'))
             limit 1`,
          );
    if (ended.length === 0 && landing.length === 0) return;
    await admin.run("wait", `select pg_sleep(${pauseSeconds(look)})`);
  }
  throw new PostgresError(
    "busy",
    "Sessions of the grant are still open though they were told to end.",
  );
}

/** Databases that have something of the roles: the catalog of the whole server says so. This one in any case. */
async function reached(
  admin: Admin,
  roles: readonly Role[],
  always: boolean,
): Promise<readonly string[]> {
  const rows = await admin.run(
    "list the databases that the grant reached",
    `select datname from pg_database where oid in (
       select dbid from pg_shdepend where refclassid = 'pg_authid'::regclass and refobjid = any($1::oid[]))
     union select database from pg_prepared_xacts where owner = any($2::name[])`,
    [roles.map(({ oid }) => oid), roles.map((role) => role.name)],
  );
  const found = rows.map((row) => row.datname ?? "");
  return [...new Set(always ? [admin.database, ...found] : found)];
}

/** One database without anything of the roles. */
async function empty(
  admin: Admin,
  { leavings }: PostgresPlace,
  owner: string,
  roles: readonly Role[],
): Promise<void> {
  await rollBackPrepared(admin, roles);
  const all = names(roles.map((role) => role.name));
  const where = `in "${admin.database}"`;
  const oids = roles.map(({ oid }) => oid);
  await thin(admin, oids, owner, leavings);
  const own = await admin.run(
    "look for the grant's schema",
    "select from pg_namespace where nspname = $1 and nspowner = any($2::oid[])",
    [owner, oids],
  );
  // Before anything is given away: what is in there goes in either case.
  if (own.length > 0)
    await admin.run(`drop the grant's schema ${where}`, `DROP SCHEMA ${name(owner)} CASCADE`);
  if (leavings.kind === "reassign")
    await admin.run(
      `give what the grant made ${where} to "${leavings.to}"`,
      `REASSIGN OWNED BY ${all} TO ${name(leavings.to)}`,
    );
  // Also takes the rights that the roles have here and on databases, and their default privileges.
  await admin.run(`drop what the grant made ${where}`, `DROP OWNED BY ${all} CASCADE`);
}

/** A prepared transaction outlives its session and holds its locks; only its owner may end it, in its database. */
async function rollBackPrepared(admin: Admin, roles: readonly Role[]): Promise<void> {
  const prepared = await admin.run(
    "look for prepared transactions",
    `select gid, owner from pg_prepared_xacts
     where database = current_database() and owner = any($1::name[])`,
    [roles.map((role) => role.name)],
  );
  for (const { gid, owner } of prepared) {
    await admin.run("act as the grant's role", `SET ROLE ${name(owner ?? "")}`);
    await admin.run("roll back a prepared transaction", `ROLLBACK PREPARED ${literal(gid ?? "")}`);
    await admin.run("act as the admin again", "SET ROLE NONE");
  }
}

async function dropDatabase(
  connect: Connect,
  request: DismantleRequest,
  admin: Admin,
  owner: string,
): Promise<void> {
  const [found] = await admin.run(
    "look for the grant's database",
    `select (select count(*) from pg_prepared_xacts where database = datname) as prepared
     from pg_database where datname = $1`,
    [owner],
  );
  if (found === undefined) return;
  // Its owner may have closed it, or made it a template, which cannot be dropped.
  const open = found.prepared !== "0";
  await admin.run(
    "take hold of the grant's database",
    `ALTER DATABASE ${name(owner)} ALLOW_CONNECTIONS ${open} CONNECTION LIMIT -1 IS_TEMPLATE false`,
  );
  if (open) {
    const roles = await rolesOf(admin, request.grantId);
    await asAdmin(connect, request, owner, (there) => rollBackPrepared(there, roles));
  }
  await admin.run(
    "drop the grant's database",
    `DROP DATABASE IF EXISTS ${name(owner)} WITH (FORCE)`,
  );
}

/**
 * Whether the roles are gone; if not, it is worth another round. A role whose session lives must not go: nobody but a
 * superuser could end a session without a role. So the sessions are looked at once more before the drop counts.
 */
async function dropRoles(
  admin: Admin,
  roles: readonly Role[],
  mayRepeat: boolean,
): Promise<boolean> {
  const stale = new PostgresError(
    "busy",
    "A session came up while the grant's roles were dropped.",
  );
  try {
    await inTransaction(admin, async () => {
      await admin.run(
        "drop the grant's roles",
        `DROP ROLE IF EXISTS ${names(roles.map((role) => role.name))}`,
      );
      const open = await admin.run(
        "look for sessions",
        "select from pg_stat_activity where usesysid = any($1::oid[])",
        [roles.map(({ oid }) => oid)],
      );
      if (open.length > 0) throw stale;
    });
    return true;
  } catch (error) {
    const again = error === stale || (error instanceof PostgresError && error.fault === "failed");
    if (mayRepeat && again) return false;
    throw error;
  }
}

async function remainsOf(admin: Admin, grantId: string, oids: readonly string[]): Promise<Remains> {
  const owner = ownerOf(grantId);
  const named = async (what: string, text: string): Promise<string[]> =>
    (await admin.run(what, text, [owner])).map((row) => row.name ?? "");
  const [open] = await admin.run(
    "count the grant's sessions",
    `select count(*) as sessions from pg_stat_activity
     where usename = $1 or starts_with(usename::text, $2) or usesysid = any($3::oid[])`,
    [owner, leasePrefixOf(grantId), oids],
  );
  return {
    roles: (await rolesOf(admin, grantId)).map((role) => role.name),
    sessions: Number(open?.sessions),
    schemas: await named(
      "look for the grant's schema",
      "select nspname as name from pg_namespace where nspname = $1",
    ),
    databases: await named(
      "look for the grant's database",
      "select datname as name from pg_database where datname = $1",
    ),
  };
}
