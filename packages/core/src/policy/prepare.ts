import { type Pipelines, pipelineNamed } from "../config/pipelines.ts";
import type { Action, FailedClaim } from "../decision.ts";
import { sha256 } from "../id.ts";
import type { Principal } from "../principal.ts";
import type { Config, Profile, Rule } from "../profile.ts";
import { iso } from "../time.ts";
import { type AuthorizationAnswer, type Context, cedar, type EntityJson } from "./cedar.ts";
import { knownClaims } from "./cedar-schema.ts";
import { compileProfile, untrustedFor } from "./compile.ts";
import type { HandWritten } from "./handwritten.ts";
import { claimOf, groupsOf } from "./match.ts";

/** What Cedar said, by policy ids. */
export interface Evaluated {
  /** Policies that permit, if nothing forbids. */
  readonly permits: readonly string[];
  readonly forbids: readonly string[];
  /** Hand-written permits that were not heeded, since the job's event is not to be trusted. */
  readonly untrusted: readonly FailedClaim[];
  readonly errors: readonly string[];
}

interface Question {
  readonly action: Action;
  readonly principal: Principal;
  readonly now: number;
  readonly rule?: string | undefined;
  readonly event?: string | undefined;
}

/** One profile's policies, parsed. */
export interface Prepared {
  readonly profile: Profile;
  /** The profile's rules in the file's order. */
  readonly rules: readonly Rule[];
  /** There are hand-written policies beside the rules. */
  readonly handWritten: boolean;
  evaluate(question: Question, seconds: number): Evaluated;
  /** The rule that a policy was compiled from, none for hand-written ones, and its place. */
  origin(policyId: string): { readonly rule: Rule | undefined; readonly order: number };
}

/** @param handWritten the policies beside the rules, read once for all profiles */
export function prepareProfile(
  config: Config,
  profile: Profile,
  pipelines: Pipelines,
  handWritten: readonly HandWritten[],
): Prepared {
  const rules = config.rules.filter((rule) => rule.profile === profile.name);
  const compiled = compileProfile(config, pipelines, profile.name);
  const written = new Map(handWritten.map((policy) => [policy.id, policy]));
  const texts = [...compiled, ...written.values()].map(({ id, text }): [string, string] => [
    id,
    text,
  ]);
  // Cedar keeps parsed sets by name for the whole thread. A name made from the content cannot mean two things.
  const setId = sha256(JSON.stringify(texts));
  const answer = cedar().preparsePolicySet(setId, { staticPolicies: Object.fromEntries(texts) });
  const broken = answer.type === "failure" ? answer.errors.map(({ message }) => message) : [];

  const ruleOrder = new Map(rules.map((rule, order) => [rule.id, { rule, order }]));
  const writtenOrder = new Map([...written.keys()].map((id, index) => [id, rules.length + index]));
  const visible = seenBy(rules, pipelines, written.size > 0);
  const resource = { type: "Stint::Profile", id: profile.name };

  return {
    profile,
    rules,
    handWritten: written.size > 0,
    origin(policyId) {
      const slash = policyId.indexOf("/");
      const ruled = ruleOrder.get(slash === -1 ? policyId : policyId.slice(0, slash));
      // A hand-written id may be a file's path with slashes: only what is no policy of its own is a rule's.
      if (ruled !== undefined && !written.has(policyId)) return ruled;
      return { rule: undefined, order: writtenOrder.get(policyId) ?? texts.length };
    },
    evaluate(question, seconds) {
      if (broken.length > 0) return failed(broken);
      const { principal, action } = question;
      const uid = {
        type: principal.kind === "job" ? "Stint::Job" : "Stint::Person",
        id: principal.id,
      };
      try {
        return sort(
          cedar().statefulIsAuthorized({
            principal: uid,
            action: { type: "Stint::Action", id: action },
            resource,
            context: contextOf(question, seconds, pipelines, written.size > 0),
            // No schema and no request validation: they would double the time. All that they could find is built
            // here: strings from the token, one number, one date; the policies were validated when they were loaded.
            preparsedPolicySetId: setId,
            entities: [{ uid, ...visible(principal) }],
          }),
          written,
          eventOf(principal, pipelines),
        );
      } catch (error) {
        return failed([error instanceof Error ? error.message : "Cedar failed"]);
      }
    },
  };
}

const failed = (errors: readonly string[]): Evaluated => ({
  permits: [],
  forbids: [],
  untrusted: [],
  errors,
});

function sort(
  answer: AuthorizationAnswer,
  written: ReadonlyMap<string, HandWritten>,
  event: JobEvent | undefined,
): Evaluated {
  if (answer.type === "failure") return failed(answer.errors.map(({ message }) => message));
  const { decision, diagnostics } = answer.response;
  const errors = diagnostics.errors.map(({ policyId, error }) => `${policyId}: ${error.message}`);
  if (decision !== "allow")
    return { permits: [], forbids: diagnostics.reason, untrusted: [], errors };

  const permits: string[] = [];
  const untrusted: FailedClaim[] = [];
  for (const id of diagnostics.reason) {
    const policy = written.get(id);
    // A compiled rule excludes these events in its own text; a hand-written one must name them.
    if (policy === undefined || event === undefined || policy.events.includes(event.value ?? ""))
      permits.push(id);
    else untrusted.push({ claim: event.claim, expected: event.expected, actual: event.value });
  }
  return { permits, forbids: [], untrusted: untrusted.slice(0, 1), errors };
}

interface JobEvent {
  readonly claim: string;
  readonly expected: string;
  readonly value: string | null;
}

/** The job's event if it is one that is not to be trusted, or is not told. */
function eventOf(principal: Principal, pipelines: Pipelines): JobEvent | undefined {
  if (principal.kind !== "job") return undefined;
  const untrusted = pipelineNamed(pipelines, principal.job.pipeline)?.untrustedEvents;
  if (untrusted === undefined) return undefined;
  const value = claimOf(principal, untrusted.claim);
  if (value !== undefined && !untrusted.values.includes(value)) return undefined;
  const expected = `not ${untrusted.values.join(" or ")}`;
  return { claim: untrusted.claim, expected, value: value ?? null };
}

/** Only what some policy of the profile can read: what goes into Cedar is most of what a decision costs. */
function contextOf(
  { action, principal, now, rule, event }: Question,
  seconds: number,
  pipelines: Pipelines,
  handWritten: boolean,
): Context {
  const context: Context = {};
  if (action === "request") context.seconds = seconds;
  if (action === "approve" && rule !== undefined) context.rule = rule;
  if (!handWritten) return context;
  context.now = { __extn: { fn: "datetime", arg: iso(now) } };
  const claim =
    principal.kind === "job"
      ? pipelineNamed(pipelines, principal.job.pipeline)?.untrustedEvents?.claim
      : undefined;
  context.event = event ?? (claim === undefined ? "" : (claimOf(principal, claim) ?? ""));
  return context;
}

type Attributes = Pick<EntityJson, "attrs" | "parents">;

/** What policies see of a principal: the claims and groups that the rules name, and all known ones to hand-written policies. */
function seenBy(
  rules: readonly Rule[],
  pipelines: Pipelines,
  handWritten: boolean,
): (principal: Principal) => Attributes {
  const tos = rules.flatMap(({ to, approval }) =>
    approval === undefined ? [to] : [to, approval.from],
  );
  const claims = new Set(handWritten ? knownClaims(pipelines) : []);
  const groups = new Set<string>();
  const issuer = handWritten || tos.some((to) => to.kind === "pipeline" && to.issuer !== undefined);
  for (const to of tos) {
    if (to.kind === "pipeline") for (const claim of Object.keys(to.claims)) claims.add(claim);
    const untrusted = untrustedFor(to, pipelines);
    if (untrusted !== undefined) claims.add(untrusted.claim);
    if (to.kind === "person" && "group" in to) groups.add(to.group);
  }

  return (principal) => {
    if (principal.kind === "person") {
      const seen = groupsOf(principal).filter((group) => handWritten || groups.has(group));
      return {
        attrs: { login: claimOf(principal, "login") ?? "", sub: claimOf(principal, "sub") ?? "" },
        parents: seen.map((id) => ({ type: "Stint::Group", id })),
      };
    }
    const attrs: Record<string, string> = { pipeline: principal.job.pipeline };
    if (issuer) attrs.issuer = principal.job.issuer;
    for (const claim of claims) {
      const value = claimOf(principal, claim);
      if (value !== undefined) attrs[claim] = value;
    }
    return { attrs, parents: [] };
  };
}
