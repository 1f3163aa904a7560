import { createHmac, type KeyObject, timingSafeEqual } from "node:crypto";
import { GRANT_ID } from "@stint/core/id";
import type { TokenKeys } from "./ports.ts";

const SHAPE = /^stint_(g[0-9a-z]{15})_([A-Za-z0-9_-]{43})$/;

type Keys = Awaited<ReturnType<TokenKeys["current"]>>;

const mac = (id: string, key: KeyObject): Buffer =>
  createHmac("sha256", key).update(`stint grant token:${id}`).digest();

/** True for what was meant as a grant token, valid or not: it is never sent to an OIDC issuer's verifier. */
export const looksLikeGrantToken = (text: string): boolean => text.startsWith("stint_");

/** The newest key's version: what a new grant remembers. */
export const newestVersion = (keys: Keys): string => {
  const [newest] = keys;
  if (newest === undefined) throw new Error("there is no key for grant tokens");
  return newest.version;
};

/**
 * The grant's token. Nothing but the key's version is stored, so that a repeat returns the same token; where that key
 * has been retired since, the newest one signs.
 */
export function grantToken(id: string, version: string, keys: Keys): string {
  const key = keys.find((one) => one.version === version) ?? keys[0];
  if (key === undefined) throw new Error("there is no key for grant tokens");
  return `stint_${id}_${mac(id, key.key).toString("base64url")}`;
}

/** The id of the grant that the token opens, or undefined for a token that we did not make. */
export function grantOfToken(text: string, keys: Keys): string | undefined {
  const [, id, code] = SHAPE.exec(text) ?? [];
  if (id === undefined || code === undefined || !GRANT_ID.test(id)) return undefined;
  const given = Buffer.from(code, "base64url");
  // Each key is tried in full, so that time tells nothing about which one matched.
  let found = false;
  for (const { key } of keys) {
    const expected = mac(id, key);
    if (given.length === expected.length && timingSafeEqual(given, expected)) found = true;
  }
  return found ? id : undefined;
}
