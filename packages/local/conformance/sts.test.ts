import {
  CreateRoleCommand,
  DeleteRoleCommand,
  DeleteRolePolicyCommand,
  GetRoleCommand,
  IAMClient,
  PutRolePolicyCommand,
} from "@aws-sdk/client-iam";
import {
  AssumeRoleCommand,
  type AssumeRoleCommandInput,
  GetCallerIdentityCommand,
  STSClient,
} from "@aws-sdk/client-sts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Endpoint, endpoint, eventually, refusal } from "./endpoint.ts";

let at: Endpoint;
let sts: STSClient;
let iam: IAMClient;
let RoleName = "";
let RoleArn = "";
const document = (Statement: object) => JSON.stringify({ Version: "2012-10-17", Statement });
beforeAll(async () => {
  at = await endpoint();
  sts = new STSClient(at.client);
  iam = new IAMClient(at.client);
  RoleName = at.unique("role");
  const { Role } = await iam.send(
    new CreateRoleCommand({
      RoleName,
      MaxSessionDuration: 3600,
      AssumeRolePolicyDocument: document({
        Effect: "Allow",
        Principal: { AWS: `arn:aws:iam::${at.place.account}:root` },
        Action: ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
      }),
    }),
  );
  RoleArn = Role?.Arn ?? "";
  await iam.send(
    new PutRolePolicyCommand({
      RoleName,
      PolicyName: "own",
      PolicyDocument: document({ Effect: "Allow", Action: "iam:GetRole", Resource: "*" }),
    }),
  );
  // IAM spreads a new role in its own time.
  await eventually(() => refusal(assume({})), "none");
}, 90_000);
afterAll(async () => {
  await iam.send(new DeleteRolePolicyCommand({ RoleName, PolicyName: "own" }));
  await iam.send(new DeleteRoleCommand({ RoleName }));
  await at.close();
});

const assume = (more: Partial<AssumeRoleCommandInput>) =>
  sts.send(new AssumeRoleCommand({ RoleArn, RoleSessionName: "conformance", ...more }));
const holding = async (more: Partial<AssumeRoleCommandInput>) => {
  const { Credentials: of } = await assume(more);
  if (
    of?.AccessKeyId === undefined ||
    of.SecretAccessKey === undefined ||
    of.SessionToken === undefined
  )
    throw new Error("no credentials");
  return {
    ...at.client,
    credentials: {
      accessKeyId: of.AccessKeyId,
      secretAccessKey: of.SecretAccessKey,
      sessionToken: of.SessionToken,
    },
  };
};

test("a session is called by its role and its name", async () => {
  const { Credentials, AssumedRoleUser, SourceIdentity } = await assume({
    SourceIdentity: "g0123",
  });
  expect(Credentials?.AccessKeyId).toMatch(/^ASIA/);
  expect(AssumedRoleUser?.Arn).toBe(
    `arn:aws:sts::${at.place.account}:assumed-role/${RoleName}/conformance`,
  );
  expect(SourceIdentity).toBe("g0123");
  const who = await new STSClient(await holding({})).send(new GetCallerIdentityCommand({}));
  expect(who).toMatchObject({ Account: at.place.account, Arn: AssumedRoleUser?.Arn });
});

test("a session lasts as long as was asked for", async () => {
  const { Credentials } = await assume({ DurationSeconds: 900 });
  const left = (Credentials?.Expiration?.getTime() ?? 0) - Date.now();
  expect(left).toBeGreaterThan(800_000);
  expect(left).toBeLessThanOrEqual(960_000);
});

test("a session policy narrows, and never widens", async () => {
  const none = document({ Effect: "Allow", Action: "s3:ListAllMyBuckets", Resource: "*" });
  const read = async (more: Partial<AssumeRoleCommandInput>) =>
    refusal(new IAMClient(await holding(more)).send(new GetRoleCommand({ RoleName })));
  await eventually(() => read({}), "none");
  expect(await read({ Policy: none })).toMatch(/^AccessDenied/);
});

describe("AssumeRole refuses", () => {
  const tags = (count: number) =>
    Array.from({ length: count }, (_, n) => ({ Key: `key${n}`, Value: "x" }));
  test.each<[string, Partial<AssumeRoleCommandInput>, RegExp]>([
    ["less than fifteen minutes", { DurationSeconds: 899 }, /^ValidationError 400$/],
    ["more than the role's maximum", { DurationSeconds: 3601 }, /^ValidationError 400$/],
    ["a session name of one character", { RoleSessionName: "x" }, /^ValidationError 400$/],
    ["a session name of other characters", { RoleSessionName: "a b" }, /^ValidationError 400$/],
    [
      "a session name of 65 characters",
      { RoleSessionName: "x".repeat(65) },
      /^ValidationError 400$/,
    ],
    ["a source identity of other characters", { SourceIdentity: "a/b" }, /^ValidationError 400$/],
    ["a source identity that begins with aws:", { SourceIdentity: "aws:x" }, /400$/],
    ["51 tags", { Tags: tags(51) }, /^ValidationError 400$/],
    [
      "a tag twice, in whatever case",
      {
        Tags: [
          { Key: "Team", Value: "a" },
          { Key: "team", Value: "b" },
        ],
      },
      /400$/,
    ],
    ["a tag of AWS's own", { Tags: [{ Key: "aws:team", Value: "a" }] }, /400$/],
    ["a policy that is not JSON", { Policy: "{" }, /^MalformedPolicyDocument(Exception)? 400$/],
    [
      "a policy without an effect",
      { Policy: document({ Action: "*", Resource: "*" }) },
      /^MalformedPolicyDocument(Exception)? 400$/,
    ],
    [
      "a policy over 2,048 characters",
      { Policy: document({ Effect: "Allow", Action: "*", Resource: "x".repeat(2_048) }) },
      /^(ValidationError|PackedPolicyTooLarge(Exception)?) 400$/,
    ],
  ])("%s", async (_, more, expected) => {
    expect(await refusal(assume(more))).toMatch(expected);
  });

  test("a role that is not there, in the same words as one that does not let the caller in", async () => {
    const call = assume({ RoleArn: `arn:aws:iam::${at.place.account}:role/${at.unique("none")}` });
    expect(await refusal(call)).toBe("AccessDenied 403");
  });
});

test("a session of a session lasts an hour at most, and keeps its source identity", async () => {
  const name = at.unique("chain");
  const arn = `arn:aws:iam::${at.place.account}:role/${name}`;
  await iam.send(
    new CreateRoleCommand({
      RoleName: name,
      MaxSessionDuration: 7_200,
      AssumeRolePolicyDocument: document({
        Effect: "Allow",
        Principal: { AWS: `arn:aws:iam::${at.place.account}:root` },
        Action: ["sts:AssumeRole", "sts:SetSourceIdentity"],
      }),
    }),
  );
  await iam.send(
    new PutRolePolicyCommand({
      RoleName: name,
      PolicyName: "own",
      PolicyDocument: document({ Effect: "Allow", Action: "sts:*", Resource: arn }),
    }),
  );
  const first = { RoleArn: arn, SourceIdentity: "g0123", DurationSeconds: 3_601 };
  await eventually(() => refusal(assume(first)), "none");
  const chained = new STSClient(await holding(first));
  const again = (more: Partial<AssumeRoleCommandInput>) =>
    chained.send(new AssumeRoleCommand({ RoleArn: arn, RoleSessionName: "again", ...more }));
  await eventually(() => refusal(again({ DurationSeconds: 3_600 })), "none");
  expect(await refusal(again({ DurationSeconds: 3_601 }))).toMatch(/^ValidationError 400$/);
  expect((await again({})).SourceIdentity).toBe("g0123");
  expect(await refusal(again({ SourceIdentity: "g4567" }))).toBe("AccessDenied 403");
  await iam.send(new DeleteRolePolicyCommand({ RoleName: name, PolicyName: "own" }));
  await iam.send(new DeleteRoleCommand({ RoleName: name }));
}, 200_000);

test("signatures: an unknown key, a wrong secret and a wrong session token are told apart", async () => {
  const good = (await holding({})).credentials;
  const ask = (credentials: object) =>
    refusal(
      new STSClient({ ...at.client, credentials: { ...good, ...credentials } }).send(
        new GetCallerIdentityCommand({}),
      ),
    );
  expect(await ask({ accessKeyId: "ASIAXXXXXXXXXXXXXXXX" })).toMatch(/^InvalidClientTokenId 403$/);
  expect(await ask({ secretAccessKey: "x".repeat(40) })).toBe("SignatureDoesNotMatch 403");
  expect(await ask({ sessionToken: "nonsense" })).toMatch(/^InvalidClientTokenId 403$/);
});
