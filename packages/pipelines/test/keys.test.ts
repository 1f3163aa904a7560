import { createServer } from "node:http";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { github } from "../src/github.ts";
import type { TrustedIssuer } from "../src/issuers.ts";
import type { Verifier } from "../src/verify.ts";
import {
  type Clock,
  DOCUMENTED,
  GITHUB,
  type Key,
  makeKey,
  type Net,
  NOON,
  net,
  refusal,
  sign,
  verifierOf,
} from "./support.ts";

const ISSUER: TrustedIssuer = { kind: "pipeline", url: GITHUB, pipeline: github };
const DISCOVERY = `${GITHUB}/.well-known/openid-configuration`;
const JWKS = `${GITHUB}/.well-known/jwks`;
const MINUTE = 60_000;
const HOUR = 3_600_000;

let key: Key;
let next: Key;
let clock: Clock;
let hub: Net;
let verifier: Verifier;

beforeAll(async () => {
  [key, next] = await Promise.all([makeKey("one"), makeKey("two")]);
});

beforeEach(() => {
  clock = { now: NOON };
  hub = net(GITHUB, [key.jwk]);
  verifier = verifierOf([ISSUER], hub, clock);
});

/** A fresh token at the clock's time. */
const token = (by: Key = key): Promise<string> => {
  const iat = clock.now / 1000;
  return sign(by, { ...DOCUMENTED, iat, nbf: iat, exp: iat + 300 });
};
const verify = async (by?: Key): Promise<string> =>
  (await verifier.verify(await token(by))).token.id;
const code = async (by?: Key): Promise<string> => (await refusal(verify(by))).code;

const publish = (...keys: unknown[]): void => {
  hub.answers[JWKS] = () => Response.json({ keys });
};
const fail = (url: string, answer: () => Response | Promise<Response>): void => {
  hub.answers[url] = answer;
};
const down = (): never => {
  throw new TypeError("fetch failed");
};
const jwksFetches = (): number => hub.fetched.filter((url) => url === JWKS).length;

describe("keys", () => {
  test("are fetched once for any number of tokens at a time", async () => {
    const tokens = await Promise.all(Array.from({ length: 20 }, () => token()));
    await Promise.all(tokens.map((one) => verifier.verify(one)));
    await verifier.verify(await token());
    expect(hub.fetched).toEqual([DISCOVERY, JWKS]);
  });

  test("are fetched again after ten minutes, from the place that was discovered", async () => {
    await verify();
    clock.now += 10 * MINUTE - 1000;
    await verify();
    expect(jwksFetches()).toBe(1);
    clock.now += 1000;
    await verify();
    expect(hub.fetched).toEqual([DISCOVERY, JWKS, JWKS]);
  });

  test("that are new are found at once when the last fetch is half a minute old", async () => {
    await verify();
    publish(next.jwk, key.jwk);
    clock.now += 30_000;
    expect(await verify(next)).toBe("example-id");
    expect(await verify(key)).toBe("example-id");
    expect(jwksFetches()).toBe(2);
  });

  test("that are withdrawn open nothing once the cache has aged", async () => {
    await verify();
    publish(next.jwk);
    clock.now += 10 * MINUTE;
    expect(await code(key)).toBe("unauthenticated");
  });

  test("of a flood of unknown kids are fetched once per cool-down", async () => {
    await verify();
    const flood = async (): Promise<void> => {
      const strangers = Array.from({ length: 50 }, (_, i) => ({ ...next, kid: `stranger-${i}` }));
      const tokens = await Promise.all(strangers.map((stranger) => token(stranger)));
      for (const one of tokens.slice(0, 10))
        expect((await refusal(verifier.verify(one))).code).toBe("unauthenticated");
      const codes = await Promise.all(
        tokens.map(async (one) => (await refusal(verifier.verify(one))).code),
      );
      expect(new Set(codes)).toEqual(new Set(["unauthenticated"]));
    };
    await flood();
    expect(jwksFetches()).toBe(1);
    clock.now += 30_000;
    await flood();
    expect(jwksFetches()).toBe(2);
    clock.now += 29_999;
    await flood();
    expect(jwksFetches()).toBe(2);
    // The honest are served all the while.
    await verify();
  });

  test("of a flood at a cold start are fetched once", async () => {
    const tokens = await Promise.all(
      Array.from({ length: 50 }, (_, i) => token({ ...next, kid: `stranger-${i}` })),
    );
    await Promise.all(tokens.map((one) => refusal(verifier.verify(one))));
    expect(hub.fetched).toEqual([DISCOVERY, JWKS]);
  });

  test("for other purposes, other algorithms, symmetric or too short are passed over", async () => {
    const weak = { ...next.jwk, n: (next.jwk.n ?? "").slice(0, 171) };
    const curve = await makeKey("curve", "ES384");
    publish(
      { kty: "oct", kid: "one", k: "c2VjcmV0", alg: "HS256" },
      { ...next.jwk, use: "enc" },
      { ...next.jwk, alg: "RS384" },
      weak,
      curve.jwk,
      { kty: "RSA", kid: "two" },
      { kty: "RSA", kid: "two", n: "!", e: "!" },
      { kty: "EC", kid: "two", crv: "P-256", x: "AA", y: "AA" },
      null,
      "text",
      key.jwk,
    );
    expect(await verify()).toBe("example-id");
    expect(await code(next)).toBe("unauthenticated");
  });

  test("whose private half was published by mistake still only verify", async () => {
    publish({ ...key.jwk, d: "AAAA", key_ops: ["sign"] });
    expect(await verify()).toBe("example-id");
  });
});

describe("while the issuer is down", () => {
  test("its known keys serve for a day, then it is unavailable, then it recovers", async () => {
    await verify();
    fail(JWKS, down);
    fail(DISCOVERY, down);
    clock.now += HOUR;
    expect(await verify()).toBe("example-id");
    clock.now += 23 * HOUR - 1000;
    expect(await verify()).toBe("example-id");
    clock.now += 1000;
    expect(await code()).toBe("unavailable");
    hub.answers = net(GITHUB, [key.jwk]).answers;
    clock.now += 30_000;
    expect(await verify()).toBe("example-id");
  });

  test("it is asked once per cool-down", async () => {
    await verify();
    fail(JWKS, down);
    clock.now += HOUR;
    for (let i = 0; i < 5; i++) await verify();
    expect(jwksFetches()).toBe(2);
    clock.now += 30_000;
    await verify();
    // The failure made the discovery document suspect too.
    expect(hub.fetched).toEqual([DISCOVERY, JWKS, JWKS, DISCOVERY, JWKS]);
  });

  test("and none of its keys are known, it is asked again after five seconds", async () => {
    fail(DISCOVERY, down);
    for (let i = 0; i < 5; i++) expect(await code()).toBe("unavailable");
    expect(hub.fetched).toEqual([DISCOVERY]);
    hub.answers = net(GITHUB, [key.jwk]).answers;
    clock.now += 4_999;
    expect(await code()).toBe("unavailable");
    clock.now += 1;
    expect(await verify()).toBe("example-id");
  });

  test("an unknown key is not called wrong, since it may be its newest", async () => {
    await verify();
    fail(JWKS, down);
    clock.now += 30_000;
    const error = await refusal(verify(next));
    expect(error.code).toBe("unavailable");
    expect(error.hint).toMatch(/try again/);
    expect(await code(next)).toBe("unavailable");
  });

  test.each<[string, () => Response | Promise<Response>]>([
    ["404", () => new Response("not here", { status: 404 })],
    ["500", () => new Response(null, { status: 500 })],
    ["500 with its keys", () => Response.json({ keys: [key.jwk] }, { status: 500 })],
    ["a redirect with keys", () => Response.json({ keys: [key.jwk] }, { status: 302 })],
    ["not JSON", () => new Response("<html>")],
    ["null", () => new Response("null")],
    ["no keys", () => Response.json({ keys: [] })],
    ["keys that are none", () => Response.json({ keys: "one" })],
    ["only symmetric keys", () => Response.json({ keys: [{ kty: "oct", kid: "one", k: "AAAA" }] })],
    ["a megabyte", () => new Response(`{"keys":[],"pad":"${"x".repeat(1_000_000)}"}`)],
    ["an empty body", () => new Response(null)],
    ["a redirect", () => Response.redirect("https://evil.example/jwks", 302)],
  ])("by answering %s, a cold start is unavailable and a warm one goes on", async (_, answer) => {
    const good = hub.answers[JWKS];
    fail(JWKS, answer);
    expect(await code()).toBe("unavailable");
    clock.now += 30_000;
    if (good) fail(JWKS, good);
    await verify();
    fail(JWKS, answer);
    clock.now += HOUR;
    expect(await verify()).toBe("example-id");
    expect(hub.fetched.filter((url) => !url.startsWith(GITHUB))).toEqual([]);
  });

  test.each([
    ["another issuer", { issuer: "https://evil.example", jwks_uri: JWKS }],
    ["a slash too many", { issuer: `${GITHUB}/`, jwks_uri: JWKS }],
    ["keys elsewhere", { issuer: GITHUB, jwks_uri: "https://evil.example/jwks" }],
    ["keys in the clear", { issuer: GITHUB, jwks_uri: JWKS.replace("https", "http") }],
    ["keys on another port", { issuer: GITHUB, jwks_uri: JWKS.replace(".com", ".com:444") }],
    ["keys in a file", { issuer: GITHUB, jwks_uri: "file:///etc/passwd" }],
    ["keys nowhere", { issuer: GITHUB, jwks_uri: "jwks" }],
    ["no keys", { issuer: GITHUB }],
  ])("by naming %s in its discovery document, nothing else is fetched", async (_, document) => {
    fail(DISCOVERY, () => Response.json(document));
    expect(await code()).toBe("unavailable");
    expect(hub.fetched).toEqual([DISCOVERY]);
  });

  test("by never answering, it is given up at the deadline, also by a deaf transport", async () => {
    const deadline = new AbortController();
    fail(JWKS, () => new Promise(() => {}));
    verifier = verifierOf([ISSUER], hub, clock, { deadline: () => deadline.signal });
    const waiting = code();
    deadline.abort(new Error("too slow"));
    expect(await waiting).toBe("unavailable");
  });

  test("by answering for ever, it is cut off at the size limit", async () => {
    let sent = 0;
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        sent += 1024;
        controller.enqueue(new Uint8Array(1024).fill(0x20));
        if (sent > 1_000_000) controller.error(new Error("read to the end"));
      },
    });
    fail(JWKS, () => new Response(endless));
    verifier = verifierOf([ISSUER], hub, clock, { limits: { responseBytes: 10_000 } });
    expect(await code()).toBe("unavailable");
    expect(sent).toBeLessThan(20_000);
  });
});

test("keys come over a real connection too, and a real redirect is not followed", async () => {
  let redirect = false;
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? "");
    if (request.url === "/elsewhere") response.end(JSON.stringify({ keys: [next.jwk] }));
    else if (request.url === "/jwks" && redirect)
      response.writeHead(302, { location: "/elsewhere" }).end();
    else if (request.url === "/jwks") response.end(JSON.stringify({ keys: [key.jwk] }));
    else response.end(JSON.stringify({ issuer: url, jwks_uri: `${url}/jwks` }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const url = `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`;
  try {
    verifier = verifierOf([{ ...ISSUER, url }], { fetch }, clock);
    const local = (by: Key): Promise<string> => sign(by, { ...DOCUMENTED, iss: url });
    expect((await verifier.verify(await local(key))).token.id).toBe("example-id");
    redirect = true;
    clock.now += 30_000;
    expect((await refusal(verifier.verify(await local(next)))).code).toBe("unavailable");
    expect(asked).not.toContain("/elsewhere");
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
