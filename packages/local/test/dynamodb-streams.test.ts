import {
  DeleteItemCommand,
  DescribeTableCommand,
  GetItemCommand,
  PutItemCommand,
  TransactWriteItemsCommand,
  UpdateItemCommand,
  UpdateTableCommand,
  UpdateTimeToLiveCommand,
} from "@aws-sdk/client-dynamodb";
import { beforeEach, describe, expect, test } from "vitest";
import type { StreamEvent } from "../src/dynamodb/mapping.ts";
import { dynamoWorld, refusal, start } from "./dynamodb-world.ts";

let world: ReturnType<typeof dynamoWorld>;
const TableName = "orders";
const keyOf = (sk: string) => ({ pk: { S: "a" }, sk: { S: sk } });
const hour = 3_600_000;

beforeEach(async () => {
  world = dynamoWorld();
  await world.createTable(TableName, {
    StreamSpecification: { StreamEnabled: true, StreamViewType: "NEW_AND_OLD_IMAGES" },
  });
});

const put = (sk: string, n = 1) => world.put(TableName, { ...keyOf(sk), n: { N: String(n) } });

const streams = (operation: string, input: object) =>
  world.raw(operation, input, "DynamoDBStreams_20120810");
const arn = async () =>
  (await world.client.send(new DescribeTableCommand({ TableName }))).Table?.LatestStreamArn ?? "";
async function iterator(more: object = { ShardIteratorType: "TRIM_HORIZON" }) {
  const StreamArn = await arn();
  const { StreamDescription } = (await streams("DescribeStream", { StreamArn })) as {
    StreamDescription: { Shards: { ShardId: string }[] };
  };
  const ShardId = StreamDescription.Shards[0]?.ShardId;
  return streams("GetShardIterator", { StreamArn, ShardId, ...more });
}
type Records = { Records: StreamEvent["Records"]; NextShardIterator?: string };
const read = async (ShardIterator: unknown) =>
  (await streams("GetRecords", { ShardIterator })) as unknown as Records;

describe("the API of streams", () => {
  test("each change is one record with both images", async () => {
    await put("b");
    await put("b", 2);
    await world.client.send(new DeleteItemCommand({ TableName, Key: keyOf("b") }));
    const { ShardIterator } = await iterator();
    const { Records } = await read(ShardIterator);
    const one = { ...keyOf("b"), n: { N: "1" } };
    const two = { ...keyOf("b"), n: { N: "2" } };
    expect(
      Records.map(({ eventName, dynamodb }) => [eventName, dynamodb.OldImage, dynamodb.NewImage]),
    ).toEqual([
      ["INSERT", undefined, one],
      ["MODIFY", one, two],
      ["REMOVE", two, undefined],
    ]);
    expect(Records[0]).toMatchObject({
      eventSource: "aws:dynamodb",
      eventVersion: "1.1",
      awsRegion: "us-east-1",
      dynamodb: {
        Keys: keyOf("b"),
        StreamViewType: "NEW_AND_OLD_IMAGES",
        ApproximateCreationDateTime: start / 1000,
      },
    });
    const numbers = Records.map(({ dynamodb }) => BigInt(dynamodb.SequenceNumber));
    expect(numbers).toEqual(numbers.toSorted((x, y) => (x < y ? -1 : 1)));
    expect(new Set(Records.map(({ eventID }) => eventID)).size).toBe(3);
  });

  test("a write that changes nothing, or fails, is no record", async () => {
    await put("b");
    await put("b");
    await world.client.send(
      new UpdateItemCommand({
        TableName,
        Key: keyOf("b"),
        UpdateExpression: "SET n = :n",
        ExpressionAttributeValues: { ":n": { N: "1.0" } },
      }),
    );
    await refusal(
      world.client.send(
        new PutItemCommand({
          TableName,
          Item: keyOf("b"),
          ConditionExpression: "attribute_not_exists(pk)",
        }),
      ),
    );
    await world.client.send(new DeleteItemCommand({ TableName, Key: keyOf("none") }));
    const { ShardIterator } = await iterator();
    expect((await read(ShardIterator)).Records).toHaveLength(1);
  });

  test("iterators begin where they are told and go on from there", async () => {
    await put("b");
    const latest = await iterator({ ShardIteratorType: "LATEST" });
    await put("c");
    await put("d");
    const first = await read(latest.ShardIterator);
    expect(first.Records.map(({ dynamodb }) => dynamodb.Keys.sk)).toEqual([{ S: "c" }, { S: "d" }]);
    await put("e");
    const next = await read(first.NextShardIterator);
    expect(next.Records).toHaveLength(1);
    const SequenceNumber = first.Records[0]?.dynamodb.SequenceNumber;
    const at = await iterator({ ShardIteratorType: "AT_SEQUENCE_NUMBER", SequenceNumber });
    const after = await iterator({ ShardIteratorType: "AFTER_SEQUENCE_NUMBER", SequenceNumber });
    expect((await read(at.ShardIterator)).Records).toHaveLength(3);
    expect((await read(after.ShardIterator)).Records).toHaveLength(2);
  });

  test("records live a day, iterators a quarter of an hour", async () => {
    await put("b");
    const { ShardIterator } = await iterator();
    await world.aws.advance(15 * 60_000 + 1);
    expect((await streams("GetRecords", { ShardIterator })).__type).toMatch(
      /ExpiredIteratorException/,
    );
    const { ShardIterator: fresh } = await iterator();
    await world.aws.advance(10 * 60_000);
    expect((await read(fresh)).Records).toHaveLength(1);
    await world.aws.advance(24 * hour - 26 * 60_000);
    const { ShardIterator: last } = await iterator();
    await world.aws.advance(2 * 60_000);
    expect((await streams("GetRecords", { ShardIterator: last })).__type).toMatch(
      /TrimmedDataAccessException/,
    );
    const { ShardIterator: none } = await iterator();
    expect((await read(none)).Records).toEqual([]);
  });

  test("a stream that was switched off can be read to its end", async () => {
    await put("b");
    const { ShardIterator } = await iterator();
    await world.client.send(
      new UpdateTableCommand({ TableName, StreamSpecification: { StreamEnabled: false } }),
    );
    await put("c");
    const { Records, NextShardIterator } = await read(ShardIterator);
    expect(Records).toHaveLength(1);
    expect(NextShardIterator).toBeUndefined();
    const listed = await streams("ListStreams", { TableName });
    expect(listed.Streams).toHaveLength(1);
  });

  test.each([
    [
      "an iterator that is none",
      "GetRecords",
      { ShardIterator: "nonsense" },
      /ValidationException/,
    ],
    [
      "a stream that is not there",
      "DescribeStream",
      { StreamArn: `arn:aws:dynamodb:us-east-1:000000000000:table/x/stream/y` },
      /ResourceNotFoundException/,
    ],
    ["an unknown parameter", "ListStreams", { Colour: "red" }, /ValidationException/],
  ])("%s is refused", async (_, operation, input, type) => {
    expect((await streams(operation, input)).__type).toMatch(type);
  });
});

describe("event source mappings", () => {
  /** Connects a function that answers as told, and remembers what it was sent. */
  function connect(
    answer: (sks: string[], attempt: number) => unknown = () => undefined,
    more: { batchSize?: number; reportBatchItemFailures?: boolean; maxRetries?: number } = {},
  ) {
    const calls: string[][] = [];
    const lost: string[][] = [];
    const names = (event: StreamEvent) =>
      event.Records.map(({ dynamodb }) => (dynamodb.Keys.sk as { S: string }).S);
    const stop = world.aws.services.dynamodb.connect({
      table: TableName,
      function: async (event) => {
        calls.push(names(event));
        return answer(names(event), calls.length);
      },
      onFailure: (event) => void lost.push(names(event)),
      ...more,
    });
    return { calls, lost, stop };
  }

  test("a function gets records in order, in DynamoDB JSON, without sharing objects", async () => {
    const events: StreamEvent[] = [];
    world.aws.services.dynamodb.connect({
      table: TableName,
      function: async (event) => {
        events.push(event);
        const image = event.Records[0]?.dynamodb.NewImage as { n: unknown };
        image.n = "spoiled";
      },
    });
    await world.put(TableName, {
      ...keyOf("b"),
      bytes: { B: Uint8Array.of(1, 2, 3) },
      n: { N: "1" },
    });
    await world.aws.settle();
    expect(events[0]?.Records[0]).toMatchObject({
      eventName: "INSERT",
      eventSourceARN: await arn(),
      dynamodb: { NewImage: { bytes: { B: "AQID" } } },
    });
    const { Item } = await world.client.send(new GetItemCommand({ TableName, Key: keyOf("b") }));
    expect(Item?.n).toEqual({ N: "1" });
  });

  test("what is written within the lag comes late, and in one batch", async () => {
    world.aws.services.dynamodb.setStreamLag(500);
    const batches: number[] = [];
    world.aws.services.dynamodb.connect({
      table: TableName,
      function: async ({ Records }) => void batches.push(Records.length),
    });
    await put("a");
    await put("b");
    await world.aws.advance(499);
    expect(batches).toEqual([]);
    await world.aws.advance(1);
    expect(batches).toEqual([2]);
    await put("c");
    await world.aws.advance(500);
    expect(batches).toEqual([2, 1]);
  });

  test("a transaction's records come in one batch, larger numbers in several", async () => {
    const { calls } = connect(undefined, { batchSize: 2 });
    await world.client.send(
      new TransactWriteItemsCommand({
        TransactItems: ["b", "c", "d"].map((sk) => ({ Put: { TableName, Item: keyOf(sk) } })),
      }),
    );
    await world.aws.settle();
    expect(calls).toEqual([["b", "c"], ["d"]]);
  });

  test("one batch runs at a time", async () => {
    let release = () => {};
    const { calls } = connect(
      () =>
        new Promise<void>((resolve) => {
          release = resolve;
        }),
    );
    await put("b");
    await put("c");
    await put("d");
    expect(calls).toEqual([["b"]]);
    release();
    await new Promise(setImmediate);
    expect(calls).toEqual([["b"], ["c", "d"]]);
    release();
    await world.aws.settle();
  });

  test("a failed batch comes again after 1, 2, 4 … seconds, and holds up what follows", async () => {
    const { calls } = connect((_, attempt) => {
      if (attempt <= 3) throw new Error("not yet");
    });
    await put("b");
    await world.aws.settle();
    await put("c");
    await world.aws.settle();
    expect(calls).toEqual([["b"]]);
    await world.aws.advance(999);
    expect(calls).toHaveLength(1);
    await world.aws.advance(1);
    expect(calls[1]).toEqual(["b", "c"]);
    await world.aws.advance(1999);
    expect(calls).toHaveLength(2);
    await world.aws.advance(1);
    expect(calls).toHaveLength(3);
    await world.aws.advance(4000);
    expect(calls).toHaveLength(4);
    await world.aws.advance(hour);
    expect(calls).toHaveLength(4);
  });

  test("a reported failure continues from the first failed record", async () => {
    const events: StreamEvent[] = [];
    world.aws.services.dynamodb.connect({
      table: TableName,
      reportBatchItemFailures: true,
      function: async (event) => {
        events.push(event);
        if (events.length > 1) return undefined;
        const failed = [event.Records[3], event.Records[1]];
        return {
          batchItemFailures: failed.map((record) => ({
            itemIdentifier: record?.dynamodb.SequenceNumber,
          })),
        };
      },
    });
    await world.client.send(
      new TransactWriteItemsCommand({
        TransactItems: ["b", "c", "d", "e"].map((sk) => ({ Put: { TableName, Item: keyOf(sk) } })),
      }),
    );
    await world.aws.advance(1000);
    expect(events.map(({ Records }) => Records.length)).toEqual([4, 3]);
  });

  test.each([
    ["an unknown identifier", { batchItemFailures: [{ itemIdentifier: "1" }] }],
    ["an identifier that is none", { batchItemFailures: [{}] }],
    ["no list", { batchItemFailures: "all" }],
  ])("%s fails the whole batch", async (_, answer) => {
    const { calls } = connect((__, attempt) => (attempt === 1 ? answer : undefined), {
      reportBatchItemFailures: true,
    });
    await put("b");
    await world.aws.advance(1000);
    expect(calls).toEqual([["b"], ["b"]]);
  });

  test("what fails for a day is given up, told, and no longer in the way", async () => {
    const { calls, lost } = connect((sks) => {
      if (sks.includes("poison")) throw new Error("always");
    });
    await put("poison");
    await world.aws.advance(23 * hour);
    expect(lost).toEqual([]);
    await put("good");
    await world.aws.advance(hour + 61_000);
    expect(lost).toEqual([["poison"]]);
    expect(calls.at(-1)).toEqual(["good"]);
  });

  test("with a number of retries a batch is given up after those", async () => {
    const { calls, lost } = connect(
      () => {
        throw new Error("always");
      },
      { maxRetries: 2 },
    );
    await put("b");
    await world.aws.advance(hour);
    expect(calls).toHaveLength(3);
    expect(lost).toEqual([["b"]]);
  });

  test("a mapping that ended gets nothing more, and one needs a stream", async () => {
    const { calls, stop } = connect();
    await put("b");
    await world.aws.settle();
    stop();
    await put("c");
    await world.aws.settle();
    expect(calls).toEqual([["b"]]);
    await world.createTable("plain");
    expect(() =>
      world.aws.services.dynamodb.connect({ table: "plain", function: async () => {} }),
    ).toThrow(/has no stream/);
  });

  test("loading makes no records", async () => {
    const { calls } = connect();
    world.aws.services.dynamodb.load(TableName, [keyOf("b"), keyOf("c")]);
    await world.aws.settle();
    expect(calls).toEqual([]);
    expect(world.aws.services.dynamodb.table(TableName).rows.size).toBe(2);
  });
});

describe("time to live", () => {
  const enable = (AttributeName = "ttl") =>
    world.client.send(
      new UpdateTimeToLiveCommand({
        TableName,
        TimeToLiveSpecification: { Enabled: true, AttributeName },
      }),
    );
  const expiring = (sk: string, atMs: number) =>
    world.put(TableName, { ...keyOf(sk), ttl: { N: String(atMs / 1000) } });
  const there = async (sk: string) =>
    (await world.client.send(new GetItemCommand({ TableName, Key: keyOf(sk) }))).Item !== undefined;

  test("an expired item is read until it is deleted an hour later, by the service itself", async () => {
    await enable();
    await expiring("b", start + hour);
    await world.aws.advance(2 * hour - 1);
    expect(await there("b")).toBe(true);
    await world.aws.advance(1);
    expect(await there("b")).toBe(false);
    const { ShardIterator } = await iterator();
    const { Records } = await read(ShardIterator);
    expect(Records[1]).toMatchObject({
      eventName: "REMOVE",
      userIdentity: { Type: "Service", PrincipalId: "dynamodb.amazonaws.com" },
      dynamodb: { OldImage: keyOf("b") },
    });
  });

  test("a function sees who deleted", async () => {
    const events: StreamEvent[] = [];
    world.aws.services.dynamodb.connect({
      table: TableName,
      function: async (event) => void events.push(event),
    });
    await enable();
    await expiring("b", start);
    await world.aws.advance(hour);
    const last = events.at(-1)?.Records.at(-1);
    expect(last?.userIdentity).toEqual({ type: "Service", principalId: "dynamodb.amazonaws.com" });
  });

  test("items from before it was enabled, loaded ones, moved ones and sooner ones all go in time", async () => {
    await expiring("before", start + 5 * hour);
    await enable();
    world.aws.services.dynamodb.load(TableName, [
      { ...keyOf("loaded"), ttl: { N: String(start / 1000 + 4 * 3600) } },
    ]);
    await expiring("moved", start + hour);
    await expiring("moved", start + 10 * hour);
    await expiring("soon", start + 2 * hour);
    const left = async () => {
      const names = ["before", "loaded", "moved", "soon"];
      const found = await Promise.all(names.map(there));
      return names.filter((_, at) => found[at]);
    };
    await world.aws.advance(3 * hour);
    expect(await left()).toEqual(["before", "loaded", "moved"]);
    await world.aws.advance(2 * hour);
    expect(await left()).toEqual(["before", "moved"]);
    await world.aws.advance(hour);
    expect(await left()).toEqual(["moved"]);
    await world.aws.advance(5 * hour);
    expect(await left()).toEqual([]);
  });

  test("what is no time of our age is left alone", async () => {
    await enable();
    await world.put(TableName, { ...keyOf("text"), ttl: { S: "1" } });
    await world.put(TableName, { ...keyOf("old"), ttl: { N: "1000" } });
    await world.put(TableName, { ...keyOf("negative"), ttl: { N: "-5" } });
    await world.put(TableName, { ...keyOf("far"), ttl: { N: "1e40" } });
    await world.aws.advance(48 * hour);
    for (const sk of ["text", "old", "negative", "far"]) expect(await there(sk)).toBe(true);
  });

  test("the lag can be set", async () => {
    world.aws.services.dynamodb.setTtlLag(0);
    await enable();
    await expiring("b", start + 1000);
    await world.aws.advance(1000);
    expect(await there("b")).toBe(false);
  });
});
