import {
  AttachRolePolicyCommand,
  CreatePolicyCommand,
  CreatePolicyVersionCommand,
  CreateRoleCommand,
  DeletePolicyCommand,
  DeleteRoleCommand,
  DeleteRolePermissionsBoundaryCommand,
  DeleteRolePolicyCommand,
  DetachRolePolicyCommand,
  GetPolicyCommand,
  GetRoleCommand,
  GetRolePolicyCommand,
  IAMClient,
  ListAttachedRolePoliciesCommand,
  ListRolePoliciesCommand,
  ListRolesCommand,
  ListUsersCommand,
  PutRolePermissionsBoundaryCommand,
  PutRolePolicyCommand,
  TagRoleCommand,
  UpdateAssumeRolePolicyCommand,
} from "@aws-sdk/client-iam";
import { describe, expect, test } from "vitest";
import {
  ACCOUNT,
  allowAll,
  arnOf,
  createAccount,
  document,
  errorName,
  START,
  trust,
} from "./kernel-account.ts";

const put = (RoleName: string, PolicyName: string, PolicyDocument: string) =>
  new PutRolePolicyCommand({ RoleName, PolicyName, PolicyDocument });
const ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess";

/** A policy of exactly `size` characters, not counting white space. */
const sized = (size: number) => {
  const rest =
    size - document({ Effect: "Allow", Action: "s3:*", Resource: "arn:aws:s3:::" }).length;
  return document({
    Effect: "Allow",
    Action: "s3:*",
    Resource: `arn:aws:s3:::${"x".repeat(rest)}`,
  });
};

describe("roles", () => {
  test("are read back as they were created", async () => {
    const { iam } = createAccount();
    const created = await iam.send(
      new CreateRoleCommand({
        RoleName: "orders",
        Path: "/stint/",
        AssumeRolePolicyDocument: trust(),
        Description: "a < b & c",
        MaxSessionDuration: 7_200,
        PermissionsBoundary: ADMINISTRATOR,
        Tags: [{ Key: "team", Value: "" }],
      }),
    );
    const { Role } = await iam.send(new GetRoleCommand({ RoleName: "orders" }));
    expect(Role).toEqual(created.Role);
    expect(Role).toMatchObject({
      Arn: arnOf("stint/orders"),
      Path: "/stint/",
      Description: "a < b & c",
      MaxSessionDuration: 7_200,
      CreateDate: new Date(START),
      PermissionsBoundary: { PermissionsBoundaryArn: ADMINISTRATOR },
      Tags: [{ Key: "team", Value: "" }],
    });
    expect(Role?.RoleId).toMatch(/^AROA[A-Z2-7]{17}$/);
    expect(decodeURIComponent(Role?.AssumeRolePolicyDocument ?? "")).toBe(trust());
  });

  test("are listed page by page, below a path", async () => {
    const { iam, role } = createAccount();
    for (const name of ["c", "a", "b"]) await role(name, { Path: "/stint/" });
    await role("other");
    const first = await iam.send(new ListRolesCommand({ PathPrefix: "/stint/", MaxItems: 2 }));
    const second = await iam.send(
      new ListRolesCommand({ PathPrefix: "/stint/", MaxItems: 2, Marker: first.Marker }),
    );
    expect(first.Roles?.map(({ RoleName }) => RoleName)).toEqual(["a", "b"]);
    expect(first.IsTruncated).toBe(true);
    expect(second.Roles?.map(({ RoleName }) => RoleName)).toEqual(["c"]);
    expect(second.IsTruncated).toBe(false);
    expect((await iam.send(new ListRolesCommand({}))).Roles).toHaveLength(4);
  });

  test("exist once per name, and are gone when deleted", async () => {
    const { iam, role } = createAccount();
    await role("a");
    expect(await errorName(role("a"))).toBe("EntityAlreadyExistsException");
    await iam.send(new DeleteRoleCommand({ RoleName: "a" }));
    for (const command of [
      new GetRoleCommand({ RoleName: "a" }),
      new DeleteRoleCommand({ RoleName: "a" }),
    ])
      expect(await errorName(iam.send(command as GetRoleCommand))).toBe("NoSuchEntityException");
    expect(await errorName(role("a"))).toBe("none");
  });

  test("are not deleted while they have policies", async () => {
    const { iam, role } = createAccount();
    const remove = () => errorName(iam.send(new DeleteRoleCommand({ RoleName: "a" })));
    await role("a", { policy: allowAll });
    expect(await remove()).toBe("DeleteConflictException");
    await iam.send(new DeleteRolePolicyCommand({ RoleName: "a", PolicyName: "own" }));
    await iam.send(new AttachRolePolicyCommand({ RoleName: "a", PolicyArn: ADMINISTRATOR }));
    expect(await remove()).toBe("DeleteConflictException");
    await iam.send(new DetachRolePolicyCommand({ RoleName: "a", PolicyArn: ADMINISTRATOR }));
    expect(await remove()).toBe("none");
  });

  test("are tagged by keys that ignore case", async () => {
    const { iam, role } = createAccount();
    await role("a", { Tags: [{ Key: "Team", Value: "red" }] });
    await iam.send(
      new TagRoleCommand({
        RoleName: "a",
        Tags: [
          { Key: "team", Value: "blue" },
          { Key: "x", Value: "" },
        ],
      }),
    );
    const { Role } = await iam.send(new GetRoleCommand({ RoleName: "a" }));
    expect(Role?.Tags).toEqual([
      { Key: "team", Value: "blue" },
      { Key: "x", Value: "" },
    ]);
    const twice = new TagRoleCommand({
      RoleName: "a",
      Tags: [
        { Key: "b", Value: "" },
        { Key: "B", Value: "" },
      ],
    });
    expect(await errorName(iam.send(twice))).toBe("InvalidInputException");
  });

  test.each([
    ["a name with a space", { RoleName: "a b" }, "ValidationError"],
    ["a path that does not end in a slash", { Path: "/stint" }, "ValidationError"],
    [
      "a trust policy that is not JSON",
      { AssumeRolePolicyDocument: "{" },
      "MalformedPolicyDocumentException",
    ],
    [
      "a trust policy without a principal",
      { AssumeRolePolicyDocument: allowAll },
      "MalformedPolicyDocumentException",
    ],
    [
      "a trust policy of 2,049 characters",
      {
        AssumeRolePolicyDocument: trust({
          AWS: Array(30).fill(`arn:aws:sts::${ACCOUNT}:assumed-role/${"r".repeat(40)}/s`),
        }),
      },
      "LimitExceededException",
    ],
    [
      "trust in a role that is not there",
      { AssumeRolePolicyDocument: trust({ AWS: arnOf("nobody") }) },
      "MalformedPolicyDocumentException",
    ],
    [
      "a boundary that is not there",
      { PermissionsBoundary: `arn:aws:iam::${ACCOUNT}:policy/none` },
      "NoSuchEntityException",
    ],
    ["a session of more than 12 hours", { MaxSessionDuration: 43_201 }, "ValidationError"],
  ])("%s is refused", async (_, input, code) => {
    expect(await errorName(createAccount().role("a", input))).toBe(code);
  });
});

describe("inline policies", () => {
  test("are put, read at once, listed and deleted", async () => {
    const { iam, role } = createAccount({ iamDelayMs: 60_000 });
    await role("a");
    await iam.send(put("a", "p", allowAll));
    const read = await iam.send(new GetRolePolicyCommand({ RoleName: "a", PolicyName: "p" }));
    expect(decodeURIComponent(read.PolicyDocument ?? "")).toBe(allowAll);
    expect((await iam.send(new ListRolePoliciesCommand({ RoleName: "a" }))).PolicyNames).toEqual([
      "p",
    ]);
    await iam.send(new DeleteRolePolicyCommand({ RoleName: "a", PolicyName: "p" }));
    for (const command of [
      new GetRolePolicyCommand({ RoleName: "a", PolicyName: "p" }),
      new DeleteRolePolicyCommand({ RoleName: "a", PolicyName: "p" }),
    ])
      expect(await errorName(iam.send(command as GetRolePolicyCommand))).toBe(
        "NoSuchEntityException",
      );
    expect((await iam.send(new ListRolePoliciesCommand({ RoleName: "a" }))).PolicyNames).toEqual(
      [],
    );
  });

  test("hold 10,240 characters in all, white space aside", async () => {
    const { iam, role } = createAccount();
    await role("a");
    await iam.send(put("a", "p", `${sized(10_240)}${" ".repeat(1_000)}`));
    expect(await errorName(iam.send(put("a", "p", sized(10_241))))).toBe("LimitExceededException");
    expect(await errorName(iam.send(put("a", "q", sized(100))))).toBe("LimitExceededException");
    await iam.send(put("a", "p", sized(10_140)));
    expect(await errorName(iam.send(put("a", "q", sized(100))))).toBe("none");
  });

  test("must be policies, of a role that is there", async () => {
    const { iam, role } = createAccount();
    await role("a");
    expect(await errorName(iam.send(put("a", "p", trust())))).toBe(
      "MalformedPolicyDocumentException",
    );
    expect(await errorName(iam.send(put("b", "p", allowAll)))).toBe("NoSuchEntityException");
  });

  test("are in force only when they have spread, and until their end has", async () => {
    const { iam, role, assume, iamAs, aws } = createAccount({ iamDelayMs: 1_000 });
    await role("a");
    expect(await errorName(assume("a"))).toBe("AccessDenied");
    await aws.advance(1_000);
    const keys = await assume("a");
    const tryIt = () => errorName(iamAs(keys).send(new ListRolesCommand({})));
    await iam.send(put("a", "p", allowAll));
    await aws.advance(999);
    expect(await tryIt()).toBe("AccessDenied");
    await aws.advance(1);
    expect(await tryIt()).toBe("none");
    await iam.send(new DeleteRolePolicyCommand({ RoleName: "a", PolicyName: "p" }));
    await aws.advance(999);
    expect(await tryIt()).toBe("none");
    await aws.advance(1);
    expect(await tryIt()).toBe("AccessDenied");
  });

  test("can be put in force at once when an account is set up", async () => {
    const { role, assume, iamAs, aws } = createAccount({ iamDelayMs: 1_000 });
    await role("a", { policy: allowAll });
    aws.iam.spread();
    const keys = await assume("a");
    expect(await errorName(iamAs(keys).send(new ListRolesCommand({})))).toBe("none");
  });

  test("written in a row take effect in a row", async () => {
    const { iam, role, assume, iamAs, aws } = createAccount({ iamDelayMs: 1_000 });
    await role("a");
    await aws.advance(1_000);
    const keys = await assume("a");
    const tryIt = () => errorName(iamAs(keys).send(new ListRolesCommand({})));
    await iam.send(put("a", "p", allowAll));
    await aws.advance(500);
    await iam.send(put("a", "q", document({ Effect: "Deny", Action: "*", Resource: "*" })));
    await aws.advance(500);
    expect(await tryIt()).toBe("none");
    await aws.advance(500);
    expect(await tryIt()).toBe("AccessDenied");
  });
});

describe("managed policies and boundaries", () => {
  test("are created once, attached, listed and detached", async () => {
    const { iam, role, assume, iamAs } = createAccount();
    await role("a");
    const create = () =>
      iam.send(
        new CreatePolicyCommand({ PolicyName: "p", Path: "/stint/", PolicyDocument: allowAll }),
      );
    const arn = (await create()).Policy?.Arn ?? "";
    expect(arn).toBe(`arn:aws:iam::${ACCOUNT}:policy/stint/p`);
    expect(await errorName(create())).toBe("EntityAlreadyExistsException");
    const attach = new AttachRolePolicyCommand({ RoleName: "a", PolicyArn: arn });
    await iam.send(attach);
    await iam.send(attach);
    expect((await iam.send(new GetPolicyCommand({ PolicyArn: arn }))).Policy?.AttachmentCount).toBe(
      1,
    );
    expect(
      (await iam.send(new ListAttachedRolePoliciesCommand({ RoleName: "a" }))).AttachedPolicies,
    ).toEqual([{ PolicyName: "p", PolicyArn: arn }]);
    const keys = await assume("a");
    expect(await errorName(iamAs(keys).send(new ListRolesCommand({})))).toBe("none");
    const detach = new DetachRolePolicyCommand({ RoleName: "a", PolicyArn: arn });
    await iam.send(detach);
    expect(await errorName(iam.send(detach))).toBe("NoSuchEntityException");
    expect(await errorName(iamAs(keys).send(new ListRolesCommand({})))).toBe("AccessDenied");
  });

  test("hold 6,144 characters, and ten of them fit a role", async () => {
    const { iam, role } = createAccount();
    await role("a");
    const create = (PolicyName: string, PolicyDocument: string) =>
      iam.send(new CreatePolicyCommand({ PolicyName, PolicyDocument }));
    expect(await errorName(create("large", sized(6_145)))).toBe("LimitExceededException");
    for (let n = 0; n < 10; n += 1) {
      const { Policy } = await create(`p${n}`, sized(6_144));
      await iam.send(new AttachRolePolicyCommand({ RoleName: "a", PolicyArn: Policy?.Arn }));
    }
    const eleventh = new AttachRolePolicyCommand({ RoleName: "a", PolicyArn: ADMINISTRATOR });
    expect(await errorName(iam.send(eleventh))).toBe("LimitExceededException");
  });

  test("a boundary holds a role until it is taken away", async () => {
    const { iam, role, assume, iamAs } = createAccount();
    await role("a", { policy: allowAll });
    const keys = await assume("a");
    const tryIt = () => iamAs(keys).send(new ListRolesCommand({}));
    const { Policy } = await iam.send(
      new CreatePolicyCommand({
        PolicyName: "b",
        PolicyDocument: document({ Effect: "Allow", Action: "sqs:*", Resource: "*" }),
      }),
    );
    await iam.send(
      new PutRolePermissionsBoundaryCommand({ RoleName: "a", PermissionsBoundary: Policy?.Arn }),
    );
    await expect(tryIt()).rejects.toThrow(
      "because no permissions boundary allows the iam:ListRoles action",
    );
    await iam.send(new DeleteRolePermissionsBoundaryCommand({ RoleName: "a" }));
    expect(await errorName(tryIt())).toBe("none");
    expect(
      await errorName(iam.send(new DeleteRolePermissionsBoundaryCommand({ RoleName: "a" }))),
    ).toBe("NoSuchEntityException");
  });
});

describe("a managed policy", () => {
  const create = async (iam: IAMClient, PolicyDocument = allowAll) =>
    (await iam.send(new CreatePolicyCommand({ PolicyName: "p", PolicyDocument }))).Policy?.Arn;
  const remove = (iam: IAMClient, PolicyArn: string | undefined) =>
    errorName(iam.send(new DeletePolicyCommand({ PolicyArn })));

  test("is not deleted while a role has it or is bound by it, or while it has versions", async () => {
    const { iam, role } = createAccount();
    const PolicyArn = await create(iam);
    await role("a");
    await role("bound", { PermissionsBoundary: PolicyArn });
    await iam.send(new AttachRolePolicyCommand({ RoleName: "a", PolicyArn }));
    expect(await remove(iam, PolicyArn)).toBe("DeleteConflictException");
    await iam.send(new DetachRolePolicyCommand({ RoleName: "a", PolicyArn }));
    expect(await remove(iam, PolicyArn)).toBe("DeleteConflictException");
    await iam.send(new DeleteRolePermissionsBoundaryCommand({ RoleName: "bound" }));
    expect(await remove(iam, PolicyArn)).toBe("none");
    expect(await remove(iam, PolicyArn)).toBe("NoSuchEntityException");
    expect(await errorName(iam.send(new GetPolicyCommand({ PolicyArn })))).toBe(
      "NoSuchEntityException",
    );
    const again = await create(iam);
    await iam.send(new CreatePolicyVersionCommand({ PolicyArn: again, PolicyDocument: allowAll }));
    expect(await remove(iam, again)).toBe("DeleteConflictException");
    expect(await remove(iam, ADMINISTRATOR)).toBe("AccessDenied");
  });

  test("is in force until its end has spread, also where another took its name", async () => {
    const { iam, role, assume, iamAs, aws } = createAccount({ iamDelayMs: 60_000 });
    await role("a");
    const PolicyArn = await create(iam);
    await iam.send(new AttachRolePolicyCommand({ RoleName: "a", PolicyArn }));
    aws.iam.spread();
    const keys = await assume("a");
    const tryIt = () => errorName(iamAs(keys).send(new ListRolesCommand({})));
    expect(await tryIt()).toBe("none");
    await iam.send(new DetachRolePolicyCommand({ RoleName: "a", PolicyArn }));
    await iam.send(new DeletePolicyCommand({ PolicyArn }));
    await aws.advance(59_999);
    expect(await tryIt()).toBe("none");
    await create(iam, document({ Effect: "Allow", Action: "sqs:*", Resource: "*" }));
    expect(await tryIt()).toBe("none");
    await aws.advance(1);
    expect(await tryIt()).toBe("AccessDenied");
  });
});

describe("IAM's own calls are authorized", () => {
  test("a revoker may write inline policies where our boundary is, and nothing else", async () => {
    const { iam, role, assume, iamAs } = createAccount();
    const { Policy } = await iam.send(
      new CreatePolicyCommand({ PolicyName: "StintBoundary", PolicyDocument: allowAll }),
    );
    await role("bounded", { Path: "/stint/", PermissionsBoundary: Policy?.Arn });
    await role("free", { Path: "/stint/" });
    await role("elsewhere", { PermissionsBoundary: Policy?.Arn });
    await role("revoker", {
      policy: document({
        Effect: "Allow",
        Action: ["iam:PutRolePolicy", "iam:GetRolePolicy"],
        Resource: arnOf("stint/*"),
        Condition: {
          ArnEqualsIfExists: { "iam:PermissionsBoundary": Policy?.Arn },
          Null: { "iam:PermissionsBoundary": "false" },
        },
      }),
    });
    const revoker = iamAs(await assume("revoker"));
    expect(await errorName(revoker.send(put("bounded", "StintRevoked", allowAll)))).toBe("none");
    expect(await errorName(revoker.send(put("free", "StintRevoked", allowAll)))).toBe(
      "AccessDenied",
    );
    expect(await errorName(revoker.send(put("elsewhere", "StintRevoked", allowAll)))).toBe(
      "AccessDenied",
    );
    expect(
      await errorName(
        revoker.send(
          new UpdateAssumeRolePolicyCommand({ RoleName: "bounded", PolicyDocument: trust() }),
        ),
      ),
    ).toBe("AccessDenied");
    await expect(revoker.send(new ListRolesCommand({}))).rejects.toThrow(
      `User: arn:aws:sts::${ACCOUNT}:assumed-role/revoker/one is not authorized to perform: iam:ListRoles on resource: * because no identity-based policy allows the iam:ListRoles action`,
    );
  });

  test("over HTTP as in process, and operations that are not known are refused", async () => {
    const { aws } = createAccount();
    const server = await aws.listen(0);
    const iam = new IAMClient({
      region: "us-east-1",
      endpoint: server.url,
      credentials: aws.administrator,
      maxAttempts: 1,
    });
    await iam.send(new CreateRoleCommand({ RoleName: "a", AssumeRolePolicyDocument: trust() }));
    expect((await iam.send(new ListRolesCommand({}))).Roles).toHaveLength(1);
    expect(await errorName(iam.send(new ListUsersCommand({})))).toBe("InvalidAction");
    iam.destroy();
    await server.close();
  });
});
