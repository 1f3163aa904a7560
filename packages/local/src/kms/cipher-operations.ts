/** Encrypting and decrypting under symmetric keys. */
import { z } from "zod";
import { AwsError, type Check, operation } from "../service.ts";
import { base64, bytes, keyId } from "./input.ts";
import {
  checkUsable,
  findKey,
  type Key,
  type Keyring,
  keyById,
  keyCheck,
  randomBytes,
} from "./keys.ts";
import { type EncryptionContext, keyIdOf, open, seal } from "./sealing.ts";

const PLAINTEXT_BYTES = 4096;
const CIPHERTEXT_BYTES = 6144;

const contextInput = z.record(z.string(), z.string()).optional();
const symmetric = z.literal("SYMMETRIC_DEFAULT").optional();

/** The condition key of the one algorithm. */
export const SYMMETRIC = { "kms:EncryptionAlgorithm": "SYMMETRIC_DEFAULT" };

const badCiphertext = () => new AwsError("InvalidCiphertextException", "");

const secretOf = (key: Key): Uint8Array => {
  checkUsable(key, "ENCRYPT_DECRYPT");
  if (key.material.spec !== "SYMMETRIC_DEFAULT") throw badCiphertext(); // checkUsable has refused it
  return key.material.secret;
};

/** Encrypts under a key that must be fit for it. */
export const encryptUnder = (
  { world }: Keyring,
  key: Key,
  plaintext: Uint8Array,
  context: EncryptionContext = {},
) => seal({ keyId: key.id, secret: secretOf(key) }, plaintext, context, randomBytes(world)(12));

/** The key that made a blob. Who names a key means that one and no other. */
export const keyOfBlob = (ring: Keyring, blob: Uint8Array, named?: string): Key => {
  const id = keyIdOf(blob);
  if (id === undefined) throw badCiphertext();
  if (named !== undefined && findKey(ring, named).id !== id)
    throw new AwsError(
      "IncorrectKeyException",
      "The key ID in the request does not identify a CMK that can perform this operation.",
    );
  const key = keyById(ring, id);
  if (key !== undefined) return key;
  throw new AwsError(
    "AccessDeniedException",
    "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.",
  );
};

/** @throws {AwsError} InvalidCiphertextException where key, blob and context do not belong together. */
export const decryptUnder = (
  key: Key,
  blob: Uint8Array,
  context: EncryptionContext = {},
): Uint8Array => {
  const plaintext = open({ keyId: key.id, secret: secretOf(key) }, blob, context);
  if (plaintext === undefined) throw badCiphertext();
  return plaintext;
};

/** The operations that encrypt. */
export const cipherOperations = (ring: Keyring) => {
  const under = (
    action: string,
    input: { readonly KeyId: string; readonly EncryptionContext?: EncryptionContext | undefined },
  ): Check[] => [
    keyCheck(ring, action, findKey(ring, input.KeyId), {
      encryptionContext: input.EncryptionContext,
      named: input.KeyId,
      more: SYMMETRIC,
    }),
  ];
  const dataKeyInput = z.strictObject({
    KeyId: keyId,
    EncryptionContext: contextInput,
    KeySpec: z.enum(["AES_256", "AES_128"]).optional(),
    NumberOfBytes: z.int().min(1).max(1024).optional(),
  });
  const dataKey = (action: string, withPlaintext: boolean) =>
    operation({
      input: dataKeyInput,
      authorize: (input) => under(action, input),
      run(input) {
        const { KeySpec, NumberOfBytes } = input;
        if ((KeySpec === undefined) === (NumberOfBytes === undefined))
          throw new AwsError(
            "ValidationException",
            "Please specify either number of bytes or key spec.",
          );
        const key = findKey(ring, input.KeyId);
        const Plaintext = randomBytes(ring.world)(
          NumberOfBytes ?? (KeySpec === "AES_128" ? 16 : 32),
        );
        const CiphertextBlob = encryptUnder(ring, key, Plaintext, input.EncryptionContext);
        return {
          KeyId: key.arn,
          CiphertextBlob: base64(CiphertextBlob),
          ...(withPlaintext ? { Plaintext: base64(Plaintext) } : {}),
        };
      },
    });
  return {
    Encrypt: operation({
      input: z.strictObject({
        KeyId: keyId,
        Plaintext: bytes(PLAINTEXT_BYTES),
        EncryptionContext: contextInput,
        EncryptionAlgorithm: symmetric,
      }),
      authorize: (input) => under("Encrypt", input),
      run(input) {
        const key = findKey(ring, input.KeyId);
        return {
          KeyId: key.arn,
          CiphertextBlob: base64(encryptUnder(ring, key, input.Plaintext, input.EncryptionContext)),
          EncryptionAlgorithm: "SYMMETRIC_DEFAULT",
        };
      },
    }),
    Decrypt: operation({
      input: z.strictObject({
        CiphertextBlob: bytes(CIPHERTEXT_BYTES),
        EncryptionContext: contextInput,
        KeyId: keyId.optional(),
        EncryptionAlgorithm: symmetric,
      }),
      authorize: (input) => [
        keyCheck(ring, "Decrypt", keyOfBlob(ring, input.CiphertextBlob, input.KeyId), {
          encryptionContext: input.EncryptionContext,
          named: input.KeyId,
          more: SYMMETRIC,
        }),
      ],
      run(input) {
        const key = keyOfBlob(ring, input.CiphertextBlob, input.KeyId);
        return {
          KeyId: key.arn,
          Plaintext: base64(decryptUnder(key, input.CiphertextBlob, input.EncryptionContext)),
          EncryptionAlgorithm: "SYMMETRIC_DEFAULT",
        };
      },
    }),
    ReEncrypt: operation({
      input: z.strictObject({
        CiphertextBlob: bytes(CIPHERTEXT_BYTES),
        SourceEncryptionContext: contextInput,
        SourceKeyId: keyId.optional(),
        SourceEncryptionAlgorithm: symmetric,
        DestinationKeyId: keyId,
        DestinationEncryptionContext: contextInput,
        DestinationEncryptionAlgorithm: symmetric,
      }),
      authorize: (input) => [
        keyCheck(ring, "ReEncryptFrom", keyOfBlob(ring, input.CiphertextBlob, input.SourceKeyId), {
          encryptionContext: input.SourceEncryptionContext,
          named: input.SourceKeyId,
          more: SYMMETRIC,
        }),
        keyCheck(ring, "ReEncryptTo", findKey(ring, input.DestinationKeyId), {
          encryptionContext: input.DestinationEncryptionContext,
          named: input.DestinationKeyId,
          more: SYMMETRIC,
        }),
      ],
      run(input) {
        const from = keyOfBlob(ring, input.CiphertextBlob, input.SourceKeyId);
        const to = findKey(ring, input.DestinationKeyId);
        const plaintext = decryptUnder(from, input.CiphertextBlob, input.SourceEncryptionContext);
        return {
          CiphertextBlob: base64(
            encryptUnder(ring, to, plaintext, input.DestinationEncryptionContext),
          ),
          SourceKeyId: from.arn,
          KeyId: to.arn,
          SourceEncryptionAlgorithm: "SYMMETRIC_DEFAULT",
          DestinationEncryptionAlgorithm: "SYMMETRIC_DEFAULT",
        };
      },
    }),
    GenerateDataKey: dataKey("GenerateDataKey", true),
    GenerateDataKeyWithoutPlaintext: dataKey("GenerateDataKeyWithoutPlaintext", false),
  };
};
