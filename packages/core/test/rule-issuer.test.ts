import { describe, expect, test } from "vitest";
import { parseConfig } from "../src/config/load.ts";
import { type Ask, decide, preparePolicy } from "../src/policy/decide.ts";
import { configOf, GHES, GITHUB, job, NOW, PIPELINES, yamlWith } from "./policy-fixture.ts";

const LOGIN = "  - { login: acme, url: https://login.acme.test }";
const SERVER = `${LOGIN}\n  - { pipeline: github, url: ${GHES}, webhookSecret: /stint/ghes }`;
/** The base with a GitHub Enterprise Server beside github.com. */
const both = (rules: string): string => yamlWith(rules).replace(LOGIN, SERVER);
const rule = (to: string): string => `  - { id: main, profile: orders, to: { ${to} } }\n`;
const ours = 'pipeline: github, repository_id: "7"';

const problems = (yaml: string) => {
  const parsed = parseConfig(yaml, {}, PIPELINES);
  return parsed.ok ? [] : parsed.problems;
};

const KNOWN = `trusted for github: ${GHES}, ${GITHUB}`;

describe("a configuration with several issuers of one pipeline", () => {
  test("a rule that names none does not load", () => {
    expect(problems(both(rule(ours)))).toEqual([
      {
        path: "rules[0].to",
        message: "does not say which issuer of github it means, and ids collide between them",
        hint: `add issuer: "<URL>"; ${KNOWN}`,
        line: 15,
        column: 34,
      },
    ]);
  });

  test("also one that only reads or revokes", () => {
    const reads = rule(ours).replace(" }\n", ", may: [read, revoke] }\n");
    expect(problems(both(reads))).toHaveLength(1);
  });

  test.each([GITHUB, GHES])("a rule may name %s", (issuer) => {
    expect(problems(both(rule(`${ours}, issuer: "${issuer}"`)))).toEqual([]);
  });

  test.each([
    ["another issuer", "https://evil.test", "is not a trusted issuer of github"],
    ["another spelling", `${GITHUB}/`, "is not a trusted issuer of github"],
    ["a login's", "https://login.acme.test", "is not a trusted issuer of github"],
    ["a pattern", "https://*", "must be one issuer's exact URL, not a pattern"],
    ["everything", "*", "must be one issuer's exact URL, not a pattern"],
  ])("a rule cannot name %s", (_, issuer, message) => {
    expect(problems(both(rule(`${ours}, issuer: "${issuer}"`)))).toMatchObject([
      { path: "rules[0].to.issuer", message, hint: KNOWN },
    ]);
  });

  test.each(["7", "[a]", "''", "null"])("issuer: %s is an error of its own", (issuer) => {
    expect(problems(both(rule(`${ours}, issuer: ${issuer}`)))).toMatchObject([
      { path: "rules[0].to.issuer" },
    ]);
  });

  test("an issuer is no id: a rule that matches on nothing else does not load", () => {
    expect(problems(both(rule(`pipeline: github, issuer: "${GITHUB}"`)))).toMatchObject([
      { path: "rules[0].to", message: "matches on no id of github" },
    ]);
  });

  test("other pipelines' rules, and people's, need none", () => {
    const project = '"oidc.circleci.com/project-id": "7"';
    const people = "  - { id: b, profile: orders, to: { person: { group: devs } } }\n";
    expect(problems(both(`${people}${rule(`pipeline: circleci, ${project}`)}`))).toMatchObject([]);
  });
});

describe("a configuration with one issuer of a pipeline", () => {
  test("rules may leave it out, also where the list repeats the public one", () => {
    const listed = yamlWith(rule(ours)).replace(
      LOGIN,
      `${LOGIN}\n  - { pipeline: github, url: ${GITHUB}, webhookSecret: /stint/gh }`,
    );
    expect(problems(yamlWith(rule(ours)))).toEqual([]);
    expect(problems(listed)).toEqual([]);
  });

  test("rules may name it, and no other", () => {
    expect(problems(yamlWith(rule(`${ours}, issuer: "${GITHUB}"`)))).toEqual([]);
    expect(problems(yamlWith(rule(`${ours}, issuer: "${GHES}"`)))).toMatchObject([
      { path: "rules[0].to.issuer", hint: `trusted for github: ${GITHUB}` },
    ]);
  });
});

describe("a rule with an issuer", () => {
  const yaml = both(rule(`${ours}, issuer: "${GITHUB}", ref: refs/heads/main`));
  const policy = preparePolicy(configOf(yaml), PIPELINES);
  const ask = (over: Partial<Ask> = {}) =>
    decide(policy, { action: "request", principal: job(), profile: "orders", now: NOW, ...over });
  const foreign = job({}, "github", GHES);

  test("admits its issuer's jobs and not another issuer's of the same repository id", () => {
    expect(ask()).toMatchObject({ allowed: true, rule: "main" });
    expect(ask({ principal: foreign })).toMatchObject({
      allowed: false,
      explanation: {
        rule: "main",
        failed: [{ claim: "issuer", expected: GITHUB, actual: GHES }],
      },
    });
  });

  test("tells another issuer's job nothing: its repository is another one", () => {
    expect(ask({ principal: foreign })).toMatchObject({ told: { failed: [], considered: 0 } });
  });

  test("holds for reading and revoking as well", () => {
    const may = yaml.replace("refs/heads/main }", "refs/heads/main }, may: [read, revoke]");
    const reading = preparePolicy(configOf(may), PIPELINES);
    for (const action of ["read", "revoke"] as const)
      for (const [principal, allowed] of [[job(), true] as const, [foreign, false] as const])
        expect(decide(reading, { action, principal, profile: "orders", now: NOW })).toMatchObject({
          allowed,
        });
  });
});

describe("hand-written permits where a pipeline has several issuers", () => {
  const load = (cedar: string, yaml = both(rule(`${ours}, issuer: "${GITHUB}"`))) => {
    const parsed = parseConfig(yaml, { "a.cedar": cedar }, PIPELINES);
    return parsed.ok ? parsed.warnings : parsed.problems;
  };
  const permit = (when: string, action = 'action == Stint::Action::"request"') =>
    `permit (principal is Stint::Job, ${action}, resource) when { ${when} };`;
  const repository = 'principal has repository_id && principal.repository_id == "7"';
  const warning = {
    path: "a.cedar#1",
    message: "permits jobs whichever issuer they come from, and ids collide between issuers",
    hint: 'add principal.issuer == "<URL>" to its conditions',
    line: 1,
    column: 1,
  };

  test.each([
    ["for request", permit(repository)],
    [
      "for several actions",
      permit(repository, 'action in [Stint::Action::"read", Stint::Action::"request"]'),
    ],
    ["for every action", permit('resource == Stint::Profile::"orders"', "action")],
    [
      "for everyone",
      'permit (principal, action, resource) when { resource == Stint::Profile::"orders" };',
    ],
    [
      "that has the URL in a text",
      permit(`${repository} && principal.pipeline != "principal.issuer"`),
    ],
  ])("one %s that does not read the issuer is a warning", (_, text) => {
    expect(load(text)).toEqual([warning]);
  });

  test.each([
    ["reads the issuer", permit(`${repository} && principal.issuer == "${GITHUB}"`)],
    ["reads it by its name as text", permit(`${repository} && principal["issuer"] == "${GITHUB}"`)],
    ["is for other actions", permit(repository, 'action == Stint::Action::"read"')],
    [
      "is for people",
      'permit (principal is Stint::Person, action, resource) when { principal.sub == "ada" };',
    ],
    ["forbids", 'forbid (principal, action, resource) when { context.event == "x" };'],
  ])("one that %s is none", (_, text) => {
    expect(load(text)).toEqual([]);
  });

  test("with one issuer there is nothing to warn of", () => {
    expect(load(permit(repository), yamlWith(rule(ours)))).toEqual([]);
  });
});
