import { describe, expect, test } from "vitest";
import { parseConfig } from "../src/config/load.ts";
import { readPrepared, writePrepared } from "../src/config/prepared.ts";

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
    expect(readPrepared(writePrepared(parsed.config))).toEqual(parsed.config);
  });

  test("is refused when a character of it is another, or its end is missing", () => {
    const parsed = parseConfig(YAML, CEDAR, PIPELINES);
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
    const text = writePrepared(parsed.config);
    const changed = text.replace("refs/heads/main", "refs/heads/mine");
    expect(changed).not.toBe(text);
    expect(() => readPrepared(changed)).toThrow("deploy again");
    expect(() => readPrepared(text.slice(0, -10))).toThrow();
  });

  test.each([
    ["no JSON", "version: 1"],
    ["another shape", "{}"],
    ["nothing", "null"],
    ["a configuration without its sum", JSON.stringify({ config: "{}" })],
    ["a configuration that is no text", JSON.stringify({ sha256: "", config: {} })],
  ])("is never read from %s", (_, json) => {
    expect(() => readPrepared(json)).toThrow();
  });
});
