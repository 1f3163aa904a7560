/** Promise 7: a story with refusals, errors and faults, and then every place where something of it was written down. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EventBridgeClient, PutRuleCommand, PutTargetsCommand } from "@aws-sdk/client-eventbridge";
import { GetObjectCommand, ListObjectsV2Command, S3Client } from "@aws-sdk/client-s3";
import {
  CreateQueueCommand,
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
  SetQueueAttributesCommand,
  SQSClient,
} from "@aws-sdk/client-sqs";
import { GetParameterCommand, SSMClient } from "@aws-sdk/client-ssm";
import { DuckDBInstance } from "@duckdb/node-api";
import { FACTS } from "@stint/core/audit";
import { eventDetail } from "@stint/core/events";
import { demoJobPayload } from "@stint/local/payloads";
import { letsRulesIn } from "@stint/local/roles";
import { webhookSecret } from "@stint/local/stint";
import { beforeAll, describe, expect, test } from "vitest";
import { assertNothingLives, drive, intercept, RULES, type Witness, watch } from "./witness.ts";
import { type Answer, type CallOptions, createWorld, grantIn, type World } from "./world.ts";

let world: World;
let witness: Witness;
/** What nobody may write down, by what it is. */
const secrets = new Map<string, string>();
const answers: Answer[] = [];
const queued: string[] = [];
const busMessages: string[] = [];
const schedulerInputs: string[] = [];
let logRows: Array<Record<string, unknown>>;
let logBytes: Buffer;

const PERSON = { name: "Ann Perkins", email: "ann@example.test" };
const ACTOR = "octo-actor-4711";

/** A call whose bearer and whose answer's secrets are remembered. */
const call = async (method: string, path: string, options: CallOptions = {}): Promise<Answer> => {
  if (options.token !== undefined && options.token.length > 40)
    secrets.set(`bearer ${secrets.size}`, options.token);
  const answer = await drive(world, world.call(method, path, options));
  answers.push(answer);
  if (answer.body?.token !== undefined)
    secrets.set(`grant token ${secrets.size}`, answer.body.token);
  return answer;
};

const ask = async (token: string, body = {}, headers = {}) =>
  call("POST", "/v1/grants", {
    token,
    body: { profile: "orders-integration", ...body },
    headers,
  });

async function busListener(): Promise<string> {
  const sqs = new SQSClient(world.administrator);
  const { QueueUrl = "" } = await sqs.send(new CreateQueueCommand({ QueueName: "bus-listener" }));
  const { Attributes } = await sqs.send(
    new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ["QueueArn"] }),
  );
  const arn = Attributes?.QueueArn ?? "";
  await sqs.send(
    new SetQueueAttributesCommand({ QueueUrl, Attributes: { Policy: letsRulesIn(arn, RULES) } }),
  );
  const bridge = new EventBridgeClient(world.administrator);
  const rule = { Name: "all", EventBusName: "stint" };
  await bridge.send(
    new PutRuleCommand({ ...rule, EventPattern: JSON.stringify({ source: ["stint"] }) }),
  );
  await bridge.send(
    new PutTargetsCommand({
      Rule: rule.Name,
      EventBusName: rule.EventBusName,
      Targets: [{ Id: "queue", Arn: arn }],
    }),
  );
  return QueueUrl;
}

async function drain(url: string): Promise<string[]> {
  const sqs = new SQSClient(world.administrator);
  const bodies: string[] = [];
  for (;;) {
    const { Messages = [] } = await sqs.send(
      new ReceiveMessageCommand({ QueueUrl: url, MaxNumberOfMessages: 10 }),
    );
    if (Messages.length === 0) return bodies;
    bodies.push(...Messages.map(({ Body = "" }) => Body));
  }
}

/** The audit log's objects as bytes, and as the rows that readers see. */
async function readLog(): Promise<void> {
  const s3 = new S3Client({ ...world.administrator, forcePathStyle: true });
  const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket: "stint-audit" }));
  const directory = await mkdtemp(join(tmpdir(), "stint-log-"));
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  try {
    const all: Buffer[] = [];
    for (const [i, { Key }] of Contents.entries()) {
      const { Body, Metadata } = await s3.send(
        new GetObjectCommand({ Bucket: "stint-audit", Key: Key ?? "" }),
      );
      const bytes = Buffer.from((await Body?.transformToByteArray()) ?? []);
      all.push(bytes, Buffer.from(JSON.stringify({ Key, Metadata })));
      await writeFile(join(directory, `${i}.parquet`), bytes);
    }
    logBytes = Buffer.concat(all);
    const reader = await connection.runAndReadAll(
      `SELECT * FROM read_parquet('${directory}/*.parquet') ORDER BY sequence`,
    );
    logRows = reader.getRowObjectsJson();
  } finally {
    connection.closeSync();
    instance.closeSync();
    await rm(directory, { recursive: true });
  }
}

const plain = (_: string, value: unknown) => (value instanceof Set ? [...value] : value);
const textOf = (value: unknown): string => JSON.stringify(value, plain) ?? "";

/** Every way in which a secret could be written: as it is, inside JSON, in a URL, or encoded. */
const shapesOf = (secret: string): string[] => [
  secret,
  JSON.stringify(secret).slice(1, -1),
  encodeURIComponent(secret),
  Buffer.from(secret).toString("base64").replace(/=+$/, "").slice(0, -2),
  Buffer.from(secret).toString("base64url").slice(0, -2),
  Buffer.from(secret).toString("hex"),
];

function expectNoSecretIn(where: string, text: string): void {
  expect(text.length, `${where} is not empty`).toBeGreaterThan(100);
  for (const [what, secret] of secrets)
    for (const shape of shapesOf(secret))
      expect(text.includes(shape), `${what} in ${where}`).toBe(false);
}

beforeAll(async () => {
  world = await createWorld({ maxAttempts: 1 });
  witness = await watch(world);
  const bus = await busListener();
  intercept(world.aws.services.sqs.operations, "SendMessage", async (next, input) => {
    queued.push(JSON.stringify(input));
    return next();
  });
  intercept(world.aws.services.scheduler.operations, "CreateSchedule", async (next, input) => {
    schedulerInputs.push(JSON.stringify(input));
    return next();
  });
  await story();
  await assertNothingLives(witness);
  busMessages.push(...(await drain(bus)));
  await readLog();
  for (const { secretAccessKey, sessionToken } of witness.sessions) {
    secrets.set(`secret access key ${secrets.size}`, secretAccessKey);
    secrets.set(`session token ${secrets.size}`, sessionToken);
  }
  const { Parameter } = await new SSMClient(world.administrator).send(
    new GetParameterCommand({ Name: "/stint/token-keys", WithDecryption: true }),
  );
  for (const { key } of JSON.parse(Parameter?.Value ?? "{}").keys) {
    secrets.set("HMAC key", key);
    secrets.set("HMAC key's bytes", Buffer.from(key, "base64").toString("latin1"));
  }
  secrets.set("webhook secret", webhookSecret("github"));
}, 60_000);

/** Everything that may happen to a caller: what works, what is refused, and what breaks on the way. */
async function story(): Promise<void> {
  const job = (claims = {}) => world.jobToken({ actor: ACTOR, ...claims });
  const { faults } = world.aws;
  const token = await job();
  const first = await ask(token, { reason: "nightly", name: "run 1" });
  expect(first.status).toBe(201);
  expect((await ask(token, { reason: "nightly", name: "run 1" })).status).toBe(200);
  const { id } = grantIn(first);
  await call("POST", `/v1/grants/${id}/credentials`, { token: first.body.token });
  await call("GET", `/v1/grants/${id}`, { token: first.body.token });

  // Refusals, with the token where it does not belong.
  expect((await ask(await job({ ref: "refs/heads/other" }))).status).toBe(403);
  expect((await ask(token, {}, { "idempotency-key": "another" })).status).toBe(422);
  expect((await ask(token, { secret: token })).status).toBe(400);
  expect((await ask(await job(), { profile: "no-such-profile" })).status).toBe(403);
  expect((await ask(`${token}x`)).status).toBe(401);
  expect((await ask(token.slice(0, -40))).status).toBe(401);
  expect((await ask(await job({ exp: 1 }))).status).toBe(401);
  expect((await ask(await job({ aud: "https://elsewhere.test" }))).status).toBe(401);
  expect((await call("GET", `/v1/grants/${token}`, { token })).status).toBe(404);
  expect((await call("GET", `/v1/grants?cursor=${first.body.token}`, { token })).status).toBe(400);
  expect(
    (await call("POST", `/v1/grants/${id}/credentials`, { token: `${first.body.token}x` })).status,
  ).toBe(401);
  expect((await call("POST", "/v1/grants", { token, raw: `{"profile": "${token}` })).status).toBe(
    400,
  );
  expect((await call("POST", "/v1/decisions", { token, body: { profile: "x" } })).status).toBe(200);

  // A person, an approval, a revocation.
  const person = await world.issuer.mint("local", {
    sub: "ann",
    groups: ["developers"],
    ...PERSON,
  });
  const owner = await world.issuer.mint("local", {
    sub: "own",
    groups: ["orders-owners"],
    name: "Ron Swanson",
  });
  const asked = await ask(person, { reason: "debugging" }, { "idempotency-key": "person" });
  expect(asked.status).toBe(202);
  await call("POST", `/v1/grants/${grantIn(asked).id}/approval`, {
    token: owner,
    body: { decision: "approve", reason: "go on" },
  });
  const claimed = await call("POST", `/v1/grants/${grantIn(asked).id}/credentials`, {
    token: asked.body.token,
  });
  expect(claimed.status).toBe(200);
  await call("GET", "/v1/grants?profile=orders-integration", { token: owner });
  await call("DELETE", `/v1/grants/${grantIn(asked).id}`, { token: owner });

  // Every call breaks once, before and after its work.
  const breaking = [
    { service: "dynamodb", operation: "TransactWriteItems" },
    { service: "sts", operation: "AssumeRole" },
    { service: "scheduler", operation: "CreateSchedule" },
    { service: "events", operation: "PutEvents" },
    { service: "sqs", operation: "SendMessage" },
    { service: "iam", operation: "PutRolePolicy" },
    { service: "s3", operation: "PutObject" },
    { service: "ssm", operation: "GetParameter" },
  ];
  let run = 100;
  for (const kind of ["refuse", "fail-after"] as const)
    for (const where of breaking) {
      run += 1;
      // Keys and secrets are read again, so that this can fail too.
      await world.advance(301_000);
      const fault = faults.add({ ...where, kind, times: 1 });
      const mine = await job({ run_id: String(run) });
      const answer = await ask(mine);
      const again = answer.status === 201 ? answer : await ask(mine);
      if (again.body.token !== undefined)
        await call("DELETE", `/v1/grants/${grantIn(again).id}`, { token: again.body.token });
      await world.advance(65_000);
      faults.remove(fault);
    }

  // Webhooks, good and bad.
  const payload = demoJobPayload("completed");
  expect((await world.github("workflow_job", payload)).status).toBe(202);
  answers.push(
    await world.call("POST", "/v1/webhooks/github", {
      raw: JSON.stringify(payload),
      headers: {
        "x-github-event": "workflow_job",
        "x-github-delivery": "bad",
        "x-hub-signature-256": `sha256=${"0".repeat(64)}`,
      },
    }),
  );
  expect(await ask(await job())).toMatchObject({ status: 409 });
}

describe("no secret is written down", () => {
  test("in the story were all kinds of them", () => {
    const kinds = [...secrets.keys()].map((what) => what.replace(/ \d+$/, ""));
    expect(new Set(kinds)).toEqual(
      new Set([
        "bearer",
        "grant token",
        "secret access key",
        "session token",
        "HMAC key",
        "HMAC key's bytes",
        "webhook secret",
      ]),
    );
    expect(secrets.size).toBeGreaterThan(50);
    expect(new Set(answers.map(({ status }) => status))).toEqual(
      new Set([200, 201, 202, 400, 401, 403, 404, 409, 422, 503]),
    );
  });

  test("in the table", async () => {
    expectNoSecretIn("the table", (await world.items()).map(textOf).join("\n"));
  });

  test("in the table's stream", () => {
    expectNoSecretIn("the stream", witness.images.map(textOf).join("\n"));
  });

  test("on the bus", () => {
    expectNoSecretIn("the bus", busMessages.join("\n"));
  });

  test("in a queue", () => {
    expectNoSecretIn("the queues", queued.join("\n"));
  });

  test("in a schedule", () => {
    expectNoSecretIn("the schedules", schedulerInputs.join("\n"));
  });

  test("in the audit log, by its bytes and by its rows", () => {
    expectNoSecretIn("the log's bytes", logBytes.toString("latin1"));
    expectNoSecretIn("the log's rows", textOf(logRows));
  });

  test("for operators", () => {
    expectNoSecretIn("the logs", world.logged.map(textOf).join("\n"));
    expect(world.logged.some(({ level }) => level === "error")).toBe(true);
  });

  test("in an answer that is a problem", () => {
    const problems = answers.filter(({ status }) => status >= 400);
    expectNoSecretIn("the problems", problems.map(textOf).join("\n"));
  });

  test("in an answer to whoever only reads", () => {
    const reads = answers.filter(
      ({ status, body }) =>
        status < 400 && body?.credentials === undefined && body?.token === undefined,
    );
    expectNoSecretIn("the reads", reads.map(textOf).join("\n"));
  });
});

describe("the bus", () => {
  test("carries facts of the one schema, each under its own id", () => {
    const ids = new Set<string>();
    for (const message of busMessages) {
      const event = JSON.parse(message);
      expect(event.source).toBe("stint");
      const detail = eventDetail.parse(event.detail);
      expect(event["detail-type"]).toBe(detail.fact);
      ids.add(detail.id);
    }
    // Each record of the table's changes is an event, also those whose first publishing failed.
    expect(ids).toEqual(new Set(witness.records.map(({ id }) => id)));
    const facts = new Set(witness.records.map(({ fact }) => fact));
    expect([...facts].sort()).toEqual(
      FACTS.filter(
        (fact) =>
          !["grant.approved", "grant.retried", "grant.stuck", "run.ended"].includes(fact) &&
          !fact.startsWith("role.") &&
          !fact.startsWith("drift.") &&
          !fact.startsWith("revocation."),
      ).toSorted(),
    );
  });

  test("carries nothing personal", () => {
    const text = busMessages.join("\n");
    for (const personal of [ACTOR, PERSON.name, PERSON.email, "Ron Swanson"])
      expect(text).not.toContain(personal);
    // Which the log has, or this would prove nothing.
    expect(textOf(logRows)).toContain(ACTOR);
  });
});

describe("the audit log", () => {
  test("has every record once, whatever was delivered again", () => {
    const ids = logRows.map(({ event_id }) => event_id);
    expect(ids).toEqual(witness.records.map(({ id }) => id));
    expect(new Set(ids).size).toBe(ids.length);
  });
});
