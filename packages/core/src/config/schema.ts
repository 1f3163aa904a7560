import * as z from "zod";
import type { AwsTarget, PostgresTarget, TargetConfig } from "../profile.ts";
import { LONGEST } from "../profile.ts";
import { durationSeconds, durationText } from "../time.ts";
import { unknownVariable } from "./variables.ts";

/*
 * The shape of stint.yaml. What needs two places of it to judge is in check.ts.
 * In a message, what follows the line break is the problem's hint.
 */

const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/;
const HINT_DURATION = "write one whole number and one unit, s, m or h: 90s, 20m, 2h";

const name = z
  .string()
  .regex(NAME, "is not a name\nup to 63 of a-z, 0-9 and -, beginning with a letter or a digit");

/** Unknown keys are errors, and the error lists the known ones. */
const strict = <S extends z.ZodRawShape>(shape: S) =>
  z.strictObject(shape, {
    error: (issue) =>
      issue.code === "unrecognized_keys" ? `known: ${Object.keys(shape).join(", ")}` : undefined,
  });

const duration = (leastSeconds: number, mostSeconds: number) =>
  z
    .string(`is not a duration\n${HINT_DURATION}`)
    .regex(/^[1-9][0-9]{0,8}[smh]$/, `is not a duration\n${HINT_DURATION}`)
    // NaN cannot come: the expression admits only what durationSeconds reads; if it did, no bound would hold it.
    .transform((text) => durationSeconds(text) ?? Number.NaN)
    .refine(
      (seconds) => seconds >= leastSeconds && seconds <= mostSeconds,
      `must be from ${durationText(leastSeconds)} to ${durationText(mostSeconds)}`,
    );

/** http only where nobody can sit between: on this machine. */
const origin = z.string().refine((text) => {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  const plain = url.search === "" && url.hash === "" && url.username === "" && url.password === "";
  const loopback = ["localhost", "127.0.0.1", "[::1]"].includes(url.hostname);
  return plain && (url.protocol === "https:" || (url.protocol === "http:" && loopback));
}, "is not an https URL\nhttp is for loopback only; no query, fragment or password");

/** Cedar and JSON disagree about half surrogate pairs, so no value has one. */
const text = z
  .string()
  .min(1, "is empty")
  .max(1_024, "is longer than 1,024 characters")
  .refine((value) => value.isWellFormed(), "has half of a surrogate pair");

/** IAM admits only these characters in a policy. */
const iamText = text
  .regex(/^[\t\n\r\u0020-\u00FF]+$/, "has a character that IAM policies cannot hold")
  .superRefine((value, context) => {
    const variable = unknownVariable(value);
    if (variable !== undefined)
      context.addIssue({
        code: "custom",
        message: `has the unknown variable ${variable}\nthere are \${namespace}, \${grant}, and IAM's own with a prefix: \${aws:username}`,
      });
  });

const action = z
  .string()
  .regex(
    /^(\*|[A-Za-z0-9-]{1,64}:[A-Za-z0-9*?]{1,128})$/,
    "is not an IAM action\nlike s3:GetObject or s3:Get*",
  );

const resource = iamText.regex(
  /^(\*|arn:[^:]+:[^:]+:[^:]*:[^:]*:.+)$/s,
  "is not an ARN\nlike arn:aws:s3:::bucket/${namespace}/*, or *",
);

const scalar = z.union([iamText, z.number().transform(String), z.boolean().transform(String)]);
const conditionName = (what: string) =>
  z.string().regex(/^[A-Za-z0-9:/_+=.@-]{1,256}$/, `is not a condition ${what}`);

const AllowSchema = strict({
  actions: z.array(action).min(1, "lists no action"),
  resources: z.array(resource).min(1, "lists no resource"),
  condition: z
    .record(
      conditionName("operator"),
      z.record(
        conditionName("key"),
        z.union([scalar.transform((value) => [value]), z.array(scalar).min(1, "lists no value")]),
      ),
    )
    .optional()
    .meta({ description: "IAM condition block: operator, key, values" }),
});

export const AwsTargetSchema = strict({
  kind: z.literal("aws"),
  role: z
    .string()
    .regex(
      /^arn:aws[-a-z]*:iam::[0-9]{12}:role\/stint\/[\w+=,.@-]{1,64}$/,
      "is not a role under the path /stint/\nlike arn:aws:iam::111122223333:role/stint/orders",
    )
    .meta({ description: "Role under the path /stint/ that trusts the broker alone" }),
  allow: z
    .array(AllowSchema)
    .min(1, "allows nothing")
    .meta({ description: "Statements of the session policy; ${namespace} is the grant's own" }),
});

/** PostgreSQL cuts longer names off. */
const pgName = z
  .string()
  .min(1, "is empty")
  .max(63, "is longer than 63 characters")
  // Nothing that a log or a terminal would not show; quoting is ours.
  .regex(/^[\u0020-\u007e]+$/, "has a character that is not printable ASCII");

const loopback = (host: string) => ["localhost", "127.0.0.1", "::1"].includes(host);

const AdminSchema = z.union(
  [
    strict({
      user: pgName,
      password: z
        .string()
        .regex(
          /^\/stint\/(?:[A-Za-z0-9_.-]+\/)*postgres\/[A-Za-z0-9_.-]{1,200}$/,
          "is not the name of a parameter for this\nlike /stint/postgres/orders; the password itself has no place here",
        )
        .meta({ description: "Name of the SSM parameter that holds the password" }),
    }),
    strict({
      user: pgName,
      secret: z
        .string()
        .regex(
          /^stint\/[A-Za-z0-9_./-]{1,200}$/,
          "is not the name of a secret for this\nlike stint/orders",
        )
        .meta({
          description:
            "Name of the secret of Secrets Manager: the password, or JSON with the key password",
        }),
    }),
    strict({
      user: pgName,
      iam: z.literal(true).meta({ description: "RDS IAM authentication" }),
    }),
  ],
  { error: "needs user and one of password, secret, iam" },
);

export const PostgresTargetSchema = strict({
  kind: z.literal("postgres"),
  host: z
    .string()
    .regex(/^([A-Za-z0-9.-]{1,253}|::1)$/, "is not a host name")
    .meta({ description: "The server itself, not a pooler in front of it" }),
  port: z.int().min(1).max(65_535).default(5432),
  database: pgName,
  admin: AdminSchema.meta({
    description: "The role that Stint acts as: LOGIN and CREATEROLE, this deployment's own",
  }),
  roles: z
    .array(pgName)
    .min(1, "lists no role")
    .refine((roles) => new Set(roles).size === roles.length, "lists a role twice")
    .meta({ description: "Group roles whose privileges a lease has" }),
  connections: z.int().min(1).max(1_000).default(5).meta({
    description: "How many sessions each lease may have at a time",
  }),
  own: z
    .union([z.literal("schema"), strict({ database: pgName })], {
      error: "is neither schema nor {database: TEMPLATE}",
    })
    .optional()
    .meta({ description: "A schema, or a database made from a template, for each grant alone" }),
  leavings: z
    .union([z.literal("drop"), strict({ reassign: pgName })], {
      error: "is neither drop nor {reassign: ROLE}",
    })
    .default("drop")
    .meta({ description: "What happens to objects that a lease made outside of what is its own" }),
  tls: z
    .union(
      [z.literal("off"), strict({ ca: z.string().startsWith("-----BEGIN CERTIFICATE-----") })],
      {
        error: "is neither {ca: PEM} nor off",
      },
    )
    .optional()
    .meta({
      description:
        "The authority of the server's certificate, where it is not a public one; off is for this machine alone",
    }),
}).superRefine(({ host, tls }, context) => {
  if (tls === "off" && !loopback(host))
    context.addIssue({
      code: "custom",
      path: ["tls"],
      message: "is off for a server that is not on this machine",
    });
});

export const TargetSchema = z.discriminatedUnion("kind", [AwsTargetSchema, PostgresTargetSchema], {
  error: "is not a kind of target\naws or postgres",
});

export const DurationSchema = strict({
  default: duration(60, LONGEST.grantSeconds),
  max: duration(60, LONGEST.grantSeconds),
});

const ProfileSchema = strict({
  description: z.string().max(1_024, "is longer than 1,024 characters").optional(),
  duration: DurationSchema,
  lease: duration(60, 3600)
    .default(900)
    .meta({ description: "Life of one credential unless a request asks for another, 60s to 1h" }),
  claim: duration(60, LONGEST.claimSeconds)
    .default(900)
    .meta({ description: "How long a ready grant waits to be claimed" }),
  regions: z
    .array(z.string().regex(/^[a-z]{2}(-[a-z]+)+-[0-9]$/, "is not a region\nlike eu-west-1"))
    .min(1, "lists no region")
    .max(8, "lists more than 8 regions")
    .optional()
    .meta({
      description:
        "Where its AWS sessions are used: that they are dead is proved in each. Stint's own region unless said",
    }),
  targets: z
    .record(name, TargetSchema)
    .refine((targets) => Object.keys(targets).length > 0, "has no target"),
});

const group = z.union([strict({ group: text }), strict({ subject: text })], {
  error: "needs one of group, subject",
});
const person = strict({ person: group });
const slack = strict({ slack: strict({ group: text }) });
const pipeline = z
  .object({
    pipeline: name,
    issuer: text.optional().meta({
      description:
        "URL of the issuer that is meant, exact; needed where the pipeline has more than one, since their ids collide",
    }),
  })
  .catchall(text);

const ToSchema = z.union([pipeline, person, slack], {
  error: "needs one of pipeline, person, slack",
});

export const ApprovalSchema = strict({
  from: z.union([person, slack], {
    error: "names no people\napprovers are people: {person: {group: …}} or {slack: {group: …}}",
  }),
  count: z
    .int("must be a whole number from 1 to 20")
    .min(1, "must be a whole number from 1 to 20")
    .max(20, "must be a whole number from 1 to 20")
    .default(1),
  within: duration(60, LONGEST.approvalSeconds)
    .default(8 * 3600)
    .meta({ description: "How long the request waits for its approvers" }),
});

export const RuleSchema = strict({
  id: name,
  profile: z.string(),
  to: ToSchema.meta({ description: "Whom the rule is for: values are exact, or globs with *" }),
  may: z
    .array(z.enum(["request", "approve", "read", "revoke", "readAudit"]))
    .min(1, "lists no action")
    .refine((may) => new Set(may).size === may.length, "lists an action twice")
    .default(["request"]),
  duration: duration(60, LONGEST.grantSeconds)
    .optional()
    .meta({ description: "Caps the profile's max" }),
  approval: ApprovalSchema.optional(),
});

export const IssuerSchema = strict({
  pipeline: name.optional(),
  login: name.optional(),
  url: origin,
  webhookSecret: z
    .string()
    .regex(
      /^\/[A-Za-z0-9_.\-/]{1,1010}$/,
      "is not the name of an SSM parameter\nit begins with /; the secret itself has no place here",
    )
    .optional(),
});

export const ConfigSchema = strict({
  version: z.literal(1, "must be 1"),
  audience: origin.meta({ description: "What tokens must be made out to: the API's own URL" }),
  issuers: z.array(IssuerSchema).default([]).meta({
    description:
      "Where tokens may come from, beside the pipelines' public issuers. With one of a pipeline listed here, the rules of that pipeline say which issuer they mean",
  }),
  profiles: z.record(name, ProfileSchema),
  rules: z.array(RuleSchema).default([]),
}).meta({ title: "stint.yaml", description: "Who may have which access, how long" });

export type ConfigInput = z.output<typeof ConfigSchema>;
export type RuleInput = z.output<typeof RuleSchema>;
export type ToInput = z.output<typeof ToSchema>;

/** What zod says is an AWS target, without the `undefined` that exactOptionalPropertyTypes keeps apart. */
export function asAwsTarget(target: z.output<typeof AwsTargetSchema>): AwsTarget {
  return {
    ...target,
    allow: target.allow.map(({ condition, ...rest }) => ({
      ...rest,
      ...(condition === undefined ? {} : { condition }),
    })),
  };
}

export const asTarget = (target: z.output<typeof TargetSchema>): TargetConfig =>
  target.kind === "aws" ? asAwsTarget(target) : asPostgresTarget(target);

function asPostgresTarget(target: z.output<typeof PostgresTargetSchema>): PostgresTarget {
  const { host, port, database, admin, roles, connections, own, leavings, tls } = target;
  return {
    kind: "postgres",
    place: {
      host,
      port,
      database,
      user: admin.user,
      groups: roles,
      connectionLimit: connections,
      own:
        own === undefined
          ? { kind: "nothing" }
          : own === "schema"
            ? { kind: "schema" }
            : { kind: "database", template: own.database },
      leavings:
        leavings === "drop" ? { kind: "drop" } : { kind: "reassign", to: leavings.reassign },
      tls:
        tls === "off"
          ? { kind: "off" }
          : { kind: "verify", ...(tls === undefined ? {} : { ca: tls.ca }) },
    },
    secret:
      "password" in admin
        ? { kind: "parameter", name: admin.password }
        : "secret" in admin
          ? { kind: "secret", name: admin.secret }
          : { kind: "iam" },
  };
}
