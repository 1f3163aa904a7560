import { issuersOf, type Pipelines } from "../config/pipelines.ts";
import type { Problem } from "../config/problem.ts";
import type { Config } from "../profile.ts";
import { cedar, type ValidationError } from "./cedar.ts";
import { cedarSchema } from "./cedar-schema.ts";
import { compileProfile } from "./compile.ts";
import { cedarProblems, type HandWritten, place, readCedarFiles } from "./handwritten.ts";

interface Validation {
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/** An @id hides the file, so the path names both. */
const pathOf = ({ id, file }: HandWritten): string => (id.startsWith(file) ? id : `${file}: ${id}`);

/** Whether some pipeline has more than one trusted issuer. */
const severalIssuers = ({ issuers }: Config, pipelines: Pipelines): boolean =>
  Object.entries(pipelines).some(([name, pipeline]) => {
    const own = issuers.filter((issuer) => issuer.pipeline === name).map(({ url }) => url);
    return issuersOf(pipeline, own).length > 1;
  });

/** Validates every policy, compiled or hand-written, strictly against the schema. */
export function validatePolicies(config: Config, pipelines: Pipelines): Validation {
  const { policies: written, problems: unread } = readCedarFiles(config.cedar);
  const compiled = Object.keys(config.profiles).flatMap((profile) =>
    compileProfile(config, pipelines, profile),
  );
  const fileText = (policy: HandWritten): string => config.cedar[policy.file] ?? "";
  const problems = [...unread];

  const taken = new Set([...compiled.map(({ id }) => id), ...config.rules.map(({ id }) => id)]);
  for (const policy of written) {
    // The id is what a grant and its audit records name as the rule: it must name one thing.
    if (taken.has(policy.id))
      problems.push({
        path: policy.id,
        message: "there is another rule or policy of this id",
        ...place(fileText(policy), policy.offset),
      });
    taken.add(policy.id);
  }
  if (problems.length > 0) return { problems, warnings: [] };

  const answer = cedar().validate({
    validationSettings: { mode: "strict" },
    schema: cedarSchema(pipelines),
    policies: {
      staticPolicies: Object.fromEntries(
        [...compiled, ...written].map(({ id, text }) => [id, text]),
      ),
    },
  });
  if (answer.type === "failure")
    return { problems: cedarProblems(answer.errors, "policies", ""), warnings: [] };

  const byId = new Map(written.map((policy) => [policy.id, policy]));
  const told = (found: readonly ValidationError[]): Problem[] =>
    found.flatMap(({ policyId, error }) => {
      const policy = byId.get(policyId);
      if (policy === undefined) return [{ path: `rule ${policyId}`, message: error.message }];
      return cedarProblems([error], pathOf(policy), fileText(policy), policy.offset);
    });
  const open = written
    .filter((policy) => policy.unconditional)
    .map((policy) => ({
      path: pathOf(policy),
      message: "permits everyone who can get any token",
      ...place(fileText(policy), policy.offset),
    }));
  const ambiguous = severalIssuers(config, pipelines)
    ? written.filter((policy) => policy.anyIssuer && !policy.unconditional)
    : [];
  const anyIssuer = ambiguous.map((policy) => ({
    path: pathOf(policy),
    message: "permits jobs whichever issuer they come from, and ids collide between issuers",
    hint: 'add principal.issuer == "<URL>" to its conditions',
    ...place(fileText(policy), policy.offset),
  }));
  return {
    problems: told(answer.validationErrors),
    warnings: [...told(answer.validationWarnings), ...open, ...anyIssuer],
  };
}
