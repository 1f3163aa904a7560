import type { Pipelines } from "../config/pipelines.ts";
import type { Action, Explanation, FailedClaim } from "../decision.ts";
import type { Principal } from "../principal.ts";
import type { Profile, Rule, To } from "../profile.ts";
import { durationText } from "../time.ts";
import { capOf } from "./compile.ts";
import { type Match, matchTo } from "./match.ts";

/** One way in which a rule may allow the action: by its `to`, or as approver by its `approval.from`. */
interface Way {
  readonly rule: Rule;
  readonly to: To;
  /** Only for `request`. */
  readonly capSeconds?: number;
}

export interface Look extends Way {
  readonly match: Match;
}

/** What a caller learns who is entitled to nothing: the same as for a profile that does not exist. */
export const NOTHING: Explanation = { failed: [], considered: 0 };

/** The ways in which the rules of a profile could allow an action, in the file's order. */
export function waysTo(
  action: Action,
  rules: readonly Rule[],
  profile: Profile,
  requestRule?: string,
): readonly Way[] {
  const ways: Way[] = [];
  for (const rule of rules) {
    if (action !== "breakGlass" && rule.may.includes(action))
      ways.push({
        rule,
        to: rule.to,
        ...(action === "request" ? { capSeconds: capOf(rule, profile) } : {}),
      });
    if (action === "approve" && rule.approval !== undefined && rule.id === requestRule)
      ways.push({ rule, to: rule.approval.from });
  }
  return ways;
}

export const lookAt = (
  ways: readonly Way[],
  principal: Principal,
  pipelines: Pipelines,
): readonly Look[] => ways.map((way) => ({ ...way, match: matchTo(way.to, principal, pipelines) }));

/** Why a request is refused: `full` for the audit log, `told` for the caller. */
export function explain(
  looks: readonly Look[],
  seconds: number | undefined,
  /** What stands against the request beside the rules: a forbid, or an untrusted event. */
  besides: readonly FailedClaim[] = [],
): { readonly full: Explanation; readonly told: Explanation } {
  const ranked = looks
    .map((look) => ({ look, failed: [...failures(look, seconds), ...besides] }))
    .toSorted(
      (a, b) =>
        // A rule about the caller's own repository says more than one about another's, however much else of it fits.
        Number(b.look.match.ids) - Number(a.look.match.ids) ||
        Number(b.look.match.kin) - Number(a.look.match.kin) ||
        a.failed.length - b.failed.length,
    );
  const nearest = ranked[0];
  const considered = looks.length;
  if (nearest === undefined) return { full: { failed: besides, considered }, told: NOTHING };
  const full = { rule: nearest.look.rule.id, failed: nearest.failed, considered };
  return { full, told: nearest.look.match.ids ? full : NOTHING };
}

function failures(look: Look, seconds: number | undefined): readonly FailedClaim[] {
  const { capSeconds, match } = look;
  if (seconds === undefined || capSeconds === undefined || seconds <= capSeconds)
    return match.failed;
  return [...match.failed, durationFailure(seconds, capSeconds)];
}

export const durationFailure = (seconds: number, mostSeconds: number): FailedClaim => ({
  claim: "duration",
  expected: `at most ${durationText(mostSeconds)}`,
  actual: durationText(seconds),
});
