import { UpdateTableCommand } from "@aws-sdk/client-dynamodb";
import { beforeEach, describe, expect, test } from "vitest";
import type { StreamEvent } from "../src/dynamodb/mapping.ts";
import { dynamoWorld } from "./dynamodb-world.ts";

let world: ReturnType<typeof dynamoWorld>;
let StreamArn: string;
const TableName = "orders";
const hour = 3_600_000;

beforeEach(async () => {
  world = dynamoWorld();
  const { TableDescription } = await world.createTable(TableName, {
    StreamSpecification: { StreamEnabled: true, StreamViewType: "KEYS_ONLY" },
  });
  StreamArn = TableDescription?.LatestStreamArn ?? "";
});

const dynamodb = () => world.aws.services.dynamodb;
const put = (pk: string, sk: string) => world.put(TableName, { pk: { S: pk }, sk: { S: sk } });
/** One item in each of many partitions, so that both halves of the keys get some. */
const putAll = async (sk: string) => {
  for (const pk of PARTITIONS) await put(pk, sk);
};
const PARTITIONS = Array.from({ length: 16 }, (_, at) => `p${at}`);

interface ShardTold {
  readonly ShardId: string;
  readonly ParentShardId?: string;
  readonly SequenceNumberRange: {
    readonly StartingSequenceNumber: string;
    readonly EndingSequenceNumber?: string;
  };
}

const streams = (operation: string, input: object) =>
  world.raw(operation, input, "DynamoDBStreams_20120810");

async function describeStream(more: object = {}) {
  const answer = await streams("DescribeStream", { StreamArn, ...more });
  const { Shards, LastEvaluatedShardId } = answer.StreamDescription as {
    Shards: ShardTold[];
    LastEvaluatedShardId?: string;
  };
  return { shards: Shards, last: LastEvaluatedShardId };
}

/** `pk/sk` of everything in a shard, and whether it leads on. */
async function read(ShardId: string, ShardIteratorType = "TRIM_HORIZON") {
  const { ShardIterator } = await streams("GetShardIterator", {
    StreamArn,
    ShardId,
    ShardIteratorType,
  });
  const answer = await streams("GetRecords", { ShardIterator });
  return {
    names: namesOf(answer as unknown as StreamEvent),
    ended: answer.NextShardIterator === undefined,
  };
}

const namesOf = ({ Records }: StreamEvent) =>
  Records.map(({ dynamodb: { Keys } }) => {
    const { pk, sk } = Keys as { pk: { S: string }; sk: { S: string } };
    return `${pk.S}/${sk.S}`;
  });

describe("shards", () => {
  test("a split closes the shard, and two children share its keys", async () => {
    await putAll("a");
    dynamodb().splitShards(TableName);
    await putAll("b");
    const { shards } = await describeStream();
    const [parent, ...children] = shards;
    expect(shards).toHaveLength(3);
    expect(children.map(({ ParentShardId }) => ParentShardId)).toEqual([
      parent?.ShardId,
      parent?.ShardId,
    ]);
    const range = parent?.SequenceNumberRange;
    for (const { SequenceNumberRange: own } of children) {
      expect(BigInt(own.StartingSequenceNumber)).toBe(
        BigInt(range?.EndingSequenceNumber ?? 0) + 1n,
      );
      expect(own.EndingSequenceNumber).toBeUndefined();
    }
    const before = await read(parent?.ShardId ?? "");
    expect(before).toEqual({ names: PARTITIONS.map((pk) => `${pk}/a`), ended: true });
    const after = await Promise.all(children.map(({ ShardId }) => read(ShardId)));
    expect(after.every(({ ended, names }) => !ended && names.length > 0)).toBe(true);
    expect(after.flatMap(({ names }) => names).toSorted()).toEqual(
      PARTITIONS.map((pk) => `${pk}/b`).toSorted(),
    );
  });

  test("an item's records are all in one line of shards", async () => {
    for (const round of ["a", "b", "c"]) {
      await put("p1", round);
      dynamodb().splitShards(TableName);
    }
    const { shards } = await describeStream();
    const line: string[] = [];
    const holders: ShardTold[] = [];
    for (const shard of shards) {
      const { names } = await read(shard.ShardId);
      if (names.length > 0) holders.push(shard);
      line.push(...names);
    }
    expect(line).toEqual(["p1/a", "p1/b", "p1/c"]);
    expect(holders[1]?.ParentShardId).toBe(holders[0]?.ShardId);
    expect(holders[2]?.ParentShardId).toBe(holders[1]?.ShardId);
  });

  test("a shard gives up after four hours, and is told of for a day more", async () => {
    await put("p1", "a");
    await world.aws.advance(4 * hour);
    await put("p1", "b");
    const { shards } = await describeStream();
    expect(shards).toHaveLength(2);
    expect(shards[1]?.ParentShardId).toBe(shards[0]?.ShardId);
    expect(await read(shards[1]?.ShardId ?? "")).toEqual({ names: ["p1/b"], ended: false });
    await world.aws.advance(24 * hour + 1);
    expect((await describeStream()).shards.map(({ ShardId }) => ShardId)).toEqual([
      shards[1]?.ShardId,
    ]);
    const { __type } = await streams("GetShardIterator", {
      StreamArn,
      ShardId: shards[0]?.ShardId,
      ShardIteratorType: "LATEST",
    });
    expect(__type).toMatch(/ResourceNotFoundException/);
  });

  test("the description comes in pages, or tells of a shard's children alone", async () => {
    dynamodb().splitShards(TableName);
    dynamodb().splitShards(TableName);
    const { shards } = await describeStream();
    expect(shards).toHaveLength(7);
    const seen: string[] = [];
    let ExclusiveStartShardId: string | undefined;
    do {
      const page = await describeStream({
        Limit: 3,
        ...(ExclusiveStartShardId && { ExclusiveStartShardId }),
      });
      seen.push(...page.shards.map(({ ShardId }) => ShardId));
      ExclusiveStartShardId = page.last;
    } while (ExclusiveStartShardId !== undefined);
    expect(seen).toEqual(shards.map(({ ShardId }) => ShardId));
    const filter = { Type: "CHILD_SHARDS", ShardId: shards[0]?.ShardId };
    const { shards: children } = await describeStream({ ShardFilter: filter });
    expect(children).toEqual(shards.slice(1, 3));
  });

  test("an iterator of a closed shard's end reads nothing and leads nowhere", async () => {
    await put("p1", "a");
    const [shard] = (await describeStream()).shards;
    dynamodb().splitShards(TableName);
    expect(await read(shard?.ShardId ?? "", "LATEST")).toEqual({ names: [], ended: true });
  });

  test("a stream that was switched off has no open shard", async () => {
    dynamodb().splitShards(TableName);
    await world.client.send(
      new UpdateTableCommand({ TableName, StreamSpecification: { StreamEnabled: false } }),
    );
    const { shards } = await describeStream();
    expect(shards).toHaveLength(3);
    expect(shards.every((each) => "EndingSequenceNumber" in each.SequenceNumberRange)).toBe(true);
  });

  test("a table without a stream has none to split", async () => {
    await world.createTable("plain");
    expect(() => dynamodb().splitShards("plain")).toThrow("no stream");
  });
});

describe("a mapping over shards", () => {
  test("children begin when their parent was read to its end", async () => {
    let failing = true;
    const seen: string[] = [];
    dynamodb().connect({
      table: TableName,
      async function(event) {
        if (failing) throw new Error("not yet");
        seen.push(...namesOf(event));
      },
    });
    await putAll("a");
    dynamodb().splitShards(TableName);
    await putAll("b");
    await world.aws.settle();
    failing = false;
    await world.aws.advance(5000);
    expect(seen.slice(0, 16)).toEqual(PARTITIONS.map((pk) => `${pk}/a`));
    expect(seen.slice(16).toSorted()).toEqual(PARTITIONS.map((pk) => `${pk}/b`).toSorted());
  });

  test("a shard that fails does not hold up the other", async () => {
    dynamodb().splitShards(TableName);
    const seen: string[] = [];
    let poisoned: string[] = [];
    dynamodb().connect({
      table: TableName,
      async function(event) {
        const names = namesOf(event);
        if (names.includes("p0/a")) {
          poisoned = names;
          throw new Error("poison");
        }
        seen.push(...names);
      },
    });
    await putAll("a");
    await world.aws.advance(3000);
    expect(seen.length).toBeGreaterThan(0);
    expect([...seen, ...poisoned].toSorted()).toEqual(PARTITIONS.map((pk) => `${pk}/a`).toSorted());
  });

  test("from the latest on it gets what comes in any shard", async () => {
    await putAll("a");
    dynamodb().splitShards(TableName);
    const seen: string[] = [];
    dynamodb().connect({
      table: TableName,
      startingPosition: "LATEST",
      function: async (event) => void seen.push(...namesOf(event)),
    });
    await world.aws.settle();
    expect(seen).toEqual([]);
    await putAll("b");
    dynamodb().splitShards(TableName);
    await putAll("c");
    await world.aws.settle();
    expect(seen).toHaveLength(32);
    expect(seen.some((name) => name.endsWith("/a"))).toBe(false);
  });
});
