import { Client, type ClientConfig } from "pg";
import type { Tls } from "./place.ts";

/** Every value as the server writes it. */
export type Row = Readonly<Record<string, string | null>>;

/** One session. Its errors are `pg`'s own. */
export interface Session {
  query(text: string, values?: readonly unknown[]): Promise<readonly Row[]>;
  close(): Promise<void>;
}

export interface Login {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password: string;
  readonly tls: Tls;
}

export type Connect = (login: Login) => Promise<Session>;

export interface Waits {
  readonly connectMs: number;
  readonly statementMs: number;
  /** How long a statement waits for a lock that somebody else holds. */
  readonly lockMs: number;
}

const WAITS: Waits = { connectMs: 5_000, statementMs: 20_000, lockMs: 5_000 };

/**
 * What stands in the startup message wins over what the owner of a database has set for it. Without this, a lease
 * that owns its database could set a search_path there whose operators run its code as the admin.
 */
const OPTIONS = [
  "search_path=pg_catalog,pg_temp",
  "role=none",
  "default_transaction_read_only=off",
  "default_transaction_isolation=read\\ committed",
  "client_min_messages=warning",
  // Where a server is set to lose its last commits in a crash, a login that was proved gone would come back with it.
  "synchronous_commit=on",
]
  .map((setting) => `-c ${setting}`)
  .join(" ");

function sslOf({ tls }: Login): ClientConfig["ssl"] {
  if (tls.kind === "off") return false;
  return {
    rejectUnauthorized: true,
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
  };
}

/** Sessions over the network. Everything is said here, so that nothing comes from PGHOST and its like. */
export const network =
  (waits: Waits = WAITS): Connect =>
  async (login) => {
    const client = new Client({
      host: login.host,
      port: login.port,
      database: login.database,
      user: login.user,
      password: login.password,
      ssl: sslOf(login),
      options: OPTIONS,
      application_name: "stint",
      connectionTimeoutMillis: waits.connectMs,
      statement_timeout: waits.statementMs,
      lock_timeout: waits.lockMs,
      // The server's own limit should strike first: its error says more.
      query_timeout: waits.statementMs + waits.connectMs,
      keepAlive: true,
      types: { getTypeParser: () => (value: string) => value },
    });
    // A connection that breaks between two statements is told by the next one.
    client.on("error", () => undefined);
    try {
      await client.connect();
    } catch (error) {
      await client.end().catch(() => undefined);
      throw error;
    }
    return {
      async query(text, values) {
        const { rows } = await client.query<Record<string, string | null>>(
          text,
          values === undefined ? undefined : [...values],
        );
        return rows;
      },
      close: () => client.end().catch(() => undefined),
    };
  };
