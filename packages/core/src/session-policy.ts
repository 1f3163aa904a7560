import { NAMESPACE_LENGTH } from "./id.ts";
import type { AllowStatement, AwsTarget } from "./profile.ts";
import { iso } from "./time.ts";

/** STS refuses a longer session policy, counted as plain text. */
export const SESSION_POLICY_LIMIT = 2_048;

/**
 * What would outlive the session or escape it. IAM's writes are denied by the first letters of their verbs: its reads
 * begin with G, L and Si(mulate), so that a verb which AWS adds tomorrow is more likely denied than not.
 */
export const ESCAPES = [
  "sts:AssumeRole*",
  "sts:AssumeRoot",
  "sts:GetFederationToken",
  "sts:GetSessionToken",
  "sts:GetWebIdentityToken",
  "sts:GetDelegatedAccessToken",
  "iam:A*",
  "iam:C*",
  "iam:D*",
  "iam:E*",
  "iam:Pa*",
  "iam:Pu*",
  "iam:R*",
  "iam:Se*",
  "iam:T*",
  "iam:U*",
  "ecr:GetAuthorizationToken",
  "codeartifact:GetAuthorizationToken",
  "ssm:StartSession",
] as const;

interface SessionPolicyInput {
  readonly target: AwsTarget;
  readonly namespace: string;
  readonly grantId: string;
  /** The lease's end in epoch ms. Floored to the second: IAM dates know no fractions, and late is not an option. */
  readonly until: number;
}

/** The session policy of one lease: the profile's statements, then the two denials that are always there. */
export function sessionPolicy({ target, namespace, grantId, until }: SessionPolicyInput): string {
  const render = (text: string): string =>
    text.replaceAll("${namespace}", namespace).replaceAll("${grant}", grantId);
  const end = iso(Math.floor(until / 1000) * 1000).replace(".000Z", "Z");
  const denied = escapesDenied(target);
  const statements = [
    ...target.allow.map((statement) => allowStatement(statement, render)),
    {
      Effect: "Deny",
      Action: "*",
      Resource: "*",
      // "Equals", because AWS too may compare whole seconds: then the second of the end is the first one denied.
      Condition: { DateGreaterThanEquals: { "aws:CurrentTime": end } },
    },
    ...(denied.length === 0 ? [] : [{ Effect: "Deny", Action: single(denied), Resource: "*" }]),
  ];
  return JSON.stringify({ Version: "2012-10-17", Statement: statements });
}

/** Length of the longest session policy that the target can need. Every grant id and namespace has one length. */
export function sessionPolicySize(target: AwsTarget): number {
  const grantId = "g".padEnd(16, "z");
  const namespace = "it-".padEnd(NAMESPACE_LENGTH, "z");
  return sessionPolicy({ target, namespace, grantId, until: 0 }).length;
}

/** The patterns of `ESCAPES` without those that cover an action which the profile lists by its exact name. */
function escapesDenied(target: AwsTarget): readonly string[] {
  const named = target.allow
    .flatMap((statement) => statement.actions)
    .filter((action) => !/[*?]/.test(action))
    // IAM does not heed case in actions.
    .map((action) => action.toLowerCase());
  return ESCAPES.filter((_, at) => !named.some((action) => COVERS[at]?.(action)));
}

/** Whether each of `ESCAPES` covers an action in lower case. */
const COVERS = ESCAPES.map((pattern) => {
  const lower = pattern.toLowerCase();
  const start = lower.slice(0, -1);
  return lower.endsWith("*")
    ? (action: string) => action.startsWith(start)
    : (action: string) => action === lower;
});

function allowStatement(statement: AllowStatement, render: (text: string) => string): object {
  return {
    Effect: "Allow",
    Action: single(statement.actions),
    Resource: single(statement.resources.map(render)),
    ...(statement.condition === undefined
      ? {}
      : { Condition: mapValues(statement.condition, (keys) => conditionKeys(keys, render)) }),
  };
}

const conditionKeys = (
  keys: Readonly<Record<string, readonly string[]>>,
  render: (text: string) => string,
): object => mapValues(keys, (values) => single(values.map(render)));

const mapValues = <A, B>(record: Readonly<Record<string, A>>, to: (value: A) => B) =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, to(value)]));

/** A list of one is written as its item: the same to IAM, and two characters less of 2,048. */
const single = (values: readonly string[]): string | readonly string[] =>
  values.length === 1 && values[0] !== undefined ? values[0] : values;
