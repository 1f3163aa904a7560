import { sha256 } from "../id.ts";
import { validatePolicies } from "../policy/validate.ts";
import type { Config, Issuer, Profile, Rule, To } from "../profile.ts";
import { asTarget, checkTogether } from "./check.ts";
import { findingsOf } from "./issues.ts";
import type { Pipelines } from "./pipelines.ts";
import type { Problem } from "./problem.ts";
import { type ConfigInput, ConfigSchema, type RuleInput, type ToInput } from "./schema.ts";
import { readYaml } from "./yaml.ts";

export type { Problem } from "./problem.ts";

export type ParsedConfig =
  | { readonly ok: true; readonly config: Config; readonly warnings: readonly Problem[] }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/**
 * Reads stint.yaml and the Cedar files beside it (by file name). Tells every problem at once, each with its place;
 * hand-written policies are looked at when the file itself is right, since they are checked against its rules.
 */
export function parseConfig(
  yamlText: string,
  cedarFiles: Readonly<Record<string, string>>,
  pipelines: Pipelines,
): ParsedConfig {
  const yaml = readYaml(yamlText);
  if (yaml.data === undefined) return { ok: false, problems: yaml.problems };

  const parsed = ConfigSchema.safeParse(yaml.data);
  const together = checkTogether(yaml.data, pipelines);
  const findings = [
    ...(parsed.success ? [] : findingsOf(parsed.error.issues, yaml.data)),
    ...together.problems,
  ];
  const problems = [...yaml.problems, ...findings.map(yaml.place)].toSorted(byPlace);
  if (!parsed.success || problems.length > 0) return { ok: false, problems };

  const config = toConfig(parsed.data, cedarFiles, yaml.data);
  const policies = validatePolicies(config, pipelines);
  if (policies.problems.length > 0) return { ok: false, problems: policies.problems };
  const warnings = together.warnings.map(yaml.place).toSorted(byPlace);
  return { ok: true, config, warnings: [...warnings, ...policies.warnings] };
}

const byPlace = (a: Problem, b: Problem): number =>
  (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0);

function toConfig(
  input: ConfigInput,
  cedar: Readonly<Record<string, string>>,
  raw: unknown,
): Config {
  const profiles = Object.entries(input.profiles).map(([name, profile]): [string, Profile] => [
    name,
    {
      name,
      ...(profile.description === undefined ? {} : { description: profile.description }),
      defaultSeconds: profile.duration.default,
      maxSeconds: profile.duration.max,
      leaseSeconds: profile.lease,
      claimSeconds: profile.claim,
      targets: Object.fromEntries(
        Object.entries(profile.targets).map(([target, value]) => [target, asTarget(value)]),
      ),
    },
  ]);
  return {
    version: 1,
    audience: input.audience,
    issuers: input.issuers.map(toIssuer),
    profiles: Object.fromEntries(profiles),
    rules: input.rules.map(toRule),
    cedar: { ...cedar },
    hash: configHash(raw, cedar),
  };
}

function toIssuer({ url, pipeline, login, webhookSecret }: ConfigInput["issuers"][number]): Issuer {
  return {
    url,
    ...(pipeline === undefined ? {} : { pipeline }),
    ...(login === undefined ? {} : { login }),
    ...(webhookSecret === undefined ? {} : { webhookSecret }),
  };
}

function toRule(rule: RuleInput): Rule {
  return {
    id: rule.id,
    profile: rule.profile,
    to: toTo(rule.to),
    may: rule.may,
    ...(rule.duration === undefined ? {} : { capSeconds: rule.duration }),
    ...(rule.approval === undefined
      ? {}
      : {
          approval: {
            from: toTo(rule.approval.from),
            count: rule.approval.count,
            withinSeconds: rule.approval.within,
          },
        }),
  };
}

function toTo(to: ToInput): To {
  if ("pipeline" in to) {
    const { pipeline, issuer, ...claims } = to;
    return {
      kind: "pipeline",
      pipeline,
      ...(issuer === undefined ? {} : { issuer }),
      claims,
    };
  }
  if ("slack" in to) return { kind: "slack", group: to.slack.group };
  if ("group" in to.person) return { kind: "person", group: to.person.group };
  return { kind: "person", subject: to.person.subject };
}

/** The same for the same meaning: comments, key order and line ends do not change the policy version. */
function configHash(raw: unknown, cedar: Readonly<Record<string, string>>): string {
  const files = Object.entries(cedar).map(([name, text]) => [name, text.replaceAll("\r\n", "\n")]);
  return sha256(JSON.stringify(canonical([raw, Object.fromEntries(files)])));
}

function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, inner]) => [key, canonical(inner)]));
}
