/** Signing and verifying with RSA and P-256 keys. */
import { z } from "zod";
import { AwsError, operation } from "../service.ts";
import { base64, bytes, keyId } from "./input.ts";
import {
  checkUsable,
  findKey,
  type Key,
  type Keyring,
  keyCheck,
  signingNames,
  usageOf,
} from "./keys.ts";
import { digestOf, hashBytes, SIGNING, type Signer, type SigningName } from "./signing.ts";

// The keys of SIGNING are the names, which Object.keys forgets.
const signingName = z.enum(Object.keys(SIGNING) as [SigningName, ...SigningName[]]);

/** The operations of asymmetric keys. */
export const signatureOperations = (ring: Keyring) => {
  const signInput = z.strictObject({
    KeyId: keyId,
    Message: bytes(4096),
    MessageType: z.enum(["RAW", "DIGEST"]).default("RAW"),
    SigningAlgorithm: signingName,
  });
  type SignInput = z.infer<typeof signInput>;
  const check = (action: string, input: SignInput) => [
    keyCheck(ring, action, findKey(ring, input.KeyId), {
      named: input.KeyId,
      more: {
        "kms:SigningAlgorithm": input.SigningAlgorithm,
        "kms:MessageType": input.MessageType,
      },
    }),
  ];
  const signerOf = (key: Key): Signer => {
    checkUsable(key, "SIGN_VERIFY");
    if (key.material.spec !== "SYMMETRIC_DEFAULT") return key.material.signer;
    throw new AwsError("InvalidKeyUsageException", `${key.arn} cannot sign.`);
  };
  const prepare = (input: SignInput) => {
    const key = findKey(ring, input.KeyId);
    const signer = signerOf(key);
    const { SigningAlgorithm: name, Message, MessageType } = input;
    if (!signingNames(key.material.spec).includes(name))
      throw new AwsError(
        "InvalidKeyUsageException",
        `Algorithm ${name} is incompatible with key spec ${key.material.spec}.`,
      );
    const algorithm = SIGNING[name];
    if (MessageType === "DIGEST" && Message.length !== hashBytes(algorithm.hash))
      throw new AwsError("ValidationException", `Digest is invalid length for algorithm ${name}.`);
    const digest = MessageType === "DIGEST" ? Message : digestOf(algorithm.hash, Message);
    return { key, signer, algorithm, digest };
  };
  return {
    Sign: operation({
      input: signInput,
      authorize: (input) => check("Sign", input),
      run(input) {
        const { key, signer, algorithm, digest } = prepare(input);
        return {
          KeyId: key.arn,
          Signature: base64(signer.sign(digest, algorithm)),
          SigningAlgorithm: input.SigningAlgorithm,
        };
      },
    }),
    Verify: operation({
      input: z.strictObject({ ...signInput.shape, Signature: bytes(6144) }),
      authorize: (input) => check("Verify", input),
      run(input) {
        const { key, signer, algorithm, digest } = prepare(input);
        if (!signer.verify(digest, input.Signature, algorithm))
          throw new AwsError("KMSInvalidSignatureException", "");
        return { KeyId: key.arn, SignatureValid: true, SigningAlgorithm: input.SigningAlgorithm };
      },
    }),
    GetPublicKey: operation({
      input: z.strictObject({ KeyId: keyId }),
      authorize: ({ KeyId }) => [
        keyCheck(ring, "GetPublicKey", findKey(ring, KeyId), { named: KeyId }),
      ],
      run({ KeyId }) {
        const key = findKey(ring, KeyId);
        const { spec } = key.material;
        return {
          KeyId: key.arn,
          PublicKey: base64(signerOf(key).publicDer),
          CustomerMasterKeySpec: spec,
          KeySpec: spec,
          KeyUsage: usageOf(key),
          SigningAlgorithms: signingNames(spec),
        };
      },
    }),
  };
};
