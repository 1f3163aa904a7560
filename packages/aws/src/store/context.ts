/** What every part of the store is made of: the table, and how its items are read and written. */
import {
  ConditionalCheckFailedException,
  type DynamoDBClient,
  QueryCommand,
  type TransactWriteItem,
} from "@aws-sdk/client-dynamodb";
import { unmarshall } from "@aws-sdk/util-dynamodb";
import type { Stored } from "@stint/broker/ports";
import type { AuditRecord } from "@stint/core/audit";
import { type Grant, jobOf } from "@stint/core/grant";
import { grantItem } from "./items.ts";
import { jobKey, type Key, liveKey, runKey } from "./keys.ts";
import { grantToItem, type Item, toItem } from "./write.ts";

export interface Context {
  readonly db: DynamoDBClient;
  readonly table: string;
  /** Waits before the next attempt of a write that lost to another, longer each time and never equally long. */
  readonly pause: (attempt: number) => Promise<void>;
}

export const NOT_THERE = "attribute_not_exists(pk)";
export const NO_TOMBSTONE = "attribute_not_exists(endedAt)";
export const DAY_SECONDS = 24 * 60 * 60;

export const keyed = ({ table }: Context, key: Key) => ({ TableName: table, Key: toItem(key) });

export const untombed = (context: Context, key: Key): TransactWriteItem => ({
  ConditionCheck: { ...keyed(context, key), ConditionExpression: NO_TOMBSTONE },
});

/** A grant is of a job and a run that still go on. Persons have neither. */
export function jobGoesOn(context: Context, grant: Grant): TransactWriteItem[] {
  const job = jobOf(grant);
  return job === undefined ? [] : [untombed(context, jobKey(job)), untombed(context, runKey(job))];
}

/** Each role that a grant has sessions of. */
export const rolesOf = (grant: Grant): string[] => [
  ...new Set(
    Object.values(grant.targets).flatMap((target) => (target.kind === "aws" ? [target.role] : [])),
  ),
];

/** From now on a session of the grant may have to go on working: nobody may deny a role's sessions by their age. */
export const livesNow = ({ table }: Context, grant: Grant): TransactWriteItem[] =>
  grant.state !== "opening"
    ? []
    : rolesOf(grant).map((role) => ({
        Put: {
          TableName: table,
          Item: toItem({
            ...liveKey(role, grant.id),
            role,
            grantId: grant.id,
            until: grant.endsAt,
            ttl: Math.floor(grant.endsAt / 1000) + DAY_SECONDS,
          }),
          ConditionExpression: NOT_THERE,
        },
      }));

export function putOver(
  { table }: Context,
  before: Stored,
  after: Grant,
  record: AuditRecord | undefined,
): TransactWriteItem {
  // Without a new fact the old record stays, so that the stream's readers see that there is none.
  const item = grantToItem(after, before.version + 1, record ?? auditOf.get(before));
  return {
    Put: {
      TableName: table,
      Item: item,
      ConditionExpression: "version = :version",
      ExpressionAttributeValues: { ":version": { N: String(before.version) } },
      ReturnValuesOnConditionCheckFailure: "ALL_OLD",
    },
  };
}

/** The audit record of a grant as it was read, for writes that tell no new fact. */
const auditOf = new WeakMap<Stored, Item>();

export function read(item: Item): Stored {
  const stored: Stored = grantItem.parse(unmarshall(item));
  if (item.audit?.M !== undefined) auditOf.set(stored, item.audit.M);
  return stored;
}

/** All items of a partition, consistently. */
export async function* partition(
  { db, table }: Context,
  pk: string,
  prefix?: string,
): AsyncGenerator<Item> {
  let from: Item | undefined;
  do {
    const page = await db.send(
      new QueryCommand({
        TableName: table,
        ConsistentRead: true,
        KeyConditionExpression:
          prefix === undefined ? "pk = :pk" : "pk = :pk AND begins_with(sk, :sk)",
        ExpressionAttributeValues: {
          ":pk": { S: pk },
          ...(prefix === undefined ? {} : { ":sk": { S: prefix } }),
        },
        ...(from === undefined ? {} : { ExclusiveStartKey: from }),
      }),
    );
    yield* page.Items ?? [];
    from = page.LastEvaluatedKey;
  } while (from !== undefined);
}

/** For writes whose refused condition means that there is nothing left to do. */
export async function unlessRefused(write: () => Promise<unknown>): Promise<void> {
  try {
    await write();
  } catch (error) {
    if (!(error instanceof ConditionalCheckFailedException)) throw error;
  }
}
