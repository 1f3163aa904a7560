/** What opens a grant that exists: its own token, its own principal, and nobody else's. */
import { createHmac } from "node:crypto";
import { GetParameterCommand, PutParameterCommand, SSMClient } from "@aws-sdk/client-ssm";
import { beforeAll, describe, expect, test } from "vitest";
import { expectProblem, leaving } from "./traces.ts";
import { createWorld, grantIn, type World } from "./world.ts";

const PROFILE = "orders-integration";

async function open(world: World, run: string, key = "key") {
  const answer = await world.call("POST", "/v1/grants", {
    token: await world.jobToken({ run_id: run }),
    body: { profile: PROFILE },
    headers: { "idempotency-key": key },
  });
  return { status: answer.status, id: grantIn(answer).id, token: String(answer.body.token) };
}

const USES: ReadonlyArray<[string, string, object | undefined]> = [
  ["GET", "", undefined],
  ["POST", "/credentials", {}],
  ["DELETE", "", undefined],
];

describe("a grant's token", () => {
  let world: World;
  let mine: Awaited<ReturnType<typeof open>>;
  let other: Awaited<ReturnType<typeof open>>;
  beforeAll(async () => {
    world = await createWorld();
    mine = await open(world, "1");
    other = await open(world, "2");
  });

  test.each(USES)(
    "is of no use for another grant: %s /v1/grants/{id}%s",
    async (method, path, body) => {
      const at = (id: string) =>
        leaving(world, () =>
          world.call(method, `/v1/grants/${id}${path}`, { token: mine.token, body }),
        );
      const { answer, left } = await at(other.id);
      expectProblem(answer, 404, "grant_not_found");
      expect(left).toEqual({});
      // Word for word what a grant that does not exist answers.
      const missing = (await at("g000000000000000")).answer;
      expect({ ...answer.body, detail: "" }).toEqual({ ...missing.body, detail: "" });
      expect(answer.body.detail).toBe(missing.body.detail.replace("g000000000000000", other.id));
    },
  );

  test.each([
    ["POST", "/v1/grants", { profile: PROFILE }, 401, "unauthenticated"],
    ["POST", "/v1/decisions", { profile: PROFILE }, 401, "unauthenticated"],
    ["GET", "/v1/grants", undefined, 403, "refused"],
  ] as const)("does not open %s %s", async (method, path, body, status, code) => {
    const { answer, left } = await leaving(world, () =>
      world.call(method, path, { token: mine.token, body }),
    );
    expectProblem(answer, status, code, /grant/);
    expect(answer.body.hint).toBeDefined();
    expect(left).toEqual({});
  });

  test("does not approve, not even its own", async () => {
    const asked = await world.call("POST", "/v1/grants", {
      token: await world.personToken("dev", ["developers"]),
      body: { profile: PROFILE },
    });
    for (const { id, token } of [
      { id: grantIn(asked).id, token: asked.body.token },
      { id: grantIn(asked).id, token: mine.token },
    ]) {
      const { answer, left } = await leaving(world, () =>
        world.call("POST", `/v1/grants/${id}/approval`, {
          token,
          body: { decision: "approve", reason: "me" },
        }),
      );
      expectProblem(answer, 403, "refused", /only a person/);
      expect(left).toEqual({});
    }
  });

  const tampered: ReadonlyArray<[string, (of: { id: string; token: string }) => string]> = [
    ["with another grant's id", ({ token }) => token.replace(mine.id, other.id)],
    ["with the other's code", () => `stint_${mine.id}_${other.token.slice(-43)}`],
    ["of zeros", ({ id }) => `stint_${id}_${"A".repeat(43)}`],
    ["without a code", ({ id }) => `stint_${id}_`],
    ["without anything", () => "stint_"],
    ["cut by one", ({ token }) => token.slice(0, -1)],
    ["with one more", ({ token }) => `${token}A`],
    ["in capitals", ({ token }) => `stint_${token.slice(6).toUpperCase()}`],
    ["with a first letter changed", ({ id, token }) => `stint_${id}_${swapped(token.slice(-43))}`],
    ["of a key that somebody made up", ({ id }) => `stint_${id}_${codeOf(id, "x".repeat(32))}`],
    ["of an empty key", ({ id }) => `stint_${id}_${codeOf(id, "")}`],
    ["for no id", () => `stint_g00000000000000i_${"A".repeat(43)}`],
    ["of 100 KB", ({ id }) => `stint_${id}_${"A".repeat(100_000)}`],
  ];
  const swapped = (code: string) => `${code.startsWith("A") ? "B" : "A"}${code.slice(1)}`;
  const codeOf = (id: string, key: string | Buffer) =>
    createHmac("sha256", key).update(`stint grant token:${id}`).digest("base64url");
  test.each(tampered)("%s is nobody's", async (_, forge) => {
    const token = forge(mine);
    for (const [method, path, body] of USES) {
      const { answer, left } = await leaving(world, () =>
        world.call(method, `/v1/grants/${mine.id}${path}`, { token, body }),
      );
      expectProblem(answer, 401, "unauthenticated");
      expect(left).toEqual({});
    }
  });
});

describe("another principal's grant", () => {
  let world: World;
  let grant: Awaited<ReturnType<typeof open>>;
  beforeAll(async () => {
    world = await createWorld();
    grant = await open(world, "1");
  });

  test.each(USES)(
    "does not exist for another job, and its try is one record: %s /v1/grants/{id}%s",
    async (method, path, body) => {
      const token = await world.jobToken({ run_id: "2" });
      const at = (id: string) =>
        leaving(world, () => world.call(method, `/v1/grants/${id}${path}`, { token, body }));
      const { answer, left } = await at(grant.id);
      expectProblem(answer, 404, "grant_not_found");
      expect(left).toEqual({ DECISION: 1 });
      const missing = (await at("g000000000000000")).answer;
      expect({ ...answer.body, detail: "" }).toEqual({ ...missing.body, detail: "" });
    },
  );

  test("is not approved by a job, nor listed for it, and each try is one record", async () => {
    const token = await world.jobToken({ run_id: "2" });
    const approved = await leaving(world, () =>
      world.call("POST", `/v1/grants/${grant.id}/approval`, {
        token,
        body: { decision: "approve", reason: "x" },
      }),
    );
    expectProblem(approved.answer, 403, "refused", /only a person/);
    expect(approved.left).toEqual({ DECISION: 1 });
    const listed = await leaving(world, () =>
      world.call("GET", `/v1/grants?profile=${PROFILE}`, { token }),
    );
    expectProblem(listed.answer, 403, "refused", /no rule lets you read/);
    expect(listed.left).toEqual({ DECISION: 1 });
    // Whether the profile exists is not told.
    const missing = await world.call("GET", "/v1/grants?profile=nothing", { token });
    expect(missing).toEqual(listed.answer);
  });
});

describe("the key of grant tokens", () => {
  const NAME = "/stint/token-keys";
  type Key = { version: string; key: string };

  async function keysOf(world: World) {
    const ssm = new SSMClient(world.administrator);
    const { Parameter } = await ssm.send(
      new GetParameterCommand({ Name: NAME, WithDecryption: true }),
    );
    const { keys }: { keys: Key[] } = JSON.parse(Parameter?.Value ?? "");
    const put = async (...of: Key[]) => {
      await ssm.send(
        new PutParameterCommand({
          Name: NAME,
          Value: JSON.stringify({ keys: of }),
          Type: "SecureString",
          Overwrite: true,
        }),
      );
      // As long as functions go on with what they have read.
      await world.advance(5 * 60_000);
    };
    const [first] = keys;
    if (first === undefined) throw new Error("there is no key");
    return { first, put };
  }

  test("is rotated without a token dying early, and a retired one opens nothing", async () => {
    const world = await createWorld();
    const { first, put } = await keysOf(world);
    const old = await open(world, "1");
    const second: Key = { version: "2", key: Buffer.alloc(32, 7).toString("base64") };
    const get = ({ id, token }: { id: string; token: string }) =>
      world.call("GET", `/v1/grants/${id}`, { token });

    await put(second, first);
    const young = await open(world, "2");
    expect((await get(old)).status).toBe(200);
    expect((await get(young)).status).toBe(200);
    // The first request's repeat gets the token that it got before.
    expect(await open(world, "1")).toEqual({ ...old, status: 200 });

    await put(second);
    const { answer, left } = await leaving(world, () => get(old));
    expectProblem(answer, 401, "unauthenticated", /not one of ours/);
    expect(left).toEqual({});
    expect((await get(young)).status).toBe(200);
    // Its holder is not locked out: who is the principal gets a token that works.
    const renewed = await open(world, "1");
    expect(renewed.token).not.toBe(old.token);
    expect((await get(renewed)).status).toBe(200);
  });

  test.each([
    ["short", JSON.stringify({ keys: [{ version: "2", key: "c2hvcnQ=" }] })],
    ["missing", JSON.stringify({ keys: [] })],
    ["not JSON", "keys"],
  ])("that is %s opens no grant, and nobody learns why", async (_, value) => {
    const world = await createWorld();
    await new SSMClient(world.administrator).send(
      new PutParameterCommand({ Name: NAME, Value: value, Type: "SecureString", Overwrite: true }),
    );
    const { answer, left } = await leaving(world, async () =>
      world.call("POST", "/v1/grants", {
        token: await world.jobToken(),
        body: { profile: PROFILE },
      }),
    );
    expectProblem(answer, 500, "internal", /^an unexpected error$/);
    expect(left).toEqual({});
    // Those who look after it do, but not the key.
    const errors = JSON.stringify(world.logged.filter(({ level }) => level === "error"));
    expect(errors).toMatch(/internal/);
    expect(errors).not.toContain("c2hvcnQ=");
  });
});
