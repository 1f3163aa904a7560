import {
  BatchGetItemCommand,
  BatchWriteItemCommand,
  GetItemCommand,
  ProvisionedThroughputExceededException,
  QueryCommand,
  ScanCommand,
  ThrottlingException,
  TransactGetItemsCommand,
  TransactionCanceledException,
  TransactWriteItemsCommand,
} from "@aws-sdk/client-dynamodb";
import { beforeEach, describe, expect, test } from "vitest";
import { dynamoWorld } from "./dynamodb-world.ts";

let world: ReturnType<typeof dynamoWorld>;
const TableName = "orders";
const arn = `arn:aws:dynamodb:us-east-1:000000000000:table/${TableName}`;
const key = (pk: string, sk = "1") => ({ pk: { S: pk }, sk: { S: sk } });
const limit = (limits: Parameters<typeof world.aws.services.dynamodb.setLimits>[0]) =>
  world.aws.services.dynamodb.setLimits(limits);
const put = (pk: string, sk = "1", more: Record<string, { S: string }> = {}) =>
  world.put(TableName, { ...key(pk, sk), ...more });
const get = (pk: string) => world.client.send(new GetItemCommand({ TableName, Key: key(pk) }));

/** Why a call was throttled: `reason resource`. */
async function throttled(call: Promise<unknown>): Promise<readonly string[]> {
  try {
    await call;
  } catch (error) {
    const reasons =
      error instanceof ThrottlingException
        ? error.throttlingReasons
        : error instanceof ProvisionedThroughputExceededException
          ? error.ThrottlingReasons
          : [];
    return (reasons ?? []).map(({ reason, resource }) => `${reason} ${resource}`);
  }
  return [];
}

beforeEach(async () => {
  world = dynamoWorld();
  await world.createTable(TableName, {
    AttributeDefinitions: [
      { AttributeName: "pk", AttributeType: "S" },
      { AttributeName: "sk", AttributeType: "S" },
      { AttributeName: "owner", AttributeType: "S" },
    ],
    GlobalSecondaryIndexes: [
      {
        IndexName: "owners",
        KeySchema: [{ AttributeName: "owner", KeyType: "HASH" }],
        Projection: { ProjectionType: "KEYS_ONLY" },
      },
    ],
  });
});

describe("throttling", () => {
  test("nothing is throttled unless it was asked for", async () => {
    for (let at = 0; at < 50; at++) await put("a", String(at));
    expect((await get("a")).Item).toEqual(key("a"));
  });

  test("a hot partition is, the others are not, and a second later it goes on", async () => {
    limit({ partition: { write: 2 } });
    await put("a", "1");
    await put("a", "2");
    expect(await throttled(put("a", "3"))).toEqual([`TableWriteKeyRangeThroughputExceeded ${arn}`]);
    await put("b");
    await world.aws.advance(1000);
    await put("a", "3");
    limit({ partition: { read: 1 } });
    await get("a");
    await get("a");
    expect(await throttled(get("a"))).toEqual([`TableReadKeyRangeThroughputExceeded ${arn}`]);
  });

  test("what was refused had no effect", async () => {
    limit({ partition: { write: 1 } });
    await put("a");
    await throttled(put("a", "2"));
    const all = await world.client.send(new ScanCommand({ TableName, ConsistentRead: true }));
    expect(all.Count).toBe(1);
  });

  test("a whole table has its own limit", async () => {
    limit({ table: { read: 1, write: 1 } });
    await put("a");
    expect(await throttled(put("b"))).toEqual([`TableWriteAccountLimitExceeded ${arn}`]);
    const scan = () => world.client.send(new ScanCommand({ TableName, ConsistentRead: true }));
    await scan();
    expect(await throttled(scan())).toEqual([`TableReadAccountLimitExceeded ${arn}`]);
  });

  test("large items cost more", async () => {
    limit({ partition: { write: 3 } });
    await put("a", "1", { text: { S: "x".repeat(2500) } });
    expect(await throttled(put("a", "2"))).toHaveLength(1);
    await put("b", "1");
    await put("b", "2");
    await put("b", "3");
    expect(await throttled(put("b", "4"))).toHaveLength(1);
  });

  test("an index's hot partition refuses the write of the item", async () => {
    limit({ partition: { write: 1 } });
    await put("a", "1", { owner: { S: "o" } });
    expect(await throttled(put("b", "1", { owner: { S: "o" } }))).toEqual([
      `IndexWriteKeyRangeThroughputExceeded ${arn}/index/owners`,
    ]);
    await put("c", "1", { owner: { S: "p" } });
    await put("d");
  });

  test("a query counts in the partition that it read, of the index where it read one", async () => {
    await put("a", "1", { owner: { S: "o" } });
    limit({ partition: { read: 0.5 } });
    const query = (name: string, value: string, IndexName?: string) =>
      world.client.send(
        new QueryCommand({
          TableName,
          ...(IndexName && { IndexName }),
          KeyConditionExpression: "#k = :v",
          ExpressionAttributeNames: { "#k": name },
          ExpressionAttributeValues: { ":v": { S: value } },
        }),
      );
    await query("owner", "o", "owners");
    expect(await throttled(query("owner", "o", "owners"))).toEqual([
      `IndexReadKeyRangeThroughputExceeded ${arn}/index/owners`,
    ]);
    await query("pk", "a");
    expect(await throttled(query("pk", "a"))).toEqual([
      `TableReadKeyRangeThroughputExceeded ${arn}`,
    ]);
  });

  test("a batch leaves out what is throttled, and fails when all of it is", async () => {
    limit({ partition: { read: 1, write: 1 } });
    const write = (...keys: (readonly [string, string])[]) =>
      world.client.send(
        new BatchWriteItemCommand({
          RequestItems: {
            [TableName]: keys.map(([pk, sk]) => ({ PutRequest: { Item: key(pk, sk) } })),
          },
        }),
      );
    const { UnprocessedItems } = await write(["a", "1"], ["a", "2"], ["b", "1"]);
    expect(UnprocessedItems).toEqual({ [TableName]: [{ PutRequest: { Item: key("a", "2") } }] });
    expect(await throttled(write(["a", "2"], ["a", "3"]))).toHaveLength(1);
    const read = (...keys: (readonly [string, string])[]) =>
      world.client.send(
        new BatchGetItemCommand({
          RequestItems: {
            [TableName]: { Keys: keys.map(([pk, sk]) => key(pk, sk)), ConsistentRead: true },
          },
        }),
      );
    const { Responses, UnprocessedKeys } = await read(["a", "1"], ["a", "2"], ["b", "1"]);
    expect(Responses?.[TableName]).toHaveLength(2);
    expect(UnprocessedKeys?.[TableName]?.Keys).toEqual([key("a", "2")]);
    expect(await throttled(read(["a", "1"]))).toHaveLength(1);
  });

  test("a transaction costs twice, and says which of its items was throttled", async () => {
    limit({ partition: { read: 2, write: 2 } });
    const write = (...pks: string[]) =>
      world.client.send(
        new TransactWriteItemsCommand({
          TransactItems: pks.map((pk) => ({ Put: { TableName, Item: key(pk) } })),
        }),
      );
    const read = (...pks: string[]) =>
      world.client.send(
        new TransactGetItemsCommand({
          TransactItems: pks.map((pk) => ({ Get: { TableName, Key: key(pk) } })),
        }),
      );
    for (const call of [write, read]) {
      await call("a");
      const error = await call("b", "a").catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(TransactionCanceledException);
      const { CancellationReasons } = error as TransactionCanceledException;
      expect(CancellationReasons?.map(({ Code }) => Code)).toEqual(["None", "ThrottlingError"]);
    }
  });

  test("provisioned capacity saves up five minutes, and is refused under its own name", async () => {
    const name = "small";
    await world.createTable(name, {
      BillingMode: "PROVISIONED",
      ProvisionedThroughput: { ReadCapacityUnits: 1, WriteCapacityUnits: 1 },
    });
    for (let at = 0; at < 300; at++) await world.put(name, key("a", String(at)));
    const more = world.put(name, key("b"));
    await expect(more).rejects.toThrow(ProvisionedThroughputExceededException);
    expect(await throttled(world.put(name, key("b")))).toEqual([
      `TableWriteProvisionedThroughputExceeded ${arn.replace(TableName, name)}`,
    ]);
    await world.aws.advance(2000);
    await world.put(name, key("b"));
    await world.put(name, key("c"));
    expect(await throttled(world.put(name, key("d")))).toHaveLength(1);
  });
});
