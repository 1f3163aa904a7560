import {
  type AttributeValue,
  PutItemCommand,
  ScanCommand,
  UpdateItemCommand,
  type UpdateItemCommandInput,
} from "@aws-sdk/client-dynamodb";
import { beforeEach, describe, expect, test } from "vitest";
import { expressionCache } from "../src/dynamodb/expressions.ts";
import { dynamoWorld, refusal } from "./dynamodb-world.ts";

let world: ReturnType<typeof dynamoWorld>;
const TableName = "orders";
const key = { pk: { S: "a" }, sk: { S: "b" } };
type Values = Record<string, AttributeValue>;

beforeEach(async () => {
  world = dynamoWorld();
  await world.createTable(TableName);
});

const sample: Values = {
  ...key,
  n: { N: "10" },
  big: { N: "9007199254740993" },
  s: { S: "hello" },
  b: { B: Uint8Array.of(1, 2, 3) },
  t: { BOOL: true },
  nil: { NULL: true },
  l: { L: [{ S: "x" }, { N: "2" }] },
  m: { M: { a: { S: "deep" }, "dotted.name": { S: "d" } } },
  ss: { SS: ["a", "b"] },
  ns: { NS: ["1", "2"] },
};

const filter = async (FilterExpression: string, values?: Values, names?: Record<string, string>) =>
  (
    await world.client.send(
      new ScanCommand({
        TableName,
        FilterExpression,
        ...(values ? { ExpressionAttributeValues: values } : {}),
        ...(names ? { ExpressionAttributeNames: names } : {}),
      }),
    )
  ).Count === 1;

describe("conditions", () => {
  const cases: [string, Values | undefined, boolean][] = [
    ["n = :v", { ":v": { N: "10.0" } }, true],
    ["n = :v", { ":v": { S: "10" } }, false],
    ["n <> :v", { ":v": { S: "10" } }, true],
    ["gone <> :v", { ":v": { S: "10" } }, true],
    ["gone = :v", { ":v": { S: "10" } }, false],
    ["n < :v", { ":v": { N: "9" } }, false],
    ["n < :v", { ":v": { N: "10.5" } }, true],
    ["n < :v", { ":v": { S: "99" } }, false],
    ["big > :v", { ":v": { N: "9007199254740992" } }, true],
    ["big = :v", { ":v": { N: "9007199254740992" } }, false],
    [":v <= n", { ":v": { N: "10" } }, true],
    ["n BETWEEN :a AND :b", { ":a": { N: "10" }, ":b": { N: "11" } }, true],
    ["n between :a and :b", { ":a": { N: "11" }, ":b": { N: "12" } }, false],
    ["s IN (:a, :b)", { ":a": { S: "no" }, ":b": { S: "hello" } }, true],
    ["s IN (:a)", { ":a": { N: "1" } }, false],
    ["attribute_exists(m.a)", undefined, true],
    ["attribute_exists(m.z)", undefined, false],
    ["attribute_exists(l[1])", undefined, true],
    ["attribute_exists(l[2])", undefined, false],
    ["attribute_not_exists(s.a)", undefined, true],
    ["attribute_type(nil, :t)", { ":t": { S: "NULL" } }, true],
    ["attribute_type(n, :t)", { ":t": { S: "S" } }, false],
    ["begins_with(s, :p)", { ":p": { S: "hel" } }, true],
    ["begins_with(s, :p)", { ":p": { S: "ell" } }, false],
    ["begins_with(b, :p)", { ":p": { B: Uint8Array.of(1, 2) } }, true],
    ["contains(s, :p)", { ":p": { S: "ell" } }, true],
    ["contains(ss, :p)", { ":p": { S: "b" } }, true],
    ["contains(ns, :p)", { ":p": { N: "2.0" } }, true],
    ["contains(ns, :p)", { ":p": { S: "2" } }, false],
    ["contains(l, :p)", { ":p": { N: "2" } }, true],
    ["size(s) = :v", { ":v": { N: "5" } }, true],
    ["size(l) >= :v AND size(m) = :v AND size(ss) = :v", { ":v": { N: "2" } }, true],
    ["size(b) = :v", { ":v": { N: "3" } }, true],
    ["size(n) = :v", { ":v": { N: "2" } }, false],
    ["ss = :v", { ":v": { SS: ["b", "a"] } }, true],
    ["m.a = :v", { ":v": { S: "deep" } }, true],
    ["t = :v", { ":v": { BOOL: true } }, true],
    ["NOT t = :v", { ":v": { BOOL: false } }, true],
    ["NOT (attribute_exists(n) AND attribute_exists(s))", undefined, false],
    ["attribute_exists(z) OR attribute_exists(n) AND attribute_exists(y)", undefined, false],
    ["(attribute_exists(z) OR attribute_exists(n)) AND attribute_exists(s)", undefined, true],
    ["attribute_exists(n) OR attribute_exists(z) AND attribute_exists(y)", undefined, true],
  ];
  test.each(cases)("%s with %o is %s", async (text, values, holds) => {
    await world.client.send(new PutItemCommand({ TableName, Item: sample }));
    expect(await filter(text, values)).toBe(holds);
  });

  test("a placeholder stands for one name, dots and all", async () => {
    await world.client.send(new PutItemCommand({ TableName, Item: sample }));
    expect(await filter("attribute_exists(m.#d)", undefined, { "#d": "dotted.name" })).toBe(true);
    expect(await filter("attribute_exists(#d)", undefined, { "#d": "m.a" })).toBe(false);
  });

  const v = { ":v": { S: "x" } };
  const bad: [string, Values | undefined, RegExp][] = [
    ["", undefined, /The expression can not be empty/],
    ["a =", undefined, /Syntax error; token: "<EOF>", near: "="/],
    ["a = = :v", v, /Syntax error; token: "=", near: "= = :v"/],
    ["a ! :v", v, /Syntax error; token: "!"/],
    ["(a = :v", v, /Syntax error/],
    ["a = :v)", v, /Syntax error; token: "\)"/],
    ["a", undefined, /Syntax error/],
    ["a[x] = :v", v, /Syntax error/],
    ["a = 5", undefined, /Syntax error/],
    ["status = :v", v, /Attribute name is a reserved keyword; reserved keyword: status/],
    ["m.Name = :v", v, /reserved keyword: Name/],
    ["#x = :v", v, /attribute name used in the document path is not defined; attribute name: #x/],
    ["a = :w", v, /attribute value used in expression is not defined; attribute value: :w/],
    ["attribute_exists(a)", v, /unused in expressions: keys: \{:v\}/],
    ["exists(a)", undefined, /Invalid function name; function: exists/],
    ["Attribute_exists(a)", undefined, /Invalid function name; function: Attribute_exists/],
    ["if_not_exists(a, :v)", v, /not allowed in this expression; function: if_not_exists/],
    ["attribute_exists(:v)", v, /requires a document path/],
    ["attribute_exists(a, :v)", v, /Incorrect number of operands/],
    ["begins_with(a)", undefined, /Incorrect number of operands/],
    [
      "begins_with(a, :v)",
      { ":v": { N: "1" } },
      /Incorrect operand type .*begins_with, operand type: N/,
    ],
    ["a < :v", { ":v": { BOOL: true } }, /operator or function: <, operand type: BOOL/],
    ["a = a", undefined, /first operand must be distinct/],
    ["attribute_type(a, :v)", v, /Invalid attribute type name found; type: x/],
    [
      "a BETWEEN :b AND :a",
      { ":a": { N: "2" }, ":b": { N: "10" } },
      /upper bound to be greater than or equal to lower bound/,
    ],
    ["a BETWEEN :a AND :b", { ":a": { N: "2" }, ":b": { S: "3" } }, /same data type/],
    ["a = :v", { ":v": { N: "one" } }, /cannot be converted to a numeric value/],
    ["a = :v", { v: { S: "x" } }, /contains invalid key: Syntax error; key: "v"/],
    ["a = :v".padEnd(4097), v, /Expression size has exceeded/],
    [Array(400).fill("a = :v").join(" OR "), v, /too many operators/],
    [`a IN (${Array(101).fill(":v").join(",")})`, v, /too many operands/],
    [`${"(".repeat(5000)}a = :v`, v, /Expression size/],
    [`${"(".repeat(2000)}a = :v${")".repeat(2000)}`, v, /too many operators/],
  ];
  test.each(bad)("%s is refused", async (text, values, message) => {
    const answer = await refusal(filter(text, values));
    expect(answer).toMatch(/^ValidationException/);
    expect(answer).toMatch(message);
  });

  test("placeholders without any expression are refused", async () => {
    const scan = (more: object) =>
      refusal(world.client.send(new ScanCommand({ TableName, ...more })));
    expect(await scan({ ExpressionAttributeNames: { "#a": "a" } })).toMatch(
      /ExpressionAttributeNames can only be specified when using expressions/,
    );
    expect(await scan({ ExpressionAttributeValues: v })).toMatch(
      /ExpressionAttributeValues can only be specified when using expressions: FilterExpression is null/,
    );
    expect(
      await scan({ FilterExpression: "attribute_exists(a)", ExpressionAttributeNames: {} }),
    ).toMatch(/ExpressionAttributeNames must not be empty/);
  });
});

describe("updates", () => {
  const update = (
    UpdateExpression: string,
    values?: Values,
    more: Partial<UpdateItemCommandInput> = {},
  ) =>
    world.client.send(
      new UpdateItemCommand({
        TableName,
        Key: key,
        UpdateExpression,
        ReturnValues: "ALL_NEW",
        ...(values ? { ExpressionAttributeValues: values } : {}),
        ...more,
      }),
    );
  const after = async (before: Values, text: string, values?: Values) => {
    await world.client.send(new PutItemCommand({ TableName, Item: { ...key, ...before } }));
    const { Attributes = {} } = await update(text, values);
    const { pk, sk, ...rest } = Attributes;
    expect({ pk, sk }).toEqual(key);
    return rest;
  };
  const one = { ":v": { N: "1" } };
  const list = (...values: string[]) => ({ L: values.map((S) => ({ S })) });

  const good: [string, Values, string, Values | undefined, Values][] = [
    ["SET replaces", { a: { N: "5" } }, "SET a = :v", one, { a: { N: "1" } }],
    ["SET adds", { a: { N: "5" } }, "SET a = a + :v", one, { a: { N: "6" } }],
    ["SET subtracts", { a: { N: "5" } }, "SET a = :v - a", one, { a: { N: "-4" } }],
    [
      "arithmetic is exact",
      { a: { N: "12345678901234567890.1" } },
      "SET a = a + :v",
      { ":v": { N: "0.2" } },
      { a: { N: "12345678901234567890.3" } },
    ],
    [
      "if_not_exists keeps",
      { a: { N: "5" } },
      "SET a = if_not_exists(a, :v)",
      one,
      { a: { N: "5" } },
    ],
    [
      "if_not_exists sets",
      {},
      "SET a = if_not_exists(a, :z) + :v",
      { ...one, ":z": { N: "0" } },
      { a: { N: "1" } },
    ],
    [
      "list_append appends",
      { a: list("x") },
      "SET a = list_append(a, :v)",
      { ":v": list("y") },
      { a: list("x", "y") },
    ],
    [
      "operands are read before anything changes",
      { a: { N: "1" }, b: { N: "2" } },
      "SET a = b, b = a",
      undefined,
      { a: { N: "2" }, b: { N: "1" } },
    ],
    [
      "SET reaches into maps and lists",
      { m: { M: { l: list("x", "y") } } },
      "SET m.l[1] = :v, m.z = :v",
      one,
      { m: { M: { l: { L: [{ S: "x" }, { N: "1" }] }, z: { N: "1" } } } },
    ],
    [
      "SET beyond a list's end appends",
      { l: list("x") },
      "SET l[9] = :v",
      one,
      { l: { L: [{ S: "x" }, { N: "1" }] } },
    ],
    [
      "REMOVE removes",
      { a: { N: "5" }, b: { N: "6" } },
      "REMOVE a, gone",
      undefined,
      { b: { N: "6" } },
    ],
    [
      "REMOVE counts elements as they were",
      { l: list("a", "b", "c", "d") },
      "REMOVE l[0], l[2]",
      undefined,
      { l: list("b", "d") },
    ],
    ["ADD counts", { a: { N: "5" } }, "ADD a :v", one, { a: { N: "6" } }],
    ["ADD creates", {}, "ADD a :v", one, { a: { N: "1" } }],
    [
      "ADD joins sets",
      { a: { SS: ["x"] } },
      "ADD a :v",
      { ":v": { SS: ["x", "y"] } },
      { a: { SS: ["x", "y"] } },
    ],
    [
      "DELETE takes from sets",
      { a: { SS: ["x", "y"] } },
      "DELETE a :v",
      { ":v": { SS: ["x", "z"] } },
      { a: { SS: ["y"] } },
    ],
    [
      "DELETE of the last element removes the set",
      { a: { NS: ["1"] } },
      "DELETE a :v",
      { ":v": { NS: ["1.0"] } },
      {},
    ],
    [
      "sections combine in any order",
      { a: { N: "1" }, b: { N: "1" }, c: { N: "1" } },
      "remove a add b :v set c = :v",
      { ":v": { N: "2" } },
      { b: { N: "3" }, c: { N: "2" } },
    ],
  ];
  test.each(good)("%s", async (_, before, text, values, expected) => {
    expect(await after(before, text, values)).toEqual(expected);
  });

  test("an update of nothing creates the item with its key", async () => {
    const { Attributes } = await world.client.send(
      new UpdateItemCommand({ TableName, Key: key, ReturnValues: "ALL_NEW" }),
    );
    expect(Attributes).toEqual(key);
  });

  const bad: [string, Values, string, Values | undefined, RegExp][] = [
    [
      "a key",
      {},
      "SET pk = :v",
      { ":v": { S: "x" } },
      /Cannot update attribute pk. This attribute is part of the key/,
    ],
    ["a section twice", {}, "SET a = :v SET b = :v", one, /"SET" section can only be used once/],
    [
      "overlapping paths",
      {},
      "SET a = :v, a.b = :v",
      one,
      /overlap.*path one: \[a\], path two: \[a, b\]/,
    ],
    ["conflicting paths", {}, "SET a.b = :v, a[0] = :v", one, /conflict with each other/],
    ["what is missing", {}, "SET a = b", undefined, /refers to an attribute that does not exist/],
    ["a sum of text", { a: { S: "x" } }, "SET a = a + :v", one, /incorrect data type/],
    [
      "a sum with literal text",
      {},
      "SET a = a + :v",
      { ":v": { S: "x" } },
      /function: \+, operand type: S/,
    ],
    [
      "a parent that is missing",
      {},
      "SET a.b = :v",
      one,
      /document path provided in the update expression is invalid/,
    ],
    ["a map in a number", { a: { N: "1" } }, "SET a.b = :v", one, /document path/],
    ["ADD of text", {}, "ADD a :v", { ":v": { S: "x" } }, /operator: ADD, operand type: STRING/],
    ["DELETE of a number", {}, "DELETE a :v", one, /operator: DELETE, operand type: NUMBER/],
    [
      "ADD of another set type",
      { a: { SS: ["x"] } },
      "ADD a :v",
      { ":v": { NS: ["1"] } },
      /incorrect data type/,
    ],
    [
      "a function that is none",
      {},
      "SET a = plus(a, :v)",
      one,
      /Invalid function name; function: plus/,
    ],
    ["no section", {}, "a = :v", one, /Syntax error; token: "a"/],
    ["SET without a value", {}, "SET a", undefined, /Syntax error; token: "<EOF>"/],
    [
      "a sum of 39 digits",
      { a: { N: "9".repeat(38) } },
      "SET a = a + :v",
      { ":v": { N: "0.1" } },
      /38 significant digits/,
    ],
    [
      "a growing past 400 KB",
      { a: list("x".repeat(399 * 1024)) },
      "SET b = a",
      undefined,
      /Item size to update has exceeded/,
    ],
    ["a reserved word", {}, "SET size = :v", one, /reserved keyword: size/],
  ];
  test.each(bad)("%s is refused and nothing changes", async (_, before, text, values, message) => {
    await world.client.send(new PutItemCommand({ TableName, Item: { ...key, ...before } }));
    expect(await refusal(update(text, values))).toMatch(message);
    const { Items } = await world.client.send(new ScanCommand({ TableName }));
    expect(Items).toEqual([{ ...key, ...before }]);
  });

  test("each form of ReturnValues returns its part", async () => {
    const before = {
      ...key,
      a: { N: "1" },
      m: { M: { x: { N: "1" }, y: { N: "1" } } },
      z: { S: "z" },
    };
    const returned = async (ReturnValues: UpdateItemCommandInput["ReturnValues"]) => {
      await world.client.send(new PutItemCommand({ TableName, Item: before }));
      const { Attributes } = await update(
        "SET a = :v, m.x = :v, b = :v",
        { ":v": { N: "2" } },
        { ReturnValues },
      );
      return Attributes;
    };
    const two = { N: "2" };
    const changed = { a: two, b: two, m: { M: { x: two } } };
    expect(await returned("NONE")).toBeUndefined();
    expect(await returned("ALL_OLD")).toEqual(before);
    expect(await returned("UPDATED_OLD")).toEqual({ a: { N: "1" }, m: { M: { x: { N: "1" } } } });
    expect(await returned("UPDATED_NEW")).toEqual(changed);
    expect(await returned("ALL_NEW")).toEqual({
      ...before,
      a: two,
      b: two,
      m: { M: { x: two, y: { N: "1" } } },
    });
  });
});

describe("parsed texts", () => {
  test("are parsed once while in use, and forgotten when too many others came", () => {
    const cache = expressionCache();
    const first = cache.update("SET a = :v");
    for (let n = 0; n < 5000; n++) {
      if (n % 100 === 0) expect(cache.update("SET a = :v")).toBe(first);
      cache.update(`SET a${n} = :v`);
    }
    for (let n = 0; n < 600; n++) cache.update(`SET b${n} = :v`);
    expect(cache.update("SET a = :v")).not.toBe(first);
  });

  test("a text that cannot be read is refused each time", () => {
    const cache = expressionCache();
    for (let n = 0; n < 3; n++) expect(() => cache.update("SET a")).toThrow(/Syntax error/);
  });
});
