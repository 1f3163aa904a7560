import { DatabaseError } from "pg";

/** Everything for which Postgres, or the way to it, turns Stint away. */
export type PostgresFault =
  /** No answer, an answer cut short, or a server that takes nobody now. */
  | "unreachable"
  /** Somebody else holds what is needed. */
  | "busy"
  /** An error that is none of the others. */
  | "failed"
  /** The certificate is not good for the host, or the server has no TLS. */
  | "tls_refused"
  /** The admin's name or secret is wrong. */
  | "admin_refused"
  | "admin_lacks_rights"
  | "server_too_old"
  /** The database does not exist (any more), and the server says so itself. */
  | "database_gone"
  | "group_missing"
  /** No group may connect to the database, so no lease could. */
  | "group_lacks_connect"
  | "template_unusable"
  /** A dismantling of this grant has begun: nothing more is minted for it. */
  | "grant_ending";

/** Whether the same call may succeed later with nothing changed in the configuration. */
const PASSES = {
  unreachable: true,
  busy: true,
  failed: true,
  tls_refused: false,
  admin_refused: false,
  admin_lacks_rights: false,
  server_too_old: false,
  database_gone: false,
  group_missing: false,
  group_lacks_connect: false,
  template_unusable: false,
  grant_ending: false,
} as const satisfies Record<PostgresFault, boolean>;

/** Its message is one clear sentence and never holds a secret. */
export class PostgresError extends Error {
  readonly fault: PostgresFault;
  /** What an operator can do about it. */
  readonly hint: string | undefined;
  /** True for what a retry may cure; the rest needs a person. */
  readonly retryable: boolean;

  constructor(fault: PostgresFault, message: string, hint?: string) {
    super(message);
    this.name = "PostgresError";
    this.fault = fault;
    this.hint = hint;
    this.retryable = PASSES[fault];
  }
}

/** Node's and OpenSSL's codes for certificates and handshakes. */
const TLS_CODES =
  /^(ERR_TLS|ERR_SSL|CERT_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|HOSTNAME_MISMATCH|INVALID_CA|EPROTO)/;
const NO_TLS = /does not support SSL connections/;

const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";

/** The server's or the network's own words. None of them repeats a password: no statement of ours holds one. */
const wordsOf = (error: unknown): string =>
  error instanceof Error && error.message !== "" ? error.message : codeOf(error) || "no reason";

export interface Attempt {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
}

/** Why a login of the admin failed. */
export function loginError(error: unknown, { host, port, database, user }: Attempt): PostgresError {
  const words = wordsOf(error);
  const server = `Postgres at ${host}:${port}`;
  if (error instanceof DatabaseError) {
    switch (error.code) {
      case "3D000":
        return new PostgresError(
          "database_gone",
          `${server} has no database "${database}".`,
          "Create it, or correct the target's database.",
        );
      case "28P01":
      case "28000":
        return new PostgresError(
          "admin_refused",
          `${server} refuses the login of "${user}": ${words}.`,
          "Check the admin's name, the secret that Stint reads, and the server's pg_hba.conf.",
        );
      case "42501":
        return new PostgresError(
          "admin_lacks_rights",
          `"${user}" may not connect to the database "${database}": ${words}.`,
          `GRANT CONNECT ON DATABASE to "${user}".`,
        );
      default:
        return new PostgresError("unreachable", `${server} takes no login now: ${words}.`);
    }
  }
  if (TLS_CODES.test(codeOf(error)) || NO_TLS.test(words))
    return new PostgresError(
      "tls_refused",
      `${server} cannot be trusted: ${words}.`,
      "Give the target the authority that signed the server's certificate, and a host that it names.",
    );
  if (words.startsWith("SASL"))
    return new PostgresError(
      "admin_refused",
      `The login of "${user}" to ${server} failed: ${words}.`,
    );
  return new PostgresError("unreachable", `${server} cannot be reached: ${words}.`);
}

/** SQLSTATEs, or their first two letters, of what a retry may cure. */
const BUSY = new Set(["55P03", "57014", "40P01", "40001", "55006"]);
const AWAY = /^(08|53|57P)/;

/** Why a statement failed; `step` completes "could not …". */
export function statementError(error: unknown, step: string, user: string): PostgresError {
  if (error instanceof PostgresError) return error;
  const words = wordsOf(error);
  if (!(error instanceof DatabaseError))
    return new PostgresError(
      "unreachable",
      `The connection was lost, could not ${step}: ${words}.`,
    );
  const code = error.code ?? "";
  if (code === "42501")
    return new PostgresError(
      "admin_lacks_rights",
      `"${user}" may not ${step}: ${words}.`,
      "stint doctor says which rights are missing.",
    );
  if (code === "25006")
    return new PostgresError("unreachable", `The server is read-only, could not ${step}.`);
  if (BUSY.has(code) || /tuple concurrently/.test(words))
    return new PostgresError("busy", `Could not ${step} yet: ${words}.`);
  if (AWAY.test(code)) return new PostgresError("unreachable", `Could not ${step}: ${words}.`);
  // Which objects are in the way is in the detail.
  const detail = code === "2BP01" && error.detail !== undefined ? ` (${error.detail})` : "";
  return new PostgresError("failed", `Could not ${step}: ${words}${detail} [${code}].`);
}

export const sqlState = (error: unknown): string =>
  error instanceof DatabaseError ? (error.code ?? "") : "";
