import { constants, createPublicKey, createVerify, verify } from "node:crypto";
import {
  CancelKeyDeletionCommand,
  CreateAliasCommand,
  CreateKeyCommand,
  type CreateKeyCommandInput,
  DecryptCommand,
  DescribeKeyCommand,
  DisableKeyCommand,
  EnableKeyCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  GenerateDataKeyWithoutPlaintextCommand,
  GetKeyPolicyCommand,
  GetPublicKeyCommand,
  KMSClient,
  ListAliasesCommand,
  PutKeyPolicyCommand,
  ReEncryptCommand,
  ScheduleKeyDeletionCommand,
  SignCommand,
  type SigningAlgorithmSpec,
  VerifyCommand,
} from "@aws-sdk/client-kms";
import { describe, expect, test } from "vitest";
import { digestOf } from "../src/kms/signing.ts";
import { kms as kmsService } from "../src/services/kms.ts";
import { account, allow, DAY, failure, start } from "./account.ts";

const local = () => {
  const { aws, administrator, role } = account({ kms: kmsService });
  const kms = new KMSClient(administrator);
  const createKey = async (more: CreateKeyCommandInput = {}) => {
    const { KeyMetadata } = await kms.send(new CreateKeyCommand(more));
    return { id: KeyMetadata?.KeyId ?? "", arn: KeyMetadata?.Arn ?? "" };
  };
  const as = async (name: string, statements: readonly object[]) =>
    new KMSClient(await role(name, statements));
  return { aws, kms, createKey, as };
};

const bytes = (text: string) => Buffer.from(text);

describe("encryption", () => {
  test("what was encrypted comes back, whatever names the key", async () => {
    const { kms, createKey } = local();
    const { id, arn } = await createKey();
    await kms.send(new CreateAliasCommand({ AliasName: "alias/app/one", TargetKeyId: id }));
    const alias = "arn:aws:kms:us-east-1:000000000000:alias/app/one";
    for (const Plaintext of [bytes("x"), bytes("ünï 🎉"), Buffer.alloc(4096, 255)])
      for (const KeyId of [id, arn, "alias/app/one", alias]) {
        const sealed = await kms.send(new EncryptCommand({ KeyId, Plaintext }));
        expect(sealed.KeyId).toBe(arn);
        const { CiphertextBlob } = sealed;
        const opened = await kms.send(new DecryptCommand({ CiphertextBlob }));
        expect(Buffer.from(opened.Plaintext ?? []).equals(Plaintext)).toBe(true);
        expect(opened.KeyId).toBe(arn);
      }
  });

  test("a ciphertext opens with its own encryption context and no other, in any order", async () => {
    const { kms, createKey } = local();
    const { id } = await createKey();
    const { CiphertextBlob } = await kms.send(
      new EncryptCommand({
        KeyId: id,
        Plaintext: bytes("x"),
        EncryptionContext: { grant: "g1", b: "2" },
      }),
    );
    const open = (EncryptionContext?: Record<string, string>) =>
      failure(
        kms.send(
          new DecryptCommand({ CiphertextBlob, ...(EncryptionContext && { EncryptionContext }) }),
        ),
      );
    expect(await open({ b: "2", grant: "g1" })).toBe("no error");
    for (const other of [
      undefined,
      {},
      { grant: "g1" },
      { grant: "g2", b: "2" },
      { grant: "g1", b: "2", c: "" },
    ])
      expect(await open(other)).toBe("InvalidCiphertextException 400");
  });

  test("a ciphertext changed in any byte, cut or made up does not open", async () => {
    const { kms, createKey } = local();
    const { id } = await createKey();
    const other = await createKey();
    const { CiphertextBlob = new Uint8Array() } = await kms.send(
      new EncryptCommand({ KeyId: id, Plaintext: bytes("secret") }),
    );
    const open = (blob: Uint8Array, KeyId?: string) =>
      failure(kms.send(new DecryptCommand({ CiphertextBlob: blob, ...(KeyId && { KeyId }) })));
    for (let index = 0; index < CiphertextBlob.length; index += 1) {
      const changed = Uint8Array.from(CiphertextBlob);
      changed[index] = (changed[index] ?? 0) ^ 1;
      expect(await open(changed)).toMatch(/^(InvalidCiphertext|AccessDenied)Exception 400$/);
    }
    expect(await open(CiphertextBlob.slice(0, 20))).toBe("InvalidCiphertextException 400");
    expect(await open(bytes("nonsense"))).toBe("InvalidCiphertextException 400");
    expect(await open(CiphertextBlob, other.id)).toBe("IncorrectKeyException 400");
    expect(await open(CiphertextBlob, id)).toBe("no error");
  });

  test("a plaintext has 1 to 4,096 bytes", async () => {
    const { kms, createKey } = local();
    const { id } = await createKey();
    const encrypt = (size: number) =>
      failure(kms.send(new EncryptCommand({ KeyId: id, Plaintext: Buffer.alloc(size) })));
    expect(await encrypt(0)).toBe("ValidationException 400");
    expect(await encrypt(4096)).toBe("no error");
    expect(await encrypt(4097)).toBe("ValidationException 400");
  });

  test("a data key comes in the clear and sealed, or sealed alone", async () => {
    const { kms, createKey } = local();
    const { id } = await createKey();
    const EncryptionContext = { a: "1" };
    for (const [size, length] of [
      [{ KeySpec: "AES_256" }, 32],
      [{ KeySpec: "AES_128" }, 16],
      [{ NumberOfBytes: 100 }, 100],
    ] as const) {
      const made = await kms.send(
        new GenerateDataKeyCommand({ KeyId: id, EncryptionContext, ...size }),
      );
      expect(made.Plaintext).toHaveLength(length);
      const { CiphertextBlob } = made;
      const { Plaintext } = await kms.send(
        new DecryptCommand({ CiphertextBlob, EncryptionContext }),
      );
      expect(Plaintext).toEqual(made.Plaintext);
    }
    const sealed = await kms.send(
      new GenerateDataKeyWithoutPlaintextCommand({ KeyId: id, KeySpec: "AES_256" }),
    );
    expect(sealed).not.toHaveProperty("Plaintext");
    expect(await failure(kms.send(new GenerateDataKeyCommand({ KeyId: id })))).toBe(
      "ValidationException 400",
    );
    expect(
      await failure(
        kms.send(new GenerateDataKeyCommand({ KeyId: id, KeySpec: "AES_256", NumberOfBytes: 1 })),
      ),
    ).toBe("ValidationException 400");
  });

  test("re-encryption moves a text to another key and context", async () => {
    const { kms, createKey } = local();
    const [one, two] = [await createKey(), await createKey()];
    const { CiphertextBlob } = await kms.send(
      new EncryptCommand({ KeyId: one.id, Plaintext: bytes("x") }),
    );
    const moved = await kms.send(
      new ReEncryptCommand({
        CiphertextBlob,
        DestinationKeyId: two.id,
        DestinationEncryptionContext: { a: "1" },
      }),
    );
    expect(moved).toMatchObject({ SourceKeyId: one.arn, KeyId: two.arn });
    const opened = await kms.send(
      new DecryptCommand({
        CiphertextBlob: moved.CiphertextBlob,
        KeyId: two.id,
        EncryptionContext: { a: "1" },
      }),
    );
    expect(Buffer.from(opened.Plaintext ?? []).toString()).toBe("x");
  });
});

describe("signatures", () => {
  const specs = [
    [
      "RSA_2048",
      [
        "RSASSA_PKCS1_V1_5_SHA_256",
        "RSASSA_PSS_SHA_256",
        "RSASSA_PSS_SHA_384",
        "RSASSA_PSS_SHA_512",
        "RSASSA_PKCS1_V1_5_SHA_384",
        "RSASSA_PKCS1_V1_5_SHA_512",
      ],
    ],
    ["RSA_3072", ["RSASSA_PSS_SHA_256"]],
    ["ECC_NIST_P256", ["ECDSA_SHA_256"]],
  ] as const;
  const hashOf = (algorithm: SigningAlgorithmSpec) =>
    `sha${algorithm.slice(-3)}` as "sha256" | "sha384" | "sha512";

  for (const [KeySpec, algorithms] of specs)
    test(`of ${KeySpec} keys verify here and with node:crypto, over messages and digests`, async () => {
      const { kms, createKey } = local();
      const { id: KeyId } = await createKey({ KeySpec, KeyUsage: "SIGN_VERIFY" });
      const published = await kms.send(new GetPublicKeyCommand({ KeyId }));
      expect(published).toMatchObject({ KeySpec, KeyUsage: "SIGN_VERIFY" });
      const key = createPublicKey({
        key: Buffer.from(published.PublicKey ?? []),
        format: "der",
        type: "spki",
      });
      const message = bytes("what is signed ünï");
      for (const SigningAlgorithm of algorithms) {
        const hash = hashOf(SigningAlgorithm);
        const digest = digestOf(hash, message);
        for (const input of [
          { Message: message, MessageType: "RAW" },
          { Message: digest, MessageType: "DIGEST" },
        ] as const) {
          const { Signature = new Uint8Array() } = await kms.send(
            new SignCommand({ KeyId, SigningAlgorithm, ...input }),
          );
          const padding = SigningAlgorithm.includes("PSS")
            ? {
                padding: constants.RSA_PKCS1_PSS_PADDING,
                saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
              }
            : {};
          expect(verify(hash, message, { key, ...padding }, Signature)).toBe(true);
          const check = (more: object) =>
            failure(
              kms.send(
                new VerifyCommand({ KeyId, SigningAlgorithm, Signature, ...input, ...more }),
              ),
            );
          expect(await check({})).toBe("no error");
          expect(await check({ Message: message, MessageType: "RAW" })).toBe("no error");
          expect(await check({ Message: bytes("other"), MessageType: "RAW" })).toBe(
            "KMSInvalidSignatureException 400",
          );
          for (const at of [0, 5, Signature.length - 1]) {
            const changed = Uint8Array.from(Signature);
            changed[at] = (changed[at] ?? 0) ^ 1;
            expect(await check({ Signature: changed })).toBe("KMSInvalidSignatureException 400");
          }
          expect(await check({ Signature: Signature.slice(1) })).toBe(
            "KMSInvalidSignatureException 400",
          );
        }
        expect(
          await failure(
            kms.send(
              new SignCommand({
                KeyId,
                SigningAlgorithm,
                Message: digest.subarray(1),
                MessageType: "DIGEST",
              }),
            ),
          ),
        ).toBe("ValidationException 400");
      }
    });

  test("go with the key's usage, spec and message size", async () => {
    const { kms, createKey } = local();
    const signing = await createKey({ KeySpec: "ECC_NIST_P256", KeyUsage: "SIGN_VERIFY" });
    const sealing = await createKey();
    const sign = (KeyId: string, SigningAlgorithm: SigningAlgorithmSpec, Message = bytes("x")) =>
      failure(kms.send(new SignCommand({ KeyId, SigningAlgorithm, Message })));
    expect(await sign(signing.id, "ECDSA_SHA_256")).toBe("no error");
    expect(await sign(signing.id, "RSASSA_PSS_SHA_256")).toBe("InvalidKeyUsageException 400");
    expect(await sign(sealing.id, "ECDSA_SHA_256")).toBe("InvalidKeyUsageException 400");
    expect(await sign(signing.id, "ECDSA_SHA_256", Buffer.alloc(4097))).toBe(
      "ValidationException 400",
    );
    expect(
      await failure(kms.send(new EncryptCommand({ KeyId: signing.id, Plaintext: bytes("x") }))),
    ).toBe("InvalidKeyUsageException 400");
    expect(await failure(createKey({ KeySpec: "ECC_NIST_P256" }))).toBe("ValidationException 400");
    expect(await failure(createKey({ KeySpec: "HMAC_256", KeyUsage: "GENERATE_VERIFY_MAC" }))).toBe(
      "ValidationException 400",
    );
  });

  test("P-256 signatures of many messages are all good DER", async () => {
    const { kms, createKey } = local();
    const { id: KeyId } = await createKey({ KeySpec: "ECC_NIST_P256", KeyUsage: "SIGN_VERIFY" });
    const { PublicKey = new Uint8Array() } = await kms.send(new GetPublicKeyCommand({ KeyId }));
    const key = createPublicKey({ key: Buffer.from(PublicKey), format: "der", type: "spki" });
    for (let index = 0; index < 50; index += 1) {
      const { Signature = new Uint8Array() } = await kms.send(
        new SignCommand({
          KeyId,
          SigningAlgorithm: "ECDSA_SHA_256",
          Message: bytes(String(index)),
        }),
      );
      expect(createVerify("sha256").update(String(index)).verify(key, Signature)).toBe(true);
    }
  });
});

describe("a key's life", () => {
  test("a disabled key does nothing until it is enabled", async () => {
    const { kms, createKey } = local();
    const { id: KeyId } = await createKey();
    const encrypt = () => failure(kms.send(new EncryptCommand({ KeyId, Plaintext: bytes("x") })));
    await kms.send(new DisableKeyCommand({ KeyId }));
    expect(await encrypt()).toBe("DisabledException 400");
    const { KeyMetadata } = await kms.send(new DescribeKeyCommand({ KeyId }));
    expect(KeyMetadata).toMatchObject({ Enabled: false, KeyState: "Disabled" });
    await kms.send(new EnableKeyCommand({ KeyId }));
    expect(await encrypt()).toBe("no error");
  });

  test("a key to be deleted is unusable at once, and gone when its date has come", async () => {
    const { aws, kms, createKey } = local();
    const { id: KeyId } = await createKey();
    await kms.send(new CreateAliasCommand({ AliasName: "alias/a", TargetKeyId: KeyId }));
    const { CiphertextBlob } = await kms.send(new EncryptCommand({ KeyId, Plaintext: bytes("x") }));
    const decrypt = () => failure(kms.send(new DecryptCommand({ CiphertextBlob })));
    const schedule = (PendingWindowInDays: number) =>
      kms.send(new ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays }));
    expect(await failure(schedule(6))).toBe("ValidationException 400");
    expect((await schedule(7)).DeletionDate).toEqual(new Date(start + 7 * DAY));
    expect(await decrypt()).toBe("KMSInvalidStateException 400");
    expect(await failure(schedule(7))).toBe("KMSInvalidStateException 400");
    expect(await failure(kms.send(new EnableKeyCommand({ KeyId })))).toBe(
      "KMSInvalidStateException 400",
    );
    await kms.send(new CancelKeyDeletionCommand({ KeyId }));
    expect(await decrypt()).toBe("DisabledException 400");
    await kms.send(new EnableKeyCommand({ KeyId }));
    expect(await decrypt()).toBe("no error");
    await schedule(7);
    await aws.advance(7 * DAY);
    expect(await decrypt()).toBe("AccessDeniedException 400");
    expect(await failure(kms.send(new DescribeKeyCommand({ KeyId })))).toBe(
      "NotFoundException 400",
    );
    expect(await failure(kms.send(new DescribeKeyCommand({ KeyId: "alias/a" })))).toBe(
      "NotFoundException 400",
    );
  });

  test("aliases are unique, well formed, and listed by page", async () => {
    const { kms, createKey } = local();
    const [one, two] = [await createKey(), await createKey()];
    const alias = (AliasName: string, TargetKeyId = one.id) =>
      failure(kms.send(new CreateAliasCommand({ AliasName, TargetKeyId })));
    for (const name of ["alias/a", "alias/b", "alias/c"])
      expect(await alias(name)).toBe("no error");
    expect(await alias("alias/d", two.id)).toBe("no error");
    expect(await alias("alias/a", two.id)).toBe("AlreadyExistsException 400");
    expect(await alias("alias/x", "alias/a")).toBe("InvalidArnException 400");
    for (const bad of ["a", "alias/", "alias/a b", "alias/aws/s3"])
      expect(await alias(bad)).toBe("InvalidAliasNameException 400");
    const first = await kms.send(new ListAliasesCommand({ Limit: 3 }));
    expect(first).toMatchObject({ Truncated: true });
    const rest = await kms.send(new ListAliasesCommand({ Limit: 3, Marker: first.NextMarker }));
    expect(
      [...(first.Aliases ?? []), ...(rest.Aliases ?? [])].map(({ AliasName }) => AliasName),
    ).toEqual(["alias/a", "alias/b", "alias/c", "alias/d"]);
    const { Aliases } = await kms.send(new ListAliasesCommand({ KeyId: two.arn }));
    expect(Aliases).toMatchObject([{ AliasName: "alias/d", TargetKeyId: two.id }]);
  });

  test("keys that are not there, and parameters that are not known, are refused", async () => {
    const { aws, kms, createKey } = local();
    await createKey();
    for (const KeyId of [
      "00000000-0000-4000-8000-000000000000",
      "alias/none",
      "arn:aws:kms:eu-west-1:000000000000:key/x",
      "constructor",
    ])
      expect(await failure(kms.send(new EncryptCommand({ KeyId, Plaintext: bytes("x") })))).toBe(
        "NotFoundException 400",
      );
    expect(await failure(kms.send(new DescribeKeyCommand({ KeyId: "arn:aws:s3:::x" })))).toBe(
      "InvalidArnException 400",
    );
    const { id: KeyId } = await createKey();
    expect(
      await failure(kms.send(new EncryptCommand({ KeyId, Plaintext: bytes("x"), DryRun: true }))),
    ).toBe("ValidationException 400");
    expect(await failure(createKey({ Tags: [{ TagKey: "a", TagValue: "b" }] }))).toBe(
      "ValidationException 400",
    );
    expect(aws.errors).toEqual([]);
  });

  test("the same seed gives the same ids and secrets", async () => {
    const run = async () => {
      const { kms, createKey } = local();
      const { id: KeyId } = await createKey();
      const { Plaintext } = await kms.send(
        new GenerateDataKeyCommand({ KeyId, KeySpec: "AES_256" }),
      );
      const signer = await createKey({ KeySpec: "ECC_NIST_P256", KeyUsage: "SIGN_VERIFY" });
      const { Signature } = await kms.send(
        new SignCommand({
          KeyId: signer.id,
          SigningAlgorithm: "ECDSA_SHA_256",
          Message: bytes("x"),
        }),
      );
      return { KeyId, Plaintext, Signature };
    };
    expect(await run()).toEqual(await run());
  });
});

describe("permissions", () => {
  test("the default key policy leaves it to the account's own policies", async () => {
    const { kms, createKey, as } = local();
    const { id: KeyId, arn } = await createKey();
    const { CiphertextBlob } = await kms.send(new EncryptCommand({ KeyId, Plaintext: bytes("x") }));
    const reader = await as("reader", [allow("kms:Decrypt", arn)]);
    const nobody = await as("nobody", []);
    expect(await failure(reader.send(new DecryptCommand({ CiphertextBlob })))).toBe("no error");
    expect(await failure(reader.send(new EncryptCommand({ KeyId, Plaintext: bytes("x") })))).toBe(
      "AccessDeniedException 400",
    );
    expect(await failure(nobody.send(new DecryptCommand({ CiphertextBlob })))).toBe(
      "AccessDeniedException 400",
    );
    expect(await failure(nobody.send(new CreateKeyCommand({})))).toBe("AccessDeniedException 400");
  });

  test("a key policy that does not name the account shuts out the account's own policies", async () => {
    const { kms, createKey, as } = local();
    const one = await as("one", []);
    const two = await as("two", [allow("kms:*", "*")]);
    const Policy = JSON.stringify({
      Version: "2012-10-17",
      Statement: [
        {
          Effect: "Allow",
          Principal: { AWS: "arn:aws:iam::000000000000:role/one" },
          Action: "kms:*",
          Resource: "*",
        },
      ],
    });
    const { id: KeyId } = await createKey({ Policy });
    expect(await failure(one.send(new EncryptCommand({ KeyId, Plaintext: bytes("x") })))).toBe(
      "no error",
    );
    expect(await failure(two.send(new EncryptCommand({ KeyId, Plaintext: bytes("x") })))).toBe(
      "AccessDeniedException 400",
    );
    expect(await failure(kms.send(new EncryptCommand({ KeyId, Plaintext: bytes("x") })))).toBe(
      "AccessDeniedException 400",
    );
    const open = Policy.replace(":role/one", ":root");
    await one.send(new PutKeyPolicyCommand({ KeyId, Policy: open }));
    expect((await two.send(new GetKeyPolicyCommand({ KeyId }))).Policy).toBe(open);
    expect(await failure(kms.send(new PutKeyPolicyCommand({ KeyId, Policy: "{" })))).toBe(
      "MalformedPolicyDocumentException 400",
    );
  });

  test("conditions see the encryption context and the alias", async () => {
    const { kms, createKey, as } = local();
    const { id: KeyId, arn } = await createKey();
    await kms.send(new CreateAliasCommand({ AliasName: "alias/a", TargetKeyId: KeyId }));
    const one = await as("one", [
      allow("kms:Encrypt", arn, { StringEquals: { "kms:EncryptionContext:grant": "g1" } }),
      allow("kms:GenerateDataKey", arn, { StringEquals: { "kms:RequestAlias": "alias/a" } }),
      allow("kms:Decrypt", arn, {
        StringEquals: { "kms:ViaService": "ssm.us-east-1.amazonaws.com" },
      }),
    ]);
    const encrypt = (EncryptionContext?: Record<string, string>) =>
      one.send(
        new EncryptCommand({
          KeyId,
          Plaintext: bytes("x"),
          ...(EncryptionContext && { EncryptionContext }),
        }),
      );
    const { CiphertextBlob } = await encrypt({ grant: "g1" });
    expect(await failure(encrypt({ grant: "g2" }))).toBe("AccessDeniedException 400");
    expect(await failure(encrypt())).toBe("AccessDeniedException 400");
    const dataKey = (id: string) =>
      failure(one.send(new GenerateDataKeyCommand({ KeyId: id, KeySpec: "AES_256" })));
    expect(await dataKey("alias/a")).toBe("no error");
    expect(await dataKey(KeyId)).toBe("AccessDeniedException 400");
    expect(
      await failure(
        one.send(new DecryptCommand({ CiphertextBlob, EncryptionContext: { grant: "g1" } })),
      ),
    ).toBe("AccessDeniedException 400");
  });
});
