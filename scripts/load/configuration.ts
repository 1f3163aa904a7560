/** A configuration made for load: as many profiles as wanted, each with a role of its own. */
import { parseConfig } from "@stint/core/config/load";
import type { Config } from "@stint/core/profile";
import { pipelineClaims } from "@stint/pipelines/registry";

export const BUCKET = "load-it";
/** People who may revoke. */
export const OWNERS = "load-owners";

/** A profile and its role have one name. */
export const profileName = (number: number): string => `load-${number}`;

export function loadConfig(roles: number): Config {
  const names = Array.from({ length: roles }, (_, number) => profileName(number));
  const profiles = names.map((name) => [
    name,
    {
      duration: { default: "10m", max: "1h" },
      lease: "5m",
      targets: {
        aws: {
          kind: "aws",
          role: `arn:aws:iam::000000000000:role/stint/${name}`,
          allow: [
            { actions: ["s3:PutObject"], resources: [`arn:aws:s3:::${BUCKET}/\${namespace}/*`] },
          ],
        },
      },
    },
  ]);
  const rules = names.flatMap((profile) => [
    {
      id: `${profile}-jobs`,
      profile,
      to: { pipeline: "github", repository_id: "186853002", ref: "refs/heads/main" },
    },
    {
      id: `${profile}-owners`,
      profile,
      to: { person: { group: OWNERS } },
      may: ["read", "revoke"],
    },
  ]);
  const text = JSON.stringify({
    version: 1,
    audience: "https://stint.load.test",
    issuers: [{ login: "local", url: "https://login.load.test" }],
    profiles: Object.fromEntries(profiles),
    rules,
  });
  const parsed = parseConfig(text, {}, pipelineClaims());
  if (parsed.ok) return parsed.config;
  throw new Error(parsed.problems.map(({ path, message }) => `${path}: ${message}`).join("\n"));
}
