import { sha256 } from "../id.ts";
import type { Config, Issuer, Profile, Rule, To } from "../profile.ts";
import { asTarget, type ConfigInput, type RuleInput, type ToInput } from "./schema.ts";

/** The configuration that a checked stint.yaml means. `raw` is what it says, for the hash. */
export function toConfig(
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
      ...(profile.regions === undefined ? {} : { regions: profile.regions }),
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
