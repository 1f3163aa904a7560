import { describe, expect, test } from "vitest";
import { evaluate, type Principal, type Question } from "../src/iam/evaluate.ts";
import { type PolicyKind, parsePolicy } from "../src/iam/policy.ts";

const ACCOUNT = "111122223333";
const ROLE = `arn:aws:iam::${ACCOUNT}:role/stint/app`;
const SESSION = `arn:aws:sts::${ACCOUNT}:assumed-role/app/one`;
const USER = `arn:aws:iam::${ACCOUNT}:user/bob`;
const ROOT = `arn:aws:iam::${ACCOUNT}:root`;
const session: Principal = {
  kind: "session",
  account: ACCOUNT,
  arn: SESSION,
  roleArn: ROLE,
  roleId: "AROAAAAAAAAAAAAAAAAAA",
};
const user: Principal = { kind: "user", account: ACCOUNT, arn: USER };

type Json = Record<string, unknown>;

const policy = (statements: readonly Json[], kind: PolicyKind, version = "2012-10-17") =>
  parsePolicy(JSON.stringify({ Version: version, Statement: statements }), kind);

const allow = (more: Json = {}): Json => ({ Effect: "Allow", Action: "*", Resource: "*", ...more });
const deny = (more: Json = {}): Json => ({ Effect: "Deny", Action: "*", Resource: "*", ...more });

interface Case {
  readonly identity?: readonly Json[];
  readonly version?: string;
  readonly boundary?: readonly Json[];
  readonly session?: readonly Json[];
  readonly resource?: readonly Json[];
  readonly trust?: readonly Json[];
  readonly decides?: boolean;
  readonly by?: Principal;
  readonly action?: string;
  readonly on?: string;
  readonly owner?: string;
  readonly context?: Readonly<Record<string, readonly string[]>>;
}

const ask = (of: Case) => {
  const question: Question = {
    principal: of.by ?? session,
    action: of.action ?? (of.trust ? "sts:AssumeRole" : "s3:GetObject"),
    resource: of.on ?? "arn:aws:s3:::bucket/key",
    context: new Map(
      Object.entries(of.context ?? {}).map(([key, values]) => [key.toLowerCase(), values]),
    ),
    identity: of.identity ? [policy(of.identity, "identity", of.version)] : [],
    ...(of.boundary ? { boundary: policy(of.boundary, "identity") } : {}),
    ...(of.session ? { session: [policy(of.session, "identity")] } : {}),
    ...(of.resource ? { resourcePolicy: policy(of.resource, "resource") } : {}),
    ...(of.trust ? { resourcePolicy: policy(of.trust, "trust") } : {}),
    ...(of.decides || of.trust ? { resourcePolicyDecides: true } : {}),
    ...(of.owner ? { resourceAccount: of.owner } : {}),
  };
  const decision = evaluate(question);
  return decision.allowed ? "allowed" : `${decision.reason} ${decision.by}`;
};

type Row = readonly [rule: string, of: Case, expected: string];
const NO = "implicitDeny identity";
const DENIED = "explicitDeny identity";

const when = (operator: string, key: string, value: unknown): readonly Json[] => [
  allow({ Condition: { [operator]: { [key]: value } } }),
];
const unless = (operator: string, key: string, value: unknown): readonly Json[] => [
  allow(),
  deny({ Condition: { [operator]: { [key]: value } } }),
];
/** One condition against one value (or several, or none). */
const cond = (
  operator: string,
  wanted: unknown,
  given: string | readonly string[] | undefined,
  holds: boolean,
): Row => [
  `${operator} ${JSON.stringify(wanted)} ${holds ? "holds" : "does not hold"} for ${JSON.stringify(given) ?? "a missing key"}`,
  {
    identity: when(operator, "x:key", wanted),
    context: given === undefined ? {} : { "x:key": typeof given === "string" ? [given] : given },
  },
  holds ? "allowed" : NO,
];

// biome-ignore format: one case a line
const layers: readonly Row[] = [
  ["nothing allows by itself", {}, NO],
  ["an identity policy allows", { identity: [allow()] }, "allowed"],
  ["an explicit deny wins over an allow", { identity: [allow(), deny()] }, DENIED],
  ["a deny in a session policy wins", { identity: [allow()], session: [allow(), deny()] }, "explicitDeny session"],
  ["a deny in a boundary wins", { identity: [allow()], boundary: [allow(), deny()] }, "explicitDeny boundary"],
  [
    "a deny in a resource's policy wins",
    { identity: [allow()], resource: [deny({ Principal: "*" })] },
    "explicitDeny resource",
  ],
  ["a session policy that is silent refuses", { identity: [allow()], session: [allow({ Action: "sqs:*" })] }, "implicitDeny session"],
  ["a session policy grants nothing of its own", { session: [allow()] }, NO],
  ["session and identity policies intersect", { identity: [allow({ Action: "s3:*" })], session: [allow({ Action: "s3:Get*" })] }, "allowed"],
  ["a boundary that is silent refuses", { identity: [allow()], boundary: [allow({ Action: "sqs:*" })] }, "implicitDeny boundary"],
  ["a boundary grants nothing of its own", { boundary: [allow()] }, NO],
  ["boundary, session and identity policies all intersect", { identity: [allow()], boundary: [allow()], session: [allow()] }, "allowed"],
  ["the account's root needs no policy", { by: { kind: "root", account: ACCOUNT } }, "allowed"],
  ["the account's root is held by a resource's deny", { by: { kind: "root", account: ACCOUNT }, resource: [deny({ Principal: { AWS: ROOT } })] }, "explicitDeny resource"],
];

// biome-ignore format: one case a line
const resourceRules: readonly Row[] = [
  ["naming the role grants by itself", { resource: [allow({ Principal: { AWS: ROLE } })] }, "allowed"],
  ["naming the session grants by itself", { resource: [allow({ Principal: { AWS: SESSION } })] }, "allowed"],
  ["naming the session escapes a session policy's silence", { session: [allow({ Action: "sqs:*" })], resource: [allow({ Principal: { AWS: SESSION } })] }, "allowed"],
  ["naming the role does not escape a session policy's silence", { session: [allow({ Action: "sqs:*" })], resource: [allow({ Principal: { AWS: ROLE } })] }, "implicitDeny session"],
  ["naming the session does not escape a session policy's deny", { session: [deny()], resource: [allow({ Principal: { AWS: SESSION } })] }, "explicitDeny session"],
  ["naming the session escapes a boundary's silence", { boundary: [allow({ Action: "sqs:*" })], resource: [allow({ Principal: { AWS: SESSION } })] }, "allowed"],
  ["naming the role does not escape a boundary's silence", { boundary: [allow({ Action: "sqs:*" })], resource: [allow({ Principal: { AWS: ROLE } })] }, "implicitDeny boundary"],
  ["naming a user escapes the user's boundary's silence", { by: user, boundary: [allow({ Action: "sqs:*" })], resource: [allow({ Principal: { AWS: USER } })] }, "allowed"],
  ["naming everybody grants to the session itself", { session: [allow({ Action: "sqs:*" })], resource: [allow({ Principal: "*" })] }, "allowed"],
  ["naming everybody on aws:PrincipalArn escapes silence too", { session: [allow({ Action: "sqs:*" })], context: { "aws:PrincipalArn": [ROLE] }, resource: [allow({ Principal: "*", Condition: { ArnEquals: { "aws:PrincipalArn": ROLE } } })] }, "allowed"],
  ["naming the account leaves it to identity policies", { resource: [allow({ Principal: { AWS: ROOT } })] }, NO],
  ["naming the account by number is the same", { identity: [allow()], resource: [allow({ Principal: { AWS: ACCOUNT } })] }, "allowed"],
  ["naming another session grants nothing", { resource: [allow({ Principal: { AWS: `${SESSION}2` } })] }, NO],
  ["naming a service grants nothing to a role", { resource: [allow({ Principal: { Service: "events.amazonaws.com" } })] }, NO],
  ["naming a service grants to that service", { by: { kind: "service", service: "events.amazonaws.com" }, resource: [allow({ Principal: { Service: "events.amazonaws.com" } })] }, "allowed"],
  ["everybody is also AWS's services", { by: { kind: "service", service: "events.amazonaws.com" }, resource: [allow({ Principal: { AWS: "*" } })] }, "allowed"],
  ["denying everybody denies services too", { by: { kind: "service", service: "events.amazonaws.com" }, resource: [allow({ Principal: { Service: "events.amazonaws.com" } }), deny({ Principal: "*" })] }, "explicitDeny resource"],
  ["denying the role denies its sessions", { identity: [allow()], resource: [deny({ Principal: { AWS: ROLE } })] }, "explicitDeny resource"],
  ["denying the account denies everyone in it", { identity: [allow()], resource: [deny({ Principal: { AWS: ACCOUNT } })] }, "explicitDeny resource"],
  ["a deny with NotPrincipal spares whom it lists by session, role and account", { identity: [allow()], resource: [deny({ NotPrincipal: { AWS: [SESSION, ROLE, ROOT] } })] }, "allowed"],
  ["a deny with NotPrincipal hits a session whose role alone is listed", { identity: [allow()], resource: [deny({ NotPrincipal: { AWS: [ROLE, ROOT] } })] }, "explicitDeny resource"],
  ["a deny with NotPrincipal spares a listed user", { by: user, identity: [allow()], resource: [deny({ NotPrincipal: { AWS: [USER, ROOT] } })] }, "allowed"],
  ["across accounts both sides must allow", { owner: "999999999999", identity: [allow()] }, "implicitDeny resource"],
  ["across accounts the resource alone is not enough", { owner: "999999999999", resource: [allow({ Principal: { AWS: SESSION } })] }, NO],
  ["across accounts both together are", { owner: "999999999999", identity: [allow()], resource: [allow({ Principal: { AWS: ROOT } })] }, "allowed"],
];

const t = (more: Json): Json => ({ Effect: "Allow", Action: "sts:AssumeRole", ...more });
// biome-ignore format: one case a line
const trustRules: readonly Row[] = [
  ["a trust policy that names nobody here refuses whatever identity policies say", { identity: [allow()], trust: [t({ Principal: { AWS: USER } })] }, "implicitDeny resource"],
  ["trust in everybody lends the role to no service", { by: { kind: "service", service: "lambda.amazonaws.com" }, trust: [t({ Principal: { AWS: "*" } })] }, "implicitDeny resource"],
  ["trust in the role suffices", { trust: [t({ Principal: { AWS: ROLE } })] }, "allowed"],
  ["trust in the session suffices", { trust: [t({ Principal: { AWS: SESSION } })] }, "allowed"],
  ["trust in the account needs an identity policy", { trust: [t({ Principal: { AWS: ROOT } })] }, NO],
  ["trust in the account with an identity policy allows", { identity: [allow({ Action: "sts:AssumeRole" })], trust: [t({ Principal: { AWS: ROOT } })] }, "allowed"],
  ["trust in the role is held by the caller's session policy", { session: [allow({ Action: "s3:*" })], trust: [t({ Principal: { AWS: ROLE } })] }, "implicitDeny session"],
  ["trust is held by the caller's explicit deny", { identity: [deny({ Action: "sts:Assume*" })], trust: [t({ Principal: { AWS: SESSION } })] }, DENIED],
  ["trust in sts:AssumeRole is none in sts:SetSourceIdentity", { action: "sts:SetSourceIdentity", trust: [t({ Principal: { AWS: ROLE } })] }, "implicitDeny resource"],
  ["trust may ask for an external id", { trust: [t({ Principal: { AWS: ROLE }, Condition: { StringEquals: { "sts:ExternalId": "a" } } })], context: { "sts:ExternalId": ["b"] } }, "implicitDeny resource"],
  ["a key's policy that names nobody refuses an administrator", { decides: true, action: "kms:Decrypt", identity: [allow()], resource: [allow({ Principal: { AWS: USER } })] }, "implicitDeny resource"],
  ["a key's policy that names the account hands over to identity policies", { decides: true, action: "kms:Decrypt", identity: [allow()], resource: [allow({ Principal: { AWS: ROOT } })] }, "allowed"],
];

// biome-ignore format: one case a line
const elements: readonly Row[] = [
  ["actions ignore case", { identity: [allow({ Action: "S3:getobject" })] }, "allowed"],
  ["actions match by star", { identity: [allow({ Action: "s3:Get*" })] }, "allowed"],
  ["actions match by question mark", { identity: [allow({ Action: "s3:?etObject" })] }, "allowed"],
  ["a question mark is exactly one letter", { identity: [allow({ Action: "s3:?GetObject" })] }, NO],
  ["another service's star does not match", { identity: [allow({ Action: "sqs:*" })] }, NO],
  ["NotAction leaves out what it lists", { identity: [allow({ Action: undefined, NotAction: "s3:*" })] }, NO],
  ["NotAction allows the rest", { identity: [allow({ Action: undefined, NotAction: "iam:*" })] }, "allowed"],
  ["resources mind case", { identity: [allow({ Resource: "arn:aws:s3:::Bucket/key" })] }, NO],
  ["resources match by star", { identity: [allow({ Resource: "arn:aws:s3:::bucket/*" })] }, "allowed"],
  ["a star inside of a resource matches several path parts", { identity: [allow({ Resource: "arn:aws:s3:::b*/y" })], on: "arn:aws:s3:::bucket/a/b/y" }, "allowed"],
  ["a star does not reach over a colon of the ARN", { identity: [allow({ Resource: `arn:aws:s*:${ACCOUNT}:a:b` })], on: `arn:aws:sqs:us-east-1:${ACCOUNT}:a:b` }, NO],
  ["a star that ends the pattern reaches over colons", { identity: [allow({ Resource: "arn:aws:sqs:*" })], on: `arn:aws:sqs:us-east-1:${ACCOUNT}:queue` }, "allowed"],
  ["an empty region segment matches only a star or nothing", { identity: [allow({ Resource: "arn:aws:s3:us-east-1::bucket/key" })] }, NO],
  ["the last segment keeps its colons", { identity: [allow({ Resource: `arn:aws:logs:*:${ACCOUNT}:log-group:a:*` })], on: `arn:aws:logs:us-east-1:${ACCOUNT}:log-group:a:b:c` }, "allowed"],
  ["a prefix is no match", { identity: [allow({ Resource: "arn:aws:s3:::bucket/k" })] }, NO],
  ["NotResource leaves out what it lists", { identity: [allow({ Resource: undefined, NotResource: "arn:aws:s3:::bucket/*" })] }, NO],
  ["NotResource allows the rest", { identity: [allow({ Resource: undefined, NotResource: "arn:aws:s3:::other/*" })] }, "allowed"],
  ["a variable is filled in", { identity: [allow({ Resource: "arn:aws:s3:::bucket/${aws:SourceIdentity}/*" })], on: "arn:aws:s3:::bucket/g1/x", context: { "aws:SourceIdentity": ["g1"] } }, "allowed"],
  ["a variable's star is text", { identity: [allow({ Resource: "arn:aws:s3:::bucket/${aws:SourceIdentity}/*" })], on: "arn:aws:s3:::bucket/g1/x", context: { "aws:SourceIdentity": ["*"] } }, NO],
  ["a variable without a value matches nothing", { identity: [allow({ Resource: "arn:aws:s3:::bucket/${aws:SourceIdentity}*" })] }, NO],
  ["a variable's default stands in", { identity: [allow({ Resource: "arn:aws:s3:::bucket/${aws:PrincipalTag/team, 'key'}" })] }, "allowed"],
  ["a value goes before the default", { identity: [allow({ Resource: "arn:aws:s3:::bucket/${aws:PrincipalTag/team, 'key'}" })], context: { "aws:PrincipalTag/team": ["red"] } }, NO],
  ["${*} is a star and no wildcard", { identity: [allow({ Resource: "arn:aws:s3:::bucket/${*}" })] }, NO],
  ["${*} matches a star", { identity: [allow({ Resource: "arn:aws:s3:::bucket/${*}" })], on: "arn:aws:s3:::bucket/*" }, "allowed"],
  ["${?} and ${$} are text", { identity: [allow({ Resource: "arn:aws:s3:::bucket/${?}${$}" })], on: "arn:aws:s3:::bucket/?$" }, "allowed"],
  ["the older version knows no variables", { version: "2008-10-17", identity: [allow({ Resource: "arn:aws:s3:::bucket/${aws:SourceIdentity}" })], on: "arn:aws:s3:::bucket/g1", context: { "aws:SourceIdentity": ["g1"] } }, NO],
  ["a variable in a condition is filled in", { identity: when("StringEquals", "x:owner", "${aws:PrincipalTag/team}"), context: { "x:owner": ["red"], "aws:PrincipalTag/team": ["red"] } }, "allowed"],
  ["an allow on inequality with a missing variable does not open", { identity: when("StringNotEquals", "x:owner", "${aws:PrincipalTag/team}"), context: { "x:owner": ["red"] } }, NO],
  ["a deny on inequality with a missing variable holds", { identity: unless("StringNotEquals", "x:owner", "${aws:PrincipalTag/team}"), context: { "x:owner": ["red"] } }, DENIED],
  ["all operators of a condition must hold", { identity: [allow({ Condition: { StringEquals: { "x:a": "1" }, Bool: { "x:b": "true" } } })], context: { "x:a": ["1"], "x:b": ["false"] } }, NO],
  ["all keys of an operator must hold", { identity: [allow({ Condition: { StringEquals: { "x:a": "1", "x:b": "2" } } })], context: { "x:a": ["1"], "x:b": ["3"] } }, NO],
  ["condition keys ignore case", { identity: when("StringEquals", "AWS:SourceIDENTITY", "g1"), context: { "aws:SourceIdentity": ["g1"] } }, "allowed"],
  ["tag keys in conditions ignore case", { identity: when("StringEquals", "aws:PrincipalTag/Team", "red"), context: { "aws:PrincipalTag/team": ["red"] } }, "allowed"],
];

// biome-ignore format: one case a line
const operatorRules: readonly Row[] = [
  cond("StringEquals", "a", "a", true),
  cond("StringEquals", "a", "A", false),
  cond("StringEquals", ["a", "b"], "b", true),
  cond("StringEquals", "a*", "ab", false),
  cond("StringEquals", "a", undefined, false),
  cond("StringNotEquals", "a", "b", true),
  cond("StringNotEquals", ["a", "b"], "b", false),
  cond("StringNotEquals", "a", undefined, true),
  cond("StringEqualsIgnoreCase", "aB", "Ab", true),
  cond("StringNotEqualsIgnoreCase", "aB", "Ab", false),
  cond("StringLike", "a*c?", "abbbcd", true),
  cond("StringLike", "a*c?", "abbbc", false),
  cond("StringLike", "*a*b*", "xxaxxbxx", true),
  cond("StringNotLike", "a*", "abc", false),
  cond("StringNotLike", "a*", "bc", true),
  cond("NumericEquals", 10, "10.0", true),
  cond("NumericEquals", "10", "ten", false),
  cond("NumericNotEquals", "10", "11", true),
  cond("NumericLessThan", "10", "9", true),
  cond("NumericLessThan", "10", "10", false),
  cond("NumericLessThanEquals", "10", "10", true),
  cond("NumericGreaterThan", "10", "11", true),
  cond("NumericGreaterThanEquals", "10", "9.99", false),
  cond("DateEquals", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000Z", true),
  cond("DateNotEquals", "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", true),
  cond("DateLessThan", "2026-01-01T00:00:00Z", "2025-12-31T23:59:59Z", true),
  cond("DateLessThanEquals", "2026-01-01", "2026-01-01T00:00:00Z", true),
  cond("DateGreaterThan", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", false),
  cond("DateGreaterThanEquals", "1767225600", "2026-01-01T00:00:00Z", true),
  cond("Bool", true, "true", true),
  cond("Bool", "false", "true", false),
  cond("BoolIfExists", "true", undefined, true),
  cond("BinaryEquals", "QmluYXJ5", "QmluYXJ5", true),
  cond("BinaryEquals", "QmluYXJ5", "qmluYXJ5", false),
  cond("IpAddress", "203.0.113.0/24", "203.0.113.77", true),
  cond("IpAddress", "203.0.113.0/24", "203.0.114.1", false),
  cond("IpAddress", "2001:db8::/32", "2001:db8::1", true),
  cond("IpAddress", "203.0.113.5", "203.0.113.5", true),
  cond("NotIpAddress", ["10.0.0.0/8", "127.0.0.1"], "127.0.0.1", false),
  cond("NotIpAddress", "10.0.0.0/8", "11.0.0.1", true),
  cond("ArnEquals", "arn:aws:sns:*:111122223333:t*", "arn:aws:sns:us-east-1:111122223333:topic", true),
  cond("ArnLike", "arn:aws:sns:*:topic", "arn:aws:sns:us-east-1:111122223333:topic", false),
  cond("ArnLike", "arn:aws:iam::111122223333:role/*", "not an arn", false),
  cond("ArnNotEquals", ROLE, ROLE, false),
  cond("ArnNotLike", "arn:aws:iam::*:role/x*", ROLE, true),
  cond("Null", "true", undefined, true),
  cond("Null", "true", "a", false),
  cond("Null", "false", "a", true),
  cond("StringEqualsIfExists", "a", undefined, true),
  cond("StringEqualsIfExists", "a", "b", false),
  cond("ForAllValues:StringEquals", ["a", "b"], ["a", "b", "a"], true),
  cond("ForAllValues:StringEquals", ["a", "b"], ["a", "c"], false),
  cond("ForAllValues:StringEquals", ["a"], undefined, true),
  cond("ForAllValues:StringLike", ["g1*"], ["g1/a", "g1/b"], true),
  cond("ForAllValues:StringNotEquals", ["a"], ["b", "c"], true),
  cond("ForAnyValue:StringEquals", ["a", "b"], ["c", "b"], true),
  cond("ForAnyValue:StringEquals", ["a"], ["c", "d"], false),
  cond("ForAnyValue:StringEquals", ["a"], undefined, false),
  cond("ForAnyValue:StringNotEquals", ["a"], ["a", "b"], true),
  cond("forallvalues:stringequals", ["a"], ["a"], true),
];

const keys = (values: readonly string[]) => ({ "dynamodb:LeadingKeys": values });
const scoped = when("ForAllValues:StringLike", "dynamodb:LeadingKeys", ["it-g1", "it-g1#*"]);
// biome-ignore format: one case a line
const stintRules: readonly Row[] = [
  ["a source identity on the deny list is refused", { identity: unless("StringEquals", "aws:SourceIdentity", ["g1", "g2"]), context: { "aws:SourceIdentity": ["g2"] } }, DENIED],
  ["one that is not on the list goes on", { identity: unless("StringEquals", "aws:SourceIdentity", ["g1", "g2"]), context: { "aws:SourceIdentity": ["g3"] } }, "allowed"],
  ["a session without a source identity is not on the list", { identity: unless("StringEquals", "aws:SourceIdentity", ["g1"]) }, "allowed"],
  ["the deny list reaches a session that a bucket's policy names", { identity: unless("StringEquals", "aws:SourceIdentity", ["g1"]), context: { "aws:SourceIdentity": ["g1"] }, resource: [allow({ Principal: { AWS: SESSION } })] }, DENIED],
  ["a session lives until its lease's end", { identity: [allow()], session: unless("DateGreaterThanEquals", "aws:CurrentTime", "2026-01-01T00:15:00Z"), context: { "aws:CurrentTime": ["2026-01-01T00:14:59.999Z"] } }, "allowed"],
  ["a session is dead at its lease's end", { identity: [allow()], session: unless("DateGreaterThanEquals", "aws:CurrentTime", "2026-01-01T00:15:00Z"), context: { "aws:CurrentTime": ["2026-01-01T00:15:00.000Z"] } }, "explicitDeny session"],
  ["the lease's end holds where a resource names the session", { session: unless("DateGreaterThanEquals", "aws:CurrentTime", "2026-01-01T00:15:00Z"), context: { "aws:CurrentTime": ["2026-01-01T00:16:00.000Z"] }, resource: [allow({ Principal: { AWS: SESSION } })] }, "explicitDeny session"],
  ["a watermark kills what was issued before", { identity: unless("DateLessThan", "aws:TokenIssueTime", "2026-01-01T00:00:00Z"), context: { "aws:TokenIssueTime": ["2025-12-31T23:59:59Z"] } }, DENIED],
  ["a watermark spares what was issued at its second", { identity: unless("DateLessThan", "aws:TokenIssueTime", "2026-01-01T00:00:00Z"), context: { "aws:TokenIssueTime": ["2026-01-01T00:00:00.000Z"] } }, "allowed"],
  ["a watermark does not reach callers without a token", { by: user, identity: unless("DateLessThan", "aws:TokenIssueTime", "2026-01-01T00:00:00Z") }, "allowed"],
  ["leading keys within the namespace pass", { identity: scoped, context: keys(["it-g1", "it-g1#a"]) }, "allowed"],
  ["one leading key outside fails the whole call", { identity: scoped, context: keys(["it-g1", "it-g2"]) }, NO],
  ["ForAllValues is vacuously true without leading keys", { identity: scoped }, "allowed"],
  ["Null closes that gap", { identity: [allow({ Condition: { "ForAllValues:StringLike": keys(["it-g1*"]), Null: { "dynamodb:LeadingKeys": "false" } } })] }, NO],
];

for (const [name, rows] of Object.entries({
  "which layers must allow": layers,
  "resource policies": resourceRules,
  "trust and key policies": trustRules,
  "elements of a statement": elements,
  "condition operators": operatorRules,
  "what Stint relies on": stintRules,
}))
  describe(name, () => {
    test.each(rows)("%s", (_, of, expected) => {
      expect(ask(of)).toBe(expected);
    });
  });

describe("documents that IAM would not store", () => {
  const S = { Effect: "Allow", Action: "s3:*", Resource: "*" };
  const of = (statement: unknown, more: Json = {}) =>
    JSON.stringify({ Version: "2012-10-17", Statement: statement, ...more });
  // biome-ignore format: one case a line
  const bad: ReadonlyArray<readonly [what: string, text: string, kind?: PolicyKind]> = [
    ["not JSON", "{"],
    ["not an object", "[]"],
    ["no statement", JSON.stringify({ Version: "2012-10-17" })],
    ["an empty list of statements", of([])],
    ["an unknown version", JSON.stringify({ Version: "2020-01-01", Statement: [S] })],
    ["an unknown element", of([S], { Statements: [] })],
    ["an unknown element of a statement", of([{ ...S, Actions: "s3:*" }])],
    ["an unknown effect", of([{ ...S, Effect: "allow" }])],
    ["no action", of([{ Effect: "Allow", Resource: "*" }])],
    ["Action and NotAction", of([{ ...S, NotAction: "iam:*" }])],
    ["an action without a service", of([{ ...S, Action: "GetObject" }])],
    ["no resource", of([{ Effect: "Allow", Action: "s3:*" }])],
    ["Resource and NotResource", of([{ ...S, NotResource: "*" }])],
    ["a resource that is no ARN", of([{ ...S, Resource: "bucket/key" }])],
    ["a principal in an identity policy", of([{ ...S, Principal: "*" }])],
    ["no principal in a resource's policy", of([S]), "resource"],
    ["an Allow with NotPrincipal", of([{ ...S, NotPrincipal: { AWS: ROLE } }]), "resource"],
    ["a wildcard inside of a principal", of([{ ...S, Principal: { AWS: `${ROLE}*` } }]), "resource"],
    ["an unknown kind of principal", of([{ ...S, Principal: { Role: ROLE } }]), "resource"],
    ["a resource in a trust policy", of([{ ...S, Action: "sts:AssumeRole", Principal: { AWS: ROLE } }]), "trust"],
    ["another service's action in a trust policy", of([{ Effect: "Allow", Action: "s3:*", Principal: { AWS: ROLE } }]), "trust"],
    ["an unknown operator", of([{ ...S, Condition: { StringIs: { "aws:x": "a" } } }])],
    ["NullIfExists", of([{ ...S, Condition: { NullIfExists: { "aws:x": "true" } } }])],
    ["a key without a service", of([{ ...S, Condition: { StringEquals: { SourceIdentity: "a" } } }])],
    ["a date that is none", of([{ ...S, Condition: { DateLessThan: { "aws:CurrentTime": "tomorrow" } } }])],
    ["a number that is none", of([{ ...S, Condition: { NumericEquals: { "aws:x": "ten" } } }])],
    ["an address that is none", of([{ ...S, Condition: { IpAddress: { "aws:SourceIp": "10.0.0.0/33" } } }])],
    ["an empty list of values", of([{ ...S, Condition: { StringEquals: { "aws:x": [] } } }])],
    ["two statements with one Sid", of([{ ...S, Sid: "a" }, { ...S, Sid: "a" }])],
    ["a Sid with a space", of([{ ...S, Sid: "a b" }])],
    ["the same element twice", '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Effect":"Allow","Action":"s3:*","Resource":"*"}]}'],
  ];
  test.each(bad.map(([what, text, kind]) => ({ what, text, kind })))("$what", ({ text, kind }) => {
    expect(() => parsePolicy(text, kind)).toThrowError(
      expect.objectContaining({ name: "MalformedPolicyDocument" }),
    );
  });
});

test("a pattern of many stars against a long near miss is answered at once", () => {
  const many = `${"*a".repeat(50)}*b`;
  const one = ask({
    identity: when("StringLike", "x:key", many),
    context: { "x:key": ["a".repeat(50_000)] },
  });
  expect(one).toBe(NO);
});
