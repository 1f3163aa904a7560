import { describe, expect, test } from "vitest";
import { StintError } from "../src/error.ts";
import { findToken, grantIdOf } from "../src/token.ts";
import { serve, TOKEN } from "./fake.ts";

const retry = { sleep: async () => {}, random: () => 0 };

async function refusal(options: Parameters<typeof findToken>[0]): Promise<StintError> {
  const error = await findToken({ retry, ...options }).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof StintError)) throw new Error("it found a token");
  return error;
}

test("STINT_TOKEN goes before the pipeline's own way", async () => {
  const env = { STINT_TOKEN: "mine", ACTIONS_ID_TOKEN_REQUEST_URL: "http://127.0.0.1:1/?x=1" };
  expect(await findToken({ env })).toEqual({ token: "mine", source: "STINT_TOKEN" });
});

describe("on GitHub", () => {
  test("the token is asked for with the audience that the server names", async () => {
    await using api = await serve(() => ({
      status: 200,
      body: { status: "ok", audience: "https://stint.acme.dev" },
    }));
    await using github = await serve(() => ({ status: 200, body: { value: "a.b.c" } }));
    const env = {
      GITHUB_ACTIONS: "true",
      STINT_URL: api.url,
      ACTIONS_ID_TOKEN_REQUEST_URL: `${github.url}/token?api-version=2.0`,
      ACTIONS_ID_TOKEN_REQUEST_TOKEN: "request-token",
    };
    expect(await findToken({ env, retry })).toEqual({ token: "a.b.c", source: "github" });
    expect(github.calls[0]?.url).toBe(
      "/token?api-version=2.0&audience=https%3A%2F%2Fstint.acme.dev",
    );
    expect(github.calls[0]?.headers.authorization).toBe("Bearer request-token");
    expect(api.calls.map((call) => call.url)).toEqual(["/healthz"]);
  });

  test("an audience of one's own needs no server", async () => {
    await using github = await serve(() => ({ status: 200, body: { value: "a.b.c" } }));
    const env = {
      ACTIONS_ID_TOKEN_REQUEST_URL: github.url,
      ACTIONS_ID_TOKEN_REQUEST_TOKEN: "request-token",
    };
    await findToken({ env, audience: "mine", retry });
    expect(github.calls[0]?.url).toBe("/?audience=mine");
  });

  test("an issuer that stumbles is asked again, one that says no is not", async () => {
    const answers = [{ status: 500 }, { status: 200, body: { value: "a.b.c" } }];
    await using github = await serve(() => answers.shift() ?? { status: 403 });
    const env = {
      ACTIONS_ID_TOKEN_REQUEST_URL: github.url,
      ACTIONS_ID_TOKEN_REQUEST_TOKEN: "request-token",
    };
    expect((await findToken({ env, audience: "a", retry })).token).toBe("a.b.c");
    expect((await refusal({ env, audience: "a" })).code).toBe("no_token");
    expect(github.calls).toHaveLength(3);
  });

  const pull = (head: unknown) =>
    JSON.stringify({ pull_request: { base: { repo: { id: 1 } }, head: { repo: head } } });
  const forked = {
    GITHUB_ACTIONS: "true",
    GITHUB_EVENT_NAME: "pull_request",
    GITHUB_EVENT_PATH: "/event.json",
  };

  test.each([
    ["another repository", pull({ id: 2 })],
    ["a repository that is gone", pull(null)],
  ])("a pull request from %s learns why it has no identity", async (_, payload) => {
    const error = await refusal({ env: forked, readText: async () => payload });
    expect(error.code).toBe("no_token");
    expect(error.detail).toMatch(/from a fork.*not trusted/s);
    expect(error.hint).toMatch(/maintainer.*reviewed.*branch of this repository/s);
  });

  test.each([
    ["the same repository", "pull_request", pull({ id: 1 })],
    ["a push", "push", pull({ id: 2 })],
    ["a payload that is not JSON", "pull_request", "{"],
    ["a payload without repositories", "pull_request", "{}"],
  ])("%s is told about the permission instead", async (_, event, payload) => {
    const env = { ...forked, GITHUB_EVENT_NAME: event };
    const error = await refusal({ env, readText: async () => payload });
    expect(error.hint).toContain("id-token: write");
  });

  test("a payload that cannot be read does not hide the explanation", async () => {
    const error = await refusal({
      env: forked,
      readText: async () => Promise.reject(new Error("ENOENT")),
    });
    expect(error.hint).toContain("id-token: write");
  });
});

test("outside a pipeline the variable is named", async () => {
  expect((await refusal({ env: {} })).hint).toContain("STINT_TOKEN");
});

test("a grant token names its grant, other tokens none", () => {
  expect(grantIdOf(TOKEN)).toBe("g0123456789abcde");
  for (const other of ["", "a.b.c", "stint_", "stint_gILLEGAL89abcdef_x"])
    expect(grantIdOf(other)).toBeUndefined();
});
