import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { marshall } from "@aws-sdk/util-dynamodb";
import { DuckDBInstance } from "@duckdb/node-api";
import { type AuditRecord, FACTS, grantRecord } from "@stint/core/audit";
import {
  AUDIT_COLUMNS,
  type AuditRow,
  OUTCOMES,
  outcomeOf,
  padSequence,
  SQL_TYPES,
} from "@stint/core/audit-columns";
import type { Active } from "@stint/core/grant";
import { createLocalAws } from "@stint/local/aws";
import { s3 as localS3 } from "@stint/local/services/s3";
import type { DynamoDBStreamEvent } from "aws-lambda";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createAuditLog } from "../src/audit/log.ts";
import { toParquet } from "../src/audit/parquet.ts";
import { auditRecords } from "../src/audit/record.ts";

const NOON = Date.UTC(2026, 10, 22, 12);
/** As long as DynamoDB's. */
const sequence = (n: number): string => String(10n ** 25n + BigInt(n));

const record = (n: number, more: Partial<AuditRecord> = {}): AuditRecord => ({
  id: `event-${n}`,
  time: NOON + n,
  fact: "grant.opened",
  actor: { kind: "person", id: "person:login:ann" },
  policyVersion: "v1",
  ...more,
});
const row = (n: number, more: Partial<AuditRecord> = {}): AuditRow => ({
  sequenceNumber: sequence(n),
  record: record(n, more),
});

/** Every field set. */
const full: AuditRecord = {
  id: "event-full",
  time: NOON,
  fact: "grant.refused",
  actor: { kind: "person", id: "person:login:ann", personal: { email: "ann@example.org" } },
  policyVersion: "v1",
  grant: "g0123456789abcde",
  profile: "orders-integration",
  state: "refused",
  principal: { kind: "job", id: "github:host:1:2:3:4" },
  claims: { ref: "refs/heads/main" },
  job: { pipeline: "github", issuer: "https://issuer.example", run: "2", attempt: "3", job: "4" },
  rule: "orders-main",
  why: "rule",
  code: "refused",
  reason: "because",
  endsAt: NOON + 1,
  deadBy: NOON + 2,
  leases: [
    { target: "db", until: NOON + 3 },
    { target: "aws", until: NOON + 4, accessKeyId: "ASIAEXAMPLE", hash: "ab12" },
  ],
  explanation: {
    rule: "orders-main",
    failed: [{ claim: "ref", expected: "refs/heads/main", actual: null }],
    considered: 3,
  },
  policyErrors: ["policy0: type error"],
  tokenHash: "cd34",
  role: "arn:aws:iam::000000000000:role/stint/orders",
  error: "Throttling",
  targetGone: true,
  timeToDeadMs: 1_500,
  count: 12,
};

const item = (audit: unknown) =>
  marshall({ PK: "GRANT#g", audit }, { removeUndefinedValues: true });
const insert = (n: number, audit: unknown) => ({
  eventName: "INSERT" as const,
  dynamodb: { SequenceNumber: sequence(n), NewImage: item(audit) },
});

describe("a batch of the table's stream", () => {
  test("brings the record of each change that has a new one", () => {
    const rows = auditRecords({
      Records: [
        insert(1, record(1)),
        {
          eventName: "MODIFY",
          dynamodb: {
            SequenceNumber: sequence(2),
            OldImage: item(record(1)),
            NewImage: item(record(2)),
          },
        },
      ],
    });
    expect(rows).toEqual([row(1), row(2)]);
  });

  test("brings a record with every field just as it was written", () => {
    expect(auditRecords({ Records: [insert(1, full)] })[0]?.record).toEqual(full);
  });

  test("brings what the core writes about a grant", () => {
    const grant: Active = {
      id: "g0123456789abcde",
      profile: "p",
      principal: { kind: "person", id: "person:login:ann", claims: { sub: "ann" }, groups: [] },
      namespace: "it-g0123456789abcde",
      rule: "r",
      policyVersion: "v1",
      createdAt: NOON,
      seconds: 60,
      leaseSeconds: 60,
      claimSeconds: 60,
      targets: {},
      requestHash: "h",
      tokenKey: "1",
      state: "active",
      startsAt: NOON,
      endsAt: NOON + 60_000,
      leases: {},
    };
    const written = grantRecord(
      { id: "event-1", time: NOON, policyVersion: "v1" },
      "grant.activated",
      { kind: "stint", id: "stint" },
      grant,
    );
    expect(auditRecords({ Records: [insert(1, written)] })).toEqual([
      { sequenceNumber: sequence(1), record: written },
    ]);
  });

  test("brings nothing for a change that leaves the record as it was", () => {
    const image = item(record(1));
    expect(
      auditRecords({
        Records: [
          {
            eventName: "MODIFY",
            dynamodb: { SequenceNumber: sequence(2), OldImage: image, NewImage: image },
          },
        ],
      }),
    ).toEqual([]);
  });

  test("brings nothing for a removal, or for an item without a record", () => {
    expect(
      auditRecords({
        Records: [
          {
            eventName: "REMOVE",
            dynamodb: { SequenceNumber: sequence(1), OldImage: item(record(1)) },
          },
          {
            eventName: "INSERT",
            dynamodb: { SequenceNumber: sequence(2), NewImage: marshall({ PK: "x" }) },
          },
        ],
      }),
    ).toEqual([]);
  });

  test("is read as Lambda types it", () => {
    const event: DynamoDBStreamEvent = { Records: [] };
    expect(auditRecords(event)).toEqual([]);
  });

  test.each<[string, unknown]>([
    ["is no map", "s3cret"],
    ["has an unknown field", { ...record(1), s3cret: "s3cret" }],
    ["has an unknown fact", record(1, { fact: "grant.s3cret" as AuditRecord["fact"] })],
    ["has a time as text", { ...record(1), time: "s3cret" }],
    ["has a time that no day has", record(1, { time: 8.64e15 })],
    ["has a fraction as time", record(1, { time: 1.5 })],
    ["has no id", { ...record(1), id: undefined }],
    ["has an unknown error code", { ...record(1), code: "s3cret" }],
    ["has an unknown kind of actor", record(1, { actor: { kind: "s3cret" as "job", id: "x" } })],
    ["has a claim that is no text", { ...record(1), claims: { s3cret: 7 } }],
    [
      "has an unknown field in a lease",
      { ...full, leases: [{ target: "t", until: 1, s3cret: "s3cret" }] },
    ],
    ["has a set for a list", { ...record(1), policyErrors: new Set(["s3cret"]) }],
  ])(
    "whose record %s is a fault that names its sequence number and nothing of its content",
    (_, audit) => {
      const read = () => auditRecords({ Records: [insert(7, audit)] });
      expect(read).toThrow(sequence(7));
      expect(read).not.toThrow(/s3cret/);
    },
  );

  test.each<[string, Record<string, unknown>]>([
    ["an image that is no attribute value", { S3CRET: "s3cret" }],
    ["a number that is none", { N: "s3cret" }],
  ])("with %s is such a fault as well", (_, audit) => {
    const read = () =>
      auditRecords({
        Records: [
          { eventName: "INSERT", dynamodb: { SequenceNumber: sequence(7), NewImage: { audit } } },
        ],
      });
    expect(read).toThrow(sequence(7));
    expect(read).not.toThrow(/s3cret/i);
  });

  test.each<[string, { eventName?: string; dynamodb?: { SequenceNumber?: string } }]>([
    ["without a change", { eventName: "INSERT" }],
    ["without a sequence number", { eventName: "INSERT", dynamodb: {} }],
    [
      "with a sequence number that is none",
      { eventName: "INSERT", dynamodb: { SequenceNumber: "1e3" } },
    ],
    ["of an unknown kind", { eventName: "UPSERT", dynamodb: { SequenceNumber: "1" } }],
  ])("with a stream record %s is a fault", (_, raw) => {
    expect(() => auditRecords({ Records: [raw] })).toThrow("does not parse");
  });
});

describe("a row", () => {
  const cell = (name: string, of: AuditRecord) =>
    AUDIT_COLUMNS.find((column) => column.name === name)?.from({ sequenceNumber: "7", record: of });

  test("has an outcome for every fact", () => {
    for (const fact of FACTS) expect(OUTCOMES).toContain(outcomeOf(record(1, { fact })));
  });

  test("is refused where a caller was answered a code or an explanation", () => {
    expect(outcomeOf(record(1, { fact: "decision.made" }))).toBe("allowed");
    expect(outcomeOf(record(1, { fact: "grant.read", code: "grant_not_found" }))).toBe("refused");
    const explanation = { failed: [], considered: 0 };
    expect(outcomeOf(record(1, { fact: "decision.made", explanation }))).toBe("refused");
    expect(outcomeOf(record(1, { fact: "grant.ended" }))).toBe("change");
  });

  test("has the actor as principal where the record names none, but never a part of Stint", () => {
    expect(cell("principal_id", record(1))).toBe("person:login:ann");
    expect(cell("principal_id", full)).toBe("github:host:1:2:3:4");
    expect(
      cell("principal_id", record(1, { actor: { kind: "sweeper", id: "s" } })),
    ).toBeUndefined();
  });

  test("has the nearest rule where none decided", () => {
    const { rule: _, ...refused } = full;
    expect(
      cell("rule", { ...refused, explanation: { rule: "near", failed: [], considered: 1 } }),
    ).toBe("near");
  });

  test("tells of the lease that CloudTrail can be joined to, and has all of them as JSON", () => {
    expect(cell("access_key_id", full)).toBe("ASIAEXAMPLE");
    expect(cell("lease_target", full)).toBe("aws");
    expect(JSON.parse(String(cell("leases", full)))).toEqual(full.leases);
  });
});

/** Reads Parquet files as somebody else would. */
async function readParquet(files: readonly Uint8Array[]): Promise<Record<string, unknown>[]> {
  const directory = await mkdtemp(join(tmpdir(), "audit-test-"));
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  try {
    await Promise.all(files.map((file, n) => writeFile(join(directory, `${n}.parquet`), file)));
    const reader = await connection.runAndReadAll(
      `SELECT * FROM read_parquet('${directory}/*.parquet') ORDER BY sequence`,
    );
    return reader.getRowObjectsJson();
  } finally {
    connection.closeSync();
    instance.closeSync();
    await rm(directory, { recursive: true });
  }
}

describe("a Parquet file", () => {
  test("has the columns of the list, typed, in its order", async () => {
    const directory = await mkdtemp(join(tmpdir(), "audit-test-"));
    const instance = await DuckDBInstance.create(":memory:");
    const connection = await instance.connect();
    try {
      const file = join(directory, "one.parquet");
      await writeFile(file, toParquet([]));
      const reader = await connection.runAndReadAll(`DESCRIBE FROM read_parquet('${file}')`);
      expect(reader.getRowsJson().map(([name, type]) => [name, type])).toEqual(
        AUDIT_COLUMNS.map(({ name, type }) => [name, SQL_TYPES[type].duckdb]),
      );
    } finally {
      connection.closeSync();
      instance.closeSync();
      await rm(directory, { recursive: true });
    }
  });

  test("holds every field of a record", async () => {
    const [read] = await readParquet([toParquet([{ sequenceNumber: "42", record: full }])]);
    expect(read).toEqual({
      event_id: "event-full",
      sequence: "42".padStart(40, "0"),
      time: "2026-11-22 12:00:00",
      fact: "grant.refused",
      outcome: "refused",
      actor_kind: "person",
      actor_id: "person:login:ann",
      actor_personal: '{"email":"ann@example.org"}',
      grant_id: "g0123456789abcde",
      profile: "orders-integration",
      state: "refused",
      principal_kind: "job",
      principal_id: "github:host:1:2:3:4",
      claims: '{"ref":"refs/heads/main"}',
      pipeline: "github",
      issuer: "https://issuer.example",
      run: "2",
      attempt: "3",
      job: "4",
      rule: "orders-main",
      policy_version: "v1",
      why: "rule",
      code: "refused",
      reason: "because",
      ends_at: "2026-11-22 12:00:00.001",
      dead_by: "2026-11-22 12:00:00.002",
      lease_target: "aws",
      lease_until: "2026-11-22 12:00:00.004",
      access_key_id: "ASIAEXAMPLE",
      lease_hash: "ab12",
      leases: JSON.stringify(full.leases),
      explanation: JSON.stringify(full.explanation),
      policy_errors: '["policy0: type error"]',
      token_hash: "cd34",
      role: "arn:aws:iam::000000000000:role/stint/orders",
      error: "Throttling",
      target_gone: "true",
      time_to_dead_ms: "1500",
      grant_count: "12",
    });
  });

  test("leaves empty what a record does not tell", async () => {
    const [read] = await readParquet([toParquet([row(1)])]);
    const filled = Object.entries(read ?? {}).flatMap(([name, value]) =>
      value === null ? [] : name,
    );
    expect(filled).toEqual([
      "event_id",
      "sequence",
      "time",
      "fact",
      "outcome",
      "actor_kind",
      "actor_id",
      "principal_kind",
      "principal_id",
      "policy_version",
    ]);
  });

  test("has personal data in one column alone", async () => {
    const actor = {
      kind: "person",
      id: "person:login:17",
      personal: { name: "Ann Example" },
    } as const;
    const [read] = await readParquet([toParquet([row(1, { actor })])]);
    const where = Object.entries(read ?? {}).flatMap(([name, value]) =>
      String(value).includes("Ann Example") ? [name] : [],
    );
    expect(where).toEqual(["actor_personal"]);
  });

  test("gives back any text as it was", async () => {
    const hostile = [
      "",
      "'; DROP VIEW audit; --",
      'quote " and \\ backslash',
      "line\nbreak\r\n\ttab",
      "nul \0 in the middle",
      "émoji 🦆 and \u202e reversed",
      "x".repeat(100_000),
      "null",
      "NaN",
    ];
    const rows = hostile.map((reason, n) => row(n, { reason, claims: { [reason]: reason } }));
    const read = await readParquet([toParquet(rows)]);
    expect(read.map(({ reason }) => reason)).toEqual(hostile);
    expect(read.map(({ claims }) => JSON.parse(String(claims)))).toEqual(
      hostile.map((text) => ({ [text]: text })),
    );
  });

  test("has the same bytes for the same rows", () => {
    const rows = [row(1), row(2)];
    expect(toParquet(rows)).toEqual(toParquet(rows));
  });
});

const BUCKET = "stint-audit";

function place() {
  const aws = createLocalAws({ services: { s3: localS3 } });
  aws.services.s3.ensureBucket(BUCKET, { objectLock: true });
  const client = (maxAttempts: number) =>
    new S3Client({
      region: "us-east-1",
      credentials: aws.administrator,
      requestHandler: aws.requestHandler,
      forcePathStyle: true,
      maxAttempts,
    });
  const s3 = client(1);
  const keys = async () => {
    const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket: BUCKET }));
    return Contents.flatMap(({ Key }) => Key ?? []);
  };
  const read = async (key: string) => {
    const { Body } = await s3.send(new GetObjectCommand({ Bucket: BUCKET, Key: key }));
    return (await Body?.transformToByteArray()) ?? new Uint8Array();
  };
  /** Event ids as they are stored, duplicates too, by sequence. */
  const stored = async () => {
    const files = await Promise.all((await keys()).map(read));
    return files.length === 0 ? [] : (await readParquet(files)).map((one) => one.event_id);
  };
  return { aws, s3, client, keys, stored, log: createAuditLog({ s3, bucket: BUCKET }) };
}

const keyOf = (n: number, day = "2026-11-22") =>
  `audit/day=${day}/${padSequence(sequence(n))}.parquet`;
const rows = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, n) => row(from + n));
const ids = (from: number, to: number) => rows(from, to).map((one) => one.record.id);

describe("the audit log", () => {
  test("puts a batch as one object, named by its first sequence number", async () => {
    const { s3, log, keys, stored } = place();
    await log.append("shard-1", rows(1, 3));
    expect(await keys()).toEqual([keyOf(1)]);
    const head = await s3.send(new HeadObjectCommand({ Bucket: BUCKET, Key: keyOf(1) }));
    expect(head.ContentType).toBe("application/vnd.apache.parquet");
    expect(head.Metadata).toMatchObject({
      "first-sequence": sequence(1),
      "last-sequence": sequence(3),
      records: "3",
    });
    expect(await stored()).toEqual(ids(1, 3));
  });

  test("writes nothing for an empty batch", async () => {
    const { log, keys } = place();
    await log.append("shard-1", []);
    expect(await keys()).toEqual([]);
  });

  test("splits a batch at midnight UTC", async () => {
    const { log, keys, stored } = place();
    const midnight = Date.UTC(2026, 10, 23);
    await log.append("shard-1", [
      row(1, { time: midnight - 1 }),
      row(2, { time: midnight }),
      row(3, { time: midnight - 1 }), // clocks of two writers differ
    ]);
    expect(await keys()).toEqual([keyOf(1), keyOf(2, "2026-11-23")]);
    expect(await stored()).toEqual(ids(1, 3));
  });

  test("adds nothing for a batch that comes again", async () => {
    const { log, keys, stored } = place();
    await log.append("shard-1", rows(1, 3));
    await log.append("shard-1", rows(1, 3));
    expect(await keys()).toEqual([keyOf(1)]);
    expect(await stored()).toEqual(ids(1, 3));
  });

  test("adds nothing for a batch that comes again shorter", async () => {
    const { log, keys } = place();
    await log.append("shard-1", rows(1, 3));
    await log.append("shard-1", rows(1, 2));
    expect(await keys()).toEqual([keyOf(1)]);
  });

  test("adds the rest of a batch that comes again longer, over as many objects as there are", async () => {
    const { log, keys, stored } = place();
    await log.append("shard-1", rows(1, 2));
    await log.append("shard-1", rows(3, 4));
    await log.append("shard-1", rows(1, 6));
    expect(await keys()).toEqual([keyOf(1), keyOf(3), keyOf(5)]);
    expect(await stored()).toEqual(ids(1, 6));
  });

  test("compares sequence numbers as numbers, whatever their length", async () => {
    const { log, stored } = place();
    const numbered = (...numbers: string[]) =>
      numbers.map((sequenceNumber) => ({ sequenceNumber, record: record(Number(sequenceNumber)) }));
    await log.append("shard-1", numbered("9", "10"));
    await log.append("shard-1", numbered("9", "10", "100"));
    expect(await stored()).toEqual(["event-9", "event-10", "event-100"]);
  });

  test("loses nothing when two shards begin with the same sequence number", async () => {
    const { log, keys, stored } = place();
    const other = { sequenceNumber: sequence(1), record: record(9) };
    await log.append("shard-1", rows(1, 3));
    await log.append("shard-2", [other]);
    await log.append("shard-2", [other]);
    expect(await keys()).toHaveLength(2);
    expect((await stored()).toSorted()).toEqual([...ids(1, 3), "event-9"]);
  });

  test.each<[string, Record<string, string>]>([
    ["tells nothing", {}],
    ["tells no number", { "last-sequence": "0x10" }],
    ["ends before it begins", { "last-sequence": "1", "first-event": "event-1" }],
  ])("faults on an object under its name that %s", async (_, Metadata) => {
    const { s3, log } = place();
    await s3.send(new PutObjectCommand({ Bucket: BUCKET, Key: keyOf(1), Body: "x", Metadata }));
    await expect(log.append("shard-1", rows(1, 1))).rejects.toThrow(
      "not an object of the audit log",
    );
  });

  test("takes an object whose answer was lost for its own, when the client repeats the call", async () => {
    const { aws, client, keys, stored } = place();
    aws.faults.add({ service: "s3", operation: "PutObject", kind: "fail-after", times: 1 });
    const log = createAuditLog({ s3: client(3), bucket: BUCKET });
    await log.append("shard-1", rows(1, 3));
    expect(await keys()).toEqual([keyOf(1)]);
    expect(await stored()).toEqual(ids(1, 3));
  });

  test.each(["refuse", "fail-after"] as const)(
    "faults on a put that fails (%s), and the batch that comes again completes it",
    async (kind) => {
      const { aws, log, stored } = place();
      aws.faults.add({ service: "s3", operation: "PutObject", kind, times: 1 });
      await expect(log.append("shard-1", rows(1, 3))).rejects.toThrow();
      await log.append("shard-1", rows(1, 4));
      expect(await stored()).toEqual(ids(1, 4));
    },
  );

  test("keeps an object from deletion until the given time", async () => {
    const { aws, s3, keys } = place();
    const until = new Date(aws.clock.now() + 86_400_000);
    const log = createAuditLog({
      s3,
      bucket: BUCKET,
      now: aws.clock.now,
      retainUntil: (now) => new Date(now + 86_400_000),
    });
    await log.append("shard-1", rows(1, 1));
    const [Key] = await keys();
    const head = await s3.send(new HeadObjectCommand({ Bucket: BUCKET, Key }));
    expect(head.ObjectLockMode).toBe("COMPLIANCE");
    expect(
      Math.abs((head.ObjectLockRetainUntilDate?.getTime() ?? 0) - until.getTime()),
    ).toBeLessThan(60_000);
  });

  /** What a stream may do: deliver from the checkpoint on, and lose the answer before or after the effect. */
  interface Delivery {
    readonly length: number;
    readonly end: "done" | "answer lost" | "refused" | "lost inside";
    readonly back: number;
  }
  const deliveries: fc.Arbitrary<Delivery[]> = fc.array(
    fc.record({
      length: fc.integer({ min: 1, max: 6 }),
      end: fc.constantFrom("done", "answer lost", "refused", "lost inside"),
      back: fc.nat({ max: 4 }),
    }),
    { maxLength: 12 },
  );
  const total = 12;
  /** Every fifth record is the next day's. */
  const history = rows(1, total).map(({ sequenceNumber, record: one }, n) => ({
    sequenceNumber,
    record: { ...one, time: one.time + (n % 5 === 4 ? 86_400_000 : 0) },
  }));

  async function play(steps: readonly Delivery[], shrink: boolean) {
    const { aws, log, stored } = place();
    let checkpoint = 0;
    let longest = 0;
    for (const { length, end, back } of steps) {
      // Without shrinking, a batch reaches at least as far as any before it.
      const to = Math.max(checkpoint + length, shrink ? 0 : longest);
      longest = Math.max(longest, to);
      if (end === "refused" || end === "lost inside") {
        const kind = end === "refused" ? "refuse" : "fail-after";
        aws.faults.add({ service: "s3", operation: "PutObject", kind, times: 1 });
      }
      const failed = await log.append("shard-1", history.slice(checkpoint, to)).then(
        () => false,
        () => true,
      );
      aws.faults.clear();
      if (!failed && end === "done") checkpoint = Math.min(to, total);
      else if (shrink) checkpoint = Math.max(0, checkpoint - back);
    }
    await log.append("shard-1", history.slice(checkpoint));
    return await stored();
  }
  const all = history.map((one) => one.record.id).toSorted();

  test("loses no record, however batches are cut and come again", async () => {
    await fc.assert(
      fc.asyncProperty(deliveries, async (steps) => {
        expect([...new Set(await play(steps, true))].toSorted()).toEqual(all);
      }),
      { numRuns: 25 },
    );
  });

  test("stores each record once where no batch comes again shorter", async () => {
    await fc.assert(
      fc.asyncProperty(deliveries, async (steps) => {
        expect((await play(steps, false)).toSorted()).toEqual(all);
      }),
      { numRuns: 25 },
    );
  });
});
