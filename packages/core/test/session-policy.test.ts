import * as iam from "@aws-sdk/client-iam";
import { describe, expect, test } from "vitest";
import { grantId, namespaceOf } from "../src/id.ts";
import type { AllowStatement, AwsTarget } from "../src/profile.ts";
import { ESCAPES, sessionPolicy, sessionPolicySize } from "../src/session-policy.ts";

const target = (...allow: AllowStatement[]): AwsTarget => ({
  kind: "aws",
  role: "arn:aws:iam::111122223333:role/stint/orders",
  allow,
});

const S3 = { actions: ["s3:GetObject"], resources: ["arn:aws:s3:::it/${namespace}/*"] };
const id = grantId("p", "k");
const render = (of: AwsTarget, until = 1_800_000_000_999) =>
  JSON.parse(sessionPolicy({ target: of, namespace: namespaceOf(id), grantId: id, until }));

const denied = (of: AwsTarget): string[] => [render(of).Statement.at(-1).Action].flat();

describe("what the profile allows", () => {
  test("namespace and grant are rendered in resources and conditions, IAM's variables are left to IAM", () => {
    const policy = render(
      target({
        actions: ["s3:GetObject", "s3:PutObject"],
        resources: ["arn:aws:s3:::it/${namespace}/${grant}/${aws:PrincipalTag/team}/${namespace}"],
        condition: {
          "ForAllValues:StringEquals": { "dynamodb:LeadingKeys": ["${namespace}", "x"] },
        },
      }),
    );
    expect(policy.Statement[0]).toEqual({
      Effect: "Allow",
      Action: ["s3:GetObject", "s3:PutObject"],
      Resource: `arn:aws:s3:::it/it-${id}/${id}/\${aws:PrincipalTag/team}/it-${id}`,
      Condition: {
        "ForAllValues:StringEquals": { "dynamodb:LeadingKeys": [`it-${id}`, "x"] },
      },
    });
  });

  test("the text is compact: what counts against 2,048 is what is sent", () => {
    const text = sessionPolicy({ target: target(S3), namespace: "it-x", grantId: "x", until: 0 });
    expect(text).toBe(JSON.stringify(JSON.parse(text)));
  });

  test("the size is the same for every grant", () => {
    const text = sessionPolicy({
      target: target(S3),
      namespace: namespaceOf(id),
      grantId: id,
      until: Date.parse("2026-11-22T10:00:00.123Z"),
    });
    expect(text.length).toBe(sessionPolicySize(target(S3)));
  });
});

describe("the two denials", () => {
  test("everything is denied from the lease's last second on, floored so that it is never late", () => {
    const end = render(target(S3), Date.parse("2026-11-22T10:00:59.999Z")).Statement.at(-2);
    expect(end).toEqual({
      Effect: "Deny",
      Action: "*",
      Resource: "*",
      Condition: { DateGreaterThanEquals: { "aws:CurrentTime": "2026-11-22T10:00:59Z" } },
    });
  });

  test("every write of IAM is denied, and no read", () => {
    const commands = Object.keys(iam)
      .filter((name) => name.endsWith("Command") && name !== "$Command")
      .map((name) => name.slice(0, -"Command".length));
    expect(commands.length).toBeGreaterThan(150);
    const isDenied = (verb: string) =>
      ESCAPES.some((pattern) =>
        pattern.endsWith("*")
          ? `iam:${verb}`.startsWith(pattern.slice(0, -1))
          : pattern === `iam:${verb}`,
      );
    const reads = commands.filter((name) => /^(Get|List|Simulate|Generate)/.test(name));
    const writes = commands.filter((name) => !reads.includes(name));
    expect([...writes, "PassRole"].filter((name) => !isDenied(name))).toEqual([]);
    expect(reads.filter(isDenied)).toEqual([]);
  });

  test.each([
    ["sts:AssumeRole", "sts:AssumeRole*"],
    ["sts:GetFederationToken", "sts:GetFederationToken"],
    ["iam:PassRole", "iam:Pa*"],
    ["ECR:getauthorizationtoken", "ecr:GetAuthorizationToken"],
    ["ssm:StartSession", "ssm:StartSession"],
  ])("listing %s by name leaves out %s and nothing else", (action, pattern) => {
    const left = denied(target({ actions: [action], resources: ["*"] }));
    expect(left).toEqual(ESCAPES.filter((one) => one !== pattern));
  });

  test.each(["*", "iam:*", "sts:AssumeRole*", "ecr:Get*", "ssm:StartSessio?"])(
    "a wildcard such as %s is no name: all stays denied",
    (action) => {
      expect(denied(target({ actions: [action], resources: ["*"] }))).toEqual([...ESCAPES]);
    },
  );
});
