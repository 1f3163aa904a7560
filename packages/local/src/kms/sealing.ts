/** Ciphertexts of symmetric keys: AES-256-GCM, with the key's id in the blob and the encryption context bound to it. */
import { createCipheriv, createDecipheriv } from "node:crypto";

export type EncryptionContext = Readonly<Record<string, string>>;

// Version, key id (a UUID's 16 bytes), nonce, tag; then the text.
const VERSION = 1;
const ID_BYTES = 16;
const IV_BYTES = 12;
const TAG_BYTES = 16;
const HEAD_BYTES = 1 + ID_BYTES + IV_BYTES + TAG_BYTES;

/** The same for every order in which a context's pairs are given. */
const canonical = (context: EncryptionContext): string =>
  JSON.stringify(Object.entries(context).sort(([a], [b]) => (a < b ? -1 : 1)));

const idBytes = (keyId: string): Buffer => Buffer.from(keyId.replaceAll("-", ""), "hex");

const bound = (keyId: string, context: EncryptionContext): Buffer =>
  Buffer.concat([Buffer.from([VERSION]), idBytes(keyId), Buffer.from(canonical(context))]);

export interface Material {
  readonly keyId: string;
  readonly secret: Uint8Array;
}

export function seal(
  { keyId, secret }: Material,
  plaintext: Uint8Array,
  context: EncryptionContext,
  iv: Uint8Array,
): Uint8Array {
  const cipher = createCipheriv("aes-256-gcm", secret, iv).setAAD(bound(keyId, context));
  const text = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  return Buffer.concat([Buffer.from([VERSION]), idBytes(keyId), iv, cipher.getAuthTag(), text]);
}

/** The id of the key that a blob names, if it is a blob of ours at all. */
export function keyIdOf(blob: Uint8Array): string | undefined {
  if (blob.length < HEAD_BYTES || blob[0] !== VERSION) return undefined;
  const hex = Buffer.from(blob.subarray(1, 1 + ID_BYTES)).toString("hex");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** The text, or nothing where blob, key and context do not belong together. */
export function open(
  { keyId, secret }: Material,
  blob: Uint8Array,
  context: EncryptionContext,
): Uint8Array | undefined {
  const iv = blob.subarray(1 + ID_BYTES, 1 + ID_BYTES + IV_BYTES);
  const decipher = createDecipheriv("aes-256-gcm", secret, iv, { authTagLength: TAG_BYTES })
    .setAAD(bound(keyId, context))
    .setAuthTag(blob.subarray(1 + ID_BYTES + IV_BYTES, HEAD_BYTES));
  try {
    return Buffer.concat([decipher.update(blob.subarray(HEAD_BYTES)), decipher.final()]);
  } catch {
    return undefined;
  }
}
