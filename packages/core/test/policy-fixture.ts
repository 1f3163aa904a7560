import { parseConfig } from "../src/config/load.ts";
import type { Pipelines } from "../src/config/pipelines.ts";
import { type Policy, preparePolicy } from "../src/policy/decide.ts";
import type { JobPrincipal, PersonPrincipal } from "../src/principal.ts";
import type { Config } from "../src/profile.ts";

export const NOW = Date.parse("2026-11-22T10:00:00Z");

export const GITHUB = "https://token.actions.githubusercontent.com";
/** A GitHub Enterprise Server that stands beside it. */
export const GHES = "https://ghe.acme.test/_services/token";

export const PIPELINES: Pipelines = {
  github: {
    claims: [
      ...["sub", "repository", "repository_id", "repository_owner", "repository_owner_id"],
      ...["enterprise_id", "ref", "ref_type", "event_name", "environment", "job_workflow_ref"],
    ],
    ids: ["repository_id", "repository_owner_id", "enterprise_id"],
    publicIssuers: [GITHUB],
    untrustedEvents: { claim: "event_name", values: ["pull_request_target", "workflow_run"] },
  },
  circleci: {
    claims: ["sub", "oidc.circleci.com/project-id", "oidc.circleci.com/vcs-ref"],
    ids: ["oidc.circleci.com/project-id"],
    publicIssuers: [],
  },
};

/** A configuration of one profile, `orders` (default 20m, max 2h), and the rules given as YAML list items. */
export const yamlWith = (rules: string, more = ""): string => `version: 1
audience: https://stint.local.test
issuers:
  - { login: acme, url: https://login.acme.test }
profiles:
  orders:
    duration: { default: 20m, max: 2h }
    targets:
      aws:
        kind: aws
        role: arn:aws:iam::111122223333:role/stint/orders
        allow: [{ actions: [s3:GetObject], resources: ["arn:aws:s3:::it/\${namespace}/*"] }]
${more}rules:
${rules}`;

export function configOf(yaml: string, cedar: Record<string, string> = {}): Config {
  const parsed = parseConfig(yaml, cedar, PIPELINES);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems, null, 1));
  return parsed.config;
}

export const policyOf = (rules: string, cedar: Record<string, string> = {}): Policy =>
  preparePolicy(configOf(yamlWith(rules), cedar), PIPELINES);

/** A job of repository 7 on main, pushed. An undefined claim is left out. */
export function job(
  claims: Record<string, string | undefined> = {},
  pipeline = "github",
  issuer = GITHUB,
): JobPrincipal {
  const all = { repository_id: "7", ref: "refs/heads/main", event_name: "push", ...claims };
  return {
    kind: "job",
    id: `${pipeline}:${new URL(issuer).host}:7:1:1:2`,
    claims: Object.fromEntries(
      Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
    ),
    job: { pipeline, issuer, run: "1", attempt: "1", job: "2" },
  };
}

export const person = (groups: readonly string[] = [], sub = "ada"): PersonPrincipal => ({
  kind: "person",
  id: `person:acme:${sub}`,
  claims: { login: "acme", sub },
  groups,
});
