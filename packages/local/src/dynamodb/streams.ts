/** A table's stream: what changed, in order, kept for a day. One shard holds it all. */
import { AwsError, type World } from "../service.ts";
import { notFound } from "./errors.ts";
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

const HOUR_MS = 60 * 60 * 1000;
const DAY_MS = 24 * HOUR_MS;
const FIRST_SEQUENCE = 100_000_000_000_000_000_001n;
const SHARD = "shardId-00000000000000000000-00000001";
const ITERATOR_LIFE_MS = 15 * 60 * 1000;

/** The records of one stream by position: 0 is the first ever written. */
export interface Stream {
  readonly arn: string;
  readonly label: string;
  readonly table: string;
  readonly keys: KeySchema;
  readonly view: StreamViewType;
  readonly createdAt: number;
  /** Position after the newest record. */
  readonly end: number;
  /** Position of the oldest record that is still there. */
  readonly start: number;
  readonly closed: boolean;
  at(position: number): { readonly record: StreamRecord; readonly writtenAt: number } | undefined;
  /** Calls back after each write; returns the end of that. */
  watch(listener: () => void): () => void;
  close(): void;
}

export const sequenceNumber = (position: number): string =>
  String(FIRST_SEQUENCE + BigInt(position));

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
  let records: { readonly record: StreamRecord; readonly writtenAt: number }[] = [];
  /** How many records were cut off before `records[0]`, and how many more of it are too old. */
  let cut = 0;
  let old = 0;
  let closed = false;
  const listeners = new Set<() => void>();

  function trim(): void {
    const oldest = clock.now() - DAY_MS;
    for (
      let first = records[old];
      first !== undefined && first.writtenAt < oldest;
      first = records[old]
    )
      old++;
    // Cutting in large pieces keeps the cost per record constant; cutting an hour late lets an event source mapping,
    // which looks every minute, still hand over what it has to give up.
    const newest = old > 1000 && old * 2 > records.length ? records[old - 1] : undefined;
    if (newest !== undefined && newest.writtenAt < oldest - HOUR_MS) {
      records = records.slice(old);
      cut += old;
      old = 0;
    }
  }

  const unwatch = table.watch((before: Row | undefined, after: Row | undefined, by) => {
    // A write that changes nothing is no event.
    if (before !== undefined && after !== undefined && sameItem(before.item, after.item)) return;
    const item = after?.item ?? before?.item ?? {};
    const keys = table.keyItem(item);
    const newImage = view === "NEW_IMAGE" || view === "NEW_AND_OLD_IMAGES" ? after : undefined;
    const oldImage = view === "OLD_IMAGE" || view === "NEW_AND_OLD_IMAGES" ? before : undefined;
    const now = clock.now();
    records.push({
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
          SequenceNumber: sequenceNumber(cut + records.length),
          SizeBytes: (newImage?.size ?? 0) + (oldImage?.size ?? 0) + JSON.stringify(keys).length,
          StreamViewType: view,
        },
        ...(by === "ttl"
          ? { userIdentity: { type: "Service", principalId: "dynamodb.amazonaws.com" } }
          : {}),
      },
    });
    trim();
    for (const listener of listeners) listener();
  });

  return {
    arn: `${tableArn}/stream/${label}`,
    label,
    table: table.name,
    keys: table.keys,
    view,
    createdAt,
    get end() {
      return cut + records.length;
    },
    get start() {
      trim();
      return cut + old;
    },
    get closed() {
      return closed;
    },
    at: (position) => records[position - cut],
    watch(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close() {
      closed = true;
      unwatch();
    },
  };
}

export type IteratorType =
  | "TRIM_HORIZON"
  | "LATEST"
  | "AT_SEQUENCE_NUMBER"
  | "AFTER_SEQUENCE_NUMBER";

/** The streams of an account by ARN: also those of tables that are gone, for as long as their records live. */
export interface Streams {
  add(stream: Stream): void;
  get(arn: string): Stream;
  list(table?: string): readonly Stream[];
  /** `afterShard` leaves out that shard and those before it. */
  describe(arn: string, afterShard: string | undefined): unknown;
  iterator(arn: string, shard: string, type: IteratorType, sequence: string | undefined): string;
  /** The stream of an iterator, for its permission. */
  streamOf(iterator: string): string;
  records(iterator: string, limit: number): unknown;
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
  const iteratorAt = (arn: string, position: number): string =>
    Buffer.from(JSON.stringify([arn, position, clock.now()])).toString("base64url");
  const readIterator = (text: string): [arn: string, position: number, madeAt: number] => {
    try {
      const parts: unknown = JSON.parse(Buffer.from(text, "base64url").toString());
      if (Array.isArray(parts)) {
        const [arn, position, madeAt] = parts as unknown[];
        if (typeof arn === "string" && typeof position === "number" && typeof madeAt === "number")
          return [arn, position, madeAt];
      }
    } catch {
      // Falls through: whatever it is, it is none of ours.
    }
    throw new AwsError("ValidationException", "Invalid ShardIterator");
  };

  return {
    add(stream) {
      const dead = clock.now() - DAY_MS;
      for (const [arn, old] of known)
        if (old.closed && old.start === old.end && old.createdAt < dead) known.delete(arn);
      known.set(stream.arn, stream);
    },
    get,
    list: (table) =>
      [...known.values()].filter((stream) => table === undefined || stream.table === table),
    describe(arn, afterShard) {
      const stream = get(arn);
      const { partition, sort } = stream.keys;
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
        Shards: (afterShard === SHARD ? [] : [SHARD]).map((ShardId) => ({
          ShardId,
          SequenceNumberRange: {
            StartingSequenceNumber: sequenceNumber(0),
            ...(stream.closed
              ? { EndingSequenceNumber: sequenceNumber(Math.max(0, stream.end - 1)) }
              : {}),
          },
        })),
      };
    },
    iterator(arn, shard, type, sequence) {
      const stream = get(arn);
      if (shard !== SHARD)
        throw notFound(`Requested resource not found: Shard: ${shard} in Stream: ${arn} not found`);
      if (type === "LATEST") return iteratorAt(arn, stream.end);
      if (type === "TRIM_HORIZON") return iteratorAt(arn, stream.start);
      if (sequence === undefined || !/^\d{21,40}$/.test(sequence))
        throw new AwsError("ValidationException", "Invalid SequenceNumber");
      const position = Number(BigInt(sequence) - FIRST_SEQUENCE);
      if (position < 0 || position >= stream.end)
        throw new AwsError("ValidationException", "Invalid SequenceNumber");
      if (position < stream.start) throw trimmed();
      return iteratorAt(arn, type === "AT_SEQUENCE_NUMBER" ? position : position + 1);
    },
    streamOf: (iterator) => readIterator(iterator)[0],
    records(text, limit) {
      const [arn, position, madeAt] = readIterator(text);
      const stream = get(arn);
      if (clock.now() - madeAt > ITERATOR_LIFE_MS)
        throw new AwsError(
          "ExpiredIteratorException",
          "Iterator expired. The iterator was created over 15 minutes ago",
        );
      if (position < stream.start) throw trimmed();
      const until = Math.min(stream.end, position + limit);
      const records: unknown[] = [];
      for (let at = position; at < until; at++) {
        const record = stream.at(at)?.record;
        if (record === undefined) break;
        const { userIdentity, ...rest } = record;
        records.push(
          userIdentity === undefined
            ? rest
            : {
                ...rest,
                // This API spells the identity's members in upper camel case, Lambda's event does not.
                userIdentity: { Type: userIdentity.type, PrincipalId: userIdentity.principalId },
              },
        );
      }
      const drained = stream.closed && until === stream.end;
      return {
        Records: records,
        ...(drained ? {} : { NextShardIterator: iteratorAt(arn, until) }),
      };
    },
  };
}

const trimmed = () =>
  new AwsError(
    "TrimmedDataAccessException",
    "The operation attempted to read past the oldest stream record in a shard",
  );
