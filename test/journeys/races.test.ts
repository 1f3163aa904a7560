import { demoJobPayload } from "@stint/local/payloads";
import { beforeEach, describe, expect, test } from "vitest";
import {
  assertNothingLives,
  deniedIds,
  drive,
  expectOneEnd,
  expectOver,
  liveSessions,
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
beforeEach(async () => {
  world = await createWorld();
  witness = await watch(world);
});

const ask = async (token: string, body = {}, headers = {}) =>
  witness.take(
    await world.call("POST", "/v1/grants", {
      token,
      body: { profile: "orders-integration", ...body },
      headers,
    }),
  );

const refresh = async (id: string, token: string) =>
  witness.take(await world.call("POST", `/v1/grants/${id}/credentials`, { token, body: {} }));

const keyOf = (answer: Answer): string => answer.body.credentials.aws.accessKeyId;

/** The end of the demo's job. */
const jobEnd = () => world.github("workflow_job", demoJobPayload("completed"));

/** The end of the demo's run, or of its attempt. */
const runEnd = () => {
  const job = demoJobPayload("completed") as {
    readonly workflow_job: { readonly run_id: number; readonly run_attempt: number };
    readonly repository: unknown;
  }; // GitHub's own payload
  const { run_id: id, run_attempt } = job.workflow_job;
  return world.github("workflow_run", {
    action: "completed",
    repository: job.repository,
    workflow_run: { id, run_attempt, status: "completed" },
  });
};

describe("requests at once", () => {
  test.each([2, 200])(
    "%i identical ones open one grant and each get a lease of their own",
    async (n) => {
      const token = await world.jobToken();
      const answers = await drive(world, Promise.all(Array.from({ length: n }, () => ask(token))));
      expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
      expect(answers.filter(({ status }) => status === 200)).toHaveLength(n - 1);
      expect(new Set(answers.map((answer) => grantIn(answer).id)).size).toBe(1);
      expect(new Set(answers.map(({ body }) => body.token)).size).toBe(1);
      expect(new Set(answers.map(keyOf)).size).toBe(n);
      expect(new Set(witness.sessions.map(({ accessKeyId }) => accessKeyId)).size).toBe(n);
      const [{ id, endsAt }] = answers.map(grantIn) as [ReturnType<typeof grantIn>];
      expect(await schedules(world)).toEqual([id]);
      expect(await scheduleOf(world, id)).toBe(Date.parse(endsAt));
      const { grant } = await storedOf(world, id);
      expect(grant).toMatchObject({ state: "active" });
      expect(
        Object.values("leases" in grant ? grant.leases : {})
          .map((of) => of.accessKeyId)
          .sort(),
      ).toEqual(answers.map(keyOf).sort());
      await world.aws.settle();
      const facts = witness.records.map(({ fact }) => fact);
      expect(facts.filter((fact) => fact === "grant.opened")).toHaveLength(1);
      expect(facts.filter((fact) => fact === "grant.activated")).toHaveLength(1);
      expect(facts.filter((fact) => fact === "grant.refreshed")).toHaveLength(n - 1);
      await jobEnd();
      await expectOver(witness, id, "job_ended");
      expect(world.aws.errors).toEqual([]);
    },
  );

  test("two hundred jobs of one run each get a grant of their own, and all end with the run", async () => {
    const tokens = await Promise.all(
      Array.from({ length: 200 }, (_, i) => world.jobToken({ check_run_id: String(5_000 + i) })),
    );
    const answers = await drive(world, Promise.all(tokens.map((token) => ask(token))));
    expect(answers.map(({ status }) => status)).toEqual(tokens.map(() => 201));
    expect(new Set(answers.map((answer) => grantIn(answer).id)).size).toBe(200);
    expect((await runEnd()).status).toBe(202);
    await world.advance(5_000);
    expect(await liveSessions(witness)).toEqual([]);
    for (const answer of answers)
      expect((await storedOf(world, grantIn(answer).id)).grant).toMatchObject({
        state: "ended",
        why: "job_ended",
      });
    expect(await deniedIds(world)).toHaveLength(200);
    expect(await schedules(world)).toEqual([]);
    expect(world.aws.errors).toEqual([]);
  });

  test("the same token under two keys at once opens one grant", async () => {
    const token = await world.jobToken();
    const answers = await drive(
      world,
      Promise.all(["one", "two"].map((key) => ask(token, {}, { "idempotency-key": key }))),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 422]);
    expect(witness.sessions).toHaveLength(1);
    await assertNothingLives(witness);
  });

  test("the same key with two bodies at once is one grant and one mismatch", async () => {
    const token = await world.jobToken();
    const answers = await drive(
      world,
      Promise.all(["5m", "6m"].map((duration) => ask(token, { duration }))),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 422]);
    expect(answers.find(({ status }) => status === 422)?.body.code).toBe("idempotency_mismatch");
    expect(witness.sessions).toHaveLength(1);
    await assertNothingLives(witness);
  });

  test("two claims of one approved grant give one start and two leases", async () => {
    const person = await world.personToken("ann", ["developers"]);
    const asked = await ask(person, {}, { "idempotency-key": "claim" });
    const { id } = grantIn(asked);
    await world.call("POST", `/v1/grants/${id}/approval`, {
      token: await world.personToken("owner", ["orders-owners"]),
      body: { decision: "approve", reason: "fine" },
    });
    const answers = await drive(
      world,
      Promise.all([refresh(id, asked.body.token), refresh(id, asked.body.token)]),
    );
    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
    expect(new Set(answers.map(keyOf)).size).toBe(2);
    expect(await schedules(world)).toEqual([id]);
    await world.aws.settle();
    const facts = witness.records.map(({ fact }) => fact);
    expect(facts.filter((fact) => fact === "grant.opened")).toHaveLength(1);
    await assertNothingLives(witness);
  });
});

describe("a job's end", () => {
  test("before its request leaves nothing to mint", async () => {
    await jobEnd();
    const answer = await ask(await world.jobToken());
    expect(answer).toMatchObject({ status: 409, body: { code: "job_ended" } });
    expect(witness.sessions).toEqual([]);
    expect(await schedules(world)).toEqual([]);
    await assertNothingLives(witness);
  });

  test("between minting and the lease keeps the credential from being handed out, and it is denied", async () => {
    witness.onMint = async () => {
      witness.onMint = () => {};
      expect((await jobEnd()).status).toBe(202);
    };
    const token = await world.jobToken();
    const answer = await drive(world, ask(token));
    expect(answer.status).toBe(409);
    expect(["job_ended", "grant_ended"]).toContain(answer.body.code);
    expect(answer.body.credentials).toBeUndefined();
    const [lost] = witness.sessions;
    if (lost === undefined) throw new Error("nothing was minted");
    await expectOver(witness, lost.grant, "job_ended");
    expect(await deniedIds(world)).toEqual([lost.grant]);
    expect(await drive(world, ask(token))).toMatchObject({ status: 409 });
    await assertNothingLives(witness);
  });

  test("whose tombstone alone is written stops the lease, and the grant ends with it", async () => {
    // Whoever reads the stream cannot find the run's grants for a while: the tombstone is all that there is.
    const down = world.aws.faults.add({ service: "dynamodb", operation: "Query", kind: "refuse" });
    witness.onMint = async (session) => {
      witness.onMint = () => {};
      const { deps } = world.stint.app("webhook");
      const { grant } = await storedOf(world, session.grant);
      if (grant.principal.kind !== "job") throw new Error("not a job's grant");
      const { job: _, ...run } = grant.principal.job;
      await deps.store.tombstone(
        { kind: "run.ended", ...run },
        { pipeline: "github", id: "direct" },
        {
          id: deps.ambient.id(),
          time: deps.ambient.now(),
          fact: "run.ended",
          actor: { kind: "webhook", id: "test" },
          policyVersion: "1",
        },
      );
    };
    const answer = await drive(world, ask(await world.jobToken()));
    expect(answer).toMatchObject({ status: 409, body: { code: "job_ended" } });
    world.aws.faults.remove(down);
    await world.advance(120_000);
    const [lost] = witness.sessions;
    await expectOver(witness, lost?.grant ?? "", "job_ended");
    await assertNothingLives(witness);
  });

  test("at the same time as its request, in whatever order, leaves nothing alive", async () => {
    for (let round = 0; round < 10; round++) {
      const token = await world.jobToken();
      await drive(world, Promise.all([ask(token), ask(token), jobEnd(), ask(token)]));
    }
    await world.advance(5_000);
    expect(await liveSessions(witness)).toEqual([]);
    await assertNothingLives(witness);
    expect(world.aws.errors).toEqual([]);
  });

  test("after it ends what it has, and a further request of it gets nothing", async () => {
    const answer = await ask(await world.jobToken());
    await jobEnd();
    await expectOver(witness, grantIn(answer).id, "job_ended");
    expect(await ask(await world.jobToken())).toMatchObject({
      status: 409,
      body: { code: "job_ended" },
    });
    await assertNothingLives(witness);
  });

  test("is one end however often it is reported", async () => {
    const answer = await ask(await world.jobToken());
    await drive(world, Promise.all([jobEnd(), jobEnd(), runEnd(), jobEnd()]));
    await expectOver(witness, grantIn(answer).id, "job_ended");
    await assertNothingLives(witness);
  });
});

describe("an end", () => {
  test("racing refreshes wins against all that come after it, and denies those that came before", async () => {
    const opened = await ask(await world.jobToken());
    const { id } = grantIn(opened);
    const token: string = opened.body.token;
    const answers = await drive(
      world,
      Promise.all([
        refresh(id, token),
        refresh(id, token),
        world.call("DELETE", `/v1/grants/${id}`, { token }),
        refresh(id, token),
        refresh(id, token),
      ]),
    );
    expect(answers[2]).toMatchObject({ status: 202, body: { grant: { why: "released" } } });
    for (const [i, answer] of answers.entries())
      if (i !== 2 && answer.status !== 200)
        expect(answer).toMatchObject({ status: 409, body: { code: "grant_ended" } });
    await expectOver(witness, id, "released");
    await assertNothingLives(witness);
  });

  test("by schedule, sweeper, person, holder and webhook at once is one end with one reason", async () => {
    const opened = await ask(await world.jobToken(), { duration: "5m", lease: "10m" });
    const { id, endsAt } = grantIn(opened);
    const owner = await world.personToken("owner", ["orders-owners"]);
    await world.advance(Date.parse(endsAt) - world.aws.clock.now() - 1);
    const [, , ...answers] = await drive(
      world,
      Promise.all([
        world.advance(1),
        world.stint.invoke("sweep", {}),
        world.call("DELETE", `/v1/grants/${id}`, { token: owner }),
        world.call("DELETE", `/v1/grants/${id}`, { token: opened.body.token }),
        jobEnd(),
        world.stint.invoke("expire", { grant: id }),
        world.stint.invoke("sweep", {}),
      ]),
    );
    for (const answer of answers.slice(0, 2)) expect(answer).toMatchObject({ status: 202 });
    await expectOver(witness, id);
    await assertNothingLives(witness);
    expect(world.aws.errors).toEqual([]);
  });

  test("while leases run, by person, holder, webhook and run at once is one end with one reason", async () => {
    const opened = await ask(await world.jobToken());
    const { id } = grantIn(opened);
    const owner = await world.personToken("owner", ["orders-owners"]);
    const [first, second] = await drive(
      world,
      Promise.all([
        world.call("DELETE", `/v1/grants/${id}`, { token: owner }),
        world.call("DELETE", `/v1/grants/${id}`, { token: opened.body.token }),
        jobEnd(),
        runEnd(),
      ]),
    );
    expect(grantIn(first).why).toBe(grantIn(second).why);
    expect(grantIn(first).endedAt).toBe(grantIn(second).endedAt);
    await expectOver(witness, id, grantIn(first).why);
    await assertNothingLives(witness);
  });

  test("is not outrun by whoever refreshes between all its reads and writes", async () => {
    const opened = await ask(await world.jobToken());
    const { id } = grantIn(opened);
    const token: string = opened.body.token;
    const { store } = world.stint.app("api").deps;
    const { replace, close } = store;
    const closes: string[] = [];
    const refreshed: number[] = [];
    let writes = 0;
    Object.assign(store, {
      // The worst holder: before each attempt of the end, a refresh that succeeds.
      replace: async (...of: Parameters<typeof replace>) => {
        writes++;
        if (writes > 20) throw new Error("outrun");
        refreshed.push((await refresh(id, token)).status);
        return replace(...of);
      },
      close: async (of: string) => {
        closes.push(of);
        await close(of);
      },
    });
    const answer = await drive(world, world.call("DELETE", `/v1/grants/${id}`, { token }));
    expect(answer).toMatchObject({ status: 202, body: { grant: { why: "released" } } });
    expect(closes).toEqual([id]);
    expect(writes).toBeLessThanOrEqual(8);
    // Those before the closing succeeded, those after it did not.
    expect(refreshed.slice(0, 5)).toEqual([200, 200, 200, 200, 200]);
    expect(refreshed.slice(5).every((status) => status === 409)).toBe(true);
    await expectOver(witness, id, "released");
    expect(await works(world, witness.sessions.at(-1) ?? fail())).toBe(false);
    await expectOneEnd(witness, id);
    await assertNothingLives(witness);
  });
});

const fail = (): never => {
  throw new Error("no session");
};
