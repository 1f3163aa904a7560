/** Roles with each fault: the doctor says what is wrong and what to do, and after that it finds nothing. */
import {
  AttachRolePolicyCommand,
  CreatePolicyCommand,
  CreatePolicyVersionCommand,
  CreateRoleCommand,
  DeleteRoleCommand,
  DeleteRolePermissionsBoundaryCommand,
  DeleteRolePolicyCommand,
  DetachRolePolicyCommand,
  type IAMClient,
  PutRolePermissionsBoundaryCommand,
  PutRolePolicyCommand,
  UpdateAssumeRolePolicyCommand,
} from "@aws-sdk/client-iam";
import { boundaryDocument, type Document, trustDocument } from "@stint/aws/target-role";
import { describe, expect, test } from "vitest";
import { runAws } from "./aws-cli.ts";
import {
  ACCOUNT,
  BOUNDARY,
  BROKER,
  configuration,
  doctorWorld,
  REVOKER,
  ROLE,
} from "./doctor-world.ts";

const NAME = "orders";
const EVERYTHING = `arn:aws:iam::${ACCOUNT}:policy/stint-local-target`;
const OTHER = `arn:aws:iam::${ACCOUNT}:role/stint-functions/stint-webhook`;

const allow = (
  Action: string | string[],
  Resource: string | string[] = "*",
  more: object = {},
) => ({
  Effect: "Allow",
  Action,
  Resource,
  ...more,
});
const text = (...Statement: readonly object[]) =>
  JSON.stringify({ Version: "2012-10-17", Statement });

type Statements = Document["Statement"];

const trust = (change: (statements: Statements) => readonly object[]) => (iam: IAMClient) =>
  iam.send(
    new UpdateAssumeRolePolicyCommand({
      RoleName: NAME,
      PolicyDocument: text(...change(trustDocument(BROKER).Statement)),
    }),
  );

const removeRole = async (iam: IAMClient) => {
  const RoleName = NAME;
  await iam.send(new DetachRolePolicyCommand({ RoleName, PolicyArn: EVERYTHING }));
  await iam.send(new DeleteRoleCommand({ RoleName }));
};

interface Fault {
  readonly make: (iam: IAMClient) => Promise<unknown>;
  /** What is found, by code, in order. */
  readonly found: readonly string[];
  /** What is said of the first. */
  readonly says: RegExp;
  readonly about?: string;
  /** What has to go before the fix that is said. */
  readonly before?: (iam: IAMClient) => Promise<unknown>;
}

const FAULTS: Readonly<Record<string, Fault>> = {
  "lets in everybody": {
    make: trust((all) => all.map((one) => ({ ...one, Principal: "*" }))),
    found: ["trust.others", "trust.broker"],
    says: /lets in everybody \(\*\) too/,
  },
  "lets in everybody of the account": {
    make: trust((all) => [
      ...all,
      {
        Effect: "Allow",
        Principal: { AWS: `arn:aws:iam::${ACCOUNT}:root` },
        Action: "sts:AssumeRole",
      },
    ]),
    found: ["trust.others", "trust.identity", "session.anonymous"],
    says: /lets in arn:aws:iam::000000000000:root too/,
  },
  "lets in another role": {
    make: trust((all) => all.map((one) => ({ ...one, Principal: { AWS: OTHER } }))),
    found: ["trust.others", "trust.broker", "session.refused"],
    says: /lets in .*stint-webhook too/,
  },
  "allows the broker no tags": {
    make: trust((all) => all.filter(({ Action }) => Action !== "sts:TagSession")),
    found: ["trust.action", "session.refused"],
    says: /does not allow the broker sts:TagSession$/,
  },
  "lets the broker in without a source identity": {
    make: trust((all) => all.map(({ Condition: _, ...one }) => one)),
    found: ["trust.identity", "session.anonymous"],
    says: /sessions without a source identity/,
  },
  "asks for a source identity only where there is one": {
    make: trust((all) =>
      all.map((one) => ({
        ...one,
        Condition: { StringLikeIfExists: { "sts:SourceIdentity": "g*" } },
      })),
    ),
    found: ["trust.identity", "session.anonymous"],
    says: /sessions without a source identity/,
  },
  "allows all of STS": {
    make: trust((all) => [...all, { ...all[0], Sid: "More", Action: "sts:*" }]),
    found: ["trust.more"],
    says: /allows sts:\*$/,
  },
  "has no boundary": {
    make: (iam) => iam.send(new DeleteRolePermissionsBoundaryCommand({ RoleName: NAME })),
    found: ["boundary.missing"],
    says: /has no permissions boundary/,
  },
  "has another boundary": {
    make: (iam) =>
      iam.send(
        new PutRolePermissionsBoundaryCommand({
          RoleName: NAME,
          PermissionsBoundary: "arn:aws:iam::aws:policy/AdministratorAccess",
        }),
      ),
    found: ["boundary.other"],
    says: /boundary is arn:aws:iam::aws:policy\/AdministratorAccess, .* only on roles with .*stint-target/,
  },
  "has a boundary that lets it free itself": {
    make: (iam) =>
      iam.send(
        new CreatePolicyVersionCommand({
          PolicyArn: BOUNDARY,
          SetAsDefault: true,
          PolicyDocument: text(
            ...boundaryDocument().Statement.map((one) =>
              one.Sid === "ButIdentities"
                ? { ...one, Action: ["iam:Create*", "organizations:*", "account:*"] }
                : one,
            ),
          ),
        }),
      ),
    found: ["boundary.weak"],
    says: /does not deny iam:\*, sso:\*, sso-directory:\*, identitystore:\*, rolesanywhere:\*, /,
    about: BOUNDARY,
  },
  "has an inline policy of somebody else's": {
    make: (iam) =>
      iam.send(
        new PutRolePolicyCommand({
          RoleName: NAME,
          PolicyName: "team",
          PolicyDocument: text(allow("s3:GetObject", `arn:aws:s3:::team/${"x".repeat(4_900)}`)),
        }),
      ),
    found: ["inline.others"],
    says: /inline policy team takes 50\d\d of the 10240 characters/,
  },
  "is missing": {
    make: removeRole,
    found: ["role.missing", "session.refused"],
    says: /does not exist/,
  },
  "lies under another path": {
    make: async (iam) => {
      await removeRole(iam);
      await iam.send(
        new CreateRoleCommand({
          RoleName: NAME,
          Path: "/teams/",
          AssumeRolePolicyDocument: JSON.stringify(trustDocument(BROKER)),
        }),
      );
    },
    found: ["role.path", "session.refused"],
    says: /the role of that name is arn:aws:iam::000000000000:role\/teams\/orders/,
    before: (iam) => iam.send(new DeleteRoleCommand({ RoleName: NAME })),
  },
  "may not be probed": {
    make: async (iam) => {
      await iam.send(new DetachRolePolicyCommand({ RoleName: NAME, PolicyArn: EVERYTHING }));
      await iam.send(
        new CreatePolicyCommand({
          PolicyName: "one-region",
          PolicyDocument: text(
            allow("ssm:GetParameter", `arn:aws:ssm:us-east-1:${ACCOUNT}:parameter/stint/probe`),
          ),
        }),
      );
      await iam.send(
        new AttachRolePolicyCommand({
          RoleName: NAME,
          PolicyArn: `arn:aws:iam::${ACCOUNT}:policy/one-region`,
        }),
      );
    },
    found: ["probe.denied"],
    says: /may not ssm:GetParameter \/stint\/probe in every region/,
  },
  "has a revoker that may do nothing": {
    make: (iam) =>
      iam.send(new DeleteRolePolicyCommand({ RoleName: "stint-revoke", PolicyName: "own" })),
    found: ["revoker.denied"],
    says: /may not iam:GetRolePolicy, iam:PutRolePolicy on .*:role\/stint\/orders/,
    about: REVOKER,
  },
  "has a revoker that needs no boundary": {
    make: (iam) =>
      iam.send(
        new PutRolePolicyCommand({
          RoleName: "stint-revoke",
          PolicyName: "more",
          PolicyDocument: text(allow("iam:PutRolePolicy")),
        }),
      ),
    found: ["revoker.wide"],
    says: /may iam:PutRolePolicy on .* even if that had no boundary/,
    about: REVOKER,
    before: (iam) =>
      iam.send(new DeleteRolePolicyCommand({ RoleName: "stint-revoke", PolicyName: "more" })),
  },
};

/** The command in a fix; words before it are about what has to go first. */
const commandIn = (fix: string) => fix.slice(fix.indexOf("aws iam "));

describe("a role that", () => {
  test("is as the deployment makes it has nothing wrong", async () => {
    const { findings } = await doctorWorld();
    expect(await findings()).toMatchObject({ code: 0, ok: true, findings: [], skipped: [] });
  });

  test.each(Object.entries(FAULTS))(
    "%s is found, and what is said about it mends it",
    async (_, fault) => {
      const world = await doctorWorld();
      await fault.make(world.iam);
      const { code, findings } = await world.findings();
      expect(findings.map((one) => one.code)).toEqual(fault.found);
      expect(code).toBe(1);
      expect(findings[0]).toMatchObject({
        subject: fault.about ?? ROLE,
        message: expect.stringMatching(fault.says),
      });

      await fault.before?.(world.iam);
      await runAws(world.iam, commandIn(findings[0]?.fix ?? ""));
      expect(await world.findings()).toMatchObject({ code: 0, findings: [] });
    },
  );

  test("has sessions too large for STS is found, and a shorter profile mends it", async () => {
    const opened = async (statements: number) => {
      const world = await doctorWorld(configuration({ orders: ROLE }, statements));
      // Local STS packs better than AWS does: here it gives in sooner.
      world.aws.faults.add({
        service: "sts",
        operation: "AssumeRole",
        kind: "refuse",
        when: (input) => (input as { Policy: string }).Policy.length > 1_200, // as it was parsed
        error: { code: "PackedPolicyTooLarge", status: 400, message: "takes 112% of its space" },
      });
      return world.findings();
    };
    const { code, findings } = await opened(8);
    expect(code).toBe(1);
    expect(findings).toMatchObject([
      {
        code: "session.too_large",
        subject: ROLE,
        message: expect.stringMatching(
          /orders are too large for STS \(.*takes 112% of its space\)/,
        ),
        fix: expect.stringMatching(
          /^shorten profiles\.orders\.targets\.aws\.allow: .*; then deploy$/,
        ),
      },
    ]);
    expect(await opened(2)).toMatchObject({ code: 0, findings: [] });
  });

  test("has several faults has them all told", async () => {
    const world = await doctorWorld();
    await FAULTS["lets in everybody"]?.make(world.iam);
    await FAULTS["has no boundary"]?.make(world.iam);
    const { findings } = await world.findings();
    const codes = findings.map(({ code }) => code);
    expect(codes).toEqual(["trust.others", "trust.broker", "boundary.missing"]);
  });
});
