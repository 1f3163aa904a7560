import * as cedar from "@cedar-policy/cedar-wasm/nodejs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Pipelines } from "../src/config/pipelines.ts";
import { cedarSchema } from "../src/policy/cedar-schema.ts";
import { compileProfile, compileRule } from "../src/policy/compile.ts";
import { like, pattern, quote } from "../src/policy/text.ts";
import type { Profile, Rule, To } from "../src/profile.ts";
import { configOf, PIPELINES, yamlWith } from "./policy-fixture.ts";

const PROFILE: Profile = {
  name: "orders",
  defaultSeconds: 1200,
  maxSeconds: 7200,
  leaseSeconds: 900,
  claimSeconds: 900,
  targets: {},
};

const ruleFor = (to: To): Rule => ({ id: "r", profile: "orders", to, may: ["request"] });
const github = (claims: Record<string, string>): To => ({
  kind: "pipeline",
  pipeline: "github",
  claims,
});

const textOf = (rules: string): string =>
  compileProfile(configOf(yamlWith(rules)), PIPELINES, "orders")
    .map(({ text }) => text)
    .join("\n");

/** Strings made of what could end a literal, a pattern or a policy. */
const hostile = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        ...[
          '"',
          "\\",
          "*",
          "\\*",
          '\\"',
          "\n",
          "\r",
          "\0",
          "\t",
          "//",
          "/*",
          "*/",
          "@id(",
          ")",
          "}",
        ],
        ...[";", "permit(principal,action,resource);", '" || true || "', "\\u{22}", "${", "'", "`"],
        ...[
          "\u2028",
          "\u202E",
          "\uFEFF",
          "\u0000",
          "\u007F",
          "\u0085",
          "é",
          "e\u0301",
          "😀",
          "\uFFFD",
        ],
      ),
      fc.string({ unit: "binary", maxLength: 4 }),
    ),
    { minLength: 1, maxLength: 8 },
  )
  .map((parts) => parts.join(""));

describe("strings in policies", () => {
  test("whatever a value holds, the policy is one policy and holds that value", () => {
    fc.assert(
      fc.property(hostile, (value) => {
        const exact = value.replaceAll("*", "+");
        const [policy] = compileRule(ruleFor(github({ repository_id: exact })), PROFILE, PIPELINES);
        const parts = cedar.policySetTextToParts(policy?.text ?? "");
        expect(parts.type === "success" && parts.policies.length).toBe(1);
        const json = cedar.policyToJson(policy?.text ?? "");
        if (json.type === "failure") throw new Error(JSON.stringify(json.errors));
        expect(json.json.conditions).toHaveLength(1);
        expect(JSON.stringify(json.json)).toContain(JSON.stringify(exact));
      }),
      { numRuns: 300 },
    );
  });

  test("a pattern holds its literal parts and a wildcard for each *", () => {
    fc.assert(
      fc.property(hostile, (value) => {
        const text = `permit (principal, action, resource) when { context.a like ${pattern(value)} };`;
        const json = cedar.policyToJson(text);
        if (json.type === "failure") throw new Error(JSON.stringify(json.errors));
        const body = json.json.conditions[0]?.body;
        if (body === undefined || !("like" in body)) throw new Error("no pattern");
        const { pattern: elements } = body.like as { pattern: cedar.PatternElem[] };
        const back = elements.map((one) => (one === "Wildcard" ? "*" : one.Literal)).join("");
        expect(back).toBe(value);
        expect(elements.filter((one) => one === "Wildcard")).toHaveLength(
          value.split("*").length - 1,
        );
      }),
      { numRuns: 300 },
    );
  });

  test("claims with names that are no identifiers are quoted too", () => {
    const pipelines: Pipelines = {
      x: { claims: ['a"] == "', "in", "é/."], ids: ["in"], publicIssuers: [] },
    };
    const to: To = {
      kind: "pipeline",
      pipeline: "x",
      claims: { 'a"] == "': "1", in: "2", "é/.": "3" },
    };
    const [policy] = compileRule(ruleFor(to), PROFILE, pipelines);
    const answer = cedar.validate({
      schema: cedarSchema(pipelines),
      policies: { staticPolicies: policy?.text ?? "" },
    });
    expect(answer).toMatchObject({ type: "success", validationErrors: [], validationWarnings: [] });
  });

  test("half of a surrogate pair cannot be written", () => {
    expect(() => quote("a\uD800")).toThrow(RangeError);
    expect(() => pattern("\uDC00*")).toThrow(RangeError);
  });

  test("like is what a backtracking matcher says", () => {
    const small = fc.string({ unit: fc.constantFrom("a", "b", "*"), maxLength: 8 });
    fc.assert(
      fc.property(small, small, (value, glob) => {
        const expression = new RegExp(`^${glob.replaceAll("*", "[^]*")}$`);
        expect(like(value, glob)).toBe(expression.test(value));
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("rules as Cedar", () => {
  test("every part of a rule is in its policies", () => {
    expect(
      textOf(`
  - id: main
    profile: orders
    to: { pipeline: github, repository_id: "7", ref: refs/heads/* }
    duration: 30m
  - id: people
    profile: orders
    to: { person: { group: devs } }
    may: [request, read]
    approval: { from: { person: { subject: ada } } }
  - id: chat
    profile: orders
    to: { slack: { group: S1 } }
    may: [approve, readAudit]
`),
    ).toMatchInlineSnapshot(`
      "@id("main")
      permit (
        principal is Stint::Job,
        action == Stint::Action::"request",
        resource == Stint::Profile::"orders"
      ) when {
        principal.pipeline == "github" &&
        principal has "repository_id" &&
        principal["repository_id"] == "7" &&
        principal has "ref" &&
        principal["ref"] like "refs/heads/*" &&
        principal has "event_name" &&
        !(["pull_request_target", "workflow_run"].contains(principal["event_name"])) &&
        context.seconds <= 1800
      };

      @id("people")
      permit (
        principal is Stint::Person in Stint::Group::"devs",
        action == Stint::Action::"request",
        resource == Stint::Profile::"orders"
      ) when {
        context.seconds <= 7200
      };

      @id("people/may")
      permit (
        principal is Stint::Person in Stint::Group::"devs",
        action in [Stint::Action::"read"],
        resource == Stint::Profile::"orders"
      );

      @id("people/approval")
      permit (
        principal is Stint::Person,
        action == Stint::Action::"approve",
        resource == Stint::Profile::"orders"
      ) when {
        principal.sub == "ada" &&
        context has rule &&
        context.rule == "people"
      };

      @id("chat/may")
      permit (
        principal is Stint::Person in Stint::SlackGroup::"S1",
        action in [Stint::Action::"approve", Stint::Action::"readAudit"],
        resource == Stint::Profile::"orders"
      );
      "
    `);
  });

  test("an untrusted event is excluded unless the rule names it by its exact value", () => {
    const text = (claims: Record<string, string>) =>
      compileRule(ruleFor(github({ repository_id: "7", ...claims })), PROFILE, PIPELINES)[0]?.text;
    const exclusion =
      '!(["pull_request_target", "workflow_run"].contains(principal["event_name"]))';
    expect(text({})).toContain(exclusion);
    expect(text({ event_name: "*" })).toContain(exclusion);
    expect(text({ event_name: "pull_request*" })).toContain(exclusion);
    expect(text({ event_name: "pull_request_target" })).not.toContain(exclusion);
  });

  test("a rule's cap is never above its profile's max", () => {
    const rule = { ...ruleFor(github({ repository_id: "7" })), capSeconds: 99_999 };
    expect(compileRule(rule, PROFILE, PIPELINES)[0]?.text).toContain("context.seconds <= 7200");
  });

  test("an unknown profile has no policies, also one named like an object's own things", () => {
    const config = configOf(yamlWith("  []\n"));
    expect(compileProfile(config, PIPELINES, "constructor")).toEqual([]);
  });

  test("a claim cannot be called as what Stint says of a job", () => {
    expect(() => cedarSchema({ x: { claims: ["pipeline"], ids: [], publicIssuers: [] } })).toThrow(
      RangeError,
    );
  });
});
