import { type Pipelines, pipelineNamed } from "../config/pipelines.ts";
import type { Config, Profile, Rule, To } from "../profile.ts";
import { entity, isGlob, pattern, quote } from "./text.ts";

/** One policy in Cedar's text. A rule's own id is its `request`; the rest has a suffix that no id can have. */
interface CompiledPolicy {
  readonly id: string;
  readonly text: string;
}

const mayId = (rule: string): string => `${rule}/may`;
const approvalId = (rule: string): string => `${rule}/approval`;

/** The policies that the rules of one profile mean, in the file's order. */
export function compileProfile(
  config: Config,
  pipelines: Pipelines,
  profileName: string,
): readonly CompiledPolicy[] {
  if (!Object.hasOwn(config.profiles, profileName)) return [];
  const profile = config.profiles[profileName];
  if (profile === undefined) return [];
  return config.rules
    .filter((rule) => rule.profile === profileName)
    .flatMap((rule) => compileRule(rule, profile, pipelines));
}

/** @throws RangeError if a value has half of a surrogate pair, or the pipeline is unknown: neither loads */
export function compileRule(
  rule: Rule,
  profile: Profile,
  pipelines: Pipelines,
): readonly CompiledPolicy[] {
  const resource = entity("Profile", rule.profile);
  const who = principalOf(rule.to, pipelines);
  const policies: CompiledPolicy[] = [];

  if (rule.may.includes("request"))
    policies.push(
      permit(rule.id, who, `action == ${entity("Action", "request")}`, resource, [
        ...who.conditions,
        `context.seconds <= ${capOf(rule, profile)}`,
      ]),
    );

  const others = rule.may.filter((action) => action !== "request");
  if (others.length > 0) {
    const actions = others.map((action) => entity("Action", action)).join(", ");
    policies.push(permit(mayId(rule.id), who, `action in [${actions}]`, resource, who.conditions));
  }

  if (rule.approval !== undefined) {
    const approver = principalOf(rule.approval.from, pipelines);
    policies.push(
      permit(approvalId(rule.id), approver, `action == ${entity("Action", "approve")}`, resource, [
        ...approver.conditions,
        "context has rule",
        `context.rule == ${quote(rule.id)}`,
      ]),
    );
  }
  return policies;
}

/** The longest grant that the rule allows: its cap under the profile's max. */
export const capOf = (rule: Rule, profile: Profile): number =>
  Math.min(rule.capSeconds ?? profile.maxSeconds, profile.maxSeconds);

interface Who {
  /** The constraint in the policy's head, by which Cedar passes over most policies quickly. */
  readonly head: string;
  readonly conditions: readonly string[];
}

function principalOf(to: To, pipelines: Pipelines): Who {
  if (to.kind === "slack")
    return {
      head: `principal is Stint::Person in ${entity("SlackGroup", to.group)}`,
      conditions: [],
    };
  if (to.kind === "person")
    return "group" in to
      ? { head: `principal is Stint::Person in ${entity("Group", to.group)}`, conditions: [] }
      : {
          head: "principal is Stint::Person",
          conditions: [`principal.sub == ${quote(to.subject)}`],
        };

  const pipeline = pipelineNamed(pipelines, to.pipeline);
  if (pipeline === undefined) throw new RangeError(`unknown pipeline ${to.pipeline}`);
  const conditions = [`principal.pipeline == ${quote(to.pipeline)}`];
  if (to.issuer !== undefined) conditions.push(`principal.issuer == ${quote(to.issuer)}`);
  for (const [claim, value] of Object.entries(to.claims)) {
    const name = quote(claim);
    const test = isGlob(value) ? `like ${pattern(value)}` : `== ${quote(value)}`;
    conditions.push(`principal has ${name}`, `principal[${name}] ${test}`);
  }
  const untrusted = untrustedFor(to, pipelines);
  if (untrusted !== undefined) {
    const name = quote(untrusted.claim);
    const values = untrusted.values.map(quote).join(", ");
    // A token that does not tell its event is not trusted either.
    conditions.push(`principal has ${name}`, `!([${values}].contains(principal[${name}]))`);
  }
  return { head: "principal is Stint::Job", conditions };
}

/** The events that the rule does not admit. Naming one takes its exact value: a glob names nothing. */
export function untrustedFor(
  to: To,
  pipelines: Pipelines,
): { readonly claim: string; readonly values: readonly string[] } | undefined {
  if (to.kind !== "pipeline") return undefined;
  const untrusted = pipelineNamed(pipelines, to.pipeline)?.untrustedEvents;
  if (untrusted === undefined) return undefined;
  const named = Object.hasOwn(to.claims, untrusted.claim) ? to.claims[untrusted.claim] : undefined;
  return named !== undefined && !isGlob(named) ? undefined : untrusted;
}

function permit(
  id: string,
  who: Who,
  action: string,
  resource: string,
  conditions: readonly string[],
): CompiledPolicy {
  const when = conditions.length === 0 ? "" : ` when {\n  ${conditions.join(" &&\n  ")}\n}`;
  return {
    id,
    text: `@id(${quote(id)})\npermit (\n  ${who.head},\n  ${action},\n  resource == ${resource}\n)${when};\n`,
  };
}
