/** Where ours and the oracle part, and AWS's documentation that decides it. Generated cases keep clear of these. */
import type { Case, StatementJson } from "./iam-cases.ts";
import type { Verdict } from "./iam-oracle.ts";

export interface Difference {
  readonly about: string;
  /** The page, and what it says. */
  readonly decidedBy: string;
  readonly of: Partial<Pick<Case, "principal" | "action" | "resource" | "context">> & {
    readonly identity?: readonly StatementJson[];
    readonly session?: readonly StatementJson[];
    readonly resourcePolicy?: readonly StatementJson[];
  };
  readonly ours: Verdict;
  readonly oracle: Verdict;
}

const allow = (more: object = {}): StatementJson => ({
  Effect: "Allow",
  Action: "*",
  Resource: "*",
  ...more,
});
const when = (operator: string, key: string, value: string) => ({
  Condition: { [operator]: { [key]: value } },
});
const OBJECT = "arn:aws:s3:::acme-it/it-g1/order.json";
const SESSION = "arn:aws:sts::111122223333:assumed-role/app/one";
const NARROW = [allow({ Action: "sqs:*" })];

export const DIFFERENCES: readonly Difference[] = [
  {
    about: "a resource policy that names the session is not held by the session policy's silence",
    decidedBy:
      "IAM User Guide, Policy evaluation logic, 'Evaluating identity-based policies with resource-based policies': permissions that a resource-based policy grants to the session's ARN are not limited by an implicit deny in a session policy",
    of: { session: NARROW, resourcePolicy: [allow({ Principal: { AWS: SESSION } })] },
    ours: "allowed",
    oracle: "implicitDeny",
  },
  {
    about: "a resource policy that names anybody names the session as well",
    decidedBy:
      "the same page names a session's ARN and not *; IAM User Guide, 'AWS JSON policy elements: Principal', says that * matches all principals. An account has to settle it (docs/verification.md)",
    of: { session: NARROW, resourcePolicy: [allow({ Principal: "*" })] },
    ours: "allowed",
    oracle: "implicitDeny",
  },
  {
    about: "whoever is not listed is denied, though its account is",
    decidedBy:
      "IAM User Guide, 'AWS JSON policy elements: NotPrincipal': with Deny, a user and its account are both listed, and all others are denied, also those of that account",
    of: {
      resourcePolicy: [
        {
          Effect: "Deny",
          Action: "*",
          Resource: "*",
          NotPrincipal: {
            AWS: ["arn:aws:iam::111122223333:user/bob", "arn:aws:iam::111122223333:root"],
          },
        },
      ],
    },
    ours: "explicitDeny",
    oracle: "implicitDeny",
  },
  {
    about: "0.0.0.0/0 is every IPv4 address",
    decidedBy: "RFC 4632, to which IAM User Guide, 'IP address condition operators', refers",
    of: {
      identity: [allow(when("IpAddress", "aws:SourceIp", "0.0.0.0/0"))],
      context: { "aws:SourceIp": "203.0.113.7" },
    },
    ours: "allowed",
    oracle: "implicitDeny",
  },
  {
    about: "an IPv6 address is not in a range of IPv4",
    decidedBy:
      "IAM User Guide, 'IP address condition operators': NotIpAddress is true for all addresses except the range",
    of: {
      identity: [allow(when("NotIpAddress", "aws:SourceIp", "203.0.113.7"))],
      context: { "aws:SourceIp": "2001:db8::7" },
    },
    ours: "allowed",
    oracle: "implicitDeny",
  },
  {
    about: "a number may be written with an exponent",
    decidedBy:
      "IAM User Guide, 'Numeric condition operators': integer or decimal values; how they are written is left open, and JSON writes 1e1",
    of: {
      identity: [allow(when("NumericEquals", "aws:MultiFactorAuthAge", "1e1"))],
      context: { "aws:MultiFactorAuthAge": "10" },
    },
    ours: "allowed",
    oracle: "implicitDeny",
  },
  {
    about: "IfExists holds where the key is missing, also for any of its values",
    decidedBy:
      "IAM User Guide, '...IfExists condition operators': if the key is not present, the condition element is true",
    of: { identity: [allow(when("ForAnyValue:StringEqualsIfExists", "aws:TagKeys", "team"))] },
    ours: "allowed",
    oracle: "implicitDeny",
  },
  {
    about: "a variable that the request has no value for opens nothing",
    decidedBy:
      "IAM User Guide, 'IAM policy elements: Variables and tags': a variable is replaced by the request's value, and without one the comparison does not match. For a negated operator that is left open; ours is the closed reading",
    of: {
      identity: [allow(when("StringNotEquals", "aws:PrincipalTag/namespace", "${aws:username}"))],
    },
    ours: "implicitDeny",
    oracle: "allowed",
  },
  {
    about:
      "a resource with a variable that has no value matches nothing, so that its negation is everything",
    decidedBy:
      "IAM User Guide, 'IAM JSON policy elements: NotResource': matches every resource except those listed. For Deny that is the closed reading",
    of: {
      identity: [
        allow(),
        {
          Effect: "Deny",
          Action: "*",
          NotResource: "arn:aws:s3:::acme-it/${aws:PrincipalTag/none}/*",
        },
      ],
    },
    ours: "explicitDeny",
    oracle: "allowed",
  },
  {
    about: "a request's resource is one resource, also with a star in its name",
    decidedBy:
      "IAM User Guide, 'IAM JSON policy elements: Resource': wildcards are the policy's; Amazon S3 User Guide, 'Naming Amazon S3 objects': a key may contain *",
    of: {
      resource: "arn:aws:s3:::acme-it/a*c",
      identity: [allow(), { Effect: "Deny", Action: "*", Resource: "arn:aws:s3:::acme-it/a?c" }],
    },
    ours: "explicitDeny",
    oracle: "allowed",
  },
];

export const PLAIN_REQUEST = { action: "s3:GetObject", resource: OBJECT };
