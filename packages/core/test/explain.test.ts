import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Ask, decide, preparePolicy } from "../src/policy/decide.ts";
import { matchTo } from "../src/policy/match.ts";
import type { Config, Rule, To } from "../src/profile.ts";
import {
  configOf,
  GHES,
  GITHUB,
  job,
  NOW,
  PIPELINES,
  person,
  policyOf,
  yamlWith,
} from "./policy-fixture.ts";

const RULES = `
  - { id: other, profile: orders, to: { pipeline: github, repository_id: "8", ref: refs/heads/main } }
  - { id: main, profile: orders, to: { pipeline: github, repository_id: "7", ref: refs/heads/main, environment: prod }, duration: 30m }
  - { id: tags, profile: orders, to: { pipeline: github, repository_id: "7", ref: refs/tags/* } }
  - { id: people, profile: orders, to: { person: { group: devs } }, duration: 5m }
  - { id: readers, profile: orders, to: { person: { group: readers } }, may: [read] }
`;
const NOTHING = { failed: [], considered: 0 };

function refusal(over: Partial<Ask> = {}, rules = RULES) {
  const decision = decide(policyOf(rules), {
    action: "request",
    principal: job(),
    profile: "orders",
    now: NOW,
    ...over,
  });
  if (decision.allowed) throw new Error(`allowed by ${decision.rule}`);
  return decision;
}

describe("the nearest rule", () => {
  test("is one about the caller's own repository, with the fewest failed claims", () => {
    const { explanation } = refusal({ principal: job({ ref: "refs/heads/x" }) });
    expect(explanation).toEqual({
      rule: "tags",
      failed: [{ claim: "ref", expected: "refs/tags/*", actual: "refs/heads/x" }],
      considered: 4,
    });
  });

  test("comes before a rule of another repository that fits better otherwise", () => {
    const { explanation } = refusal({
      principal: job({ ref: "refs/heads/main", environment: "dev" }),
    });
    expect(explanation.rule).toBe("main");
    expect(explanation.failed).toEqual([{ claim: "environment", expected: "prod", actual: "dev" }]);
  });

  test("tells a missing claim by null, and what the event was", () => {
    const principal = job({ event_name: "workflow_run" });
    expect(refusal({ principal }).explanation.failed).toEqual([
      { claim: "environment", expected: "prod", actual: null },
      {
        claim: "event_name",
        expected: "not pull_request_target or workflow_run",
        actual: "workflow_run",
      },
    ]);
  });

  test("tells a duration beyond the cap as a failed claim", () => {
    const principal = job({ environment: "prod" });
    const duration = { claim: "duration", expected: "at most 30m", actual: "45m" };
    expect(refusal({ principal, seconds: 2700 })).toEqual({
      allowed: false,
      explanation: { rule: "main", failed: [duration], considered: 4 },
      told: { rule: "main", failed: [duration], considered: 4 },
    });
    expect(refusal({ principal, seconds: 86_400 }).told.failed).toEqual([
      { ...duration, actual: "24h" },
    ]);
  });

  test("is looked for among the rules of the action only", () => {
    expect(refusal({ action: "read", principal: person(["devs"]) }).explanation).toEqual({
      rule: "readers",
      failed: [{ claim: "group", expected: "readers", actual: "devs" }],
      considered: 1,
    });
    expect(refusal({ action: "revoke" })).toMatchObject({ explanation: NOTHING, told: NOTHING });
  });
});

describe("what the caller is told", () => {
  test("is everything to a caller that has the rule's ids", () => {
    const { explanation, told } = refusal();
    expect(explanation.rule).toBe("main");
    expect(told).toEqual(explanation);
  });

  test.each([
    ["a job of a foreign repository", job({ repository_id: "666" })],
    ["a job of another pipeline", job({}, "circleci")],
    ["a person of another group", person(["strangers"])],
    ["a person of no group", person()],
  ])("is nothing to %s, as for a profile that does not exist", (_, principal) => {
    const { explanation, told } = refusal({ principal });
    expect(explanation.rule).toBeDefined();
    expect(explanation.failed.length).toBeGreaterThan(0);
    expect(told).toEqual(NOTHING);
    expect(told).toEqual(refusal({ principal, profile: "nope" }).told);
  });

  test("takes every id that the rule names", () => {
    const both = `\n  - { id: a, profile: orders, to: { pipeline: github, repository_id: "7", repository_owner_id: "1" } }\n`;
    expect(refusal({}, both).told).toEqual(NOTHING);
    const owner = job({ repository_owner_id: "1", ref: "x" });
    const ref = both.replace('"7"', '"7", ref: y');
    expect(refusal({ principal: owner }, ref).told.rule).toBe("a");
  });

  test("is the rule to a person of its group", () => {
    expect(refusal({ principal: person(["devs"]), seconds: 600 }).told).toEqual({
      rule: "people",
      failed: [{ claim: "duration", expected: "at most 5m", actual: "10m" }],
      considered: 4,
    });
  });
});

describe("the matcher in TypeScript", () => {
  // Few letters, so that values and globs meet; odd ones, so that escapes are put to work.
  const unit = fc.constantFrom("a", "b", "*", '"', "\\", "\n", "é", "😀");
  const value = fc.string({ unit, minLength: 1, maxLength: 4 });
  const claims = ["repository_id", "ref", "event_name", "environment"] as const;
  const values = fc.oneof(value, fc.constantFrom("a", "*", "pull_request_target", "workflow_*"));
  const some = fc.dictionary(fc.constantFrom(...claims), values, { maxKeys: 4 });
  const issuer = fc.constantFrom(GITHUB, GHES);
  const names = fc.constantFrom("devs", "owners", "*", 'x"', "\\");

  const to: fc.Arbitrary<To> = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.tuple(some, fc.option(issuer, { freq: 2, nil: undefined })).map(
        ([claims, url]): To => ({
          kind: "pipeline",
          pipeline: "github",
          ...(url === undefined ? {} : { issuer: url }),
          claims,
        }),
      ),
    },
    names.map((group) => ({ kind: "person", group }) as const),
    names.map((subject) => ({ kind: "person", subject }) as const),
    names.map((group) => ({ kind: "slack", group }) as const),
  );
  const principal = fc.oneof(
    {
      weight: 4,
      arbitrary: fc
        .tuple(some, issuer)
        .map(([claims, url]) => ({ ...job({}, "github", url), claims })),
    },
    fc.tuple(fc.array(names, { maxLength: 2 }), names).map(([groups, sub]) => person(groups, sub)),
  );

  test("agrees with Cedar about every rule, principal and length", () => {
    const base: Config = configOf(yamlWith("  []\n"));
    const rules = fc.array(fc.tuple(to, fc.constantFrom(300, 1200, 7200)), {
      minLength: 1,
      maxLength: 3,
    });
    const seen = { allowed: 0, refused: 0 };
    fc.assert(
      fc.property(
        rules,
        fc.array(principal, { minLength: 4, maxLength: 4 }),
        fc.constantFrom(60, 600, 7200),
        (given, principals, seconds) => {
          const config: Config = {
            ...base,
            rules: given.map(
              ([one, capSeconds], i): Rule => ({
                id: `r${i}`,
                profile: "orders",
                to: one,
                may: ["request"],
                capSeconds,
              }),
            ),
          };
          const policy = preparePolicy(config, PIPELINES);
          for (const who of principals) {
            const expected = config.rules.find(
              (rule) =>
                matchTo(rule.to, who, PIPELINES).failed.length === 0 &&
                seconds <= (rule.capSeconds ?? 0),
            );
            const decision = decide(policy, {
              action: "request",
              principal: who,
              profile: "orders",
              seconds,
              now: NOW,
            });
            seen[decision.allowed ? "allowed" : "refused"]++;
            expect(decision.allowed ? decision.rule : undefined).toBe(expected?.id);
            if (!decision.allowed) {
              expect(decision.errors).toBeUndefined();
              expect(decision.explanation.failed.length).toBeGreaterThan(0);
            }
          }
        },
      ),
      { numRuns: 400 },
    );
    // The property says something only if both answers come up.
    expect(Math.min(seen.allowed, seen.refused)).toBeGreaterThan(50);
  });
});
