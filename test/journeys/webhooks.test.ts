/** What pipelines report: believed by its signature alone, and never more than an end. */
import { createRequire } from "node:module";
import { DeleteParameterCommand, PutParameterCommand, SSMClient } from "@aws-sdk/client-ssm";
import { webhook } from "@stint/functions/webhook";
import { demoJobPayload } from "@stint/local/payloads";
import { pipelines } from "@stint/pipelines/registry";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import * as z from "zod";
import { configWith, expectProblem, leaving } from "./traces.ts";
import { createWorld, grantIn, inside, sign, type World } from "./world.ts";

const PROFILE = "orders-integration";

let world: World;
let runs = 1_000;
beforeAll(async () => {
  world = await createWorld();
});

interface Job {
  readonly run: string;
  readonly attempt: string;
  readonly job: string;
}

/** A job that nobody has heard of yet. */
const newJob = (of: Partial<Job> = {}): Job => {
  runs += 1;
  return { run: String(runs), attempt: "1", job: String(runs * 10), ...of };
};

const ask = async (job: Job, key = "key", on = world) =>
  on.call("POST", "/v1/grants", {
    token: await on.jobToken({ run_id: job.run, run_attempt: job.attempt, check_run_id: job.job }),
    body: { profile: PROFILE },
    headers: { "idempotency-key": key },
  });

const open = async (job: Job, key?: string, on = world) => {
  const answer = await ask(job, key, on);
  expect(answer.status).toBe(201);
  return grantIn(answer).id;
};

const report = (job: Job, more: object = {}, action = "completed") => ({
  ...demoJobPayload("completed"),
  action,
  workflow_job: {
    ...(demoJobPayload("completed").workflow_job as object), // GitHub's own payload has one
    run_id: Number(job.run),
    run_attempt: Number(job.attempt),
    check_run_url: `https://api.github.com/repos/octo-org/octo-repo/check-runs/${job.job}`,
    ...more,
  },
});

const runReport = ({ run, attempt }: Job, action = "completed") => ({
  action,
  workflow_run: { id: Number(run), run_attempt: Number(attempt) },
});

const grantOf = async (id: string, on = world) => {
  const item = (await on.items()).find(({ pk }) => pk === `GRANT#${id}`);
  return z.object({ grant: z.looseObject({ state: z.string() }) }).parse(item).grant;
};

const stateOf = async (id: string, on = world) => (await grantOf(id, on)).state;

/** A delivery with headers of the test's own making. */
const deliver = (
  raw: string | Uint8Array,
  headers: Readonly<Record<string, string>>,
  without: readonly string[] = [],
) => {
  const all = {
    "x-github-event": "workflow_job",
    "x-github-delivery": `own-${++runs}`,
    ...headers,
  };
  const sent = Object.entries(all).filter(([name]) => !without.includes(name));
  return leaving(world, () =>
    world.call("POST", "/v1/webhooks/github", { raw, headers: Object.fromEntries(sent) }),
  );
};

describe("a signature", () => {
  let job: Job;
  let id: string;
  let raw: string;
  beforeAll(async () => {
    job = newJob();
    id = await open(job);
    raw = JSON.stringify(report(job));
  });

  const hex = (text: string) => sign(text).slice("sha256=".length);
  test.each<[string, (raw: string) => Record<string, string>]>([
    ["missing", () => ({})],
    ["empty", () => ({ "x-hub-signature-256": "" })],
    ["of zeros", () => ({ "x-hub-signature-256": `sha256=${"0".repeat(64)}` })],
    [
      "of SHA-1 alone",
      () => ({ "x-hub-signature": "sha1=0123456789abcdef0123456789abcdef01234567" }),
    ],
    ["right, in the header of SHA-1", (of) => ({ "x-hub-signature": sign(of) })],
    ["right, called SHA-1", (of) => ({ "x-hub-signature-256": `sha1=${hex(of)}` })],
    ["right, without its name", (of) => ({ "x-hub-signature-256": hex(of) })],
    ["right, in capitals", (of) => ({ "x-hub-signature-256": `sha256=${hex(of).toUpperCase()}` })],
    ["right, cut", (of) => ({ "x-hub-signature-256": sign(of).slice(0, -2) })],
    ["right, and more", (of) => ({ "x-hub-signature-256": `${sign(of)}00` })],
    ["right, twice", (of) => ({ "x-hub-signature-256": `${sign(of)}, ${sign(of)}` })],
    ["right, with a space", (of) => ({ "x-hub-signature-256": ` ${sign(of)}` })],
    ["of another body", () => ({ "x-hub-signature-256": sign("{}") })],
    [
      "by another pipeline's secret",
      (of) => ({ "x-hub-signature-256": sign(of, "local-gitlab-webhook-secret") }),
    ],
    [
      "by the parameter's name",
      (of) => ({ "x-hub-signature-256": sign(of, "/stint/webhooks/github") }),
    ],
    ["by an empty secret", (of) => ({ "x-hub-signature-256": sign(of, "") })],
    [
      "by the secret with a line break",
      (of) => ({ "x-hub-signature-256": sign(of, "local-github-webhook-secret\n") }),
    ],
  ])("that is %s ends nothing and leaves nothing", async (_, headers) => {
    const { answer, left } = await deliver(raw, headers(raw));
    expectProblem(answer, 401, "unauthenticated", /signature is missing or wrong/);
    expect(left).toEqual({});
  });

  test("does not hold for a body with one byte changed, added or taken away", async () => {
    const signature = { "x-hub-signature-256": sign(raw) };
    const bytes = Buffer.from(raw);
    for (const at of [0, 1, 10, Math.floor(bytes.length / 2), bytes.length - 1]) {
      const changed = Buffer.from(bytes);
      changed.writeUInt8((changed[at] ?? 0) ^ 1, at);
      const { answer, left } = await deliver(changed, signature);
      expectProblem(answer, 401, "unauthenticated");
      expect(left).toEqual({});
    }
    for (const other of [
      `${raw} `,
      ` ${raw}`,
      `${raw}\n`,
      raw.slice(0, -1),
      JSON.stringify(JSON.parse(raw), null, 2),
      "",
    ])
      expectProblem((await deliver(other, signature)).answer, 401, "unauthenticated");
    expect(await stateOf(id)).toBe("active");
  });

  test("is needed before anything is said about the payload", async () => {
    for (const body of ["{", "[]", "null", Uint8Array.of(0xff), "", "x".repeat(2_000_000)])
      expectProblem((await deliver(body, {})).answer, 401, "unauthenticated");
  });

  test("of a pipeline that Stint does not know is not even looked at", async () => {
    for (const name of ["gitlab", "GITHUB", "__proto__", "constructor", "github%00"]) {
      const { answer, left } = await leaving(world, () =>
        world.call("POST", `/v1/webhooks/${name}`, {
          raw,
          headers: { "x-hub-signature-256": sign(raw) },
        }),
      );
      expectProblem(answer, 404, "route_not_found", /no pipeline of that name/);
      expect(left).toEqual({});
    }
  });

  test("that holds ends the job's grant, however the header is spelled", async () => {
    expect(await stateOf(id)).toBe("active");
    const { answer } = await deliver(raw, { "X-Hub-Signature-256": sign(raw) });
    expect(answer).toMatchObject({ status: 202, body: { accepted: true } });
    expect(await grantOf(id)).toMatchObject({ state: "ended", why: "job_ended" });
  });

  test("opens nothing where the secret is missing, or cannot be read", async () => {
    const own = await createWorld();
    const grant = await open(job, "key", own);
    const post = async () => leaving(own, () => own.github("workflow_job", raw));
    own.aws.faults.add({ service: "ssm", kind: "refuse" });
    const down = await post();
    expectProblem(down.answer, 503, "unavailable");
    expect(down.left).toEqual({});
    own.aws.faults.clear();
    await new SSMClient(own.administrator).send(
      new DeleteParameterCommand({ Name: "/stint/webhooks/github" }),
    );
    const missing = await post();
    expectProblem(missing.answer, 401, "unauthenticated");
    expect(missing.left).toEqual({});
    const empty = await leaving(own, () =>
      own.call("POST", "/v1/webhooks/github", {
        raw,
        headers: {
          "x-github-event": "workflow_job",
          "x-github-delivery": "empty",
          "x-hub-signature-256": sign(raw, ""),
        },
      }),
    );
    expectProblem(empty.answer, 401, "unauthenticated");
    expect(empty.left).toEqual({});
    expect(await stateOf(grant, own)).toBe("active");
  });

  test("speaks for the issuer whose secret made it, and for no other", async () => {
    const own = await createWorld();
    const grant = await open(job, "key", own);
    const secret = "the-servers-own-secret";
    const Name = "/stint/webhooks/ghes";
    await new SSMClient(own.administrator).send(
      new PutParameterCommand({ Name, Value: secret, Type: "SecureString" }),
    );
    const { github } = pipelines;
    if (github === undefined) throw new Error("there is no pipeline github");
    const app = own.stint.app("webhook");
    const server = {
      kind: "pipeline",
      url: "https://ghes.test/_services/token",
      pipeline: github,
      webhookSecret: Name,
    } as const;
    const door = webhook({ ...app, issuers: [...app.issuers, server] });
    const event = {
      version: "2.0",
      rawPath: "/v1/webhooks/github",
      rawQueryString: "",
      headers: {
        "x-github-event": "workflow_job",
        "x-github-delivery": "ghes",
        "x-hub-signature-256": sign(raw, secret),
      },
      requestContext: { requestId: "test", http: { method: "POST", path: "/v1/webhooks/github" } },
      body: raw,
      isBase64Encoded: false,
    };
    // Middy's type wants a context; nothing in the door looks at it.
    const answer = await door(event, {} as never);
    expect(answer).toMatchObject({ statusCode: 202 });
    await own.aws.settle();
    expect(await stateOf(grant, own)).toBe("active");
    const keys = (await own.items()).flatMap(({ pk, endedAt }) => (endedAt ? [pk] : []));
    expect(keys).toEqual([`RUN#https://ghes.test/_services/token#${job.run}#1`]);
  });
});

describe("a payload", () => {
  test.each<[string, string, string, RegExp]>([
    ["that is not JSON", "workflow_job", "{", /not JSON/],
    ["that is empty", "workflow_job", "", /not JSON/],
    ["that is a form", "workflow_job", "payload=%7B%7D", /not JSON/],
    ["that is a list", "workflow_job", "[]", /malformed/],
    ["that is null", "workflow_run", "null", /malformed/],
    ["without an action", "workflow_job", "{}", /action/],
    ["whose action is a number", "workflow_run", '{"action":1}', /action/],
    ["without its job", "workflow_job", '{"action":"completed"}', /workflow_job/],
    ["without its run", "workflow_run", '{"action":"completed"}', /workflow_run/],
    [
      "of a job, called a run",
      "workflow_run",
      JSON.stringify({ ...report(newJob()), workflow_run: undefined }),
      /workflow_run/,
    ],
    ["of a run, called a job", "workflow_job", JSON.stringify(runReport(newJob())), /workflow_job/],
    [
      "whose run has no id",
      "workflow_run",
      '{"action":"completed","workflow_run":{"run_attempt":1}}',
      /id/,
    ],
  ])("%s is malformed", async (_, event, raw, detail) => {
    const { answer, left } = await leaving(world, () => world.github(event, raw));
    expectProblem(answer, 400, "invalid_request", detail);
    expect(left).toEqual({});
  });

  test.each<[string, object]>([
    ["run_id", { run_id: undefined }],
    ["run_id", { run_id: "1001" }],
    ["run_id", { run_id: 0 }],
    ["run_id", { run_id: -1 }],
    ["run_id", { run_id: 1.5 }],
    ["run_id", { run_id: 2 ** 53 }],
    ["run_attempt", { run_attempt: 0 }],
    ["run_attempt", { run_attempt: "1" }],
    ["check_run_url", { check_run_url: undefined }],
    ["check_run_url", { check_run_url: 1291536064 }],
    ["check_run_url", { check_run_url: "1291536064" }],
    ["check_run_url", { check_run_url: "https://api.github.com/check-runs/" }],
    ["check_run_url", { check_run_url: "https://api.github.com/check-runs/12/" }],
    ["check_run_url", { check_run_url: "https://api.github.com/check-runs/0" }],
    ["check_run_url", { check_run_url: "https://api.github.com/check-runs/12?x=1" }],
    ["check_run_url", { check_run_url: "https://api.github.com/check-runs/12\n" }],
    ["check_run_url", { check_run_url: `https://api.github.com/check-runs/${"1".repeat(21)}` }],
  ])("whose %s is of another shape is malformed: %j", async (field, more) => {
    const { answer, left } = await leaving(world, () =>
      world.github("workflow_job", report(newJob(), more)),
    );
    expectProblem(answer, 400, "invalid_request", new RegExp(field));
    expect(left).toEqual({});
  });

  test.each<[string, Record<string, string>, string[]]>([
    ["Event", {}, ["x-github-event"]],
    ["Delivery", {}, ["x-github-delivery"]],
    ["Delivery", { "x-github-delivery": "" }, []],
    ["Delivery", { "x-github-delivery": "a b#c" }, []],
    ["Delivery", { "x-github-delivery": "d".repeat(65) }, []],
  ])("without a proper header X-GitHub-%s ends nothing: %j", async (name, headers, without) => {
    const job = newJob();
    const id = await open(job);
    const raw = JSON.stringify(report(job));
    const signed = { "x-hub-signature-256": sign(raw), ...headers };
    const { answer, left } = await deliver(raw, signed, without);
    expectProblem(answer, 400, "invalid_request", new RegExp(`X-GitHub-${name}`));
    expect(left).toEqual({});
    expect(await stateOf(id)).toBe("active");
  });

  test("of an event that ends nothing is accepted and forgotten", async () => {
    const job = newJob();
    const id = await open(job);
    for (const event of [
      "ping",
      "push",
      "check_run",
      "something_new",
      "WORKFLOW_JOB",
      "",
      "__proto__",
    ]) {
      const { answer, left } = await leaving(world, () => world.github(event, report(job)));
      expect(answer).toMatchObject({ status: 202, body: { accepted: true } });
      expect(left).toEqual({});
    }
    expect(await stateOf(id)).toBe("active");
  });

  test.each([
    "queued",
    "in_progress",
    "waiting",
    "requested",
    "rerequested",
    "created",
    "COMPLETED",
    "",
  ])("that says %j neither ends, opens nor extends", async (action) => {
    const job = newJob();
    const id = await open(job);
    const before = await grantOf(id);
    for (const [event, payload] of [
      ["workflow_job", report(job, { ends_at: "2099-01-01T00:00:00Z", duration: "2h" }, action)],
      ["workflow_run", runReport(job, action)],
      ["workflow_job", report(newJob(), {}, action)],
    ] as const) {
      const { answer, left } = await leaving(world, () => world.github(event, payload));
      expect(answer.status).toBe(202);
      expect(left).toEqual({});
    }
    expect(await grantOf(id)).toEqual(before);
  });

  test.each([
    "https://evil.test/api/v3/repos/x/y/check-runs/",
    "http://127.0.0.1:4012/",
    "javascript:/",
    "../../",
    "/",
    "https://api.github.com/repos/other/repository/check-runs/999/",
  ])("names its job by the last segment of %s… and nothing before it", async (prefix) => {
    const job = newJob();
    const id = await open(job);
    await world.github("workflow_job", report(job, { check_run_url: `${prefix}${job.job}` }));
    expect(await grantOf(id)).toMatchObject({ state: "ended", why: "job_ended" });
  });
});

describe("an end", () => {
  test.each<[string, Partial<Job>]>([
    ["attempt", { attempt: "2" }],
    ["run", { run: "999" }],
    ["job", { job: "9" }],
  ])("of another %s leaves the grant alone, and it can be refreshed", async (_, other) => {
    const job = newJob();
    const id = await open(job);
    const answer = await world.github("workflow_job", report({ ...job, ...other }));
    expect(answer.status).toBe(202);
    expect(await stateOf(id)).toBe("active");
    expect((await ask(job)).status).toBe(200);
  });

  test("without an attempt is of the first", async () => {
    const job = newJob();
    const second = { ...job, attempt: "2" };
    const ids = [await open(job), await open(second)];
    await world.github("workflow_job", report(job, { run_attempt: undefined }));
    expect(await Promise.all(ids.map((id) => stateOf(id)))).toEqual(["ended", "active"]);
  });

  test("of a job ends all of its grants, and none of its neighbours'", async () => {
    const job = newJob();
    const neighbour = { ...job, job: `${job.job}1` };
    const ids = [await open(job, "one"), await open(job, "two"), await open(neighbour)];
    await world.github("workflow_job", report(job));
    expect(await Promise.all(ids.map((id) => stateOf(id)))).toEqual(["ended", "ended", "active"]);
  });

  test("of a run ends all grants of all jobs of that attempt, and lets none of them come back", async () => {
    const job = newJob();
    const others = [newJob({ run: job.run }), newJob({ run: job.run })];
    const again = { ...job, attempt: "2" };
    const jobs = [job, ...others, again];
    const ids = await Promise.all(jobs.map((one) => open(one)));
    expect((await world.github("workflow_run", runReport(job))).status).toBe(202);
    expect(await Promise.all(ids.map((id) => stateOf(id)))).toEqual([
      "ended",
      "ended",
      "ended",
      "active",
    ]);
    for (const one of [job, newJob({ run: job.run })]) {
      const { answer, left } = await leaving(world, () => ask(one, "later"));
      expectProblem(answer, 409, "job_ended", /job has ended/);
      expect(left).toEqual({ DECISION: 1 });
    }
    await open(again, "later");
  });

  test("of a job that never asked is remembered: its later request is too late", async () => {
    const job = newJob();
    const { left } = await leaving(world, () => world.github("workflow_job", report(job)));
    expect(left).toEqual({ RUN: 1, DELIVERY: 1 });
    const late = await leaving(world, () => ask(job));
    expectProblem(late.answer, 409, "job_ended", /job has ended/);
    expect(late.answer.body.hint).toMatch(/running/);
    expect(late.left).toEqual({ DECISION: 1 });
  });

  test("that comes again, or by another delivery, moves nothing", async () => {
    const job = newJob();
    const id = await open(job);
    const tombstone = async () =>
      (await world.items()).find(({ sk }) => sk === `JOB#${job.job}`)?.endedAt;
    await world.github("workflow_job", report(job), "first-report");
    const endedAt = await tombstone();
    // To the second: a function in a process of its own has a clock that goes on by itself.
    expect(Math.floor(Number(endedAt) / 1000)).toBe(Math.floor(world.aws.clock.now() / 1000));
    // Until its denial has spread, and is proved.
    await world.advance(5_000);
    const before = await grantOf(id);
    expect(before).toMatchObject({ provedAt: expect.any(Number) });
    const replay = await leaving(world, () =>
      world.github("workflow_job", report(job), "first-report"),
    );
    expect(replay.answer).toMatchObject({ status: 202, body: { accepted: true } });
    expect(replay.left).toEqual({});
    const redelivered = await leaving(world, () => world.github("workflow_job", report(job)));
    expect(redelivered.answer.status).toBe(202);
    expect(redelivered.left.DELIVERY).toBe(1);
    expect(redelivered.left.GRANT).toBeUndefined();
    expect(await tombstone()).toBe(endedAt);
    expect(await grantOf(id)).toEqual(before);
  });

  test("that was captured and sent on under another event's name does nothing", async () => {
    const job = newJob();
    const id = await open(job);
    const raw = JSON.stringify(report(job));
    for (const event of ["ping", "workflow_run", "check_run"]) {
      const { left } = await leaving(world, () => world.github(event, raw, "captured"));
      expect(left).toEqual({});
    }
    expect(await stateOf(id)).toBe("active");
    // Nor does it use up the delivery that is still to come.
    await world.github("workflow_job", raw, "captured");
    expect(await stateOf(id)).toBe("ended");
  });

  test("is remembered for 40 days, its delivery for three", async () => {
    const job = newJob();
    await world.github("workflow_job", report(job), "remembered");
    const seconds = Math.floor(world.aws.clock.now() / 1000);
    const items = await world.items();
    const ttlOf = (pk: string) => items.find((item) => item.pk === pk)?.ttl;
    const delivery = Number(ttlOf("DELIVERY#github#remembered"));
    expect(delivery).toBe(seconds + 3 * 86_400);
    const tombstone = Number(items.find(({ sk }) => sk === `JOB#${job.job}`)?.ttl);
    expect(tombstone).toBe(seconds + 40 * 86_400);
  });

  inside(
    "withdraws what still waits for approval, and what is approved and not claimed",
    async () => {
      const own = await createWorld({
        config: configWith(`  - id: jobs
    profile: orders-integration
    to: { pipeline: github, repository_id: "186853002" }
    approval: { from: { person: { group: orders-owners } }, count: 1 }
`),
      });
      const job = newJob();
      const asked = [await ask(job, "one", own), await ask(job, "two", own)];
      expect(asked.map(({ status }) => status)).toEqual([202, 202]);
      const [pending = "", ready = ""] = asked.map((answer) => grantIn(answer).id);
      const owner = await own.personToken("owner", ["orders-owners"]);
      const approve = (id: string) =>
        own.call("POST", `/v1/grants/${id}/approval`, {
          token: owner,
          body: { decision: "approve", reason: "fine" },
        });
      expect((await approve(ready)).status).toBe(200);
      await own.github("workflow_job", report(job));
      expect(await stateOf(pending, own)).toBe("ended");
      expect(await stateOf(ready, own)).toBe("ended");
      expectProblem(await approve(pending), 409, "grant_changed");
      const claim = await leaving(own, () =>
        own.call("POST", `/v1/grants/${ready}/credentials`, { token: asked[1]?.body.token }),
      );
      expectProblem(claim.answer, 409, "grant_ended");
      expect(claim.left).toEqual({});
    },
  );
});

describe("GitHub's own payloads", () => {
  const examples = z
    .array(z.object({ name: z.string(), examples: z.array(z.looseObject({})) }))
    .parse(createRequire(import.meta.url)("@octokit/webhooks-examples"));
  const all = examples.flatMap(({ name, examples: of }) =>
    of.map((payload) => ({ name, payload })),
  );

  let own: World;
  beforeEach(async () => {
    own = await createWorld();
  });

  test("are all accepted, and only completed jobs and runs leave a tombstone", async () => {
    expect(all.length).toBeGreaterThan(300);
    const expected = new Set<string>();
    for (const { name, payload } of all) {
      const answer = await own.github(name, payload);
      expect(answer.status, `${name} ${payload.action}`).toBe(202);
      if (payload.action !== "completed") continue;
      if (name === "workflow_run") {
        const { id } = z.object({ id: z.number() }).parse(payload.workflow_run);
        expected.add(`#${id}#1 RUN`);
      }
      if (name === "workflow_job") {
        const { run_id, check_run_url } = z
          .object({ run_id: z.number(), check_run_url: z.string() })
          .parse(payload.workflow_job);
        expected.add(`#${run_id}#1 JOB#${check_run_url.split("/").at(-1)}`);
      }
    }
    const items = await own.items();
    const tombstones = items.filter(({ endedAt }) => endedAt !== undefined);
    const ended = tombstones.map(({ pk, sk }) => `${String(pk).replace(/^RUN#[^#]+/, "")} ${sk}`);
    expect(new Set(ended)).toEqual(expected);
    expect(expected.size).toBe(3);
    const others = items.filter(({ pk }) => !/^(RUN|DELIVERY)#/.test(String(pk)));
    expect(others).toEqual([]);
    expect(own.aws.errors).toEqual([]);
  });
});

test("nothing went wrong inside", () => {
  expect(world.aws.errors).toEqual([]);
  expect(world.logged.filter(({ level }) => level === "error")).toEqual([]);
});
