/**
 * Leases on a PostgreSQL server (15 or newer): a login role for each lease, and its end.
 *
 * The bound: no new login begins after a lease's end by the server's clock (`VALID UNTIL`; one that has begun has the
 * server's `authentication_timeout` to finish). Sessions that are open then live until the grant is dismantled.
 */
import type { Access } from "./postgres/admin.ts";
import type { Connect } from "./postgres/connection.ts";
import {
  type DismantleRequest,
  dismantle,
  prove,
  type Remains,
  strays,
} from "./postgres/dismantle.ts";
import { examine, type Finding } from "./postgres/examine.ts";
import { type MintedRole, type MintRequest, mint } from "./postgres/mint.ts";

export type { PostgresCredentials } from "@stint/core/postgres";
export type { Access } from "./postgres/admin.ts";
export { type Connect, type Login, network, type Session } from "./postgres/connection.ts";
export { type DismantleRequest, isGone, type Remains } from "./postgres/dismantle.ts";
export { PostgresError, type PostgresFault } from "./postgres/error.ts";
export type { Finding, FindingId } from "./postgres/examine.ts";
export type { MintedRole, MintRequest } from "./postgres/mint.ts";
export type { Leavings, Own, PostgresPlace, Tls } from "./postgres/place.ts";

export interface PostgresDeps {
  /** `network()`, or a test's. */
  readonly connect: Connect;
  /** Cryptographically strong: passwords are made of it. */
  readonly random: (bytes: number) => Uint8Array;
}

/**
 * Every call opens sessions of its own and closes them. Each may be repeated after a crash at any point, and calls on
 * the same grant wait for each other.
 *
 * @example
 * const postgres = postgresTarget({ connect: network(), random: randomBytes });
 * const { credentials } = await postgres.mint({ place, adminPassword, grantId, suffix, until });
 * const remains = await postgres.dismantle({ place, adminPassword, grantId });
 * if (!isGone(remains)) throw new Error("try again later");
 */
export interface PostgresTarget {
  /**
   * A login role that lives until `until`. A repeat with the same suffix gives the same role another password.
   * @throws PostgresError
   */
  mint(request: MintRequest): Promise<MintedRole>;
  /**
   * Ends every role of the grant with its sessions, what they own and what is the grant's own, and answers what the
   * catalog still has of it. When the call throws, sessions may already be dead, but nothing is proved.
   * @throws PostgresError `database_gone` only where the server says that it has no such database, nor `postgres`
   */
  dismantle(request: DismantleRequest): Promise<Remains>;
  /** What the catalog has of a grant. Changes nothing. @throws PostgresError */
  prove(request: DismantleRequest): Promise<Remains>;
  /**
   * Grants of which this admin has roles, schemas or databases here, sorted. Whoever calls it must look the grants up
   * after this answer, not before: one that was opened in between would look like a stray. @throws PostgresError
   */
  strays(access: Access): Promise<readonly string[]>;
  /** What is wrong with a place, for `stint doctor`. Never throws a PostgresError: it is among the findings. */
  examine(access: Access): Promise<readonly Finding[]>;
}

export const postgresTarget = ({ connect, random }: PostgresDeps): PostgresTarget => ({
  mint: (request) => mint(connect, random, request),
  dismantle: (request) => dismantle(connect, request),
  prove: (request) => prove(connect, request),
  strays: (access) => strays(connect, access),
  examine: (access) => examine(connect, access),
});
