import { describe, expect, test } from "vitest";
import { parseConfig } from "../src/config/load.ts";
import { readPrepared } from "../src/config/prepared.ts";

const PIPELINES = {
  github: {
    claims: ["repository_id", "ref"],
    ids: ["repository_id"],
    publicIssuers: ["https://token.actions.githubusercontent.com"],
  },
};

const YAML = `
version: 1
audience: https://stint.example.com # who we are
profiles:
  orders:
    duration: { default: 20m, max: 2h }
    lease: 15m
    targets:
      aws:
        kind: aws
        role: arn:aws:iam::111122223333:role/stint/orders
        allow:
          - actions: [s3:GetObject]
            resources: ["arn:aws:s3:::it/\${namespace}/*"]
rules:
  - id: main
    profile: orders
    to: { pipeline: github, repository_id: "1", ref: refs/heads/main }
    duration: 30m
`;
const CEDAR = {
  "night.cedar":
    'forbid (principal, action == Stint::Action::"request", resource) when { context.seconds > 3600 };',
};

describe("a prepared configuration", () => {
  test("is the one that was checked, with its hash, after a way through JSON", () => {
    const parsed = parseConfig(YAML, CEDAR, PIPELINES);
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
    expect(readPrepared(JSON.stringify(parsed.prepared))).toEqual(parsed.config);
  });

  test.each([
    ["no JSON", "version: 1"],
    ["another shape", "{}"],
    ["no configuration", '{"stint": {"version": 1}, "cedar": {}}'],
    ["an unknown key", '{"stint": {}, "cedar": {}, "more": 1}'],
  ])("is never read from %s", (_, json) => {
    expect(() => readPrepared(json)).toThrow();
  });
});
