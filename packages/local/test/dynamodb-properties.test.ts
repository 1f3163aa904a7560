import type { AttributeValue } from "@aws-sdk/client-dynamodb";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  addNumbers,
  canonicalNumber,
  compareNumbers,
  encodeNumber,
} from "../src/dynamodb/numbers.ts";
import { dynamoWorld } from "./dynamodb-world.ts";

/** A decimal of up to 19 digits between 1e-60 and 1e60, and its value as a fraction over 10^80. */
const decimal = fc
  .record({
    digits: fc.bigInt({ min: -(10n ** 19n), max: 10n ** 19n }),
    exponent: fc.integer({ min: -60, max: 40 }),
    form: fc.constantFrom("e", "E", "plain"),
  })
  .map(({ digits, exponent, form }) => ({
    text:
      form !== "plain"
        ? `${digits}${form}${exponent}`
        : exponent >= 0
          ? `${digits}${"0".repeat(exponent)}`
          : withPoint(digits, -exponent),
    exact: digits * 10n ** BigInt(exponent + 80),
  }));

function withPoint(digits: bigint, places: number): string {
  const text = String(digits < 0n ? -digits : digits).padStart(places + 1, "0");
  return `${digits < 0n ? "-" : ""}${text.slice(0, -places)}.${text.slice(-places)}`;
}

const sign = (n: bigint | number) => (n < 0 ? -1 : n > 0 ? 1 : 0);

describe("numbers", () => {
  test("order of texts, of keys and of values is one", () => {
    fc.assert(
      fc.property(decimal, decimal, (a, b) => {
        const order = sign(a.exact - b.exact);
        const [left, right] = [canonicalNumber(a.text), canonicalNumber(b.text)];
        expect(sign(compareNumbers(left, right))).toBe(order);
        const [x, y] = [encodeNumber(left), encodeNumber(right)];
        expect(x < y ? -1 : x > y ? 1 : 0).toBe(order);
      }),
      { numRuns: 2000 },
    );
  });

  test("the stored form is one for each value, and stable", () => {
    fc.assert(
      fc.property(decimal, (a) => {
        const text = canonicalNumber(a.text);
        expect(canonicalNumber(text)).toBe(text);
        const [whole = "", fraction = ""] = text.split(".");
        expect(BigInt(whole + fraction.padEnd(80, "0"))).toBe(a.exact);
      }),
    );
  });

  test("sums are exact or refused", () => {
    fc.assert(
      fc.property(decimal, decimal, fc.constantFrom(1 as const, -1 as const), (a, b, by) => {
        const exact = a.exact + BigInt(by) * b.exact;
        let sum: string;
        try {
          sum = addNumbers(canonicalNumber(a.text), canonicalNumber(b.text), by);
        } catch {
          expect(String(exact).replace("-", "").replace(/0+$/, "").length).toBeGreaterThan(38);
          return;
        }
        const [whole = "", fraction = ""] = sum.split(".");
        const magnitude = BigInt(whole.replace("-", "") + fraction.padEnd(80, "0"));
        expect(sum.startsWith("-") ? -magnitude : magnitude).toBe(exact);
      }),
      { numRuns: 500 },
    );
  });
});

describe("queries", () => {
  type Row = { pk: string; sk: number; grade: string | undefined; v: number };
  const row: fc.Arbitrary<Row> = fc.record({
    pk: fc.constantFrom("a", "b", "a\u0000"),
    sk: fc.integer({ min: -6, max: 6 }),
    grade: fc.constantFrom("x", "y", undefined),
    v: fc.integer({ min: 0, max: 9 }),
  });
  const change = fc.oneof(
    { weight: 3, arbitrary: fc.record({ kind: fc.constant("put" as const), row }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("delete" as const), row }) },
  );
  const condition = fc.record({
    pk: fc.constantFrom("a", "b", "a\u0000"),
    operator: fc.constantFrom("=", "<", "<=", ">", ">=", "between", "none"),
    low: fc.integer({ min: -8, max: 8 }),
    width: fc.integer({ min: 0, max: 6 }),
    forward: fc.boolean(),
    limit: fc.option(fc.integer({ min: 1, max: 7 }), { nil: undefined }),
    atLeast: fc.option(fc.integer({ min: 0, max: 9 }), { nil: undefined }),
    index: fc.boolean(),
  });

  const within = (sk: number, operator: string, low: number, high: number) =>
    operator === "none" ||
    (operator === "=" && sk === low) ||
    (operator === "<" && sk < low) ||
    (operator === "<=" && sk <= low) ||
    (operator === ">" && sk > low) ||
    (operator === ">=" && sk >= low) ||
    (operator === "between" && sk >= low && sk <= high);

  test("answer what a walk over all items would, page by page, after any changes", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(change, { maxLength: 60 }),
        fc.array(condition, { minLength: 1, maxLength: 4 }),
        async (changes, conditions) => {
          const { aws, createTable, queryAll, raw } = dynamoWorld();
          await createTable("orders", {
            AttributeDefinitions: [
              { AttributeName: "pk", AttributeType: "S" },
              { AttributeName: "sk", AttributeType: "N" },
              { AttributeName: "grade", AttributeType: "S" },
            ],
            GlobalSecondaryIndexes: [
              {
                IndexName: "graded",
                KeySchema: [
                  { AttributeName: "grade", KeyType: "HASH" },
                  { AttributeName: "sk", KeyType: "RANGE" },
                ],
                Projection: { ProjectionType: "ALL" },
              },
            ],
          });
          const model = new Map<string, Row>();
          for (const { kind, row } of changes) {
            const Key = { pk: { S: row.pk }, sk: { N: String(row.sk) } };
            const name = JSON.stringify([row.pk, row.sk]);
            if (kind === "delete") {
              await raw("DeleteItem", { TableName: "orders", Key });
              model.delete(name);
            } else {
              const Item = {
                ...Key,
                v: { N: String(row.v) },
                ...(row.grade === undefined ? {} : { grade: { S: row.grade } }),
              };
              await raw("PutItem", { TableName: "orders", Item });
              model.set(name, row);
            }
          }
          expect(aws.services.dynamodb.table("orders").rows.size).toBe(model.size);

          for (const { pk, operator, low, width, forward, limit, atLeast, index } of conditions) {
            const partition = index ? "x" : pk;
            const sort =
              operator === "none"
                ? ""
                : operator === "between"
                  ? " AND sk BETWEEN :l AND :h"
                  : ` AND sk ${operator} :l`;
            const values: Record<string, AttributeValue> = { ":k": { S: partition } };
            if (operator !== "none") values[":l"] = { N: String(low) };
            if (operator === "between") values[":h"] = { N: String(low + width) };
            if (atLeast !== undefined) values[":v"] = { N: String(atLeast) };
            const { items } = await queryAll({
              TableName: "orders",
              KeyConditionExpression: `${index ? "grade" : "pk"} = :k${sort}`,
              ExpressionAttributeValues: values,
              ScanIndexForward: forward,
              ...(index ? { IndexName: "graded" } : {}),
              ...(limit === undefined ? {} : { Limit: limit }),
              ...(atLeast === undefined ? {} : { FilterExpression: "v >= :v" }),
            });
            const expected = [...model.values()].filter(
              (row) =>
                (index ? row.grade : row.pk) === partition &&
                within(row.sk, operator, low, low + width) &&
                (atLeast === undefined || row.v >= atLeast),
            );
            const found = items.map((item) => Number(item.sk?.N));
            const ascending = expected.map(({ sk }) => sk).toSorted((x, y) => x - y);
            expect(found).toEqual(forward ? ascending : ascending.toReversed());
            const names = items.map((item) => JSON.stringify([item.pk?.S, Number(item.sk?.N)]));
            expect(names.toSorted()).toEqual(
              expected.map((row) => JSON.stringify([row.pk, row.sk])).toSorted(),
            );
          }
        },
      ),
      { numRuns: 40 },
    );
  });
});
