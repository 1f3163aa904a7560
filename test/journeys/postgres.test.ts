/** Grants of a Postgres database, against a real server: logins for as long as a lease, and nothing left behind. */
import { parseConfig } from "@stint/core/config/load";
import type { Config } from "@stint/core/profile";
import { demoJobPayload } from "@stint/local/payloads";
import { pipelineClaims } from "@stint/pipelines/registry";
import type { Client } from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { TestServer } from "../postgres/server.ts";
import { ADMIN, newest, openShop, putSecret, SECRET, shopAt } from "../postgres/shop.ts";
import { ROLE, storedOf, type Witness, watch, works } from "./witness.ts";
import { type Answer, createWorld, grantIn, inside, type World } from "./world.ts";

const MINUTE = 60_000;
const version = newest();

const configFor = (at: Pick<TestServer, "host" | "port">, database: object): Config => {
  const yaml = `version: 1
audience: https://stint.local.test
profiles:
  orders:
    duration: { default: 20m, max: 2h }
    targets:
      db: ${JSON.stringify(shopAt(at, database))}
  both:
    duration: { default: 20m, max: 2h }
    targets:
      aws:
        kind: aws
        role: ${ROLE}
        allow: [{ actions: ["s3:*"], resources: ["arn:aws:s3:::orders-it/\${namespace}/*"] }]
      db: ${JSON.stringify(shopAt(at))}
rules:
  - { id: a, profile: orders, to: { pipeline: github, repository_id: "186853002" } }
  - { id: b, profile: both, to: { pipeline: github, repository_id: "186853002" } }
`;
  const parsed = parseConfig(yaml, {}, pipelineClaims());
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  return parsed.config;
};

describe.skipIf(version === undefined)("a grant of a database", () => {
  let server: TestServer;
  let world: World;
  let witness: Witness;
  let jobs = 0;

  beforeAll(async () => {
    if (version !== undefined) server = await openShop(version);
  }, 60_000);
  afterAll(() => server?.[Symbol.asyncDispose]());
  beforeEach(() => open());

  const open = async (database: object = {}, at: Pick<TestServer, "host" | "port"> = server) => {
    world = await createWorld({
      config: configFor(at, database),
      maxAttempts: 1,
      // A server's clock goes on by itself: leases must not be over by it before they are by ours.
      start: Date.now(),
    });
    witness = await watch(world);
    await putSecret(world.administrator);
  };

  const ask = async (profile = "orders", body = {}): Promise<Answer> => {
    jobs += 1;
    return world.call("POST", "/v1/grants", {
      token: await world.jobToken({ run_id: "5", check_run_id: String(jobs) }),
      body: { profile, ...body },
    });
  };
  const loginOf = (answer: Answer, target = "db") => {
    const { user, password, database } = answer.body.credentials[target];
    return { user, password, database };
  };
  const release = async (answer: Answer) => {
    await world.call("DELETE", `/v1/grants/${grantIn(answer).id}`, { token: answer.body.token });
    await world.aws.settle();
  };
  const read = async (answer: Answer) =>
    grantIn(
      await world.call("GET", `/v1/grants/${grantIn(answer).id}`, { token: answer.body.token }),
    );
  const roles = async () =>
    (await server.as({}, "SELECT rolname FROM pg_roles WHERE rolname LIKE 'stint\\_%'")).map(
      ({ rolname }) => rolname,
    );
  const until = async (session: Client): Promise<boolean> =>
    session.query("SELECT 1").then(
      () => true,
      () => false,
    );

  test("is a login of its own in the group's rights, and is gone with its sessions at the release", async () => {
    const answer = await ask();
    expect(answer.status).toBe(201);
    const { db } = answer.body.credentials;
    expect(db).toMatchObject({ host: "127.0.0.1", port: server.port, database: "shop" });
    expect(db.user).toMatch(new RegExp(`^stint_${grantIn(answer).id}_[a-z0-9]+$`));
    await server.as(loginOf(answer), "INSERT INTO orders VALUES (7)");
    expect(grantIn(answer)).toMatchObject({
      revocability: { db: "immediate" },
      leases: [{ target: "db", user: db.user }],
    });
    // Sessions live on past the lease's end, so nothing is said before they are seen to be gone.
    expect(grantIn(answer).deadBy).toBeUndefined();

    const session = await server.session(loginOf(answer));
    session.on("error", () => {});
    expect(await until(session)).toBe(true);
    await release(answer);
    expect(await until(session)).toBe(false);
    await expect(server.as(loginOf(answer), "SELECT 1")).rejects.toThrow();
    expect(await roles()).toEqual([]);
    const ended = await read(answer);
    expect(ended).toMatchObject({
      state: "ended",
      why: "released",
      provedAt: expect.any(String),
    });
    expect(ended.deadBy).toBe(ended.provedAt);
    const facts = witness.records.map(({ fact, actor }) => `${fact} ${actor.kind}`);
    expect(facts).toEqual([
      "grant.opened job",
      "grant.activated job",
      "grant.ending job",
      "grant.ended clearer",
    ]);
    expect(witness.records.at(-1)).toMatchObject({ timeToDeadMs: expect.any(Number) });
  });

  test("has a login for each lease, and all of them end with it", async () => {
    const answer = await ask();
    const more = await world.call("POST", `/v1/grants/${grantIn(answer).id}/credentials`, {
      token: answer.body.token,
      body: {},
    });
    expect(more.status).toBe(200);
    const users = [answer, more].map((one) => loginOf(one).user);
    expect(new Set(users).size).toBe(2);
    for (const one of [answer, more]) await server.as(loginOf(one), "SELECT 1");
    await release(answer);
    expect(await roles()).toEqual([]);
  });

  test("ends with its job, and by its time, and leaves nothing either way", async () => {
    const [job, timed] = [await ask(), await ask("orders", { duration: "5m" })];
    const { repository } = demoJobPayload("completed");
    await world.github("workflow_run", {
      action: "completed",
      repository,
      workflow_run: { id: 6, run_attempt: 1, status: "completed" },
    });
    expect((await read(job)).state).toBe("active");
    await world.advance(7 * MINUTE);
    expect(await read(timed)).toMatchObject({ state: "ended", why: "expired" });
    await world.github("workflow_run", {
      action: "completed",
      repository,
      workflow_run: { id: 5, run_attempt: 1, status: "completed" },
    });
    expect(await read(job)).toMatchObject({ state: "ended", why: "job_ended" });
    expect(await roles()).toEqual([]);
  });

  test("may have a schema of its own, which goes with what is in it", async () => {
    await open({ own: "schema" });
    const answer = await ask();
    const schema = `stint_${grantIn(answer).id}`;
    expect(answer.body.credentials.db.schema).toBe(schema);
    await server.as(loginOf(answer), "CREATE TABLE mine (id int)", "INSERT INTO mine VALUES (1)");
    await release(answer);
    const left = await server.as(
      { database: "shop" },
      `SELECT 1 FROM pg_namespace WHERE nspname = '${schema}'`,
    );
    expect(left).toEqual([]);
  });

  test("of two targets is minted whole or not at all", async () => {
    world.aws.faults.add({ service: "sts", operation: "AssumeRole", kind: "refuse" });
    const failed = await ask("both");
    world.aws.faults.clear();
    expect(failed.status).toBeGreaterThanOrEqual(500);
    expect(failed.body.credentials).toBeUndefined();
    await world.advance(3 * MINUTE);
    expect(await roles()).toEqual([]);
    const answer = await ask("both");
    expect(Object.keys(answer.body.credentials)).toEqual(["aws", "db"]);
    expect(grantIn(answer).revocability).toEqual({ aws: "next-request", db: "immediate" });
    await release(answer);
    await world.advance(2 * MINUTE);
    const ended = await read(answer);
    expect(ended).toMatchObject({
      state: "ended",
      deniedAt: expect.any(String),
      provedAt: expect.any(String),
    });
    expect(ended.deadBy).toBe(ended.provedAt);
    expect(await works(world, { ...answer.body.credentials.aws, grant: grantIn(answer).id })).toBe(
      false,
    );
    expect(await roles()).toEqual([]);
  });

  test("whose server is away stays ending and is stuck, says no deadBy, and is ended when it is back", async () => {
    const answer = await ask("orders", { duration: "5m" });
    await server.stop();
    try {
      await release(answer);
      await world.advance(6 * MINUTE);
      const stuck = await read(answer);
      // Its lease is over; sessions that it opened may live on, for all that anybody knows.
      expect(stuck).toMatchObject({ state: "ending", stuck: true });
      expect(stuck.deadBy).toBeUndefined();
      expect(stuck.error).toMatch(/Postgres at 127.0.0.1/);
    } finally {
      await server.start();
    }
    await world.advance(5 * MINUTE);
    expect(await read(answer)).toMatchObject({ state: "ended", why: "released" });
    expect(await roles()).toEqual([]);
  });

  test("that is stuck ends at once when somebody wants it tried again", async () => {
    const answer = await ask("orders", { duration: "5m" });
    await server.stop();
    try {
      await release(answer);
      await world.advance(6 * MINUTE);
      expect(await read(answer)).toMatchObject({ state: "ending", stuck: true });
    } finally {
      await server.start();
    }
    const token = await world.jobToken({ run_id: "5", check_run_id: String(jobs) });
    const at = `/v1/grants/${grantIn(answer).id}/retry`;
    expect(await world.call("POST", at, { token })).toMatchObject({ status: 202 });
    await world.aws.settle();
    expect(await read(answer)).toMatchObject({ state: "ended", why: "released" });
    expect(await roles()).toEqual([]);
  });

  test("can be tried beforehand by the deployment's doctor, which answers no secret", async () => {
    const server = expect.stringMatching(/^127\.0\.0\.1:\d+\//);
    const well = await world.stint.invoke("doctor", { profile: "orders" });
    expect(well).toMatchObject({ targets: [], databases: [{ target: "db", server }] });
    expect(JSON.stringify(well)).not.toContain('"error"');
    await open({ database: "gone" });
    const ill = await world.stint.invoke("doctor", { profile: "orders" });
    expect(ill).toMatchObject({
      databases: [{ target: "db", findings: [{ id: "database_gone", severity: "error" }] }],
    });
    expect(JSON.stringify([well, ill, world.logged])).not.toContain(SECRET);
    expect(await roles()).toEqual([]);
    expect(await world.items()).toEqual([]);
  });

  test("whose server is away when it is asked for is answered clearly, and leaves nothing", async () => {
    await open({}, { host: "127.0.0.1", port: 1 });
    const answer = await ask();
    expect(answer).toMatchObject({ status: 503, body: { code: "unavailable" } });
    expect(answer.body.detail).toMatch(/Postgres at 127.0.0.1:1/);
    await server.as({}, "SELECT 1");
  });

  test.each([
    ["a wrong admin secret", {}, "another-secret", /admin|password|boss/i],
    ["a group that does not exist", { roles: ["nobody"] }, SECRET, /nobody/],
    ["a template that does not exist", { own: { database: "no_template" } }, SECRET, /no_template/],
    ["a database that does not exist", { database: "gone" }, SECRET, /gone/],
  ])("with %s is refused, says what is wrong, and leaves nothing", async (_, at, secret, says) => {
    await open(at);
    await putSecret(world.administrator, secret);
    const answer = await ask();
    expect(answer).toMatchObject({ status: 502, body: { code: "target_refused" } });
    expect(`${answer.body.detail} ${answer.body.hint}`).toMatch(says);
    expect(JSON.stringify([answer.body, world.logged])).not.toContain(secret);
    // Once nobody can be minting for it any more.
    await world.advance(3 * MINUTE);
    expect(await roles()).toEqual([]);
  });

  test("without the admin's secret is refused, and says where it belongs", async () => {
    await open({ admin: { user: ADMIN, password: "/stint/postgres/other" } });
    const answer = await ask();
    expect(answer).toMatchObject({ status: 502, body: { code: "target_refused" } });
    expect(answer.body.detail).toContain("/stint/postgres/other");
  });

  test("whose database is gone ends: one that lives as target_gone, one that ends as it was", async () => {
    await server.as({}, "CREATE DATABASE passing");
    await server.as(
      {},
      `GRANT CREATE, CONNECT ON DATABASE passing TO ${ADMIN}`,
      "GRANT CONNECT ON DATABASE passing TO app",
    );
    await open({ database: "passing" });
    const [lives, ends] = [await ask(), await ask()];
    expect([lives.status, ends.status]).toEqual([201, 201]);
    await server.as({}, "DROP DATABASE passing WITH (FORCE)");
    await release(ends);
    await world.advance(5 * MINUTE);
    const ended = await read(ends);
    const more = await world.call("POST", `/v1/grants/${grantIn(lives).id}/credentials`, {
      token: lives.body.token,
      body: {},
    });
    expect(more).toMatchObject({ status: 502, body: { code: "target_refused" } });
    await world.advance(5 * MINUTE);
    expect(ended).toMatchObject({ state: "ended", why: "released" });
    expect(await read(lives)).toMatchObject({ state: "ended", why: "target_gone" });
    expect(await roles()).toEqual([]);
  });

  inside("whose server says once that its database is gone is not taken at its word", async () => {
    const answer = await ask();
    const { deps } = world.stint.app("clear");
    const { clearing } = deps;
    let lies = 2;
    Object.assign(deps, {
      clearing: {
        clear: async (...of: Parameters<typeof clearing.clear>) =>
          lies-- > 0 ? "gone" : clearing.clear(...of),
      },
    });
    await release(answer);
    expect((await read(answer)).state).toBe("ending");
    expect(await roles()).not.toEqual([]);
    await world.advance(3 * MINUTE);
    expect(await read(answer)).toMatchObject({ state: "ended", provedAt: expect.any(String) });
    expect(await roles()).toEqual([]);
  });

  inside("whose server goes on saying that it is gone ends, and the record says so", async () => {
    const answer = await ask();
    const { deps } = world.stint.app("clear");
    Object.assign(deps, { clearing: { clear: async () => "gone" } });
    await release(answer);
    await world.advance(14 * MINUTE);
    expect(await read(answer)).toMatchObject({ state: "ending", stuck: true });
    expect(world.logged.some(({ message }) => message === "stuck")).toBe(true);
    await world.advance(6 * MINUTE);
    expect(await read(answer)).toMatchObject({ state: "ended", why: "released" });
    expect(witness.records.find(({ fact }) => fact === "grant.ended")).toMatchObject({
      targetGone: true,
    });
    // What the story took away with a word is taken away in earnest.
    await server.as(
      {},
      ...(await roles()).map((role) => `DROP OWNED BY "${role}"; DROP ROLE "${role}"`),
    );
  });

  test("leaves no secret in table, log, stream, bus or errors", async () => {
    const answer = await ask();
    const { password } = loginOf(answer);
    await release(answer);
    const everywhere = JSON.stringify([await world.items(), world.logged, witness.images]);
    for (const secret of [password, SECRET]) expect(everywhere).not.toContain(secret);
    // The server logs every statement, and has never been told a password of ours.
    expect(server.log()).toContain(loginOf(answer).user);
    expect(server.log()).not.toContain(password);
    const { grant } = await storedOf(world, grantIn(answer).id);
    expect(JSON.stringify(grant)).toContain("/stint/postgres/shop");
  });
});
