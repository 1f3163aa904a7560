/** Reading a compact JWT, before and after its signature is checked. Nothing here fetches, and nothing here trusts. */
import { isUtf8 } from "node:buffer";
import { type TokenClaims, unauthenticated } from "./pipeline.ts";

export const ALGORITHMS = ["RS256", "ES256"] as const;
export type Algorithm = (typeof ALGORITHMS)[number];

export interface UnverifiedToken {
  readonly alg: Algorithm;
  readonly kid: string;
  readonly claims: TokenClaims;
  /** Header and payload as signed. */
  readonly signed: string;
}

const COMPACT = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+$/;

/** A header that brings its own key, or asks to be read by rules of its own, is an attack or a mistake. */
const REFUSED_PARAMETERS = ["crit", "b64", "jwk", "jku", "x5u", "x5c", "zip", "enc"];

/** Logout tokens and security events have our audience too, and are not for opening doors. */
const TYPES = ["jwt", "application/jwt", "at+jwt", "application/at+jwt"];

/** One JSON object in which no name stands twice: whoever reads the first and whoever reads the last would differ. */
function readObject(part: string, what: string): Readonly<Record<string, unknown>> {
  const bytes = Buffer.from(part, "base64url");
  const text = bytes.toString("utf8");
  let value: unknown;
  try {
    value = isUtf8(bytes) ? JSON.parse(text) : undefined;
  } catch {
    throw unauthenticated(`the token's ${what} is not JSON`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw unauthenticated(`the token's ${what} is not an object`);
  let depth = 0;
  let names = 0;
  // Tested, not matched: two hundred match objects cost more than all the rest of this.
  const tokens = /"(?:[^"\\]|\\.)*"|[{}[\]:]/g;
  while (tokens.test(text)) {
    // Of a text it is the closing quote.
    const token = text[tokens.lastIndex - 1];
    if (token === "{" || token === "[") depth++;
    else if (token === "}" || token === "]") depth--;
    else if (token === ":" && depth === 1) names++;
  }
  if (names !== Object.keys(value).length)
    throw unauthenticated(`the token's ${what} names something twice`);
  // An object that is no array has text for keys.
  return value as Readonly<Record<string, unknown>>;
}

/**
 * What a token says of itself. Its length, shape and algorithm are judged first, so that no later step meets a token
 * that is expensive or clever. @throws GrantError unauthenticated
 */
export function parseToken(token: string, maxLength: number): UnverifiedToken {
  if (token.length > maxLength)
    throw unauthenticated(`the token is longer than ${maxLength} characters`);
  const [, first, second] = COMPACT.exec(token) ?? [];
  if (first === undefined || second === undefined)
    throw unauthenticated(
      "the token is not a signed JWT",
      "send three base64url parts, joined by dots, as the issuer gave them",
    );
  const header = readObject(first, "header");
  const alg = ALGORITHMS.find((known) => known === header.alg);
  if (alg === undefined)
    throw unauthenticated(`the token is not signed with ${ALGORITHMS.join(" or ")}`);
  const refused = REFUSED_PARAMETERS.find((name) => Object.hasOwn(header, name));
  if (refused !== undefined)
    throw unauthenticated(`the token's header has the parameter ${refused}, which is not accepted`);
  const { typ, kid } = header;
  if (typ !== undefined && !(typeof typ === "string" && TYPES.includes(typ.toLowerCase())))
    throw unauthenticated("the token's header has a typ other than JWT");
  if (typeof kid !== "string" || kid === "")
    throw unauthenticated("the token's header names no key (kid)");
  return { alg, kid, claims: readObject(second, "payload"), signed: `${first}.${second}` };
}

export interface Bounds {
  /** How far an issuer's clock may be ahead of ours. */
  readonly skewSeconds: number;
  /** Longest time between a token's `iat` and `exp`. */
  readonly lifeSeconds: number;
}

function seconds(claims: TokenClaims, name: string, required: boolean): number | undefined {
  const value = claims[name];
  if (value === undefined && !required) return undefined;
  if (value === undefined) throw unauthenticated(`the token has no claim ${name}`);
  if (typeof value !== "number" || !Number.isFinite(value) || value < 0)
    throw unauthenticated(`the token's claim ${name} is not a number of seconds`);
  return value;
}

/**
 * Judges the token's times at `now` (epoch ms) and returns its expiry (epoch ms). Skew is granted to what lies ahead
 * only: a token is never taken after its own expiry, which bounds how long its use must be remembered.
 * @throws GrantError unauthenticated
 */
export function checkTimes(
  claims: TokenClaims,
  now: number,
  nbfRequired: boolean,
  { skewSeconds, lifeSeconds }: Bounds,
): number {
  // The fallbacks are never used: a required claim that is missing has thrown.
  const exp = seconds(claims, "exp", true) ?? 0;
  const iat = seconds(claims, "iat", true) ?? 0;
  const nbf = seconds(claims, "nbf", nbfRequired);
  const latest = now / 1000 + skewSeconds;
  if (now >= exp * 1000) throw unauthenticated("the token has expired", "get a fresh one");
  if (iat > latest) throw unauthenticated("the token's claim iat lies in the future");
  if (nbf !== undefined && nbf > latest) throw unauthenticated("the token is not valid yet (nbf)");
  if (exp - iat > lifeSeconds)
    throw unauthenticated(`the token lives longer than ${lifeSeconds / 3600} h`);
  return Math.floor(exp * 1000);
}

/** Exactly our audience and no other: a token for two services can be replayed by one at the other. */
export function checkAudience({ aud }: TokenClaims, audience: string): void {
  const given: unknown = Array.isArray(aud) && aud.length === 1 ? aud[0] : aud;
  if (given === audience) return;
  const detail =
    aud === undefined ? "the token has no audience" : "the token is for another audience";
  throw unauthenticated(detail, `ask the issuer for a token with the audience ${audience} alone`);
}
