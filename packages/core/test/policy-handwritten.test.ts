import { describe, expect, test } from "vitest";
import { parseConfig } from "../src/config/load.ts";
import { PIPELINES, yamlWith } from "./policy-fixture.ts";

const RULES = `  - { id: main, profile: orders, to: { pipeline: github, repository_id: "7" }, may: [request, read] }\n`;

const load = (cedar: Record<string, string>) => {
  const parsed = parseConfig(yamlWith(RULES), cedar, PIPELINES);
  return parsed.ok ? { problems: [], warnings: parsed.warnings } : { ...parsed, warnings: [] };
};

describe("problems name file, policy and place", () => {
  test.each([
    [
      "a syntax error",
      `// é and more é\nforbid (principal, action, resource);\nforbid (principal, oops, resource);`,
      { path: "a.cedar", line: 3, column: 20 },
    ],
    [
      "an attribute that does not exist, in the second policy",
      `// é\nforbid (principal, action, resource);\n@id("second")\nforbid (principal is Stint::Job, action, resource)\nwhen { principal.reff == "x" };`,
      { path: "a.cedar: second", line: 5, column: 8 },
    ],
    [
      "a claim read without has",
      `forbid (principal is Stint::Job, action, resource) when { principal.ref == "x" };`,
      { path: "a.cedar#1", line: 1, column: 59 },
    ],
    [
      "an action that does not exist",
      `forbid (principal, action == Stint::Action::"reqest", resource);`,
      { path: "a.cedar#1", line: 1 },
    ],
    [
      "a context key of another action",
      `forbid (principal, action == Stint::Action::"read", resource) when { context.seconds > 3 };`,
      { path: "a.cedar#1", line: 1 },
    ],
    [
      "a template",
      "forbid (principal == ?principal, action, resource);",
      { path: "a.cedar", line: 1 },
    ],
    [
      "an @id that is none",
      `@id("main/approval") forbid (principal, action, resource);`,
      { path: "a.cedar#1", line: 1 },
    ],
  ])("%s", (_, text, expected) => {
    const { problems } = load({ "a.cedar": text });
    expect(problems[0]).toMatchObject(expected);
  });

  test.each(["main", "twice"])("the @id %s is taken", (id) => {
    const forbid = "forbid (principal, action, resource);";
    const { problems } = load({
      "a.cedar": `@id("twice") ${forbid}`,
      "b.cedar": `\n@id("${id}") ${forbid}`,
    });
    expect(problems).toEqual([
      {
        path: id,
        message: "there is another rule or policy of this id",
        line: 2,
        column: 1,
      },
    ]);
  });
});

test("empty files and comments are no policies", () => {
  expect(load({ "a.cedar": "", "b.cedar": "// nothing\n" })).toEqual({
    problems: [],
    warnings: [],
  });
});

test("a permit for everyone is a warning", () => {
  expect(load({ "a.cedar": "permit (principal, action, resource);" }).warnings).toEqual([
    { path: "a.cedar#1", message: "permits everyone who can get any token", line: 1, column: 1 },
  ]);
  expect(load({ "a.cedar": `@id("all") permit (principal, action, resource);` }).warnings).toEqual([
    expect.objectContaining({ path: "a.cedar: all" }),
  ]);
});
