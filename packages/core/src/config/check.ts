import * as z from "zod";
import { isGlob } from "../policy/text.ts";
import { SESSION_POLICY_LIMIT, sessionPolicySize } from "../session-policy.ts";
import { durationText } from "../time.ts";
import { issuersOf, type PipelineClaims, type Pipelines, pipelineNamed } from "./pipelines.ts";
import { type Finding, nearest, type Path } from "./problem.ts";
import {
  ApprovalSchema,
  asAwsTarget,
  DurationSchema,
  IssuerSchema,
  RuleSchema,
  TargetSchema,
} from "./schema.ts";

interface Findings {
  readonly problems: readonly Finding[];
  readonly warnings: readonly Finding[];
}

/**
 * What needs more than one place of the file to judge. It looks at the raw data field by field, so that a wrong
 * duration in a rule does not hide that its profile does not exist: every problem is told at once.
 */
export function checkTogether(raw: unknown, pipelines: Pipelines): Findings {
  const problems: Finding[] = [];
  const warnings: Finding[] = [];
  const profiles = entriesOf(field(raw, "profiles"));
  const rules = itemsOf(field(raw, "rules"));
  const issuers = itemsOf(field(raw, "issuers"));

  for (const [name, profile] of profiles)
    problems.push(...profileProblems(profile, ["profiles", name]));
  problems.push(...issuerProblems(issuers, pipelines));
  problems.push(...twice(rules, "id", "rules"));
  for (const [index, rule] of rules.entries()) {
    const found = ruleFindings(rule, ["rules", index], new Map(profiles), pipelines, issuers);
    problems.push(...found.problems);
    warnings.push(...found.warnings);
  }
  warnings.push(...unreachable(profiles, rules, issuers));
  return { problems, warnings };
}

function profileProblems(raw: unknown, at: Path): Finding[] {
  const problems: Finding[] = [];
  const duration = fields(DurationSchema.shape, field(raw, "duration"));
  if (
    duration.default !== undefined &&
    duration.max !== undefined &&
    duration.default > duration.max
  )
    problems.push({
      at: [...at, "duration", "default"],
      message: `is longer than max, ${durationText(duration.max)}`,
    });
  for (const [name, target] of entriesOf(field(raw, "targets"))) {
    const parsed = TargetSchema.safeParse(target);
    if (!parsed.success || parsed.data.kind !== "aws") continue;
    const size = sessionPolicySize(asAwsTarget(parsed.data));
    if (size > SESSION_POLICY_LIMIT)
      problems.push({
        at: [...at, "targets", name, "allow"],
        message: `its session policy is ${size} characters long with its denials and namespace; STS takes ${SESSION_POLICY_LIMIT}`,
        hint: "merge statements, use wildcards in actions, or split the profile into several targets",
      });
  }
  return problems;
}

function issuerProblems(issuers: readonly unknown[], pipelines: Pipelines): Finding[] {
  const problems = [
    ...twice(issuers, "url", "issuers"),
    ...twice(issuers, "login", "issuers"),
    // The secret says which issuer signed.
    ...twice(issuers, "webhookSecret", "issuers"),
    ...furtherLogins(issuers),
  ];
  for (const [index, raw] of issuers.entries()) {
    const at = ["issuers", index];
    const has = (key: string) => field(raw, key) !== undefined;
    if (has("pipeline") === has("login"))
      problems.push({ at, message: "needs one of pipeline, login, and not both" });
    if (has("login") && has("webhookSecret"))
      problems.push({
        at: [...at, "webhookSecret"],
        message: "is for pipelines: a login sends no webhooks",
      });
    const { pipeline, login, url } = fields(IssuerSchema.shape, raw);
    if (pipeline !== undefined)
      problems.push(...unknownPipeline(pipeline, pipelines, [...at, "pipeline"]));
    if (login !== undefined && pipelineNamed(pipelines, login) !== undefined)
      problems.push({ at: [...at, "login"], message: `${login} is the name of a pipeline` });
    if (url !== undefined) problems.push(...urlProblems(url, pipeline, pipelines, [...at, "url"]));
  }
  return problems;
}

/** Each login could make up the other's groups and subjects, and a rule about people names no login yet. */
function furtherLogins(issuers: readonly unknown[]): Finding[] {
  const logins = issuers.flatMap((issuer, index) =>
    field(issuer, "login") === undefined ? [] : [index],
  );
  return logins.slice(1).map((index) => ({
    at: ["issuers", index, "login"],
    message: "is a second login, and rules cannot tell the people of two logins apart",
    hint: "list one login; put an identity provider that knows everybody in front of the others",
  }));
}

/** A token's `iss` is compared byte by byte, so another spelling would be an issuer that never comes. */
function urlProblems(
  text: string,
  pipeline: string | undefined,
  pipelines: Pipelines,
  at: Path,
): Finding[] {
  const { href } = new URL(text);
  if (href !== text && href !== `${text}/`)
    return [{ at, message: `is spelled unlike its tokens' iss`, hint: `write ${href}` }];
  const owner = Object.entries(pipelines).find(
    ([name, { publicIssuers }]) => name !== pipeline && publicIssuers.includes(text),
  );
  return owner === undefined ? [] : [{ at, message: `is the public issuer of ${owner[0]}` }];
}

function ruleFindings(
  raw: unknown,
  at: Path,
  profiles: ReadonlyMap<string, unknown>,
  pipelines: Pipelines,
  issuers: readonly unknown[],
): Findings {
  const problems: Finding[] = [];
  const warnings: Finding[] = [];
  const rule = fields(RuleSchema.shape, raw);

  if (rule.profile !== undefined && !profiles.has(rule.profile)) {
    const meant = nearest(rule.profile, [...profiles.keys()]);
    problems.push({
      at: [...at, "profile"],
      message: `there is no profile ${rule.profile}`,
      hint: meant === undefined ? undefined : `did you mean ${meant}?`,
    });
  }

  // Raw, so that one claim of the wrong type does not hide that another is unknown.
  const to = field(raw, "to");
  const pipeline = field(to, "pipeline");
  if (typeof pipeline === "string") {
    const claims = entriesOf(to).filter(([key]) => key !== "pipeline" && key !== "issuer");
    problems.push(...pipelineProblems(pipeline, claims, [...at, "to"], pipelines));
    problems.push(
      ...issuerChoice(field(to, "issuer"), pipeline, [...at, "to"], pipelines, issuers),
    );
    if (rule.may?.includes("approve"))
      problems.push({
        at: [...at, "may"],
        message: "approve is for people: a job has no judgement",
      });
  } else if (rule.to !== undefined && "slack" in rule.to) {
    warnings.push({
      at: [...at, "to"],
      message: "nobody comes in by Slack yet: the rule admits nobody",
    });
  }

  if (field(raw, "approval") !== undefined) {
    const approval = fields(ApprovalSchema.shape, field(raw, "approval"));
    if (rule.may !== undefined && !rule.may.includes("request"))
      problems.push({ at: [...at, "approval"], message: "is for rules that may request" });
    if (approval.from !== undefined && "slack" in approval.from)
      warnings.push({
        at: [...at, "approval", "from"],
        message: "nobody comes in by Slack yet: nobody can approve",
      });
  }

  if (rule.duration !== undefined) {
    const profile = rule.profile === undefined ? undefined : profiles.get(rule.profile);
    const { max } = fields(DurationSchema.shape, field(profile, "duration"));
    if (rule.may !== undefined && !rule.may.includes("request"))
      warnings.push({
        at: [...at, "duration"],
        message: "does nothing: the rule does not let request",
      });
    else if (max !== undefined && rule.duration > max)
      warnings.push({
        at: [...at, "duration"],
        message: `does nothing: the profile's max is ${durationText(max)}`,
      });
  }
  return { problems, warnings };
}

function pipelineProblems(
  name: string,
  claims: readonly [string, unknown][],
  at: Path,
  pipelines: Pipelines,
): Finding[] {
  const pipeline = pipelineNamed(pipelines, name);
  if (pipeline === undefined) return unknownPipeline(name, pipelines, [...at, "pipeline"]);
  const problems: Finding[] = [];
  for (const [claim] of claims) {
    if (pipeline.claims.includes(claim)) continue;
    const meant = nearest(claim, pipeline.claims);
    problems.push({
      at: [...at, claim],
      message: `is not a claim of ${name}`,
      hint: meant === undefined ? `known: ${pipeline.claims.join(", ")}` : `did you mean ${meant}?`,
    });
  }
  if (!exactId(pipeline, claims))
    problems.push({
      at,
      message: `matches on no id of ${name}`,
      hint: `give the exact value of ${pipeline.ids.join(" or ")}: names can be recycled, and anyone may get a token`,
    });
  return problems;
}

/** Repository ids are counted by each issuer for itself, so a rule that names none would admit strangers. */
function issuerChoice(
  issuer: unknown,
  name: string,
  at: Path,
  pipelines: Pipelines,
  issuers: readonly unknown[],
): Finding[] {
  const pipeline = pipelineNamed(pipelines, name);
  if (pipeline === undefined) return [];
  const configured = issuers
    .filter((entry) => field(entry, "pipeline") === name)
    .map((entry) => field(entry, "url"))
    .filter((url) => typeof url === "string");
  const trusted = issuersOf(pipeline, configured);
  const known = `trusted for ${name}: ${trusted.join(", ")}`;
  if (issuer === undefined)
    return trusted.length <= 1
      ? []
      : [
          {
            at,
            message: `does not say which issuer of ${name} it means, and ids collide between them`,
            hint: `add issuer: "<URL>"; ${known}`,
          },
        ];
  // Of the wrong type: told by the schema.
  if (typeof issuer !== "string" || issuer === "" || trusted.includes(issuer)) return [];
  const message = isGlob(issuer)
    ? "must be one issuer's exact URL, not a pattern"
    : `is not a trusted issuer of ${name}`;
  return [{ at: [...at, "issuer"], message, hint: known }];
}

/** A value of the wrong type is a problem of its own and counts as given here. */
const exactId = (pipeline: PipelineClaims, claims: readonly [string, unknown][]): boolean =>
  claims.some(
    ([claim, value]) =>
      pipeline.ids.includes(claim) && !(typeof value === "string" && isGlob(value)),
  );

function unknownPipeline(name: string, pipelines: Pipelines, at: Path): Finding[] {
  if (pipelineNamed(pipelines, name) !== undefined) return [];
  return [
    {
      at,
      message: `there is no pipeline ${name}`,
      hint: `known: ${Object.keys(pipelines).join(", ")}`,
    },
  ];
}

/** Loads, but surely not what was meant. */
function unreachable(
  profiles: readonly [string, unknown][],
  rules: readonly unknown[],
  issuers: readonly unknown[],
): Finding[] {
  const warnings: Finding[] = [];
  const parsed = rules.map((rule) => fields(RuleSchema.shape, rule));
  for (const [name] of profiles)
    if (!parsed.some((rule) => rule.profile === name && rule.may?.includes("request")))
      warnings.push({ at: ["profiles", name], message: "no rule lets anybody request it" });
  const logins = issuers.filter((issuer) => field(issuer, "login") !== undefined).length;
  for (const [index, rule] of parsed.entries()) {
    const people = [rule.to, rule.approval?.from].some((to) => to !== undefined && "person" in to);
    if (people && logins === 0)
      warnings.push({ at: ["rules", index], message: "is about people, but no issuer is a login" });
  }
  return warnings;
}

/** Values of `key` that stand in more than one item. */
function twice(items: readonly unknown[], key: string, list: string): Finding[] {
  const first = new Map<unknown, number>();
  const problems: Finding[] = [];
  for (const [index, item] of items.entries()) {
    const value = field(item, key);
    if (typeof value !== "string") continue;
    const before = first.get(value);
    if (before === undefined) first.set(value, index);
    else
      problems.push({
        at: [list, index, key],
        message: `${value} is there twice`,
        hint: `first as ${list}[${before}]`,
      });
  }
  return problems;
}

/** The fields that are right, each on its own; wrong ones are undefined, defaults are filled in. */
function fields<S extends z.ZodRawShape>(
  shape: S,
  raw: unknown,
): Partial<z.output<z.ZodObject<S>>> {
  const right: Record<string, unknown> = {};
  for (const [key, schema] of Object.entries(shape)) {
    const parsed = z.safeParse(schema, field(raw, key));
    if (parsed.success && parsed.data !== undefined) right[key] = parsed.data;
  }
  // Each key was parsed by the schema of its name.
  return right as Partial<z.output<z.ZodObject<S>>>;
}

function field(raw: unknown, key: string): unknown {
  if (typeof raw !== "object" || raw === null || !Object.hasOwn(raw, key)) return undefined;
  // Just checked: an own key of an object.
  return (raw as Record<string, unknown>)[key];
}

const itemsOf = (raw: unknown): readonly unknown[] => (Array.isArray(raw) ? raw : []);

const entriesOf = (raw: unknown): readonly [string, unknown][] =>
  typeof raw === "object" && raw !== null && !Array.isArray(raw) ? Object.entries(raw) : [];
