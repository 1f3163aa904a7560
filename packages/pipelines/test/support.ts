/** An issuer as tests need one: honest by default, and able to lie in every way. */

import { GrantError } from "@stint/core/error";
import { CompactSign, type CryptoKey, exportJWK, generateKeyPair, type JWK } from "jose";
import { expect } from "vitest";
import type { TrustedIssuer } from "../src/issuers.ts";
import type { Fetch } from "../src/keys.ts";
import { createVerifier, type Limits, type Verifier } from "../src/verify.ts";

export const GITHUB = "https://token.actions.githubusercontent.com";
export const LOGIN = "https://login.acme.example";
export const AUDIENCE = "https://stint.acme.example";
/** 2026-11-22T12:00:00Z. */
export const NOON = 1_795_348_800_000;
const noon = NOON / 1000;

/**
 * The example token of GitHub's documentation (github/docs, content/actions/concepts/security/openid-connect.md) with
 * the claims that its reference lists besides (content/actions/reference/security/oidc.md), ids in place of
 * "example-run-id", times moved.
 */
export const DOCUMENTED = {
  jti: "example-id",
  sub: "repo:octo-org/octo-repo:environment:prod",
  environment: "prod",
  aud: AUDIENCE,
  ref: "refs/heads/main",
  sha: "example-sha",
  repository: "octo-org/octo-repo",
  repository_owner: "octo-org",
  actor_id: "12",
  repository_visibility: "private",
  repository_id: "74",
  repository_owner_id: "65",
  run_id: "5373506832",
  run_number: "10",
  run_attempt: "2",
  check_run_id: "14541957942",
  runner_environment: "github-hosted",
  actor: "octocat",
  workflow: "example-workflow",
  workflow_ref: "octo-org/octo-repo/.github/workflows/example.yml@refs/heads/main",
  workflow_sha: "example-sha",
  head_ref: "",
  base_ref: "",
  event_name: "workflow_dispatch",
  enterprise: "avocado-corp",
  enterprise_id: "2",
  ref_type: "branch",
  job_workflow_ref: "octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main",
  job_workflow_sha: "example-automation-sha",
  iss: GITHUB,
  nbf: noon - 600,
  exp: noon + 300,
  iat: noon,
};

export interface Key {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: CryptoKey;
  readonly publicKey: CryptoKey;
  readonly jwk: JWK;
}

export async function makeKey(kid: string, alg = "RS256"): Promise<Key> {
  const pair = await generateKeyPair(alg, { extractable: true });
  return { ...pair, kid, alg, jwk: { ...(await exportJWK(pair.publicKey)), kid, alg, use: "sig" } };
}

export const sign = (key: Key, payload: unknown, header: object = {}): Promise<string> =>
  signText(key, JSON.stringify(payload), header);

export const signText = (key: Key, payload: string, header: object = {}): Promise<string> =>
  new CompactSign(new TextEncoder().encode(payload))
    .setProtectedHeader({ alg: key.alg, kid: key.kid, typ: "JWT", ...header })
    .sign(key.privateKey);

export const base64url = (value: unknown): string =>
  Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

export interface Net {
  readonly fetch: Fetch;
  /** Each URL asked for, in order. */
  readonly fetched: string[];
  /** What an issuer's document answers; by default what an honest issuer would. */
  answers: Record<string, () => Response | Promise<Response>>;
}

export function net(issuer: string, keys: readonly JWK[]): Net {
  const jwks = `${issuer}/.well-known/jwks`;
  const self: Net = {
    fetched: [],
    answers: {
      [`${issuer}/.well-known/openid-configuration`]: () =>
        Response.json({ issuer, jwks_uri: jwks, claims_supported: ["sub"] }),
      [jwks]: () => Response.json({ keys }),
    },
    fetch: async (url) => {
      self.fetched.push(url);
      const found = self.answers[url];
      if (found === undefined) throw new TypeError(`fetch failed: ${url}`);
      return found();
    },
  };
  return self;
}

export interface Clock {
  now: number;
}

export function verifierOf(
  issuers: readonly TrustedIssuer[],
  { fetch }: Pick<Net, "fetch">,
  clock: Clock,
  more: { limits?: Partial<Limits>; deadline?: () => AbortSignal } = {},
): Verifier {
  return createVerifier({ issuers, audience: AUDIENCE, fetch, now: () => clock.now, ...more });
}

/** The GrantError that `work` ends in; anything else fails the test. */
export async function refusal(work: Promise<unknown> | (() => unknown)): Promise<GrantError> {
  try {
    await (typeof work === "function" ? work() : work);
  } catch (error) {
    expect(error).toBeInstanceOf(GrantError);
    if (error instanceof GrantError) return error;
  }
  throw new Error("nothing was refused");
}
