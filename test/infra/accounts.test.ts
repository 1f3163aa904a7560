/**
 * Target roles of other accounts: the template and the module say what `packages/aws/src/target-role.ts` says, and a
 * role that is made of them lets in whom it should, on local AWS.
 */
import { readFileSync } from "node:fs";
import {
  CreatePolicyCommand,
  CreateRoleCommand,
  GetRolePolicyCommand,
  IAMClient,
  PutRolePolicyCommand,
} from "@aws-sdk/client-iam";
import { AssumeRoleCommand, type AssumeRoleCommandInput, STSClient } from "@aws-sdk/client-sts";
import { POLICY_NAME } from "@stint/aws/deny-list";
import {
  BOUNDARY_NAME,
  boundaryDocument,
  PROBE_PARAMETER,
  probeDocument,
  REVOKER_NAME,
  revokerDocument,
  revokerTrustDocument,
  SESSION_SECONDS,
  SESSION_TAGS,
  TARGET_PATH,
  trustDocument,
} from "@stint/aws/target-role";
import { FUNCTION_PATH } from "@stint/functions/deployment";
import { localAws } from "@stint/local/local-aws";
import { beforeAll, describe, expect, test } from "vitest";
import { cloudFormation } from "./accounts-cloudformation.ts";
import { type AccountParts, canonical, type Given, make, wildcards } from "./accounts-parts.ts";
import { terraform } from "./accounts-terraform.ts";

const ACCOUNT = "000000000000";
const roleArn = (name: string) => `arn:aws:iam::${ACCOUNT}:role${name}`;
const EVERYTHING = `arn:aws:iam::${ACCOUNT}:policy/everything`;
const GIVEN: Given = {
  account: ACCOUNT,
  name: "orders",
  broker: roleArn(`${FUNCTION_PATH}stint-production-api`),
  revoke: roleArn(`${FUNCTION_PATH}stint-production-revoke`),
  policies: [EVERYTHING, `arn:aws:iam::${ACCOUNT}:policy/reports`],
  first: true,
};
const BOUNDARY = `arn:aws:iam::${ACCOUNT}:policy/${BOUNDARY_NAME}`;

const WAYS = {
  "the CloudFormation template": async (given: Given) => cloudFormation(given),
  "the Terraform module": terraform,
} as const;

describe.each(Object.entries(WAYS))("%s", (_, read) => {
  let parts: AccountParts;
  beforeAll(async () => {
    parts = await read(GIVEN);
  });

  test("says what target-role.ts says", () => {
    const { boundary, revoker, probe, role } = parts;
    expect(canonical(role.trust)).toEqual(canonical(trustDocument(GIVEN.broker)));
    expect(canonical(probe.document)).toEqual(canonical(probeDocument(ACCOUNT)));
    expect(canonical(boundary?.document)).toEqual(canonical(boundaryDocument()));
    expect(canonical(revoker?.document)).toEqual(
      canonical(revokerDocument({ account: ACCOUNT, boundary: BOUNDARY })),
    );
    expect(canonical(revoker?.trust)).toEqual(canonical(revokerTrustDocument(GIVEN.revoke)));
    expect(role).toMatchObject({
      arn: roleArn(`${TARGET_PATH}orders`),
      boundary: BOUNDARY,
      sessionSeconds: SESSION_SECONDS,
      inline: false,
    });
    expect(role.policies.toSorted()).toEqual([probe.arn, ...GIVEN.policies].toSorted());
    expect(boundary?.arn).toBe(BOUNDARY);
    expect(revoker?.arn).toBe(roleArn(`/${REVOKER_NAME}`));
  });

  test("has no wildcard but those that are meant", () => {
    const { boundary, revoker, probe, role } = parts;
    expect(wildcards(role.trust)).toEqual(["g*"]);
    expect(wildcards(probe.document)).toEqual([
      `arn:aws:ssm:*:${ACCOUNT}:parameter${PROBE_PARAMETER}`,
    ]);
    const targets = `arn:aws:iam::${ACCOUNT}:role${TARGET_PATH}*`;
    expect(wildcards(revoker?.document)).toEqual([
      targets,
      // A role that is gone has no path any more by which it could be asked about.
      `arn:aws:iam::${ACCOUNT}:role/*`,
      targets,
    ]);
    expect(wildcards(revoker?.trust)).toEqual([]);
    // The boundary allows everything once; all its other wildcards only deny.
    const { Statement } = (boundary?.document ?? {}) as { Statement: Array<{ Effect: string }> }; // it equals ours
    expect(wildcards(Statement.filter(({ Effect }) => Effect === "Allow"))).toEqual(["*", "*"]);
  });

  test("lets a role go although there is a deny list on it, or says what to do first", () => {
    const { removable } = parts.role;
    if (removable !== undefined) expect(removable).toBe(true);
    else
      expect(readFileSync("stacks/accounts/README.md", "utf8")).toContain(
        `aws iam delete-role-policy --role-name orders-integration --policy-name ${POLICY_NAME}\n`,
      );
  });

  test("makes boundary and revoker once in an account, and every role carries the one boundary", async () => {
    const further = await read({ ...GIVEN, name: "reports", first: false });
    expect(further.boundary).toBeUndefined();
    expect(further.revoker).toBeUndefined();
    expect(further.role).toMatchObject({
      arn: roleArn(`${TARGET_PATH}reports`),
      boundary: BOUNDARY,
    });
  });

  test("makes a role that works", async () => {
    const aws = localAws({ iamDelayMs: 0 });
    const client = (credentials: object) => ({
      region: "us-east-1",
      credentials: credentials as typeof aws.administrator, // a session's has a token besides
      requestHandler: aws.requestHandler,
      maxAttempts: 1,
    });
    const iam = new IAMClient(client(aws.administrator));
    const everything = JSON.stringify({
      Version: "2012-10-17",
      Statement: [{ Effect: "Allow", Action: "*", Resource: "*" }],
    });
    for (const PolicyName of ["everything", "reports"])
      await iam.send(new CreatePolicyCommand({ PolicyName, PolicyDocument: everything }));
    const functionRole = async (arn: string) => {
      const RoleName = arn.split("/").at(-1) ?? "";
      await iam.send(
        new CreateRoleCommand({
          RoleName,
          Path: FUNCTION_PATH,
          AssumeRolePolicyDocument: JSON.stringify({
            Version: "2012-10-17",
            Statement: [
              {
                Effect: "Allow",
                Principal: { Service: "lambda.amazonaws.com" },
                Action: "sts:AssumeRole",
              },
            ],
          }),
        }),
      );
      await iam.send(
        new PutRolePolicyCommand({ RoleName, PolicyName: "own", PolicyDocument: everything }),
      );
      return client(aws.credentialsFor(arn, "function"));
    };
    const broker = await functionRole(GIVEN.broker);
    const revoke = await functionRole(GIVEN.revoke);
    const stranger = await functionRole(roleArn(`${FUNCTION_PATH}stint-production-webhook`));
    await make(iam, parts);

    const enter = async (as: typeof broker, more: Partial<AssumeRoleCommandInput> = {}) => {
      const { Credentials } = await new STSClient(as).send(
        new AssumeRoleCommand({
          RoleArn: parts.role.arn,
          RoleSessionName: "g000000000000000",
          SourceIdentity: "g000000000000000",
          Tags: SESSION_TAGS.map((Key) => ({ Key, Value: "orders" })),
          ...more,
        }),
      );
      return client({
        accessKeyId: Credentials?.AccessKeyId,
        secretAccessKey: Credentials?.SecretAccessKey,
        sessionToken: Credentials?.SessionToken,
      });
    };
    const denied = { name: "AccessDenied" };
    const session = await enter(broker);
    // Nobody without a grant's id, nobody else, and no tags but ours.
    await expect(enter(broker, { SourceIdentity: undefined })).rejects.toMatchObject(denied);
    await expect(enter(broker, { SourceIdentity: "somebody" })).rejects.toMatchObject(denied);
    await expect(enter(broker, { Tags: [{ Key: "team", Value: "ops" }] })).rejects.toMatchObject(
      denied,
    );
    for (const other of [stranger, revoke, session])
      await expect(enter(other)).rejects.toMatchObject(denied);

    // The revoker writes here, and on no role that lacks the boundary.
    const list = { PolicyName: "StintRevoked", PolicyDocument: everything };
    const { Credentials } = await new STSClient(revoke).send(
      new AssumeRoleCommand({ RoleArn: roleArn(`/${REVOKER_NAME}`), RoleSessionName: "revoke" }),
    );
    const revoker = new IAMClient(
      client({
        accessKeyId: Credentials?.AccessKeyId,
        secretAccessKey: Credentials?.SecretAccessKey,
        sessionToken: Credentials?.SessionToken,
      }),
    );
    await revoker.send(new PutRolePolicyCommand({ RoleName: "orders", ...list }));
    await revoker.send(
      new GetRolePolicyCommand({ RoleName: "orders", PolicyName: "StintRevoked" }),
    );
    await iam.send(
      new CreateRoleCommand({
        RoleName: "free",
        Path: TARGET_PATH,
        AssumeRolePolicyDocument: JSON.stringify(trustDocument(GIVEN.broker)),
      }),
    );
    for (const RoleName of ["free", REVOKER_NAME])
      await expect(
        revoker.send(new PutRolePolicyCommand({ RoleName, ...list })),
      ).rejects.toMatchObject(denied);
    for (const other of [broker, stranger, session])
      await expect(
        new STSClient(other).send(
          new AssumeRoleCommand({ RoleArn: roleArn(`/${REVOKER_NAME}`), RoleSessionName: "other" }),
        ),
      ).rejects.toMatchObject(denied);
    // Allowed everything by its policies, and yet nothing by which it would free itself.
    await expect(
      new IAMClient(session).send(new PutRolePolicyCommand({ RoleName: "orders", ...list })),
    ).rejects.toMatchObject(denied);
  });
});
