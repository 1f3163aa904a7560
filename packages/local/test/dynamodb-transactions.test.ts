import {
  type AttributeValue,
  GetItemCommand,
  PutItemCommand,
  ScanCommand,
  TransactGetItemsCommand,
  type TransactWriteItem,
  TransactWriteItemsCommand,
} from "@aws-sdk/client-dynamodb";
import { beforeEach, describe, expect, test } from "vitest";
import { dynamoWorld, refusal } from "./dynamodb-world.ts";

let world: ReturnType<typeof dynamoWorld>;
const TableName = "orders";
const keyOf = (sk: string) => ({ pk: { S: "a" }, sk: { S: sk } });

beforeEach(async () => {
  world = dynamoWorld();
  await world.createTable(TableName);
});

const transact = (TransactItems: TransactWriteItem[], ClientRequestToken?: string) =>
  world.client.send(
    new TransactWriteItemsCommand({
      TransactItems,
      ...(ClientRequestToken ? { ClientRequestToken } : {}),
    }),
  );
const putOf = (sk: string, more: Record<string, AttributeValue> = {}): TransactWriteItem => ({
  Put: { TableName, Item: { ...keyOf(sk), ...more } },
});
const increment = (sk: string, by = "1"): TransactWriteItem => ({
  Update: {
    TableName,
    Key: keyOf(sk),
    UpdateExpression: "ADD n :v",
    ExpressionAttributeValues: { ":v": { N: by } },
  },
});
const count = async () => (await world.client.send(new ScanCommand({ TableName }))).Count;
const get = async (sk: string) =>
  (await world.client.send(new GetItemCommand({ TableName, Key: keyOf(sk) }))).Item;

describe("writing", () => {
  test("all four actions happen together", async () => {
    await transact([putOf("check"), putOf("gone"), increment("counted")]);
    await transact([
      {
        ConditionCheck: {
          TableName,
          Key: keyOf("check"),
          ConditionExpression: "attribute_exists(pk)",
        },
      },
      { Delete: { TableName, Key: keyOf("gone") } },
      increment("counted"),
      putOf("fresh"),
    ]);
    expect(await get("gone")).toBeUndefined();
    expect((await get("counted"))?.n).toEqual({ N: "2" });
    expect(await count()).toBe(3);
  });

  test("one failed condition cancels all, with a reason for each action", async () => {
    await world.put(TableName, { ...keyOf("b"), by: { S: "other" } });
    const create = (sk: string, show: boolean): TransactWriteItem => ({
      Put: {
        TableName,
        Item: keyOf(sk),
        ConditionExpression: "attribute_not_exists(pk)",
        ...(show ? { ReturnValuesOnConditionCheckFailure: "ALL_OLD" as const } : {}),
      },
    });
    const error = await transact([create("a", true), create("b", true), putOf("c")]).catch(
      (e: unknown) => e,
    );
    expect(error).toMatchObject({
      name: "TransactionCanceledException",
      message:
        "Transaction cancelled, please refer cancellation reasons for specific reasons [None, ConditionalCheckFailed, None]",
      CancellationReasons: [
        { Code: "None" },
        {
          Code: "ConditionalCheckFailed",
          Message: "The conditional request failed",
          Item: { ...keyOf("b"), by: { S: "other" } },
        },
        { Code: "None" },
      ],
    });
    expect(await count()).toBe(1);
    const quiet = await transact([create("b", false)]).catch((e: unknown) => e);
    expect(
      (quiet as { CancellationReasons: { Item?: unknown }[] }).CancellationReasons[0]?.Item,
    ).toBeUndefined();
  });

  test("an update that does not fit its item cancels with ValidationError", async () => {
    await world.put(TableName, { ...keyOf("b"), n: { S: "text" } });
    const error = await transact([putOf("a"), increment("b")]).catch((e: unknown) => e);
    expect(error).toMatchObject({
      name: "TransactionCanceledException",
      CancellationReasons: [
        { Code: "None" },
        {
          Code: "ValidationError",
          Message: "An operand in the update expression has an incorrect data type",
        },
      ],
    });
    expect(await get("a")).toBeUndefined();
  });

  const bad: [string, TransactWriteItem[], RegExp][] = [
    [
      "two actions on one item",
      [putOf("a"), increment("a")],
      /cannot include multiple operations on one item/,
    ],
    ["no action", [{}], /can only contain one of Check, Put, Update or Delete/],
    [
      "two actions in one element",
      [{ ...putOf("a"), ...increment("b") }],
      /can only contain one of/,
    ],
    [
      "101 actions",
      Array.from({ length: 101 }, (_, n) => putOf(String(n))),
      /'TransactItems' failed to satisfy/,
    ],
    ["none at all", [], /'TransactItems' failed to satisfy/],
    [
      "an action without its table",
      [putOf("a"), { Put: { TableName: "nowhere", Item: keyOf("b") } }],
      /ResourceNotFoundException/,
    ],
    [
      "more than 4 MB",
      Array.from({ length: 11 }, (_, n) => putOf(String(n), { v: { S: "x".repeat(390 * 1024) } })),
      /4 MB/,
    ],
    [
      "a bad item",
      [putOf("a"), { Put: { TableName, Item: { pk: { S: "a" } } } }],
      /Missing the key sk/,
    ],
  ];
  test.each(bad)("%s is refused and nothing is written", async (_, items, message) => {
    expect(await refusal(transact(items))).toMatch(message);
    expect(await count()).toBe(0);
  });

  test("100 actions are done", async () => {
    await transact(Array.from({ length: 100 }, (_, n) => putOf(String(n))));
    expect(await count()).toBe(100);
  });
});

describe("client tokens", () => {
  test("a repeated transaction is done once, for ten minutes", async () => {
    await transact([increment("a", "1.0")], "token");
    await transact([increment("a", "1.0")], "token");
    expect((await get("a"))?.n).toEqual({ N: "1" });
    await world.aws.advance(10 * 60_000);
    await transact([increment("a", "1.0")], "token");
    expect((await get("a"))?.n).toEqual({ N: "2" });
  });

  test("a token does not serve for another transaction", async () => {
    await transact([increment("a")], "token");
    expect(await refusal(transact([increment("b")], "token"))).toMatch(
      /^IdempotentParameterMismatchException/,
    );
    expect(await get("b")).toBeUndefined();
  });

  test("a cancelled transaction does not use its token up", async () => {
    const create: TransactWriteItem = {
      Put: { TableName, Item: keyOf("a"), ConditionExpression: "attribute_exists(pk)" },
    };
    expect(await refusal(transact([create], "token"))).toMatch(/TransactionCanceled/);
    await world.put(TableName, keyOf("a"));
    await transact([create], "token");
  });

  test("a call that the fault plan runs twice is done once", async () => {
    world.aws.faults.add({
      service: "dynamodb",
      operation: "TransactWriteItems",
      kind: "duplicate",
      times: 1,
    });
    await transact([increment("a", "1.0")]);
    expect((await get("a"))?.n).toEqual({ N: "1" });
  });
});

describe("reading", () => {
  test("several items are read at one moment, missing ones as nothing", async () => {
    await world.client.send(
      new PutItemCommand({ TableName, Item: { ...keyOf("a"), v: { N: "1" }, w: { N: "2" } } }),
    );
    const read = (sks: string[]) =>
      world.client.send(
        new TransactGetItemsCommand({
          TransactItems: sks.map((sk) => ({
            Get: { TableName, Key: keyOf(sk), ProjectionExpression: "v" },
          })),
        }),
      );
    expect((await read(["a", "b"])).Responses).toEqual([{ Item: { v: { N: "1" } } }, {}]);
    expect(await refusal(read(["a", "a"]))).toMatch(/multiple operations on one item/);
  });
});
