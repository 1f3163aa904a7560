/** One issuer's signing keys, fetched from that issuer alone and remembered. */
import { GrantError } from "@stint/core/error";
import { type CryptoKey, importJWK } from "jose";
import * as z from "zod/mini";
import { isSafe } from "./issuers.ts";
import type { Algorithm } from "./jwt.ts";
import { unauthenticated } from "./pipeline.ts";

/** What is needed of `fetch`; the global one fits. */
export type Fetch = (
  url: string,
  init: {
    readonly redirect: "manual";
    readonly signal: AbortSignal;
    readonly headers: Record<string, string>;
  },
) => Promise<{ readonly status: number; readonly body: AsyncIterable<Uint8Array> | null }>;

export interface KeyLimits {
  /** Keys are fetched again when older. */
  readonly maxAgeMs: number;
  /** The least time between two attempts to fetch, whatever tokens ask for. */
  readonly cooldownMs: number;
  /** The same after a failure that leaves no keys to go on with: one blip must not close the door for long. */
  readonly retryMs: number;
  /** While the issuer is down, keys are used until they are this old. */
  readonly staleMs: number;
  readonly responseBytes: number;
}

export interface KeySet {
  /** @throws GrantError unauthenticated (no such key), unavailable (cannot be known now) */
  find(kid: string, alg: Algorithm): Promise<CryptoKey>;
}

interface Io {
  readonly fetch: Fetch;
  /** Epoch ms. */
  readonly now: () => number;
  /** Aborts when one round of fetching has taken too long. */
  readonly deadline: () => AbortSignal;
  readonly limits: KeyLimits;
}

const MAX_KEYS = 64;

const Discovery = z.object({ issuer: z.string(), jwks_uri: z.string() });

const Jwks = z.object({ keys: z.array(z.unknown()) });

const common = { kid: z.string().check(z.minLength(1)), use: z.optional(z.literal("sig")) };

/** Only what verifies: symmetric keys, other curves and keys for encryption are passed over. */
const Jwk = z.union([
  z.object({
    ...common,
    kty: z.literal("RSA"),
    alg: z.optional(z.literal("RS256")),
    n: z.string(),
    e: z.string(),
  }),
  z.object({
    ...common,
    kty: z.literal("EC"),
    crv: z.literal("P-256"),
    alg: z.optional(z.literal("ES256")),
    x: z.string(),
    y: z.string(),
  }),
]);

async function importKey(jwk: z.infer<typeof Jwk>): Promise<CryptoKey | undefined> {
  try {
    if (jwk.kty === "EC") {
      const { kty, crv, x, y } = jwk;
      return await importJWK({ kty, crv, x, y }, "ES256");
    }
    const { kty, n, e } = jwk;
    const key = await importJWK({ kty, n, e }, "RS256");
    // The shortest that RS256 is safe with; shorter ones were factored.
    const bits = "modulusLength" in key.algorithm ? key.algorithm.modulusLength : undefined;
    return typeof bits === "number" && bits >= 2048 ? key : undefined;
  } catch {
    return undefined; // One broken key must not take the others with it.
  }
}

const keyName = (alg: Algorithm, kid: string): string => `${alg} ${kid}`;

async function importKeys(document: unknown): Promise<ReadonlyMap<string, CryptoKey>> {
  const keys = new Map<string, CryptoKey>();
  for (const candidate of Jwks.parse(document).keys.slice(0, MAX_KEYS)) {
    const { data: jwk } = Jwk.safeParse(candidate);
    const key = jwk && (await importKey(jwk));
    if (jwk && key) keys.set(keyName(jwk.kty === "EC" ? "ES256" : "RS256", jwk.kid), key);
  }
  // An issuer without keys is an issuer with a fault: what was known before still holds.
  if (keys.size === 0) throw new Error("the key set has no key for RS256 or ES256");
  return keys;
}

/** Rejects when `signal` aborts, also where the transport does not listen to it. */
function until<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

async function fetchJson(url: string, signal: AbortSignal, io: Io): Promise<unknown> {
  const headers = { accept: "application/json" };
  const response = await io.fetch(url, { redirect: "manual", signal, headers });
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    if (size > io.limits.responseBytes) throw new Error(`${url} answered with too much`);
    chunks.push(chunk);
  }
  // A redirect too: it would lead to keys that are not this issuer's.
  if (response.status !== 200) throw new Error(`${url} answered ${response.status}`);
  return JSON.parse(Buffer.concat(chunks).toString("utf8"));
}

async function discover(issuer: string, signal: AbortSignal, io: Io): Promise<string> {
  const url = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
  const document = Discovery.parse(await fetchJson(url, signal, io));
  if (document.issuer !== issuer) throw new Error(`${url} is the document of another issuer`);
  const keys = new URL(document.jwks_uri);
  if (keys.origin !== new URL(issuer).origin || !isSafe(keys))
    throw new Error(`${url} names a jwks_uri that is not on the issuer's own origin`);
  return keys.href;
}

/** Fetches nothing until a key is asked for. */
export function createKeySet(issuer: string, io: Io): KeySet {
  const { now, limits } = io;
  let known: { readonly keys: ReadonlyMap<string, CryptoKey>; readonly at: number } | undefined;
  let attempt: { readonly at: number; readonly failure?: unknown } | undefined;
  let jwks: { readonly url: string; readonly at: number } | undefined;
  let pending: Promise<void> | undefined;

  async function load(at: number): Promise<void> {
    const signal = io.deadline();
    const work = async () => {
      const from =
        jwks !== undefined && at - jwks.at < limits.staleMs
          ? jwks
          : { url: await discover(issuer, signal, io), at };
      return { from, keys: await importKeys(await fetchJson(from.url, signal, io)) };
    };
    try {
      const { from, keys } = await until(signal, work());
      jwks = from;
      known = { keys, at };
      attempt = { at };
    } catch (failure) {
      attempt = { at, failure };
      jwks = undefined; // It may have moved.
    } finally {
      pending = undefined;
    }
  }

  const fresh = (maxAgeMs: number): ReadonlyMap<string, CryptoKey> | undefined =>
    known !== undefined && now() - known.at < maxAgeMs ? known.keys : undefined;

  function mayFetch(at: number): boolean {
    if (attempt === undefined) return true;
    const helpless = attempt.failure !== undefined && fresh(limits.staleMs) === undefined;
    return at - attempt.at >= (helpless ? limits.retryMs : limits.cooldownMs);
  }

  /** Everybody who needs keys while they are being fetched waits for the same fetch. */
  function refresh(): Promise<void> {
    const at = now();
    if (pending === undefined && mayFetch(at)) pending = load(at);
    return pending ?? Promise.resolve();
  }

  return {
    async find(kid, alg) {
      const name = keyName(alg, kid);
      const cached = fresh(limits.maxAgeMs)?.get(name);
      if (cached !== undefined) return cached;
      await refresh();
      const keys = fresh(limits.staleMs);
      const key = keys?.get(name);
      if (key !== undefined) return key;
      // After a failed fetch nobody can say that there is no such key: it may be the issuer's newest.
      if (keys === undefined || attempt?.failure !== undefined)
        throw new GrantError("unavailable", "the token issuer's keys cannot be fetched now", {
          hint: "try again in a minute",
          cause: attempt?.failure,
        });
      throw unauthenticated("the token is signed with a key that its issuer does not publish");
    },
  };
}
