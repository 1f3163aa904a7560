/** The tables of an account and their settings, apart from their items. */

import type { z } from "zod";
import { AwsError, type World } from "../service.ts";
import { type Limits, type Meter, meterOf } from "./capacity.ts";
import { inUse, invalid, invalidParameters, notFound } from "./errors.ts";
import { type ExpressionCache, expressionCache } from "./expressions.ts";
import { type Replica, replicaOf } from "./replica.ts";
import {
  type CreateTableInput,
  checkDefinitions,
  describeDefinitions,
  describeKeys,
  indexDefinition,
  keySchema,
  type StreamSettings,
  type UpdateTableInput,
} from "./schema.ts";
import { openStream, type Stream, type Streams, streams } from "./streams.ts";
import { Table } from "./table.ts";
import { startTtl, type TimeToLive } from "./ttl.ts";

interface Throughput {
  readonly ReadCapacityUnits: number;
  readonly WriteCapacityUnits: number;
}

/** One table with what is set on it. */
export interface Entry {
  readonly table: Table;
  readonly replica: Replica;
  readonly meter: Meter;
  readonly arn: string;
  readonly id: string;
  readonly createdAt: number;
  onDemand: boolean;
  throughput: Throughput;
  deletionProtected: boolean;
  pointInTimeRecovery: boolean;
  stream?: Stream | undefined;
  ttl?: TimeToLive | undefined;
}

export interface Catalogue {
  readonly world: World;
  readonly cache: ExpressionCache;
  readonly streams: Streams;
  /** By name, or by ARN as newer SDKs allow. @throws ResourceNotFoundException */
  find(nameOrArn: string): Entry;
  /** The table as a read sees it: as it is, where the read asks for that and is not of an index. */
  reading(
    nameOrArn: string,
    read: { ConsistentRead?: boolean | undefined; IndexName?: string | undefined },
  ): Table;
  peek(nameOrArn: string): Entry | undefined;
  /** The ARN that permissions name, whether or not the table exists. */
  arnOf(nameOrArn: string): string;
  create(input: z.infer<typeof CreateTableInput>): unknown;
  update(input: z.infer<typeof UpdateTableInput>): unknown;
  delete(nameOrArn: string): unknown;
  describe(nameOrArn: string): unknown;
  list(after: string | undefined, limit: number): unknown;
  setTtl(nameOrArn: string, enabled: boolean, attribute: string): unknown;
}

const NO_THROUGHPUT: Throughput = { ReadCapacityUnits: 0, WriteCapacityUnits: 0 };

export function catalogue(
  world: World,
  settings: {
    readonly ttlMs: () => number;
    readonly readMs: () => number;
    readonly limits: () => Limits;
  },
): Catalogue {
  const { clock, region, account } = world;
  const entries = new Map<string, Entry>();
  const known = streams(world);
  const arnPrefix = `arn:aws:dynamodb:${region}:${account}:table/`;
  const nameOf = (nameOrArn: string): string =>
    nameOrArn.startsWith(arnPrefix) ? nameOrArn.slice(arnPrefix.length) : nameOrArn;
  const peek = (nameOrArn: string) => entries.get(nameOf(nameOrArn));
  const named = (nameOrArn: string): Entry => {
    const entry = peek(nameOrArn);
    if (entry === undefined)
      throw notFound(`Requested resource not found: Table: ${nameOf(nameOrArn)} not found`);
    return entry;
  };

  function setStream(entry: Entry, settings: StreamSettings | undefined): void {
    if (settings === undefined) return;
    if (!settings.StreamEnabled) {
      if (settings.StreamViewType !== undefined)
        throw invalidParameters("StreamViewType cannot be specified when StreamEnabled is false");
      entry.stream?.close();
      entry.stream = undefined;
      return;
    }
    if (settings.StreamViewType === undefined)
      throw invalidParameters("StreamViewType must be specified when StreamEnabled is true");
    if (entry.stream !== undefined)
      throw invalid(`Table already has an enabled stream: TableArn: ${entry.arn}`);
    entry.stream = openStream(world, entry.arn, entry.table, settings.StreamViewType);
    known.add(entry.stream);
  }

  const checkBilling = (mode: string | undefined, throughput: Throughput | undefined): void => {
    if (mode === "PAY_PER_REQUEST" && throughput !== undefined)
      throw invalidParameters(
        "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
      );
    if (mode !== "PAY_PER_REQUEST" && throughput === undefined)
      throw invalidParameters(
        "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
      );
  };

  function describe(entry: Entry, status = "ACTIVE") {
    const { table, stream, onDemand, throughput } = entry;
    const ProvisionedThroughput = { NumberOfDecreasesToday: 0, ...throughput };
    return {
      TableName: table.name,
      TableArn: entry.arn,
      TableId: entry.id,
      TableStatus: status,
      CreationDateTime: entry.createdAt / 1000,
      AttributeDefinitions: describeDefinitions([
        table.keys,
        ...table.indexes.map((index) => index.keys),
      ]),
      KeySchema: describeKeys(table.keys),
      ItemCount: table.rows.size,
      TableSizeBytes: table.bytes,
      ProvisionedThroughput,
      ...(onDemand ? { BillingModeSummary: { BillingMode: "PAY_PER_REQUEST" } } : {}),
      DeletionProtectionEnabled: entry.deletionProtected,
      ...(stream === undefined
        ? {}
        : {
            StreamSpecification: { StreamEnabled: true, StreamViewType: stream.view },
            LatestStreamArn: stream.arn,
            LatestStreamLabel: stream.label,
          }),
      ...(table.indexes.length === 0
        ? {}
        : {
            GlobalSecondaryIndexes: table.indexes.map((index) => ({
              IndexName: index.name,
              IndexArn: `${entry.arn}/index/${index.name}`,
              IndexStatus: status,
              KeySchema: describeKeys(index.keys),
              Projection: {
                ProjectionType: index.projection.type,
                ...(index.projection.type === "INCLUDE"
                  ? { NonKeyAttributes: index.projection.attributes }
                  : {}),
              },
              ItemCount: index.rows.size,
              ProvisionedThroughput,
            })),
          }),
    };
  }

  return {
    world,
    cache: expressionCache(),
    streams: known,
    peek,
    reading(nameOrArn, { ConsistentRead, IndexName }) {
      const { table, replica } = this.find(nameOrArn);
      return ConsistentRead === true && IndexName === undefined ? table : replica.read();
    },

    find(nameOrArn) {
      const entry = peek(nameOrArn);
      if (entry === undefined) throw notFound();
      return entry;
    },
    arnOf: (nameOrArn) => (nameOrArn.startsWith("arn:") ? nameOrArn : arnPrefix + nameOrArn),

    create(input) {
      const name = nameOf(input.TableName);
      if (!/^[a-zA-Z0-9_.-]{3,255}$/.test(name))
        throw invalid(
          "TableName must be at least 3 characters long and at most 255 characters long, and consist of a-z, A-Z, 0-9, '_', '-' and '.'",
        );
      checkBilling(input.BillingMode, input.ProvisionedThroughput);
      const keys = keySchema(input.KeySchema, input.AttributeDefinitions);
      const indexes = (input.GlobalSecondaryIndexes ?? []).map((index) =>
        indexDefinition(index, input.AttributeDefinitions),
      );
      const names = indexes.map((index) => index.name);
      const twice = names.find((candidate, at) => names.indexOf(candidate) !== at);
      if (twice !== undefined) throw invalidParameters(`Duplicate index name: ${twice}`);
      checkDefinitions(input.AttributeDefinitions, [keys, ...indexes.map((index) => index.keys)]);
      if (entries.has(name)) throw inUse(`Table already exists: ${name}`);
      const id = world.hex(16);
      const arn = arnPrefix + name;
      const table = new Table(name, keys, indexes);
      const entry: Entry = {
        table,
        replica: replicaOf(table, clock.now, settings.readMs),
        meter: meterOf({
          arn,
          table,
          now: clock.now,
          limits: settings.limits,
          provisioned: () =>
            entry.onDemand
              ? undefined
              : {
                  read: entry.throughput.ReadCapacityUnits,
                  write: entry.throughput.WriteCapacityUnits,
                },
        }),
        arn,
        id: [
          id.slice(0, 8),
          id.slice(8, 12),
          id.slice(12, 16),
          id.slice(16, 20),
          id.slice(20),
        ].join("-"),
        createdAt: clock.now(),
        onDemand: input.BillingMode === "PAY_PER_REQUEST",
        throughput: input.ProvisionedThroughput ?? NO_THROUGHPUT,
        deletionProtected: input.DeletionProtectionEnabled ?? false,
        pointInTimeRecovery: false,
      };
      setStream(entry, input.StreamSpecification);
      entries.set(name, entry);
      // Usable at once, yet described as AWS does, so that callers keep waiting as they must there.
      return { TableDescription: describe(entry, "CREATING") };
    },

    update(input) {
      const entry = named(input.TableName);
      const { table } = entry;
      if (input.BillingMode !== undefined)
        checkBilling(input.BillingMode, input.ProvisionedThroughput);
      const updates = input.GlobalSecondaryIndexUpdates ?? [];
      if (updates.length > 1)
        throw new AwsError(
          "LimitExceededException",
          "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table",
        );
      for (const { Create, Delete } of updates) {
        const exists = (name: string) => table.indexes.some((index) => index.name === name);
        if ((Create === undefined) === (Delete === undefined))
          throw invalidParameters("Only one of Create or Delete may be specified per index update");
        if (Delete !== undefined) {
          if (!exists(Delete.IndexName)) throw notFound();
          table.removeIndex(Delete.IndexName);
        }
        if (Create !== undefined) {
          if (exists(Create.IndexName))
            throw invalid("Attempting to create an index which already exists");
          const known = describeDefinitions([
            table.keys,
            ...table.indexes.map((index) => index.keys),
          ]);
          const definitions = input.AttributeDefinitions ?? known;
          for (const { AttributeName, AttributeType } of known)
            if (
              definitions.some(
                (given) =>
                  given.AttributeName === AttributeName && given.AttributeType !== AttributeType,
              )
            )
              throw invalidParameters("Attribute definitions do not match those of the table");
          table.addIndex(indexDefinition(Create, definitions));
        }
      }
      setStream(entry, input.StreamSpecification);
      if (input.BillingMode !== undefined) entry.onDemand = input.BillingMode === "PAY_PER_REQUEST";
      if (input.ProvisionedThroughput !== undefined) entry.throughput = input.ProvisionedThroughput;
      else if (entry.onDemand) entry.throughput = NO_THROUGHPUT;
      entry.deletionProtected = input.DeletionProtectionEnabled ?? entry.deletionProtected;
      return { TableDescription: describe(entry, "UPDATING") };
    },

    delete(nameOrArn) {
      const entry = named(nameOrArn);
      if (entry.deletionProtected)
        throw invalid(
          `Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first.`,
        );
      entry.stream?.close();
      entry.ttl?.stop();
      entries.delete(entry.table.name);
      return { TableDescription: describe(entry, "DELETING") };
    },

    describe: (nameOrArn) => ({ Table: describe(named(nameOrArn)) }),

    list(after, limit) {
      const names = [...entries.keys()]
        .sort()
        .filter((name) => after === undefined || name > after);
      const page = names.slice(0, limit);
      return {
        TableNames: page,
        ...(names.length > limit ? { LastEvaluatedTableName: page.at(-1) } : {}),
      };
    },

    setTtl(nameOrArn, enabled, attribute) {
      const entry = named(nameOrArn);
      if (enabled) {
        if (entry.ttl !== undefined)
          throw invalid(
            entry.ttl.attribute === attribute
              ? "TimeToLive is already enabled"
              : `TimeToLive is active on a different AttributeName: current AttributeName is ${entry.ttl.attribute}`,
          );
        entry.ttl = startTtl(world, entry.table, attribute, settings.ttlMs);
      } else {
        if (entry.ttl === undefined) throw invalid("TimeToLive is already disabled");
        if (entry.ttl.attribute !== attribute)
          throw invalid(
            `TimeToLive is active on a different AttributeName: current AttributeName is ${entry.ttl.attribute}`,
          );
        entry.ttl.stop();
        entry.ttl = undefined;
      }
      return { TimeToLiveSpecification: { Enabled: enabled, AttributeName: attribute } };
    },
  };
}
