import { auditFault, noBucket } from "../audit/fault.ts";
import { awsSettings } from "../aws.ts";
import { usage } from "../failure.ts";
import { type FormatOptions, formatOf, printJson, table } from "../format.ts";
import type { Io } from "../io.ts";
import { type Progress, progress } from "../obtain.ts";
import { formatted, type Register } from "./context.ts";
import { countOf } from "./grants.ts";

interface QueryFlags extends FormatOptions {
  readonly bucket?: string;
  readonly prefix?: string;
  readonly grant?: string;
  readonly profile?: string;
  readonly principal?: string;
  readonly actor?: string;
  readonly fact?: string;
  readonly job?: string;
  readonly run?: string;
  readonly outcome?: string;
  readonly since?: string;
  readonly until?: string;
  readonly limit: string;
  readonly sql?: string;
}

const FILTERS = [
  "grant",
  "profile",
  "principal",
  "actor",
  "fact",
  "job",
  "run",
  "outcome",
] as const;

export const registerAudit: Register = (program, { io, json }) => {
  const audit = program.command("audit").description("ask the audit log");
  formatted(
    audit
      .command("query")
      .description("who did what, when, why, by which rule")
      .option("--bucket <bucket>", "where the log is (STINT_AUDIT_BUCKET)")
      .option("--prefix <prefix>", "where in the bucket")
      .option("--grant <id>")
      .option("--profile <profile>")
      .option("--principal <id>", "whose grant it is")
      .option("--actor <id>", "who did it")
      .option("--fact <fact>", "such as grant.opened, grant.refused, job.ended")
      .option("--job <job>")
      .option("--run <run>")
      .option("--outcome <outcome>", "allowed, refused or change")
      .option("--since <time>", "from then on: 2026-01-31, 2026-01-31T12:00:00Z, or 2h ago as 2h")
      .option("--until <time>", "before then")
      .option("--limit <number>", "at most so many rows", "100")
      .option("--sql <select>", "one SELECT over the table audit"),
    "table or json",
  ).action((options: QueryFlags) => query(io, progress(io, json), options));
};

async function query(io: Io, say: Progress, options: QueryFlags): Promise<void> {
  const format = formatOf(io, options, ["table", "json"]);
  const bucket = options.bucket ?? io.env.STINT_AUDIT_BUCKET;
  if (!bucket) throw noBucket();
  const limit = countOf("--limit", options.limit);
  const since = await timeOf(io, "--since", options.since);
  const until = await timeOf(io, "--until", options.until);
  const filters = Object.fromEntries(
    FILTERS.flatMap((name) => (options[name] === undefined ? [] : [[name, options[name]]])),
  );
  // Loaded late: an SDK client and a database are not what `stint exec` should wait for.
  const { S3Client } = await import("@aws-sdk/client-s3");
  const { AuditQueryError, queryAudit } = await import("../audit/query.ts");
  const settings = awsSettings(io, "S3");
  const { endpoint } = settings;
  // An emulator has no host of its own for each bucket.
  const s3 = new S3Client({ ...settings, ...(endpoint ? { forcePathStyle: true } : {}) });
  try {
    const answer = await queryAudit({
      s3,
      bucket,
      limit,
      filters,
      ...(options.prefix === undefined ? {} : { prefix: options.prefix }),
      ...(since === undefined ? {} : { since }),
      ...(until === undefined ? {} : { until }),
      ...(options.sql === undefined ? {} : { sql: options.sql }),
    });
    const { columns, rows, truncated } = answer;
    if (format === "json") printJson(io, { columns, rows, truncated });
    else io.stdout.write(table(io, io.stdout, ...shownOf(columns, rows, options.sql)));
    if (truncated) say.info(`there are more than these ${limit} rows; --limit shows more`);
  } catch (error) {
    if (error instanceof AuditQueryError) throw usage(error.message);
    throw auditFault(error, bucket, endpoint);
  } finally {
    s3.destroy();
  }
}

/** Of thirty columns these are what fits a screen; JSON has all, and SQL what it selects. */
const SHOWN = ["time", "fact", "outcome", "actor_id", "profile", "grant_id", "rule", "why", "code"];

function shownOf(
  columns: readonly string[],
  rows: ReadonlyArray<readonly unknown[]>,
  sql: string | undefined,
): [readonly string[], ReadonlyArray<readonly unknown[]>] {
  if (sql !== undefined) return [columns, rows];
  const places = SHOWN.map((name) => columns.indexOf(name)).filter((place) => place !== -1);
  const pick = <T>(cells: readonly T[]) => places.map((place) => cells[place]);
  return [pick(columns).map(String), rows.map(pick)];
}

/** Epoch ms of a date, a time with its zone, or a duration ago. */
async function timeOf(io: Io, flag: string, text: string | undefined): Promise<number | undefined> {
  if (text === undefined) return undefined;
  const { durationSeconds } = await import("@stint/core/time");
  const ago = durationSeconds(text);
  if (ago !== undefined) return io.now() - ago * 1000;
  // Without a zone it would be another time on each machine.
  const iso = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?(Z|[+-]\d{2}:\d{2}))?$/;
  const time = iso.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(time)) return time;
  throw usage(
    `${flag} is ${text}, which is no time`,
    "write 2026-01-31, 2026-01-31T12:00:00Z, or a duration ago such as 2h",
  );
}
