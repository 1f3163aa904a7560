import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { configJsonSchema, configJsonSchemaText } from "../src/config/json-schema.ts";
import { nearest, pathText } from "../src/config/problem.ts";

test("stint.schema.json is what the schema says; else run node scripts/schema.ts", () => {
  const committed = readFileSync(new URL("../../../stint.schema.json", import.meta.url), "utf8");
  expect(committed).toBe(configJsonSchemaText());
});

test("the JSON Schema admits no unknown key at any mapping of fixed keys", () => {
  const open: unknown[] = [];
  const walk = (node: unknown): void => {
    if (typeof node !== "object" || node === null) return;
    if ("properties" in node && !("additionalProperties" in node)) open.push(node);
    for (const value of Object.values(node)) walk(value);
  };
  walk(configJsonSchema());
  expect(open).toEqual([]);
});

test("paths read as one would write them", () => {
  expect(pathText(["rules", 2, "duration"])).toBe("rules[2].duration");
  expect(pathText(["a", "s3:prefix"])).toBe('a["s3:prefix"]');
});

test("a misspelling finds its word, nonsense finds none", () => {
  expect(nearest("repo_id", ["ref", "repository_id"])).toBeUndefined();
  expect(nearest("repositry_id", ["ref", "repository_id"])).toBe("repository_id");
  expect(nearest("zzzzzzzz", ["ref", "environment"])).toBeUndefined();
});
