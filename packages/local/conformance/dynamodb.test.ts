import {
  BatchGetItemCommand,
  BatchWriteItemCommand,
  CreateTableCommand,
  DeleteItemCommand,
  DeleteTableCommand,
  DescribeTableCommand,
  DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  QueryCommand,
  ScanCommand,
  TransactGetItemsCommand,
  TransactWriteItemsCommand,
  UpdateItemCommand,
  waitUntilTableExists,
} from "@aws-sdk/client-dynamodb";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Endpoint, endpoint, refusal } from "./endpoint.ts";

let at: Endpoint;
let db: DynamoDBClient;
let TableName = "";
beforeAll(async () => {
  at = await endpoint();
  db = new DynamoDBClient(at.client);
  TableName = at.unique("table");
  await db.send(
    new CreateTableCommand({
      TableName,
      BillingMode: "PAY_PER_REQUEST",
      AttributeDefinitions: ["pk", "sk", "kind"].map((AttributeName) => ({
        AttributeName,
        AttributeType: "S" as const,
      })),
      KeySchema: [
        { AttributeName: "pk", KeyType: "HASH" },
        { AttributeName: "sk", KeyType: "RANGE" },
      ],
      GlobalSecondaryIndexes: [
        {
          IndexName: "byKind",
          KeySchema: [
            { AttributeName: "kind", KeyType: "HASH" },
            { AttributeName: "sk", KeyType: "RANGE" },
          ],
          Projection: { ProjectionType: "KEYS_ONLY" },
        },
      ],
    }),
  );
  await waitUntilTableExists({ client: db, maxWaitTime: 120, minDelay: 1 }, { TableName });
}, 150_000);
afterAll(async () => {
  await db.send(new DeleteTableCommand({ TableName }));
  await at.close();
});

let pk = { S: "" };
beforeEach(() => {
  pk = { S: at.unique("item") };
});
const key = (sk = "a") => ({ pk, sk: { S: sk } });
const put = (sk = "a", more: Record<string, { S: string } | { N: string }> = {}) =>
  db.send(new PutItemCommand({ TableName, Item: { ...key(sk), ...more } }));
const get = async (sk = "a") =>
  (await db.send(new GetItemCommand({ TableName, Key: key(sk), ConsistentRead: true }))).Item;

describe("conditions", () => {
  test("a put on condition that there is none succeeds once, and the loser may learn what is there", async () => {
    const once = (value: string) =>
      db.send(
        new PutItemCommand({
          TableName,
          Item: { ...key(), value: { S: value } },
          ConditionExpression: "attribute_not_exists(pk)",
          ReturnValuesOnConditionCheckFailure: "ALL_OLD",
        }),
      );
    await once("first");
    await expect(once("second")).rejects.toMatchObject({
      name: "ConditionalCheckFailedException",
      Item: { ...key(), value: { S: "first" } },
    });
  });

  test.each([
    ["#n = :two", true],
    ["#n > :two", false],
    ["#n BETWEEN :one AND :three", true],
    ["#n IN (:one, :three)", false],
    ["attribute_type(#n, :number)", true],
    ["attribute_exists(nope)", false],
    ["begins_with(txt, :he)", true],
    ["contains(txt, :ll)", true],
    ["size(txt) = :five", true],
    ["NOT #n = :one AND (#n = :two OR #n = :three)", true],
  ])("%s is %s of an item with 2 and hello", async (ConditionExpression, holds) => {
    await put("a", { n: { N: "2" }, txt: { S: "hello" } });
    const values: Record<string, { N: string } | { S: string }> = {
      ":one": { N: "1" },
      ":two": { N: "2" },
      ":three": { N: "3" },
      ":five": { N: "5" },
      ":number": { S: "N" },
      ":he": { S: "he" },
      ":ll": { S: "ll" },
    };
    const used = Object.fromEntries(
      Object.entries(values).filter(([name]) => new RegExp(`${name}\\b`).test(ConditionExpression)),
    );
    const call = refusal(
      db.send(
        new DeleteItemCommand({
          TableName,
          Key: key(),
          ConditionExpression,
          ...(ConditionExpression.includes("#n")
            ? { ExpressionAttributeNames: { "#n": "n" } }
            : {}),
          ...(Object.keys(used).length === 0 ? {} : { ExpressionAttributeValues: used }),
        }),
      ),
    );
    expect(await call).toBe(holds ? "none" : "ConditionalCheckFailedException 400");
  });
});

describe("updates", () => {
  test("set, add, remove and if_not_exists, and answer what they are asked for", async () => {
    await put("a", { n: { N: "1" }, gone: { S: "x" } });
    const { Attributes } = await db.send(
      new UpdateItemCommand({
        TableName,
        Key: key(),
        UpdateExpression:
          "SET aa1 = if_not_exists(aa1, :first), aa2 = n + :two ADD m :two REMOVE gone",
        ExpressionAttributeValues: { ":first": { S: "1st" }, ":two": { N: "2" } },
        ReturnValues: "ALL_NEW",
      }),
    );
    expect(Attributes).toEqual({
      ...key(),
      aa1: { S: "1st" },
      aa2: { N: "3" },
      n: { N: "1" },
      m: { N: "2" },
    });
  });

  test("make an item that was not there, and lists and maps grow", async () => {
    await db.send(
      new UpdateItemCommand({
        TableName,
        Key: key(),
        UpdateExpression: "SET #list = :list, #map = :map",
        ExpressionAttributeNames: { "#list": "l", "#map": "m" },
        ExpressionAttributeValues: { ":list": { L: [{ N: "1" }] }, ":map": { M: {} } },
      }),
    );
    await db.send(
      new UpdateItemCommand({
        TableName,
        Key: key(),
        UpdateExpression: "SET l = list_append(l, :more), m.x = :x ADD tags :tags",
        ExpressionAttributeValues: {
          ":more": { L: [{ N: "2" }] },
          ":x": { BOOL: true },
          ":tags": { SS: ["a"] },
        },
      }),
    );
    expect(await get()).toMatchObject({
      l: { L: [{ N: "1" }, { N: "2" }] },
      m: { M: { x: { BOOL: true } } },
      tags: { SS: ["a"] },
    });
  });

  test.each([
    ["a reserved word", "SET state = :x"],
    ["a key attribute", "SET sk = :x"],
    ["a value that is not given", "SET y = :y"],
    ["nothing that parses", "SET = :x"],
    ["two overlapping paths", "SET aa1.b = :x, aa1 = :x"],
  ])("of %s are refused", async (_, UpdateExpression) => {
    await put();
    const call = db.send(
      new UpdateItemCommand({
        TableName,
        Key: key(),
        UpdateExpression,
        ExpressionAttributeValues: { ":x": { S: "x" } },
      }),
    );
    expect(await refusal(call)).toBe("ValidationException 400");
  });
});

describe("reading", () => {
  test("a query returns a partition's items in order of their sort keys, page by page", async () => {
    for (const sk of ["c", "a", "b"]) await put(sk);
    const page = (ExclusiveStartKey?: Record<string, { S: string }>) =>
      db.send(
        new QueryCommand({
          TableName,
          ConsistentRead: true,
          KeyConditionExpression: "pk = :pk AND sk >= :a",
          ExpressionAttributeValues: { ":pk": pk, ":a": { S: "a" } },
          Limit: 2,
          ...(ExclusiveStartKey === undefined ? {} : { ExclusiveStartKey }),
        }),
      );
    const first = await page();
    expect(first.Items?.map(({ sk }) => sk?.S)).toEqual(["a", "b"]);
    expect(first.LastEvaluatedKey).toEqual(key("b"));
    const second = await page(key("b"));
    expect(second.Items?.map(({ sk }) => sk?.S)).toEqual(["c"]);
    expect(second.LastEvaluatedKey).toBeUndefined();
  });

  test("an index has what has its keys, and no consistent reads", async () => {
    const kind = at.unique("kind");
    await put("a", { kind: { S: kind }, other: { S: "x" } });
    await put("b");
    const query = (ConsistentRead: boolean) =>
      db.send(
        new QueryCommand({
          TableName,
          IndexName: "byKind",
          ConsistentRead,
          KeyConditionExpression: "kind = :kind",
          ExpressionAttributeValues: { ":kind": { S: kind } },
        }),
      );
    await expect
      .poll(async () => (await query(false)).Items, { timeout: 20_000 })
      .toEqual([{ ...key("a"), kind: { S: kind } }]);
    expect(await refusal(query(true))).toBe("ValidationException 400");
  });

  test("a filter is applied after reading: it counts what it looked at", async () => {
    await put("a", { n: { N: "1" } });
    await put("b", { n: { N: "2" } });
    const { Count, ScannedCount } = await db.send(
      new QueryCommand({
        TableName,
        ConsistentRead: true,
        KeyConditionExpression: "pk = :pk",
        FilterExpression: "n > :one",
        ExpressionAttributeValues: { ":pk": pk, ":one": { N: "1" } },
      }),
    );
    expect([Count, ScannedCount]).toEqual([1, 2]);
  });

  test("a projection returns what it names", async () => {
    await put("a", { n: { N: "1" }, other: { S: "x" } });
    const { Item } = await db.send(
      new GetItemCommand({
        TableName,
        Key: key(),
        ProjectionExpression: "n, nope",
        ConsistentRead: true,
      }),
    );
    expect(Item).toEqual({ n: { N: "1" } });
  });

  test("a scan in segments sees each item once", async () => {
    for (const sk of ["a", "b", "c"]) await put(sk);
    const pages = await Promise.all(
      [0, 1].map((Segment) =>
        db.send(new ScanCommand({ TableName, Segment, TotalSegments: 2, ConsistentRead: true })),
      ),
    );
    const mine = pages.flatMap(({ Items = [] }) => Items).filter((item) => item.pk?.S === pk.S);
    expect(mine.map(({ sk }) => sk?.S).toSorted()).toEqual(["a", "b", "c"]);
  });

  test("batches put and get many at once", async () => {
    await db.send(
      new BatchWriteItemCommand({
        RequestItems: { [TableName]: ["a", "b"].map((sk) => ({ PutRequest: { Item: key(sk) } })) },
      }),
    );
    const { Responses } = await db.send(
      new BatchGetItemCommand({
        RequestItems: {
          [TableName]: { Keys: [key("a"), key("b"), key("c")], ConsistentRead: true },
        },
      }),
    );
    expect(Responses?.[TableName]?.map(({ sk }) => sk?.S).toSorted()).toEqual(["a", "b"]);
    const twice = new BatchGetItemCommand({
      RequestItems: { [TableName]: { Keys: [key(), key()] } },
    });
    expect(await refusal(db.send(twice))).toBe("ValidationException 400");
  });
});

describe("transactions", () => {
  const condition = (sk: string, ConditionExpression: string) => ({
    ConditionCheck: { TableName, Key: key(sk), ConditionExpression },
  });

  test("write all or nothing, and say which condition failed, item by item", async () => {
    await put("a", { n: { N: "1" } });
    const transact = (wanted: string) =>
      db.send(
        new TransactWriteItemsCommand({
          TransactItems: [
            { Put: { TableName, Item: key("b") } },
            condition("a", wanted),
            {
              Update: {
                TableName,
                Key: key("c"),
                UpdateExpression: "SET n = :n",
                ConditionExpression: "attribute_exists(pk)",
                ExpressionAttributeValues: { ":n": { N: "2" } },
                ReturnValuesOnConditionCheckFailure: "ALL_OLD",
              },
            },
          ],
        }),
      );
    await expect(transact("attribute_exists(n)")).rejects.toMatchObject({
      name: "TransactionCanceledException",
      CancellationReasons: [{ Code: "None" }, { Code: "None" }, { Code: "ConditionalCheckFailed" }],
    });
    await expect(transact("attribute_not_exists(n)")).rejects.toMatchObject({
      CancellationReasons: [
        { Code: "None" },
        { Code: "ConditionalCheckFailed" },
        { Code: "ConditionalCheckFailed" },
      ],
    });
    expect(await get("b")).toBeUndefined();
    await put("c");
    await transact("attribute_exists(n)");
    const { Responses } = await db.send(
      new TransactGetItemsCommand({
        TransactItems: ["b", "c"].map((sk) => ({ Get: { TableName, Key: key(sk) } })),
      }),
    );
    expect(Responses?.map(({ Item }) => Item)).toEqual([key("b"), { ...key("c"), n: { N: "2" } }]);
  });

  test("with one token happen once, and the token is of one request", async () => {
    const add = (by: string) =>
      db.send(
        new TransactWriteItemsCommand({
          ClientRequestToken: `token-${pk.S.slice(-20)}`,
          TransactItems: [
            {
              Update: {
                TableName,
                Key: key(),
                UpdateExpression: "ADD n :by",
                ExpressionAttributeValues: { ":by": { N: by } },
              },
            },
          ],
        }),
      );
    await add("1");
    await add("1");
    expect((await get())?.n).toEqual({ N: "1" });
    expect(await refusal(add("2"))).toBe("IdempotentParameterMismatchException 400");
  });

  test("touch an item once", async () => {
    const twice = new TransactWriteItemsCommand({
      TransactItems: [
        { Put: { TableName, Item: key() } },
        condition("a", "attribute_not_exists(pk)"),
      ],
    });
    expect(await refusal(db.send(twice))).toBe("ValidationException 400");
  });
});

describe("what is refused", () => {
  test.each([
    ["a key that lacks its sort key", () => ({ pk })],
    ["an empty key", () => ({ pk, sk: { S: "" } })],
    ["a key of another type", () => ({ pk, sk: { N: "1" } })],
    ["an item over 400 KB", () => ({ ...key(), big: { S: "x".repeat(410_000) } })],
    ["a number that is none", () => ({ ...key(), n: { N: "one" } })],
    ["a number of more than 38 digits", () => ({ ...key(), n: { N: "1".repeat(39) } })],
    ["an empty set", () => ({ ...key(), s: { SS: [] } })],
    ["a set that has something twice", () => ({ ...key(), s: { SS: ["a", "a"] } })],
  ])("%s", async (_, item) => {
    const Item = item() as Record<string, { S: string }>; // wrong on purpose
    expect(await refusal(db.send(new PutItemCommand({ TableName, Item })))).toBe(
      "ValidationException 400",
    );
  });

  test("a table that is not there", async () => {
    const call = db.send(new DescribeTableCommand({ TableName: at.unique("none") }));
    expect(await refusal(call)).toBe("ResourceNotFoundException 400");
  });
});
