import { sha256 } from "@stint/core/id";
import { exportSPKI } from "jose";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { github } from "../src/github.ts";
import type { TrustedIssuer } from "../src/issuers.ts";
import type { Verifier } from "../src/verify.ts";
import {
  AUDIENCE,
  base64url,
  type Clock,
  DOCUMENTED,
  GITHUB,
  type Key,
  LOGIN,
  makeKey,
  type Net,
  NOON,
  net,
  refusal,
  sign,
  signText,
  verifierOf,
} from "./support.ts";

const ISSUER: TrustedIssuer = { kind: "pipeline", url: GITHUB, pipeline: github };
const noon = NOON / 1000;

let key: Key;
let other: Key;
let clock: Clock;
let hub: Net;
let verifier: Verifier;

beforeAll(async () => {
  [key, other] = await Promise.all([makeKey("one"), makeKey("two")]);
});

beforeEach(() => {
  clock = { now: NOON };
  hub = net(GITHUB, [key.jwk]);
  verifier = verifierOf([ISSUER], hub, clock);
});

const without = (name: string): object =>
  Object.fromEntries(Object.entries(DOCUMENTED).filter(([claim]) => claim !== name));

/** Refused as unauthenticated, with a detail that tells which check failed and holds nothing of the token. */
async function refused(token: string, detail: RegExp): Promise<void> {
  const error = await refusal(verifier.verify(token));
  expect(error.message).toMatch(detail);
  expect(error.code).toBe("unauthenticated");
  for (const part of token.split(".").filter((part) => part.length > 8))
    expect(`${error.message} ${error.hint}`).not.toContain(part.slice(0, 32));
}

describe("an issuer that another stands in for", () => {
  const LOCAL = "http://127.0.0.1:4012/github";
  const standIn: TrustedIssuer = { ...ISSUER, standIn: LOCAL };

  test("is named by the identity, while tokens name the stand-in, whose keys are fetched", async () => {
    const local = net(LOCAL, [key.jwk]);
    const token = await sign(key, { ...DOCUMENTED, iss: LOCAL });
    const { principal } = await verifierOf([standIn], local, clock).verify(token);
    expect(principal).toMatchObject({
      id: "github:token.actions.githubusercontent.com:74:5373506832:2:14541957942",
      job: { issuer: GITHUB },
    });
    expect(local.fetched.every((url) => url.startsWith(LOCAL))).toBe(true);
  });

  test("is not believed itself: iss is exactly the stand-in", async () => {
    verifier = verifierOf([standIn], hub, clock);
    await refused(await sign(key, DOCUMENTED), /issuer is not trusted/);
    await refused(await sign(key, { ...DOCUMENTED, iss: `${LOCAL}/` }), /issuer is not trusted/);
    expect(hub.fetched).toEqual([]);
  });
});

describe("an honest token", () => {
  test("of GitHub makes its job the caller", async () => {
    const token = await sign(key, DOCUMENTED);
    const { jti, nbf, exp, iat, iss, aud, actor, actor_id, ...claims } = DOCUMENTED;
    expect(await verifier.verify(token)).toEqual({
      kind: "principal",
      principal: {
        kind: "job",
        id: "github:token.actions.githubusercontent.com:74:5373506832:2:14541957942",
        claims,
        personal: { actor, actor_id },
        job: {
          pipeline: "github",
          issuer: GITHUB,
          run: "5373506832",
          attempt: "2",
          job: "14541957942",
        },
      },
      token: { id: "example-id", hash: sha256(token), expiresAt: NOON + 300_000, once: true },
    });
    expect(hub.fetched).toEqual([
      `${GITHUB}/.well-known/openid-configuration`,
      `${GITHUB}/.well-known/jwks`,
    ]);
  });

  test("may be signed with ES256", async () => {
    const curve = await makeKey("curve", "ES256");
    verifier = verifierOf([ISSUER], net(GITHUB, [key.jwk, curve.jwk]), clock);
    expect((await verifier.verify(await sign(curve, DOCUMENTED))).principal.kind).toBe("job");
    expect((await verifier.verify(await sign(key, DOCUMENTED))).principal.kind).toBe("job");
  });

  test("may carry its audience as a list of that one", async () => {
    const token = await sign(key, { ...DOCUMENTED, aud: [AUDIENCE] });
    expect((await verifier.verify(token)).token.id).toBe("example-id");
  });

  test("may come from an issuer whose clock is a minute ahead", async () => {
    const token = await sign(key, { ...DOCUMENTED, iat: noon + 60, nbf: noon + 60 });
    expect((await verifier.verify(token)).token.id).toBe("example-id");
  });

  test("of a trusted issuer on another path is not another issuer's", async () => {
    const slug = `${GITHUB}/avocado-corp`;
    const both = net(slug, [other.jwk]);
    both.answers = { ...hub.answers, ...both.answers };
    verifier = verifierOf([ISSUER, { ...ISSUER, url: slug }], both, clock);
    await verifier.verify(await sign(other, { ...DOCUMENTED, iss: slug }));
    await refused(await sign(other, DOCUMENTED), /key that its issuer does not publish/);
  });
});

describe("a token is refused when it", () => {
  test("has expired, even by a second", async () => {
    await refused(await sign(key, { ...DOCUMENTED, exp: noon - 1 }), /expired/);
    await refused(await sign(key, { ...DOCUMENTED, exp: noon }), /expired/);
  });

  test("is not valid yet", async () => {
    await refused(await sign(key, { ...DOCUMENTED, nbf: noon + 61 }), /not valid yet/);
  });

  test("was issued in the future", async () => {
    await refused(await sign(key, { ...DOCUMENTED, iat: noon + 61 }), /iat lies in the future/);
  });

  test("lives longer than a day", async () => {
    const token = await sign(key, { ...DOCUMENTED, exp: noon + 86_401 });
    await refused(token, /longer than 24 h/);
  });

  test.each(["exp", "iat", "nbf", "jti"])("has no %s", async (name) => {
    await refused(await sign(key, without(name)), new RegExp(`no claim ${name}`));
  });

  test("has no audience", async () => {
    await refused(await sign(key, without("aud")), /no audience/);
  });

  test.each([
    ["another's", "https://github.com/octo-org"],
    ["ours and another's", [AUDIENCE, "sts.amazonaws.com"]],
    ["ours twice", [AUDIENCE, AUDIENCE]],
    ["an empty list", []],
    ["a list in a list", [[AUDIENCE]]],
    ["ours with a slash", `${AUDIENCE}/`],
    ["ours in capitals", AUDIENCE.toUpperCase()],
    ["an object", { [AUDIENCE]: true }],
    ["a number", 7],
    ["null", null],
  ])("has for its audience %s, and says which one is expected", async (_, aud) => {
    const token = await sign(key, { ...DOCUMENTED, aud });
    await refused(token, /for another audience/);
    expect((await refusal(verifier.verify(token))).hint).toContain(AUDIENCE);
  });

  test.each([
    ["exp", "1795349100"],
    ["exp", null],
    ["exp", true],
    ["exp", { valueOf: 1 }],
    ["iat", "now"],
    ["iat", -1],
    ["nbf", [1]],
  ])("has for %s something that is no time: %j", async (name, value) => {
    await refused(await sign(key, { ...DOCUMENTED, [name]: value }), /not a number of seconds/);
  });

  test("has an endless exp", async () => {
    const text = JSON.stringify(DOCUMENTED).replace(/"exp":\d+/, '"exp":1e999');
    await refused(await signText(key, text), /not a number of seconds/);
  });

  test.each([7, "", null, ["example-id"], "x".repeat(257)])("has for its jti %j", async (jti) => {
    await refused(await sign(key, { ...DOCUMENTED, jti }), /jti is not a short text/);
  });

  test("is unsigned", async () => {
    const [header, payload] = (await sign(key, DOCUMENTED)).split(".");
    await refused(`${header}.${payload}.`, /not a signed JWT/);
    await refused(`${header}.${payload}`, /not a signed JWT/);
  });

  test.each(["none", "None", "NONE", ""])("has the algorithm %j", async (alg) => {
    const body = `${base64url({ alg, typ: "JWT", kid: "one" })}.${base64url(DOCUMENTED)}`;
    await refused(`${body}.`, /not a signed JWT/);
    await refused(`${body}.AAAA`, /not signed with RS256 or ES256/);
    expect(hub.fetched).toEqual([]);
  });

  test("is signed with HS256 and the public key for a secret", async () => {
    const { createHmac } = await import("node:crypto");
    const body = `${base64url({ alg: "HS256", typ: "JWT", kid: "one" })}.${base64url(DOCUMENTED)}`;
    for (const secret of [
      await exportSPKI(key.publicKey),
      JSON.stringify(key.jwk),
      key.jwk.n ?? "",
    ]) {
      const mac = createHmac("sha256", secret).update(body).digest("base64url");
      await refused(`${body}.${mac}`, /not signed with RS256 or ES256/);
    }
  });

  test.each(["RS384", "RS512", "PS256", "ES384", "EdDSA"])("is signed with %s", async (alg) => {
    const strong = await makeKey("strong", alg);
    verifier = verifierOf([ISSUER], net(GITHUB, [key.jwk, strong.jwk]), clock);
    await refused(await sign(strong, DOCUMENTED), /not signed with RS256 or ES256/);
  });

  test("claims ES256 and names an RSA key", async () => {
    const curve = await makeKey("one", "ES256");
    await refused(await sign(curve, DOCUMENTED), /key that its issuer does not publish/);
  });

  test("is signed by somebody else under the issuer's kid", async () => {
    await refused(await sign({ ...other, kid: "one" }, DOCUMENTED), /signature is wrong/);
  });

  test("was changed after it was signed", async () => {
    const [header, , signature] = (await sign(key, DOCUMENTED)).split(".");
    const payload = base64url({ ...DOCUMENTED, repository_id: "75" });
    await refused(`${header}.${payload}.${signature}`, /signature is wrong/);
  });

  test("brings its own key or points at one, which is not fetched", async () => {
    const bring = (header: object): Promise<string> => sign(other, DOCUMENTED, header);
    await refused(await bring({ jwk: other.jwk }), /parameter jwk/);
    await refused(await bring({ jku: "https://evil.example/jwks" }), /parameter jku/);
    await refused(await bring({ x5u: "https://evil.example/x5u" }), /parameter x5u/);
    await refused(await bring({ x5c: ["AAAA"] }), /parameter x5c/);
    expect(hub.fetched).toEqual([]);
  });

  test("has critical parameters", async () => {
    const body = `${base64url({ alg: "RS256", kid: "one", crit: ["exp"], exp: 1 })}.${base64url(DOCUMENTED)}`;
    await refused(`${body}.AAAA`, /parameter crit/);
  });

  test("is of another type, like a logout token", async () => {
    await refused(await sign(key, DOCUMENTED, { typ: "logout+jwt" }), /typ other than JWT/);
    await refused(await sign(key, DOCUMENTED, { typ: 7 }), /typ other than JWT/);
  });

  test("names no key", async () => {
    await refused(await sign(key, DOCUMENTED, { kid: undefined }), /names no key/);
    await refused(await sign(key, DOCUMENTED, { kid: "" }), /names no key/);
  });

  test.each([
    "https://evil.example",
    `${GITHUB}/`,
    `${GITHUB}.evil.example`,
    GITHUB.replace("https", "http"),
    GITHUB.toUpperCase(),
    `${GITHUB}/../x`,
    "http://169.254.169.254/latest",
    "",
    null,
    7,
    [GITHUB],
    "__proto__",
    undefined,
  ])("is of an issuer that is not in the list: %j; nothing is fetched", async (iss) => {
    await refused(await sign(key, { ...DOCUMENTED, iss }), /issuer is not trusted/);
    expect(hub.fetched).toEqual([]);
  });

  test("is cut off anywhere", async () => {
    const token = await sign(key, DOCUMENTED);
    for (let length = 0; length < token.length; length += 7)
      expect((await refusal(verifier.verify(token.slice(0, length)))).code).toBe("unauthenticated");
    await refused(token.slice(0, -1), /signature is wrong/);
  });

  test("is 100 KB long", async () => {
    await refused(await sign(key, { ...DOCUMENTED, pad: "x".repeat(100_000) }), /longer than 8192/);
    await refused("x".repeat(100_000), /longer than 8192/);
    expect(hub.fetched).toEqual([]);
  });

  test("says a claim twice, whichever of the two would have been good", async () => {
    const text = JSON.stringify(DOCUMENTED);
    const twice = (more: string): Promise<string> => signText(key, `{${more},${text.slice(1)}`);
    await refused(await twice('"repository_id":"1"'), /payload names something twice/);
    await refused(await twice('"repository_id":"74"'), /payload names something twice/);
    // The same name, spelled with an escape.
    await refused(await twice('"\\u0065xp":1'), /payload names something twice/);
    const header = base64url('{"alg":"none","kid":"one","alg":"RS256"}');
    await refused(`${header}.${base64url(text)}.AAAA`, /header names something twice/);
  });

  test("has colons, braces and quotes in its texts, and is not refused for them", async () => {
    const token = await sign(key, {
      ...DOCUMENTED,
      workflow: 'a":"b{[\\"}:',
      extra: { a: 1, b: [{ a: 2 }] },
    });
    expect((await verifier.verify(token)).token.id).toBe("example-id");
  });

  test.each(["null", "[]", '"text"', "7", "{", "", "\ufeff{}"])(
    "has the payload %j",
    async (text) => {
      await refused(
        `${base64url({ alg: "RS256", kid: "one" })}.${base64url(text) || "A"}.AAAA`,
        /payload is not/,
      );
    },
  );

  test("is not UTF-8", async () => {
    const bytes = Buffer.from(JSON.stringify({ ...DOCUMENTED, workflow: "?" }));
    bytes[bytes.indexOf("?")] = 0xff;
    await refused(
      `${base64url({ alg: "RS256", kid: "one" })}.${bytes.toString("base64url")}.AAAA`,
      /payload is not/,
    );
  });

  test.each([
    ["", "empty"],
    [" ", "blank"],
    ["..", "dots"],
    ["a.b.c.d.e", "encrypted"],
    ["e30.e30.e30=", "padded"],
    ["Bearer a.b.c", "with its scheme"],
    ["stint_g0123456789abcde_x", "a grant token"],
    ["\u0000.\u0000.\u0000", "binary"],
  ])("is no JWT at all: %j (%s)", async (token) => {
    await refused(token, /not a signed JWT/);
  });

  test.each(["repository_id", "repository_owner_id", "run_id", "run_attempt", "check_run_id"])(
    "has no %s, which the job's name needs",
    async (name) => {
      await refused(await sign(key, without(name)), new RegExp(`no claim ${name}`));
    },
  );
});

describe("a person", () => {
  const login: TrustedIssuer = { kind: "login", url: LOGIN, login: "acme" };
  const claims = {
    iss: LOGIN,
    aud: AUDIENCE,
    iat: noon,
    exp: noon + 3600,
    sub: "auth0|5f7c8",
    groups: ["orders", "on-call"],
    email: "ada@acme.example",
    name: "Ada",
    preferred_username: "ada",
    phone_number: "+44 1",
  };

  beforeEach(() => {
    verifier = verifierOf([ISSUER, login], net(LOGIN, [key.jwk]), clock);
  });

  test("is the login's subject with its groups, and what names it stands apart", async () => {
    const token = await sign(key, claims);
    const { principal, token: proof } = await verifier.verify(token);
    expect(principal).toEqual({
      kind: "person",
      id: "person:acme:auth0|5f7c8",
      claims: { login: "acme", sub: "auth0|5f7c8" },
      groups: ["orders", "on-call"],
      personal: { email: "ada@acme.example", name: "Ada", preferred_username: "ada" },
    });
    expect(proof).toMatchObject({ hash: sha256(token), once: false, expiresAt: NOON + 3_600_000 });
  });

  test("needs no jti: the hash of what was signed stands for it, whatever the signature", async () => {
    const curve = await makeKey("curve", "ES256");
    verifier = verifierOf([login], net(LOGIN, [curve.jwk]), clock);
    const [first, second] = [await sign(curve, claims), await sign(curve, claims)];
    expect(first).not.toBe(second);
    const id = (await verifier.verify(first)).token.id;
    expect(id).toMatch(/^[0-9a-f]{64}$/);
    expect((await verifier.verify(second)).token.id).toBe(id);
    expect(
      (await verifier.verify(await sign(curve, { ...claims, exp: noon + 1 }))).token.id,
    ).not.toBe(id);
  });

  test("keeps a jti that its issuer does give", async () => {
    expect((await verifier.verify(await sign(key, { ...claims, jti: "j" }))).token.id).toBe("j");
  });

  test("without groups and names has none", async () => {
    const { sub, iss, aud, iat, exp } = claims;
    const { principal } = await verifier.verify(await sign(key, { sub, iss, aud, iat, exp }));
    expect(principal).toEqual({
      kind: "person",
      id: "person:acme:auth0|5f7c8",
      claims: { login: "acme", sub },
      groups: [],
    });
  });

  test("with an nbf in the future is not let in, though none is required", async () => {
    await refused(await sign(key, { ...claims, nbf: noon + 61 }), /not valid yet/);
  });

  test.each(["orders", [7], { orders: true }, null])(
    "with the groups %j is refused",
    async (groups) => {
      await refused(await sign(key, { ...claims, groups }), /groups is not a list/);
    },
  );

  test.each([undefined, "", 7, null, "a\nb", "x".repeat(256)])(
    "with the subject %j is refused",
    async (sub) => {
      await refused(await sign(key, { ...claims, sub }), /sub is missing or not/);
    },
  );

  test("of one login is not let in by the keys of a pipeline", async () => {
    await refused(await sign(other, claims), /key that its issuer does not publish/);
  });
});
