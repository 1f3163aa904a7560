/** Policies and requests made up from a seed: every kind of policy, operator, quantifier and wildcard, often. */
import type { Principal } from "../src/iam/evaluate.ts";

export const ACCOUNT = "111122223333";
const OTHER = "999988887777";
const ROLE = `arn:aws:iam::${ACCOUNT}:role/app`;
const SESSION = `arn:aws:sts::${ACCOUNT}:assumed-role/app/one`;
const USER = `arn:aws:iam::${ACCOUNT}:user/bob`;

type Values = string | readonly string[];
export interface StatementJson {
  readonly Sid?: string;
  readonly Effect: "Allow" | "Deny";
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, Values>>>> | undefined;
  readonly [part: string]: unknown;
}
export interface PolicyJson {
  readonly Version: "2012-10-17" | "2008-10-17";
  readonly Statement: readonly StatementJson[];
}

export interface Case {
  readonly principal: Principal & { readonly kind: "session" | "user" };
  readonly action: string;
  readonly resource: string;
  readonly owner: string;
  readonly context: Readonly<Record<string, Values>>;
  readonly identity: readonly PolicyJson[];
  readonly session?: PolicyJson;
  readonly boundary?: PolicyJson;
  readonly resourcePolicy?: PolicyJson;
  /** What is in it, to count by. */
  readonly features: ReadonlySet<string>;
}

const session: Case["principal"] = {
  kind: "session",
  account: ACCOUNT,
  arn: SESSION,
  roleArn: ROLE,
  roleId: "AROAEXAMPLEEXAMPLE12",
};
const user: Case["principal"] = { kind: "user", account: ACCOUNT, arn: USER };

const REQUESTS = [
  ["s3:GetObject", "arn:aws:s3:::acme-it/it-g1/order.json"],
  ["s3:PutObject", "arn:aws:s3:::acme-it/it-g2/a b$c"],
  ["dynamodb:GetItem", `arn:aws:dynamodb:eu-west-1:${ACCOUNT}:table/orders`],
  ["sqs:SendMessage", `arn:aws:sqs:eu-west-1:${ACCOUNT}:it-g1-orders`],
  ["sts:AssumeRole", ROLE],
] as const;

const ACTIONS = [
  "*",
  "s3:*",
  "s3:Get*",
  "s3:?etObject",
  "S3:getobject",
  "s3:PutObject",
  "dynamodb:GetItem",
  "dynamodb:*Item",
  "sqs:Send*",
  "sts:AssumeRole",
  "sts:*",
  "ec2:*",
] as const;

const RESOURCES = [
  "*",
  "arn:aws:s3:::acme-it/*",
  "arn:aws:s3:::acme-it/it-g?/*",
  "arn:aws:s3:::acme-it/${aws:PrincipalTag/namespace}/*",
  "arn:aws:s3:::acme-it/${aws:PrincipalTag/none, 'it-g1'}/*",
  "arn:aws:s3:::acme-it/it-g2/a b${$}c",
  "arn:aws:s3:::*",
  `arn:aws:dynamodb:*:${ACCOUNT}:table/orders`,
  `arn:aws:dynamodb:eu-west-1:${ACCOUNT}:table/other*`,
  `arn:aws:sqs:eu-west-1:*:it-g1-*`,
  `arn:aws:iam::${ACCOUNT}:role/*`,
  "arn:aws:*:*:*:*",
] as const;

const PLAIN = RESOURCES.filter((arn) => !arn.includes("${aws:"));

/** Keys, the type of each, values that a request may have and values that a policy may ask for. */
const KEYS: Readonly<
  Record<
    string,
    {
      readonly operators: readonly string[];
      readonly given: readonly Values[];
      readonly wanted: readonly string[];
    }
  >
> = {
  "aws:PrincipalTag/namespace": {
    operators: ["String"],
    given: ["it-g1", "it-g2", "IT-G1", "other"],
    wanted: [
      "it-g1",
      "it-*",
      "it-g?",
      "IT-G1",
      "*",
      "${aws:PrincipalTag/none, 'it-g1'}",
      "o${?}her",
    ],
  },
  "aws:SourceIp": {
    operators: ["IpAddress"],
    given: ["203.0.113.7", "10.1.2.3"],
    wanted: ["203.0.113.0/24", "10.0.0.0/8", "203.0.113.7", "192.0.0.0/3"],
  },
  "aws:CurrentTime": {
    operators: ["Date"],
    given: ["2026-06-01T12:00:00Z"],
    wanted: [
      "2026-06-01T12:00:00Z",
      "2026-06-01T11:59:59Z",
      "2026-06-01T12:00:01Z",
      "2027-01-01T00:00:00Z",
      "2020-01-01T00:00:00Z",
    ],
  },
  "aws:SecureTransport": {
    operators: ["Bool"],
    given: ["true", "false"],
    wanted: ["true", "false"],
  },
  "aws:MultiFactorAuthAge": {
    operators: ["Numeric"],
    given: ["0", "10", "300", "3600"],
    wanted: ["0", "10", "300", "299", "3600.0"],
  },
  "aws:PrincipalArn": {
    operators: ["Arn"],
    given: [ROLE, USER, `arn:aws:iam::${OTHER}:role/app`],
    wanted: [
      ROLE,
      `arn:aws:iam::${ACCOUNT}:role/*`,
      "arn:aws:iam::*:role/app",
      `arn:aws:iam::${ACCOUNT}:user/b?b`,
      "arn:*:iam::*:*",
    ],
  },
  "aws:TagKeys": {
    operators: ["String"],
    given: [
      ["stint:profile"],
      ["stint:profile", "stint:namespace"],
      ["team"],
      ["stint:profile", "team"],
      [],
    ],
    wanted: ["stint:profile", "stint:namespace", "stint:*", "team"],
  },
  "aws:SourceIdentity": {
    operators: ["String"],
    given: ["g0123456789abcde", "other"],
    wanted: ["g*", "g0123456789abcde", "other"],
  },
};

const FORMS: Readonly<Record<string, readonly string[]>> = {
  String: [
    "StringEquals",
    "StringNotEquals",
    "StringEqualsIgnoreCase",
    "StringNotEqualsIgnoreCase",
    "StringLike",
    "StringNotLike",
  ],
  Numeric: [
    "NumericEquals",
    "NumericNotEquals",
    "NumericLessThan",
    "NumericLessThanEquals",
    "NumericGreaterThan",
    "NumericGreaterThanEquals",
  ],
  Date: [
    "DateEquals",
    "DateNotEquals",
    "DateLessThan",
    "DateLessThanEquals",
    "DateGreaterThan",
    "DateGreaterThanEquals",
  ],
  Bool: ["Bool"],
  IpAddress: ["IpAddress", "NotIpAddress"],
  Arn: ["ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"],
};

/** Every operator that a case can have. */
export const OPERATORS: readonly string[] = ["Null", ...Object.values(FORMS).flat()];

export function caseOf(random: () => number): Case {
  const features = new Set<string>();
  const chance = (p: number) => random() < p;
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T; // none is empty
  const several = <T>(from: readonly T[], most: number): T[] =>
    Array.from({ length: 1 + Math.floor(random() * most) }, () => pick(from));
  const mark = <T>(feature: string, value: T): T => {
    features.add(feature);
    return value;
  };

  const principal = chance(0.75) ? session : mark("user", user);
  const condition = (): StatementJson["Condition"] => {
    const blocks: Record<string, Record<string, Values>> = {};
    for (let n = chance(0.3) ? 2 : 1; n > 0; n -= 1) {
      const key = pick(Object.keys(KEYS));
      const { operators, wanted } = KEYS[key] as (typeof KEYS)[string]; // it is one of them
      if (chance(0.08)) {
        blocks.Null = { ...blocks.Null, [key]: mark("Null", pick(["true", "false"])) };
        continue;
      }
      const base = mark0(pick(FORMS[pick(operators)] ?? []));
      const many = key === "aws:TagKeys";
      const quantifier = many || chance(0.08) ? pick(["ForAllValues:", "ForAnyValue:"]) : "";
      const ifExists =
        quantifier !== "ForAnyValue:" && chance(0.15) ? mark("IfExists", "IfExists") : "";
      if (quantifier !== "") features.add(quantifier);
      const name = `${quantifier}${base}${ifExists}`;
      const values = variables(several(wanted, 2));
      blocks[name] = {
        ...blocks[name],
        [key]: values.length === 1 && chance(0.5) ? (values[0] ?? "") : values,
      };
    }
    return blocks;
  };
  const mark0 = (operator: string) => mark(operator, operator);

  /** Marks the variables in what a policy asks for. */
  const variables = (values: readonly string[]): readonly string[] => {
    for (const value of values)
      if (value.includes("${aws:"))
        features.add(value.includes(", '") ? "variable with default" : "variable");
    return values;
  };

  const one = (from: readonly string[]): Values => {
    const values = variables(several(from, 3));
    return values.length === 1 ? (values[0] ?? "") : values;
  };

  const statement = (
    action: string,
    resource: string,
    of: { readonly principals?: readonly unknown[]; readonly trust?: boolean },
  ): StatementJson => {
    const Effect = chance(0.72) ? "Allow" : "Deny";
    // Mostly about what is asked, else nearly nothing would be allowed or denied by name.
    const actions = chance(0.6) ? pick([action, "*", `${action.split(":")[0]}:*`]) : one(ACTIONS);
    const resources = chance(0.6)
      ? pick([resource.replace(/\*/g, "?"), "*", `${resource.slice(0, 16)}*`])
      : one(RESOURCES);
    return {
      Effect,
      ...(of.trust
        ? { Action: "sts:AssumeRole" }
        : chance(0.12)
          ? { NotAction: mark("NotAction", one(ACTIONS)) }
          : { Action: actions }),
      ...(of.trust
        ? {}
        : chance(0.12)
          ? { NotResource: mark("NotResource", one(PLAIN)) }
          : { Resource: resources }),
      ...(of.principals === undefined
        ? {}
        : Effect === "Deny" && chance(0.2)
          ? { NotPrincipal: mark("NotPrincipal", pick(SPARED)) }
          : { Principal: pick(of.principals) }),
      ...(chance(0.55) ? { Condition: condition() } : {}),
    };
  };
  const SPARED = [
    {
      AWS: [
        ...(principal.kind === "session" ? [SESSION, ROLE] : [USER]),
        `arn:aws:iam::${ACCOUNT}:root`,
      ],
    },
    { AWS: `arn:aws:iam::${OTHER}:root` },
    { Service: "lambda.amazonaws.com" },
  ];
  const ANYBODY = ["*", { AWS: "*" }];
  const PRINCIPALS = [
    { AWS: ACCOUNT },
    { AWS: `arn:aws:iam::${ACCOUNT}:root` },
    { AWS: ROLE },
    { AWS: [ROLE, `arn:aws:iam::${OTHER}:root`] },
    { AWS: USER },
    { AWS: `arn:aws:iam::${OTHER}:root` },
    { Service: "lambda.amazonaws.com" },
  ] as const;

  const [action, resource] = pick(REQUESTS);
  const trust = action === "sts:AssumeRole";
  const policy = (of: Parameters<typeof statement>[2] = {}): PolicyJson => ({
    Version: "2012-10-17",
    Statement: Array.from({ length: 1 + Math.floor(random() * 3) }, () =>
      statement(action, resource, of),
    ),
  });

  const context: Record<string, Values> = {};
  for (const [key, { given }] of Object.entries(KEYS)) {
    if (chance(0.25)) {
      features.add("missing key");
      continue;
    }
    const value = pick(given);
    if (Array.isArray(value) && value.length === 0) continue;
    if (Array.isArray(value) && value.length > 1) features.add("several values");
    context[key] = value;
  }
  const withResource = trust || chance(0.3);
  const narrowing = {
    ...(principal.kind === "session" && chance(0.45) ? { session: mark("session", policy()) } : {}),
    ...(chance(0.3) ? { boundary: mark("boundary", policy()) } : {}),
  };
  // What a policy that names anybody, or the session itself, means for what narrows it, is among the differences.
  const principals =
    Object.keys(narrowing).length === 0
      ? [...PRINCIPALS, ...ANYBODY, { AWS: SESSION }]
      : PRINCIPALS;
  return {
    principal,
    action,
    resource,
    owner: !trust && withResource && chance(0.15) ? mark("cross-account", OTHER) : ACCOUNT,
    context,
    identity: Array.from({ length: 1 + Math.floor(random() * 2) }, () => policy()),
    ...narrowing,
    ...(withResource
      ? { resourcePolicy: mark(trust ? "trust" : "resource", policy({ principals, trust })) }
      : {}),
    features,
  };
}
