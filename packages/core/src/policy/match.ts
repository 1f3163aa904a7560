import { type Pipelines, pipelineNamed } from "../config/pipelines.ts";
import type { FailedClaim } from "../decision.ts";
import type { Principal } from "../principal.ts";
import type { To } from "../profile.ts";
import { untrustedFor } from "./compile.ts";
import { like } from "./text.ts";

/** How a principal stands to a `to`. It agrees with what the compiled policy says: a property test holds it to that. */
export interface Match {
  /** The rule is for this kind of principal at all. */
  readonly kin: boolean;
  /** The principal has every id (repository, organization, group) that the rule names. */
  readonly ids: boolean;
  /** None: the `to` admits the principal. */
  readonly failed: readonly FailedClaim[];
}

export function matchTo(to: To, principal: Principal, pipelines: Pipelines): Match {
  if (to.kind === "pipeline") return matchPipeline(to, principal, pipelines);
  // No door yields Slack identities yet.
  if (to.kind === "slack") return stranger("slack group", to.group);
  if (principal.kind !== "person")
    return "group" in to ? stranger("group", to.group) : stranger("subject", to.subject);
  if ("group" in to) {
    const groups = groupsOf(principal);
    if (groups.includes(to.group)) return { kin: true, ids: true, failed: [] };
    const actual = groups.length === 0 ? null : groups.join(", ");
    return { kin: true, ids: false, failed: [{ claim: "group", expected: to.group, actual }] };
  }
  const sub = claimOf(principal, "sub") ?? null;
  const failed =
    sub === to.subject ? [] : [{ claim: "subject", expected: to.subject, actual: sub }];
  return { kin: true, ids: failed.length === 0, failed };
}

const stranger = (claim: string, expected: string): Match => ({
  kin: false,
  ids: false,
  failed: [{ claim, expected, actual: null }],
});

function matchPipeline(
  to: To & { readonly kind: "pipeline" },
  principal: Principal,
  pipelines: Pipelines,
): Match {
  if (principal.kind !== "job") return stranger("pipeline", to.pipeline);
  if (principal.job.pipeline !== to.pipeline) {
    const actual = principal.job.pipeline;
    return {
      kin: false,
      ids: false,
      failed: [{ claim: "pipeline", expected: to.pipeline, actual }],
    };
  }
  const idNames = pipelineNamed(pipelines, to.pipeline)?.ids ?? [];
  const failed: FailedClaim[] = [];
  if (to.issuer !== undefined && to.issuer !== principal.job.issuer)
    failed.push({ claim: "issuer", expected: to.issuer, actual: principal.job.issuer });
  let named = 0;
  for (const [claim, expected] of Object.entries(to.claims)) {
    const actual = claimOf(principal, claim);
    if (idNames.includes(claim)) named++;
    if (actual === undefined || !like(actual, expected))
      failed.push({ claim, expected, actual: actual ?? null });
  }
  const untrusted = untrustedFor(to, pipelines);
  if (untrusted !== undefined) {
    const actual = claimOf(principal, untrusted.claim);
    if (actual === undefined || untrusted.values.includes(actual))
      failed.push({
        claim: untrusted.claim,
        expected: `not ${untrusted.values.join(" or ")}`,
        actual: actual ?? null,
      });
  }
  // Another issuer's repository of the same number is another repository.
  const ids =
    named > 0 && !failed.some(({ claim }) => claim === "issuer" || idNames.includes(claim));
  return { kin: true, ids, failed };
}

/**
 * A claim as policies see it. One with half of a surrogate pair does not exist: the way into Cedar would replace the
 * half, and two different values would become one.
 */
export function claimOf(principal: Principal, claim: string): string | undefined {
  const value = Object.hasOwn(principal.claims, claim) ? principal.claims[claim] : undefined;
  return value?.isWellFormed() ? value : undefined;
}

export const groupsOf = (principal: Principal): readonly string[] =>
  principal.kind === "person" ? principal.groups.filter((group) => group.isWellFormed()) : [];
