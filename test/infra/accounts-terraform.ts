/** The Terraform module for target roles of other accounts, as Terraform would read it for given variables. */
import { readFileSync } from "node:fs";
import { parse } from "@cdktf/hcl2json";
import type { AccountParts, Given } from "./accounts-parts.ts";

type Block = Readonly<Record<string, unknown>>;
type Blocks = Readonly<Record<string, Readonly<Record<string, readonly Block[]>>>>;

/** As the provider's data source makes JSON of it. */
function policyDocument(block: Block, text: (value: unknown) => string) {
  const list = (value: unknown) => ((value ?? []) as unknown[]).map(text); // HCL's lists
  const blocks = (value: unknown) => (value ?? []) as Block[]; // HCL's blocks
  return {
    Version: "2012-10-17",
    Statement: blocks(block.statement).map((statement) => ({
      Sid: text(statement.sid),
      Effect: statement.effect === undefined ? "Allow" : text(statement.effect),
      ...(statement.principals === undefined
        ? {}
        : {
            Principal: Object.fromEntries(
              blocks(statement.principals).map((one) => [text(one.type), list(one.identifiers)]),
            ),
          }),
      Action: list(statement.actions),
      ...(statement.resources === undefined ? {} : { Resource: list(statement.resources) }),
      ...(statement.condition === undefined
        ? {}
        : {
            Condition: Object.fromEntries(
              blocks(statement.condition).map((one) => [
                text(one.test),
                { [text(one.variable)]: list(one.values) },
              ]),
            ),
          }),
    })),
  };
}

export async function terraform(given: Given): Promise<AccountParts> {
  const file = "stacks/accounts/terraform/main.tf";
  const { data, resource, locals } = (await parse(file, readFileSync(file, "utf8"))) as {
    data: Blocks;
    resource: Blocks;
    locals: readonly Block[];
  }; // what of it is not so fails below

  const values: Readonly<Record<string, unknown>> = {
    "var.role_name": given.name,
    "var.broker_role_arn": given.broker,
    "var.revoke_role_arn": given.revoke,
    "var.first_in_account ? 1 : 0": given.first ? 1 : 0,
    "length(var.policy_arns)": given.policies.length,
    "data.aws_caller_identity.current.account_id": given.account,
  };
  const lookUp = (expression: string): unknown => {
    const [, local] = /^local\.(\w+)$/.exec(expression) ?? [];
    if (local !== undefined) return text(locals[0]?.[local]);
    if (!(expression in values)) throw new Error(`the test does not know ${expression}`);
    return values[expression];
  };
  const text = (value: unknown): string =>
    String(value).replaceAll(/\$\{([^}]+)\}/g, (_, expression: string) =>
      String(lookUp(expression)),
    );

  const one = (type: string, name: string): Block => {
    const found = resource[type]?.[name]?.[0];
    if (found === undefined) throw new Error(`no ${type} is called ${name}`);
    return found;
  };
  const count = (block: Block) => (block.count === undefined ? 1 : Number(text(block.count)));
  /** The document that an argument is the JSON of. */
  const documentOf = (value: unknown) => {
    const [, name = ""] =
      /^\$\{data\.aws_iam_policy_document\.(\w+)\.json\}$/.exec(String(value)) ?? [];
    const block = data.aws_iam_policy_document?.[name]?.[0];
    if (block === undefined) throw new Error(`${value} is no document`);
    return policyDocument(block, text);
  };
  const arn = (kind: "policy" | "role", block: Block) =>
    `arn:aws:iam::${given.account}:${kind}${text(block.path ?? "/")}${text(block.name)}`;

  const boundary = one("aws_iam_policy", "boundary");
  const probe = one("aws_iam_policy", "probe");
  const revoker = one("aws_iam_role", "revoker");
  const own = one("aws_iam_role_policy", "revoker");
  const role = one("aws_iam_role", "target");
  const { probe: probed, allowed, ...others } = resource.aws_iam_role_policy_attachment ?? {};
  const kinds = Object.entries(resource).map(([kind, all]) => [kind, Object.keys(all).length]);
  const whole = {
    aws_iam_policy: 2,
    aws_iam_role: 2,
    aws_iam_role_policy: 1,
    aws_iam_role_policy_attachment: 2,
  };
  if (JSON.stringify(Object.fromEntries(kinds.toSorted())) !== JSON.stringify(whole))
    throw new Error(`nobody looks at all of ${JSON.stringify(kinds)}`);
  if (Object.keys(others).length > 0 || own.role !== "${aws_iam_role.revoker[0].name}")
    throw new Error("a policy is attached elsewhere");
  for (const [attached] of [probed ?? [], allowed ?? []])
    if (attached?.role !== "${aws_iam_role.target.name}") throw new Error("not the target role");
  if (probed?.[0]?.policy_arn !== "${aws_iam_policy.probe.arn}") throw new Error("no probe");
  if (allowed?.[0]?.policy_arn !== "${var.policy_arns[count.index]}")
    throw new Error("no policies");

  return {
    ...(count(boundary) === 0
      ? {}
      : {
          boundary: { arn: arn("policy", boundary), document: documentOf(boundary.policy) },
        }),
    ...(count(revoker) === 0 || count(own) === 0
      ? {}
      : {
          revoker: {
            arn: arn("role", revoker),
            trust: documentOf(revoker.assume_role_policy),
            document: documentOf(own.policy),
          },
        }),
    probe: { arn: arn("policy", probe), document: documentOf(probe.policy) },
    role: {
      arn: arn("role", role),
      trust: documentOf(role.assume_role_policy),
      boundary: text(role.permissions_boundary),
      sessionSeconds: Number(role.max_session_duration),
      policies: [arn("policy", probe), ...given.policies.slice(0, count(allowed[0]))],
      inline: role.inline_policy !== undefined,
      removable: role.force_detach_policies === true,
    },
  };
}
