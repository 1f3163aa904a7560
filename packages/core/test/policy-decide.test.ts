import { describe, expect, test } from "vitest";
import type { Decision } from "../src/decision.ts";
import { type Ask, decide, eligible, preparePolicy } from "../src/policy/decide.ts";
import { configOf, job, NOW, PIPELINES, person, policyOf, yamlWith } from "./policy-fixture.ts";

const MAIN = `
  - { id: main, profile: orders, to: { pipeline: github, repository_id: "7", ref: refs/heads/main }, duration: 30m }
`;
const PEOPLE = `
  - id: people
    profile: orders
    to: { person: { group: devs } }
    approval: { from: { person: { group: owners } }, count: 2, within: 1h }
  - { id: owners, profile: orders, to: { person: { group: owners } }, may: [read, revoke, readAudit] }
`;

const ask = (over: Partial<Ask> = {}): Ask => ({
  action: "request",
  principal: job(),
  profile: "orders",
  now: NOW,
  ...over,
});

const answer = (rules: string, over: Partial<Ask> = {}, cedar?: Record<string, string>): Decision =>
  decide(policyOf(rules, cedar), ask(over));

/** The rule and the seconds that were granted, or `refused`. */
const short = (rules: string, over: Partial<Ask> = {}, cedar?: Record<string, string>) => {
  const decision = answer(rules, over, cedar);
  return decision.allowed ? `${decision.rule} ${decision.seconds}` : "refused";
};

describe("length", () => {
  test("without a requested length the default is granted", () => {
    expect(short(MAIN)).toBe("main 1200");
  });

  test("a cap under the default caps it", () => {
    expect(short(MAIN.replace("30m", "5m"))).toBe("main 300");
  });

  test("the largest of the matching rules counts", () => {
    const rules = `
  - { id: a, profile: orders, to: { pipeline: github, repository_id: "7" }, duration: 5m }
  - { id: b, profile: orders, to: { pipeline: github, repository_id: "7" }, duration: 10m }
  - { id: c, profile: orders, to: { pipeline: github, repository_id: "8" }, duration: 19m }
`;
    expect(short(rules)).toBe("b 600");
    expect(short(rules, { seconds: 300 })).toBe("a 300");
    expect(short(rules, { seconds: 301 })).toBe("b 301");
    expect(short(rules, { seconds: 601 })).toBe("refused");
  });

  test("a requested length is granted up to the rule's cap, and not a second more", () => {
    expect(short(MAIN, { seconds: 60 })).toBe("main 60");
    expect(short(MAIN, { seconds: 1800 })).toBe("main 1800");
    expect(short(MAIN, { seconds: 1801 })).toBe("refused");
  });

  test("the profile's max holds for hand-written permits too", () => {
    const cedar = {
      "x.cedar": `permit (principal, action == Stint::Action::"request", resource);`,
    };
    expect(short("  []\n", { seconds: 7200 }, cedar)).toBe("x.cedar#1 7200");
    const decision = answer("  []\n", { seconds: 7201 }, cedar);
    expect(decision).toMatchObject({
      allowed: false,
      explanation: { failed: [{ claim: "duration", expected: "at most 2h", actual: "7201s" }] },
      told: { failed: [], considered: 0 },
    });
  });

  test.each([0, -5, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 1e300])(
    "%s seconds are no length",
    (seconds) => {
      expect(answer(MAIN, { seconds })).toMatchObject({
        allowed: false,
        explanation: { failed: [{ claim: "duration" }] },
      });
    },
  );

  test("other actions have no length and ignore one", () => {
    const rules = MAIN.replace("duration", "may: [request, read], duration");
    expect(short(rules, { action: "read", seconds: 99_999 })).toBe("main 0");
  });
});

describe("which rule", () => {
  const two = (first: string, second: string) => `
  - { id: a, profile: orders, to: { person: { group: devs } }${first} }
  - { id: b, profile: orders, to: { person: { group: devs } }${second} }
`;
  const approval = ", approval: { from: { person: { group: owners } } }";
  const dev = { principal: person(["devs"]) };

  test("the file's order decides", () => {
    expect(short(two("", ""), dev)).toBe("a 1200");
  });

  test("one without approval comes before one with", () => {
    expect(short(two(approval, ""), dev)).toBe("b 1200");
    expect(answer(two(approval, approval), dev)).toEqual({
      allowed: true,
      rule: "a",
      seconds: 1200,
      approval: { rule: "a", count: 1, withinSeconds: 28_800 },
    });
  });

  test("where only the rule with approval allows the length, it decides", () => {
    expect(short(two(approval, ", duration: 5m"), { ...dev, seconds: 600 })).toBe("a 600");
  });

  test("rules come before hand-written policies, those before a rule that waits for approval", () => {
    const cedar = {
      "x.cedar": `@id("hand") permit (principal is Stint::Person, action, resource);`,
    };
    expect(short(two("", ""), dev, cedar)).toBe("a 1200");
    expect(short(two(approval, approval), dev, cedar)).toBe("hand 1200");
  });
});

describe("pipelines", () => {
  test.each([
    ["another repository", { repository_id: "8" }],
    ["a missing claim", { ref: undefined }],
    ["another ref", { ref: "refs/heads/main2" }],
    ["pull_request_target", { event_name: "pull_request_target" }],
    ["workflow_run", { event_name: "workflow_run" }],
    ["no event at all", { event_name: undefined }],
  ])("%s is refused", (_, claims) => {
    expect(short(MAIN, { principal: job(claims) })).toBe("refused");
  });

  test("a job of another pipeline with the same claims is refused", () => {
    expect(short(MAIN, { principal: job({}, "circleci") })).toBe("refused");
  });

  test("an untrusted event that the rule names is admitted, one that a glob covers is not", () => {
    const naming = (event: string) => MAIN.replace("ref:", `event_name: "${event}", ref:`);
    const principal = job({ event_name: "workflow_run" });
    expect(short(naming("workflow_run"), { principal })).toBe("main 1200");
    expect(short(naming("workflow_*"), { principal })).toBe("refused");
  });

  test("globs match as in Cedar, claims with odd names too", () => {
    const rules = `
  - id: ci
    profile: orders
    to: { pipeline: circleci, oidc.circleci.com/project-id: abc, oidc.circleci.com/vcs-ref: refs/*/main }
`;
    const claims = { "oidc.circleci.com/project-id": "abc" };
    const at = (ref: string) =>
      short(rules, { principal: job({ ...claims, "oidc.circleci.com/vcs-ref": ref }, "circleci") });
    expect(at("refs/heads/main")).toBe("ci 1200");
    expect(at("refs//main")).toBe("ci 1200");
    expect(at("refs/main")).toBe("refused");
  });

  test("half of a surrogate pair is not the replacement character", () => {
    const rules = MAIN.replace("refs/heads/main", '"a\\uFFFD"');
    expect(short(rules, { principal: job({ ref: "a\uFFFD" }) })).toBe("main 1200");
    const half = answer(rules, { principal: job({ ref: "a\uD800" }) });
    // Not an error either: a stranger's token must not ring the alarm.
    expect(half).toMatchObject({ allowed: false, explanation: { failed: [{ actual: null }] } });
    expect(half).not.toHaveProperty("errors");
  });
});

describe("people", () => {
  const owner = person(["owners"]);

  test("a rule's may is what its group may, and nothing else", () => {
    const may = (action: Ask["action"]) => answer(PEOPLE, { action, principal: owner }).allowed;
    expect(
      (["request", "approve", "read", "revoke", "readAudit", "breakGlass"] as const).filter(may),
    ).toEqual(["read", "revoke", "readAudit"]);
  });

  test("a subject is one person, not a group of that name", () => {
    const rules = `\n  - { id: a, profile: orders, to: { person: { subject: ada } } }\n`;
    expect(short(rules, { principal: person([], "ada") })).toBe("a 1200");
    expect(short(rules, { principal: person(["ada"], "eve") })).toBe("refused");
  });

  test("approvers approve the requests of their rule only", () => {
    const approve = (rule: string | undefined, principal = owner) =>
      answer(PEOPLE, { action: "approve", principal, rule }).allowed;
    expect(approve("people")).toBe(true);
    expect(approve("owners")).toBe(false);
    expect(approve(undefined)).toBe(false);
    expect(approve("people", person(["devs"]))).toBe(false);
    expect(answer(PEOPLE, { action: "approve", principal: owner, rule: "people" })).toEqual({
      allowed: true,
      rule: "people",
      seconds: 0,
    });
  });

  test("a job never approves, whatever a hand-written policy permits", () => {
    const cedar = { "x.cedar": "permit (principal, action, resource);" };
    expect(answer(PEOPLE, { action: "approve", rule: "people" }, cedar).allowed).toBe(false);
    expect(answer(PEOPLE, { action: "approve", principal: owner }, cedar).allowed).toBe(true);
  });

  test("a Slack group is no group of a login", () => {
    const rules = `\n  - { id: a, profile: orders, to: { slack: { group: S1 } } }\n`;
    expect(short(rules, { principal: person(["S1"]) })).toBe("refused");
  });
});

describe("hand-written policies", () => {
  const freeze = `@id("freeze")
forbid (principal, action == Stint::Action::"request", resource)
when { context.now >= datetime("2026-12-24") && context.event == "push" };`;
  const open = `permit (principal is Stint::Job, action == Stint::Action::"request", resource)
when { principal has environment && principal.environment == "prod" };`;
  const prod = (event: string | undefined) => ({
    principal: job({ environment: "prod", repository_id: "9", event_name: event }),
  });

  test("a forbid wins over every rule, by time and event", () => {
    const christmas = Date.parse("2026-12-25T00:00:00Z");
    expect(short(MAIN, {}, { "a.cedar": freeze })).toBe("main 1200");
    expect(short(MAIN, { now: christmas }, { "a.cedar": freeze })).toBe("refused");
    expect(short(MAIN, { now: christmas, event: "schedule" }, { "a.cedar": freeze })).toBe(
      "main 1200",
    );
    expect(answer(MAIN, { now: christmas }, { "a.cedar": freeze })).toMatchObject({
      explanation: { rule: "main", failed: [{ claim: "policy", actual: "freeze" }] },
    });
  });

  test("a permit's id is the rule: its @id, or file and number", () => {
    expect(short(MAIN, prod("push"), { "a.cedar": open })).toBe("a.cedar#1 1200");
    expect(short(MAIN, prod("push"), { "a.cedar": `@id("open") ${open}` })).toBe("open 1200");
  });

  test("a file of more than ten policies is numbered in its own order", () => {
    const many = Array.from(
      { length: 12 },
      (_, i) => `permit (principal == Stint::Person::"person:acme:${i + 1}", action, resource);`,
    ).join("\n");
    expect(short("  []\n", { principal: person([], "2") }, { "a.cedar": many })).toBe(
      "a.cedar#2 1200",
    );
    expect(short("  []\n", { principal: person([], "12") }, { "a.cedar": many })).toBe(
      "a.cedar#12 1200",
    );
  });

  test("a permit does not admit an untrusted or untold event unless it names it", () => {
    expect(short(MAIN, prod("pull_request_target"), { "a.cedar": open })).toBe("refused");
    expect(short(MAIN, prod(undefined), { "a.cedar": open })).toBe("refused");
    const named = { "a.cedar": `@events("workflow_run, pull_request_target") ${open}` };
    expect(short(MAIN, prod("pull_request_target"), named)).toBe("a.cedar#1 1200");
    expect(short(MAIN, prod("workflow_run"), named)).toBe("a.cedar#1 1200");
    expect(short(MAIN, prod(undefined), named)).toBe("refused");
    // What the caller says of the event does not make the token's own event a trusted one.
    expect(short(MAIN, { ...prod("workflow_run"), event: "push" }, { "a.cedar": open })).toBe(
      "refused",
    );
  });

  test("an error inside an evaluation denies and is told", () => {
    const overflow = `forbid (principal, action == Stint::Action::"request", resource)
when { context.seconds * 9223372036854775807 > 1 };`;
    const decision = answer(MAIN, {}, { "a.cedar": overflow });
    expect(decision).toMatchObject({ allowed: false });
    expect(!decision.allowed && decision.errors?.[0]).toContain("a.cedar#1: ");
  });

  test("a policy that cannot be parsed denies and is told, should it ever get so far", () => {
    const config = configOf(yamlWith(MAIN));
    const [rule] = config.rules;
    const broken = preparePolicy(
      { ...config, rules: rule === undefined ? [] : [{ ...rule, capSeconds: Number.NaN }] },
      PIPELINES,
    );
    const decision = decide(broken, ask());
    expect(decision.allowed).toBe(false);
    expect(!decision.allowed && decision.errors).toHaveLength(1);
  });
});

describe("policies side by side", () => {
  test("two configurations with the same profile do not mix", () => {
    const one = policyOf(MAIN);
    const other = policyOf(MAIN.replace('"7"', '"8"'));
    expect(decide(one, ask()).allowed).toBe(true);
    expect(decide(other, ask()).allowed).toBe(false);
    expect(decide(other, ask({ principal: job({ repository_id: "8" }) })).allowed).toBe(true);
    expect(decide(one, ask()).allowed).toBe(true);
  });

  test("a rule of one profile says nothing about another", () => {
    const second = `  other:
    duration: { default: 1h, max: 1h }
    targets: { aws: { kind: aws, role: "arn:aws:iam::111122223333:role/stint/x", allow: [{ actions: [s3:*], resources: ["*"] }] } }
`;
    const policy = preparePolicy(configOf(yamlWith(MAIN, second)), PIPELINES);
    expect(decide(policy, ask({ profile: "other" })).allowed).toBe(false);
    expect(eligible(policy, job(), "request", NOW)).toEqual(["orders"]);
  });

  test.each(["nope", "constructor", "__proto__", ""])(
    "the profile %j does not exist",
    (profile) => {
      expect(answer(MAIN, { profile })).toEqual({
        allowed: false,
        explanation: {
          failed: [
            { claim: "profile", expected: "a profile of the configuration", actual: profile },
          ],
          considered: 0,
        },
        told: { failed: [], considered: 0 },
      });
    },
  );

  test("eligible lists what a principal may, also by approval and by hand-written policies", () => {
    const policy = policyOf(PEOPLE);
    const on = (groups: string[], action: Ask["action"]) =>
      eligible(policy, person(groups), action, NOW);
    expect(on(["owners"], "readAudit")).toEqual(["orders"]);
    expect(on(["owners"], "approve")).toEqual(["orders"]);
    expect(on(["devs"], "approve")).toEqual([]);
    expect(on(["devs"], "request")).toEqual(["orders"]);
    expect(on([], "read")).toEqual([]);
    const cedar = {
      "x.cedar": `permit (principal in Stint::Group::"sec", action == Stint::Action::"breakGlass", resource);`,
    };
    expect(eligible(policyOf(PEOPLE, cedar), person(["sec"]), "breakGlass", NOW)).toEqual([
      "orders",
    ]);
  });
});
