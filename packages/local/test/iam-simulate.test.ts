/** Versions of managed policies, and what IAM says of a role's permissions without a request. */
import {
  AttachRolePolicyCommand,
  CreatePolicyCommand,
  CreatePolicyVersionCommand,
  CreateRoleCommand,
  GetPolicyCommand,
  GetPolicyVersionCommand,
  GetRoleCommand,
  type IAMClient,
  ListPolicyVersionsCommand,
  PutRolePermissionsBoundaryCommand,
  PutRolePolicyCommand,
  SimulatePrincipalPolicyCommand,
  UpdateRoleCommand,
} from "@aws-sdk/client-iam";
import { describe, expect, test } from "vitest";
import { ACCOUNT, createAccount, document, errorName, trust } from "./kernel-account.ts";

const read = document({ Effect: "Allow", Action: "s3:GetObject", Resource: "*" });
const write = document({ Effect: "Allow", Action: "s3:PutObject", Resource: "*" });
const PolicyArn = `arn:aws:iam::${ACCOUNT}:policy/orders`;
const ROLE = `arn:aws:iam::${ACCOUNT}:role/orders`;

async function orders(iam: IAMClient) {
  await iam.send(new CreatePolicyCommand({ PolicyName: "orders", PolicyDocument: read }));
  await iam.send(new CreateRoleCommand({ RoleName: "orders", AssumeRolePolicyDocument: trust() }));
}

const decisions = async (
  iam: IAMClient,
  actions: string[],
  resource = "arn:aws:s3:::orders/x",
  context: Readonly<Record<string, string>> = {},
) => {
  const { EvaluationResults = [] } = await iam.send(
    new SimulatePrincipalPolicyCommand({
      PolicySourceArn: ROLE,
      ActionNames: actions,
      ResourceArns: [resource],
      ContextEntries: Object.entries(context).map(([ContextKeyName, value]) => ({
        ContextKeyName,
        ContextKeyType: "string",
        ContextKeyValues: [value],
      })),
    }),
  );
  return EvaluationResults.map(({ EvalDecision }) => EvalDecision);
};

describe("versions of a managed policy", () => {
  test("are read back, and one of them is in force", async () => {
    const { iam } = createAccount();
    await orders(iam);
    const { PolicyVersion } = await iam.send(
      new CreatePolicyVersionCommand({ PolicyArn, PolicyDocument: write }),
    );
    expect(PolicyVersion).toMatchObject({ VersionId: "v2", IsDefaultVersion: false });
    const { Policy } = await iam.send(new GetPolicyCommand({ PolicyArn }));
    expect(Policy?.DefaultVersionId).toBe("v1");
    await iam.send(
      new CreatePolicyVersionCommand({ PolicyArn, PolicyDocument: write, SetAsDefault: true }),
    );
    const { Versions } = await iam.send(new ListPolicyVersionsCommand({ PolicyArn }));
    expect(
      Versions?.map(({ VersionId, IsDefaultVersion }) => [VersionId, IsDefaultVersion]),
    ).toEqual([
      ["v1", false],
      ["v2", false],
      ["v3", true],
    ]);
    const first = await iam.send(new GetPolicyVersionCommand({ PolicyArn, VersionId: "v1" }));
    expect(decodeURIComponent(first.PolicyVersion?.Document ?? "")).toBe(read);
    const missing = new GetPolicyVersionCommand({ PolicyArn, VersionId: "v9" });
    expect(await errorName(iam.send(missing))).toBe("NoSuchEntityException");
  });

  test("are five at most, and each is a policy", async () => {
    const { iam } = createAccount();
    await orders(iam);
    const more = (PolicyDocument: string) =>
      iam.send(new CreatePolicyVersionCommand({ PolicyArn, PolicyDocument }));
    expect(await errorName(more("{}"))).toBe("MalformedPolicyDocumentException");
    for (let version = 2; version <= 5; version += 1) await more(write);
    expect(await errorName(more(write))).toBe("LimitExceededException");
  });
});

describe("a simulation", () => {
  test("judges by the role's inline and managed policies, and by its boundary", async () => {
    const { iam } = createAccount();
    await orders(iam);
    const actions = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"];
    expect(await decisions(iam, actions)).toEqual(Array(3).fill("implicitDeny"));
    await iam.send(new AttachRolePolicyCommand({ RoleName: "orders", PolicyArn }));
    const both = document(
      { Effect: "Allow", Action: "s3:PutObject", Resource: "*" },
      { Effect: "Deny", Action: "s3:DeleteObject", Resource: "*" },
    );
    await iam.send(
      new PutRolePolicyCommand({ RoleName: "orders", PolicyName: "own", PolicyDocument: both }),
    );
    expect(await decisions(iam, actions)).toEqual(["allowed", "allowed", "explicitDeny"]);
    await iam.send(
      new PutRolePermissionsBoundaryCommand({ RoleName: "orders", PermissionsBoundary: PolicyArn }),
    );
    const { EvaluationResults } = await iam.send(
      new SimulatePrincipalPolicyCommand({ PolicySourceArn: ROLE, ActionNames: actions }),
    );
    expect(
      EvaluationResults?.map((one) => [
        one.EvalDecision,
        one.PermissionsBoundaryDecisionDetail?.AllowedByPermissionsBoundary,
      ]),
    ).toMatchObject([
      ["allowed", true],
      ["implicitDeny", false],
      ["explicitDeny", false],
    ]);
  });

  test("knows the context that it is given, and no other", async () => {
    const { iam } = createAccount();
    await orders(iam);
    const bounded = document({
      Effect: "Allow",
      Action: "iam:PutRolePolicy",
      Resource: "*",
      Condition: { StringEquals: { "iam:PermissionsBoundary": PolicyArn } },
    });
    await iam.send(
      new PutRolePolicyCommand({ RoleName: "orders", PolicyName: "own", PolicyDocument: bounded }),
    );
    const put = ["iam:PutRolePolicy"];
    expect(await decisions(iam, put, ROLE)).toEqual(["implicitDeny"]);
    const context = { "iam:permissionsBOUNDARY": PolicyArn };
    expect(await decisions(iam, put, ROLE, context)).toEqual(["allowed"]);
  });

  test("of a role that does not exist is refused", async () => {
    const { iam } = createAccount();
    const asked = decisions(iam, ["s3:GetObject"]);
    expect(await errorName(asked)).toBe("NoSuchEntityException");
  });
});

test("a role's longest session is changed between one hour and twelve", async () => {
  const { iam } = createAccount();
  await orders(iam);
  const update = (MaxSessionDuration: number) =>
    iam.send(new UpdateRoleCommand({ RoleName: "orders", MaxSessionDuration }));
  await update(7_200);
  const { Role } = await iam.send(new GetRoleCommand({ RoleName: "orders" }));
  expect(Role?.MaxSessionDuration).toBe(7_200);
  expect(await errorName(update(1_800))).not.toBe("");
});
