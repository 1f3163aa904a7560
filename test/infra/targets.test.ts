/** Target roles: what the deployment makes of the configuration's. */
import {
  boundaryDocument,
  permissionsDocument,
  probeDocument,
  SESSION_SECONDS,
  trustDocument,
} from "@stint/aws/target-role";
import { readConfig } from "@stint/functions/live";
import { beforeAll, describe, expect, test } from "vitest";
import { CONFIG, type Declared, declared, statementsOf } from "./declared.ts";

const ROLE = "Target-orders-integrationRole";

describe("target roles of the account", () => {
  let all: Declared;
  beforeAll(async () => {
    all = await declared("production");
  }, 60_000);

  test("are made as the configuration names them, and none of other accounts", () => {
    const made = all.of("iam/role:Role").filter(({ inputs }) => inputs.path === "/stint/");
    expect(made.map(({ name, inputs }) => [name, inputs.name])).toEqual([
      [ROLE, "orders-integration"],
    ]);
  });

  test("let in the broker alone, carry the boundary, and leave the inline room to the deny list", () => {
    const { inputs } = all.one("iam/role:Role", ROLE);
    expect(JSON.parse(inputs.assumeRolePolicy)).toEqual(
      trustDocument("arn:aws:iam::123456789012:role/stint-functions/stint-production-api"),
    );
    expect(inputs.permissionsBoundary).toBe(
      "arn:aws:iam::123456789012:policy/stint-production-target",
    );
    expect(inputs.maxSessionDuration).toBe(SESSION_SECONDS);
    expect(inputs.inlinePolicies).toBeUndefined();
    // With a deny list on it the role goes all the same, when its profile or its stage does.
    expect(inputs.forceDetachPolicies).toBe(true);
    expect(
      all
        .of("iam/rolePolicy:RolePolicy")
        .filter(({ inputs: of }) => of.role === "orders-integration"),
    ).toEqual([]);
    expect(JSON.parse(all.one("iam/policy:Policy", "Boundary").inputs.policy)).toEqual(
      boundaryDocument(),
    );
  });

  test("may do what all profiles that name them allow, and be probed", () => {
    const policy = (name: string) => JSON.parse(all.one("iam/policy:Policy", name).inputs.policy);
    const { profiles } = readConfig(CONFIG);
    const allow = [
      profiles["orders-integration"]?.targets.aws,
      profiles.reports?.targets.own,
    ].flatMap((target) => (target?.kind === "aws" ? target.allow : []));
    expect(policy("Target-orders-integration-Profiles")).toEqual(permissionsDocument(allow));
    expect(policy("Target-orders-integration-Profiles").Statement).toMatchObject([
      { Resource: ["arn:aws:s3:::acme-it/it-*/*"] },
      // About one grant: its session policy says it.
      expect.not.objectContaining({ Condition: expect.anything() }),
      { Action: ["sqs:SendMessage"], Condition: { Bool: { "aws:SecureTransport": ["true"] } } },
    ]);
    expect(policy("Target-orders-integrationProbe")).toEqual(probeDocument("123456789012"));
    expect(
      all.of("rolePolicyAttachment:RolePolicyAttachment").map(({ inputs }) => inputs.role),
    ).toEqual(["orders-integration", "orders-integration"]);
  });
});

test("who makes the roles otherwise is left alone", async () => {
  const all = await declared("ada", { STINT_TARGET_ROLES: "none" });
  expect(all.of("iam/role:Role").filter(({ inputs }) => inputs.path === "/stint/")).toEqual([]);
}, 60_000);

test("a public issuer's webhook secret is made; one that the configuration names is its owner's, and may be read", async () => {
  const all = await declared("ada");
  const [reads] = statementsOf(
    all.one("rolePolicy:RolePolicy", "WebhookPolicy").inputs.policy,
  ).filter(({ Action }) => Action.includes("ssm:GetParameter"));
  const parameter = "arn:aws:ssm:eu-west-1:123456789012:parameter";
  expect(reads?.Resource?.toSorted()).toEqual([
    `${parameter}/acme/github-enterprise`,
    `${parameter}/stint/ada/webhooks/github`,
  ]);
  expect(
    all
      .of("ssm/parameter:Parameter")
      .map(({ inputs }) => inputs.name)
      .toSorted(),
  ).toEqual(["/stint/ada/token-keys", "/stint/ada/webhooks/github"]);
}, 60_000);
