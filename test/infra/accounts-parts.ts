/** What both ways to a target role of another account make, in one form. */
import {
  AttachRolePolicyCommand,
  CreatePolicyCommand,
  CreateRoleCommand,
  type IAMClient,
  PutRolePolicyCommand,
} from "@aws-sdk/client-iam";

export interface Given {
  readonly account: string;
  readonly name: string;
  readonly broker: string;
  readonly revoke: string;
  readonly policies: readonly string[];
  readonly first: boolean;
}

interface PolicyPart {
  readonly arn: string;
  readonly document: unknown;
}

export interface AccountParts {
  readonly boundary?: PolicyPart;
  readonly revoker?: PolicyPart & { readonly trust: unknown };
  readonly probe: PolicyPart;
  readonly role: {
    readonly arn: string;
    readonly trust: unknown;
    readonly boundary: string;
    readonly sessionSeconds: number;
    readonly policies: readonly string[];
    readonly inline: boolean;
    /** Whether it goes with a deny list on it. Left out where who removes it must take the list away first. */
    readonly removable?: boolean;
  };
}

const list = (value: unknown): unknown[] =>
  [value].flat().toSorted((a, b) => (String(a) < String(b) ? -1 : 1));

/** A document in which what IAM takes for the same is the same: one and a list of one, and lists in any order. */
export function canonical(document: unknown): unknown {
  const { Version, Statement } = document as { Version: unknown; Statement: unknown }; // anything else shows as a difference
  return {
    Version,
    Statement: [Statement].flat().map((statement) =>
      Object.fromEntries(
        Object.entries(statement as object).map(([name, value]) => {
          if (name === "Sid" || name === "Effect") return [name, value];
          if (name === "Principal") return [name, each(value, list)];
          if (name === "Condition") return [name, each(value, (keys) => each(keys, list))];
          return [name, list(value)];
        }),
      ),
    ),
  };
}

const each = (record: unknown, to: (value: unknown) => unknown) =>
  Object.fromEntries(Object.entries(record as object).map(([key, value]) => [key, to(value)])); // Object.entries takes anything

/** Every text in a document that has a wildcard. */
export const wildcards = (document: unknown): string[] =>
  typeof document === "string"
    ? [document].filter((text) => /[*?]/.test(text))
    : Object.values(document ?? {}).flatMap(wildcards);

const nameOf = (arn: string) => arn.slice(arn.lastIndexOf("/") + 1);
const pathOf = (arn: string) => arn.slice(arn.indexOf("/"), arn.lastIndexOf("/") + 1);

/** Makes the parts in an account, as the tools would. */
export async function make(iam: IAMClient, parts: AccountParts): Promise<void> {
  const policy = ({ arn, document }: PolicyPart) =>
    iam.send(
      new CreatePolicyCommand({
        PolicyName: nameOf(arn),
        Path: pathOf(arn),
        PolicyDocument: JSON.stringify(document),
      }),
    );
  const { boundary, revoker, probe, role } = parts;
  if (boundary !== undefined) await policy(boundary);
  if (revoker !== undefined) {
    const RoleName = nameOf(revoker.arn);
    await iam.send(
      new CreateRoleCommand({
        RoleName,
        Path: pathOf(revoker.arn),
        AssumeRolePolicyDocument: JSON.stringify(revoker.trust),
      }),
    );
    await iam.send(
      new PutRolePolicyCommand({
        RoleName,
        PolicyName: "own",
        PolicyDocument: JSON.stringify(revoker.document),
      }),
    );
  }
  await policy(probe);
  const RoleName = nameOf(role.arn);
  await iam.send(
    new CreateRoleCommand({
      RoleName,
      Path: pathOf(role.arn),
      MaxSessionDuration: role.sessionSeconds,
      PermissionsBoundary: role.boundary,
      AssumeRolePolicyDocument: JSON.stringify(role.trust),
    }),
  );
  for (const PolicyArn of role.policies)
    await iam.send(new AttachRolePolicyCommand({ RoleName, PolicyArn }));
}
