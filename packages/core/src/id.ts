import { hash } from "node:crypto";

const CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz";

export const GRANT_ID = /^g[0-9a-hjkmnp-tv-z]{15}$/;

/**
 * The grant's id from its principal and idempotency key, so that the same request is the same grant. 75 bits: short
 * because it must fit a session name, a source identity, a schedule, a database role and a bucket prefix.
 */
export function grantId(principalId: string, idempotencyKey: string): string {
  // The length keeps ("a", "bc") apart from ("ab", "c").
  const digest = hash("sha256", `${principalId.length}:${principalId}:${idempotencyKey}`, "buffer");
  // The last 75 of the first 80 bits, five at a time.
  let text = "g";
  let bits = (digest[0] ?? 0) & 7;
  let count = 3;
  for (const byte of digest.subarray(1, 10)) {
    bits = (bits << 8) | byte;
    for (count += 8; count >= 5; count -= 5) text += CROCKFORD.charAt((bits >> (count - 5)) & 31);
    bits &= (1 << count) - 1;
  }
  return text;
}

/** The grant's own prefix. Fixed length, so that no namespace is a prefix of another. */
export const namespaceOf = (id: string): string => `it-${id}`;

export const NAMESPACE_LENGTH = "it-".length + 16;

export const sha256 = (text: string): string => hash("sha256", text, "hex");
