/** One server for a test file, with what a team would have on it: an admin, groups, a database. */
import { randomBytes } from "node:crypto";
import { grantId } from "@stint/core/id";
import {
  postgres,
  type ServerOptions,
  type TestServer,
  type Version,
} from "../../../test/postgres/server.ts";
import {
  type Access,
  type Connect,
  network,
  type PostgresCredentials,
  type PostgresPlace,
  type PostgresTarget,
  postgresTarget,
} from "../src/postgres.ts";

export const ADMIN = "boss";
export const SECRET = "the-admins-own-secret";
/** Later than any test. */
export const LATER = 4_102_444_800_000;

export interface World extends AsyncDisposable {
  readonly version: Version;
  readonly server: TestServer;
  readonly target: PostgresTarget;
  /** The database `shop`, the group `app`, nothing of its own, unless said otherwise. */
  at(over?: Partial<PostgresPlace>): Access;
  /** A further lease of a grant; a new grant without one. */
  mint(access?: Access, id?: string, until?: number): Promise<Leased>;
  /** Statements as the superuser, in `shop`. */
  sql(...statements: string[]): ReturnType<TestServer["as"]>;
  /** Statements with a lease's credentials. */
  by(lease: Leased, ...statements: string[]): ReturnType<TestServer["as"]>;
}

export interface Leased extends PostgresCredentials {
  readonly id: string;
}

let grants = 0;
export const newGrant = (): string => grantId("test", String(grants++));
let suffixes = 0;
export const newSuffix = (): string => `l${suffixes++}`;

export const targetOver = (connect: Connect): PostgresTarget =>
  postgresTarget({ connect, random: randomBytes });

/** How the group is given to the admin, who is no superuser: since 16 that must be said. */
export const grantTo = (version: Version, group: string, admin = ADMIN): string =>
  version >= 16
    ? `GRANT "${group}" TO ${admin} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE`
    : "SELECT 1";

export async function world(
  version: Version,
  options: Partial<ServerOptions> = {},
): Promise<World> {
  const server = await postgres({ version, ...options });
  await server.as(
    {},
    `CREATE ROLE ${ADMIN} LOGIN CREATEROLE CREATEDB PASSWORD '${SECRET}'`,
    "CREATE ROLE app NOLOGIN",
    grantTo(version, "app"),
    "CREATE DATABASE shop",
    "CREATE DATABASE depot",
    "CREATE DATABASE mould IS_TEMPLATE true",
    `GRANT CREATE ON DATABASE shop TO ${ADMIN}`,
    "REVOKE ALL ON DATABASE shop, depot FROM PUBLIC",
    "GRANT CONNECT, TEMPORARY ON DATABASE shop, depot TO app",
    `GRANT CONNECT ON DATABASE shop, depot TO ${ADMIN}`,
  );
  for (const database of ["shop", "depot", "mould"])
    await server.as(
      { database },
      "CREATE TABLE orders (id int)",
      "INSERT INTO orders VALUES (1)",
      "GRANT SELECT, INSERT ON orders TO app",
      "GRANT CREATE ON SCHEMA public TO app",
    );
  const target = targetOver(network());
  const at: World["at"] = (over = {}) => ({
    place: {
      host: server.host,
      port: server.port,
      database: "shop",
      user: ADMIN,
      tls: { kind: "off" },
      groups: ["app"],
      connectionLimit: 3,
      own: { kind: "nothing" },
      leavings: { kind: "drop" },
      ...over,
    },
    adminPassword: SECRET,
  });
  return {
    version,
    server,
    target,
    at,
    async mint(access = at(), id = newGrant(), until = LATER) {
      const minted = await target.mint({ ...access, grantId: id, suffix: newSuffix(), until });
      return { ...minted.credentials, id };
    },
    sql: (...statements) => server.as({ database: "shop" }, ...statements),
    by: ({ user, password, database }, ...statements) =>
      server.as({ user, password, database }, ...statements),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
