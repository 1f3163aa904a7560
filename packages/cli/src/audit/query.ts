/** `stint audit query`: the audit log's objects, asked by DuckDB on this machine. */
import { mkdir, mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FACTS } from "@stint/core/audit";
import { AUDIT_COLUMNS, OUTCOMES, SQL_TYPES } from "@stint/core/audit-columns";
import { type AuditBucket, auditKeys, download, type TimeRange } from "./objects.ts";
import { type Answer, AuditQueryError, askSandboxed, sqlText } from "./sandbox.ts";

export { type Answer, AuditQueryError } from "./sandbox.ts";

/** Exact values; several narrow together. */
export interface AuditFilters {
  readonly grant?: string;
  readonly profile?: string;
  /** Whose grant it is. */
  readonly principal?: string;
  /** Who did it. */
  readonly actor?: string;
  readonly fact?: string;
  readonly job?: string;
  readonly run?: string;
  readonly outcome?: string;
}

const COLUMN_OF = {
  grant: "grant_id",
  profile: "profile",
  principal: "principal_id",
  actor: "actor_id",
  fact: "fact",
  job: "job",
  run: "run",
  outcome: "outcome",
} as const satisfies Record<keyof AuditFilters, string>;

export interface AuditQuery extends AuditBucket, TimeRange {
  readonly filters?: AuditFilters;
  /** One SELECT over the table `audit`, which holds what range and filters leave. */
  readonly sql?: string;
  /** Values of the `?` in `sql`. */
  readonly values?: readonly string[];
  /** Default 100. */
  readonly limit?: number;
  /** Stops the query; by default after a minute. */
  readonly signal?: AbortSignal;
  /** Where DuckDB comes from; the optional package by default. */
  readonly duckdb?: () => Promise<typeof import("@duckdb/node-api")>;
}

/**
 * Asks the audit log. Without `sql` the answer is the newest `limit` records that range and filters leave, oldest
 * first; with it, the first `limit` rows of its result. Each event is there once. Times are ISO 8601, whole numbers
 * beyond what a number holds are strings. What the asker can do something about throws an AuditQueryError.
 *
 * @example
 * const { columns, rows } = await queryAudit({ s3, bucket: "stint-audit", filters: { run: "2202229078" } });
 */
export async function queryAudit(query: AuditQuery): Promise<Answer> {
  const { filters = {}, limit = 100, signal = AbortSignal.timeout(60_000) } = query;
  if (!Number.isSafeInteger(limit) || limit < 1) {
    throw new AuditQueryError("The limit has to be a whole number above zero.");
  }
  if (query.sql === undefined && query.values !== undefined) {
    throw new AuditQueryError("Values are for the SQL, and there is none.");
  }
  const conditions = conditionsOf(filters, query);
  const duckdb = await load(query.duckdb ?? (() => import("@duckdb/node-api")));

  // The real path, because DuckDB compares paths as they resolve and the system's may be a link.
  const directory = await realpath(await mkdtemp(join(tmpdir(), "stint-audit-")));
  try {
    const spill = join(directory, "spill");
    await mkdir(spill);
    const files = await download(query, await auditKeys(query, query, signal), directory, signal);
    const view = { name: "audit", sql: viewSql(files, conditions) };
    const ask = (sql: string, values: readonly string[]) =>
      askSandboxed(duckdb, { files, spill, view }, { sql, values, limit }, signal);
    if (query.sql !== undefined) return await ask(query.sql, query.values ?? []);
    // The limit is one of the newest; what is read is a story, so oldest first.
    const newest = await ask(
      `SELECT * FROM audit ORDER BY time DESC, sequence DESC, event_id DESC LIMIT ${limit + 1}`,
      [],
    );
    return { ...newest, rows: newest.rows.toReversed() };
  } catch (error) {
    if (signal.aborted) throw new AuditQueryError("The query was stopped before its end.", error);
    throw error;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function load(duckdb: NonNullable<AuditQuery["duckdb"]>) {
  try {
    return await duckdb();
  } catch (error) {
    throw new AuditQueryError(
      "Audit queries need DuckDB, which is not installed with Stint: npm install @duckdb/node-api",
      error,
    );
  }
}

function conditionsOf(filters: AuditFilters, { since, until }: TimeRange): string[] {
  oneOf("fact", filters.fact, FACTS);
  oneOf("outcome", filters.outcome, OUTCOMES);
  const conditions: string[] = [];
  for (const [filter, column] of Object.entries(COLUMN_OF)) {
    // Object.entries widens the keys of a closed object.
    const value = filters[filter as keyof AuditFilters];
    if (value !== undefined) conditions.push(`${column} = ${sqlText(value)}`);
  }
  if (since !== undefined) conditions.push(`time >= ${timestamp(since)}`);
  if (until !== undefined) conditions.push(`time < ${timestamp(until)}`);
  return conditions;
}

/** A filter that can match nothing is a slip of the pen, and an empty answer would hide it. */
function oneOf(name: string, value: string | undefined, allowed: readonly string[]): void {
  if (value === undefined || allowed.includes(value)) return;
  throw new AuditQueryError(`There is no ${name} ${value}, only ${allowed.join(", ")}.`);
}

function timestamp(time: number): string {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) throw new AuditQueryError("A time is out of range.");
  return `TIMESTAMP ${sqlText(date.toISOString())}`;
}

/**
 * The SELECT behind the view: one row for each event, and the columns of today whatever is in the files. Objects that
 * an older writer left have fewer, a newer one's have more, and an empty log has none.
 */
function viewSql(files: readonly string[], conditions: readonly string[]): string {
  const none = AUDIT_COLUMNS.map(
    ({ name, type }) => `NULL::${SQL_TYPES[type].duckdb} AS ${name}`,
  ).join(", ");
  if (files.length === 0) return `SELECT ${none} WHERE false`;
  // Conditions stand below the removal of duplicates, which are equal in them all: so DuckDB skips objects by them.
  const where = conditions.length === 0 ? "" : `WHERE ${conditions.join(" AND ")}`;
  const source = `FROM (SELECT ${none} WHERE false UNION ALL BY NAME FROM read_parquet(
    [${files.map(sqlText).join(", ")}], union_by_name = true, hive_partitioning = false,
    filename = true, file_row_number = true)) ${where}`;
  const names = AUDIT_COLUMNS.map(({ name }) => `kept.${name}`).join(", ");
  // The few repeats are found by two columns and taken out; a window over whole rows would have to hold them all.
  return `SELECT ${names} FROM (SELECT * ${source}) kept ANTI JOIN (
    SELECT filename, file_row_number ${source}
    QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY sequence) > 1
  ) repeats ON kept.filename = repeats.filename AND kept.file_row_number = repeats.file_row_number`;
}
