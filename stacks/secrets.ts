/** Secrets: made once, when the stage is first deployed, and rotated by writing the parameter. Their values are read by functions only. */
import { randomBytes } from "node:crypto";
import type { AdminSecret } from "@stint/core/postgres";
import type { Config } from "@stint/core/profile";
import type { Permission } from "@stint/functions/deployment";
import { trustedIssuers } from "@stint/pipelines/issuers";
import { pipelines } from "@stint/pipelines/registry";
import { parameterPath, place } from "./stage.ts";
import type { Storage } from "./storage.ts";

const fresh = () => randomBytes(32).toString("base64");

export function secrets({ key }: Storage, config: Config) {
  /** Each deployment draws a value, and only the first is written: what is there was rotated, or is in use. */
  const secret = (name: string, at: string, value: string, description: string) =>
    new aws.ssm.Parameter(
      name,
      { name: at, type: "SecureString", keyId: key.arn, value: $util.secret(value), description },
      { ignoreChanges: ["value"] },
    );
  const tokenKeys = secret(
    "TokenKeys",
    parameterPath("token-keys"),
    JSON.stringify({ keys: [{ version: "1", key: fresh() }] }),
    "Keys of grant tokens, newest first, at most two",
  );
  const prefix = parameterPath("webhooks/");
  const names = trustedIssuers(config.issuers, pipelines, prefix).flatMap((issuer) =>
    issuer.kind === "pipeline" && issuer.webhookSecret !== undefined
      ? [{ name: issuer.webhookSecret, url: issuer.url }]
      : [],
  );
  // A parameter that the configuration names is its owner's to make: another stage may use it as well.
  for (const { name, url } of names.filter((one) => one.name.startsWith(prefix)))
    secret(
      `Webhook${name.replace(/[^A-Za-z0-9]+/g, "-")}`,
      name,
      fresh(),
      `Signs the webhooks of ${url}: put it into the pipeline's settings`,
    );
  const { account, region } = place();
  return {
    tokenKeys,
    prefix,
    webhooks: names.map(
      ({ name }) => $interpolate`arn:aws:ssm:${region}:${account}:parameter${name}`,
    ),
  };
}

/** What reads the passwords that the configuration's targets name, and nothing besides. They are their owner's to make. */
export function adminSecrets(config: Config): ReadonlyArray<Permission<$util.Input<string>>> {
  const { account, region } = place();
  const parameter = (name: string) =>
    $interpolate`arn:aws:ssm:${region}:${account}:parameter${name}`;
  const all = Object.values(config.profiles)
    .flatMap(({ targets }) => Object.values(targets))
    .flatMap((target) => (target.kind === "postgres" ? [target] : []));
  const named = (kind: AdminSecret["kind"]) => [
    ...new Set(
      all.flatMap(({ secret }) => (secret.kind === kind && "name" in secret ? [secret.name] : [])),
    ),
  ];
  const users = [
    ...new Set(all.flatMap(({ secret, place: { user } }) => (secret.kind === "iam" ? [user] : []))),
  ];
  const held = named("secret");
  return [
    {
      actions: ["ssm:GetParameter"],
      resources: [
        ...named("parameter").map(parameter),
        // SSM hands these out to who may read them where they are.
        ...(held.length === 0 ? [] : [parameter("/aws/reference/secretsmanager/*")]),
      ],
    },
    {
      actions: ["secretsmanager:GetSecretValue"],
      // Their ARNs end in six characters that nobody chooses.
      resources: held.map(
        (name) => $interpolate`arn:aws:secretsmanager:${region}:${account}:secret:${name}-??????`,
      ),
    },
    {
      actions: ["rds-db:connect"],
      resources: users.map(
        (user) => $interpolate`arn:aws:rds-db:${region}:${account}:dbuser:*/${user}`,
      ),
    },
  ].filter(({ resources }) => resources.length > 0);
}
