import {
  BatchGetItemCommand,
  CreateTableCommand,
  DeleteItemCommand,
  type DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  QueryCommand,
  ScanCommand,
  TransactGetItemsCommand,
  UpdateTableCommand,
} from "@aws-sdk/client-dynamodb";
import { beforeEach, expect, test } from "vitest";
import { dynamoWorld } from "./dynamodb-world.ts";

const LAG = 2_000;
let aws: ReturnType<typeof dynamoWorld>["aws"];
let db: DynamoDBClient;
beforeEach(async () => {
  const world = dynamoWorld();
  aws = world.aws;
  db = world.client;
  const key = (AttributeName: string, KeyType: "HASH" | "RANGE") => ({ AttributeName, KeyType });
  await db.send(
    new CreateTableCommand({
      TableName: "t-lag",
      BillingMode: "PAY_PER_REQUEST",
      AttributeDefinitions: ["pk", "sk", "kind"].map((AttributeName) => ({
        AttributeName,
        AttributeType: "S" as const,
      })),
      KeySchema: [key("pk", "HASH"), key("sk", "RANGE")],
      GlobalSecondaryIndexes: [
        {
          IndexName: "byKind",
          KeySchema: [key("kind", "HASH")],
          Projection: { ProjectionType: "ALL" },
        },
      ],
    }),
  );
  await db.send(
    new PutItemCommand({
      TableName: "t-lag",
      Item: { ...KEY, state: { S: "old" }, kind: { S: "a" } },
    }),
  );
  aws.services.dynamodb.setReadLag(LAG);
});

const KEY = { pk: { S: "p" }, sk: { S: "s" } };
const write = (state: string, kind = "a") =>
  db.send(
    new PutItemCommand({
      TableName: "t-lag",
      Item: { ...KEY, state: { S: state }, kind: { S: kind } },
    }),
  );
const get = async (ConsistentRead: boolean) =>
  (await db.send(new GetItemCommand({ TableName: "t-lag", Key: KEY, ConsistentRead }))).Item?.state
    ?.S;
const byKind = async (kind: string) =>
  (
    await db.send(
      new QueryCommand({
        TableName: "t-lag",
        IndexName: "byKind",
        KeyConditionExpression: "kind = :kind",
        ExpressionAttributeValues: { ":kind": { S: kind } },
      }),
    )
  ).Items?.map(({ state }) => state?.S);

test("a default read sees a write only after the lag, a consistent one at once", async () => {
  await write("new");
  expect(await get(false)).toBe("old");
  expect(await get(true)).toBe("new");
  await aws.advance(LAG - 1);
  expect(await get(false)).toBe("old");
  await aws.advance(1);
  expect(await get(false)).toBe("new");
});

test("writes come into sight in their order, each at its own time", async () => {
  await write("second");
  await aws.advance(1_000);
  await write("third");
  await aws.advance(1_000);
  expect(await get(false)).toBe("second");
  await aws.advance(1_000);
  expect(await get(false)).toBe("third");
});

test("an index shows an item where it was, until the lag is over", async () => {
  await write("new", "b");
  expect(await byKind("a")).toEqual(["old"]);
  expect(await byKind("b")).toEqual([]);
  await aws.advance(LAG);
  expect(await byKind("a")).toEqual([]);
  expect(await byKind("b")).toEqual(["new"]);
});

test("what was deleted is still there for a while", async () => {
  await db.send(new DeleteItemCommand({ TableName: "t-lag", Key: KEY }));
  expect(await get(true)).toBeUndefined();
  expect(await get(false)).toBe("old");
  expect((await db.send(new ScanCommand({ TableName: "t-lag" }))).Count).toBe(1);
  expect((await db.send(new ScanCommand({ TableName: "t-lag", ConsistentRead: true }))).Count).toBe(
    0,
  );
  await aws.advance(LAG);
  expect((await db.send(new ScanCommand({ TableName: "t-lag" }))).Count).toBe(0);
});

test("batches lag unless they ask, transactions never do, and conditions are judged by what is there", async () => {
  await write("new");
  const batch = async (ConsistentRead: boolean) =>
    (
      await db.send(
        new BatchGetItemCommand({ RequestItems: { "t-lag": { Keys: [KEY], ConsistentRead } } }),
      )
    ).Responses?.["t-lag"]?.[0]?.state?.S;
  expect(await batch(false)).toBe("old");
  expect(await batch(true)).toBe("new");
  const { Responses } = await db.send(
    new TransactGetItemsCommand({ TransactItems: [{ Get: { TableName: "t-lag", Key: KEY } }] }),
  );
  expect(Responses?.[0]?.Item?.state?.S).toBe("new");
  await db.send(
    new PutItemCommand({
      TableName: "t-lag",
      Item: { ...KEY, state: { S: "newest" } },
      ConditionExpression: "#state = :new",
      ExpressionAttributeNames: { "#state": "state" },
      ExpressionAttributeValues: { ":new": { S: "new" } },
    }),
  );
  expect(await get(true)).toBe("newest");
});

test("an index is never read consistently", async () => {
  const reading = db.send(
    new QueryCommand({
      TableName: "t-lag",
      IndexName: "byKind",
      ConsistentRead: true,
      KeyConditionExpression: "kind = :kind",
      ExpressionAttributeValues: { ":kind": { S: "a" } },
    }),
  );
  await expect(reading).rejects.toMatchObject({ name: "ValidationException" });
});

test("a lag that ends shows what it held back, and then everything at once", async () => {
  await write("new");
  aws.services.dynamodb.setReadLag(0);
  await aws.advance(LAG);
  expect(await get(false)).toBe("new");
  await write("newest");
  expect(await get(false)).toBe("newest");
});

test("a table whose indexes change while reads lag is read by the new ones", async () => {
  await write("new");
  await db.send(
    new UpdateTableCommand({
      TableName: "t-lag",
      AttributeDefinitions: [{ AttributeName: "state", AttributeType: "S" }],
      GlobalSecondaryIndexUpdates: [
        {
          Create: {
            IndexName: "byState",
            KeySchema: [{ AttributeName: "state", KeyType: "HASH" }],
            Projection: { ProjectionType: "ALL" },
          },
        },
      ],
    }),
  );
  const { Count } = await db.send(
    new QueryCommand({
      TableName: "t-lag",
      IndexName: "byState",
      KeyConditionExpression: "#state = :new",
      ExpressionAttributeNames: { "#state": "state" },
      ExpressionAttributeValues: { ":new": { S: "new" } },
    }),
  );
  expect(Count).toBe(1);
});
