/** One target role, held to what `@stint/aws/target-role` says that it is. */
import { POLICY_NAME } from "@stint/aws/deny-list";
import {
  PROBE_PARAMETER,
  probeDocument,
  SESSION_SECONDS,
  TARGET_PATH,
  trustDocument,
} from "@stint/aws/target-role";
import type { Account, RoleFacts } from "./account.ts";
import { aws, type Finding, inOrder } from "./finding.ts";
import { judgeTrust, nameOf } from "./trust.ts";

export interface Expected {
  /** As the configuration has it. */
  readonly role: string;
  readonly broker: string;
  /** ARN of the account's boundary. */
  readonly boundary: string;
}

/** IAM takes so many characters of inline policies of a role, and of a managed one. */
const INLINE_LIMIT = 10_240;
const MANAGED_LIMIT = 6_144;

export async function examineRole(account: Account, expected: Expected): Promise<Finding[]> {
  const facts = await account.role(nameOf(expected.role));
  if (facts === undefined)
    return [
      {
        code: "role.missing",
        subject: expected.role,
        message: "the configuration names it, and it does not exist",
        fix: createRole(expected),
      },
    ];
  if (facts.arn !== expected.role)
    return [
      {
        code: "role.path",
        subject: expected.role,
        message: `the role of that name is ${facts.arn}, and no path but ${TARGET_PATH} is a target role's`,
        fix: `a role keeps its path: delete it with all that hangs on it, then ${createRole(expected)}`,
      },
    ];
  return [...judgeRole(facts, expected), ...(await probeable(account, expected.role))];
}

/** What a role's own facts show. */
export function judgeRole(facts: RoleFacts, { role, broker, boundary }: Expected): Finding[] {
  const findings: Finding[] = [...judgeTrust(role, facts.trust, broker)];
  const wrong = (code: string, message: string, fix: string) =>
    void findings.push({ code, subject: role, message, fix });
  const bound = aws("put-role-permissions-boundary", {
    "role-name": nameOf(role),
    "permissions-boundary": boundary,
  });
  if (facts.boundary === undefined)
    wrong("boundary.missing", "it has no permissions boundary", bound);
  else if (facts.boundary !== boundary)
    wrong(
      "boundary.other",
      `its boundary is ${facts.boundary}, and the revoker writes only on roles with ${boundary}`,
      bound,
    );
  const others = facts.inline.filter(({ name }) => name !== POLICY_NAME);
  if (others.length > 0) {
    const size = others.reduce((sum, { document }) => sum + sizeOf(document), 0);
    const names = others.map(({ name }) => name).join(", ");
    wrong(
      "inline.others",
      `its inline policy ${names} takes ${size} of the ${INLINE_LIMIT} characters that the deny list needs`,
      inOrder(...others.map((policy) => manage(role, policy))),
    );
  }
  if (facts.maxSessionSeconds < SESSION_SECONDS)
    wrong(
      "role.session",
      `its sessions end after ${facts.maxSessionSeconds} s, and a lease may last ${SESSION_SECONDS} s`,
      aws("update-role", { "role-name": nameOf(role), "max-session-duration": SESSION_SECONDS }),
    );
  return findings;
}

const createRole = ({ role, broker, boundary }: Expected): string =>
  inOrder(
    aws("create-role", {
      "role-name": nameOf(role),
      path: TARGET_PATH,
      "max-session-duration": SESSION_SECONDS,
      "permissions-boundary": boundary,
      "assume-role-policy-document": trustDocument(broker),
    }),
    addPolicy(role, `${nameOf(role)}-probe`, probeDocument(accountIn(role))),
  );

/** Two regions stand for all: a permission that holds in one alone is not what it should be. */
const REGIONS = ["us-east-1", "eu-central-1"];

async function probeable(account: Account, role: string): Promise<Finding[]> {
  const allowed = await Promise.all(
    REGIONS.map((region) =>
      account.allows({
        principal: role,
        action: "ssm:GetParameter",
        resource: `arn:aws:ssm:${region}:${accountIn(role)}:parameter${PROBE_PARAMETER}`,
        context: { "aws:RequestedRegion": region },
      }),
    ),
  );
  if (allowed.every(Boolean)) return [];
  return [
    {
      code: "probe.denied",
      subject: role,
      message: `it may not ssm:GetParameter ${PROBE_PARAMETER} in every region, so no revocation on it can be proved`,
      fix: addPolicy(role, `${nameOf(role)}-probe`, probeDocument(accountIn(role))),
    },
  ];
}

const addPolicy = (role: string, name: string, document: object): string =>
  inOrder(
    aws("create-policy", {
      "policy-name": name,
      path: TARGET_PATH,
      "policy-document": document,
    }),
    aws("attach-role-policy", {
      "role-name": nameOf(role),
      "policy-arn": `arn:aws:iam::${accountIn(role)}:policy${TARGET_PATH}${name}`,
    }),
  );

/** An inline policy as a managed one. */
function manage(role: string, { name, document }: RoleFacts["inline"][number]): string {
  const remove = aws("delete-role-policy", { "role-name": nameOf(role), "policy-name": name });
  if (sizeOf(document) > MANAGED_LIMIT)
    return `divide ${name} into managed policies of at most ${MANAGED_LIMIT} characters, attach them, then ${remove}`;
  return inOrder(
    addPolicy(role, `${nameOf(role)}-${name}`, JSON.parse(document)), // as IAM keeps it
    remove,
  );
}

/** As IAM counts it. */
const sizeOf = (document: string): number => document.replaceAll(/\s/g, "").length;

export const accountIn = (arn: string): string => arn.split(":")[4] ?? "";
