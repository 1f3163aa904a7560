import { escapeIdentifier, escapeLiteral } from "pg";
import type { Connect, Row, Session } from "./connection.ts";
import {
  loginError,
  PostgresError,
  type PostgresFault,
  sqlState,
  statementError,
} from "./error.ts";
import type { PostgresPlace } from "./place.ts";

export const name = escapeIdentifier;
export const literal = escapeLiteral;
export const names = (of: readonly string[]): string => of.map(name).join(", ");

/** What the admin asks the server, one step at a time. Every error is a PostgresError that names the step. */
export interface Admin {
  readonly database: string;
  readonly superuser: boolean;
  /** Since 16 CREATEROLE reaches only what it made, and memberships say whether SET is in them. */
  readonly setIsAnOption: boolean;
  /** `step` completes "may not …". `as` turns a SQLSTATE into a fault of its own. */
  run(step: string, text: string, values?: readonly unknown[], as?: As): Promise<readonly Row[]>;
}

export type As = Readonly<Record<string, { readonly fault: PostgresFault; readonly hint: string }>>;

export interface Access {
  readonly place: PostgresPlace;
  /** Of `place.user`: a password, or a token of RDS. */
  readonly adminPassword: string;
}

export const OLDEST = 15;

/** One session of the admin for `work`, closed whatever happens; its locks go with it. */
export async function asAdmin<T>(
  connect: Connect,
  { place, adminPassword }: Access,
  database: string,
  work: (admin: Admin) => Promise<T>,
): Promise<T> {
  const { host, port, user, tls } = place;
  let session: Session;
  try {
    session = await connect({ host, port, database, user, password: adminPassword, tls });
  } catch (error) {
    throw loginError(error, { host, port, database, user });
  }
  try {
    const run: Admin["run"] = async (step, text, values, as = {}) => {
      try {
        return await session.query(text, values);
      } catch (error) {
        const special = as[sqlState(error)];
        const told = statementError(error, step, user);
        throw special === undefined
          ? told
          : new PostgresError(special.fault, told.message, special.hint);
      }
    };
    const [facts] = await run(
      "ask for the server's version",
      `select current_setting('server_version_num') as version,
              (select rolsuper from pg_roles where rolname = current_user) as superuser`,
    );
    const major = Math.floor(Number(facts?.version) / 10_000);
    if (!(major >= OLDEST))
      throw new PostgresError(
        "server_too_old",
        `The server is PostgreSQL ${major}; Stint needs ${OLDEST} or newer.`,
      );
    return await work({
      database,
      superuser: facts?.superuser === "t",
      setIsAnOption: major >= 16,
      run,
    });
  } finally {
    await session.close();
  }
}

/**
 * Mints and dismantlings of one grant wait for each other, for as long as the session lives. False where somebody
 * keeps it to himself: every role of the database can take such a lock, leases too. So it only spares collisions, which
 * fail and are repeated; nothing may depend on it. Kept per database, and all of these begin in the same one.
 */
export async function holdGrant(admin: Admin, grantId: string): Promise<boolean> {
  try {
    await admin.run(
      "wait for others that work on this grant",
      "select pg_advisory_lock(hashtextextended($1, 0))",
      [`stint:${grantId}`],
    );
    return true;
  } catch (error) {
    if (error instanceof PostgresError && error.fault === "busy") return false;
    throw error;
  }
}

/**
 * Makes the admin a member of a role of ours. CREATEROLE alone neither ends a role's sessions nor drops what it owns;
 * and the row in pg_auth_members is what tells our roles from those of another deployment.
 */
export const joinRole = (admin: Admin, role: string) =>
  admin.run(
    `take the rights of "${role}"`,
    `GRANT ${name(role)} TO CURRENT_USER${admin.setIsAnOption ? " WITH INHERIT TRUE, SET TRUE" : ""}`,
  );

export async function inTransaction<T>(admin: Admin, work: () => Promise<T>): Promise<T> {
  await admin.run("begin", "BEGIN");
  try {
    const result = await work();
    await admin.run("commit", "COMMIT");
    return result;
  } catch (error) {
    // Whether this reaches the server or not: an open transaction ends with its session.
    await admin.run("roll back", "ROLLBACK").catch(() => undefined);
    throw error;
  }
}
