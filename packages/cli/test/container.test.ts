/** The container-credentials protocol as anything on this machine can speak it, well or badly. */
import { type IncomingHttpHeaders, request } from "node:http";
import { StintError } from "@stint/client/error";
import type { Leases } from "@stint/client/leases";
import { describe, expect, test } from "vitest";
import { serveContainer } from "../src/container.ts";
import { aws, grant } from "./api.ts";

const SECRET = "the-secret";
const held: Leases = async () => ({ grant: grant(), credentials: { aws, "data lake": aws } });

interface Got {
  readonly status: number | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** Asks as it is told to, also what `fetch` would not. */
const ask = (
  url: string,
  { method = "GET", headers = {} }: { method?: string; headers?: Record<string, string> } = {},
) =>
  new Promise<Got>((resolve, reject) => {
    const sent = request(url, { method, headers }, async (response) => {
      let text = "";
      for await (const chunk of response) text += chunk;
      resolve({ status: response.statusCode, headers: response.headers, text });
    });
    sent.on("error", reject).end();
  });

async function container(leases: Leases = held) {
  const failures: unknown[] = [];
  const failed = (error: unknown) => void failures.push(error);
  const targets = ["aws", "data lake"];
  const served = await serveContainer({ leases, targets, secret: SECRET, failed });
  return {
    url: served.urls.aws ?? "",
    lake: served.urls["data lake"] ?? "",
    failures,
    [Symbol.asyncDispose]: () => served[Symbol.asyncDispose](),
  };
}

const authorization = SECRET;

test("who brings the secret is given the target's credentials, in AWS's form", async () => {
  await using one = await container();
  expect(one.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/aws$/);
  for (const url of [one.url, one.lake]) {
    const { status, headers, text } = await ask(url, { headers: { authorization } });
    expect([status, headers["cache-control"]]).toEqual([200, "no-store"]);
    expect(JSON.parse(text)).toEqual({
      AccessKeyId: aws.accessKeyId,
      SecretAccessKey: aws.secretAccessKey,
      Token: aws.sessionToken,
      Expiration: aws.expiration,
    });
  }
});

describe("nothing is told to", () => {
  const port = (url: string) => new URL(url).port;
  const with_ = (more: Record<string, string>) => ({ headers: { authorization, ...more } });

  test.each([
    ["no secret", (url: string) => ask(url), 401],
    ["another secret", (url: string) => ask(url, with_({ authorization: "the-secreu" })), 401],
    ["a part of it", (url: string) => ask(url, with_({ authorization: "the" })), 401],
    ["an empty one", (url: string) => ask(url, with_({ authorization: "" })), 401],
    [
      "it in a scheme",
      (url: string) => ask(url, with_({ authorization: `Bearer ${SECRET}` })),
      401,
    ],
    ["a rebound name", (url: string) => ask(url, with_({ host: `evil.test:${port(url)}` })), 403],
    ["localhost", (url: string) => ask(url, with_({ host: `localhost:${port(url)}` })), 403],
    ["another port", (url: string) => ask(url, with_({ host: "127.0.0.1:1" })), 403],
    ["POST", (url: string) => ask(url, { method: "POST", ...with_({}) }), 405],
    ["PUT", (url: string) => ask(url, { method: "PUT", ...with_({}) }), 405],
    ["HEAD", (url: string) => ask(url, { method: "HEAD", ...with_({}) }), 405],
    ["another target", (url: string) => ask(`${url}2`, with_({})), 404],
    ["the root", (url: string) => ask(new URL("/", url).href, with_({})), 404],
    ["a query", (url: string) => ask(`${url}?x=1`, with_({})), 404],
    [
      "a name of every object",
      (url: string) => ask(url.replace("aws", "toString"), with_({})),
      404,
    ],
  ])("%s", async (_, from, status) => {
    let asked = 0;
    await using one = await container(async () => {
      asked += 1;
      return held();
    });
    const got = await from(one.url);
    expect(got.status).toBe(status);
    for (const secret of [SECRET, aws.secretAccessKey, aws.sessionToken, aws.accessKeyId])
      expect(got.text).not.toContain(secret);
    expect([asked, one.failures]).toEqual([0, []]);
  });

  test("a wrong path or method says nothing without the secret", async () => {
    await using one = await container();
    expect((await ask(`${one.url}2`)).status).toBe(401);
    expect((await ask(one.url, { method: "POST" })).status).toBe(401);
  });
});

test.each([
  [
    "the grant's end",
    new StintError({ code: "grant_ended", status: 409, detail: "it is over" }),
    409,
  ],
  ["a limit", new StintError({ code: "limit_reached", status: 429, detail: "too many" }), 429],
  ["an API that is away", new StintError({ code: "network", detail: "no answer" }), 503],
  [
    "a target that refuses",
    new StintError({ code: "target_refused", status: 502, detail: "no" }),
    503,
  ],
])("%s is told as SDKs read it, and told to us", async (_, error, status) => {
  await using one = await container(() => Promise.reject(error));
  const got = await ask(one.url, { headers: { authorization } });
  expect(got.status).toBe(status);
  const { code, detail } = error;
  expect(JSON.parse(got.text)).toEqual({ code, message: detail, Code: code, Message: detail });
  expect(one.failures).toEqual([error]);
});

test("a fault of ours is told without its words, which may be anything", async () => {
  await using one = await container(() => Promise.reject(new Error(aws.secretAccessKey)));
  const got = await ask(one.url, { headers: { authorization } });
  expect(got.status).toBe(503);
  expect(got.text).not.toContain(aws.secretAccessKey);
});

test("a target that the profile has no more is not found", async () => {
  await using one = await container(async () => ({ grant: grant(), credentials: { aws } }));
  expect((await ask(one.lake, { headers: { authorization } })).status).toBe(404);
});

test("once disposed of, nobody is served, and who still waits is let go", async () => {
  const asked = Promise.withResolvers<void>();
  const one = await container(() => {
    asked.resolve();
    return new Promise(() => {});
  });
  const waiting = ask(one.url, { headers: { authorization } }).catch(({ code }) => code);
  await asked.promise;
  await one[Symbol.asyncDispose]();
  expect(await waiting).toBe("ECONNRESET");
  await expect(ask(one.url)).rejects.toThrow("ECONNREFUSED");
});
