/**
 * DuckDB that may read the given files and nothing else: no other file, no network, no extension, no setting, no
 * writing. Three walls, because each has had gaps: the statement's syntax tree, DuckDB's own check of what it
 * extracted, and its configuration.
 */
import type { DuckDBConnection, DuckDBValue, DuckDBValueConverter, Json } from "@duckdb/node-api";

type DuckDB = typeof import("@duckdb/node-api");

/** Something that the asker can do something about: its message is for people. */
export class AuditQueryError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "AuditQueryError";
  }
}

interface Sandbox {
  /** Absolute paths that may be read. */
  readonly files: readonly string[];
  /** Where DuckDB may put what does not fit into memory. */
  readonly spill: string;
  /** The one table that questions are asked of, and the SELECT behind its view. */
  readonly view: { readonly name: string; readonly sql: string };
}

interface Question {
  readonly sql: string;
  /** Values of its `?`. */
  readonly values: readonly string[];
  readonly limit: number;
}

export interface Answer {
  readonly columns: string[];
  readonly rows: unknown[][];
  /** There are more rows than the limit. */
  readonly truncated: boolean;
}

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/** A text as an SQL literal. DuckDB knows no escape in it but the doubled quote. */
export function sqlText(text: string): string {
  // The statement would be cut off there.
  if (text.includes("\0")) throw new AuditQueryError("A value holds a NUL character.");
  return literal(text);
}

/** A database that is shut already; the view is made behind closed doors and sees no more than what is asked of it. */
export async function openSandbox(duckdb: DuckDB, { files, spill, view }: Sandbox) {
  const instance = await duckdb.DuckDBInstance.create(":memory:", {
    autoinstall_known_extensions: "false",
    autoload_known_extensions: "false",
    allow_community_extensions: "false",
    allow_persistent_secrets: "false",
    memory_limit: "1GB",
    temp_directory: spill,
    max_temp_directory_size: "4GB",
  });
  const connection = await instance.connect();
  const close = () => {
    connection.closeSync();
    instance.closeSync();
  };
  try {
    await connection.run("SET TimeZone = 'UTC'");
    await connection.run(`SET allowed_paths = [${files.map(sqlText).join(", ")}]`);
    await connection.run("SET enable_external_access = false");
    await connection.run("SET lock_configuration = true");
    await connection.run(`CREATE VIEW ${view.name} AS ${view.sql}`);
  } catch (error) {
    close();
    throw error;
  }
  return { connection, close };
}

/** Asks one SELECT. A fault of DuckDB's, such as a syntax error, is an AuditQueryError with its message. */
export async function askSandboxed(
  duckdb: DuckDB,
  sandbox: Sandbox,
  question: Question,
  signal: AbortSignal,
): Promise<Answer> {
  signal.throwIfAborted();
  let interrupting: NodeJS.Timeout | undefined;
  let interrupt = () => {};
  let close = () => {};
  try {
    const opened = await openSandbox(duckdb, sandbox);
    close = opened.close;
    // Again and again: an interrupt before DuckDB's thread has begun to work is forgotten.
    interrupt = () => {
      interrupting = setInterval(() => opened.connection.interrupt(), 20);
    };
    signal.addEventListener("abort", interrupt, { once: true });
    return await ask(duckdb, opened.connection, sandbox.view.name, question, signal);
  } catch (error) {
    if (error instanceof AuditQueryError) throw error;
    const message = error instanceof Error ? error.message : String(error);
    throw new AuditQueryError(`DuckDB: ${message}`, error);
  } finally {
    signal.removeEventListener("abort", interrupt);
    clearInterval(interrupting);
    close();
  }
}

async function ask(
  duckdb: DuckDB,
  connection: DuckDBConnection,
  view: string,
  { sql, values, limit }: Question,
  signal: AbortSignal,
): Promise<Answer> {
  await admit(connection, sql, view);
  signal.throwIfAborted();
  const extracted = await connection.extractStatements(sql);
  if (extracted.count !== 1) throw notOneSelect();
  const prepared = await extracted.prepare(0);
  try {
    if (prepared.statementType !== duckdb.StatementType.SELECT) throw notOneSelect();
    if (prepared.parameterCount !== values.length) {
      throw new AuditQueryError(
        `The SQL takes ${prepared.parameterCount} values, but ${values.length} are given.`,
      );
    }
    if (values.length > 0) prepared.bind([...values]);
    signal.throwIfAborted();
    const reader = await prepared.streamAndReadUntil(limit + 1);
    const rows = reader.convertRows(converter(duckdb));
    return {
      columns: reader.columnNames(),
      rows: rows.slice(0, limit),
      truncated: rows.length > limit,
    };
  } finally {
    prepared.destroySync();
  }
}

const notOneSelect = () => new AuditQueryError("The SQL has to be exactly one SELECT.");

/** Table functions that make rows from their arguments alone. Others read files, change settings or write logs. */
const HARMLESS = new Set(["range", "generate_series", "unnest", "json_each", "json_tree"]);

/**
 * Admits a SELECT from the view, its own CTEs and harmless table functions. By the syntax tree, because DuckDB's
 * settings do not cover everything that a SELECT can do: a table function can switch on logging into a file. And
 * before anything else looks at the text: extracting a PRAGMA or an IMPORT runs part of it.
 */
async function admit(connection: DuckDBConnection, sql: string, view: string): Promise<void> {
  sqlText(sql);
  const reader = await connection.runAndReadAll("SELECT json_serialize_sql(?::VARCHAR)", [sql]);
  const tree: unknown = JSON.parse(String(reader.value(0, 0)));
  const { error, error_type, error_message, statements } = fields(tree);
  if (error !== false) {
    if (error_type === "parser") throw new AuditQueryError(`The SQL: ${String(error_message)}`);
    throw notOneSelect();
  }
  if (!Array.isArray(statements) || statements.length !== 1) throw notOneSelect();
  const nodes = [...walk(statements)];
  const tables = new Set([view, ...nodes.flatMap(ctesOf)].map((name) => name.toLowerCase()));
  for (const node of nodes) {
    if (node.type === "BASE_TABLE" && !tables.has(String(node.table_name).toLowerCase())) {
      throw new AuditQueryError(`There is no table ${String(node.table_name)}, only ${view}.`);
    }
    if (node.type === "TABLE_FUNCTION") {
      const name = String(fields(node.function).function_name);
      if (!HARMLESS.has(name.toLowerCase())) {
        throw new AuditQueryError(`The table function ${name} is not allowed.`);
      }
    }
  }
}

type Fields = Readonly<Record<string, unknown>>;

const fields = (value: unknown): Fields =>
  typeof value === "object" && value !== null ? { ...value } : {};

/** Every object of the tree, wherever it stands, so that no clause is forgotten. */
function* walk(value: unknown): Generator<Fields> {
  const waiting = [value];
  while (waiting.length > 0) {
    const next = waiting.pop();
    if (typeof next !== "object" || next === null) continue;
    if (!Array.isArray(next)) yield fields(next);
    waiting.push(...Object.values(next));
  }
}

/** Names of the CTEs that a node declares. */
function ctesOf(node: Fields): string[] {
  const { map } = fields(node.cte_map);
  return Array.isArray(map) ? map.map((entry) => String(fields(entry).key)) : [];
}

/** Times as ISO 8601, whole numbers as numbers where one holds them; everything else as DuckDB's JSON has it. */
function converter(duckdb: DuckDB): DuckDBValueConverter<Json> {
  const convert: DuckDBValueConverter<Json> = (value, type, self) => {
    if (typeof value === "bigint" && type.typeId !== duckdb.DuckDBTypeId.BIGNUM) {
      return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
    }
    const millis = millisOf(duckdb, value);
    if (millis === undefined) return duckdb.JsonDuckDBValueConverter(value, type, self);
    const time = new Date(Number(millis));
    // Infinity, and years that no Date holds.
    return Number.isNaN(time.getTime()) ? String(value) : time.toISOString();
  };
  return convert;
}

/** Of a value that is a point in time, in any of DuckDB's resolutions. */
function millisOf(duckdb: DuckDB, value: DuckDBValue): bigint | undefined {
  if (value instanceof duckdb.DuckDBTimestampValue) return value.micros / 1000n;
  if (value instanceof duckdb.DuckDBTimestampTZValue) return value.micros / 1000n;
  if (value instanceof duckdb.DuckDBTimestampSecondsValue) return value.seconds * 1000n;
  if (value instanceof duckdb.DuckDBTimestampMillisecondsValue) return value.millis;
  if (value instanceof duckdb.DuckDBTimestampNanosecondsValue) return value.nanos / 1_000_000n;
  return undefined;
}
