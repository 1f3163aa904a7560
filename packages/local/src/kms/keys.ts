/** The keys of the account: what they are, how they are found, and whether they may be used now. */
import { AwsError, type Check, type World } from "../service.ts";
import { uuid } from "../uuid.ts";
import type { EncryptionContext } from "./sealing.ts";
import { p256Signer, rsaSigner, SIGNING, type Signer, type SigningName } from "./signing.ts";

export type KeySpec = "SYMMETRIC_DEFAULT" | "RSA_2048" | "RSA_3072" | "RSA_4096" | "ECC_NIST_P256";
export type KeyUsage = "ENCRYPT_DECRYPT" | "SIGN_VERIFY";

/** What a key is made of decides what it can do. */
export type KeyMaterial =
  | { readonly spec: "SYMMETRIC_DEFAULT"; readonly secret: Uint8Array }
  | { readonly spec: Exclude<KeySpec, "SYMMETRIC_DEFAULT">; readonly signer: Signer };

export interface Key {
  readonly id: string;
  readonly arn: string;
  readonly createdAt: number;
  readonly description: string;
  readonly manager: "AWS" | "CUSTOMER";
  readonly material: KeyMaterial;
  policy: string;
  enabled: boolean;
  /** Epoch ms; from then on the key is gone. */
  deletionAt?: number;
}

export interface Keyring {
  readonly world: World;
  readonly keys: Map<string, Key>;
  /** Aliases with what they point to: `alias/name` → key id. */
  readonly aliases: Map<string, string>;
}

export const usageOf = ({ material }: Key): KeyUsage =>
  material.spec === "SYMMETRIC_DEFAULT" ? "ENCRYPT_DECRYPT" : "SIGN_VERIFY";

export const signingNames = (spec: KeySpec): readonly SigningName[] =>
  // The keys of SIGNING are the names, which Object.keys forgets.
  (Object.keys(SIGNING) as SigningName[]).filter((name) =>
    spec.startsWith("ECC") ? SIGNING[name].kind === "ecdsa" : SIGNING[name].kind !== "ecdsa",
  );

export const randomBytes =
  (world: World) =>
  (count: number): Buffer =>
    Buffer.from(world.hex(count), "hex");

const prefix = ({ region, account }: World) => `arn:aws:kms:${region}:${account}:`;

export const keyArn = (world: World, id: string): string => `${prefix(world)}key/${id}`;
export const aliasArn = (world: World, name: string): string => `${prefix(world)}${name}`;

/** A new key lets the account's own policies decide. */
export const defaultPolicy = (account: string): string =>
  JSON.stringify({
    Version: "2012-10-17",
    Id: "key-default-1",
    Statement: [
      {
        Sid: "Enable IAM User Permissions",
        Effect: "Allow",
        Principal: { AWS: `arn:aws:iam::${account}:root` },
        Action: "kms:*",
        Resource: "*",
      },
    ],
  });

const makeMaterial = async (spec: KeySpec, world: World): Promise<KeyMaterial> => {
  const bytes = randomBytes(world);
  if (spec === "SYMMETRIC_DEFAULT") return { spec, secret: bytes(32) };
  if (spec === "ECC_NIST_P256") return { spec, signer: p256Signer(bytes) };
  const bits = { RSA_2048: 2048, RSA_3072: 3072, RSA_4096: 4096 } as const;
  return { spec, signer: await rsaSigner(bits[spec], bytes) };
};

const addKey = (
  ring: Keyring,
  material: KeyMaterial,
  of: Pick<Key, "description" | "manager" | "policy">,
): Key => {
  const id = uuid(ring.world);
  const createdAt = ring.world.clock.now();
  const key: Key = { ...of, id, arn: keyArn(ring.world, id), createdAt, material, enabled: true };
  ring.keys.set(id, key);
  return key;
};

export async function createKey(
  ring: Keyring,
  options: { readonly spec: KeySpec; readonly description: string; readonly policy: string },
): Promise<Key> {
  const { spec, description, policy } = options;
  const material = await makeMaterial(spec, ring.world);
  return addKey(ring, material, { description, policy, manager: "CUSTOMER" });
}

/** The key that AWS keeps for one of its services (`alias/aws/ssm`): for whoever comes through that service. */
export function managedKey(ring: Keyring, service: string): Key {
  const { world } = ring;
  const known = ring.aliases.get(`alias/aws/${service}`);
  const found = known === undefined ? undefined : ring.keys.get(known);
  if (found !== undefined) return found;
  const policy = JSON.stringify({
    Version: "2012-10-17",
    Statement: [
      {
        Effect: "Allow",
        Principal: { AWS: "*" },
        Action: [
          "kms:Encrypt",
          "kms:Decrypt",
          "kms:ReEncrypt*",
          "kms:GenerateDataKey*",
          "kms:DescribeKey",
        ],
        Resource: "*",
        Condition: {
          StringEquals: {
            "kms:ViaService": `${service}.${world.region}.amazonaws.com`,
            "kms:CallerAccount": world.account,
          },
        },
      },
      {
        Effect: "Allow",
        Principal: { AWS: `arn:aws:iam::${world.account}:root` },
        Action: ["kms:Describe*", "kms:Get*", "kms:List*"],
        Resource: "*",
      },
    ],
  });
  const material: KeyMaterial = { spec: "SYMMETRIC_DEFAULT", secret: randomBytes(world)(32) };
  const key = addKey(ring, material, {
    description: `Default key that protects my ${service.toUpperCase()} data when no other key is defined`,
    policy,
    manager: "AWS",
  });
  ring.aliases.set(`alias/aws/${service}`, key.id);
  return key;
}

const notFound = (what: string) => new AwsError("NotFoundException", `${what} does not exist`);

/** A key by its id, which must not be past its deletion. */
export function keyById({ keys, aliases, world }: Keyring, id: string): Key | undefined {
  const key = keys.get(id);
  if (key?.deletionAt === undefined || key.deletionAt > world.clock.now()) return key;
  // Its time has come: it goes when somebody looks, which saves a timer for weeks.
  keys.delete(id);
  for (const [name, target] of aliases) if (target === id) aliases.delete(name);
  return undefined;
}

/**
 * A key by its id, ARN, alias or the alias's ARN.
 * @throws {AwsError} NotFoundException
 */
export function findKey(
  ring: Keyring,
  given: string,
  aliases: "alias" | "key only" = "alias",
): Key {
  const { world } = ring;
  if (given.startsWith("arn:") && !given.startsWith(prefix(world)))
    throw given.startsWith("arn:aws:kms:")
      ? notFound(`Key '${given}'`)
      : new AwsError("InvalidArnException", `Invalid arn ${given}`);
  const name = given.startsWith("arn:") ? given.slice(prefix(world).length) : given;
  if (name.startsWith("alias/")) {
    if (aliases === "key only")
      throw new AwsError("InvalidArnException", `${given} is an alias; this operation takes a key`);
    const id = ring.aliases.get(name);
    const key = id === undefined ? undefined : keyById(ring, id);
    if (key === undefined) throw notFound(`Alias ${aliasArn(world, name)}`);
    return key;
  }
  const id = given.startsWith("arn:") ? name.replace(/^key\//, "") : name;
  const key = keyById(ring, id);
  if (key === undefined) throw notFound(`Key '${keyArn(world, id)}'`);
  return key;
}

const pending = ({ arn }: Key) =>
  new AwsError("KMSInvalidStateException", `${arn} is pending deletion.`);

/** @throws {AwsError} KMSInvalidStateException while the key waits for its deletion. */
export function checkLive(key: Key): void {
  if (key.deletionAt !== undefined) throw pending(key);
}

/** @throws {AwsError} DisabledException, KMSInvalidStateException, or InvalidKeyUsageException. */
export function checkUsable(key: Key, usage: KeyUsage): void {
  checkLive(key);
  if (!key.enabled) throw new AwsError("DisabledException", `${key.arn} is disabled.`);
  if (usageOf(key) !== usage)
    throw new AwsError(
      "InvalidKeyUsageException",
      `${key.arn} key usage is ${usageOf(key)} which is not valid for this operation.`,
    );
}

/** What a request tells the policies beside its action. */
export interface Asked {
  readonly encryptionContext?: EncryptionContext | undefined;
  /** The service through which it came, as `ssm.us-east-1.amazonaws.com`. */
  readonly viaService?: string;
  /** The key as the caller named it. */
  readonly named?: string | undefined;
  readonly more?: Readonly<Record<string, string>>;
}

/** One permission on a key, with KMS's condition keys. */
export function keyCheck(ring: Keyring, action: string, key: Key, asked: Asked = {}): Check {
  const { account } = ring.world;
  const context: Record<string, string | readonly string[]> = {
    "kms:CallerAccount": account,
    "kms:KeySpec": key.material.spec,
    "kms:KeyUsage": usageOf(key),
    "kms:KeyOrigin": "AWS_KMS",
    "kms:MultiRegion": "false",
    ...asked.more,
  };
  const pairs = Object.entries(asked.encryptionContext ?? {});
  for (const [name, value] of pairs) context[`kms:EncryptionContext:${name}`] = value;
  if (pairs.length > 0) context["kms:EncryptionContextKeys"] = pairs.map(([name]) => name);
  if (asked.viaService !== undefined) context["kms:ViaService"] = asked.viaService;
  const alias = asked.named?.match(/alias\/.+$/)?.[0];
  if (alias !== undefined) context["kms:RequestAlias"] = alias;
  const aliases = [...ring.aliases].filter(([, id]) => id === key.id).map(([name]) => name);
  if (aliases.length > 0) context["kms:ResourceAliases"] = aliases;
  return { action: `kms:${action}`, resource: key.arn, context, resourcePolicy: key.policy };
}
