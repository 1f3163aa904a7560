import { EventBridgeClient, PutRuleCommand, PutTargetsCommand } from "@aws-sdk/client-eventbridge";
import {
  DeleteRoleCommand,
  DetachRolePolicyCommand,
  IAMClient,
  UpdateAssumeRolePolicyCommand,
} from "@aws-sdk/client-iam";
import { PurgeQueueCommand, SQSClient } from "@aws-sdk/client-sqs";
import type { Fault } from "@stint/local/faults";
import { demoJobPayload } from "@stint/local/payloads";
import { letsRulesIn } from "@stint/local/roles";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { expectProblem } from "./traces.ts";
import {
  assertNothingLives,
  deniedIds,
  drive,
  expectOver,
  intercept,
  RULES,
  scheduleOf,
  schedules,
  storedOf,
  type Witness,
  watch,
  works,
} from "./witness.ts";
import { type Answer, createWorld, grantIn, type World } from "./world.ts";

let world: World;
let witness: Witness;
let runs = 3000;

// A fault that never struck proves nothing.
afterEach(() => {
  for (const fault of world.aws.faults.list())
    expect(fault.struck, JSON.stringify(fault)).toBeGreaterThan(0);
  world.aws.faults.clear();
});

/** A request of a job of a run of its own; its repeat is the same request. */
const newJob = async () => {
  runs += 1;
  const token = await world.jobToken({ run_id: String(runs) });
  const ask = async () =>
    witness.take(
      await drive(
        world,
        world.call("POST", "/v1/grants", {
          token,
          body: { profile: "orders-integration", lease: "10m" },
        }),
        1_000,
      ),
    );
  return { token, ask, run: String(runs) };
};

const refresh = async (id: string, token: string, lease = "30m") =>
  witness.take(
    await drive(
      world,
      world.call("POST", `/v1/grants/${id}/credentials`, { token, body: { lease } }),
    ),
  );

const release = (id: string, token: string) =>
  drive(world, world.call("DELETE", `/v1/grants/${id}`, { token }));

/** What is looked at of a write, as it is on the wire. */
interface Write {
  readonly UpdateExpression?: string;
  readonly TransactItems?: ReadonlyArray<{
    readonly Put?: { readonly Item: { readonly grant?: { M: { state: { S: string } } } } };
    readonly Update?: { readonly UpdateExpression: string };
  }>;
}

/** A transaction that puts a grant into this state. */
const putsGrant = (state: string) => (input: unknown) =>
  (input as Write).TransactItems?.[0]?.Put?.Item.grant?.M.state.S === state;
/** The expression of an update, alone or as the first of a transaction. */
const updates = (part: string) => (input: unknown) => {
  const { UpdateExpression, TransactItems } = input as Write;
  return (UpdateExpression ?? TransactItems?.[0]?.Update?.UpdateExpression ?? "").includes(part);
};

type Where = Pick<Fault, "service" | "operation" | "when">;

const OPEN: Where = {
  service: "dynamodb",
  operation: "TransactWriteItems",
  when: putsGrant("opening"),
};
const LEASE: Where = {
  service: "dynamodb",
  operation: "TransactWriteItems",
  when: updates("openBy"),
};
const PLAN: Where = {
  service: "dynamodb",
  operation: "UpdateItem",
  when: updates("#grant.#leases"),
};
const END: Where = {
  service: "dynamodb",
  operation: "TransactWriteItems",
  when: putsGrant("ending"),
};
const EXPIRY: Where = {
  service: "dynamodb",
  operation: "TransactWriteItems",
  when: putsGrant("ended"),
};
const TOMBSTONE: Where = {
  service: "dynamodb",
  operation: "TransactWriteItems",
  when: (input) =>
    (input as Write).TransactItems?.[1]?.Update?.UpdateExpression.includes("endedAt") === true,
};
const MINT: Where = { service: "sts", operation: "AssumeRole" };
const SCHEDULE: Where = { service: "scheduler", operation: "CreateSchedule" };

type How = Pick<Fault, "kind" | "error">;

const throttled = (code: string, status = 400): How => ({
  kind: "refuse",
  error: { code, status, message: "Rate exceeded" },
});

const HOWS = {
  "is refused": { kind: "refuse" },
  "gets no answer and did nothing": { kind: "refuse", error: "timeout" },
  "gets no answer and did its work": { kind: "fail-after", error: "timeout" },
  "fails after its work": { kind: "fail-after" },
  "is throttled": throttled("ThrottlingException"),
} as const satisfies Record<string, How>;
type HowName = keyof typeof HOWS;

const DID_ITS_WORK: ReadonlySet<HowName> = new Set([
  "gets no answer and did its work",
  "fails after its work",
]);
const EVERY = Object.keys(HOWS) as HowName[]; // its own keys

const strike = (where: Where, how: How, times = 1) =>
  world.aws.faults.add({ ...where, ...how, times });

/** Past the issuing deadline, with a sweep after it. */
const LATER_MS = 125_000;

const expectUnavailable = (answer: Answer) => {
  expectProblem(answer, 503, "unavailable", /did not answer|still being issued/);
  expect(answer.headers["retry-after"]).toBe("1");
};

describe("while issuing, one call in a request without retries", () => {
  beforeAll(async () => {
    world = await createWorld({ maxAttempts: 1 });
    witness = await watch(world);
  });

  test.each(EVERY)("the open transaction %s: nothing was minted", async (name) => {
    const { ask } = await newJob();
    const before = witness.sessions.length;
    strike(OPEN, HOWS[name]);
    expectUnavailable(await ask());
    expect(witness.sessions).toHaveLength(before);
    if (!DID_ITS_WORK.has(name)) {
      expect(await ask()).toMatchObject({ status: 201 });
      return;
    }
    // Nobody mints twice for one opening: the repeat waits, then says so.
    expectUnavailable(await ask());
    await world.advance(LATER_MS);
    expectProblem(await ask(), 409, "grant_ended");
    expect(witness.sessions).toHaveLength(before);
  });

  test.each(EVERY)(
    "the schedule %s: nothing is handed out, the session is denied",
    async (name) => {
      const { ask } = await newJob();
      strike(SCHEDULE, HOWS[name]);
      expectUnavailable(await ask());
      const { grant: id } = witness.sessions.at(-1) ?? none();
      await expectOver(witness, id, "failed");
      expect(await deniedIds(world)).toContain(id);
      expect(await schedules(world)).not.toContain(id);
      expectProblem(await ask(), 409, "grant_ended");
    },
  );

  test.each(EVERY)(
    "AssumeRole %s: nothing is handed out, and what it made is denied",
    async (name) => {
      const { ask } = await newJob();
      const before = witness.sessions.length;
      strike(MINT, HOWS[name]);
      expectUnavailable(await ask());
      expect(witness.sessions.length - before).toBe(DID_ITS_WORK.has(name) ? 1 : 0);
      const again = await ask();
      expectProblem(again, 409, "grant_ended");
      const id = /g[0-9a-z]{15}/.exec(again.body.detail)?.[0] ?? "";
      await expectOver(witness, id, "failed");
      expect(await deniedIds(world)).toContain(id);
      expect(await schedules(world)).not.toContain(id);
    },
  );

  test.each(EVERY)("the lease transaction %s: what was minted is not handed out", async (name) => {
    const { ask } = await newJob();
    strike(LEASE, HOWS[name]);
    expectUnavailable(await ask());
    const lost = witness.sessions.at(-1) ?? none();
    const id = lost.grant;
    if (DID_ITS_WORK.has(name)) {
      // The grant is active and its caller has nothing: the repeat gets a lease of its own.
      const again = await ask();
      expect(again).toMatchObject({ status: 200, body: { grant: { id, state: "active" } } });
      await release(id, again.body.token);
      await expectOver(witness, id, "released");
      return;
    }
    expect((await storedOf(world, id)).grant.state).toBe("opening");
    expectUnavailable(await ask());
    await world.advance(LATER_MS);
    await expectOver(witness, id, "failed");
    expect(await deniedIds(world)).toContain(id);
    expect(await schedules(world)).not.toContain(id);
    expectProblem(await ask(), 409, "grant_ended");
  });

  test.each([
    ["the open transaction", OPEN],
    ["the schedule", SCHEDULE],
    ["AssumeRole", MINT],
    ["the lease transaction", LEASE],
  ])("%s happens twice: one grant, one answer", async (_, where) => {
    const { ask } = await newJob();
    strike(where, { kind: "duplicate" });
    const answer = await ask();
    expect(answer.status).toBe(201);
    await release(grantIn(answer).id, answer.body.token);
    await expectOver(witness, grantIn(answer).id, "released");
  });

  test("a schedule that exists already counts only if its time is right", async () => {
    const { ask } = await newJob();
    const { id, endsAt } = grantIn(await ask());
    const { schedules: own } = world.stint.app("api").deps;
    await own.create(id, Date.parse(endsAt));
    await expect(own.create(id, Date.parse(endsAt) + 1_000)).rejects.toMatchObject({
      name: "ConflictException",
    });
    expect(await scheduleOf(world, id)).toBe(Date.parse(endsAt));
  });

  test("nothing of all this lives on, and nothing went wrong inside", async () => {
    world.aws.faults.clear();
    await assertNothingLives(witness);
    expect(world.aws.errors).toEqual([]);
  });
});

describe("while refreshing, one call without retries", () => {
  beforeAll(async () => {
    world = await createWorld({ maxAttempts: 1 });
    witness = await watch(world);
  });

  const active = async () => {
    const job = await newJob();
    const answer = await job.ask();
    return { id: grantIn(answer).id, token: String(answer.body.token) };
  };

  test.each(EVERY)("the plan %s: nothing was minted, the next refresh works", async (name) => {
    const { id, token } = await active();
    const before = witness.sessions.length;
    strike(PLAN, HOWS[name]);
    expectUnavailable(await refresh(id, token));
    expect(witness.sessions).toHaveLength(before);
    expect(await refresh(id, token)).toMatchObject({ status: 200 });
    await release(id, token);
    await expectOver(witness, id, "released");
  });

  test.each(EVERY)(
    "AssumeRole %s: the grant stays, and what was made is denied with it",
    async (name) => {
      const { id, token } = await active();
      strike(MINT, HOWS[name]);
      expectUnavailable(await refresh(id, token));
      expect((await storedOf(world, id)).grant.state).toBe("active");
      await release(id, token);
      await expectOver(witness, id, "released");
    },
  );

  test.each(EVERY)(
    "the lease transaction %s: the lost lease counts until its end",
    async (name) => {
      const { id, token } = await active();
      strike(LEASE, HOWS[name]);
      expectUnavailable(await refresh(id, token));
      const lost = witness.sessions.at(-1) ?? none();
      // The first lease is over, the one that was lost is not: its grant is denied until then, not sooner.
      await world.advance(11 * 60_000);
      expect(await works(world, lost)).toBe(true);
      const released = await release(id, token);
      expect(released).toMatchObject({ status: 202, body: { grant: { why: "released" } } });
      const { deadBy = "" } = grantIn(released);
      expect(Date.parse(deadBy)).toBeGreaterThan(world.aws.clock.now());
      await expectOver(witness, id, "released");
      expect(await deniedIds(world)).toContain(id);
    },
  );

  test("nothing of all this lives on", async () => {
    await assertNothingLives(witness);
    expect(world.aws.errors).toEqual([]);
  });
});

describe("while issuing, with the SDK's own retries", () => {
  beforeAll(async () => {
    world = await createWorld();
    witness = await watch(world);
  });

  test("one lost answer of each call is not noticed by the caller", async () => {
    const { ask } = await newJob();
    for (const where of [OPEN, SCHEDULE, MINT, LEASE])
      strike(where, { kind: "fail-after", error: "timeout" });
    const answer = await ask();
    expect(answer.status).toBe(201);
    // The session of the lost answer is one more of the same grant, and ends with it.
    const { id } = grantIn(answer);
    expect(witness.sessions.filter(({ grant }) => grant === id)).toHaveLength(2);
    expect(await schedules(world)).toEqual([id]);
    await release(grantIn(answer).id, answer.body.token);
    await expectOver(witness, grantIn(answer).id, "released");
  });

  test("one refusal of each call is not noticed by the caller", async () => {
    const { ask } = await newJob();
    for (const where of [OPEN, SCHEDULE, MINT, LEASE]) strike(where, { kind: "refuse" });
    expect((await ask()).status).toBe(201);
  });

  test("nothing of all this lives on", async () => {
    await assertNothingLives(witness);
  });
});

describe("an issuer that is slow", () => {
  beforeAll(async () => {
    world = await createWorld({ maxAttempts: 1 });
    witness = await watch(world);
  });

  /** The function runs out of time long before its call comes through, as on Lambda. */
  const slowly = async (where: Where) => {
    const { ask, token } = await newJob();
    world.aws.faults.add({ ...where, kind: "delay", delayMs: 130_000, times: 1 });
    const asked = ask().then(
      () => "answered",
      (error: Error) => error.name,
    );
    return { asked: await drive(world, asked, 5_000), ask, token };
  };

  test.each([
    ["AssumeRole", MINT],
    ["the schedule", SCHEDULE],
    ["the lease transaction", LEASE],
  ])(
    "in %s hands nothing out after its grant has ended, and what it made is dead",
    async (_, where) => {
      const { asked, ask } = await slowly(where);
      expect(asked).toBe("Sandbox.Timedout");
      await world.advance(LATER_MS);
      const id = witness.sessions.at(-1)?.grant ?? none();
      expect(witness.sessions.filter(({ grant }) => grant === id)).toHaveLength(1);
      expect(witness.handed.size).toBe(0);
      await expectOver(witness, id, "failed");
      expect(await deniedIds(world)).toContain(id);
      expectProblem(await ask(), 409, "grant_ended");
    },
  );

  test("nothing of all this lives on", async () => {
    await assertNothingLives(witness);
  });
});

describe("a target that refuses", () => {
  beforeEach(async () => {
    world = await createWorld({ maxAttempts: 1 });
    witness = await watch(world);
  });

  const grants = async () =>
    (await world.items()).filter(({ sk }) => sk === "GRANT").map(({ grant }) => grant);

  test("a session policy that is too large for STS is told, and the grant has failed", async () => {
    const { ask } = await newJob();
    strike(MINT, {
      kind: "refuse",
      error: { code: "PackedPolicyTooLarge", status: 400, message: "Packed size 112%" },
    });
    const answer = await ask();
    expectProblem(answer, 422, "policy_too_large", /too large for STS/);
    expect(answer.body.hint).toContain("shorten");
    await world.aws.settle();
    expect(await grants()).toMatchObject([{ state: "ended", why: "failed" }]);
    expect(await schedules(world)).toEqual([]);
    expectProblem(await ask(), 409, "grant_ended");
    await assertNothingLives(witness);
  });

  test("a role that does not trust Stint is told, and the grant has failed", async () => {
    await new IAMClient(world.administrator).send(
      new UpdateAssumeRolePolicyCommand({
        RoleName: "orders-integration",
        PolicyDocument: JSON.stringify({
          Version: "2012-10-17",
          Statement: [
            {
              Effect: "Allow",
              Principal: { Service: "ec2.amazonaws.com" },
              Action: "sts:AssumeRole",
            },
          ],
        }),
      }),
    );
    world.aws.iam.spread();
    const { ask } = await newJob();
    const answer = await ask();
    expectProblem(answer, 502, "target_refused", /AccessDenied/);
    expect(answer.body.hint).toContain("trust");
    await world.aws.settle();
    expect(await grants()).toMatchObject([{ state: "ended", why: "failed" }]);
    expect(await schedules(world)).toEqual([]);
    expect(witness.sessions).toEqual([]);
    await assertNothingLives(witness);
  });

  test("a role that is gone is told, and the grant ends although no deny list can be written", async () => {
    const iam = new IAMClient(world.administrator);
    const RoleName = "orders-integration";
    await iam.send(
      new DetachRolePolicyCommand({
        RoleName,
        PolicyArn: "arn:aws:iam::000000000000:policy/stint-local-target",
      }),
    );
    await iam.send(new DeleteRoleCommand({ RoleName }));
    world.aws.iam.spread();
    const { ask } = await newJob();
    expectProblem(await ask(), 502, "target_refused");
    await world.aws.settle();
    expect(await schedules(world)).toEqual(expect.any(Array));
    await world.advance(12 * 60_000);
    // Its lease is over, so nothing remains to be denied.
    expect(await grants()).toMatchObject([{ state: "ended", why: "failed" }]);
    expect(await schedules(world)).toEqual([]);
    await assertNothingLives(witness);
  });
});

describe("while ending, one call without retries", () => {
  beforeAll(async () => {
    world = await createWorld({ maxAttempts: 1 });
    witness = await watch(world);
  });

  const active = async () => {
    const job = await newJob();
    const answer = await job.ask();
    return { id: grantIn(answer).id, token: String(answer.body.token), run: job.run };
  };
  const endOf = (run: string) => {
    const payload = structuredClone(demoJobPayload("completed")) as { workflow_job: object };
    Object.assign(payload.workflow_job, { run_id: Number(run) });
    return world.github("workflow_job", payload);
  };

  test.each(EVERY)(
    "the holder's release %s: it is told, and a repeat finds one end",
    async (name) => {
      const { id, token } = await active();
      strike(END, HOWS[name]);
      expectUnavailable(await release(id, token));
      const again = await release(id, token);
      expect(again).toMatchObject({ status: 202, body: { grant: { why: "released" } } });
      await expectOver(witness, id, "released");
    },
  );

  test.each(EVERY)(
    "a job's end whose grant's end %s is tried again by the stream",
    async (name) => {
      const { id, run } = await active();
      strike(END, HOWS[name]);
      expect((await endOf(run)).status).toBe(202);
      await world.advance(3_000);
      await expectOver(witness, id, "job_ended");
    },
  );

  test.each(EVERY)("the tombstone %s: the pipeline is told, and sends it again", async (name) => {
    const { id, run } = await active();
    strike(TOMBSTONE, HOWS[name]);
    expectUnavailable(await endOf(run));
    if (!DID_ITS_WORK.has(name)) expect((await storedOf(world, id)).grant.state).toBe("active");
    expect((await endOf(run)).status).toBe(202);
    await expectOver(witness, id, "job_ended");
  });

  test.each(EVERY)("the schedule's end %s: it or the sweeper comes again", async (name) => {
    const { id } = await active();
    const { grant } = await storedOf(world, id);
    strike(EXPIRY, HOWS[name]);
    const end = "endsAt" in grant ? grant.endsAt : 0;
    await world.advance(end - world.aws.clock.now() + 121_000);
    await expectOver(witness, id, "expired");
  });

  test("IAM that refuses for a while leaves the grant ending, and then it ends denied", async () => {
    const { id, token } = await active();
    const down = world.aws.faults.add({
      service: "iam",
      operation: "PutRolePolicy",
      kind: "refuse",
    });
    await release(id, token);
    await world.aws.settle();
    expect((await storedOf(world, id)).grant).toMatchObject({ state: "ending", why: "released" });
    await world.advance(3 * 60_000);
    const told = await world.call("GET", `/v1/grants/${id}`, { token });
    expect(told).toMatchObject({ status: 200, body: { grant: { state: "ending" } } });
    expect(told.body.grant.deniedAt).toBeUndefined();
    world.aws.faults.remove(down);
    await world.advance(3 * 60_000);
    const { grant } = await storedOf(world, id);
    expect(grant).toMatchObject({ state: "ended", deniedAt: expect.any(Number) });
    await expectOver(witness, id, "released");
    expect(await deniedIds(world)).toContain(id);
  });

  test("IAM that did its work and said nothing is asked again, and the grant ends", async () => {
    const { id, token } = await active();
    strike({ service: "iam", operation: "PutRolePolicy" }, HOWS["fails after its work"]);
    await release(id, token);
    await world.advance(3 * 60_000);
    await expectOver(witness, id, "released");
  });

  test("a message that is lost is replaced by the sweeper", async () => {
    const { id, token } = await active();
    strike({ service: "iam", operation: "PutRolePolicy" }, HOWS["is refused"]);
    await release(id, token);
    await world.aws.settle();
    await new SQSClient(world.administrator).send(
      new PurgeQueueCommand({ QueueUrl: world.stint.settings.STINT_DIRTY_QUEUE_URL }),
    );
    await world.advance(2 * 60_000);
    await expectOver(witness, id, "released");
  });

  test("IAM that refuses for good: the grant ends when its leases are over, and says no more than that", async () => {
    const { id, token } = await active();
    world.aws.faults.add({ service: "iam", kind: "refuse" });
    const released = await release(id, token);
    const dead = Date.parse(grantIn(released).deadBy ?? "");
    await world.advance(dead - world.aws.clock.now() - 1_000);
    expect((await storedOf(world, id)).grant.state).toBe("ending");
    expect(await works(world, witness.sessions.at(-1) ?? none())).toBe(true);
    await world.advance(62_000);
    const { grant } = await storedOf(world, id);
    expect(grant).toMatchObject({ state: "ended", why: "released" });
    expect("deniedAt" in grant).toBe(false);
    await expectOver(witness, id, "released");
    // The role's messages that failed are invisible for two minutes, and hold up those behind them.
    world.aws.faults.clear();
    await world.advance(120_000);
  });

  test("SQS that refuses: the stream's reader tries again until the role is marked", async () => {
    const { id, token } = await active();
    world.aws.faults.add({ service: "sqs", operation: "SendMessage", kind: "refuse", times: 3 });
    await release(id, token);
    await world.aws.settle();
    expect((await storedOf(world, id)).grant.state).toBe("ending");
    await world.advance(8_000);
    await expectOver(witness, id, "released");
  });

  test("a schedule that cannot be deleted is tried again, and the grant's end does not wait for it", async () => {
    const { id, token } = await active();
    world.aws.faults.add({
      service: "scheduler",
      operation: "DeleteSchedule",
      kind: "refuse",
      times: 2,
    });
    await release(id, token);
    await expectOver(witness, id, "released");
    await world.advance(5_000);
    expect(await scheduleOf(world, id)).toBeUndefined();
  });

  test.each([
    ["the mark of its denial", { service: "dynamodb", operation: "UpdateItem" }],
    [
      "the end after the denial",
      { service: "dynamodb", operation: "TransactWriteItems", when: putsGrant("ended") },
    ],
    ["reading the deny list", { service: "iam", operation: "GetRolePolicy" }],
    ["reading the denials", { service: "dynamodb", operation: "Query" }],
  ] as const)("%s fails: the worker comes again and the grant ends once", async (_, where) => {
    for (const name of ["is refused", "fails after its work"] as const) {
      const { id, token } = await active();
      strike(where, HOWS[name]);
      await release(id, token);
      await world.advance(4 * 60_000);
      await expectOver(witness, id, "released");
    }
  });

  test("nothing of all this lives on", async () => {
    await assertNothingLives(witness);
  });
});

const none = (): never => {
  throw new Error("nothing was minted");
};

describe("consumers of the stream", () => {
  let events: Array<{ readonly id: string; readonly fact: string }>;
  beforeEach(async () => {
    world = await createWorld({ maxAttempts: 1 });
    witness = await watch(world);
    events = [];
    const bridge = new EventBridgeClient(world.administrator);
    const arn = world.aws.functions.set("listener", async (event: { detail: never }) => {
      events.push(event.detail);
    });
    world.aws.functions.setPolicy("listener", letsRulesIn(arn, RULES));
    await bridge.send(
      new PutRuleCommand({
        Name: "all",
        EventBusName: "stint",
        EventPattern: JSON.stringify({ source: ["stint"] }),
      }),
    );
    await bridge.send(
      new PutTargetsCommand({
        Rule: "all",
        EventBusName: "stint",
        Targets: [{ Id: "listener", Arn: arn }],
      }),
    );
  });

  const story = async () => {
    const { ask } = await newJob();
    const answer = await ask();
    await release(grantIn(answer).id, answer.body.token);
    await world.advance(60_000);
    await expectOver(witness, grantIn(answer).id, "released");
  };
  const FACTS = ["grant.opened", "grant.activated", "grant.ending", "grant.ended", "grant.proved"];

  test("an entry that the bus refuses is sent again alone", async () => {
    const { bus } = world.stint.app("audit");
    const sent: number[] = [];
    let refusals = 2;
    intercept(world.aws.services.events.operations, "PutEvents", async (next, input) => {
      const { Entries } = input as { Entries: unknown[] }; // parsed by the operation's schema
      sent.push(Entries.length);
      if (refusals-- <= 0) return next();
      // All but one get through.
      const at = Entries.length > 1 ? 1 : 0;
      Entries.splice(at, 1);
      const rest = Entries.length === 0 ? { Entries: [] } : await next();
      const done = (rest as { Entries: unknown[] }).Entries; // its answer
      const refused = { ErrorCode: "ThrottlingException", ErrorMessage: "Rate exceeded" };
      return { FailedEntryCount: 1, Entries: done.toSpliced(at, 0, refused) };
    });
    const record = (id: string) => ({
      id,
      time: world.aws.clock.now(),
      fact: "grant.read" as const,
      actor: { kind: "stint" as const, id: "stint" },
      policyVersion: "1",
    });
    await bus.publish(["a", "b", "c"].map(record));
    await world.aws.settle();
    expect(sent).toEqual([3, 1, 1]);
    expect(events.map(({ id }) => id).sort()).toEqual(["a", "b", "c"]);
  });

  test("a bus that is down for a while loses no event, and holds up no end", async () => {
    const down = world.aws.faults.add({
      service: "events",
      operation: "PutEvents",
      kind: "refuse",
    });
    const { ask } = await newJob();
    const answer = await ask();
    const { id } = grantIn(answer);
    await release(id, answer.body.token);
    // The denial stands behind the events in the stream, and the sweeper does not wait for either.
    await world.advance(125_000);
    await expectOver(witness, id, "released");
    expect(events).toEqual([]);
    world.aws.faults.remove(down);
    await world.advance(65_000);
    expect(events.map(({ fact }) => fact)).toEqual(FACTS);
    await assertNothingLives(witness);
  });

  test("a bus that did its work and said nothing gets the event again under the same id", async () => {
    world.aws.faults.add({ service: "events", kind: "fail-after", error: "timeout", times: 1 });
    await story();
    await world.advance(5_000);
    const ids = new Set(events.map(({ id }) => id));
    expect(events.length).toBe(FACTS.length + 1);
    expect(ids.size).toBe(FACTS.length);
    await assertNothingLives(witness);
  });
});
