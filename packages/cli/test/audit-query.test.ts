import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import * as duckdb from "@duckdb/node-api";
import { createAuditLog } from "@stint/aws/audit/log";
import { toParquet } from "@stint/aws/audit/parquet";
import type { AuditRecord } from "@stint/core/audit";
import { AUDIT_COLUMNS, type AuditRow } from "@stint/core/audit-columns";
import { questionValues, type SavedQuestion, savedQuestions } from "@stint/core/audit-questions";
import { createLocalAws } from "@stint/local/aws";
import { s3 as localS3 } from "@stint/local/services/s3";
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { type AuditQuery, AuditQueryError, queryAudit } from "../src/audit/query.ts";
import { openSandbox } from "../src/audit/sandbox.ts";

const BUCKET = "stint-audit";
const NOON = Date.UTC(2026, 10, 22, 12);
const DAY = 86_400_000;
const MINUTE = 60_000;

const record = (n: number, more: Partial<AuditRecord> = {}): AuditRecord => ({
  id: `event-${n}`,
  time: NOON + n,
  fact: "grant.opened",
  actor: { kind: "person", id: "person:login:ann" },
  policyVersion: "v1",
  ...more,
});
const row = (n: number, more: Partial<AuditRecord> = {}): AuditRow => ({
  sequenceNumber: String(n),
  record: record(n, more),
});

function place() {
  const aws = createLocalAws({ services: { s3: localS3 } });
  aws.services.s3.ensureBucket(BUCKET);
  const s3 = new S3Client({
    region: "us-east-1",
    credentials: aws.administrator,
    requestHandler: aws.requestHandler,
    forcePathStyle: true,
    maxAttempts: 1,
  });
  const query = (more: Partial<AuditQuery> = {}) => queryAudit({ s3, bucket: BUCKET, ...more });
  return { aws, s3, log: createAuditLog({ s3, bucket: BUCKET }), query };
}

async function holding(...rows: AuditRow[]) {
  const made = place();
  await made.log.append("shard-1", rows);
  return made;
}

const ids = ({ columns, rows }: { columns: string[]; rows: unknown[][] }) =>
  rows.map((cells) => cells[columns.indexOf("event_id")]);

describe("a query", () => {
  test("of an empty log has the columns and no rows", async () => {
    const answer = await place().query();
    expect(answer).toEqual({
      columns: AUDIT_COLUMNS.map(({ name }) => name),
      rows: [],
      truncated: false,
    });
  });

  test("of an empty log types its columns as one of a full log does", async () => {
    const sql = "SELECT typeof(columns(*)) FROM (SELECT 1) LEFT JOIN audit ON true LIMIT 1";
    const [empty, full] = [place(), await holding(row(1))];
    expect((await empty.query({ sql })).rows).toEqual((await full.query({ sql })).rows);
  });

  test("answers every field of a record, times in ISO 8601", async () => {
    const { query } = await holding(
      row(1, { time: NOON, grant: "g1", endsAt: NOON + 1, claims: { ref: "main" } }),
    );
    const { columns, rows } = await query();
    const read = Object.fromEntries(columns.map((name, n) => [name, rows[0]?.[n]]));
    expect(read).toMatchObject({
      event_id: "event-1",
      sequence: "1".padStart(40, "0"),
      time: "2026-11-22T12:00:00.000Z",
      fact: "grant.opened",
      outcome: "allowed",
      principal_id: "person:login:ann",
      grant_id: "g1",
      ends_at: "2026-11-22T12:00:00.001Z",
      claims: '{"ref":"main"}',
      why: null,
    });
  });

  test("has personal data in its own column alone", async () => {
    const personal = { name: "Ann Example" };
    const { query } = await holding(
      row(1, { actor: { kind: "person", id: "person:login:17", personal } }),
    );
    const { columns, rows } = await query();
    const where = columns.filter((_, n) => String(rows[0]?.[n]).includes("Ann"));
    expect(where).toEqual(["actor_personal"]);
  });

  test("answers the newest records, oldest first, and says that there are more", async () => {
    const { query } = await holding(...[1, 2, 3, 4].map((n) => row(n)));
    const some = await query({ limit: 2 });
    expect(ids(some)).toEqual(["event-3", "event-4"]);
    expect(some.truncated).toBe(true);
    const all = await query({ limit: 4 });
    expect(ids(all)).toEqual(["event-1", "event-2", "event-3", "event-4"]);
    expect(all.truncated).toBe(false);
  });

  test.each([0, -1, 1.5, Number.NaN])("with a limit of %s is refused", async (limit) => {
    await expect(place().query({ limit })).rejects.toThrow(AuditQueryError);
  });

  test("from a time on holds that time, and until a time does not", async () => {
    const { query } = await holding(
      ...[-1, 0, 1, DAY - 1, DAY].map((after, n) => row(n + 1, { time: NOON + after })),
    );
    const answer = await query({ since: NOON, until: NOON + DAY });
    expect(ids(answer)).toEqual(["event-2", "event-3", "event-4"]);
  });

  test("reads the objects of its days only", async () => {
    const { aws, query } = await holding(
      ...[0, DAY, 2 * DAY].map((after, n) => row(n + 1, { time: NOON + after })),
    );
    await query({ since: NOON + DAY, until: NOON + DAY + 1 });
    expect(aws.calls().filter(({ operation }) => operation === "GetObject")).toHaveLength(1);
  });

  test("reads listings of several pages", async () => {
    const { s3, query } = place();
    for (let n = 1; n <= 1001; n += 1) {
      const Key = `audit/day=2026-11-22/${String(n).padStart(40, "0")}.txt`;
      await s3.send(new PutObjectCommand({ Bucket: BUCKET, Key, Body: "" }));
    }
    const Key = "audit/day=2026-11-22/z.parquet";
    await s3.send(new PutObjectCommand({ Bucket: BUCKET, Key, Body: toParquet([row(1)]) }));
    expect(ids(await query())).toEqual(["event-1"]);
  });

  test("looks at nothing beside the days of the log", async () => {
    const { s3, log, query } = place();
    for (const Key of [
      "audit/x.parquet",
      "audit/day=x/1.parquet",
      "other/day=2026-11-22/1.parquet",
    ]) {
      await s3.send(new PutObjectCommand({ Bucket: BUCKET, Key, Body: "not parquet" }));
    }
    await log.append("shard-1", [row(1)]);
    expect(ids(await query())).toEqual(["event-1"]);
  });

  test("shows an event once that is in two objects", async () => {
    const { log, query } = await holding(row(1), row(2), row(3));
    await log.append("shard-1", [row(2), row(3), row(4)]);
    expect(ids(await query())).toEqual(["event-1", "event-2", "event-3", "event-4"]);
    expect((await query({ sql: "SELECT count(*) FROM audit" })).rows).toEqual([[4]]);
  });

  test("reads what a writer with other columns left", async () => {
    const { s3, query } = await holding(row(2));
    const { parquetWriteBuffer } = await import("hyparquet-writer");
    const older = parquetWriteBuffer({
      columnData: [
        { name: "event_id", data: ["event-1"], type: "STRING" },
        { name: "time", data: [new Date(NOON)], type: "TIMESTAMP" },
        { name: "unheard_of", data: ["x"], type: "STRING" },
      ],
    });
    const Key = "audit/day=2026-11-22/0.parquet";
    await s3.send(new PutObjectCommand({ Bucket: BUCKET, Key, Body: new Uint8Array(older) }));
    const answer = await query();
    expect(ids(answer)).toEqual(["event-1", "event-2"]);
    expect(answer.columns).toEqual(AUDIT_COLUMNS.map(({ name }) => name));
  });

  test("of an object that is no Parquet file is an error and leaves nothing behind", async () => {
    const { s3, query } = place();
    const Key = "audit/day=2026-11-22/1.parquet";
    await s3.send(new PutObjectCommand({ Bucket: BUCKET, Key, Body: "not parquet" }));
    await expect(query()).rejects.toThrow(AuditQueryError);
    await expect(query()).rejects.toThrow(/DuckDB/);
  });

  test("deletes what it downloaded", async () => {
    // A place of its own: others may be asking at the same time.
    const own = await mkdtemp(join(tmpdir(), "stint-copies-"));
    vi.stubEnv("TMPDIR", own);
    try {
      const { query } = await holding(row(1));
      await query();
      await expect(query({ sql: "SELECT nonsense FROM audit" })).rejects.toThrow();
      expect(tmpdir()).toBe(own);
      expect(await readdir(own)).toEqual([]);
    } finally {
      vi.unstubAllEnvs();
      await rm(own, { recursive: true });
    }
  });

  test("without DuckDB says how to get it", async () => {
    const { query } = place();
    const duckdb = () => Promise.reject(new Error("Cannot find package"));
    await expect(query({ duckdb })).rejects.toThrow("npm install @duckdb/node-api");
  });

  test("of a bucket that is not there is S3's error", async () => {
    await expect(place().query({ bucket: "no-such-bucket" })).rejects.toThrow(
      expect.objectContaining({ name: "NoSuchBucket" }),
    );
  });
});

describe("a filter", () => {
  const job = { pipeline: "github", issuer: "https://i.example", run: "7", attempt: "1", job: "8" };
  const rows = [
    row(1, { grant: "g1", profile: "orders", job }),
    row(2, { fact: "grant.refused", actor: { kind: "person", id: "bob" } }),
    row(3, {
      actor: { kind: "sweeper", id: "sweeper" },
      principal: { kind: "job", id: "j" },
      fact: "grant.ended",
    }),
  ];

  test.each<[NonNullable<AuditQuery["filters"]>, string[]]>([
    [{ grant: "g1" }, ["event-1"]],
    [{ profile: "orders" }, ["event-1"]],
    [{ run: "7" }, ["event-1"]],
    [{ job: "8" }, ["event-1"]],
    [{ actor: "bob" }, ["event-2"]],
    [{ principal: "bob" }, ["event-2"]],
    [{ principal: "j" }, ["event-3"]],
    [{ fact: "grant.ended" }, ["event-3"]],
    [{ outcome: "refused" }, ["event-2"]],
    [{ grant: "g1", outcome: "allowed", run: "7" }, ["event-1"]],
    [{ grant: "g1", outcome: "refused" }, []],
    [{ grant: "" }, []],
  ])("%o narrows to what equals it", async (filters, expected) => {
    const { query } = await holding(...rows);
    expect(ids(await query({ filters }))).toEqual(expected);
  });

  test("narrows what SQL sees", async () => {
    const { query } = await holding(...rows);
    const answer = await query({ filters: { run: "7" }, sql: "SELECT event_id FROM audit" });
    expect(answer.rows).toEqual([["event-1"]]);
  });

  test.each([{ fact: "grant.denid" }, { outcome: "x" }])(
    "%o that can match nothing is refused",
    async (filters) => {
      await expect(place().query({ filters })).rejects.toThrow(AuditQueryError);
    },
  );

  test("matches hostile text as it is, and nothing else", async () => {
    const hostile = [
      "' OR '1'='1",
      "x'; DROP VIEW audit; --",
      "\\' OR 1=1 --",
      '"',
      "$1",
      "?",
      "🦆",
      "a\nb",
      "%",
    ];
    const { query } = await holding(...hostile.map((profile, n) => row(n, { profile })));
    for (const [n, profile] of hostile.entries()) {
      expect(ids(await query({ filters: { profile } }))).toEqual([`event-${n}`]);
    }
    await expect(query({ filters: { profile: "x\0" } })).rejects.toThrow(AuditQueryError);
  });
});

describe("SQL", () => {
  const ask = async (sql: string, more: Partial<AuditQuery> = {}) =>
    await (await holding(row(1), row(2))).query({ sql, ...more });

  test.each([
    "SELECT event_id FROM audit ORDER BY 1",
    "SELECT event_id FROM audit ORDER BY 1;",
    "-- why\nSELECT event_id FROM audit ORDER BY 1 -- done",
    "WITH a AS (SELECT * FROM audit), b AS (FROM a) SELECT event_id FROM b ORDER BY 1",
    "SELECT event_id FROM main.audit ORDER BY 1",
    'SELECT "EVENT_ID" FROM AUDIT ORDER BY 1',
    "FROM audit SELECT event_id ORDER BY 1",
    "SELECT event_id FROM audit WHERE event_id IN (SELECT 'event-' || range FROM range(9)) ORDER BY 1",
    "SELECT 'event-' || x FROM unnest([1, 2]) u(x)",
  ])("may be any SELECT: %s", async (sql) => {
    expect((await ask(sql)).rows).toEqual([["event-1"], ["event-2"]]);
  });

  test("takes every column by its bare name", async () => {
    const names = AUDIT_COLUMNS.map(({ name }) => name);
    const { columns } = await ask(`SELECT ${names.join(", ")} FROM audit`);
    expect(columns).toEqual(names);
  });

  test("is answered with numbers where they are exact, and ISO times", async () => {
    const { rows } =
      await ask(`SELECT 1, 42::BIGINT, 9007199254740993, 9007199254740993::HUGEINT, 1.50::DECIMAL(5, 2),
      0.5::DOUBLE, 'NaN'::DOUBLE, true, NULL, TIMESTAMPTZ '2026-01-01 02:00:00+02', DATE '2026-01-01',
      TIMESTAMP '2026-01-01 00:00:00.5', 'infinity'::TIMESTAMP, [TIMESTAMP '2026-01-01', NULL], {'a': 7::BIGINT},
      TIMESTAMP_S '2026-01-01 00:00:00', TIMESTAMP_NS '2026-01-01 00:00:00.123456789'`);
    expect(rows).toEqual([
      [
        1,
        42,
        "9007199254740993",
        "9007199254740993",
        "1.50",
        0.5,
        "NaN",
        true,
        null,
        "2026-01-01T00:00:00.000Z",
        "2026-01-01",
        "2026-01-01T00:00:00.500Z",
        "infinity",
        ["2026-01-01T00:00:00.000Z", null],
        { a: 7 },
        "2026-01-01T00:00:00.000Z",
        "2026-01-01T00:00:00.123Z",
      ],
    ]);
    expect(JSON.stringify(rows)).toBeTypeOf("string");
  });

  test("keeps two columns of one name apart", async () => {
    const { columns, rows } = await ask("SELECT 1 AS a, 2 AS a");
    expect(columns).toEqual(["a", "a"]);
    expect(rows).toEqual([[1, 2]]);
  });

  test("is cut at the limit and says so", async () => {
    const { rows, truncated } = await ask("SELECT * FROM range(1000000)", { limit: 3 });
    expect(rows).toEqual([[0], [1], [2]]);
    expect(truncated).toBe(true);
  });

  test("takes values, which stay values", async () => {
    const sql = "SELECT ? AS given, count(*) FROM audit WHERE event_id = ?";
    const { rows } = await ask(sql, { values: ["'; DROP VIEW audit", "event-1"] });
    expect(rows).toEqual([["'; DROP VIEW audit", 1]]);
    await expect(ask(sql, { values: ["one"] })).rejects.toThrow("takes 2 values, but 1 are given");
    await expect(ask(sql)).rejects.toThrow(AuditQueryError);
  });

  test("that is stopped is an error, whether it was still downloading or already counting", async () => {
    const sql = "SELECT count(*) FROM range(1000000000000) a, range(1000000000000) b";
    await expect(ask(sql, { signal: AbortSignal.abort() })).rejects.toThrow("stopped");
    await expect(ask(sql, { signal: AbortSignal.timeout(500) })).rejects.toThrow("stopped");
  });

  test("that needs more memory than there is for it is an error", async () => {
    await expect(ask("SELECT list(a.range) FROM range(1000000000) a")).rejects.toThrow(
      /memory|stopped/i,
    );
  });

  test.each([
    "",
    "   ",
    "-- nothing",
    ";",
    "SELECT 1; SELECT 2",
    "SELECT * FROM audit; DROP VIEW audit",
    "SELEC 1",
    "CREATE TABLE t AS SELECT 1",
    "CREATE OR REPLACE VIEW audit AS SELECT 1",
    "DROP VIEW audit",
    "INSERT INTO audit VALUES (1)",
    "UPDATE audit SET event_id = 'x'",
    "DELETE FROM audit",
    "WITH x AS (SELECT 1) DELETE FROM audit",
    "COPY audit TO '/tmp/stint-escape.csv'",
    "COPY (SELECT 1) TO 'stint-escape.csv'",
    "EXPORT DATABASE '/tmp/stint-escape'",
    "IMPORT DATABASE '/etc'",
    "ATTACH '/tmp/stint-escape.db'",
    "ATTACH ':memory:' AS other",
    "DETACH memory",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET threads = 1",
    "SET lock_configuration = false",
    "RESET enable_external_access",
    "SET VARIABLE x = 1",
    "PRAGMA show_tables",
    "/* SELECT */ PRAGMA database_list",
    "PRAGMA enable_profiling",
    "CALL enable_logging('QueryLog')",
    "EXPLAIN ANALYZE SELECT 1",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "BEGIN",
    "CHECKPOINT",
    "VACUUM",
    "USE memory",
    "CREATE SECRET s (TYPE s3)",
    "CREATE MACRO m() AS 1",
  ])("other than one SELECT is refused: %s", async (sql) => {
    await expect(ask(sql)).rejects.toThrow(AuditQueryError);
    expect(existsSync("/tmp/stint-escape.csv")).toBe(false);
  });

  test("with a NUL character in it is refused, as DuckDB would read up to there", async () => {
    await expect(ask("SELECT 1\0; DROP VIEW audit")).rejects.toThrow("NUL");
  });

  test.each([
    "SELECT * FROM '/etc/hostname'",
    'SELECT * FROM "/etc/hostname"',
    "SELECT * FROM read_text('/etc/hostname')",
    "SELECT * FROM READ_TEXT('/etc/hostname')",
    "SELECT * FROM read_blob('/proc/self/environ')",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_csv_auto('/etc/passwd')",
    "SELECT * FROM read_json('/etc/passwd')",
    "SELECT * FROM read_ndjson_objects('/etc/passwd')",
    "SELECT * FROM read_parquet('/tmp/*/*.parquet')",
    "SELECT * FROM parquet_scan('/tmp/*/*.parquet')",
    "SELECT * FROM parquet_metadata('/etc/passwd')",
    "SELECT * FROM read_duckdb('/tmp/x.db')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM 'https://example.com/x.parquet'",
    "SELECT * FROM read_parquet('s3://bucket/x.parquet')",
    "SELECT * FROM read_text(current_setting('temp_directory') || '/../../../etc/hostname')",
    "SELECT * FROM query('SELECT * FROM read_text(''/etc/hostname'')')",
    "SELECT * FROM query_table('/etc/hostname')",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "SELECT * FROM enable_logging('QueryLog', storage = 'file', storage_path = '/tmp/stint-escape')",
    "SELECT * FROM enable_profiling()",
    "SELECT * FROM checkpoint()",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_settings",
    "SELECT * FROM duckdb_logs",
    "SELECT * FROM information_schema.tables",
    "WITH a AS (SELECT * FROM read_text('/etc/hostname')) SELECT * FROM a",
    "SELECT (SELECT content FROM read_text('/etc/hostname'))",
    "SELECT event_id FROM audit WHERE EXISTS (FROM read_text('/etc/hostname'))",
    "SELECT * FROM audit JOIN read_text('/etc/hostname') ON true",
    "SELECT 1 UNION ALL SELECT content FROM read_text('/etc/hostname')",
    "SELECT 1 ORDER BY (SELECT content FROM read_text('/etc/hostname'))",
    "SELECT 1 LIMIT (SELECT size FROM read_text('/etc/hostname'))",
    "SELECT [x FOR x IN (SELECT list(content) FROM read_text('/etc/hostname'))]",
    "SUMMARIZE SELECT * FROM read_text('/etc/hostname')",
    "DESCRIBE SELECT * FROM read_csv('/etc/passwd')",
    "PIVOT (FROM read_text('/etc/hostname')) ON filename IN ('a') USING count(*)",
    "SELECT getenv('HOME')",
    "SELECT read_text('/etc/hostname')",
    "SELECT nextval('x')",
  ])("cannot leave the log: %s", async (sql) => {
    await expect(ask(sql)).rejects.toThrow(AuditQueryError);
    expect(existsSync("/tmp/stint-escape")).toBe(false);
  });
});

describe("DuckDB's own walls, should the first one have a gap", () => {
  test.each([
    "SELECT * FROM read_text('/etc/hostname')",
    "SELECT * FROM read_text('$DIRECTORY/secret.txt')",
    "SELECT * FROM read_text('$DIRECTORY/log/../secret.txt')",
    "SELECT * FROM read_text('$DIRECTORY/log/0.parquet/../../secret.txt')",
    "SELECT * FROM read_text('file://$DIRECTORY/secret.txt')",
    "SELECT * FROM glob('$DIRECTORY/*')",
    "COPY (SELECT 1) TO '$DIRECTORY/log/new.csv'",
    "COPY (SELECT 1) TO '$DIRECTORY/log/0.parquet'",
    "ATTACH '$DIRECTORY/log/new.db'",
    "SET enable_external_access = true",
    "SET memory_limit = '1TB'",
    "SET temp_directory = '/tmp'",
    "SET allowed_paths = ['/etc/hostname']",
    "INSTALL httpfs",
    "LOAD httpfs",
  ])("hold for %s", async (template) => {
    const directory = await mkdtemp(join(tmpdir(), "stint-walls-"));
    const file = join(directory, "log", "0.parquet");
    await mkdir(join(directory, "log", "spill"), { recursive: true });
    await writeFile(join(directory, "secret.txt"), "secret");
    await writeFile(file, toParquet([row(1)]));
    const { connection, close } = await openSandbox(duckdb, {
      files: [file],
      spill: join(directory, "log", "spill"),
      view: { name: "audit", sql: `FROM read_parquet('${file}')` },
    });
    try {
      await expect(connection.run(template.replaceAll("$DIRECTORY", directory))).rejects.toThrow(
        /Permission Error|configuration has been locked|Cannot/,
      );
      expect(await readdir(join(directory, "log"))).toEqual(["0.parquet", "spill"]);
      expect(await readFile(file)).toEqual(Buffer.from(toParquet([row(1)])));
      expect((await connection.runAndReadAll("SELECT event_id FROM audit")).getRows()).toEqual([
        ["event-1"],
      ]);
    } finally {
      close();
      await rm(directory, { recursive: true });
    }
  });
});

describe("the view", () => {
  test("has each record once, however batches were cut and came again", async () => {
    const history = Array.from({ length: 12 }, (_, n) =>
      row(n + 1, { time: NOON + n + (n % 5 === 4 ? DAY : 0) }),
    );
    const expected = history.map((one) => one.record.id).toSorted();
    const delivery = fc.record({
      length: fc.integer({ min: 1, max: 6 }),
      back: fc.nat({ max: 5 }),
      fault: fc.constantFrom("refuse", "fail-after", undefined),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(delivery, { maxLength: 10 }), async (steps) => {
        const { aws, log, query } = place();
        let checkpoint = 0;
        for (const { length, back, fault } of steps) {
          if (fault !== undefined) {
            aws.faults.add({ service: "s3", operation: "PutObject", kind: fault, times: 1 });
          }
          const batch = history.slice(checkpoint, checkpoint + length);
          const done = await log.append("shard-1", batch).then(
            () => true,
            () => false,
          );
          aws.faults.clear();
          checkpoint = Math.max(0, (done ? Math.min(checkpoint + length, 12) : checkpoint) - back);
        }
        await log.append("shard-1", history.slice(checkpoint));
        const { rows } = await query({ sql: "SELECT event_id FROM audit ORDER BY event_id" });
        expect(rows.map(([id]) => String(id)).toSorted()).toEqual(expected);
      }),
      { numRuns: 25 },
    );
  });
});

/** The story of one job: approved, opened, minted, its job ended, itself ended and proved dead; and a refusal. */
const job = { pipeline: "github", issuer: "https://i.example", run: "7", attempt: "1", job: "8" };
const owner = { kind: "job", id: "github:i.example:1:7:1:8" } as const;
const ofGrant = {
  grant: "g1",
  profile: "orders",
  principal: owner,
  job,
  rule: "orders-main",
} as const;
const at = (minutes: number) => ({ time: NOON + minutes * MINUTE });
const dead = (minutes: number) => ({ deadBy: NOON + minutes * MINUTE });
const story: AuditRow[] = [
  row(1, { ...ofGrant, ...at(0), fact: "grant.requested", actor: owner }),
  row(2, {
    ...ofGrant,
    ...at(1),
    fact: "grant.approved",
    actor: { kind: "person", id: "person:login:eve" },
    reason: "release day",
  }),
  row(3, { ...ofGrant, ...at(2), ...dead(17), fact: "grant.opened", actor: owner }),
  row(4, {
    ...ofGrant,
    ...at(2),
    ...dead(17),
    fact: "grant.activated",
    actor: owner,
    leases: [
      { target: "aws", until: NOON + 17 * MINUTE, accessKeyId: "ASIAONE" },
      { target: "other", until: NOON + 17 * MINUTE, accessKeyId: "ASIATWO" },
    ],
  }),
  row(5, { ...at(5), fact: "job.ended", actor: { kind: "webhook", id: "github" }, job }),
  row(6, {
    ...ofGrant,
    ...at(5),
    ...dead(17),
    fact: "grant.ending",
    actor: { kind: "webhook", id: "github" },
  }),
  row(7, {
    ...ofGrant,
    ...at(6),
    ...dead(7),
    fact: "grant.ended",
    why: "job_ended",
    actor: { kind: "revoker", id: "revoker" },
  }),
  row(8, {
    ...at(8),
    fact: "decision.made",
    actor: { kind: "person", id: "person:login:mallory" },
    profile: "orders",
    code: "refused",
    policyVersion: "v2",
    explanation: { rule: "orders-people", failed: [], considered: 2 },
  }),
  row(9, { ...ofGrant, grant: "g2", ...at(9), ...dead(24), fact: "grant.opened", actor: owner }),
  row(10, {
    ...at(10),
    fact: "run.ended",
    actor: { kind: "webhook", id: "github" },
    job: { pipeline: "github", issuer: "https://i.example", run: "7" },
  }),
];

describe("a saved question", () => {
  const asked = (name: string): SavedQuestion => {
    const question = savedQuestions.find((one) => one.name === name);
    if (question === undefined) throw new Error(`no question ${name}`);
    return question;
  };
  const answer = async (
    name: string,
    given: Record<string, string | number> = {},
    rows = story,
  ) => {
    const question = asked(name);
    const { query } = await holding(...rows);
    const { columns, rows: found } = await query({
      sql: question.sql,
      values: questionValues(question, given),
    });
    return found.map((cells) => Object.fromEntries(columns.map((column, n) => [column, cells[n]])));
  };
  const iso = (minutes: number) => new Date(NOON + minutes * MINUTE).toISOString();

  test.each(savedQuestions)(
    "$name is answered by an empty log too",
    async ({ name, parameters }) => {
      const given = parameters.map((one) => [one.name, one.type === "text" ? "x" : NOON]);
      expect(await answer(name, Object.fromEntries(given), [])).toEqual([]);
    },
  );

  test.each(savedQuestions)("$name has as many parameters as its SQL", ({ parameters, sql }) => {
    expect(sql.split("?")).toHaveLength(parameters.length + 1);
  });

  test.each([
    [1, []],
    [2, ["g1"]],
    [6.5, ["g1"]],
    [7, []],
    [10, ["g2"]],
    [24, []],
  ])("access-at: who had access at minute %d, until proved dead", async (minute, grants) => {
    const found = await answer("access-at", { time: NOON + minute * MINUTE });
    expect(found.map((one) => one.grant_id)).toEqual(grants);
  });

  test("run-got: everything that a run was given, in order", async () => {
    const found = await answer("run-got", { run: "7" });
    expect(found.map((one) => one.fact)).toEqual(
      story.filter(({ record: one }) => one.job !== undefined).map(({ record: one }) => one.fact),
    );
    expect(await answer("run-got", { run: "8' OR '1'='1" })).toEqual([]);
  });

  test("refusals-by-rule: the nearest rule of each refusal", async () => {
    expect(await answer("refusals-by-rule")).toEqual([
      {
        profile: "orders",
        rule: "orders-people",
        code: "refused",
        why: null,
        refusals: 1,
        callers: 1,
        first_time: iso(8),
        last_time: iso(8),
      },
    ]);
  });

  test("outlived-job: by the job's end or its run's, whichever came first", async () => {
    expect(await answer("outlived-job")).toEqual([
      {
        grant_id: "g2",
        profile: "orders",
        principal_id: owner.id,
        job_ended_at: iso(5),
        dead_by: iso(24),
        seconds_longer: 19 * 60,
      },
      {
        grant_id: "g1",
        profile: "orders",
        principal_id: owner.id,
        job_ended_at: iso(5),
        dead_by: iso(7),
        seconds_longer: 120,
      },
    ]);
  });

  test("outlived-job: a run's end counts for all its attempts and jobs, and for no other run", async () => {
    const others = [
      row(21, {
        ...ofGrant,
        grant: "g3",
        ...at(0),
        ...dead(24),
        job: { ...job, attempt: "2", job: "9" },
      }),
      row(22, { ...ofGrant, grant: "g4", ...at(0), ...dead(24), job: { ...job, run: "70" } }),
      ...story.slice(9),
    ];
    expect((await answer("outlived-job", {}, others)).map((one) => one.grant_id)).toEqual(["g3"]);
  });

  test("approvals: who approved, and why", async () => {
    expect(await answer("approvals")).toMatchObject([
      {
        grant_id: "g1",
        principal_id: owner.id,
        decided_by: "person:login:eve",
        reason: "release day",
      },
    ]);
  });

  test.each(["ASIAONE", "ASIATWO"])("access-key: %s leads to its grant", async (key) => {
    expect(await answer("access-key", { key })).toMatchObject([{ grant_id: "g1", run: "7" }]);
  });

  test("access-key: a part of a key leads nowhere", async () => {
    expect(await answer("access-key", { key: "ASIA" })).toEqual([]);
  });

  test("endings: why grants ended, and what was left of their credentials", async () => {
    expect(await answer("endings")).toEqual([
      { profile: "orders", why: "job_ended", grants: 1, longest_seconds_left: 60 },
    ]);
  });

  test("policy-versions: which configuration decided how often", async () => {
    expect(await answer("policy-versions")).toMatchObject([
      { policy_version: "v1", allowed: 4, refused: 0 },
      { policy_version: "v2", allowed: 0, refused: 1 },
    ]);
  });

  test("takes what it asks for and nothing else", () => {
    const question = asked("access-at");
    expect(questionValues(question, { time: NOON })).toEqual(["2026-11-22 12:00:00.000"]);
    for (const given of [{}, { time: "noon" }, { time: Number.NaN }, { time: NOON, run: "7" }]) {
      expect(() => questionValues(question, given)).toThrow(RangeError);
    }
    expect(() => questionValues(asked("run-got"), { run: 7 })).toThrow(RangeError);
  });
});
