/** A decision's cost must follow the rules of its own profile, not those of the company. */

import { parseConfig } from "@stint/core/config/load";
import { decide, preparePolicy } from "@stint/core/policy/decide";
import type { Principal } from "@stint/core/principal";
import { pipelineClaims } from "@stint/pipelines/registry";
import { type Bench, median, RUNS, rounded } from "./row.ts";

const NOW = Date.parse("2026-11-22T12:00:00Z");

/** Rules spread over profiles like cards; every rule is about a repository of its own. */
function configuration(rules: number, profiles: number) {
  const profile = (at: number) => `profile-${at % profiles}`;
  const yaml = {
    version: 1,
    audience: "https://stint.example.com",
    profiles: Object.fromEntries(
      Array.from({ length: profiles }, (_, at) => [
        profile(at),
        {
          duration: { default: "20m", max: "2h" },
          lease: "15m",
          targets: {
            aws: {
              kind: "aws",
              role: `arn:aws:iam::000000000000:role/stint/${profile(at)}`,
              allow: [{ actions: ["s3:GetObject"], resources: ["arn:aws:s3:::it/${namespace}/*"] }],
            },
          },
        },
      ]),
    ),
    rules: Array.from({ length: rules }, (_, at) => ({
      id: `rule-${at}`,
      profile: profile(at),
      to: { pipeline: "github", repository_id: String(1000 + at), ref: "refs/heads/main" },
      duration: "30m",
    })),
  };
  // JSON is YAML.
  const parsed = parseConfig(JSON.stringify(yaml), {}, pipelineClaims());
  if (!parsed.ok) throw new Error(parsed.problems.map(({ message }) => message).join("; "));
  return parsed.config;
}

/** Decides for jobs of every profile in turn, each admitted by its profile's last rule. */
function decider(rules: number, profiles: number): () => void {
  const policy = preparePolicy(configuration(rules, profiles), pipelineClaims());
  const asks = Array.from({ length: profiles }, (_, at) => {
    const rule = rules - profiles + at;
    return { profile: `profile-${rule % profiles}`, principal: jobOf(String(1000 + rule)) };
  });
  let turn = 0;
  return () => {
    const ask = asks[turn++ % profiles];
    if (ask === undefined) throw new Error("there is nothing to ask");
    const { allowed } = decide(policy, { action: "request", seconds: 600, now: NOW, ...ask });
    if (!allowed) throw new Error(`${ask.profile} was refused`);
  };
}

const jobOf = (repository: string): Principal => ({
  kind: "job",
  id: `github:token.actions.githubusercontent.com:${repository}:1:1:1`,
  claims: { repository_id: repository, ref: "refs/heads/main", event_name: "push" },
  job: {
    pipeline: "github",
    issuer: "https://token.actions.githubusercontent.com",
    run: "1",
    attempt: "1",
    job: "1",
  },
});

const COUNTS = [
  { rules: 2, profiles: 1 },
  { rules: 200, profiles: 50 },
  { rules: 2_000, profiles: 50 },
  { rules: 2_000, profiles: 500 },
] as const;

const nameOf = ({ rules, profiles }: (typeof COUNTS)[number]) =>
  `${rules} rules, ${profiles} profiles`;

export const decisions: Bench = async (size) => {
  const counts = size === "full" ? COUNTS : COUNTS.slice(0, 2);
  const kinds = counts.map((of) => ({
    name: nameOf(of),
    run: decider(of.rules, of.profiles),
    us: [] as number[],
  }));
  const many = size === "full" ? 1_000 : 2;
  for (let round = size === "full" ? -1 : 0; round < RUNS[size]; round++)
    for (const { run, us } of kinds) {
      const started = performance.now();
      for (let i = 0; i < many; i++) run();
      // The first round prepares the profiles.
      if (round >= 0) us.push(((performance.now() - started) * 1000) / many);
    }
  const [two, twoHundred] = kinds.map(({ us }) => us);
  const ratios = (twoHundred ?? []).map((us, round) => us / (two?.[round] ?? Number.NaN));
  return [
    {
      name: "decision at 200 rules / at 2",
      measured: rounded(median(ratios)),
      unit: "×",
      budget: 2,
      parts: Object.fromEntries(kinds.map(({ name, us }) => [`${name} µs`, rounded(median(us))])),
      note: `${RUNS[size]} rounds of ${many} in turns, profiles prepared; each asked for by the job that its last rule admits`,
    },
  ];
};
