import { sha256 } from "@stint/core/id";
import type { PostgresCredentials } from "@stint/core/postgres";
import {
  type Access,
  type Admin,
  asAdmin,
  holdGrant,
  inTransaction,
  joinRole,
  literal,
  name,
} from "./admin.ts";
import type { Connect } from "./connection.ts";
import { PostgresError } from "./error.ts";
import { leasePrefixOf, leaseRoleOf, ownerOf, type PostgresPlace } from "./place.ts";
import { scramVerifier } from "./scram.ts";

export interface MintRequest extends Access {
  readonly grantId: string;
  /** Of this lease alone, 1 to 40 of `a-z0-9`: the same again only for a retry of the same mint. */
  readonly suffix: string;
  /** The lease's end, epoch ms. */
  readonly until: number;
}

export interface MintedRole {
  readonly credentials: PostgresCredentials;
  /** What the audit log knows the lease by. */
  readonly role: string;
  /** SHA-256 of the password, hex. */
  readonly hash: string;
}

const PLAIN = "NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT";

export async function mint(
  connect: Connect,
  random: (bytes: number) => Uint8Array,
  request: MintRequest,
): Promise<MintedRole> {
  const { place, grantId, suffix, until } = request;
  const role = leaseRoleOf(grantId, suffix);
  const owner = ownerOf(grantId);
  const password = Buffer.from(random(32)).toString("base64url");
  const verifier = scramVerifier(password, random(16));

  await asAdmin(connect, request, place.database, async (admin) => {
    await holdGrant(admin, grantId);
    await refuseEnding(admin, grantId);
    await inTransaction(admin, () => makeOwner(admin, place, owner));
    if (place.own.kind === "database") await makeDatabase(admin, owner, place.own.template);
    // Last, and in one transaction: who can log in has everything, and nobody can who has too much.
    await inTransaction(admin, () => makeLease(admin, place, owner, { role, verifier, until }));
  });

  return {
    credentials: {
      host: place.host,
      port: place.port,
      database: place.own.kind === "database" ? owner : place.database,
      user: role,
      password,
      ...(place.own.kind === "schema" ? { schema: owner } : {}),
      ...(place.tls.kind === "verify" && place.tls.ca !== undefined ? { ca: place.tls.ca } : {}),
      expiration: until,
    },
    role,
    hash: sha256(password),
  };
}

/** A dismantling that crashed has left roles that cannot log in: a slow mint must not bring them back to life. */
async function refuseEnding(admin: Admin, grantId: string): Promise<void> {
  const barred = await admin.run(
    "look for the grant's roles",
    "select rolname from pg_roles where starts_with(rolname::text, $1) and not rolcanlogin",
    [leasePrefixOf(grantId)],
  );
  if (barred.length > 0)
    throw new PostgresError("grant_ending", `The roles of ${grantId} are being removed.`);
}

const exists = async (admin: Admin, role: string): Promise<boolean> =>
  (await admin.run("look for a role", "select from pg_roles where rolname = $1", [role])).length >
  0;

/** The role that all leases of the grant act as; it has what they may, and outlives each of them. */
export async function makeOwner(admin: Admin, place: PostgresPlace, owner: string): Promise<void> {
  if (!(await exists(admin, owner)))
    await admin.run("create roles", `CREATE ROLE ${name(owner)} NOLOGIN ${PLAIN}`);
  await joinRole(admin, owner);
  await joinGroups(admin, place, owner);
  if (place.own.kind === "schema")
    await admin.run(
      `create schemas in "${admin.database}"`,
      `CREATE SCHEMA IF NOT EXISTS ${name(owner)} AUTHORIZATION ${name(owner)}`,
    );
  if (place.own.kind !== "database") await checkConnect(admin, owner);
}

async function joinGroups(admin: Admin, { groups }: PostgresPlace, owner: string): Promise<void> {
  const found = await admin.run(
    "look for the group roles",
    "select rolname from pg_roles where rolname = any($1::text[])",
    [groups],
  );
  const there = new Set(found.map((row) => row.rolname));
  const missing = groups.filter((group) => !there.has(group));
  if (missing.length > 0)
    throw new PostgresError(
      "group_missing",
      `The server has no role ${missing.map((group) => `"${group}"`).join(", ")}.`,
      "Create it, or correct the target's groups.",
    );
  // Without SET nobody can act as the group and leave things that it owns. In one order: two mints cannot deadlock.
  const how = admin.setIsAnOption ? " WITH INHERIT TRUE, SET FALSE" : "";
  for (const group of [...groups].sort())
    await admin.run(
      `put roles into the group "${group}"`,
      `GRANT ${name(group)} TO ${name(owner)}${how}`,
    );
}

async function checkConnect(admin: Admin, owner: string): Promise<void> {
  const [may] = await admin.run(
    "ask who may connect",
    "select has_database_privilege($1, current_database(), 'CONNECT') as may",
    [owner],
  );
  if (may?.may !== "t")
    throw new PostgresError(
      "group_lacks_connect",
      `No group of the target may connect to the database "${admin.database}".`,
      "GRANT CONNECT ON DATABASE to one of the groups.",
    );
}

const TEMPLATE_HINT =
  "A template must exist, be marked IS_TEMPLATE (or be owned by the admin), and have nobody connected to it.";

/** Each statement by itself, since CREATE DATABASE stands in no transaction; a repeat goes on where a crash left off. */
async function makeDatabase(admin: Admin, owner: string, template: string): Promise<void> {
  const unusable = { fault: "template_unusable", hint: TEMPLATE_HINT } as const;
  const found = await admin.run(
    "look for the grant's database",
    "select from pg_database where datname = $1",
    [owner],
  );
  if (found.length === 0) {
    await checkTemplate(admin, template);
    // Closed until PUBLIC has no right to it any more.
    await admin.run(
      `create a database from the template "${template}"`,
      `CREATE DATABASE ${name(owner)} OWNER ${name(owner)} TEMPLATE ${name(template)} ALLOW_CONNECTIONS false`,
      undefined,
      { "3D000": unusable, "55006": unusable, "22023": unusable },
    );
  }
  await admin.run("take PUBLIC's rights", `REVOKE ALL ON DATABASE ${name(owner)} FROM PUBLIC`);
  await admin.run("open the database", `ALTER DATABASE ${name(owner)} ALLOW_CONNECTIONS true`);
}

/** The server's own refusal would be the same 42501 as for an admin that may create no database at all. */
async function checkTemplate(admin: Admin, template: string): Promise<void> {
  const [found] = await admin.run(
    "look for the template",
    `select datistemplate or pg_has_role(datdba, 'USAGE') as usable from pg_database where datname = $1`,
    [template],
  );
  if (found?.usable === "t") return;
  const why =
    found === undefined
      ? "does not exist"
      : `is neither marked as a template nor owned by the admin`;
  throw new PostgresError(
    "template_unusable",
    `The template database "${template}" ${why}.`,
    TEMPLATE_HINT,
  );
}

interface LeaseRole {
  readonly role: string;
  readonly verifier: string;
  readonly until: number;
}

export async function makeLease(
  admin: Admin,
  place: PostgresPlace,
  owner: string,
  { role, verifier, until }: LeaseRole,
): Promise<void> {
  const login =
    `LOGIN PASSWORD ${literal(verifier)} VALID UNTIL ${literal(new Date(until).toISOString())}` +
    ` CONNECTION LIMIT ${Math.trunc(place.connectionLimit)}`;
  if (await exists(admin, role))
    await admin.run("renew a lease's role", `ALTER ROLE ${name(role)} ${login}`);
  else await admin.run("create roles", `CREATE ROLE ${name(role)} ${login} ${PLAIN}`);
  await joinRole(admin, role);
  await admin.run(
    "let the lease act as its grant's role",
    `GRANT ${name(owner)} TO ${name(role)}${admin.setIsAnOption ? " WITH INHERIT TRUE, SET TRUE" : ""}`,
  );
  // From its first statement on the session is the owner, so that a refreshed lease owns what the last one made.
  await admin.run("set up the lease", `ALTER ROLE ${name(role)} SET role TO ${literal(owner)}`);
  if (place.own.kind === "schema")
    await admin.run(
      "set up the lease",
      `ALTER ROLE ${name(role)} SET search_path TO ${name(owner)}`,
    );
}
