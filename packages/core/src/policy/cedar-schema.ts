import type { Pipelines } from "../config/pipelines.ts";
import { quote } from "./text.ts";

/** Attributes of a job that are not claims. */
const OWN = ["pipeline", "issuer"];

/** Every claim of every pipeline, once. */
export const knownClaims = (pipelines: Pipelines): readonly string[] => [
  ...new Set(Object.values(pipelines).flatMap((pipeline) => pipeline.claims)),
];

/**
 * The Cedar schema that policies are validated against. Claims are optional, so that a hand-written policy which reads
 * one without asking `has` does not load, instead of failing when the first token lacks it.
 */
export function cedarSchema(pipelines: Pipelines): string {
  const claims = knownClaims(pipelines);
  const taken = claims.find((claim) => OWN.includes(claim));
  if (taken !== undefined) throw new RangeError(`a claim cannot be called ${taken}`);
  const attributes = claims.map((claim) => `    ${quote(claim)}?: String,`).join("\n");
  const everyone = "principal: [Job, Person], resource: [Profile]";
  return `namespace Stint {
  entity Group;
  entity SlackGroup;
  entity Profile;
  entity Person in [Group, SlackGroup] { login: String, sub: String };
  entity Job {
    pipeline: String,
    issuer: String,
${attributes}
  };
  action request appliesTo { ${everyone}, context: { seconds: Long, now: datetime, event: String } };
  action approve appliesTo { principal: [Person], resource: [Profile], context: { now: datetime, event: String, rule?: String } };
  action read, revoke, readAudit, breakGlass appliesTo { ${everyone}, context: { now: datetime, event: String } };
}
`;
}
