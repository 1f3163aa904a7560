/** The CloudFormation template for target roles of other accounts, as CloudFormation would read it for given parameters. */
import { readFileSync } from "node:fs";
import { parse, type ScalarTag, type TagId, type YAMLMap, YAMLSeq } from "yaml";
import type { AccountParts, Given } from "./accounts-parts.ts";

interface TemplateResource {
  readonly Type: string;
  readonly Condition?: string;
  readonly Properties: Readonly<Record<string, unknown>>;
}

interface Template {
  readonly Parameters: Readonly<Record<string, { readonly AllowedPattern?: string }>>;
  readonly Conditions: Readonly<Record<string, unknown>>;
  readonly Resources: Readonly<Record<string, TemplateResource>>;
}

/** `!Name value` as `{ "Fn::Name": value }`, which is the template's long form. */
const tags = ["Ref", "Sub", "GetAtt", "Equals", "If", "Join", "Split"].flatMap((name) => {
  const long = (value: unknown) => ({ [name === "Ref" ? "Ref" : `Fn::${name}`]: value });
  return [
    { tag: `!${name}`, resolve: (text: string) => long(text) } satisfies ScalarTag,
    {
      tag: `!${name}`,
      collection: "seq" as const,
      resolve: (list: YAMLMap.Parsed | YAMLSeq.Parsed) =>
        long(list instanceof YAMLSeq ? list.toJSON() : undefined),
    },
  ];
});

const template = (): Template =>
  parse(readFileSync("stacks/accounts/target-role.yaml", "utf8"), {
    customTags: (known): Array<TagId | (typeof tags)[number]> => [
      ...(known as TagId[]), // the library's own, by its own names
      ...tags,
    ],
  }) as Template; // what of it is not so fails below

export function cloudFormation(given: Given): AccountParts {
  const { Parameters, Conditions, Resources } = template();
  const parameters: Readonly<Record<string, string>> = {
    RoleName: given.name,
    BrokerRoleArn: given.broker,
    RevokeRoleArn: given.revoke,
    PolicyArns: given.policies.join(","),
    FirstInAccount: given.first ? "yes" : "no",
    "AWS::AccountId": given.account,
  };
  for (const [name, { AllowedPattern }] of Object.entries(Parameters))
    if (!new RegExp(`^(?:${AllowedPattern ?? ".*"})$`).test(parameters[name] ?? ""))
      throw new Error(`${name} is not allowed to be ${parameters[name]}`);

  const arnOf = (id: string): string => {
    const { Type, Properties } = Resources[id] ?? { Type: "", Properties: {} };
    const path = resolve(Properties.Path ?? "/");
    if (Type === "AWS::IAM::ManagedPolicy")
      return `arn:aws:iam::${given.account}:policy${path}${resolve(Properties.ManagedPolicyName)}`;
    if (Type === "AWS::IAM::Role")
      return `arn:aws:iam::${given.account}:role${path}${resolve(Properties.RoleName)}`;
    throw new Error(`nothing is called ${id}`);
  };
  const ref = (name: string): string => parameters[name] ?? arnOf(name);
  const resolve = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(resolve);
    if (typeof value !== "object" || value === null) return value;
    const [[key, of] = ["", undefined]] = Object.entries(value);
    const list = () => resolve(of) as unknown[]; // each of these functions takes one
    switch (key) {
      case "Ref":
        // A list of parameters is its text until something splits it.
        return ref(String(of));
      case "Fn::Sub":
        return String(of).replaceAll(/\$\{([^}]+)\}/g, (_, name: string) => ref(name));
      case "Fn::Equals":
        return list()[0] === list()[1];
      case "Fn::If": {
        const [condition, yes, no] = list();
        return resolve(Conditions[String(condition)]) === true ? yes : no;
      }
      case "Fn::Join": {
        const [between, parts] = list();
        return [parts].flat().join(String(between));
      }
      case "Fn::Split": {
        const [between, text] = list();
        return String(text).split(String(between));
      }
      default:
        if (key.startsWith("Fn::")) throw new Error(`${key} is not expected here`);
        return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, resolve(one)]));
    }
  };

  const made = (id: string) => {
    const { Condition, Properties } = Resources[id] ?? { Properties: {} };
    if (Condition !== undefined && resolve(Conditions[Condition]) !== true) return undefined;
    return resolve(Properties) as Record<string, unknown>; // properties are an object
  };
  const known = ["Boundary", "Revoker", "Probe", "TargetRole"];
  const others = Object.keys(Resources).filter((id) => !known.includes(id));
  if (others.length > 0) throw new Error(`nobody looks at ${others}`);

  const [boundary, revoker, probe, role] = known.map(made);
  if (probe === undefined || role === undefined) throw new Error("there is no role or no probe");
  const [own, ...more] = (revoker?.Policies ?? []) as Array<{ PolicyDocument: unknown }>; // as the template has it
  if (more.length > 0) throw new Error("the revoker has one policy");
  return {
    ...(boundary === undefined
      ? {}
      : { boundary: { arn: arnOf("Boundary"), document: boundary.PolicyDocument } }),
    ...(revoker === undefined
      ? {}
      : {
          revoker: {
            arn: arnOf("Revoker"),
            trust: revoker.AssumeRolePolicyDocument,
            document: own?.PolicyDocument,
          },
        }),
    probe: { arn: arnOf("Probe"), document: probe.PolicyDocument },
    role: {
      arn: arnOf("TargetRole"),
      trust: role.AssumeRolePolicyDocument,
      boundary: String(role.PermissionsBoundary),
      sessionSeconds: Number(role.MaxSessionDuration),
      policies: (role.ManagedPolicyArns as unknown[]).map(String), // a list, or this throws
      inline: role.Policies !== undefined,
    },
  };
}
