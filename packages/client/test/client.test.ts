import { describe, expect, test } from "vitest";
import { createClient } from "../src/client.ts";
import { StintError } from "../src/error.ts";
import type { Retry } from "../src/retry.ts";
import { type Answer, awsCredentials, grant, ID, problem, serve, TOKEN } from "./fake.ts";

const waits: number[] = [];
const retry: Retry = {
  sleep: async (ms) => {
    waits.push(ms);
  },
  random: () => 0.5,
};
const issued: Answer = {
  status: 201,
  body: { grant: grant(), credentials: { aws: awsCredentials }, token: TOKEN },
};

async function errorFrom(promise: Promise<unknown>): Promise<StintError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof StintError)) throw new Error(`not a StintError: ${error}`);
  return error;
}

describe("a request", () => {
  test("sends the body, the token and a key, and returns grant, token and credentials", async () => {
    await using api = await serve(() => issued);
    const stint = createClient({ url: `${api.url}/`, token: "oidc", retry, newKey: () => "k1" });
    const answer = await stint.request("orders-integration", { duration: "20m", name: "e2e" });
    expect(answer).toEqual({
      grant: grant(),
      credentials: { aws: awsCredentials },
      token: TOKEN,
    });
    expect(api.calls).toHaveLength(1);
    expect(api.calls[0]).toMatchObject({
      method: "POST",
      url: "/v1/grants",
      headers: { authorization: "Bearer oidc", "idempotency-key": "k1" },
      body: { profile: "orders-integration", duration: "20m", name: "e2e" },
    });
  });

  test("keeps its key over 503 and lost answers, and waits longer each time", async () => {
    waits.length = 0;
    const answers: Answer[] = [
      problem(503, "unavailable"),
      { status: 0, cut: true },
      problem(503, "unavailable"),
      issued,
    ];
    await using api = await serve(() => answers.shift() ?? issued);
    const stint = createClient({ url: api.url, token: "oidc", retry });
    await stint.request("orders-integration");
    const keys = api.calls.map((call) => call.headers["idempotency-key"]);
    expect(keys).toHaveLength(4);
    expect(new Set(keys).size).toBe(1);
    expect(waits).toEqual([100, 200, 400]);
  });

  test("two requests have two keys", async () => {
    await using api = await serve(() => issued);
    const stint = createClient({ url: api.url, token: "oidc", retry });
    await stint.request("orders-integration");
    await stint.request("orders-integration");
    const [first, second] = api.calls.map((call) => call.headers["idempotency-key"]);
    expect(first).not.toBe(second);
  });

  test("a server that asks for patience gets it, within reason", async () => {
    waits.length = 0;
    const busy = (seconds: string): Answer => ({
      ...problem(503, "unavailable"),
      headers: { "retry-after": seconds },
    });
    const answers = [busy("7"), busy("3600"), busy("Wed, 21 Oct 2026 07:28:00 GMT"), issued];
    await using api = await serve(() => answers.shift() ?? issued);
    await createClient({ url: api.url, token: "t", retry }).request("p");
    expect(waits).toEqual([7_000, 30_000, 400]);
  });

  test("that waits for approval has no credentials", async () => {
    await using api = await serve(() => ({
      status: 202,
      body: { grant: grant({ state: "pending" }), token: TOKEN },
    }));
    const answer = await createClient({ url: api.url, token: "t", retry }).request("p");
    expect(answer).not.toHaveProperty("credentials");
  });
});

describe("errors", () => {
  test("a refusal is not repeated and tells the rule, the claims and the hint", async () => {
    const explanation = {
      rule: "orders-main",
      failed: [{ claim: "ref", expected: "refs/heads/main", actual: "refs/heads/x" }],
      considered: 2,
    };
    await using api = await serve(() => problem(403, "refused", { explanation, hint: "use main" }));
    const error = await errorFrom(createClient({ url: api.url, token: "t", retry }).request("p"));
    expect(error).toMatchObject({
      code: "refused",
      status: 403,
      detail: "it is refused",
      hint: "use main",
      explanation,
      requestId: "r-1",
    });
    expect(api.calls).toHaveLength(1);
  });

  test("a server that stays away is given up after five tries", async () => {
    await using api = await serve(() => ({ status: 0, cut: true }));
    const error = await errorFrom(createClient({ url: api.url, token: "t", retry }).get(ID));
    expect(error).toMatchObject({ code: "network", status: 0 });
    expect(api.calls).toHaveLength(5);
  });

  test("a proxy's page is no answer", async () => {
    await using api = await serve(() => ({ status: 502, body: "<html>Bad gateway</html>" }));
    const error = await errorFrom(createClient({ url: api.url, token: "t", retry }).get(ID));
    expect(error).toMatchObject({ code: "bad_answer", status: 502 });
  });

  test("a success that is not the API's is no answer either", async () => {
    for (const body of ["<html>hello</html>", [], { grant: 1 }, { token: TOKEN }]) {
      await using api = await serve(() => ({ status: 200, body }));
      const error = await errorFrom(createClient({ url: api.url, token: "t", retry }).request("p"));
      expect(error.code).toBe("bad_answer");
    }
  });

  test("a redirect is not followed, so that the token stays here", async () => {
    await using elsewhere = await serve(() => issued);
    await using api = await serve(() => ({ status: 307, headers: { location: elsewhere.url } }));
    const error = await errorFrom(createClient({ url: api.url, token: "t", retry }).get(ID));
    expect(error.code).toBe("bad_answer");
    expect(elsewhere.calls).toHaveLength(0);
  });

  test("an address that is none is told as such", () => {
    for (const url of ["", "stint.acme.dev", "file:///etc/passwd"])
      expect(() => createClient({ url, token: "t" })).toThrow(/is not an address/);
  });

  test("a token that no header can carry is told at once and never quoted", async () => {
    await using api = await serve(() => issued);
    const stint = createClient({ url: api.url, token: "se\ncret", retry });
    const error = await errorFrom(stint.get(ID));
    expect(error.code).toBe("no_token");
    expect(error.message).not.toContain("cret");
    expect(api.calls).toHaveLength(0);
  });

  test("a line end around the token does no harm", async () => {
    await using api = await serve(() => ({ status: 200, body: { grant: grant() } }));
    await createClient({ url: api.url, token: "t\n", retry }).get(ID);
    expect(api.calls[0]?.headers.authorization).toBe("Bearer t");
  });

  test("an aborted call stops trying", async () => {
    const controller = new AbortController();
    await using api = await serve(() => {
      controller.abort();
      return problem(503, "unavailable");
    });
    const stint = createClient({ url: api.url, token: "t", retry });
    const error = await errorFrom(stint.get(ID, { signal: controller.signal }));
    expect(error.code).toBe("aborted");
    expect(api.calls).toHaveLength(1);
  });
});

describe("one grant", () => {
  test("is read, claimed, released and decided on under its own address", async () => {
    await using api = await serve(() => ({
      status: 200,
      body: { grant: grant(), credentials: { aws: awsCredentials } },
    }));
    const stint = createClient({ url: api.url, token: async () => "mine", retry });
    await stint.get(ID);
    await stint.credentials(ID, { lease: "5m", token: TOKEN });
    await stint.release(ID, { token: TOKEN });
    await stint.revoke(ID);
    await stint.approve(ID, "looks right");
    await stint.refuse(ID, "not today");
    const seen = api.calls.map(({ method, url, headers, body }) => [
      `${method} ${url}`,
      headers.authorization,
      body,
    ]);
    expect(seen).toEqual([
      [`GET /v1/grants/${ID}`, "Bearer mine", undefined],
      [`POST /v1/grants/${ID}/credentials`, `Bearer ${TOKEN}`, { lease: "5m" }],
      [`DELETE /v1/grants/${ID}`, `Bearer ${TOKEN}`, undefined],
      [`DELETE /v1/grants/${ID}`, "Bearer mine", undefined],
      [
        `POST /v1/grants/${ID}/approval`,
        "Bearer mine",
        { decision: "approve", reason: "looks right" },
      ],
      [
        `POST /v1/grants/${ID}/approval`,
        "Bearer mine",
        { decision: "refuse", reason: "not today" },
      ],
    ]);
  });

  test("an id cannot reach another address", async () => {
    await using api = await serve(() => ({ status: 200, body: { grant: grant() } }));
    await createClient({ url: api.url, token: "t", retry }).get("../audit?x=/");
    expect(api.calls[0]?.url).toBe("/v1/grants/..%2Faudit%3Fx%3D%2F");
  });

  test("waiting looks until somebody has decided, less and less often", async () => {
    waits.length = 0;
    const states = ["pending", "pending", "pending", "ready"] as const;
    let looks = 0;
    await using api = await serve(() => ({
      status: 200,
      body: { grant: grant({ state: states[looks++] ?? "ready" }) },
    }));
    const stint = createClient({ url: api.url, token: "t", retry });
    expect((await stint.wait(ID, { intervalMs: 1_000 })).state).toBe("ready");
    expect(waits).toEqual([1_000, 1_500, 2_250]);
  });
});

describe("a list", () => {
  test("passes its filters on and goes from page to page", async () => {
    await using api = await serve((call) =>
      call.url.includes("cursor=c%2B2")
        ? { status: 200, body: { grants: [grant({ id: "g2" })] } }
        : { status: 200, body: { grants: [grant({ id: "g1" })], cursor: "c+2" } },
    );
    const stint = createClient({ url: api.url, token: "t", retry });
    const ids: string[] = [];
    for await (const one of stint.all({ state: "active", stuck: true, limit: 1 })) ids.push(one.id);
    expect(ids).toEqual(["g1", "g2"]);
    expect(api.calls.map((call) => call.url)).toEqual([
      "/v1/grants?state=active&stuck=true&limit=1",
      "/v1/grants?state=active&stuck=true&limit=1&cursor=c%2B2",
    ]);
  });

  test("asks for the next page only when it is wanted", async () => {
    await using api = await serve(() => ({
      status: 200,
      body: { grants: [grant()], cursor: "x" },
    }));
    for await (const _ of createClient({ url: api.url, token: "t", retry }).all()) break;
    expect(api.calls).toHaveLength(1);
  });
});

test("a dry run sends the request and opens nothing", async () => {
  const told = { allowed: false, explanation: { failed: [], considered: 0 } };
  await using api = await serve(() => ({ status: 200, body: told }));
  const stint = createClient({ url: api.url, token: "t", retry });
  expect(await stint.decide({ profile: "p", duration: "2h" })).toEqual(told);
  expect(api.calls[0]).toMatchObject({
    url: "/v1/decisions",
    body: { profile: "p", duration: "2h" },
  });
});

test("asking for health sends no token", async () => {
  await using api = await serve(() => ({ status: 200, body: { status: "ok", audience: "a" } }));
  const stint = createClient({ url: api.url, token: "t", retry });
  expect(await stint.health()).toEqual({ status: "ok", audience: "a" });
  expect(api.calls[0]?.headers.authorization).toBeUndefined();
});

describe("ends that somebody else wants", () => {
  test("send the order as it is, and return what became of it", async () => {
    const lapsing = [{ grant: ID, target: "db", until: "2026-11-22T10:20:00.000Z" }];
    await using api = await serve(() => ({ status: 202, body: { count: 3, lapsing } }));
    const stint = createClient({ url: api.url, token: "oidc", retry });
    expect(await stint.revokeAll({ profile: "orders" })).toEqual({ count: 3, lapsing });
    expect(api.calls[0]).toMatchObject({
      method: "POST",
      url: "/v1/revocations",
      body: { profile: "orders" },
    });
  });

  test("say how many ended where the order could not be finished", async () => {
    await using api = await serve(() => problem(503, "unavailable", { ended: 7 }));
    const stint = createClient({ url: api.url, token: "oidc", retry: { ...retry, attempts: 1 } });
    expect(await errorFrom(stint.revokeAll({}))).toMatchObject({ code: "unavailable", ended: 7 });
  });

  test("are no ends where the answer is nobody's", async () => {
    await using api = await serve(() => ({ status: 202, body: { lapsing: [] } }));
    const stint = createClient({ url: api.url, token: "oidc", retry });
    expect(await errorFrom(stint.revokeAll({}))).toMatchObject({ code: "bad_answer" });
  });

  test("are tried again by one call", async () => {
    await using api = await serve(() => ({ status: 202, body: { grant: grant() } }));
    const stint = createClient({ url: api.url, token: "oidc", retry });
    expect(await stint.retry(ID)).toEqual(grant());
    expect(api.calls[0]).toMatchObject({ method: "POST", url: `/v1/grants/${ID}/retry` });
  });
});
