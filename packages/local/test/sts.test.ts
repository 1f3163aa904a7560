import {
  CreatePolicyCommand,
  DeleteRoleCommand,
  ListRolesCommand,
  PutRolePolicyCommand,
  UpdateAssumeRolePolicyCommand,
} from "@aws-sdk/client-iam";
import {
  AssumeRoleCommand,
  GetCallerIdentityCommand,
  GetSessionTokenCommand,
} from "@aws-sdk/client-sts";
import { describe, expect, test } from "vitest";
import {
  ACCOUNT,
  allowAll,
  arnOf,
  createAccount,
  document,
  errorName,
  ROOT,
  START,
  trust,
} from "./kernel-account.ts";

const MINUTE = 60_000;
const listRoles = new ListRolesCommand({});
const whoAmI = new GetCallerIdentityCommand({});

describe("assuming a role", () => {
  test("gives keys that sign as the session, until they expire by the local clock", async () => {
    const { role, assume, stsAs, iamAs, aws } = createAccount();
    await role("app", { policy: allowAll });
    const keys = await assume("app", { DurationSeconds: 900 });
    expect(keys.expiration.getTime()).toBe(START + 15 * MINUTE);
    const who = await stsAs(keys).send(whoAmI);
    expect(who.Arn).toBe(`arn:aws:sts::${ACCOUNT}:assumed-role/app/one`);
    expect(who.UserId).toMatch(/^AROA[A-Z2-7]{17}:one$/);
    expect(await errorName(iamAs(keys).send(listRoles))).toBe("none");
    await aws.advance(15 * MINUTE - 1);
    expect(await errorName(iamAs(keys).send(listRoles))).toBe("none");
    await aws.advance(1);
    expect(await errorName(iamAs(keys).send(listRoles))).toBe("ExpiredToken");
    expect(await errorName(stsAs(keys).send(whoAmI))).toBe("ExpiredToken");
  });

  test("a session is named without its role's path", async () => {
    const { role, assume, stsAs } = createAccount();
    await role("orders", { Path: "/stint/" });
    const keys = await assume("stint/orders");
    const who = await stsAs(keys).send(whoAmI);
    expect(who.Arn).toBe(`arn:aws:sts::${ACCOUNT}:assumed-role/orders/one`);
  });

  test("keys without their token, or with another's, are no keys", async () => {
    const { role, assume, stsAs } = createAccount();
    await role("app");
    const { accessKeyId, secretAccessKey } = await assume("app");
    const other = await assume("app");
    const sessionToken = other.sessionToken ?? "";
    expect(await errorName(stsAs({ accessKeyId, secretAccessKey }).send(whoAmI))).toBe(
      "InvalidClientTokenId",
    );
    expect(
      await errorName(stsAs({ accessKeyId, secretAccessKey, sessionToken }).send(whoAmI)),
    ).toBe("InvalidClientTokenId");
  });

  test("a role that is not there and one that does not trust the caller are refused alike", async () => {
    const { role, assume } = createAccount();
    await role("broker", { policy: allowAll });
    await role("app", { AssumeRolePolicyDocument: trust({ Service: "lambda.amazonaws.com" }) });
    const keys = await assume("broker");
    expect(await errorName(assume("app", {}, keys))).toBe("AccessDenied");
    expect(await errorName(assume("nobody", {}, keys))).toBe("AccessDenied");
  });

  test("trust in the account needs the caller's own policy, trust in its role does not", async () => {
    const { role, assume, iam } = createAccount();
    await role("broker");
    await role("app");
    const broker = await assume("broker");
    expect(await errorName(assume("app", {}, broker))).toBe("AccessDenied");
    const PolicyDocument = trust({ AWS: arnOf("broker") });
    await iam.send(new UpdateAssumeRolePolicyCommand({ RoleName: "app", PolicyDocument }));
    expect(await errorName(assume("app", {}, broker))).toBe("none");
  });

  test("trust in the account is met by a policy that allows it", async () => {
    const { role, assume } = createAccount();
    const policy = document({ Effect: "Allow", Action: "sts:AssumeRole", Resource: arnOf("app") });
    await role("broker", { policy });
    await role("app");
    await role("other");
    const broker = await assume("broker");
    expect(await errorName(assume("app", {}, broker))).toBe("none");
    expect(await errorName(assume("other", {}, broker))).toBe("AccessDenied");
    expect(await errorName(assume("app", { SourceIdentity: "g1" }, broker))).toBe("AccessDenied");
    expect(await errorName(assume("app", { Tags: [{ Key: "a", Value: "b" }] }, broker))).toBe(
      "AccessDenied",
    );
  });

  test("a source identity and tags need trust of their own", async () => {
    const { role, assume, iam } = createAccount();
    const only = document({ Effect: "Allow", Principal: { AWS: ROOT }, Action: "sts:AssumeRole" });
    await role("app", { AssumeRolePolicyDocument: only });
    expect(await errorName(assume("app"))).toBe("none");
    expect(await errorName(assume("app", { SourceIdentity: "g1" }))).toBe("AccessDenied");
    expect(await errorName(assume("app", { Tags: [{ Key: "a", Value: "b" }] }))).toBe(
      "AccessDenied",
    );
    await iam.send(new UpdateAssumeRolePolicyCommand({ RoleName: "app", PolicyDocument: trust() }));
    const both = { SourceIdentity: "g1", Tags: [{ Key: "a", Value: "b" }] };
    expect((await assume("app", both)).answer).toMatchObject({ SourceIdentity: "g1" });
  });

  test.each([
    [
      { StringEquals: { "sts:SourceIdentity": "g1" } },
      { SourceIdentity: "g1" },
      { SourceIdentity: "g2" },
    ],
    [
      { StringLike: { "sts:RoleSessionName": "g*" } },
      { RoleSessionName: "g1" },
      { RoleSessionName: "h1" },
    ],
    [{ StringEquals: { "sts:ExternalId": "x/1" } }, { ExternalId: "x/1" }, {}],
    [
      { StringEquals: { "aws:RequestTag/team": "red" } },
      { Tags: [{ Key: "team", Value: "red" }] },
      { Tags: [{ Key: "team", Value: "blue" }] },
    ],
    [
      { "ForAllValues:StringEquals": { "aws:TagKeys": ["team"] } },
      { Tags: [{ Key: "team", Value: "x" }] },
      {
        Tags: [
          { Key: "team", Value: "x" },
          { Key: "b", Value: "x" },
        ],
      },
    ],
    [{ StringEquals: { "aws:ResourceTag/env": "it" } }, {}, undefined],
  ])("a trust policy may ask for %j", async (Condition, good, bad) => {
    const { role, assume } = createAccount();
    await role("app", {
      AssumeRolePolicyDocument: trust({ AWS: ROOT }, { Condition }),
      Tags: [{ Key: "env", Value: "it" }],
    });
    expect(await errorName(assume("app", good))).toBe("none");
    if (bad !== undefined) expect(await errorName(assume("app", bad))).toBe("AccessDenied");
  });

  const tags = (count: number) =>
    Array.from({ length: count }, (_, n) => ({ Key: `k${n}`, Value: "v" }));
  test.each([
    ["a duration under 900 s", { DurationSeconds: 899 }, "ValidationError"],
    ["a duration beyond the role's", { DurationSeconds: 3_601 }, "ValidationError"],
    ["a session name of one letter", { RoleSessionName: "a" }, "ValidationError"],
    ["a session name of 65 letters", { RoleSessionName: "a".repeat(65) }, "ValidationError"],
    ["a session name with a slash", { RoleSessionName: "a/b" }, "ValidationError"],
    ["a source identity with a colon", { SourceIdentity: "aws:g1" }, "ValidationError"],
    ["a session policy that is not JSON", { Policy: "{" }, "MalformedPolicyDocumentException"],
    ["a session policy with a principal", { Policy: trust() }, "MalformedPolicyDocumentException"],
    ["a session policy of 2,049 characters", { Policy: allowAll.padEnd(2_049) }, "ValidationError"],
    ["51 tags", { Tags: tags(51) }, "ValidationError"],
    [
      "a tag key of 129 letters",
      { Tags: [{ Key: "k".repeat(129), Value: "" }] },
      "ValidationError",
    ],
    [
      "a tag value of 257 letters",
      { Tags: [{ Key: "k", Value: "v".repeat(257) }] },
      "ValidationError",
    ],
    [
      "two tags that differ in case only",
      {
        Tags: [
          { Key: "a", Value: "" },
          { Key: "A", Value: "" },
        ],
      },
      "InvalidParameterValue",
    ],
    ["a transitive key that is no tag", { TransitiveTagKeys: ["a"] }, "InvalidParameterValue"],
    [
      "11 managed policies",
      {
        PolicyArns: Array.from({ length: 11 }, () => ({
          arn: "arn:aws:iam::aws:policy/AdministratorAccess",
        })),
      },
      "ValidationError",
    ],
    [
      "a managed policy that is not there",
      { PolicyArns: [{ arn: "arn:aws:iam::aws:policy/Nothing" }] },
      "InvalidParameterValue",
    ],
    [
      "a parameter that is not known here",
      { SerialNumber: "arn:aws:iam::0:mfa/x", TokenCode: "123456" },
      "ValidationError",
    ],
  ])("%s is refused", async (_, input, code) => {
    const { role, assume } = createAccount();
    await role("app");
    expect(await errorName(assume("app", input))).toBe(code);
  });

  test("what is just within the limits is accepted", async () => {
    const { role, assume } = createAccount();
    await role("app", { MaxSessionDuration: 43_200 });
    const { answer } = await assume("app", {
      DurationSeconds: 43_200,
      RoleSessionName: "ab",
      SourceIdentity: "a".repeat(64),
      Policy: allowAll.padEnd(2_048),
      Tags: tags(50),
      TransitiveTagKeys: ["K1"],
    });
    expect(answer).toMatchObject({ PackedPolicySize: expect.any(Number) });
  });

  test("what cannot be packed is refused", async () => {
    const { role, assume, aws } = createAccount();
    await role("app");
    const Tags = Array.from({ length: 50 }, (_, n) => ({
      Key: `k${n}`,
      Value: aws.world.hex(128),
    }));
    expect(await errorName(assume("app", { Tags }))).toBe("PackedPolicyTooLargeException");
  });
});

describe("chains of sessions", () => {
  test("last an hour at most", async () => {
    const { role, assume } = createAccount();
    await role("broker", { policy: allowAll });
    await role("app", { MaxSessionDuration: 43_200 });
    const broker = await assume("broker");
    expect(await errorName(assume("app", { DurationSeconds: 3_600 }, broker))).toBe("none");
    await expect(assume("app", { DurationSeconds: 3_601 }, broker)).rejects.toThrow(
      "1 hour session limit",
    );
  });

  test("keep their source identity, and cannot change it", async () => {
    const { role, assume } = createAccount();
    await role("broker", { policy: allowAll });
    await role("app");
    const broker = await assume("broker", { SourceIdentity: "g1" });
    expect((await assume("app", {}, broker)).answer).toMatchObject({ SourceIdentity: "g1" });
    expect(await errorName(assume("app", { SourceIdentity: "g1" }, broker))).toBe("none");
    expect(await errorName(assume("app", { SourceIdentity: "g2" }, broker))).toBe("AccessDenied");
  });

  test("hand down transitive tags alone, which cannot be set again", async () => {
    const { role, assume, iamAs } = createAccount();
    await role("broker", { policy: allowAll });
    const tagged = (key: string) => ({
      Effect: "Allow",
      Action: "iam:ListRoles",
      Resource: "*",
      Condition: { StringEquals: { [`aws:PrincipalTag/${key}`]: "1" } },
    });
    await role("sees-a", { policy: document(tagged("a")) });
    await role("sees-b", { policy: document(tagged("b")) });
    const Tags = [
      { Key: "a", Value: "1" },
      { Key: "b", Value: "1" },
    ];
    const broker = await assume("broker", { Tags, TransitiveTagKeys: ["A"] });
    expect(await errorName(iamAs(await assume("sees-a", {}, broker)).send(listRoles))).toBe("none");
    expect(await errorName(iamAs(await assume("sees-b", {}, broker)).send(listRoles))).toBe(
      "AccessDenied",
    );
    expect(await errorName(assume("sees-a", { Tags: [{ Key: "a", Value: "2" }] }, broker))).toBe(
      "InvalidParameterValue",
    );
  });
});

describe("what a session may do", () => {
  test("is what its role and its session policies both allow", async () => {
    const { role, assume, iam, iamAs } = createAccount();
    await role("app", { policy: allowAll });
    const nothing = document({ Effect: "Allow", Action: "sqs:*", Resource: "*" });
    const { Policy } = await iam.send(
      new CreatePolicyCommand({ PolicyName: "none", PolicyDocument: nothing }),
    );
    const managed = [{ arn: Policy?.Arn ?? "" }];
    expect(await errorName(iamAs(await assume("app", { Policy: nothing })).send(listRoles))).toBe(
      "AccessDenied",
    );
    expect(
      await errorName(iamAs(await assume("app", { PolicyArns: managed })).send(listRoles)),
    ).toBe("AccessDenied");
    const both = await assume("app", { PolicyArns: managed, Policy: allowAll });
    expect(await errorName(iamAs(both).send(listRoles))).toBe("none");
  });

  test("ends exactly at the time that its session policy denies from", async () => {
    const { role, assume, iamAs, stsAs, aws } = createAccount();
    await role("app", { policy: allowAll });
    const end = new Date(START + 2 * MINUTE).toISOString();
    const keys = await assume("app", {
      Policy: document(
        { Effect: "Allow", Action: "*", Resource: "*" },
        {
          Effect: "Deny",
          Action: "*",
          Resource: "*",
          Condition: { DateGreaterThanEquals: { "aws:CurrentTime": end } },
        },
      ),
    });
    await aws.advance(2 * MINUTE - 1);
    expect(await errorName(iamAs(keys).send(listRoles))).toBe("none");
    await aws.advance(1);
    await expect(iamAs(keys).send(listRoles)).rejects.toThrow(
      `User: arn:aws:sts::${ACCOUNT}:assumed-role/app/one is not authorized to perform: iam:ListRoles on resource: * with an explicit deny in a session policy`,
    );
    // The one call that AWS answers to a dead session.
    expect(await errorName(stsAs(keys).send(whoAmI))).toBe("none");
  });

  test("ends for one source identity when the role's policy denies it, once that has spread", async () => {
    const { role, assume, iam, iamAs, aws } = createAccount({ iamDelayMs: 1_000 });
    await role("app", { policy: allowAll });
    await aws.advance(1_000);
    const [one, two] = [
      await assume("app", { SourceIdentity: "g1" }),
      await assume("app", { SourceIdentity: "g2" }),
    ];
    const PolicyDocument = document({
      Effect: "Deny",
      Action: "*",
      Resource: "*",
      Condition: { StringEquals: { "aws:SourceIdentity": ["g1"] } },
    });
    await iam.send(
      new PutRolePolicyCommand({ RoleName: "app", PolicyName: "StintRevoked", PolicyDocument }),
    );
    await aws.advance(999);
    expect(await errorName(iamAs(one).send(listRoles))).toBe("none");
    await aws.advance(1);
    await expect(iamAs(one).send(listRoles)).rejects.toThrow(
      "with an explicit deny in an identity-based policy",
    );
    expect(await errorName(iamAs(two).send(listRoles))).toBe("none");
  });

  test("ends at a watermark for sessions issued before its second", async () => {
    const { role, assume, iam, iamAs, aws } = createAccount();
    await role("app", { policy: allowAll });
    const old = await assume("app");
    await aws.advance(5_500);
    const mark = new Date(START + 5_000).toISOString();
    const PolicyDocument = document({
      Effect: "Deny",
      Action: "*",
      Resource: "*",
      Condition: { DateLessThan: { "aws:TokenIssueTime": mark } },
    });
    await iam.send(
      new PutRolePolicyCommand({ RoleName: "app", PolicyName: "Watermark", PolicyDocument }),
    );
    const young = await assume("app");
    expect(await errorName(iamAs(old).send(listRoles))).toBe("AccessDenied");
    expect(await errorName(iamAs(young).send(listRoles))).toBe("none");
  });

  test("ends with its role, also when another takes the name", async () => {
    const { role, assume, iam, stsAs } = createAccount();
    await role("app");
    const keys = await assume("app");
    await iam.send(new DeleteRoleCommand({ RoleName: "app" }));
    expect(await errorName(stsAs(keys).send(whoAmI))).toBe("InvalidClientTokenId");
    await role("app");
    expect(await errorName(stsAs(keys).send(whoAmI))).toBe("InvalidClientTokenId");
  });
});

test("an AWS service gets a role's credentials only where the role trusts it", async () => {
  const { role, stsAs, aws } = createAccount();
  await role("fn", { AssumeRolePolicyDocument: trust({ Service: "lambda.amazonaws.com" }) });
  await role("app");
  const keys = aws.credentialsFor(arnOf("fn"), "broker");
  expect((await stsAs(keys).send(whoAmI)).Arn).toBe(
    `arn:aws:sts::${ACCOUNT}:assumed-role/fn/broker`,
  );
  expect(() => aws.credentialsFor(arnOf("app"), "broker")).toThrow("must be allowed to assume");
});

test("other operations of STS are not known", async () => {
  const { stsAs, aws } = createAccount();
  const sts = stsAs(aws.administrator);
  expect(await errorName(sts.send(new GetSessionTokenCommand({})))).toBe("InvalidAction");
  expect(
    await errorName(sts.send(new AssumeRoleCommand({ RoleArn: "short", RoleSessionName: "one" }))),
  ).toBe("ValidationError");
});
