import { request } from "node:http";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Dev, startDev } from "../src/dev.ts";

let dev: Dev;
beforeAll(async () => {
  dev = await startDev({ ports: { api: 0, aws: 0, oidc: 0 } });
});
afterAll(() => dev.close());

/** Status of a request whose Host and Origin a browser would have set. */
const ask = (headers: Record<string, string>): Promise<number | undefined> =>
  new Promise((resolve, reject) => {
    const { port } = new URL(dev.url);
    const sent = request(
      { host: "127.0.0.1", port, path: "/_local/token", method: "POST", headers },
      (answer) => {
        answer.resume();
        resolve(answer.statusCode);
      },
    );
    sent.once("error", reject);
    sent.end(JSON.stringify({ pipeline: "github" }));
  });

test("a web page cannot have an identity minted, by its own name or by a name that it bent to loopback", async () => {
  expect(await ask({})).toBe(200);
  expect(await ask({ origin: "http://localhost:3000" })).toBe(200);
  expect(await ask({ origin: "https://evil.example" })).toBe(403);
  expect(await ask({ origin: "null" })).toBe(403);
  expect(await ask({ host: "evil.example" })).toBe(403);
  expect(await ask({ host: "127.0.0.1.evil.example:4010" })).toBe(403);
});

test("nothing listens beyond 127.0.0.1", async () => {
  for (const url of [dev.url, dev.awsUrl, dev.oidcUrl]) {
    // Another address of the same machine: whoever listens on all of them would answer here too.
    const elsewhere = new URL(url);
    elsewhere.hostname = "127.0.0.2";
    await expect(fetch(elsewhere, { signal: AbortSignal.timeout(2_000) })).rejects.toThrow();
  }
});
