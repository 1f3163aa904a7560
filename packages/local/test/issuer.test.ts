import { github } from "@stint/pipelines/github";
import { trustedIssuers } from "@stint/pipelines/issuers";
import { createVerifier, type Verifier } from "@stint/pipelines/verify";
import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from "jose";
import { beforeEach, expect, test } from "vitest";
import { createLocalIssuer, type LocalIssuer } from "../src/issuer.ts";

const BASE = "http://127.0.0.1:4012";
const AUDIENCE = "https://stint.acme.example";
const NOON = 1_795_348_800_000;

let clock: number;
let issuer: LocalIssuer;
let verifier: Verifier;

beforeEach(async () => {
  clock = NOON;
  issuer = await createLocalIssuer({
    now: () => clock,
    audience: AUDIENCE,
    baseUrl: () => BASE,
    pipelines: { github },
    logins: ["acme"],
  });
  verifier = createVerifier({
    issuers: trustedIssuers([
      { url: issuer.url("github"), pipeline: "github" },
      { url: issuer.url("acme"), login: "acme" },
    ]),
    audience: AUDIENCE,
    now: () => clock,
    fetch: async (url) => {
      const { status, body } = issuer.handle({ method: "GET", path: url.slice(BASE.length) });
      return new Response(body, { status });
    },
  });
});

const get = (path: string, method = "GET") => {
  const { status, body, headers } = issuer.handle({ method, path });
  return { status, headers, document: JSON.parse(body) };
};

test("a token is the demo's job, and Stint's own verifier takes it", async () => {
  const { principal, token } = await verifier.verify(await issuer.mint("github"));
  expect(principal).toMatchObject({
    kind: "job",
    id: "github:127.0.0.1:4012:186853002:2202229078:1:1291536064",
    job: {
      pipeline: "github",
      issuer: `${BASE}/github`,
      run: "2202229078",
      attempt: "1",
      job: "1291536064",
    },
    claims: {
      sub: "repo:Codertocat/Hello-World:ref:refs/heads/main",
      repository: "Codertocat/Hello-World",
      ref: "refs/heads/main",
      event_name: "push",
    },
    personal: { actor: "Codertocat" },
  });
  expect(token).toMatchObject({ once: true, expiresAt: NOON + 300_000 });
});

test("a token has every claim that GitHub documents for a push, and no other", async () => {
  const absent = [
    "enterprise",
    "enterprise_id",
    "environment",
    "environment_node_id",
    "issuer_scope",
  ];
  const documented = github.claims.claims.filter((name) => !absent.includes(name));
  const standard = ["iss", "aud", "sub", "iat", "nbf", "exp", "jti"];
  const token = decodeJwt(await issuer.mint("github"));
  expect(Object.keys(token).sort()).toEqual(
    [...documented, ...github.personalClaims, ...standard].sort(),
  );
});

test("given claims replace the filled-in ones, and what follows from them follows", async () => {
  const claims = {
    repository: "octo-org/octo-repo",
    repository_id: "74",
    ref: "refs/tags/v1",
    aud: "x",
    exp: 7,
  };
  expect(decodeJwt(await issuer.mint("github", claims))).toMatchObject({
    ...claims,
    sub: "repo:octo-org/octo-repo:ref:refs/tags/v1",
    ref_type: "tag",
    workflow_ref: "octo-org/octo-repo/.github/workflows/codeql-analysis.yml@refs/tags/v1",
  });
  const sub = async (claims: object) => decodeJwt(await issuer.mint("github", { ...claims })).sub;
  expect(await sub({ event_name: "pull_request" })).toBe(
    "repo:Codertocat/Hello-World:pull_request",
  );
  expect(await sub({ event_name: "pull_request", environment: "prod:eu" })).toBe(
    "repo:Codertocat/Hello-World:environment:prod%3Aeu",
  );
  expect(await sub({ sub: "mine" })).toBe("mine");
  expect(decodeJwt(await issuer.mint("github", { iss: "https://evil.example" })).iss).toBe(
    "https://evil.example",
  );
});

test("a person's token has subject and groups, lives an hour and is taken", async () => {
  const token = await issuer.mint("acme", { sub: "ada", groups: ["orders"] });
  const { principal, token: proof } = await verifier.verify(token);
  expect(principal).toMatchObject({ kind: "person", id: "person:acme:ada", groups: ["orders"] });
  expect(proof).toMatchObject({ once: false, expiresAt: NOON + 3_600_000 });
});

test("each token has its own jti; with the same randomness they are the same again", async () => {
  const jti = async (of: LocalIssuer) => decodeJwt(await of.mint("github")).jti;
  expect(await jti(issuer)).not.toBe(await jti(issuer));
  expect(await jti(issuer)).toMatch(
    /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/,
  );
  const options = {
    now: () => NOON,
    audience: AUDIENCE,
    baseUrl: () => BASE,
    pipelines: { github },
    random: () => 0.5,
  };
  const [one, two] = await Promise.all([createLocalIssuer(options), createLocalIssuer(options)]);
  expect(await jti(one)).toBe(await jti(two));
});

test("nobody else's name can be minted under", async () => {
  for (const name of ["jenkins", "", "__proto__", "toString", "../github"])
    await expect(issuer.mint(name)).rejects.toMatchObject({ code: "invalid_request" });
});

test("the key set is at each name and for all, and holds no private key", async () => {
  const token = await issuer.mint("github");
  for (const path of [
    "/.well-known/jwks.json",
    "/github/.well-known/jwks.json",
    "/acme/.well-known/jwks.json",
  ]) {
    const { status, document } = get(path);
    expect(status).toBe(200);
    expect(document.keys[0]).toMatchObject({ kty: "RSA", alg: "RS256", use: "sig" });
    expect(Object.keys(document.keys[0]).sort()).toEqual(["alg", "e", "kid", "kty", "n", "use"]);
    expect(decodeProtectedHeader(token)).toEqual({
      alg: "RS256",
      typ: "JWT",
      kid: document.keys[0].kid,
    });
    await jwtVerify(token, createLocalJWKSet(document), { currentDate: new Date(NOON) });
  }
});

test("the discovery document names the issuer as its tokens do", async () => {
  const { status, document, headers } = get("/github/.well-known/openid-configuration?x=1");
  expect(status).toBe(200);
  expect(headers["content-type"]).toBe("application/json");
  expect(document.issuer).toBe(decodeJwt(await issuer.mint("github")).iss);
  expect(document.jwks_uri).toBe(`${BASE}/github/.well-known/jwks.json`);
});

test("other paths and methods are answered as errors", () => {
  for (const path of [
    "/",
    "",
    "/github",
    "/.well-known/openid-configuration",
    "/jenkins/.well-known/jwks.json",
    "/toString/.well-known/jwks.json",
    "/github/x/.well-known/jwks.json",
    "/github/.well-known/jwks.json/",
    "//.well-known/jwks.json",
  ])
    expect(get(path).status).toBe(404);
  expect(get("/.well-known/jwks.json", "POST")).toMatchObject({
    status: 405,
    headers: { allow: "GET, HEAD" },
  });
  expect(get("/.well-known/jwks.json", "HEAD").status).toBe(200);
});

test("after a rotation both keys are taken; after forgetting, the old one's tokens are not", async () => {
  const old = await issuer.mint("github");
  await verifier.verify(old);
  const kid = await issuer.rotate();
  clock += 30_000;
  const fresh = await issuer.mint("github");
  expect(decodeProtectedHeader(fresh).kid).toBe(kid);
  await verifier.verify(fresh);
  await verifier.verify(old);

  await issuer.rotate({ forget: true });
  clock += 30_000;
  await verifier.verify(await issuer.mint("github"));
  await expect(verifier.verify(old)).rejects.toMatchObject({ code: "unauthenticated" });
});

test("tokens go by the clock that they were given", async () => {
  const token = await issuer.mint("github");
  clock += 300_000;
  await expect(verifier.verify(token)).rejects.toMatchObject({ code: "unauthenticated" });
  await verifier.verify(await issuer.mint("github"));
});
