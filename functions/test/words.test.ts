import { expect, test } from "vitest";
import * as z from "zod";
import { checked } from "../src/edge.ts";
import { approvalRequest, grantRequest } from "../src/endpoints.ts";

test.each([
  ["nothing", grantRequest, undefined, "is missing"],
  ["a list", grantRequest, [], "must be an object"],
  ["no profile", grantRequest, {}, "profile: is missing"],
  ["a number as profile", grantRequest, { profile: 1 }, "profile: must be text"],
  ["an empty profile", grantRequest, { profile: "" }, "profile: is too short"],
  [
    "a long name",
    grantRequest,
    { profile: "p", name: "x".repeat(300) },
    "name: is longer than 200",
  ],
  ["a field more", grantRequest, { profile: "p", nope: 1 }, "nope is no field of this"],
  ["two fields more", grantRequest, { profile: "p", a: 1, b: 2 }, "a, b are no fields of this"],
  [
    "another decision",
    approvalRequest,
    { decision: "maybe", reason: "r" },
    "must be approve or refuse",
  ],
  ["a large number", z.strictObject({ n: z.int().max(5) }), { n: 6 }, "n: is more than 5"],
])("a body with %s is told what is wrong with it", (_, schema, body, words) => {
  expect(() => checked<unknown>(schema, body, "the body")).toThrow(words);
});
