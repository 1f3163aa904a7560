/** IAM: roles, their policies and boundaries, and what a change of these does to a session that runs. */
import {
  AttachRolePolicyCommand,
  CreatePolicyCommand,
  CreateRoleCommand,
  type CreateRoleCommandInput,
  DeletePolicyCommand,
  DeleteRoleCommand,
  DeleteRolePolicyCommand,
  DetachRolePolicyCommand,
  GetRoleCommand,
  GetRolePolicyCommand,
  IAMClient,
  ListRolePoliciesCommand,
  PutRolePermissionsBoundaryCommand,
  PutRolePolicyCommand,
} from "@aws-sdk/client-iam";
import { AssumeRoleCommand, STSClient } from "@aws-sdk/client-sts";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Endpoint, endpoint, eventually, refusal } from "./endpoint.ts";

const document = (Statement: object) => JSON.stringify({ Version: "2012-10-17", Statement });
const ROLES = { Effect: "Allow", Action: "iam:GetRole", Resource: "*" };

let at: Endpoint;
let iam: IAMClient;
let policy = "";
const roles: string[] = [];
beforeAll(async () => {
  at = await endpoint();
  iam = new IAMClient(at.client);
  const { Policy } = await iam.send(
    new CreatePolicyCommand({ PolicyName: at.unique("policy"), PolicyDocument: document(ROLES) }),
  );
  policy = Policy?.Arn ?? "";
});
afterAll(async () => {
  for (const RoleName of roles) {
    const { PolicyNames = [] } = await iam.send(new ListRolePoliciesCommand({ RoleName }));
    for (const PolicyName of PolicyNames)
      await iam.send(new DeleteRolePolicyCommand({ RoleName, PolicyName }));
    await iam.send(new DeleteRoleCommand({ RoleName }));
  }
  await iam.send(new DeletePolicyCommand({ PolicyArn: policy }));
  await at.close();
}, 90_000);

const trust = () =>
  document({
    Effect: "Allow",
    Principal: { AWS: `arn:aws:iam::${at.place.account}:root` },
    Action: ["sts:AssumeRole", "sts:SetSourceIdentity"],
  });
async function role(more: Partial<CreateRoleCommandInput> = {}) {
  const RoleName = at.unique("role");
  const { Role } = await iam.send(
    new CreateRoleCommand({ RoleName, AssumeRolePolicyDocument: trust(), ...more }),
  );
  roles.push(RoleName);
  return { RoleName, arn: Role?.Arn ?? "" };
}
const put = (RoleName: string, PolicyName: string, PolicyDocument: string) =>
  iam.send(new PutRolePolicyCommand({ RoleName, PolicyName, PolicyDocument }));

/** What a session of a role is told when it reads that role. */
async function session(of: { RoleName: string; arn: string }, SourceIdentity: string) {
  const open = () =>
    new STSClient(at.client).send(
      new AssumeRoleCommand({ RoleArn: of.arn, RoleSessionName: "conformance", SourceIdentity }),
    );
  await eventually(() => refusal(open()), "none");
  const { Credentials } = await open();
  const client = new IAMClient({
    ...at.client,
    credentials: {
      accessKeyId: Credentials?.AccessKeyId ?? "",
      secretAccessKey: Credentials?.SecretAccessKey ?? "",
      sessionToken: Credentials?.SessionToken ?? "",
    },
  });
  return () => refusal(client.send(new GetRoleCommand({ RoleName: of.RoleName })));
}

describe("a role", () => {
  test("is read back as it was made, and its name is taken once", async () => {
    const { RoleName, arn } = await role({ Path: "/conformance/", MaxSessionDuration: 7_200 });
    const { Role } = await iam.send(new GetRoleCommand({ RoleName }));
    expect(arn).toBe(`arn:aws:iam::${at.place.account}:role/conformance/${RoleName}`);
    expect(Role).toMatchObject({ Arn: arn, Path: "/conformance/", MaxSessionDuration: 7_200 });
    expect(decodeURIComponent(Role?.AssumeRolePolicyDocument ?? "")).toBe(trust());
    expect(await refusal(role({ RoleName }))).toBe("EntityAlreadyExistsException 409");
  });

  test("is not deleted while it has a policy, and is gone afterwards", async () => {
    const RoleName = at.unique("role");
    await iam.send(new CreateRoleCommand({ RoleName, AssumeRolePolicyDocument: trust() }));
    const remove = () => refusal(iam.send(new DeleteRoleCommand({ RoleName })));
    await put(RoleName, "own", document(ROLES));
    expect(await remove()).toBe("DeleteConflictException 409");
    await iam.send(new DeleteRolePolicyCommand({ RoleName, PolicyName: "own" }));
    await iam.send(new AttachRolePolicyCommand({ RoleName, PolicyArn: policy }));
    expect(await remove()).toBe("DeleteConflictException 409");
    await iam.send(new DetachRolePolicyCommand({ RoleName, PolicyArn: policy }));
    expect(await remove()).toBe("none");
    expect(await remove()).toBe("NoSuchEntityException 404");
    expect(await refusal(iam.send(new GetRoleCommand({ RoleName })))).toBe(
      "NoSuchEntityException 404",
    );
  });

  test.each<[string, Partial<CreateRoleCommandInput>, RegExp]>([
    ["a name of other characters", { RoleName: "a b" }, /^ValidationError(Exception)? 400$/],
    ["a path that does not end in a slash", { Path: "/x" }, /^ValidationError(Exception)? 400$/],
    ["an hour's session less a second", { MaxSessionDuration: 3_599 }, /400$/],
    ["trust that is not JSON", { AssumeRolePolicyDocument: "{" }, /^MalformedPolicyDocument/],
    [
      "trust in nobody",
      { AssumeRolePolicyDocument: document({ Effect: "Allow", Action: "sts:AssumeRole" }) },
      /^MalformedPolicyDocument/,
    ],
  ])("of %s is refused", async (_, more, expected) => {
    expect(await refusal(role(more))).toMatch(expected);
  });
});

describe("a role's own policy", () => {
  test("is replaced as a whole", async () => {
    const { RoleName } = await role();
    const other = document({ ...ROLES, Action: "iam:ListRoles" });
    await put(RoleName, "own", document(ROLES));
    await put(RoleName, "own", other);
    const { PolicyDocument = "" } = await iam.send(
      new GetRolePolicyCommand({ RoleName, PolicyName: "own" }),
    );
    expect(decodeURIComponent(PolicyDocument)).toBe(other);
    const { PolicyNames } = await iam.send(new ListRolePoliciesCommand({ RoleName }));
    expect(PolicyNames).toEqual(["own"]);
  });

  test("shares 10,240 characters with the role's others", async () => {
    const { RoleName } = await role();
    const of = (size: number) => {
      const long = (n: number) =>
        document({
          Effect: "Allow",
          Action: "s3:GetObject",
          Resource: `arn:aws:s3:::${"x".repeat(n)}`,
        });
      return long(size - long(0).length);
    };
    expect(await refusal(put(RoleName, "one", of(10_241)))).toBe("LimitExceededException 409");
    await put(RoleName, "one", of(10_000));
    expect(await refusal(put(RoleName, "two", of(241)))).toBe("LimitExceededException 409");
    expect(await refusal(put(RoleName, "two", of(240)))).toBe("none");
  });

  test("is a policy, of a role that is there", async () => {
    const { RoleName } = await role();
    expect(await refusal(put(RoleName, "own", "{"))).toBe("MalformedPolicyDocumentException 400");
    expect(await refusal(put(RoleName, "own", trust()))).toBe(
      "MalformedPolicyDocumentException 400",
    );
    expect(await refusal(put(at.unique("none"), "own", document(ROLES)))).toBe(
      "NoSuchEntityException 404",
    );
    const gone = new DeleteRolePolicyCommand({ RoleName, PolicyName: "none" });
    expect(await refusal(iam.send(gone))).toBe("NoSuchEntityException 404");
  });
});

describe("a session that runs", () => {
  test("is ended by a denial of its source identity, and the others of its role are not", async () => {
    const of = await role();
    await put(of.RoleName, "own", document(ROLES));
    const [first, second] = [await session(of, "g1"), await session(of, "g2")];
    await eventually(first, "none");
    await eventually(second, "none");
    await put(
      of.RoleName,
      "denied",
      document({
        Effect: "Deny",
        Action: "*",
        Resource: "*",
        Condition: { StringEquals: { "aws:SourceIdentity": ["g1"] } },
      }),
    );
    await eventually(first, "AccessDenied 403");
    expect(await second()).toBe("none");
  }, 200_000);

  test("is held by a boundary that came after it", async () => {
    const of = await role();
    await put(of.RoleName, "own", document({ ...ROLES, Action: "*" }));
    const read = await session(of, "g1");
    await eventually(read, "none");
    const { Policy } = await iam.send(
      new CreatePolicyCommand({
        PolicyName: at.unique("boundary"),
        PolicyDocument: document({ ...ROLES, Action: "s3:*" }),
      }),
    );
    await iam.send(
      new PutRolePermissionsBoundaryCommand({
        RoleName: of.RoleName,
        PermissionsBoundary: Policy?.Arn ?? "",
      }),
    );
    await eventually(read, "AccessDenied 403");
    // The role first: a policy that bounds somebody cannot go.
    await iam.send(new DeleteRolePolicyCommand({ RoleName: of.RoleName, PolicyName: "own" }));
    await iam.send(new DeleteRoleCommand({ RoleName: of.RoleName }));
    roles.splice(roles.indexOf(of.RoleName), 1);
    await iam.send(new DeletePolicyCommand({ PolicyArn: Policy?.Arn ?? "" }));
  }, 200_000);
});
