/** AWS KMS: symmetric keys that encrypt, RSA and P-256 keys that sign, under key policies. */
import {
  cipherOperations,
  decryptUnder,
  encryptUnder,
  keyOfBlob,
  SYMMETRIC,
} from "../kms/cipher-operations.ts";
import { keyOperations } from "../kms/key-operations.ts";
import { findKey, type Key, type Keyring, keyCheck, managedKey } from "../kms/keys.ts";
import type { EncryptionContext } from "../kms/sealing.ts";
import { signatureOperations } from "../kms/signature-operations.ts";
import { jsonProtocol } from "../protocols.ts";
import type { Check, Service, World } from "../service.ts";

/** What KMS does for another service of the account, on behalf of that service's caller. */
export interface KmsService extends Service {
  /**
   * The permission that the caller needs: on the key to encrypt under (without one it is the service's own), or on
   * the key that made a blob.
   */
  readonly checkVia: (
    service: string,
    what: { readonly encryptUnder: string | undefined } | { readonly decrypt: Uint8Array },
    context: EncryptionContext,
  ) => Check;
  /** Encrypts under a key by its id, ARN or alias, or under the service's own. */
  readonly encryptVia: (
    service: string,
    key: string | undefined,
    plaintext: Uint8Array,
    context: EncryptionContext,
  ) => { readonly blob: Uint8Array; readonly keyArn: string };
  /** @throws {AwsError} InvalidCiphertextException, or what the key's state makes of it. */
  readonly decrypt: (blob: Uint8Array, context: EncryptionContext) => Uint8Array;
}

/** One account's KMS. */
export const kms = (world: World): KmsService => {
  const ring: Keyring = { world, keys: new Map(), aliases: new Map() };
  const keyFor = (service: string, named: string | undefined): Key =>
    named === undefined || named === `alias/aws/${service}`
      ? managedKey(ring, service)
      : findKey(ring, named);
  return {
    name: "kms",
    protocol: jsonProtocol({ version: "1.1", target: "TrentService" }),
    operations: { ...keyOperations(ring), ...cipherOperations(ring), ...signatureOperations(ring) },
    checkVia(service, what, encryptionContext) {
      const asked = {
        encryptionContext,
        viaService: `${service}.${world.region}.amazonaws.com`,
        more: SYMMETRIC,
      };
      return "decrypt" in what
        ? keyCheck(ring, "Decrypt", keyOfBlob(ring, what.decrypt), asked)
        : keyCheck(ring, "Encrypt", keyFor(service, what.encryptUnder), asked);
    },
    encryptVia(service, named, plaintext, context) {
      const key = keyFor(service, named);
      return { blob: encryptUnder(ring, key, plaintext, context), keyArn: key.arn };
    },
    decrypt: (blob, context) => decryptUnder(keyOfBlob(ring, blob), blob, context),
  };
};
