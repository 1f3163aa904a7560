import { marshall, unmarshall } from "@aws-sdk/util-dynamodb";
import { toItem } from "@stint/aws/store/write";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

const value = fc.letrec((tie) => ({
  any: fc.oneof(
    { maxDepth: 4 },
    fc.string({ unit: "binary" }),
    fc.boolean(),
    fc.maxSafeInteger(),
    fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e15, max: 1e15 }),
    fc.constant(null),
    fc.array(tie("any"), { maxLength: 4 }),
    fc.dictionary(fc.string(), tie("any"), { maxKeys: 4, noNullPrototype: true }),
  ),
})).any;

describe("an item", () => {
  test("is what the SDK's own marshaller makes of the same data", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), value, { noNullPrototype: true }), (data) => {
        fc.pre(!JSON.stringify(data).includes("__proto__"));
        expect(toItem(data)).toEqual(marshall(data));
        expect(unmarshall(toItem(data))).toEqual(unmarshall(marshall(data)));
      }),
    );
  });

  test("has nothing of what is undefined", () => {
    expect(toItem({ a: undefined, b: { c: undefined, d: 1 }, e: [undefined, 2] })).toEqual({
      b: { M: { d: { N: "1" } } },
      e: { L: [{ N: "2" }] },
    });
  });

  test.each([
    ["a date", new Date(0)],
    ["bytes", new Uint8Array(1)],
    ["a map", new Map()],
    ["a function", () => {}],
    ["a number that is none", Number.NaN],
    ["a number that would come back as another", 2 ** 53],
    ["a bigint", 1n],
  ])("is never made of %s", (_, data) => {
    expect(() => toItem({ data })).toThrow(TypeError);
    expect(() => toItem({ list: [data] })).toThrow(TypeError);
  });

  test("loses no attribute to a name that objects treat otherwise", () => {
    expect(() => toItem(JSON.parse('{"__proto__": {"a": 1}}'))).toThrow(TypeError);
    expect(toItem({ constructor: "x" })).toEqual({ constructor: { S: "x" } });
  });
});
