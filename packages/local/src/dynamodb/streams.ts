/** A table's stream: what changed, in order for each item, kept for a day in shards. */
import { AwsError, type World } from "../service.ts";
import { notFound } from "./errors.ts";
import { type Shard, type Shards, shardsOf } from "./shards.ts";
import type { KeySchema, Row, Table } from "./table.ts";
import { type Item, sameItem } from "./values.ts";

export type StreamViewType = "KEYS_ONLY" | "NEW_IMAGE" | "OLD_IMAGE" | "NEW_AND_OLD_IMAGES";

export interface StreamRecord {
  readonly eventID: string;
  readonly eventName: "INSERT" | "MODIFY" | "REMOVE";
  readonly eventVersion: "1.1";
  readonly eventSource: "aws:dynamodb";
  readonly awsRegion: string;
  readonly dynamodb: {
    /** Epoch seconds. */
    readonly ApproximateCreationDateTime: number;
    readonly Keys: Item;
    readonly NewImage?: Item;
    readonly OldImage?: Item;
    readonly SequenceNumber: string;
    readonly SizeBytes: number;
    readonly StreamViewType: StreamViewType;
  };
  /** Only where the service itself deleted an expired item. */
  readonly userIdentity?: { readonly type: "Service"; readonly principalId: string };
}

const FIRST_SEQUENCE = 100_000_000_000_000_000_001n;
const ITERATOR_LIFE_MS = 15 * 60 * 1000;

export interface Stream {
  readonly arn: string;
  readonly label: string;
  readonly table: string;
  readonly keys: KeySchema;
  readonly view: StreamViewType;
  readonly createdAt: number;
  readonly shards: Pick<Shards, "end" | "list">;
  readonly closed: boolean;
  /** Has two shards take over from each that is open. */
  split(): void;
  /** Calls back after each write and each change of shards; returns the end of that. */
  watch(listener: () => void): () => void;
  close(): void;
}

const sequenceNumber = (number: number): string => String(FIRST_SEQUENCE + BigInt(number));

/** Starts recording what happens to a table. */
export function openStream(
  world: World,
  tableArn: string,
  table: Table,
  view: StreamViewType,
): Stream {
  const { clock } = world;
  const createdAt = clock.now();
  const label = new Date(createdAt).toISOString().slice(0, -1);
  const shards = shardsOf(clock.now);
  let closed = false;
  const listeners = new Set<() => void>();
  const tell = () => {
    for (const listener of listeners) listener();
  };

  const unwatch = table.watch((before: Row | undefined, after: Row | undefined, by) => {
    // A write that changes nothing is no event.
    if (before !== undefined && after !== undefined && sameItem(before.item, after.item)) return;
    const item = after?.item ?? before?.item ?? {};
    const keys = table.keyItem(item);
    const newImage = view === "NEW_IMAGE" || view === "NEW_AND_OLD_IMAGES" ? after : undefined;
    const oldImage = view === "OLD_IMAGE" || view === "NEW_AND_OLD_IMAGES" ? before : undefined;
    const now = clock.now();
    shards.push(JSON.stringify(keys[table.keys.partition.name]), (number) => ({
      number,
      writtenAt: now,
      record: {
        eventID: world.hex(16),
        eventName: before === undefined ? "INSERT" : after === undefined ? "REMOVE" : "MODIFY",
        eventVersion: "1.1",
        eventSource: "aws:dynamodb",
        awsRegion: world.region,
        dynamodb: {
          ApproximateCreationDateTime: Math.floor(now / 1000),
          Keys: keys,
          ...(newImage === undefined ? {} : { NewImage: newImage.item }),
          ...(oldImage === undefined ? {} : { OldImage: oldImage.item }),
          SequenceNumber: sequenceNumber(number),
          SizeBytes: (newImage?.size ?? 0) + (oldImage?.size ?? 0) + JSON.stringify(keys).length,
          StreamViewType: view,
        },
        ...(by === "ttl"
          ? { userIdentity: { type: "Service", principalId: "dynamodb.amazonaws.com" } }
          : {}),
      },
    }));
    tell();
  });

  return {
    arn: `${tableArn}/stream/${label}`,
    label,
    table: table.name,
    keys: table.keys,
    view,
    createdAt,
    shards,
    get closed() {
      return closed;
    },
    split() {
      shards.split();
      tell();
    },
    watch(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close() {
      closed = true;
      unwatch();
      shards.close();
      tell();
    },
  };
}

export type IteratorType =
  | "TRIM_HORIZON"
  | "LATEST"
  | "AT_SEQUENCE_NUMBER"
  | "AFTER_SEQUENCE_NUMBER";

/** Which of a stream's shards are told of. */
export interface ShardPage {
  /** At most so many; 100 where it is left out. */
  readonly limit: number | undefined;
  /** Leaves out that shard and those before it. */
  readonly after: string | undefined;
  /** Only those that took over from this shard. */
  readonly childrenOf: string | undefined;
}

/** The streams of an account by ARN: also those of tables that are gone, for as long as their records live. */
export interface Streams {
  add(stream: Stream): void;
  get(arn: string): Stream;
  list(table?: string): readonly Stream[];
  describe(arn: string, page: ShardPage): unknown;
  iterator(arn: string, shard: string, type: IteratorType, sequence: string | undefined): string;
  /** The stream of an iterator, for its permission. */
  streamOf(iterator: string): string;
  records(iterator: string, limit: number): unknown;
}

interface Iterator {
  readonly arn: string;
  readonly shard: string;
  /** Of the first record that may be read. */
  readonly number: number;
  readonly madeAt: number;
}

function readIterator(text: string): Iterator {
  try {
    const parts: unknown = JSON.parse(Buffer.from(text, "base64url").toString());
    if (Array.isArray(parts)) {
      const [arn, shard, number, madeAt] = parts as unknown[];
      if (
        typeof arn === "string" &&
        typeof shard === "string" &&
        typeof number === "number" &&
        typeof madeAt === "number"
      )
        return { arn, shard, number, madeAt };
    }
  } catch {
    // Falls through: whatever it is, it is none of ours.
  }
  throw new AwsError("ValidationException", "Invalid ShardIterator");
}

export function streams(world: World): Streams {
  const known = new Map<string, Stream>();
  const { clock } = world;

  const get = (arn: string): Stream => {
    const stream = known.get(arn);
    if (stream === undefined)
      throw notFound(`Requested resource not found: Stream: ${arn} not found`);
    return stream;
  };
  const shardOf = (stream: Stream, id: string): Shard => {
    const shard = stream.shards.list().find((each) => each.id === id);
    if (shard === undefined)
      throw notFound(
        `Requested resource not found: Shard: ${id} in Stream: ${stream.arn} not found`,
      );
    return shard;
  };
  const iteratorAt = (arn: string, shard: string, number: number): string =>
    Buffer.from(JSON.stringify([arn, shard, number, clock.now()])).toString("base64url");

  return {
    add(stream) {
      for (const [arn, old] of known)
        if (old.closed && old.shards.list().length === 0) known.delete(arn);
      known.set(stream.arn, stream);
    },
    get,
    list: (table) =>
      [...known.values()].filter((stream) => table === undefined || stream.table === table),
    describe(arn, { limit = 100, after, childrenOf }) {
      const stream = get(arn);
      const { partition, sort } = stream.keys;
      const all = stream.shards
        .list()
        .filter(({ parent }) => childrenOf === undefined || parent === childrenOf);
      const begin = after === undefined ? 0 : all.findIndex(({ id }) => id === after) + 1;
      const page = all.slice(begin, begin + limit);
      return {
        StreamArn: arn,
        StreamLabel: stream.label,
        StreamStatus: stream.closed ? "DISABLED" : "ENABLED",
        StreamViewType: stream.view,
        CreationRequestDateTime: stream.createdAt / 1000,
        TableName: stream.table,
        KeySchema: [
          { AttributeName: partition.name, KeyType: "HASH" },
          ...(sort === undefined ? [] : [{ AttributeName: sort.name, KeyType: "RANGE" }]),
        ],
        Shards: page.map(({ id, parent, first, closed }) => ({
          ShardId: id,
          ...(parent === undefined ? {} : { ParentShardId: parent }),
          SequenceNumberRange: {
            StartingSequenceNumber: sequenceNumber(first),
            ...(closed === undefined
              ? {}
              : { EndingSequenceNumber: sequenceNumber(Math.max(first, closed.end - 1)) }),
          },
        })),
        ...(begin + limit < all.length ? { LastEvaluatedShardId: page.at(-1)?.id } : {}),
      };
    },
    iterator(arn, id, type, sequence) {
      const stream = get(arn);
      const shard = shardOf(stream, id);
      const end = shard.closed?.end ?? stream.shards.end;
      if (type === "LATEST") return iteratorAt(arn, id, end);
      if (type === "TRIM_HORIZON") return iteratorAt(arn, id, shard.oldest);
      if (sequence === undefined || !/^\d{21,40}$/.test(sequence))
        throw new AwsError("ValidationException", "Invalid SequenceNumber");
      const number = Number(BigInt(sequence) - FIRST_SEQUENCE);
      if (number < shard.first || number >= end)
        throw new AwsError("ValidationException", "Invalid SequenceNumber");
      if (number < shard.oldest) throw trimmed();
      return iteratorAt(arn, id, type === "AT_SEQUENCE_NUMBER" ? number : number + 1);
    },
    streamOf: (iterator) => readIterator(iterator).arn,
    records(text, limit) {
      const { arn, shard: id, number, madeAt } = readIterator(text);
      const stream = get(arn);
      if (clock.now() - madeAt > ITERATOR_LIFE_MS)
        throw new AwsError(
          "ExpiredIteratorException",
          "Iterator expired. The iterator was created over 15 minutes ago",
        );
      const shard = shardOf(stream, id);
      if (number < shard.oldest) throw trimmed();
      const entries = shard.from(number, limit);
      const last = entries.at(-1);
      const next = last === undefined ? number : last.number + 1;
      // A closed shard that was read to its end leads nowhere: its children have what came after.
      const drained = shard.closed !== undefined && shard.from(next, 1).length === 0;
      return {
        Records: entries.map(({ record: { userIdentity, ...rest } }) =>
          userIdentity === undefined
            ? rest
            : {
                ...rest,
                // This API spells the identity's members in upper camel case, Lambda's event does not.
                userIdentity: { Type: userIdentity.type, PrincipalId: userIdentity.principalId },
              },
        ),
        ...(drained ? {} : { NextShardIterator: iteratorAt(arn, id, next) }),
      };
    },
  };
}

const trimmed = () =>
  new AwsError(
    "TrimmedDataAccessException",
    "The operation attempted to read past the oldest stream record in a shard",
  );
