/** Sessions that are ended early: that it is proved, that nobody undoes it, and what happens when it cannot be done. */
import {
  DeleteRolePolicyCommand,
  DetachRolePolicyCommand,
  IAMClient,
  PutRolePolicyCommand,
} from "@aws-sdk/client-iam";
import { SendMessageCommand, SQSClient } from "@aws-sdk/client-sqs";
import { demoJobPayload } from "@stint/local/payloads";
import { beforeEach, describe, expect, test } from "vitest";
import {
  assertNothingLives,
  deniedIds,
  denyList,
  expectOver,
  intercept,
  ROLE,
  type Session,
  storedOf,
  type Witness,
  watch,
  works,
} from "./witness.ts";
import { type Answer, createWorld, grantIn, inside, insideSuite, type World } from "./world.ts";

const SECOND = 1_000;
const MINUTE = 60_000;
const RoleName = "orders-integration";

let world: World;
let witness: Witness;
let jobs = 0;
beforeEach(async () => {
  world = await createWorld();
  witness = await watch(world);
});

/** Another world, in which what IAM is told spreads so late. */
const spreading = async (iamDelayMs: number) => {
  world = await createWorld({ iamDelayMs });
  witness = await watch(world);
};

const ask = async (claims = {}, body = {}): Promise<Answer> => {
  jobs += 1;
  return witness.take(
    await world.call("POST", "/v1/grants", {
      token: await world.jobToken({ run_id: "1", check_run_id: String(jobs), ...claims }),
      body: { profile: "orders-integration", ...body },
    }),
  );
};

const release = async (answer: Answer) => {
  await world.call("DELETE", `/v1/grants/${grantIn(answer).id}`, { token: answer.body.token });
  await world.aws.settle();
};

const endRun = async (run: string) => {
  const { repository } = demoJobPayload("completed");
  await world.github("workflow_run", {
    action: "completed",
    repository,
    workflow_run: { id: Number(run), run_attempt: 1, status: "completed" },
  });
};

const read = async (answer: Answer) =>
  grantIn(
    await world.call("GET", `/v1/grants/${grantIn(answer).id}`, { token: answer.body.token }),
  );

const sessionOf = (answer: Answer): Session => ({
  ...answer.body.credentials.aws,
  grant: grantIn(answer).id,
});

const iam = () => new IAMClient(world.administrator);
const writes = () =>
  world.aws.calls().filter(({ operation }) => operation === "PutRolePolicy").length;
const alarms = (event: string) => world.logged.filter(({ message }) => message === event);
const told = (fact: string) => witness.records.filter((record) => record.fact === fact);

describe("a denial", () => {
  test("is proved once it has spread, and deadBy moves there", async () => {
    await spreading(7 * SECOND);
    const answer = await ask();
    const before = Date.parse(grantIn(answer).deadBy ?? "");
    await release(answer);
    const ended = await read(answer);
    expect(ended).toMatchObject({ state: "ended", deniedAt: expect.any(String) });
    // Written is not spread: nothing is said that is not so.
    expect(ended.provedAt).toBeUndefined();
    expect(Date.parse(ended.deadBy ?? "")).toBe(before);
    await world.advance(5 * SECOND);
    expect(await works(world, sessionOf(answer))).toBe(true);
    expect((await read(answer)).provedAt).toBeUndefined();
    await world.advance(5 * SECOND);
    const proved = await read(answer);
    expect(proved.deadBy).toBe(proved.provedAt);
    expect(await works(world, sessionOf(answer))).toBe(false);
    const timeToDeadMs = Date.parse(proved.provedAt ?? "") - Date.parse(proved.endedAt ?? "");
    expect(timeToDeadMs).toBeGreaterThanOrEqual(7 * SECOND);
    expect(told("grant.proved")).toMatchObject([
      { grant: grantIn(answer).id, timeToDeadMs, actor: { kind: "prover" } },
    ]);
    await assertNothingLives(witness);
  });

  test("that spreads after minutes is proved then, by a message that comes again", async () => {
    await spreading(4 * MINUTE);
    const answer = await ask();
    await release(answer);
    await world.advance(3 * MINUTE);
    expect((await read(answer)).provedAt).toBeUndefined();
    await world.advance(3 * MINUTE);
    expect((await read(answer)).provedAt).toEqual(expect.any(String));
    await assertNothingLives(witness);
  });

  test("is proved by one session for all that the same write added", async () => {
    const answers: Answer[] = [];
    for (let job = 0; job < 8; job++) answers.push(await ask({ run_id: "77" }));
    await endRun("77");
    await world.advance(10 * SECOND);
    for (const answer of answers)
      expect(await read(answer)).toMatchObject({ provedAt: expect.any(String) });
    const probes = world.aws.calls().filter(({ operation }) => operation === "AssumeRole").length;
    expect(probes - answers.length).toBeLessThanOrEqual(writes());
    await assertNothingLives(witness);
  });

  test("is not proved by a refusal for another reason", async () => {
    await spreading(10 * MINUTE);
    const answer = await ask();
    await iam().send(
      new DetachRolePolicyCommand({
        RoleName,
        PolicyArn: "arn:aws:iam::000000000000:policy/stint-local-target",
      }),
    );
    world.aws.iam.spread();
    await release(answer);
    // The role may do nothing at all now, the probe's one call included: that is no denial of this grant.
    await world.advance(2 * MINUTE);
    expect((await read(answer)).provedAt).toBeUndefined();
    await assertNothingLives(witness);
  });

  test("that nobody could ask to prove ends its grant all the same", async () => {
    const answer = await ask();
    world.aws.faults.add({
      service: "sqs",
      operation: "SendMessage",
      kind: "refuse",
      when: (input) => JSON.stringify(input).includes("stint-proofs"),
    });
    await release(answer);
    await world.advance(MINUTE);
    expect(await read(answer)).toMatchObject({ state: "ended", deniedAt: expect.any(String) });
    expect((await read(answer)).provedAt).toBeUndefined();
    expect(alarms("proof_lost")).not.toEqual([]);
    await assertNothingLives(witness);
  });

  test("whose leases are over is not asked about any more", async () => {
    await spreading(10 * MINUTE);
    const answer = await ask({}, { lease: "2m" });
    await release(answer);
    await world.advance(20 * MINUTE);
    expect((await read(answer)).provedAt).toBeUndefined();
    const { STINT_PROOF_QUEUE_URL: QueueUrl } = world.stint.settings;
    expect(QueueUrl).toContain("stint-proofs");
    expect(alarms("proof_failed").length).toBeLessThan(5);
  });

  test("is proved in each region that its profile names", async () => {
    const regions = ["us-east-1", "eu-west-1"];
    const asked: unknown[] = [];
    const { prober } = world.stint.app("prove").deps;
    const app = world.stint.app("prove");
    Object.assign(app.deps, {
      config: {
        ...app.deps.config,
        profiles: Object.fromEntries(
          Object.entries(app.deps.config.profiles).map(([name, profile]) => [
            name,
            { ...profile, regions },
          ]),
        ),
      },
      prober: {
        open: (role: string, grant: string, where: readonly string[]) => {
          asked.push(where);
          return prober.open(role, grant, []);
        },
      },
    });
    const answer = await ask();
    await release(answer);
    await world.advance(10 * SECOND);
    expect(await read(answer)).toMatchObject({ provedAt: expect.any(String) });
    expect(asked).toEqual([regions]);
  });
});

describe("a message to the prover", () => {
  const send = (body: string) =>
    new SQSClient(world.administrator).send(
      new SendMessageCommand({
        QueueUrl: world.stint.settings.STINT_PROOF_QUEUE_URL,
        MessageBody: body,
      }),
    );

  test.each([
    ["no JSON", "{"],
    ["no grant", JSON.stringify({ role: ROLE, deniedAt: 1, until: 2, grants: ["x"] })],
    [
      "another role",
      JSON.stringify({
        role: "arn:aws:iam::000000000000:role/admin",
        deniedAt: 1,
        until: 9e15,
        grants: ["g000000000000000"],
      }),
    ],
  ])("that holds %s proves nothing and moves nothing", async (_, body) => {
    const answer = await ask();
    const before = await storedOf(world, grantIn(answer).id);
    await send(body);
    await world.advance(MINUTE);
    expect(await storedOf(world, grantIn(answer).id)).toEqual(before);
    expect(told("grant.proved")).toEqual([]);
  });

  test("about a grant that lives does not say that it is dead", async () => {
    const answer = await ask();
    const { id } = grantIn(answer);
    // Somebody denies it by hand: the session is dead, and the grant none the less not ended.
    await world.stint.app("revoke").deps.denyList.write(ROLE, { ids: [id] });
    world.aws.iam.spread();
    const { now } = world.aws.clock;
    await send(
      JSON.stringify({ role: ROLE, deniedAt: now(), until: now() + MINUTE, grants: [id] }),
    );
    await world.advance(5 * SECOND);
    expect(await read(answer)).toMatchObject({ state: "active" });
  });
});

describe("a list that somebody else changed", () => {
  const restored = async (change: () => Promise<unknown>) => {
    const answer = await ask();
    await release(answer);
    await world.advance(5 * SECOND);
    await change();
    world.aws.iam.spread();
    expect(await works(world, sessionOf(answer))).toBe(true);
    await world.advance(MINUTE + 2 * SECOND);
    expect(await works(world, sessionOf(answer))).toBe(false);
    expect(alarms("deny_list_changed")).toHaveLength(1);
    expect(told("role.restored")).toMatchObject([{ role: ROLE, actor: { kind: "revoker" } }]);
    await world.advance(3 * MINUTE);
    expect(alarms("deny_list_changed")).toHaveLength(1);
    await assertNothingLives(witness);
  };

  test("is restored within the sweeper's minute when it was deleted", () =>
    restored(() =>
      iam().send(new DeleteRolePolicyCommand({ RoleName, PolicyName: "StintRevoked" })),
    ));

  test.each([
    ["allows", (text: string) => text.replace("Deny", "Allow")],
    [
      "is about another grant",
      (text: string) => text.replace(/"g[0-9a-z]{15}"/, '"g000000000000000"'),
    ],
    [
      "is about nothing",
      (text: string) => text.replace('"Resource":"*"', '"Resource":"arn:aws:s3:::none"'),
    ],
  ])("is restored when it %s", (_, change) =>
    restored(async () =>
      iam().send(
        new PutRolePolicyCommand({
          RoleName,
          PolicyName: "StintRevoked",
          PolicyDocument: change((await denyList(world)) ?? ""),
        }),
      ),
    ),
  );

  test("costs nothing where no denial runs", async () => {
    const answer = await ask({}, { duration: "2m" });
    await release(answer);
    await world.advance(4 * MINUTE);
    const reads = () =>
      world.aws.calls().filter(({ operation }) => operation === "GetRolePolicy").length;
    const before = reads();
    await ask();
    await world.advance(5 * MINUTE);
    expect(reads()).toBe(before);
  });

  inside("by a worker that was believed dead is written again by the one that lives", async () => {
    const [a, b] = [await ask(), await ask()];
    let late: (() => Promise<unknown>) | undefined;
    intercept(world.aws.iam.operations, "PutRolePolicy", async (next, input) => {
      const { PolicyDocument } = input as { PolicyDocument: string }; // parsed by the operation
      // The first write hangs, and comes through only after the second.
      if (late === undefined && PolicyDocument.includes(grantIn(a).id)) {
        late = next;
        throw new Error("no answer");
      }
      return next();
    });
    await release(a);
    await release(b);
    await world.advance(20 * SECOND);
    await late?.();
    world.aws.iam.spread();
    expect(await deniedIds(world)).toEqual([grantIn(a).id]);
    await world.advance(MINUTE + 2 * SECOND);
    expect(new Set(await deniedIds(world))).toEqual(new Set([grantIn(a).id, grantIn(b).id]));
    expect(await works(world, sessionOf(b))).toBe(false);
    await assertNothingLives(witness);
  });
});

describe("an end that keeps failing", () => {
  test("is tried again with growing waits, then stuck and loud, and done when it can be", async () => {
    const answer = await ask();
    const down = world.aws.faults.add({
      service: "iam",
      operation: "PutRolePolicy",
      kind: "refuse",
      error: { code: "ServiceFailure", message: "IAM is down" },
    });
    const tries = () => world.logged.filter(({ message }) => message === "revoke_failed").length;
    await release(answer);
    await world.advance(10 * SECOND);
    expect(tries()).toBeGreaterThanOrEqual(3);
    expect(await read(answer)).toMatchObject({ state: "ending" });
    expect((await read(answer)).stuck).toBeUndefined();
    await world.advance(5 * MINUTE);
    expect(await read(answer)).toMatchObject({
      state: "ending",
      stuck: true,
      error: expect.stringContaining("IAM is down"),
    });
    expect(told("grant.stuck")).toMatchObject([
      { grant: grantIn(answer).id, error: expect.stringContaining("ServiceFailure") },
    ]);
    expect(alarms("stuck").length).toBeGreaterThan(0);
    const listed = await world.call("GET", "/v1/grants?state=ending&stuck=true", {
      token: await world.jobToken({ run_id: "1", check_run_id: String(jobs) }),
    });
    expect(listed.body.grants.map(({ id }: { id: string }) => id)).toEqual([grantIn(answer).id]);
    world.aws.faults.remove(down);
    await world.advance(4 * MINUTE);
    await expectOver(witness, grantIn(answer).id, "released");
    const ended = await read(answer);
    expect(ended.stuck).toBeUndefined();
    expect(ended.deniedAt).toEqual(expect.any(String));
    await assertNothingLives(witness);
  });

  test("holds up no other role, and no other grant of its own for long", async () => {
    const [a, b] = [await ask(), await ask()];
    const down = world.aws.faults.add({
      service: "iam",
      operation: "PutRolePolicy",
      kind: "refuse",
    });
    await release(a);
    await world.advance(MINUTE);
    world.aws.faults.remove(down);
    await release(b);
    await world.advance(MINUTE + 10 * SECOND);
    for (const answer of [a, b]) await expectOver(witness, grantIn(answer).id, "released");
    await assertNothingLives(witness);
  });

  test("says nothing secret in its error", async () => {
    const answer = await ask();
    const secret = answer.body.credentials.aws.secretAccessKey;
    world.aws.faults.add({ service: "iam", kind: "refuse" });
    await release(answer);
    await world.advance(6 * MINUTE);
    expect(JSON.stringify(await world.items())).not.toContain(secret);
    expect(JSON.stringify(world.logged)).not.toContain(secret);
  });
});

insideSuite("a thousand grants of one role that end within a second", () => {
  const burst = async (count: number, run: string) => {
    const answers: Answer[] = [];
    const next = async () => {
      while (answers.length < count) {
        const at = answers.push(undefined as unknown as Answer) - 1; // its place, filled below
        answers[at] = await ask({ run_id: run });
      }
    };
    await Promise.all(Array.from({ length: 32 }, next));
    return answers;
  };

  test("cost at most ten writes, are all dead, and spare whoever comes after them", async () => {
    const answers = await burst(1_000, "88");
    await world.advance(4 * SECOND);
    const before = writes();
    await endRun("88");
    await world.advance(10 * SECOND);
    expect(writes() - before).toBeLessThanOrEqual(10);
    // Nobody lives on the role: a watermark stands for those that the list has no room for.
    expect(told("role.watermarked").length).toBeGreaterThan(0);
    expect(alarms("deny_list_full")).toEqual([]);
    for (const answer of answers.filter((_, n) => n % 97 === 0)) {
      expect(await works(world, sessionOf(answer))).toBe(false);
      const grant = await read(answer);
      expect(grant.state).toBe("ended");
      // No session that is opened now could say anything of these.
      expect(grant.provedAt).toBeUndefined();
      expect(grant.deadBy).toBe(grant.leases[0]?.until);
    }
    const after = await ask({ run_id: "89" });
    expect(await works(world, sessionOf(after))).toBe(true);
    await world.advance(MINUTE);
    expect(await works(world, sessionOf(after))).toBe(true);
    expect(((await denyList(world)) ?? "").length).toBeLessThanOrEqual(10_240);
    // When the sessions that it was for are over, the next write takes the watermark away.
    await world.advance(20 * MINUTE);
    await release(await ask({ run_id: "90" }));
    expect(await denyList(world)).not.toContain("TokenIssueTime");
  }, 120_000);

  test("leave those with the least time left to lapse while somebody lives on the role", async () => {
    const alive = await ask({ run_id: "91" });
    const answers = await burst(540, "92");
    await world.advance(4 * SECOND);
    await endRun("92");
    await world.advance(10 * SECOND);
    expect(await works(world, sessionOf(alive))).toBe(true);
    expect(told("role.watermarked")).toEqual([]);
    expect(alarms("deny_list_full").length).toBeGreaterThan(0);
    const { capacity } = world.stint.app("revoke").deps.denyList;
    const grants = await Promise.all(answers.map(read));
    expect(grants.filter(({ provedAt }) => provedAt !== undefined)).toHaveLength(capacity);
    const lapsing = grants.filter(({ deniedAt }) => deniedAt === undefined);
    expect(lapsing).toHaveLength(540 - capacity);
    for (const grant of lapsing) {
      expect(grant.state).toBe("ended");
      // Nothing is said of them but what is inside their sessions.
      expect(grant.deadBy).toBe(grant.leases[0]?.until);
    }
    await assertNothingLives(witness);
  }, 120_000);
});
