import type { Pipelines } from "../config/pipelines.ts";
import type { Action, Allowed, Decision, FailedClaim, Refused } from "../decision.ts";
import type { Principal } from "../principal.ts";
import type { Config, Profile, Rule } from "../profile.ts";
import { durationFailure, explain, type Look, lookAt, NOTHING, waysTo } from "./explain.ts";
import { readCedarFiles } from "./handwritten.ts";
import { type Evaluated, type Prepared, prepareProfile } from "./prepare.ts";

/** The rules of a configuration, ready to decide. */
export interface Policy {
  /** The configuration's hash: the policy version that audit records name. */
  readonly version: string;
  readonly config: Config;
  readonly pipelines: Pipelines;
  /** A profile's policies, parsed when it is first asked for; undefined where there is no such profile. */
  readonly prepared: (profile: string) => Prepared | undefined;
}

export interface Ask {
  readonly action: Action;
  readonly principal: Principal;
  readonly profile: string;
  /** For `request`: the asked-for length; without it the profile's default, or the rule's cap if lower. */
  readonly seconds?: number | undefined;
  /** Epoch ms. */
  readonly now: number;
  /** For `approve`: the rule whose approval the grant waits for. */
  readonly rule?: string | undefined;
  /** What hand-written policies see as `context.event`; without it the event that the token claims. */
  readonly event?: string | undefined;
}

/**
 * Profiles are parsed on first use: a function decides about one or two in its life, and parsing two thousand rules
 * would cost every cold start half a second. The configuration must have come from parseConfig, which validated it.
 */
export function preparePolicy(config: Config, pipelines: Pipelines): Policy {
  const prepared = new Map<string, Prepared>();
  const { policies: handWritten } = readCedarFiles(config.cedar);
  return {
    version: config.hash,
    config,
    pipelines,
    prepared(name) {
      const known = prepared.get(name);
      if (known !== undefined) return known;
      const profile = Object.hasOwn(config.profiles, name) ? config.profiles[name] : undefined;
      if (profile === undefined) return undefined;
      const made = prepareProfile(config, profile, pipelines, handWritten);
      prepared.set(name, made);
      return made;
    },
  };
}

/** Decides by Cedar; the rules are matched here only to choose what to ask and to explain a refusal. */
export function decide(policy: Policy, ask: Ask): Decision {
  const prepared = policy.prepared(ask.profile);
  if (prepared === undefined) return noProfile(ask.profile);
  const { profile } = prepared;
  const looks = lookAt(
    waysTo(ask.action, prepared.rules, profile, ask.rule),
    ask.principal,
    policy.pipelines,
  );

  // Cedar's schema says it too, but requests are not validated against it, and a catch-all permit would admit a job.
  if (ask.action === "approve" && ask.principal.kind !== "person") return refused(looks, undefined);
  const asked = ask.action === "request" ? ask.seconds : undefined;
  if (asked !== undefined && !(Number.isSafeInteger(asked) && asked > 0))
    return refused(looks, undefined, [durationFailure(asked, profile.maxSeconds)]);
  // Hand-written permits know no cap of their own, so the profile's bound is held here for all.
  if (asked !== undefined && asked > profile.maxSeconds)
    return refused(
      looks,
      asked,
      looks.length > 0 ? [] : [durationFailure(asked, profile.maxSeconds)],
    );

  let last: Evaluated | undefined;
  for (const seconds of lengths(ask, prepared, looks)) {
    last = prepared.evaluate(ask, seconds);
    // An error may hide a forbid that did not apply: it denies, whatever else was permitted.
    if (last.errors.length > 0) return { ...refused(looks, asked), errors: last.errors };
    const chosen = choose(last.permits, prepared, ask.action, seconds);
    if (chosen !== undefined) return chosen;
  }
  return refused(looks, asked, against(last));
}

/** The lengths to ask for, longest first: one, nearly always. */
function lengths(ask: Ask, prepared: Prepared, looks: readonly Look[]): readonly number[] {
  if (ask.action !== "request") return [0];
  if (ask.seconds !== undefined) return [ask.seconds];
  const { defaultSeconds } = prepared.profile;
  const lengths = new Set<number>();
  for (const { match, capSeconds } of looks)
    if (match.failed.length === 0)
      lengths.add(Math.min(defaultSeconds, capSeconds ?? defaultSeconds));
  if (lengths.size === 0 || prepared.handWritten) lengths.add(defaultSeconds);
  return [...lengths].sort((a, b) => b - a);
}

/** Of what permits: what needs no approval first, then the file's order, hand-written policies last. */
function choose(
  permits: readonly string[],
  prepared: Prepared,
  action: Action,
  seconds: number,
): Allowed | undefined {
  let best:
    | { readonly id: string; readonly rule: Rule | undefined; readonly rank: number }
    | undefined;
  for (const id of permits) {
    const { rule, order } = prepared.origin(id);
    const waits = action === "request" && rule?.approval !== undefined;
    const rank = order + (waits ? Number.MAX_SAFE_INTEGER / 2 : 0);
    if (best === undefined || rank < best.rank) best = { id: rule?.id ?? id, rule, rank };
  }
  if (best === undefined) return undefined;
  const approval = action === "request" ? best.rule?.approval : undefined;
  return {
    allowed: true,
    rule: best.id,
    seconds,
    ...(approval === undefined
      ? {}
      : {
          approval: { rule: best.id, count: approval.count, withinSeconds: approval.withinSeconds },
        }),
  };
}

function against(evaluated: Evaluated | undefined): readonly FailedClaim[] {
  if (evaluated === undefined) return [];
  return [
    ...evaluated.forbids.map((id) => ({ claim: "policy", expected: "not forbidden", actual: id })),
    ...evaluated.untrusted,
  ];
}

function refused(
  looks: readonly Look[],
  seconds: number | undefined,
  besides: readonly FailedClaim[] = [],
): Refused {
  const { full, told } = explain(looks, seconds, besides);
  return { allowed: false, explanation: full, told };
}

const noProfile = (name: string): Refused => ({
  allowed: false,
  explanation: {
    failed: [{ claim: "profile", expected: "a profile of the configuration", actual: name }],
    considered: 0,
  },
  told: NOTHING,
});

/** The profiles on which the principal has the action now, in the file's order. */
export function eligible(
  policy: Policy,
  principal: Principal,
  action: Action,
  now: number,
): readonly string[] {
  return Object.values(policy.config.profiles)
    .filter((profile) => mayOn(policy, principal, action, now, profile))
    .map(({ name }) => name);
}

function mayOn(
  policy: Policy,
  principal: Principal,
  action: Action,
  now: number,
  profile: Profile,
): boolean {
  const rules = policy.config.rules.filter((rule) => rule.profile === profile.name);
  const requests =
    action === "approve"
      ? [undefined, ...rules.filter((rule) => rule.approval !== undefined).map(({ id }) => id)]
      : [undefined];
  return requests.some((rule) => {
    const looks = lookAt(waysTo(action, rules, profile, rule), principal, policy.pipelines);
    // Rules that match nobody need no Cedar to say no; only hand-written policies could say otherwise.
    const hopeless =
      !looks.some((look) => look.match.failed.length === 0) &&
      Object.keys(policy.config.cedar).length === 0;
    return (
      !hopeless && decide(policy, { action, principal, profile: profile.name, now, rule }).allowed
    );
  });
}
