import {
  type AttributeValue,
  PutItemCommand,
  QueryCommand,
  type QueryCommandInput,
  ScanCommand,
  type ScanCommandInput,
} from "@aws-sdk/client-dynamodb";
import { beforeEach, describe, expect, test } from "vitest";
import { dynamoWorld, refusal } from "./dynamodb-world.ts";

let world: ReturnType<typeof dynamoWorld>;
const TableName = "orders";

beforeEach(async () => {
  world = dynamoWorld();
  await world.createTable(TableName, {
    AttributeDefinitions: [
      { AttributeName: "pk", AttributeType: "S" },
      { AttributeName: "sk", AttributeType: "S" },
      { AttributeName: "state", AttributeType: "S" },
      { AttributeName: "due", AttributeType: "N" },
    ],
    GlobalSecondaryIndexes: [
      index("all", { ProjectionType: "ALL" }),
      index("keys", { ProjectionType: "KEYS_ONLY" }),
      index("some", { ProjectionType: "INCLUDE", NonKeyAttributes: ["extra"] }),
    ],
  });
});

function index(IndexName: string, Projection: object) {
  return {
    IndexName,
    KeySchema: [
      { AttributeName: "state", KeyType: "HASH" as const },
      { AttributeName: "due", KeyType: "RANGE" as const },
    ],
    Projection,
  };
}

const load = (...sks: string[]) => {
  world.aws.services.dynamodb.load(
    TableName,
    ["p", "q"].flatMap((pk) =>
      sks.map((sk) => ({ pk: { S: pk }, sk: { S: sk }, v: { N: String(sk.length) } })),
    ),
  );
};
const query = (more: Partial<QueryCommandInput> = {}) =>
  world.client.send(
    new QueryCommand({
      TableName,
      KeyConditionExpression: "pk = :p",
      ...more,
      ExpressionAttributeValues: { ":p": { S: "p" }, ...more.ExpressionAttributeValues },
    }),
  );
const sks = async (more: Partial<QueryCommandInput> = {}) =>
  ((await query(more)).Items ?? []).map((item) => item.sk?.S);

describe("Query", () => {
  const cases: [string, Record<string, string>, string[]][] = [
    ["sk = :a", { ":a": "b" }, ["b"]],
    [":a = sk", { ":a": "b" }, ["b"]],
    ["sk < :a", { ":a": "b" }, ["a", "ab", "ab\u0000", "abc"]],
    [":a > sk", { ":a": "b" }, ["a", "ab", "ab\u0000", "abc"]],
    ["sk <= :a", { ":a": "ab" }, ["a", "ab"]],
    ["sk > :a", { ":a": "ab" }, ["ab\u0000", "abc", "b", "c"]],
    ["sk >= :a", { ":a": "abb" }, ["abc", "b", "c"]],
    ["sk BETWEEN :a AND :b", { ":a": "ab", ":b": "b" }, ["ab", "ab\u0000", "abc", "b"]],
    ["begins_with(sk, :a)", { ":a": "ab" }, ["ab", "ab\u0000", "abc"]],
    ["begins_with(sk, :a)", { ":a": "z" }, []],
  ];
  test.each(cases)(
    "%s with %o finds exactly its stretch, both ways",
    async (condition, values, expected) => {
      load("a", "ab", "abc", "ab\u0000", "b", "c");
      const ExpressionAttributeValues = Object.fromEntries(
        Object.entries(values).map(([name, S]) => [name, { S }]),
      );
      const KeyConditionExpression = `pk = :p AND ${condition}`;
      expect(await sks({ KeyConditionExpression, ExpressionAttributeValues })).toEqual(expected);
      expect(
        await sks({ KeyConditionExpression, ExpressionAttributeValues, ScanIndexForward: false }),
      ).toEqual(expected.toReversed());
    },
  );

  test("strings are in order of their UTF-8 bytes", async () => {
    load("\u{1f600}", "\uffee", "\ud7ff", "z");
    expect(await sks()).toEqual(["z", "\ud7ff", "\uffee", "\u{1f600}"]);
  });

  test("a limit cuts pages, and the last full page still has a LastEvaluatedKey", async () => {
    load("a", "b", "c", "d");
    const first = await query({ Limit: 2 });
    expect(first.LastEvaluatedKey).toEqual({ pk: { S: "p" }, sk: { S: "b" } });
    const second = await query({ Limit: 2, ExclusiveStartKey: first.LastEvaluatedKey });
    expect(second.Items?.map((item) => item.sk?.S)).toEqual(["c", "d"]);
    const third = await query({ Limit: 2, ExclusiveStartKey: second.LastEvaluatedKey });
    expect(third.Count).toBe(0);
    expect(third.LastEvaluatedKey).toBeUndefined();
  });

  test("a page may start after an item that has gone", async () => {
    load("a", "c");
    const ExclusiveStartKey = { pk: { S: "p" }, sk: { S: "b" } };
    expect(await sks({ ExclusiveStartKey })).toEqual(["c"]);
    expect(await sks({ ExclusiveStartKey, ScanIndexForward: false })).toEqual(["a"]);
  });

  test("a page holds a megabyte of what was read, however little the filter lets through", async () => {
    world.aws.services.dynamodb.load(
      TableName,
      Array.from({ length: 40 }, (_, n) => ({
        pk: { S: "p" },
        sk: { S: String(n).padStart(3, "0") },
        v: { S: "x".repeat(100 * 1024) },
        even: { BOOL: n % 2 === 0 },
      })),
    );
    const first = await query({
      FilterExpression: "even = :e",
      ExpressionAttributeValues: { ":e": { BOOL: true } },
    });
    expect(first).toMatchObject({ Count: 5, ScannedCount: 10 });
    const all = await world.queryAll({
      TableName,
      KeyConditionExpression: "pk = :p",
      ExpressionAttributeValues: { ":p": { S: "p" } },
      ScanIndexForward: false,
    });
    expect(all.pages).toBe(4);
    expect(all.items.map((item) => Number(item.sk?.S))).toEqual(
      Array.from({ length: 40 }, (_, n) => 39 - n),
    );
  });

  test("counting returns no items", async () => {
    load("a", "b");
    const answer = await query({ Select: "COUNT" });
    expect(answer).toMatchObject({ Count: 2, ScannedCount: 2 });
    expect(answer.Items).toBeUndefined();
  });

  const values = (more: Record<string, AttributeValue> = {}) => ({
    ExpressionAttributeValues: more,
  });
  const a = values({ ":a": { S: "a" } });
  const bad: [string, Partial<QueryCommandInput>, RegExp][] = [
    [
      "no condition",
      { KeyConditionExpression: undefined },
      /Either the KeyConditions or KeyConditionExpression/,
    ],
    ["no partition", { KeyConditionExpression: "sk = :p" }, /missed key schema element: pk/],
    ["a range of partitions", { KeyConditionExpression: "pk > :p" }, /key condition not supported/],
    [
      "an attribute that is no key",
      { KeyConditionExpression: "pk = :p AND v = :a", ...a },
      /missed key schema element: sk/,
    ],
    [
      "OR",
      { KeyConditionExpression: "pk = :p OR sk = :a", ...a },
      /Invalid operator used in KeyConditionExpression: OR/,
    ],
    [
      "NOT",
      { KeyConditionExpression: "pk = :p AND NOT sk = :a", ...a },
      /KeyConditionExpression: NOT/,
    ],
    ["<>", { KeyConditionExpression: "pk = :p AND sk <> :a", ...a }, /KeyConditionExpression: <>/],
    ["contains", { KeyConditionExpression: "pk = :p AND contains(sk, :a)", ...a }, /contains/],
    [
      "two conditions on one key",
      { KeyConditionExpression: "pk = :p AND sk > :a AND sk < :p", ...a },
      /one condition per key/,
    ],
    [
      "a key of another type",
      { KeyConditionExpression: "pk = :p AND sk = :a", ...values({ ":a": { N: "1" } }) },
      /does not match schema type/,
    ],
    [
      "an empty key",
      { KeyConditionExpression: "pk = :p AND sk = :a", ...values({ ":a": { S: "" } }) },
      /empty string value/,
    ],
    [
      "a filter on a key",
      { FilterExpression: "sk = :a", ...a },
      /can only contain non-primary key attributes: Primary key attribute: sk/,
    ],
    [
      "a start in another partition",
      { ExclusiveStartKey: { pk: { S: "q" }, sk: { S: "a" } } },
      /outside query boundaries/,
    ],
    ["half a start", { ExclusiveStartKey: { pk: { S: "p" } } }, /starting key is invalid/],
    ["a limit of zero", { Limit: 0 }, /'Limit' failed to satisfy constraint/],
    ["an unknown index", { IndexName: "none" }, /does not have the specified index: none/],
    [
      "a consistent read of an index",
      {
        IndexName: "all",
        KeyConditionExpression: "#s = :p",
        ExpressionAttributeNames: { "#s": "state" },
        ConsistentRead: true,
      },
      /Consistent reads are not supported on global secondary indexes/,
    ],
    [
      "specific attributes without naming them",
      { Select: "SPECIFIC_ATTRIBUTES" },
      /requires a ProjectionExpression/,
    ],
    [
      "a projection beside a count",
      { Select: "COUNT", ProjectionExpression: "v" },
      /Cannot specify the ProjectionExpression/,
    ],
    ["overlapping projections", { ProjectionExpression: "v, v.a" }, /overlap/],
  ];
  test.each(bad)("%s is refused", async (_, more, message) => {
    const answer = await refusal(query(more));
    expect(answer).toMatch(/^ValidationException/);
    expect(answer).toMatch(message);
  });
});

describe("indexes", () => {
  const put = (sk: string, more: Record<string, AttributeValue> = {}) =>
    world.client.send(
      new PutItemCommand({ TableName, Item: { pk: { S: "p" }, sk: { S: sk }, ...more } }),
    );
  const at = (state: string, due: number) => ({ state: { S: state }, due: { N: String(due) } });
  const byState = (more: Partial<QueryCommandInput> = {}) => ({
    TableName,
    IndexName: "all",
    KeyConditionExpression: "#s = :s AND due <= :d",
    ExpressionAttributeNames: { "#s": "state" },
    ExpressionAttributeValues: { ":s": { S: "open" }, ":d": { N: "1000" } },
    ...more,
  });
  const found = async (more: Partial<QueryCommandInput> = {}) =>
    ((await world.client.send(new QueryCommand(byState(more)))).Items ?? []).map(
      (item) => item.sk?.S,
    );

  test("an index holds only items that have its keys, in the order of its sort key", async () => {
    await put("late", at("open", 900));
    await put("early", at("open", -5));
    await put("middle", at("open", 99.5));
    await put("none");
    await put("half", { state: { S: "open" } });
    await put("beyond", at("open", 1001));
    expect(await found()).toEqual(["early", "middle", "late"]);
  });

  test("an item moves within an index, leaves it and comes back", async () => {
    await put("a", at("open", 1));
    await put("a", at("open", 2000));
    expect(await found()).toEqual([]);
    await put("a", at("open", 2));
    expect(await found()).toEqual(["a"]);
    await put("a");
    expect(await found()).toEqual([]);
  });

  test("items with equal index keys are all there, page by page", async () => {
    for (const sk of ["x", "y", "z"]) await put(sk, at("open", 7));
    const all = await world.queryAll(byState({ Limit: 1 }));
    expect(all.items.map((item) => item.sk?.S).toSorted()).toEqual(["x", "y", "z"]);
    expect(all.pages).toBe(4);
    const first = await world.client.send(new QueryCommand(byState({ Limit: 1 })));
    expect(Object.keys(first.LastEvaluatedKey ?? {}).toSorted()).toEqual([
      "due",
      "pk",
      "sk",
      "state",
    ]);
  });

  test("a projection shows what it holds and refuses the rest", async () => {
    await put("a", { ...at("open", 1), extra: { S: "e" }, more: { S: "o" } });
    const one = async (IndexName: string) =>
      (await world.client.send(new QueryCommand(byState({ IndexName })))).Items?.[0];
    const keys = { pk: { S: "p" }, sk: { S: "a" }, ...at("open", 1) };
    expect(await one("keys")).toEqual(keys);
    expect(await one("some")).toEqual({ ...keys, extra: { S: "e" } });
    expect(await one("all")).toEqual({ ...keys, extra: { S: "e" }, more: { S: "o" } });
    expect(await refusal(found({ IndexName: "some", ProjectionExpression: "more" }))).toMatch(
      /Global secondary index some does not project \[more\]/,
    );
    expect(await refusal(found({ IndexName: "keys", Select: "ALL_ATTRIBUTES" }))).toMatch(
      /ALL_ATTRIBUTES is not supported/,
    );
  });

  test("a value that cannot be an index key refuses the write", async () => {
    expect(await refusal(put("a", { state: { N: "1" } }))).toMatch(
      /Type mismatch for Index Key state Expected: S Actual: N IndexName: all/,
    );
    expect(await refusal(put("a", { state: { S: "" } }))).toMatch(
      /IndexName: all, IndexKey: state/,
    );
  });
});

describe("Scan", () => {
  const keysOf = async (more: Partial<ScanCommandInput> = {}) => {
    const keys: string[] = [];
    let ExclusiveStartKey: Record<string, AttributeValue> | undefined;
    do {
      const page = await world.client.send(
        new ScanCommand({
          TableName,
          ...more,
          ...(ExclusiveStartKey ? { ExclusiveStartKey } : {}),
        }),
      );
      for (const item of page.Items ?? []) keys.push(`${item.pk?.S}/${item.sk?.S}`);
      ExclusiveStartKey = page.LastEvaluatedKey;
    } while (ExclusiveStartKey !== undefined);
    return keys;
  };
  const many = () =>
    Array.from({ length: 300 }, (_, n) => ({ pk: { S: `p${n}` }, sk: { S: "s" } }));

  test("pages give every item once, and segments divide them", async () => {
    world.aws.services.dynamodb.load(TableName, many());
    const all = await keysOf({ Limit: 37 });
    expect(all).toHaveLength(300);
    expect(new Set(all).size).toBe(300);
    const parts = [];
    for (let Segment = 0; Segment < 7; Segment++) {
      const part = await keysOf({ Segment, TotalSegments: 7, Limit: 10 });
      expect(part.length).toBeGreaterThan(20);
      parts.push(...part);
    }
    expect(parts.toSorted()).toEqual(all.toSorted());
  });

  test("its order is not that of the keys", async () => {
    world.aws.services.dynamodb.load(TableName, many());
    const all = await keysOf();
    expect(all).not.toEqual(all.toSorted());
  });

  test("an index is scanned like a table", async () => {
    await world.put(TableName, { pk: { S: "p" }, sk: { S: "a" } });
    await world.put(TableName, {
      pk: { S: "p" },
      sk: { S: "b" },
      state: { S: "x" },
      due: { N: "1" },
    });
    expect(await keysOf({ IndexName: "keys" })).toEqual(["p/b"]);
  });

  test.each([
    ["a segment without their number", { Segment: 0 }, /TotalSegments/],
    ["a segment beyond their number", { Segment: 2, TotalSegments: 2 }, /zero-based/],
  ])("%s is refused", async (_, more, message) => {
    expect(await refusal(keysOf(more))).toMatch(message);
  });
});
