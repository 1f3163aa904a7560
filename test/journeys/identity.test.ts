/** Who stands at the door: tokens that prove nothing, tokens that prove it once, and issuers that are away. */
import { createHmac, createPublicKey } from "node:crypto";
import { DisableRuleCommand, EventBridgeClient } from "@aws-sdk/client-eventbridge";
import { CompactSign, exportJWK, generateKeyPair } from "jose";
import { beforeAll, describe, expect, test } from "vitest";
import { configWith, expectProblem, leaving, OPENED } from "./traces.ts";
import { createWorld, grantIn, type World } from "./world.ts";

const PROFILE = "orders-integration";
const ISSUER = "http://127.0.0.1:4012/github";

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
const partsOf = (token: string): [string, string, string] => {
  const [head = "", claims = "", signature = ""] = token.split(".");
  return [head, claims, signature];
};
const read = (text: string) => JSON.parse(Buffer.from(text, "base64url").toString());
const headerOf = (token: string) => read(partsOf(token)[0]);
const claimsOf = (token: string) => read(partsOf(token)[1]);

/** Asks for the demo's profile, and tells what that left. */
const ask = (world: World, token: string, key?: string, body: object = {}) =>
  leaving(world, () =>
    world.call("POST", "/v1/grants", {
      token,
      body: { profile: PROFILE, ...body },
      headers: key === undefined ? {} : { "idempotency-key": key },
    }),
  );

/** A world that counts what is fetched of its issuer. */
async function watched() {
  const fetched: string[] = [];
  let instead: ((url: string, next: () => Response) => Response) | undefined;
  const world = await createWorld({
    onFetch: (url, next) => {
      fetched.push(url);
      return instead === undefined ? next() : instead(url, next);
    },
  });
  return {
    world,
    /** What was fetched since the last time. */
    fetched: () => fetched.splice(0),
    answer: (by: typeof instead) => {
      instead = by;
    },
  };
}

describe("a token that proves nothing", () => {
  let world: World;
  let fetched: () => string[];
  let now: number;
  let kid: string;
  beforeAll(async () => {
    const all = await watched();
    ({ world, fetched } = all);
    now = world.aws.clock.now() / 1000;
    const token = await world.jobToken();
    ({ kid } = headerOf(token));
    expect((await ask(world, token)).left).toEqual(OPENED);
    expect((await ask(world, await world.personToken("ann", []))).left).toEqual({ DECISION: 1 });
    expect(fetched()).toHaveLength(4);
  });

  /** Refused at the door: nothing is written, nothing fetched, nothing quoted. */
  async function turnsAway(token: string, detail: RegExp) {
    const { answer, left } = await ask(world, token);
    expectProblem(answer, 401, "unauthenticated", detail);
    expect(answer.headers["www-authenticate"]).toMatch(/^Bearer /);
    expect(left).toEqual({});
    expect(fetched()).toEqual([]);
    if (token.length > 40) expect(JSON.stringify(answer.body)).not.toContain(token.slice(-20));
  }

  test.each<[string, object, RegExp]>([
    ["expired a second ago", { exp: -1 }, /expired/],
    ["expiring this very second", { exp: 0 }, /expired/],
    ["valid in 61 seconds", { nbf: 61 }, /not valid yet/],
    ["issued in 61 seconds", { iat: 61, exp: 300 }, /iat lies in the future/],
    ["that lives for two days", { exp: 2 * 86_400 }, /lives longer/],
  ])("is one %s", async (_, offsets, detail) => {
    const times = Object.fromEntries(Object.entries(offsets).map(([k, by]) => [k, now + by]));
    await turnsAway(await world.jobToken(times), detail);
  });

  test.each<[string, unknown]>([
    ["text", "tomorrow"],
    ["null", null],
    ["negative", -1],
    ["a list", [1]],
  ])("is one whose times are %s", async (_, value) => {
    for (const name of ["exp", "iat", "nbf"])
      await turnsAway(await world.jobToken({ [name]: value }), new RegExp(`${name} is not`));
  });

  test.each([
    ...["exp", "iat", "nbf", "jti", "event_name"],
    ...["repository_id", "repository_owner_id", "run_id", "run_attempt", "check_run_id"],
  ])("is one without %s", async (name) => {
    await turnsAway(await world.jobToken({ [name]: undefined }), new RegExp(`no claim ${name}`));
  });

  test.each<[string, unknown]>([
    ["repository_id", "Codertocat"],
    ["repository_id", ""],
    ["repository_id", "0"],
    ["repository_id", { id: 186853002 }],
    ["repository_id", ["186853002"]],
    ["run_id", "-1"],
    ["run_id", "1e3"],
    ["run_id", 2 ** 53],
    ["run_attempt", "01"],
    ["check_run_id", "1291536064:1"],
    ["check_run_id", "1".repeat(21)],
    ["ref", ["refs/heads/main"]],
    ["event_name", ""],
    ["jti", ""],
    ["jti", 7],
    ["jti", "j".repeat(257)],
    ["sub", "repo:Codertocat@21031067/Hello-World@1:ref:refs/heads/main"],
    ["sub", "repo:Codertocat"],
  ])("is one whose %s is %j", async (name, value) => {
    await turnsAway(await world.jobToken({ [name]: value }), new RegExp(`claim ${name}`));
  });

  test.each<[string, unknown, RegExp]>([
    ["another's", "https://sts.amazonaws.com", /another audience/],
    ["ours and another's", ["https://stint.local.test", "https://other.test"], /another audience/],
    ["ours, with a slash", "https://stint.local.test/", /another audience/],
    ["ours, in capitals", "HTTPS://STINT.LOCAL.TEST", /another audience/],
    ["an empty list", [], /another audience/],
    ["nobody's", undefined, /no audience/],
    ["an object", { "https://stint.local.test": true }, /another audience/],
  ])("is one for an audience that is %s", async (_, aud, detail) => {
    const token = await world.jobToken({ aud });
    await turnsAway(token, detail);
    const { answer } = await ask(world, token);
    expect(answer.body.hint).toContain("https://stint.local.test");
  });

  test.each<unknown>([
    "https://token.actions.githubusercontent.com",
    "https://evil.test/github",
    `${ISSUER}/`,
    ISSUER.toUpperCase(),
    ISSUER.replace("127.0.0.1", "localhost"),
    "http://169.254.169.254/latest",
    "file:///etc/passwd",
    "__proto__",
    "",
    [ISSUER],
    { url: ISSUER },
    null,
    undefined,
  ])("is one of the issuer %j, who is never asked for keys", async (iss) => {
    await turnsAway(await world.jobToken({ iss }), /issuer is not trusted/);
  });

  test("is one that nobody signed", async () => {
    const [, claims, signature] = partsOf(await world.jobToken());
    const none = (alg: unknown) => part({ alg, kid, typ: "JWT" });
    await turnsAway(`${none("none")}.${claims}.`, /not a signed JWT/);
    await turnsAway(`${none("none")}.${claims}`, /not a signed JWT/);
    for (const alg of ["none", "None", "NONE", "nOnE", "", null, undefined, ["RS256"]])
      await turnsAway(`${none(alg)}.${claims}.${signature}`, /not signed with RS256 or ES256/);
  });

  test("is one whose secret is the issuer's public key", async () => {
    const { keys } = JSON.parse(
      world.issuer.handle({ method: "GET", path: "/.well-known/jwks.json" }).body,
    );
    const [jwk] = keys;
    const pem = createPublicKey({ key: jwk, format: "jwk" }).export({
      type: "spki",
      format: "pem",
    });
    const [, claims] = partsOf(await world.jobToken());
    for (const secret of [pem, JSON.stringify(jwk), jwk.n, Buffer.from(jwk.n, "base64url")])
      for (const alg of ["HS256", "RS256"]) {
        const signed = `${part({ alg, kid, typ: "JWT" })}.${claims}`;
        const signature = createHmac("sha256", secret).update(signed).digest("base64url");
        await turnsAway(`${signed}.${signature}`, /not signed with|signature is wrong/);
      }
  });

  test("is one that somebody else signed, or signed otherwise", async () => {
    const bytes = Buffer.from(JSON.stringify(claimsOf(await world.jobToken())));
    for (const alg of ["RS256", "ES256", "RS512", "PS256", "ES384", "EdDSA"]) {
      const { privateKey } = await generateKeyPair(alg);
      const token = await new CompactSign(bytes)
        .setProtectedHeader({ alg, kid, typ: "JWT" })
        .sign(privateKey);
      const known = alg === "RS256" ? /signature is wrong/ : /not signed with|does not publish/;
      await turnsAway(token, known);
    }
  });

  test("is one that was changed after it was signed", async () => {
    const token = await world.jobToken({ repository_id: "1" });
    const [head, , signature] = partsOf(token);
    const better = part({ ...claimsOf(token), repository_id: "186853002" });
    await turnsAway(`${head}.${better}.${signature}`, /signature is wrong/);
    await turnsAway(`${head}.${partsOf(token)[1]}.${"A".repeat(342)}`, /signature is wrong/);
  });

  test.each<[string, object]>([
    ["crit", { crit: ["exp"] }],
    ["jwk", { jwk: { kty: "RSA", n: "AQAB", e: "AQAB" } }],
    ["jku", { jku: "https://evil.test/keys" }],
    ["x5u", { x5u: "https://evil.test/cert" }],
    ["x5c", { x5c: ["MIIB"] }],
    ["b64", { b64: false }],
    ["zip", { zip: "DEF" }],
    ["typ", { typ: "logout+jwt" }],
    ["kid", { kid: undefined }],
    ["kid", { kid: "" }],
    ["kid", { kid: 7 }],
  ])("is one with a header's %s that is not for us", async (name, more) => {
    const [head, claims, signature] = partsOf(await world.jobToken());
    const header = part({ ...read(head), ...more });
    await turnsAway(`${header}.${claims}.${signature}`, new RegExp(name));
  });

  test("is one that says something twice", async () => {
    const [head, claims, signature] = partsOf(await world.jobToken());
    const text = Buffer.from(claims, "base64url").toString();
    const twice = Buffer.from(text.replace("{", '{"aud":"https://other.test",'));
    await turnsAway(`${head}.${twice.toString("base64url")}.${signature}`, /twice/);
  });

  test("is one that was cut, or is no token at all", async () => {
    const token = await world.jobToken();
    for (const length of [1, 20, 100, token.indexOf("."), token.length - 400, token.length - 1])
      await turnsAway(token.slice(0, length), /./);
    for (const text of ["...", ".", "a.b.c", "null", "{}", "e30.e30.e30", "💥.💥.💥", "undefined"])
      await turnsAway(text, /./);
  });

  test.each([8_193, 100_000, 900_000])("is one of %i characters", async (length) => {
    await turnsAway("a".repeat(length), /longer than 8192 characters/);
    const stuffed = await world.jobToken({ padding: "p".repeat(length) });
    await turnsAway(stuffed, /longer than 8192/);
  });

  test("a minute of skew is forgiven to what lies ahead", async () => {
    const ahead = { run_id: "61", iat: now + 60, nbf: now + 60 };
    expect((await ask(world, await world.jobToken(ahead))).answer.status).toBe(201);
  });

  test("ids that come as numbers are ids", async () => {
    const { answer } = await ask(
      world,
      await world.jobToken({ run_id: 62, repository_id: 186853002 }),
    );
    expect(answer.status).toBe(201);
    expect(grantIn(answer).job).toMatchObject({ run: "62" });
  });

  test("a person's token does not become a job by what it claims, nor a job a person", async () => {
    const claims = claimsOf(await world.jobToken());
    const { iss: _, sub: __, ...job } = claims;
    const person = await world.issuer.mint("local", { ...job, sub: "mallory", groups: [] });
    const { answer, left } = await ask(world, person);
    expectProblem(answer, 403, "refused");
    expect(left).toEqual({ DECISION: 1 });
    const boss = await world.jobToken({ groups: ["orders-owners"], ref: "refs/heads/x" });
    expectProblem((await ask(world, boss)).answer, 403, "refused");
    expect(
      await world.call("GET", "/v1/grants?profile=orders-integration", { token: boss }),
    ).toMatchObject({ status: 403 });
  });

  test.each<[string, object]>([
    ["no sub", { sub: undefined }],
    ["an empty sub", { sub: "" }],
    ["a line break in its sub", { sub: "ann\nbob" }],
    ["a sub that is a list", { sub: ["ann"] }],
    ["groups that are a text", { groups: "orders-owners" }],
    ["groups that are objects", { groups: [{ name: "orders-owners" }] }],
  ])("is a person's with %s", async (_, claims) => {
    const token = await world.issuer.mint("local", { sub: "ann", groups: [], ...claims });
    await turnsAway(token, /claim (sub|groups)/);
  });
});

describe("an issuer's keys", () => {
  const KEYS = `${ISSUER}/.well-known/jwks.json`;

  /** A token that names a key which nobody published. */
  const unknownKey = async (world: World, kid: string) => {
    const [head, claims, signature] = partsOf(await world.jobToken());
    return `${part({ ...read(head), kid })}.${claims}.${signature}`;
  };

  test("are fetched once per cool-down, however many tokens name keys that nobody published", async () => {
    const { world, fetched } = await watched();
    expect((await ask(world, await world.jobToken())).answer.status).toBe(201);
    expect(fetched()).toEqual([`${ISSUER}/.well-known/openid-configuration`, KEYS]);
    const flood = async () => {
      const tokens = await Promise.all(
        Array.from({ length: 100 }, (_, i) => unknownKey(world, `key-${i}`)),
      );
      const { left } = await leaving(world, async () => {
        const answers = await Promise.all(
          tokens.map((token) => world.call("POST", "/v1/decisions", { token, body: {} })),
        );
        for (const answer of answers)
          expectProblem(answer, 401, "unauthenticated", /does not publish/);
      });
      expect(left).toEqual({});
    };
    await flood();
    expect(fetched()).toEqual([]);
    await world.advance(30_000);
    await flood();
    await flood();
    expect(fetched()).toEqual([KEYS]);

    // A key that is really new is found as soon as the cool-down allows.
    await world.issuer.rotate();
    const token = await world.jobToken({ run_id: "2" });
    expectProblem((await ask(world, token)).answer, 401, "unauthenticated", /does not publish/);
    await world.advance(30_000);
    expect((await ask(world, token)).answer.status).toBe(201);
    expect(fetched()).toEqual([KEYS]);
    expect(world.aws.errors).toEqual([]);
  });

  test("serve from memory while the issuer is down, for a day, and then the door is closed", async () => {
    const { world, fetched, answer } = await watched();
    // Nothing lives long enough here to be swept, and a day has many minutes.
    await new EventBridgeClient(world.administrator).send(
      new DisableRuleCommand({ Name: "stint-sweep" }),
    );
    const decide = async () =>
      leaving(world, async () =>
        world.call("POST", "/v1/decisions", {
          token: await world.jobToken(),
          body: { profile: PROFILE },
        }),
      );
    expect((await decide()).answer.status).toBe(200);
    fetched();
    answer(() => {
      throw new TypeError("fetch failed");
    });
    await world.advance(11 * 60_000);
    expect((await decide()).answer.status).toBe(200);
    expect((await decide()).answer.status).toBe(200);
    expect(fetched()).toEqual([KEYS]);
    // Nobody can say now that there is no such key.
    const unknown = await ask(world, await unknownKey(world, "newest"));
    expectProblem(unknown.answer, 503, "unavailable", /keys cannot be fetched/);
    expect(unknown.left).toEqual({});

    await world.advance(24 * 3_600_000);
    const closed = await decide();
    expectProblem(closed.answer, 503, "unavailable", /keys cannot be fetched/);
    expect(closed.answer.headers["retry-after"]).toBe("1");
    expect(closed.left).toEqual({});
    answer(undefined);
    await world.advance(5_000);
    expect((await decide()).answer.status).toBe(200);
  });

  const document = (more: object) => () =>
    Response.json({ issuer: ISSUER, jwks_uri: KEYS, ...more });
  const keys =
    (...of: object[]) =>
    (url: string, next: () => Response) =>
      url === KEYS ? Response.json({ keys: of }) : next();
  test.each<[string, (url: string, next: () => Response) => Response]>([
    ["fails", () => new Response("oops", { status: 500 })],
    ["is a page", () => new Response("<html>", { headers: { "content-type": "text/html" } })],
    [
      "moves",
      () => new Response(null, { status: 302, headers: { location: "https://evil.test" } }),
    ],
    ["has no end", () => new Response("[".repeat(300_000))],
    ["speaks for another", document({ issuer: "https://evil.test" })],
    ["has its keys elsewhere", document({ jwks_uri: "https://evil.test/keys" })],
    ["has no key", keys()],
    ["has a shared secret for a key", keys({ kty: "oct", kid: "k", alg: "HS256", k: "c2VjcmV0" })],
    ["has half a key", keys({ kty: "RSA", kid: "k", n: "AQAB", e: "AQAB" })],
  ])("cannot be had while its answer %s: 503, and nothing else is asked", async (_, by) => {
    const { world, fetched, answer } = await watched();
    answer(by);
    const token = await world.jobToken();
    const asked = await ask(world, token);
    expectProblem(asked.answer, 503, "unavailable", /keys cannot be fetched/);
    expect(asked.left).toEqual({});
    expect(fetched().every((url) => url.startsWith(`${ISSUER}/.well-known/`))).toBe(true);
    answer(undefined);
    await world.advance(5_000);
    expect((await ask(world, token)).left).toEqual(OPENED);
  });

  test("may be of an elliptic curve, each key for its own algorithm alone", async () => {
    const { world, answer } = await watched();
    const { publicKey, privateKey } = await generateKeyPair("ES256");
    const curve = { ...(await exportJWK(publicKey)), kid: "curve", use: "sig" };
    answer(keys(curve));
    const bytes = Buffer.from(JSON.stringify(claimsOf(await world.jobToken())));
    const token = await new CompactSign(bytes)
      .setProtectedHeader({ alg: "ES256", kid: "curve" })
      .sign(privateKey);
    const [, claims, signature] = partsOf(token);
    const asRsa = `${part({ alg: "RS256", kid: "curve" })}.${claims}.${signature}`;
    expectProblem((await ask(world, asRsa)).answer, 401, "unauthenticated");
    expect((await ask(world, token)).left).toEqual(OPENED);
  });
});

describe("an event that runs a fork's code with the repository's rights", () => {
  test.each(["pull_request_target", "workflow_run"])("%s gets nothing by itself", async (event) => {
    const world = await createWorld();
    const { answer, left } = await ask(world, await world.jobToken({ event_name: event }));
    expectProblem(answer, 403, "refused");
    expect(answer.body.explanation).toMatchObject({
      rule: "orders-main",
      failed: [{ claim: "event_name", actual: event }],
    });
    expect(left).toEqual({ DECISION: 1 });
  });

  test("gets what a rule gives it that names the event, and only that event", async () => {
    const world = await createWorld({
      config: configWith(`  - id: main
    profile: orders-integration
    to: { pipeline: github, repository_id: "186853002" }
  - id: labelled
    profile: orders-integration
    to: { pipeline: github, repository_id: "186853002", event_name: pull_request_target, ref: refs/heads/main }
    duration: 5m
`),
    });
    const token = await world.jobToken({ event_name: "pull_request_target" });
    const { answer, left } = await ask(world, token, undefined, { duration: "5m" });
    expect(answer.status).toBe(201);
    expect(grantIn(answer).rule).toBe("labelled");
    expect(left).toEqual(OPENED);
    for (const claims of [
      { event_name: "workflow_run" },
      { event_name: "pull_request_target", ref: "refs/heads/feature" },
    ]) {
      const refused = await ask(world, await world.jobToken(claims));
      expectProblem(refused.answer, 403, "refused");
      expect(refused.left).toEqual({ DECISION: 1 });
    }
    const longer = await ask(
      world,
      await world.jobToken({ event_name: "pull_request_target" }),
      "k",
      {
        duration: "6m",
      },
    );
    expectProblem(longer.answer, 403, "refused");
  });

  test("a pull request's own ref is not the branch that it wants to be merged into", async () => {
    const world = await createWorld();
    const claims = { event_name: "pull_request", ref: "refs/pull/7/merge", base_ref: "main" };
    const { answer } = await ask(world, await world.jobToken(claims));
    expectProblem(answer, 403, "refused");
    expect(answer.body.explanation.failed).toEqual([
      { claim: "ref", expected: "refs/heads/main", actual: "refs/pull/7/merge" },
    ]);
  });
});

describe("one token, one grant", () => {
  let world: World;
  beforeAll(async () => {
    world = await createWorld();
  });

  test("the same key gives the same grant and the same token, with credentials of its own", async () => {
    const token = await world.jobToken({ run_id: "1" });
    const first = (await ask(world, token, "one")).answer;
    expect(first.status).toBe(201);
    const { answer, left } = await ask(world, token, "one");
    expect(answer.status).toBe(200);
    expect(grantIn(answer).id).toBe(grantIn(first).id);
    expect(answer.body.token).toBe(first.body.token);
    expect(answer.body.credentials.aws.accessKeyId).not.toBe(
      first.body.credentials.aws.accessKeyId,
    );
    expect(grantIn(answer).endsAt).toBe(grantIn(first).endsAt);
    // A lease more of the grant that there is: no second schedule, no second grant.
    expect(left).toEqual({ GRANT: 1, session: 1 });
  });

  test("another key, or none, is a mismatch and opens nothing", async () => {
    const token = await world.jobToken({ run_id: "2" });
    expect((await ask(world, token, "one")).answer.status).toBe(201);
    for (const key of ["two", "One", undefined]) {
      const { answer, left } = await ask(world, token, key);
      expectProblem(answer, 422, "idempotency_mismatch", /token has opened a grant/);
      expect(answer.body.hint).toContain("fresh token");
      expect(left).toEqual({ DECISION: 1 });
    }
  });

  test("without a key the token stands for its own", async () => {
    const token = await world.jobToken({ run_id: "3" });
    const first = (await ask(world, token)).answer;
    expect(grantIn((await ask(world, token)).answer).id).toBe(grantIn(first).id);
    const fresh = (await ask(world, await world.jobToken({ run_id: "3" }))).answer;
    expect(fresh.status).toBe(201);
    expect(grantIn(fresh).id).not.toBe(grantIn(first).id);
  });

  test("a fresh token with the same key is the same request; another job's is not", async () => {
    const first = (await ask(world, await world.jobToken({ run_id: "4" }), "shared")).answer;
    const again = (await ask(world, await world.jobToken({ run_id: "4" }), "shared")).answer;
    expect(again.status).toBe(200);
    expect(grantIn(again).id).toBe(grantIn(first).id);
    for (const claims of [
      { run_id: "5" },
      { run_id: "4", run_attempt: "2" },
      { run_id: "4", check_run_id: "7" },
    ]) {
      const other = (await ask(world, await world.jobToken(claims), "shared")).answer;
      expect(other.status).toBe(201);
      expect(grantIn(other).id).not.toBe(grantIn(first).id);
    }
  });

  test.each<[string, object]>([
    ["duration", { duration: "10m" }],
    ["lease", { lease: "5m" }],
    ["name", { name: "other" }],
    ["reason", { reason: "other" }],
  ])("the same key with another %s is a mismatch", async (_, body) => {
    const claims = { run_id: "6" };
    await ask(world, await world.jobToken(claims), "body", { name: "this" });
    const { answer, left } = await ask(world, await world.jobToken(claims), "body", body);
    expectProblem(answer, 422, "idempotency_mismatch", /another body/);
    expect(left).toEqual({ DECISION: 1 });
  });

  test("a person's token may open several grants, each under its own key", async () => {
    const token = await world.personToken("ann", ["developers"]);
    const ids = [];
    for (const key of ["one", "two"]) {
      const { answer, left } = await ask(world, token, key);
      expect(answer.status).toBe(202);
      expect(left).toEqual({ GRANT: 1 });
      ids.push(grantIn(answer).id);
    }
    expect(new Set(ids).size).toBe(2);
  });
});
