import { DisableRuleCommand, EventBridgeClient } from "@aws-sdk/client-eventbridge";
import { DeleteRolePolicyCommand, IAMClient, PutRolePolicyCommand } from "@aws-sdk/client-iam";
import { DeleteScheduleCommand, SchedulerClient } from "@aws-sdk/client-scheduler";
import { marshall } from "@aws-sdk/util-dynamodb";
import { parseConfig } from "@stint/core/config/load";
import type { Config } from "@stint/core/profile";
import { demoJobPayload } from "@stint/local/payloads";
import { pipelineClaims } from "@stint/pipelines/registry";
import { beforeEach, describe, expect, test } from "vitest";
import {
  assertNothingLives,
  deniedIds,
  denyList,
  drive,
  expectOver,
  LATEST_FIRING_MS,
  ROLE,
  type Session,
  scheduleOf,
  storedOf,
  type Witness,
  watch,
  works,
} from "./witness.ts";
import { type Answer, createWorld, grantIn, inside, insideSuite, type World } from "./world.ts";

const MINUTE = 60_000;

let world: World;
let witness: Witness;
let runs = 7000;
beforeEach(async () => {
  world = await createWorld();
  witness = await watch(world);
});

const ask = async (body = {}, claims = {}) => {
  runs += 1;
  return witness.take(
    await world.call("POST", "/v1/grants", {
      token: await world.jobToken({ run_id: String(runs), ...claims }),
      body: { profile: "orders-integration", ...body },
    }),
  );
};

const refresh = async (answer: Answer, body = {}) =>
  witness.take(
    await world.call("POST", `/v1/grants/${grantIn(answer).id}/credentials`, {
      token: answer.body.token,
      body,
    }),
  );

const read = async (answer: Answer) =>
  grantIn(
    await world.call("GET", `/v1/grants/${grantIn(answer).id}`, { token: answer.body.token }),
  );

const release = async (answer: Answer) => {
  const released = await world.call("DELETE", `/v1/grants/${grantIn(answer).id}`, {
    token: answer.body.token,
  });
  await world.aws.settle();
  return released;
};

/** The session of an answer, whose grant the probe needs to know. */
const sessionOf = (answer: Answer, target = "aws"): Session => ({
  ...answer.body.credentials[target],
  grant: grantIn(answer).id,
});

const until = (iso: string | undefined) => Date.parse(iso ?? "") - world.aws.clock.now();

const noSweeper = () =>
  new EventBridgeClient(world.administrator).send(new DisableRuleCommand({ Name: "stint-sweep" }));

const noSchedule = (answer: Answer) =>
  new SchedulerClient(world.administrator).send(
    new DeleteScheduleCommand({ Name: grantIn(answer).id, GroupName: "stint" }),
  );

describe("a grant's time", () => {
  test("ends it by its schedule alone", async () => {
    await noSweeper();
    const answer = await ask({ duration: "5m" });
    await world.advance(until(grantIn(answer).endsAt) - 1);
    expect(await read(answer)).toMatchObject({ state: "active" });
    expect(await works(world, sessionOf(answer))).toBe(true);
    await world.advance(1);
    expect(await works(world, sessionOf(answer))).toBe(false);
    await world.advance(LATEST_FIRING_MS);
    expect(await read(answer)).toMatchObject({ state: "ended", why: "expired" });
    await expectOver(witness, grantIn(answer).id, "expired");
    await assertNothingLives(witness);
  });

  test("ends it by the sweeper alone, when its schedule was deleted", async () => {
    const answer = await ask({ duration: "5m" });
    await noSchedule(answer);
    await world.advance(until(grantIn(answer).endsAt) + MINUTE);
    const told = await read(answer);
    expect(told).toMatchObject({ state: "ended", why: "expired" });
    await expectOver(witness, grantIn(answer).id, "expired");
    await assertNothingLives(witness);
  });

  test("kills its credential also when neither comes, and nothing is minted after it", async () => {
    await noSweeper();
    const answer = await ask({ duration: "5m" });
    await noSchedule(answer);
    await world.advance(until(grantIn(answer).endsAt));
    expect(await works(world, sessionOf(answer))).toBe(false);
    const late = await refresh(answer);
    expect(late).toMatchObject({ status: 409, body: { code: "grant_ended" } });
    // Asking was enough to notice.
    await expectOver(witness, grantIn(answer).id, "expired");
    await assertNothingLives(witness);
  });

  inside("is the table's: a schedule that fires early changes nothing", async () => {
    const answer = await ask({ duration: "5m" });
    const before = (await storedOf(world, grantIn(answer).id)).version;
    await world.stint.invoke("expire", { grant: grantIn(answer).id });
    await world.advance(until(grantIn(answer).endsAt) - 1);
    await world.stint.invoke("expire", { grant: grantIn(answer).id });
    expect(await storedOf(world, grantIn(answer).id)).toMatchObject({
      version: before,
      grant: { state: "active" },
    });
    expect(await works(world, sessionOf(answer))).toBe(true);
    await assertNothingLives(witness);
  });

  test("was ended once, whatever fires at it again", async () => {
    const answer = await ask({ duration: "5m" });
    const { id } = grantIn(answer);
    await world.advance(until(grantIn(answer).endsAt) + MINUTE);
    const { version } = await storedOf(world, id);
    for (let again = 0; again < 3; again++) {
      await world.stint.invoke("expire", { grant: id });
      await world.stint.invoke("sweep", {});
      await release(answer);
    }
    expect((await storedOf(world, id)).version).toBe(version);
    await expectOver(witness, id, "expired");
  });

  test("leaves no schedule behind, whoever ended it", async () => {
    const answer = await ask();
    expect(await scheduleOf(world, grantIn(answer).id)).toBe(Date.parse(grantIn(answer).endsAt));
    await release(answer);
    expect(await scheduleOf(world, grantIn(answer).id)).toBeUndefined();
    await assertNothingLives(witness);
  });
});

describe("a lease", () => {
  test("that is shorter than AWS's shortest session is dead at its second", async () => {
    const answer = await ask({ lease: "61s" });
    const end = until(answer.body.credentials.aws.expiration);
    expect(end).toBe(61_000);
    await world.advance(end - 1);
    expect(await works(world, sessionOf(answer))).toBe(true);
    await world.advance(1);
    expect(await works(world, sessionOf(answer))).toBe(false);
    expect(await read(answer)).toMatchObject({ state: "active" });
  });

  test("that is over can be followed by another, until the grant's end and no longer", async () => {
    const answer = await ask({ duration: "10m", lease: "60s" });
    expect(grantIn(answer).deadBy).toBe(answer.body.credentials.aws.expiration);
    await world.advance(8 * MINUTE);
    expect(await works(world, sessionOf(answer))).toBe(false);
    const again = await refresh(answer, { lease: "1h" });
    expect(again.status).toBe(200);
    const { endsAt, deadBy } = grantIn(again);
    expect(again.body.credentials.aws.expiration).toBe(endsAt);
    expect(deadBy).toBe(endsAt);
    expect(await works(world, sessionOf(again))).toBe(true);
    await world.advance(until(endsAt) - 1);
    expect(await works(world, sessionOf(again))).toBe(true);
    await world.advance(1);
    expect(await works(world, sessionOf(again))).toBe(false);
    await world.advance(1_000);
    expect(await refresh(answer)).toMatchObject({ status: 409, body: { code: "grant_ended" } });
    expect(await read(answer)).toMatchObject({ state: "ended", why: "expired", deadBy });
    await assertNothingLives(witness);
  });

  inside(
    "that runs on is what deadBy names after a release, and not before it is denied",
    async () => {
      const answer = await ask({ lease: "10m" });
      await world.advance(5 * MINUTE);
      const again = await refresh(answer, { lease: "10m" });
      await release(answer);
      const told = await read(answer);
      // The denial is written, but nobody has proved that it works: so it is the last lease's end that is told.
      expect(told).toMatchObject({
        state: "ended",
        why: "released",
        deadBy: again.body.credentials.aws.expiration,
        deniedAt: new Date(world.aws.clock.now()).toISOString(),
        leases: [{ target: "aws" }, { target: "aws" }],
      });
      expect(told.provedAt).toBeUndefined();
      await expectOver(witness, told.id, "released");
      await assertNothingLives(witness);
    },
  );
});

describe("ended early", () => {
  test("by a person whom a rule lets revoke", async () => {
    const answer = await ask();
    const revoked = await world.call("DELETE", `/v1/grants/${grantIn(answer).id}`, {
      token: await world.personToken("owner", ["orders-owners"]),
    });
    expect(revoked).toMatchObject({ status: 202, body: { grant: { why: "revoked" } } });
    await expectOver(witness, grantIn(answer).id, "revoked");
    const of = witness.records.find(({ fact }) => fact === "grant.ending");
    expect(of).toMatchObject({ actor: { kind: "person" }, why: "revoked" });
    await assertNothingLives(witness);
  });

  test("by the end of its run, with the grants of all its jobs and none of another attempt", async () => {
    const run = "880088";
    const first = await ask({}, { run_id: run, check_run_id: "1" });
    const second = await ask({}, { run_id: run, check_run_id: "2" });
    const rerun = await ask({}, { run_id: run, check_run_id: "3", run_attempt: "2" });
    const other = await ask();
    const { repository } = demoJobPayload("completed");
    const answer = await world.github("workflow_run", {
      action: "completed",
      repository,
      workflow_run: { id: Number(run), run_attempt: 1, status: "completed" },
    });
    expect(answer.status).toBe(202);
    await expectOver(witness, grantIn(first).id, "job_ended");
    await expectOver(witness, grantIn(second).id, "job_ended");
    expect(await works(world, sessionOf(rerun))).toBe(true);
    expect(await works(world, sessionOf(other))).toBe(true);
    // No job of that attempt gets anything any more, also one that nobody has heard of.
    expect(await ask({}, { run_id: run, check_run_id: "4" })).toMatchObject({
      status: 409,
      body: { code: "job_ended" },
    });
    await assertNothingLives(witness);
  });
});

describe("the deny list", () => {
  const writes = () =>
    world.aws
      .calls()
      .filter(
        ({ operation, caller }) =>
          operation === "PutRolePolicy" && caller.includes("/stint-revoke/"),
      ).length;

  test("is one statement that names the grants whose sessions may still live, and nothing else", async () => {
    const [a, b, c] = [await ask(), await ask(), await ask()];
    await release(a);
    await release(b);
    const ids = [grantIn(a).id, grantIn(b).id];
    const text = (await denyList(world)) ?? "";
    const policy = JSON.parse(text);
    expect(policy).toEqual({
      Version: "2012-10-17",
      Statement: [
        {
          Sid: "StintRevoked",
          Effect: "Deny",
          Action: "*",
          Resource: "*",
          Condition: { StringEquals: { "aws:SourceIdentity": expect.any(Array) } },
        },
      ],
    });
    expect((await deniedIds(world)).sort()).toEqual(ids.sort());
    await world.advance(1_000);
    expect(await works(world, sessionOf(c))).toBe(true);
    expect(await works(world, sessionOf(a))).toBe(false);
    await assertNothingLives(witness);
  });

  test("loses ids whose leases are over with the next write, and is not written for them", async () => {
    const short = await ask({ duration: "5m" });
    await release(short);
    const count = writes();
    await world.advance(10 * MINUTE);
    await world.aws.settle();
    // Its lease is over; that alone is no reason to touch IAM.
    expect(await deniedIds(world)).toEqual([grantIn(short).id]);
    await mark();
    expect(writes()).toBe(count);
    const next = await ask();
    await release(next);
    expect(await deniedIds(world)).toEqual([grantIn(next).id]);
    expect(writes()).toBe(count + 1);
    await assertNothingLives(witness);
  });

  const mark = async (role = ROLE) => {
    const answer = await world.stint.invoke("revoke", {
      Records: [
        {
          messageId: "m",
          receiptHandle: "m",
          attributes: { ApproximateReceiveCount: "1" },
          body: JSON.stringify({ role, look: "check" }),
        },
      ],
    });
    expect(answer).toEqual({ batchItemFailures: [] });
  };

  test("is not written by a message that repeats", async () => {
    const answer = await ask();
    await release(answer);
    const count = writes();
    for (let again = 0; again < 5; again++) await mark();
    expect(writes()).toBe(count);
    expect(count).toBe(1);
    await assertNothingLives(witness);
  });

  test("is written once for many grants that end together", async () => {
    const run = "990099";
    for (let job = 0; job < 12; job++)
      await ask({}, { run_id: run, check_run_id: String(job + 1) });
    const { repository } = demoJobPayload("completed");
    await world.github("workflow_run", {
      action: "completed",
      repository,
      workflow_run: { id: Number(run), run_attempt: 1, status: "completed" },
    });
    await world.advance(1_000);
    expect(await deniedIds(world)).toHaveLength(12);
    // One for whoever came first, and few for all the others.
    expect(writes()).toBeLessThanOrEqual(4);
    await assertNothingLives(witness);
  });

  test("that somebody changed is put right with the next message", async () => {
    const answer = await ask();
    await release(answer);
    const iam = new IAMClient(world.administrator);
    const RoleName = "orders-integration";
    await iam.send(new DeleteRolePolicyCommand({ RoleName, PolicyName: "StintRevoked" }));
    world.aws.iam.spread();
    expect(await works(world, sessionOf(answer))).toBe(true);
    await mark();
    await world.advance(1_000);
    expect(await works(world, sessionOf(answer))).toBe(false);
    const allow = (await denyList(world))?.replace("Deny", "Allow");
    await iam.send(
      new PutRolePolicyCommand({
        RoleName,
        PolicyName: "StintRevoked",
        PolicyDocument: allow ?? "",
      }),
    );
    await mark();
    await world.advance(1_000);
    expect(await works(world, sessionOf(answer))).toBe(false);
    await assertNothingLives(witness);
  });

  const crockford = "0123456789abcdefghjkmnpqrstvwxyz";
  const idOf = (n: number): string => {
    let text = "";
    for (let left = n, i = 0; i < 15; i++, left = Math.floor(left / 32))
      text = `${crockford[left % 32]}${text}`;
    return `g${text}`;
  };

  inside(
    "that is full lets the leases with the least time left lapse, says so, and never outgrows IAM",
    async () => {
      const { capacity } = world.stint.app("revoke").deps.denyList;
      expect(capacity).toBeGreaterThanOrEqual(520);
      expect(capacity).toBeLessThanOrEqual(540);
      const now = world.aws.clock.now();
      const item = (n: number) =>
        marshall({
          pk: `ROLE#${ROLE}`,
          sk: `DENY#${idOf(n)}`,
          role: ROLE,
          grantId: idOf(n),
          until: now + (n + 1) * 1_000 + MINUTE,
          issuedBy: now,
          ttl: Math.floor(now / 1000) + 86_400,
        });
      const over = 20;
      world.aws.services.dynamodb.load(
        "stint",
        Array.from({ length: capacity + over }, (_, n) => item(n)),
      );
      await mark();
      const ids = await deniedIds(world);
      expect(ids).toHaveLength(capacity);
      expect(new Set(ids)).toEqual(
        new Set(Array.from({ length: capacity }, (_, n) => idOf(n + over))),
      );
      expect(((await denyList(world)) ?? "").length).toBeLessThanOrEqual(10_240);
      expect(world.logged).toContainEqual(
        expect.objectContaining({
          level: "error",
          message: "deny_list_full",
          details: expect.objectContaining({ alarm: "deny_list_full", role: ROLE, left: over }),
        }),
      );
      // What fits is denied, what does not is not said to be.
      const { store } = world.stint.app("revoke").deps;
      expect((await store.denial(ROLE, idOf(over)))?.deniedAt).toBe(now);
      expect((await store.denial(ROLE, idOf(over - 1)))?.deniedAt).toBeUndefined();
      const count = writes();
      await mark();
      expect(writes()).toBe(count);
    },
  );

  test("that is full keeps a grant ending until its lease is over, and deadBy was true all the time", async () => {
    const answer = await ask({ lease: "2m" });
    const { capacity } = world.stint.app("revoke").deps.denyList;
    const later = world.aws.clock.now() + 60 * MINUTE;
    world.aws.services.dynamodb.load(
      "stint",
      Array.from({ length: capacity }, (_, n) =>
        marshall({
          pk: `ROLE#${ROLE}`,
          sk: `DENY#${idOf(n)}`,
          role: ROLE,
          grantId: idOf(n),
          until: later,
          deniedAt: 1,
          ttl: Math.floor(later / 1000),
        }),
      ),
    );
    await release(answer);
    const told = await read(answer);
    expect(told.deniedAt).toBeUndefined();
    expect(told.deadBy).toBe(answer.body.credentials.aws.expiration);
    expect(await works(world, sessionOf(answer))).toBe(true);
    await world.advance(until(told.deadBy));
    expect(await works(world, sessionOf(answer))).toBe(false);
    await world.advance(MINUTE);
    expect(await read(answer)).toMatchObject({ state: "ended", why: "released" });
    await assertNothingLives(witness);
  });
});

insideSuite("a profile of several targets", () => {
  const OTHER = "arn:aws:iam::000000000000:role/stint/orders-reports";
  const config = (): Config => {
    const target = (role: string) =>
      `{ kind: aws, role: "${role}", allow: [{ actions: [s3:PutObject], resources: ["arn:aws:s3:::orders-it/\${namespace}/*"] }] }`;
    const parsed = parseConfig(
      `version: 1
audience: https://stint.local.test
profiles:
  orders-integration:
    duration: { default: 20m, max: 2h }
    lease: 15m
    targets:
      data: ${target(ROLE)}
      reports: ${target(OTHER)}
      again: ${target(ROLE)}
rules:
  - { id: main, profile: orders-integration, to: { pipeline: github, repository_id: "186853002", ref: refs/heads/main } }
`,
      {},
      pipelineClaims(),
    );
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
    return parsed.config;
  };
  const TARGETS = ["again", "data", "reports"];
  beforeEach(async () => {
    world = await createWorld({ config: config(), maxAttempts: 1 });
    witness = await watch(world);
  });

  test("hands out all of them or none, and denies each in its role", async () => {
    const answer = await ask();
    expect(answer.status).toBe(201);
    expect(Object.keys(answer.body.credentials).sort()).toEqual(TARGETS);
    expect(
      grantIn(answer)
        .leases.map(({ target }) => target)
        .sort(),
    ).toEqual(TARGETS);
    for (const target of TARGETS) expect(await works(world, sessionOf(answer, target))).toBe(true);
    await release(answer);
    await expectOver(witness, grantIn(answer).id, "released");
    expect(await deniedIds(world)).toEqual([grantIn(answer).id]);
    expect(await deniedIds(world, OTHER)).toEqual([grantIn(answer).id]);
    await assertNothingLives(witness);
  });

  inside(
    "of which one refuses hands out nothing, and the others' sessions are denied",
    async () => {
      world.aws.faults.add({
        service: "sts",
        kind: "refuse",
        error: { code: "AccessDenied", status: 403 },
        when: (input) => JSON.stringify(input).includes(OTHER),
      });
      const answer = await ask();
      expect(answer).toMatchObject({ status: 502, body: { code: "target_refused" } });
      expect(witness.sessions).toHaveLength(2);
      const id = witness.sessions[0]?.grant ?? "";
      await expectOver(witness, id, "failed");
      await assertNothingLives(witness);
    },
  );

  test("is ended only when the last role's list is written", async () => {
    const answer = await ask();
    const { id } = grantIn(answer);
    const down = world.aws.faults.add({
      service: "iam",
      operation: "PutRolePolicy",
      kind: "refuse",
      when: (input) => JSON.stringify(input).includes("orders-reports"),
    });
    await release(answer);
    expect(await deniedIds(world)).toEqual([id]);
    expect(await read(answer)).toMatchObject({ state: "ending" });
    await world.advance(1_000);
    expect(await works(world, sessionOf(answer, "data"))).toBe(false);
    expect(await works(world, sessionOf(answer, "reports"))).toBe(true);
    world.aws.faults.remove(down);
    await world.advance(3 * MINUTE);
    await expectOver(witness, id, "released");
    expect(await deniedIds(world, OTHER)).toEqual([id]);
    await assertNothingLives(witness);
  });

  test("that cannot be ended for minutes wakes somebody", async () => {
    const answer = await ask();
    const { id } = grantIn(answer);
    const down = world.aws.faults.add({
      service: "iam",
      operation: "PutRolePolicy",
      kind: "refuse",
      when: (input) => JSON.stringify(input).includes("orders-reports"),
    });
    const woken = () =>
      world.logged.filter(({ message, details }) =>
        JSON.stringify({ message, details }).includes(`"stuck","details":{"grant":"${id}"`),
      );
    await release(answer);
    await world.advance(MINUTE);
    expect(woken()).toEqual([]);
    await world.advance(3 * MINUTE);
    expect(woken().length).toBeGreaterThan(0);
    expect(await read(answer)).toMatchObject({
      state: "ending",
      stuck: true,
      error: expect.stringContaining("InternalFailure"),
    });
    world.aws.faults.remove(down);
    await world.advance(6 * MINUTE);
    await expectOver(witness, id, "released");
  });

  test("whose worker stopped between two roles is ended by the sweeper", async () => {
    const answer = await ask();
    const { id } = grantIn(answer);
    // Both marks are made; the write that ends the grant never comes through for the worker.
    world.aws.faults.add({
      service: "dynamodb",
      operation: "TransactWriteItems",
      kind: "refuse",
      times: 2,
      when: (input) => JSON.stringify(input).includes('"state":{"S":"ended"}'),
    });
    await release(answer);
    expect(await read(answer)).toMatchObject({ state: "ending" });
    await drive(world, world.advance(2 * MINUTE));
    await expectOver(witness, id, "released");
    expect(await read(answer)).toMatchObject({ deniedAt: expect.any(String) });
    await assertNothingLives(witness);
  });
});
