import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { type ParsedConfig, parseConfig } from "../src/config/load.ts";
import { PIPELINES, yamlWith } from "./policy-fixture.ts";

const RULE = `  - { id: main, profile: orders, to: { pipeline: github, repository_id: "7" } }\n`;
const load = (yaml: string, cedar: Record<string, string> = {}) =>
  parseConfig(yaml, cedar, PIPELINES);

const problems = (parsed: ParsedConfig) => (parsed.ok ? [] : parsed.problems);
const told = (yaml: string) =>
  problems(load(yaml)).map(({ path, message }) => `${path} ${message}`);
const warned = (yaml: string) => {
  const parsed = load(yaml);
  return parsed.ok
    ? parsed.warnings.map(({ path, message }) => `${path} ${message}`)
    : problems(parsed);
};

/** The base with one piece of its text replaced. */
const change = (from: string, to: string): string => {
  const base = yamlWith(RULE);
  expect(base).toContain(from);
  return base.replace(from, to);
};

test("the demo's configuration loads without problems or warnings", () => {
  const demo = readFileSync(new URL("../../local/demo/stint.yaml", import.meta.url), "utf8");
  const parsed = load(demo);
  expect(parsed).toMatchObject({ ok: true, warnings: [] });
  if (!parsed.ok) return;
  expect(parsed.config).toMatchObject({
    audience: "https://stint.local.test",
    profiles: {
      "orders-integration": {
        name: "orders-integration",
        defaultSeconds: 1200,
        maxSeconds: 7200,
        leaseSeconds: 900,
        claimSeconds: 900,
        targets: { aws: { role: "arn:aws:iam::000000000000:role/stint/orders-integration" } },
      },
    },
    rules: [
      {
        id: "orders-main",
        may: ["request"],
        capSeconds: 1800,
        to: {
          kind: "pipeline",
          pipeline: "github",
          claims: { repository_id: "186853002", ref: "refs/heads/main" },
        },
      },
      {
        id: "orders-people",
        approval: {
          from: { kind: "person", group: "orders-owners" },
          count: 1,
          withinSeconds: 28_800,
        },
      },
      { id: "orders-owners", may: ["read", "revoke", "readAudit"] },
    ],
  });
});

describe("durations", () => {
  test.each([
    "-5m",
    '"90"',
    "90",
    "10y",
    "1h30m",
    "0s",
    "1e3s",
    "1.5h",
    "' 5m'",
    "5M",
    "''",
    "null",
  ])("%s is an error wherever a duration stands", (text) => {
    const rule = `  - { id: main, profile: orders, to: { pipeline: github, repository_id: "7" }, duration: ${text} }\n`;
    expect(told(yamlWith(rule))).toEqual(["rules[0].duration is not a duration"]);
    expect(told(change("default: 20m", `default: ${text}`))).toEqual([
      "profiles.orders.duration.default is not a duration",
    ]);
  });

  test("the default is not above max", () => {
    expect(told(change("default: 20m, max: 2h", "default: 3h, max: 2h"))).toEqual([
      "profiles.orders.duration.default is longer than max, 2h",
    ]);
  });

  test.each([
    ["max: 2h", "max: 13h", "profiles.orders.duration.max must be from 1m to 12h"],
    ["default: 20m", "default: 59s", "profiles.orders.duration.default must be from 1m to 12h"],
    ["    targets:", "    lease: 59s\n    targets:", "profiles.orders.lease must be from 1m to 1h"],
    ["    targets:", "    lease: 61m\n    targets:", "profiles.orders.lease must be from 1m to 1h"],
    [
      "    targets:",
      "    claim: 25h\n    targets:",
      "profiles.orders.claim must be from 1m to 24h",
    ],
  ])("%j as %j is out of bounds", (from, to, message) => {
    expect(told(change(from, to))).toEqual([message]);
  });
});

describe("unknown keys", () => {
  test.each([
    ["version: 1", "version: 1\nsubscriptions: []", "subscriptions"],
    ["    targets:", "    maxLive: 3\n    targets:", "profiles.orders.maxLive"],
    [
      "kind: aws\n",
      "kind: aws\n        deliver: parameter\n",
      "profiles.orders.targets.aws.deliver",
    ],
    ["{ id: main,", "{ id: main, when: now,", "rules[0].when"],
    ["{ login: acme,", "{ login: acme, secret: x,", "issuers[0].secret"],
    ["{ actions:", "{ effect: Allow, actions:", "profiles.orders.targets.aws.allow[0].effect"],
  ])("in place of %j, %j is an error", (from, to, path) => {
    expect(told(change(from, to))).toEqual([`${path} is not a known key`]);
  });

  test("a misspelt key is told its nearest known one, with line and column", () => {
    expect(problems(load(change("    targets:", "    leese: 5m\n    targets:")))).toEqual([
      {
        path: "profiles.orders.leese",
        message: "is not a known key",
        hint: "did you mean lease? Known: description, duration, lease, claim, regions, targets",
        line: 8,
        column: 5,
      },
    ]);
  });

  test.each(["workload: { account: '1' }", "{}", "person: {}", "person: { grup: x }", "slack: x"])(
    "a rule for {%s} does not load",
    (to) => {
      expect(told(yamlWith(`  - { id: a, profile: orders, to: { ${to} } }\n`))).toHaveLength(1);
    },
  );
});

describe("roles and statements", () => {
  test.each([
    "arn:aws:iam::111122223333:role/orders",
    "arn:aws:iam::111122223333:role/stint/",
    "arn:aws:iam::111122223333:role/other/stint/orders",
    "arn:aws:iam::1111:role/stint/orders",
    "arn:aws:iam::111122223333:user/stint/orders",
    "arn:aws:iam::111122223333:role/stint/a/b",
  ])("%s is not a role under /stint/", (role) => {
    expect(told(change("arn:aws:iam::111122223333:role/stint/orders", role))).toEqual([
      "profiles.orders.targets.aws.role is not a role under the path /stint/",
    ]);
  });

  test("roles of other partitions are roles", () => {
    expect(load(change("arn:aws:iam::", "arn:aws-us-gov:iam::")).ok).toBe(true);
  });

  const resource = "arn:aws:s3:::it/${namespace}/*";
  test.each(["${namspace}", "${Namespace}", "${}", "${namespace", "${username}", "${aws:}"])(
    "the variable %s is unknown",
    (variable) => {
      expect(told(change(resource, `arn:aws:s3:::it/${variable}`))[0]).toContain(
        `has the unknown variable ${variable}`,
      );
    },
  );

  test.each([
    "${grant}",
    "${aws:username}",
    "${aws:PrincipalTag/team, 'none'}",
    "${s3:prefix}",
    "${*}",
  ])("the variable %s is known", (variable) => {
    expect(load(change(resource, `arn:aws:s3:::it/${variable}`)).ok).toBe(true);
  });

  test("an unknown variable in a condition is found too", () => {
    const condition = "condition: { StringLike: { s3:prefix: '${ns}' } }, actions: [s3:GetObject]";
    expect(told(change("actions: [s3:GetObject]", condition))).toEqual([
      'profiles.orders.targets.aws.allow[0].condition.StringLike["s3:prefix"] has the unknown variable ${ns}',
    ]);
  });

  test("a session policy over 2,048 characters with its denials is refused", () => {
    const actions = Array.from({ length: 80 }, (_, i) => `s3:GetObjectNumber${i}`).join(", ");
    const [problem] = problems(load(change("s3:GetObject", actions)));
    expect(problem).toMatchObject({ path: "profiles.orders.targets.aws.allow", line: 12 });
    expect(problem?.message).toMatch(/^its session policy is 2\d\d\d characters long/);
  });

  test("a profile without targets, a target that allows nothing, an unknown kind", () => {
    expect(told(change("kind: aws", "kind: gcp"))).toEqual([
      "profiles.orders.targets.aws.kind is not a kind of target",
    ]);
    expect(told(change("actions: [s3:GetObject]", "actions: []"))).toEqual([
      "profiles.orders.targets.aws.allow[0].actions lists no action",
    ]);
  });
});

describe("rules", () => {
  const rule = (text: string) => told(yamlWith(`  - { id: a, profile: orders, ${text} }\n`));

  test("an id stands once", () => {
    expect(told(yamlWith(RULE + RULE))).toEqual(["rules[1].id main is there twice"]);
  });

  test("a rule names a profile that exists", () => {
    expect(told(change("profile: orders", "profile: order"))).toEqual([
      "rules[0].profile there is no profile order",
    ]);
    expect(told(change("profile: orders", "profile: constructor"))).toHaveLength(1);
  });

  test("a pipeline rule matches on an id, by its exact value", () => {
    const none = "rules[0].to matches on no id of github";
    expect(rule("to: { pipeline: github, repository: acme/orders }")).toEqual([none]);
    expect(rule(`to: { pipeline: github, repository_id: "18*" }`)).toEqual([none]);
    expect(rule("to: { pipeline: github }")).toEqual([none]);
    expect(rule(`to: { pipeline: github, repository_owner_id: "5", repository_id: "*" }`)).toEqual(
      [],
    );
    expect(rule(`to: { pipeline: circleci, oidc.circleci.com/project-id: abc }`)).toEqual([]);
  });

  test("an id written as a number is told to be quoted", () => {
    const [problem] = problems(load(change(`"7"`, "7")));
    expect(problem).toMatchObject({
      path: "rules[0].to.repository_id",
      message: "must be text, not a number",
      hint: 'quote it: "7"',
    });
  });

  test("an unknown claim is told the nearest known one", () => {
    const [problem] = problems(load(change(`"7"`, `"7", envronment: prod`)));
    expect(problem).toMatchObject({
      path: "rules[0].to.envronment",
      message: "is not a claim of github",
      hint: "did you mean environment?",
    });
  });

  test.each(["gitlab", "constructor"])("the pipeline %s is unknown", (name) => {
    expect(told(change("pipeline: github", `pipeline: ${name}`))).toHaveLength(1);
  });

  test("approvers are people, at least one, and only of requests", () => {
    const to = "to: { person: { group: devs } }";
    const from = "from: { person: { group: owners } }";
    expect(rule(`${to}, approval: { ${from}, count: 0 }`)).toEqual([
      "rules[0].approval.count must be a whole number from 1 to 20",
    ]);
    expect(rule(`${to}, approval: { ${from}, count: 1.5 }`)).toHaveLength(1);
    expect(rule(`${to}, may: [read], approval: { ${from} }`)).toEqual([
      "rules[0].approval is for rules that may request",
    ]);
    expect(rule(`${to}, approval: { from: { pipeline: github, repository_id: "7" } }`)).toEqual([
      "rules[0].approval.from names no people",
    ]);
    expect(rule(`to: { pipeline: github, repository_id: "7" }, may: [approve]`)).toEqual([
      "rules[0].may approve is for people: a job has no judgement",
    ]);
  });

  test("half of a surrogate pair is refused: Cedar cannot hold it", () => {
    expect(rule(`to: { person: { group: "\\uD800" } }`)).toEqual([
      "rules[0].to.person.group has half of a surrogate pair",
    ]);
  });

  test("names have one form", () => {
    expect(told(change("id: main", "id: Main"))).toEqual(["rules[0].id is not a name"]);
    expect(told(change("id: main", "id: main/approval"))).toEqual(["rules[0].id is not a name"]);
    expect(told(change("  orders:", "  _orders:"))).toContain("profiles._orders is not a name");
  });
});

describe("issuers and audience", () => {
  const PERSON = "  - { id: main, profile: orders, to: { person: { subject: ada } } }\n";
  const issuers = (text: string) =>
    told(yamlWith(PERSON).replace("  - { login: acme, url: https://login.acme.test }", text));

  test("http is for loopback only", () => {
    expect(told(change("https://stint.local.test", "http://stint.local.test"))).toHaveLength(1);
    expect(told(change("https://stint.local.test", "http://127.0.0.1:4010"))).toEqual([]);
    expect(told(change("https://stint.local.test", "https://u:p@stint.local.test"))).toHaveLength(
      1,
    );
    expect(told(change("https://stint.local.test", "stint"))).toHaveLength(1);
  });

  test("an issuer is of one pipeline or of one login", () => {
    expect(issuers("  - { url: https://a.test }")).toEqual([
      "issuers[0] needs one of pipeline, login, and not both",
    ]);
    expect(issuers("  - { url: https://a.test, login: a, pipeline: github }")).toHaveLength(1);
    expect(issuers("  - { url: https://a.test, pipeline: gitlab }")).toHaveLength(1);
    expect(
      issuers(
        "  - { url: https://a.test, login: a }\n  - { url: https://a.test, pipeline: github }",
      ),
    ).toEqual(["issuers[1].url https://a.test is there twice"]);
  });

  test.each([
    ["https://A.test", "write https://a.test/"],
    ["https://a.test:443", "write https://a.test/"],
    ["https://a.test/b/../c", "write https://a.test/c"],
  ])("%s is no spelling that a token's iss would have", (url, hint) => {
    const text = change("https://login.acme.test", url);
    expect(problems(load(text))).toMatchObject([
      { path: "issuers[0].url", message: "is spelled unlike its tokens' iss", hint },
    ]);
  });

  test("a login is neither named like a pipeline nor at a pipeline's public issuer", () => {
    expect(issuers("  - { url: https://a.test, login: github }")).toEqual([
      "issuers[0].login github is the name of a pipeline",
    ]);
    expect(issuers("  - { url: https://token.actions.githubusercontent.com, login: a }")).toEqual([
      "issuers[0].url is the public issuer of github",
    ]);
  });

  test("a webhook's secret is named, never written down", () => {
    expect(
      issuers("  - { url: https://a.test, pipeline: github, webhookSecret: hunter2 }"),
    ).toEqual(["issuers[0].webhookSecret is not the name of an SSM parameter"]);
    expect(
      issuers("  - { url: https://a.test, pipeline: github, webhookSecret: /stint/gh }"),
    ).toEqual([]);
    expect(issuers("  - { url: https://a.test, login: x, webhookSecret: /stint/gh }")).toHaveLength(
      1,
    );
  });
});

describe("YAML", () => {
  test("a key that is there twice is an error with its place", () => {
    expect(
      problems(load(change("    targets:", "    lease: 5m\n    lease: 6m\n    targets:"))),
    ).toEqual([{ path: "profiles.orders.lease", message: "is there twice", line: 9, column: 5 }]);
  });

  test("anchors, aliases, tags and merge keys are refused", () => {
    expect(told("a: &x [1]\nb: *x\n")).toEqual([
      " anchor &x is not allowed",
      " alias *x is not allowed",
    ]);
    expect(told(change("id: main", "id: !custom main")).length).toBeGreaterThan(0);
    expect(told(change("id: main", "<<: { id: main }"))).toContain("rules[0].id is missing");
  });

  test("a bomb of aliases is refused without building it", () => {
    const levels = Array.from({ length: 30 }, (_, i) =>
      i === 0 ? "l0: &l0 [x, x]" : `l${i}: &l${i} [*l${i - 1}, *l${i - 1}]`,
    );
    expect(load(levels.join("\n")).ok).toBe(false);
  });

  test.each([
    ["", "empty"],
    ["[]", "a list"],
    ["a: [", "an open bracket"],
    ["version: 1\n---\nversion: 1\n", "two documents"],
    ["__proto__: { version: 1 }", "a prototype"],
    ["? [a]\n: b\n", "a key that is a list"],
    ["\t- x", "a tab"],
    ["x: 'a\u0000b'", "a NUL"],
  ])("%j is refused: %s", (text) => {
    expect(problems(load(text)).length).toBeGreaterThan(0);
  });

  test.each([
    ["brackets", "[".repeat(100_000)],
    ["braces", `a: ${"{ a: ".repeat(33)}`],
    ["dashes", "- ".repeat(100_000)],
    ["question marks", "? ".repeat(100_000)],
    ["indentation", `a:\n${" ".repeat(300)}b: 1`],
  ])("text that %s nest too deeply is refused before it is parsed", (_, text) => {
    expect(told(text)).toEqual([" is nested deeper than 32"]);
  });

  test("brackets in text and comments do not nest", () => {
    expect(
      load(
        `# ${"[".repeat(99)}\n${change("    duration", `    description: "${"[".repeat(99)}"\n    duration`)}`,
      ).ok,
    ).toBe(true);
  });
});

test("every problem is told at once, in the file's order", () => {
  const found = problems(
    load(`version: 2
audience: nowhere
profiles:
  orders:
    duration: { default: 90, max: 2h }
    lease: 2h
    targets:
      aws: { kind: aws, role: x, allow: [{ actions: [s3:Get], resources: ["arn:aws:s3:::\${x}"] }] }
rules:
  - { id: a, profile: order, to: { pipeline: github, repository_id: 7, reff: x }, duration: 10y }
  - { id: a, profile: orders, to: { person: { grup: x } }, typo: 1 }
`),
  );
  expect(found.map(({ path, line }) => `${line} ${path}`)).toEqual([
    "1 version",
    "2 audience",
    "5 profiles.orders.duration.default",
    "6 profiles.orders.lease",
    "8 profiles.orders.targets.aws.role",
    "8 profiles.orders.targets.aws.allow[0].resources[0]",
    "10 rules[0].profile",
    "10 rules[0].to.repository_id",
    "10 rules[0].to.reff",
    "10 rules[0].duration",
    "11 rules[1].id",
    "11 rules[1].to.person",
    "11 rules[1].typo",
  ]);
});

test("a second login is refused: it could make up the people of the first", () => {
  const text = yamlWith("  - { id: a, profile: orders, to: { person: { group: g } } }\n").replace(
    "acme.test }",
    "acme.test }\n  - { login: b, url: https://login.b.test }",
  );
  const parsed = parseConfig(text, {}, PIPELINES);
  expect(parsed.ok ? [] : parsed.problems).toMatchObject([
    { path: "issuers[1].login", message: expect.stringContaining("second login") },
  ]);
});

test("two issuers that share a webhook's secret are refused: it says which of them signed", () => {
  const text = yamlWith("  - { id: a, profile: orders, to: { person: { group: g } } }\n").replace(
    "acme.test }",
    `acme.test }
  - { pipeline: github, url: https://a.test, webhookSecret: /one }
  - { pipeline: github, url: https://b.test, webhookSecret: /one }`,
  );
  const parsed = parseConfig(text, {}, PIPELINES);
  expect(parsed.ok ? [] : parsed.problems.map(({ path }) => path)).toContain(
    "issuers[2].webhookSecret",
  );
});

describe("warnings", () => {
  test("what loads but admits nobody or does nothing is told", () => {
    const text = yamlWith(
      `  - { id: a, profile: orders, to: { slack: { group: S1 } }, may: [read] }
  - { id: b, profile: orders, to: { person: { group: g } }, may: [read] }
`,
    ).replace("  - { login: acme, url: https://login.acme.test }", "  []");
    expect(warned(text)).toEqual([
      "profiles.orders no rule lets anybody request it",
      "rules[0].to nobody comes in by Slack yet: the rule admits nobody",
      "rules[1] is about people, but no issuer is a login",
    ]);
    expect(warned(change(`"7" }`, `"7" }, duration: 3h`))).toEqual([
      "rules[0].duration does nothing: the profile's max is 2h",
    ]);
  });
});

describe("hash", () => {
  const hash = (yaml: string, cedar: Record<string, string> = {}) => {
    const parsed = load(yaml, cedar);
    return parsed.ok ? parsed.config.hash : problems(parsed);
  };
  const freeze = `forbid (principal, action, resource) when { context.event == "x" };\n`;

  test("comments, key order and line ends leave it as it is", () => {
    const base = hash(yamlWith(RULE), { "a.cedar": freeze });
    expect(base).toMatch(/^[0-9a-f]{64}$/);
    expect(hash(`# hi\r\n${yamlWith(RULE).replaceAll("\n", "\r\n")}`, { "a.cedar": freeze })).toBe(
      base,
    );
    expect(
      hash(change("default: 20m, max: 2h", "max: 2h, default: 20m"), { "a.cedar": freeze }),
    ).toBe(base);
  });

  test("any change of meaning changes it, also one in a Cedar file", () => {
    const hashes = [
      hash(yamlWith(RULE)),
      hash(change("20m", "19m")),
      hash(yamlWith(RULE), { "a.cedar": freeze }),
      hash(yamlWith(RULE), { "b.cedar": freeze }),
      hash(yamlWith(RULE), { "a.cedar": freeze.replace("x", "y") }),
    ];
    expect(new Set(hashes).size).toBe(hashes.length);
  });
});
