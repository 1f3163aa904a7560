/** The operations on keys themselves: their life, their policies, their aliases. */
import { z } from "zod";
import { parsePolicy } from "../iam/policy.ts";
import { pageOf } from "../page.ts";
import { AwsError, operation } from "../service.ts";
import { keyId } from "./input.ts";
import {
  aliasArn,
  checkLive,
  createKey,
  defaultPolicy,
  findKey,
  type Key,
  type Keyring,
  keyById,
  keyCheck,
  signingNames,
  usageOf,
} from "./keys.ts";

const DAY = 86_400_000;
const SPECS = ["SYMMETRIC_DEFAULT", "RSA_2048", "RSA_3072", "RSA_4096", "ECC_NIST_P256"] as const;

const stateOf = (key: Key): string =>
  key.deletionAt !== undefined ? "PendingDeletion" : key.enabled ? "Enabled" : "Disabled";

const metadata = ({ world }: Keyring, key: Key) => {
  const { spec } = key.material;
  return {
    AWSAccountId: world.account,
    KeyId: key.id,
    Arn: key.arn,
    CreationDate: new Date(key.createdAt),
    Enabled: stateOf(key) === "Enabled",
    Description: key.description,
    KeyUsage: usageOf(key),
    KeyState: stateOf(key),
    DeletionDate: key.deletionAt === undefined ? undefined : new Date(key.deletionAt),
    Origin: "AWS_KMS",
    KeyManager: key.manager,
    CustomerMasterKeySpec: spec,
    KeySpec: spec,
    ...(spec === "SYMMETRIC_DEFAULT"
      ? { EncryptionAlgorithms: ["SYMMETRIC_DEFAULT"] }
      : { SigningAlgorithms: signingNames(spec) }),
    MultiRegion: false,
  };
};

const checkPolicy = (text: string): void => {
  try {
    parsePolicy(text, "resource");
  } catch (error) {
    throw error instanceof AwsError
      ? new AwsError("MalformedPolicyDocumentException", error.message)
      : error;
  }
};

/** The operations on keys themselves. */
export const keyOperations = (ring: Keyring) => {
  const { world, aliases } = ring;
  /** An operation that needs its own permission on one key, which may not be named by an alias. */
  const onKey = (action: string, run: (key: Key) => object | undefined) =>
    operation({
      input: z.strictObject({ KeyId: keyId }),
      authorize: ({ KeyId }) => [keyCheck(ring, action, findKey(ring, KeyId, "key only"))],
      run: ({ KeyId }) => run(findKey(ring, KeyId, "key only")),
    });
  const policyName = z.literal("default").optional();
  return {
    CreateKey: operation({
      input: z.strictObject({
        Description: z.string().max(8192).optional(),
        KeyUsage: z.enum(["ENCRYPT_DECRYPT", "SIGN_VERIFY"]).optional(),
        KeySpec: z.enum(SPECS).optional(),
        CustomerMasterKeySpec: z.enum(SPECS).optional(),
        Origin: z.literal("AWS_KMS").optional(),
        MultiRegion: z.literal(false).optional(),
        Policy: z.string().min(1).max(32_768).optional(),
        BypassPolicyLockoutSafetyCheck: z.boolean().optional(),
      }),
      authorize: (input) => [
        {
          action: "kms:CreateKey",
          resource: "*",
          context: {
            "kms:CallerAccount": world.account,
            "kms:KeySpec": input.KeySpec ?? "SYMMETRIC_DEFAULT",
            "kms:KeyUsage": input.KeyUsage ?? "ENCRYPT_DECRYPT",
            "kms:KeyOrigin": "AWS_KMS",
          },
        },
      ],
      async run(input) {
        const spec = input.KeySpec ?? input.CustomerMasterKeySpec ?? "SYMMETRIC_DEFAULT";
        const usage = spec === "SYMMETRIC_DEFAULT" ? "ENCRYPT_DECRYPT" : "SIGN_VERIFY";
        // AWS wants the usage said for all but symmetric keys; RSA keys that encrypt are not made here.
        if ((input.KeyUsage ?? "ENCRYPT_DECRYPT") !== usage)
          throw new AwsError(
            "ValidationException",
            `KeyUsage ${input.KeyUsage ?? "ENCRYPT_DECRYPT"} is not compatible with KeySpec ${spec}`,
          );
        const policy = input.Policy ?? defaultPolicy(world.account);
        checkPolicy(policy);
        const description = input.Description ?? "";
        return {
          KeyMetadata: metadata(ring, await createKey(ring, { spec, description, policy })),
        };
      },
    }),
    DescribeKey: operation({
      input: z.strictObject({ KeyId: keyId }),
      authorize: ({ KeyId }) => [
        keyCheck(ring, "DescribeKey", findKey(ring, KeyId), { named: KeyId }),
      ],
      run: ({ KeyId }) => ({ KeyMetadata: metadata(ring, findKey(ring, KeyId)) }),
    }),
    EnableKey: onKey("EnableKey", (key) => {
      checkLive(key);
      key.enabled = true;
      return undefined;
    }),
    DisableKey: onKey("DisableKey", (key) => {
      checkLive(key);
      key.enabled = false;
      return undefined;
    }),
    ScheduleKeyDeletion: operation({
      input: z.strictObject({
        KeyId: keyId,
        PendingWindowInDays: z.int().min(7).max(30).default(30),
      }),
      authorize: ({ KeyId, PendingWindowInDays }) => [
        keyCheck(ring, "ScheduleKeyDeletion", findKey(ring, KeyId, "key only"), {
          more: { "kms:ScheduleKeyDeletionPendingWindowInDays": String(PendingWindowInDays) },
        }),
      ],
      run({ KeyId, PendingWindowInDays }) {
        const key = findKey(ring, KeyId, "key only");
        checkLive(key);
        key.deletionAt = world.clock.now() + PendingWindowInDays * DAY;
        return {
          KeyId: key.arn,
          DeletionDate: new Date(key.deletionAt),
          KeyState: stateOf(key),
          PendingWindowInDays,
        };
      },
    }),
    CancelKeyDeletion: onKey("CancelKeyDeletion", (key) => {
      if (key.deletionAt === undefined)
        throw new AwsError("KMSInvalidStateException", `${key.arn} is not pending deletion.`);
      delete key.deletionAt;
      key.enabled = false;
      return { KeyId: key.arn };
    }),
    GetKeyPolicy: operation({
      input: z.strictObject({ KeyId: keyId, PolicyName: policyName }),
      authorize: ({ KeyId }) => [keyCheck(ring, "GetKeyPolicy", findKey(ring, KeyId, "key only"))],
      run: ({ KeyId }) => ({
        Policy: findKey(ring, KeyId, "key only").policy,
        PolicyName: "default",
      }),
    }),
    PutKeyPolicy: operation({
      input: z.strictObject({
        KeyId: keyId,
        PolicyName: policyName,
        Policy: z.string().min(1).max(32_768),
        BypassPolicyLockoutSafetyCheck: z.boolean().optional(),
      }),
      authorize: ({ KeyId }) => [keyCheck(ring, "PutKeyPolicy", findKey(ring, KeyId, "key only"))],
      run({ KeyId, Policy }) {
        checkPolicy(Policy);
        findKey(ring, KeyId, "key only").policy = Policy;
      },
    }),
    CreateAlias: operation({
      input: z.strictObject({ AliasName: z.string().max(256), TargetKeyId: keyId }),
      authorize: ({ AliasName, TargetKeyId }) => [
        {
          action: "kms:CreateAlias",
          resource: aliasArn(world, AliasName),
          context: { "kms:CallerAccount": world.account },
        },
        keyCheck(ring, "CreateAlias", findKey(ring, TargetKeyId, "key only")),
      ],
      run({ AliasName, TargetKeyId }) {
        if (!/^alias\/[a-zA-Z0-9/_-]+$/.test(AliasName) || AliasName.startsWith("alias/aws/"))
          throw new AwsError("InvalidAliasNameException", `Alias name ${AliasName} is not valid`);
        if (aliases.has(AliasName))
          throw new AwsError(
            "AlreadyExistsException",
            `An alias with the name ${aliasArn(world, AliasName)} already exists`,
          );
        const key = findKey(ring, TargetKeyId, "key only");
        checkLive(key);
        aliases.set(AliasName, key.id);
      },
    }),
    ListAliases: operation({
      input: z.strictObject({
        KeyId: keyId.optional(),
        Limit: z.int().min(1).max(100).default(50),
        Marker: z.string().optional(),
      }),
      authorize: () => [
        {
          action: "kms:ListAliases",
          resource: "*",
          context: { "kms:CallerAccount": world.account },
        },
      ],
      run({ KeyId, Limit, Marker }) {
        const of = KeyId === undefined ? undefined : findKey(ring, KeyId, "key only").id;
        const shown = [...aliases].filter(([, id]) => keyById(ring, id) && (of ?? id) === id);
        const { page, nextToken } = pageOf(shown, ([name]) => name, Marker, Limit);
        return {
          Aliases: page.map(([AliasName, TargetKeyId]) => ({
            AliasName,
            AliasArn: aliasArn(world, AliasName),
            TargetKeyId,
          })),
          NextMarker: nextToken,
          Truncated: nextToken !== undefined,
        };
      },
    }),
  };
};
