/** From a bearer token to a principal. */
import { sha256 } from "@stint/core/id";
import type { Caller, PersonPrincipal, Principal } from "@stint/core/principal";
import { type CryptoKey, compactVerify, errors } from "jose";
import type { TrustedIssuer } from "./issuers.ts";
import { ALGORITHMS, type Bounds, checkAudience, checkTimes, parseToken } from "./jwt.ts";
import { createKeySet, type Fetch, type KeyLimits } from "./keys.ts";
import { type TokenClaims, unauthenticated } from "./pipeline.ts";

export interface Limits extends Bounds, KeyLimits {
  readonly tokenLength: number;
}

const LIMITS: Limits = {
  tokenLength: 8 * 1024,
  skewSeconds: 60,
  lifeSeconds: 24 * 3600,
  maxAgeMs: 10 * 60_000,
  cooldownMs: 30_000,
  retryMs: 5_000,
  staleMs: 24 * 3600_000,
  responseBytes: 256 * 1024,
};

export interface VerifierOptions {
  readonly issuers: readonly TrustedIssuer[];
  readonly audience: string;
  /** Used for the discovery documents and key sets of `issuers` and for nothing else. */
  readonly fetch: Fetch;
  /** Epoch ms. */
  readonly now: () => number;
  /** Aborts when fetching an issuer's keys takes too long. Default: after 5 s of real time. */
  readonly deadline?: () => AbortSignal;
  readonly limits?: Partial<Limits>;
}

export type TokenCaller = Extract<Caller, { readonly kind: "principal" }>;

export interface Verifier {
  /** @throws GrantError unauthenticated; unavailable, where the issuer's keys cannot be had */
  verify(token: string): Promise<TokenCaller>;
}

async function checkSignature(token: string, key: CryptoKey): Promise<void> {
  try {
    await compactVerify(token, key, { algorithms: [...ALGORITHMS] });
  } catch (error) {
    if (error instanceof errors.JOSEError) throw unauthenticated("the token's signature is wrong");
    throw error;
  }
}

function tokenId(claims: TokenClaims, required: boolean, signed: string): string {
  const { jti } = claims;
  if (typeof jti === "string" && jti !== "" && jti.length <= 256) return jti;
  if (jti !== undefined) throw unauthenticated("the token's claim jti is not a short text");
  if (required) throw unauthenticated("the token has no claim jti");
  // Without the signature: of an ES256 signature anybody can make a second one that holds as well.
  return sha256(signed);
}

function person(login: string, claims: TokenClaims): PersonPrincipal {
  const { sub, groups = [] } = claims;
  // OIDC's own bound; a control character could forge a line of a log.
  if (typeof sub !== "string" || !/^[^\p{Cc}]{1,255}$/u.test(sub))
    throw unauthenticated("the token's claim sub is missing or not a short text");
  if (!Array.isArray(groups) || !groups.every((group) => typeof group === "string"))
    throw unauthenticated("the token's claim groups is not a list of texts");
  const personal: Record<string, string> = {};
  for (const name of ["email", "name", "preferred_username"]) {
    const value = claims[name];
    if (typeof value === "string") personal[name] = value;
  }
  return {
    kind: "person",
    id: `person:${login}:${sub}`,
    claims: { login, sub },
    groups,
    ...(Object.keys(personal).length === 0 ? {} : { personal }),
  };
}

const principalOf = (issuer: TrustedIssuer, claims: TokenClaims): Principal =>
  issuer.kind === "login"
    ? person(issuer.login, claims)
    : issuer.pipeline.principal(claims, issuer.url);

/** Keeps the keys of every issuer between calls, so make one and keep it. */
export function createVerifier(options: VerifierOptions): Verifier {
  const { fetch, now, audience, deadline = () => AbortSignal.timeout(5_000) } = options;
  const limits: Limits = { ...LIMITS, ...options.limits };
  const trusted = new Map(
    options.issuers.map((issuer) => {
      const iss = issuer.standIn ?? issuer.url;
      return [iss, { issuer, keys: createKeySet(iss, { fetch, now, deadline, limits }) }];
    }),
  );
  return {
    async verify(token) {
      const { alg, kid, claims, signed } = parseToken(token, limits.tokenLength);
      // Not verified yet: it may only choose among those whom we trust already.
      const found = typeof claims.iss === "string" ? trusted.get(claims.iss) : undefined;
      if (found === undefined)
        throw unauthenticated(
          "the token's issuer is not trusted here",
          "issuers are listed in the configuration, spelled exactly as in the token's iss",
        );
      const { issuer, keys } = found;
      await checkSignature(token, await keys.find(kid, alg));

      const documents =
        issuer.kind === "pipeline" ? issuer.pipeline.documents : { jti: false, nbf: false };
      checkAudience(claims, audience);
      const expiresAt = checkTimes(claims, now(), documents.nbf, limits);
      const id = tokenId(claims, documents.jti, signed);
      const once = issuer.kind === "pipeline" && issuer.pipeline.tokensOnDemand;
      return {
        kind: "principal",
        principal: principalOf(issuer, claims),
        token: { id, hash: sha256(token), expiresAt, once },
      };
    },
  };
}
