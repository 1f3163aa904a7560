/** KMS and SSM, whose SecureStrings are sealed by it. */
import {
  CreateKeyCommand,
  DecryptCommand,
  DescribeKeyCommand,
  DisableKeyCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  GetPublicKeyCommand,
  KMSClient,
  ScheduleKeyDeletionCommand,
  SignCommand,
  VerifyCommand,
} from "@aws-sdk/client-kms";
import {
  DeleteParameterCommand,
  GetParameterCommand,
  PutParameterCommand,
  SSMClient,
} from "@aws-sdk/client-ssm";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Endpoint, endpoint, refusal } from "./endpoint.ts";

let at: Endpoint;
let kms: KMSClient;
let ssm: SSMClient;
let KeyId = "";
let signing = "";
const made: string[] = [];
beforeAll(async () => {
  at = await endpoint();
  kms = new KMSClient(at.client);
  ssm = new SSMClient(at.client);
  const create = async (more: object) =>
    (await kms.send(new CreateKeyCommand({ Description: at.unique("key"), ...more }))).KeyMetadata
      ?.KeyId ?? "";
  KeyId = await create({});
  signing = await create({ KeySpec: "ECC_NIST_P256", KeyUsage: "SIGN_VERIFY" });
});
afterAll(async () => {
  for (const key of [KeyId, signing])
    await kms.send(new ScheduleKeyDeletionCommand({ KeyId: key, PendingWindowInDays: 7 }));
  for (const Name of made) await ssm.send(new DeleteParameterCommand({ Name }));
  await at.close();
});

describe("KMS", () => {
  const EncryptionContext = { grant: "g0123" };
  const Plaintext = Buffer.from("secret");

  test("opens what it sealed, under the same context alone", async () => {
    const { CiphertextBlob } = await kms.send(
      new EncryptCommand({ KeyId, Plaintext, EncryptionContext }),
    );
    const open = (context: Record<string, string> | undefined) =>
      kms.send(
        new DecryptCommand({
          CiphertextBlob,
          ...(context === undefined ? {} : { EncryptionContext: context }),
        }),
      );
    expect(Buffer.from((await open(EncryptionContext)).Plaintext ?? [])).toEqual(Plaintext);
    expect(await refusal(open({ grant: "other" }))).toBe("InvalidCiphertextException 400");
    expect(await refusal(open(undefined))).toBe("InvalidCiphertextException 400");
    const changed = Uint8Array.from(CiphertextBlob ?? []);
    changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1;
    const call = kms.send(
      new DecryptCommand({ CiphertextBlob: changed, EncryptionContext, KeyId }),
    );
    expect(await refusal(call)).toBe("InvalidCiphertextException 400");
  });

  test("makes data keys, of which it opens the sealed half", async () => {
    const { Plaintext: key, CiphertextBlob } = await kms.send(
      new GenerateDataKeyCommand({ KeyId, KeySpec: "AES_256" }),
    );
    expect(key).toHaveLength(32);
    expect((await kms.send(new DecryptCommand({ CiphertextBlob }))).Plaintext).toEqual(key);
  });

  test("signs with a key that is for that, and verifies", async () => {
    const sign = {
      KeyId: signing,
      Message: Buffer.from("digest"),
      SigningAlgorithm: "ECDSA_SHA_256" as const,
    };
    const { Signature } = await kms.send(new SignCommand(sign));
    const verify = (Message: Buffer) =>
      kms.send(new VerifyCommand({ ...sign, Message, Signature }));
    expect((await verify(sign.Message)).SignatureValid).toBe(true);
    expect(await refusal(verify(Buffer.from("other")))).toBe("KMSInvalidSignatureException 400");
    expect((await kms.send(new GetPublicKeyCommand({ KeyId: signing }))).KeySpec).toBe(
      "ECC_NIST_P256",
    );
    expect(await refusal(kms.send(new SignCommand({ ...sign, KeyId })))).toMatch(
      /^(InvalidKeyUsageException|ValidationException|UnsupportedOperationException) 400$/,
    );
    expect(await refusal(kms.send(new EncryptCommand({ KeyId: signing, Plaintext })))).toMatch(
      /^(InvalidKeyUsageException|ValidationException) 400$/,
    );
  });

  test("does nothing with a key that is disabled or not there", async () => {
    const { KeyMetadata } = await kms.send(
      new CreateKeyCommand({ Description: at.unique("disabled") }),
    );
    const own = KeyMetadata?.KeyId;
    await kms.send(new DisableKeyCommand({ KeyId: own }));
    expect(await refusal(kms.send(new EncryptCommand({ KeyId: own, Plaintext })))).toBe(
      "DisabledException 400",
    );
    await kms.send(new ScheduleKeyDeletionCommand({ KeyId: own, PendingWindowInDays: 7 }));
    expect(await refusal(kms.send(new EncryptCommand({ KeyId: own, Plaintext })))).toBe(
      "KMSInvalidStateException 400",
    );
    const none = new DescribeKeyCommand({ KeyId: "00000000-0000-0000-0000-000000000000" });
    expect(await refusal(kms.send(none))).toBe("NotFoundException 400");
  });

  test("seals 4,096 bytes at most", async () => {
    const call = kms.send(new EncryptCommand({ KeyId, Plaintext: Buffer.alloc(4_097) }));
    expect(await refusal(call)).toBe("ValidationException 400");
  });
});

describe("SSM", () => {
  const put = async (more: object = {}) => {
    const Name = `/${at.unique("parameter")}/key`;
    await ssm.send(
      new PutParameterCommand({ Name, Value: "secret", Type: "SecureString", KeyId, ...more }),
    );
    made.push(Name);
    return Name;
  };

  test("opens a SecureString for who asks for that, and counts its versions", async () => {
    const Name = await put();
    const get = async (WithDecryption: boolean) =>
      (await ssm.send(new GetParameterCommand({ Name, WithDecryption }))).Parameter;
    expect(await get(true)).toMatchObject({ Value: "secret", Type: "SecureString", Version: 1 });
    expect((await get(false))?.Value).not.toContain("secret");
    const again = (Overwrite: boolean) =>
      refusal(
        ssm.send(
          new PutParameterCommand({ Name, Value: "new", Type: "SecureString", KeyId, Overwrite }),
        ),
      );
    expect(await again(false)).toBe("ParameterAlreadyExists 400");
    expect(await again(true)).toBe("none");
    expect(await get(true)).toMatchObject({ Value: "new", Version: 2 });
    const old = await ssm.send(
      new GetParameterCommand({ Name: `${Name}:1`, WithDecryption: true }),
    );
    expect(old.Parameter?.Value).toBe("secret");
  });

  test("says which parameter is not there", async () => {
    const call = ssm.send(new GetParameterCommand({ Name: `/${at.unique("none")}` }));
    expect(await refusal(call)).toBe("ParameterNotFound 400");
  });

  test.each([
    ["more than 4 KB", { Value: "x".repeat(4_097) }],
    ["no value", { Value: "" }],
    ["a name of AWS's own", { Name: "/aws/own" }],
    ["a name with a space", { Name: "/a b" }],
  ])("refuses %s", async (_, more) => {
    const Name = `/${at.unique("bad")}`;
    const call = ssm.send(new PutParameterCommand({ Name, Value: "x", Type: "String", ...more }));
    expect(await refusal(call)).toMatch(/ 400$/);
  });
});
