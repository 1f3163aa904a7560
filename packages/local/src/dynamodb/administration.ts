/** Operations on tables themselves, and on their streams. */
import { z } from "zod";
import { type Check, type Operation, operation } from "../service.ts";
import type { Catalogue } from "./catalogue.ts";
import { TableName } from "./inputs.ts";
import { CreateTableInput, UpdateTableInput } from "./schema.ts";

export function tableOperations(catalogue: Catalogue): Record<string, Operation> {
  const onTable =
    (action: string) =>
    ({ TableName }: { readonly TableName: string }): Check[] => [
      { action: `dynamodb:${action}`, resource: catalogue.arnOf(TableName) },
    ];
  const Named = z.strictObject({ TableName });
  const describeBackups = (nameOrArn: string) => ({
    ContinuousBackupsDescription: {
      ContinuousBackupsStatus: "ENABLED",
      PointInTimeRecoveryDescription: {
        PointInTimeRecoveryStatus: catalogue.find(nameOrArn).pointInTimeRecovery
          ? "ENABLED"
          : "DISABLED",
      },
    },
  });

  return {
    CreateTable: operation({
      input: CreateTableInput,
      authorize: onTable("CreateTable"),
      run: (input) => catalogue.create(input),
    }),
    UpdateTable: operation({
      input: UpdateTableInput,
      authorize: onTable("UpdateTable"),
      run: (input) => catalogue.update(input),
    }),
    DeleteTable: operation({
      input: Named,
      authorize: onTable("DeleteTable"),
      run: (input) => catalogue.delete(input.TableName),
    }),
    DescribeTable: operation({
      input: Named,
      authorize: onTable("DescribeTable"),
      run: (input) => catalogue.describe(input.TableName),
    }),
    ListTables: operation({
      input: z.strictObject({
        ExclusiveStartTableName: TableName.optional(),
        Limit: z.int().min(1).max(100).optional(),
      }),
      authorize: () => [{ action: "dynamodb:ListTables", resource: "*" }],
      run: ({ ExclusiveStartTableName, Limit }) =>
        catalogue.list(ExclusiveStartTableName, Limit ?? 100),
    }),
    UpdateTimeToLive: operation({
      input: z.strictObject({
        TableName,
        TimeToLiveSpecification: z.strictObject({
          Enabled: z.boolean(),
          AttributeName: z.string().min(1).max(255),
        }),
      }),
      authorize: onTable("UpdateTimeToLive"),
      run: ({ TableName, TimeToLiveSpecification: { Enabled, AttributeName } }) =>
        catalogue.setTtl(TableName, Enabled, AttributeName),
    }),
    DescribeTimeToLive: operation({
      input: Named,
      authorize: onTable("DescribeTimeToLive"),
      run: ({ TableName }) => {
        const { ttl } = catalogue.find(TableName);
        return {
          TimeToLiveDescription:
            ttl === undefined
              ? { TimeToLiveStatus: "DISABLED" }
              : { TimeToLiveStatus: "ENABLED", AttributeName: ttl.attribute },
        };
      },
    }),
    UpdateContinuousBackups: operation({
      input: z.strictObject({
        TableName,
        PointInTimeRecoverySpecification: z.strictObject({
          PointInTimeRecoveryEnabled: z.boolean(),
        }),
      }),
      authorize: onTable("UpdateContinuousBackups"),
      run: ({ TableName, PointInTimeRecoverySpecification: wanted }) => {
        catalogue.find(TableName).pointInTimeRecovery = wanted.PointInTimeRecoveryEnabled;
        return describeBackups(TableName);
      },
    }),
    DescribeContinuousBackups: operation({
      input: Named,
      authorize: onTable("DescribeContinuousBackups"),
      run: ({ TableName }) => describeBackups(TableName),
    }),
  };
}

/** The separate API of streams, which has a target prefix of its own. */
export function streamOperations({ streams, arnOf }: Catalogue): Record<string, Operation> {
  const StreamArn = z.string().min(37).max(1024);
  const ShardId = z.string().min(28).max(65);
  return {
    ListStreams: operation({
      input: z.strictObject({
        TableName: TableName.optional(),
        Limit: z.int().min(1).max(100).optional(),
        ExclusiveStartStreamArn: StreamArn.optional(),
      }),
      authorize: ({ TableName }) => [
        {
          action: "dynamodb:ListStreams",
          resource: TableName === undefined ? "*" : `${arnOf(TableName)}/stream/*`,
        },
      ],
      run: ({ TableName, Limit = 100, ExclusiveStartStreamArn }) => {
        const all = streams.list(TableName);
        const from =
          ExclusiveStartStreamArn === undefined
            ? 0
            : all.findIndex(({ arn }) => arn === ExclusiveStartStreamArn) + 1;
        const page = all.slice(from, from + Limit);
        return {
          Streams: page.map(({ arn, label, table }) => ({
            StreamArn: arn,
            StreamLabel: label,
            TableName: table,
          })),
          ...(from + Limit < all.length ? { LastEvaluatedStreamArn: page.at(-1)?.arn } : {}),
        };
      },
    }),
    DescribeStream: operation({
      input: z.strictObject({
        StreamArn,
        Limit: z.int().min(1).max(100).optional(),
        ExclusiveStartShardId: ShardId.optional(),
        ShardFilter: z.strictObject({ Type: z.literal("CHILD_SHARDS"), ShardId }).optional(),
      }),
      authorize: (input) => [{ action: "dynamodb:DescribeStream", resource: input.StreamArn }],
      run: ({ StreamArn, Limit, ExclusiveStartShardId, ShardFilter }) => ({
        StreamDescription: streams.describe(StreamArn, {
          limit: Limit,
          after: ExclusiveStartShardId,
          childrenOf: ShardFilter?.ShardId,
        }),
      }),
    }),
    GetShardIterator: operation({
      input: z.strictObject({
        StreamArn,
        ShardId,
        ShardIteratorType: z.enum([
          "TRIM_HORIZON",
          "LATEST",
          "AT_SEQUENCE_NUMBER",
          "AFTER_SEQUENCE_NUMBER",
        ]),
        SequenceNumber: z.string().optional(),
      }),
      authorize: (input) => [{ action: "dynamodb:GetShardIterator", resource: input.StreamArn }],
      run: ({ StreamArn, ShardId, ShardIteratorType, SequenceNumber }) => ({
        ShardIterator: streams.iterator(StreamArn, ShardId, ShardIteratorType, SequenceNumber),
      }),
    }),
    GetRecords: operation({
      input: z.strictObject({
        ShardIterator: z.string().min(1).max(2048),
        Limit: z.int().min(1).max(1000).optional(),
      }),
      authorize: (input) => [
        { action: "dynamodb:GetRecords", resource: streams.streamOf(input.ShardIterator) },
      ],
      run: ({ ShardIterator, Limit = 1000 }) => streams.records(ShardIterator, Limit),
    }),
  };
}
