import { createHash } from "node:crypto";

const CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz";

export const GRANT_ID = /^g[0-9a-hjkmnp-tv-z]{15}$/;

/**
 * The grant's id from its principal and idempotency key, so that the same request is the same grant. 75 bits: short
 * because it must fit a session name, a source identity, a schedule, a database role and a bucket prefix.
 */
export function grantId(principalId: string, idempotencyKey: string): string {
  // The length keeps ("a", "bc") apart from ("ab", "c").
  const digest = createHash("sha256")
    .update(`${principalId.length}:${principalId}:${idempotencyKey}`)
    .digest();
  let bits = 0n;
  for (const byte of digest.subarray(0, 10)) bits = (bits << 8n) | BigInt(byte);
  let text = "";
  for (let i = 0; i < 15; i++) {
    text = CROCKFORD.charAt(Number(bits & 31n)) + text;
    bits >>= 5n;
  }
  return `g${text}`;
}

/** The grant's own prefix. Fixed length, so that no namespace is a prefix of another. */
export const namespaceOf = (id: string): string => `it-${id}`;

export const NAMESPACE_LENGTH = "it-".length + 16;

export const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
