import { validatePolicies } from "../policy/validate.ts";
import type { Config } from "../profile.ts";
import { checkTogether } from "./check.ts";
import { findingsOf } from "./issues.ts";
import type { Pipelines } from "./pipelines.ts";
import type { Problem } from "./problem.ts";
import { toConfig } from "./resolve.ts";
import { ConfigSchema } from "./schema.ts";
import { readYaml } from "./yaml.ts";

export type { Problem } from "./problem.ts";

export type ParsedConfig =
  | {
      readonly ok: true;
      readonly config: Config;
      readonly warnings: readonly Problem[];
    }
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
  return {
    ok: true,
    config,
    warnings: [...warnings, ...policies.warnings],
  };
}

const byPlace = (a: Problem, b: Problem): number =>
  (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0);
