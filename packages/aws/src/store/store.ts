import {
  ConditionalCheckFailedException,
  type DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  QueryCommand,
  type TransactWriteItem,
  UpdateItemCommand,
} from "@aws-sdk/client-dynamodb";
import { unmarshall } from "@aws-sdk/util-dynamodb";
import type { Denial, Opened, Replaced, Store, Stored } from "@stint/broker/ports";
import type { AuditRecord } from "@stint/core/audit";
import { type Grant, jobOf, type Lease } from "@stint/core/grant";
import { byIndex, dueIds } from "./indexes.ts";
import { denialItem, grantItem, jobItem } from "./items.ts";
import {
  DENIAL_PREFIX,
  decisionKey,
  deliveryKey,
  denialKey,
  endKey,
  grantKey,
  jobKey,
  type Key,
  runKey,
  tokenKey,
} from "./keys.ts";
import { createTransact, failed } from "./transact.ts";
import {
  DECISION_SECONDS,
  DELIVERY_SECONDS,
  grantToItem,
  type Item,
  seconds,
  TOMBSTONE_SECONDS,
  toItem,
} from "./write.ts";

const NOT_THERE = "attribute_not_exists(pk)";
const NO_TOMBSTONE = "attribute_not_exists(endedAt)";
const DAY_SECONDS = 24 * 60 * 60;

/** Grants, their jobs and denials in one table; every write carries its condition. */
export function createStore(
  db: DynamoDBClient,
  table: string,
  /** Waits before the next attempt of a write that lost to another, longer each time and never equally long. */
  pause: (attempt: number) => Promise<void>,
): Store {
  const transact = createTransact(db, pause);
  const keyed = (key: Key) => ({ TableName: table, Key: toItem(key) });

  const untombed = (key: Key): TransactWriteItem => ({
    ConditionCheck: { ...keyed(key), ConditionExpression: NO_TOMBSTONE },
  });

  /** A grant is of a job and a run that still go on. Persons have neither. */
  function jobGoesOn(grant: Grant): TransactWriteItem[] {
    const job = jobOf(grant);
    return job === undefined ? [] : [untombed(jobKey(job)), untombed(runKey(job))];
  }

  function putOver(
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

  /** The first reason is the grant's; `others` says what it means when a further condition failed. */
  async function replaced(
    items: TransactWriteItem[],
    after: Stored,
    others: "tombstones" | "denials" = "tombstones",
  ): Promise<Replaced> {
    const [own, ...rest] = (await transact(items)) ?? [];
    if (own === undefined) return { kind: "written", stored: after };
    if (own.Code === "ConditionalCheckFailed") {
      if (own.Item === undefined) throw new Error(`grant ${after.grant.id} is gone`);
      return { kind: "changed", stored: read(own.Item) };
    }
    if (others === "tombstones" && rest.some(failed)) return { kind: "job_ended" };
    throw new Error(`a write of grant ${after.grant.id} was cancelled by its ${others}`);
  }

  async function find(id: string): Promise<Stored | undefined> {
    const { Item } = await db.send(
      new GetItemCommand({ ...keyed(grantKey(id)), ConsistentRead: true }),
    );
    return Item === undefined ? undefined : read(Item);
  }

  return {
    find,

    async open(grant, proof, record): Promise<Opened> {
      const job = jobOf(grant);
      const ttl = seconds(record.time) + TOMBSTONE_SECONDS;
      const items: TransactWriteItem[] = [
        {
          Put: {
            TableName: table,
            Item: grantToItem(grant, 1, record),
            ConditionExpression: NOT_THERE,
            ReturnValuesOnConditionCheckFailure: "ALL_OLD",
          },
        },
      ];
      if (job !== undefined)
        items.push(
          {
            Update: {
              ...keyed(jobKey(job)),
              UpdateExpression: "ADD grants :id SET #ttl = :ttl",
              ConditionExpression: NO_TOMBSTONE,
              ExpressionAttributeNames: { "#ttl": "ttl" },
              ExpressionAttributeValues: { ":id": { SS: [grant.id] }, ":ttl": { N: String(ttl) } },
            },
          },
          untombed(runKey(job)),
        );
      if (proof.once && job !== undefined)
        items.push({
          Put: {
            TableName: table,
            Item: toItem({
              ...tokenKey(job.issuer, proof.id),
              grant: grant.id,
              ttl: seconds(proof.expiresAt) + DAY_SECONDS,
            }),
            ConditionExpression: `${NOT_THERE} OR #grant = :grant`,
            ExpressionAttributeNames: { "#grant": "grant" },
            ExpressionAttributeValues: { ":grant": { S: grant.id } },
          },
        });
      const reasons = await transact(items);
      if (reasons === undefined) return { kind: "opened", stored: { grant, version: 1 } };
      const [own, ...others] = reasons;
      if (own?.Code === "ConditionalCheckFailed") {
        if (own.Item === undefined) throw new Error("a grant's condition failed without the grant");
        return { kind: "exists", stored: read(own.Item) };
      }
      if (proof.once && failed(others.at(-1))) return { kind: "token_used" };
      return { kind: "job_ended" };
    },

    async start(before, after, record) {
      return replaced([putOver(before, after, record), ...jobGoesOn(after)], {
        grant: after,
        version: before.version + 1,
      });
    },

    async plan(grant, planned, over) {
      const leases = leaseUpdates(planned);
      // As many as an expression bears; those that are left go with the next plans.
      const going = over.slice(0, 50);
      const gone = going.map((_, i) => `#grant.#leases.#g${i}`);
      const remove = gone.length === 0 ? "" : ` REMOVE ${gone.join(", ")}`;
      try {
        await db.send(
          new UpdateItemCommand({
            ...keyed(grantKey(grant.id)),
            UpdateExpression: `SET ${leases.set}${remove} ADD version :one`,
            ConditionExpression: "#grant.#state = :active AND attribute_not_exists(closing)",
            ExpressionAttributeNames: {
              "#grant": "grant",
              "#state": "state",
              ...leases.names,
              ...Object.fromEntries(going.map((key, i) => [`#g${i}`, key])),
            },
            ExpressionAttributeValues: {
              ":active": { S: "active" },
              ":one": { N: "1" },
              ...leases.values,
            },
            ReturnValuesOnConditionCheckFailure: "ALL_OLD",
          }),
        );
        return undefined;
      } catch (error) {
        if (!(error instanceof ConditionalCheckFailedException)) throw error;
        if (error.Item === undefined) throw new Error(`grant ${grant.id} is gone`);
        return read(error.Item);
      }
    },

    async lease(grant, minted, record) {
      if (grant.state !== "active")
        throw new Error(`a lease makes a grant active, not ${grant.state}`);
      const leases = leaseUpdates(minted);
      const there = Object.keys(leases.names)
        .filter((name) => name !== "#leases")
        .map((name) => `attribute_exists(#grant.#leases.${name})`);
      const update: TransactWriteItem = {
        Update: {
          ...keyed(grantKey(grant.id)),
          UpdateExpression: `SET ${leases.set}, #grant.#state = :active, dueAt = :endsAt, audit = :audit REMOVE #grant.openBy ADD version :one`,
          ConditionExpression: `#grant.#state IN (:opening, :active) AND attribute_not_exists(closing) AND ${there.join(" AND ")}`,
          ExpressionAttributeNames: { "#grant": "grant", "#state": "state", ...leases.names },
          ExpressionAttributeValues: {
            ":active": { S: "active" },
            ":opening": { S: "opening" },
            ":one": { N: "1" },
            ":endsAt": { N: String(grant.endsAt) },
            ":audit": { M: toItem(record) },
            ...leases.values,
          },
          ReturnValuesOnConditionCheckFailure: "ALL_OLD",
        },
      };
      // The version is not known here; nobody conditions a write on it without reading first.
      return replaced([update, ...jobGoesOn(grant)], { grant, version: 0 });
    },

    async replace(before, after, record, denials = []) {
      return replaced(
        [putOver(before, after, record), ...denials.map(putDenial)],
        {
          grant: after,
          version: before.version + 1,
        },
        "denials",
      );
    },

    async close(id) {
      await unlessRefused(() =>
        db.send(
          new UpdateItemCommand({
            ...keyed(grantKey(id)),
            UpdateExpression: "SET closing = :yes ADD version :one",
            ConditionExpression: "#grant.#state IN (:opening, :active)",
            ExpressionAttributeNames: { "#grant": "grant", "#state": "state" },
            ExpressionAttributeValues: {
              ":yes": { BOOL: true },
              ":one": { N: "1" },
              ":opening": { S: "opening" },
              ":active": { S: "active" },
            },
          }),
        ),
      );
    },

    async tombstone(end, delivery, record) {
      const now = seconds(record.time);
      const reasons = await transact([
        {
          Put: {
            TableName: table,
            Item: toItem({
              ...deliveryKey(delivery.pipeline, delivery.id),
              ttl: now + DELIVERY_SECONDS,
            }),
            ConditionExpression: NOT_THERE,
          },
        },
        {
          Update: {
            ...keyed(endKey(end)),
            // The first report counts: a second one, by another delivery, moves nothing.
            UpdateExpression:
              "SET endedAt = if_not_exists(endedAt, :now), audit = if_not_exists(audit, :audit), #ttl = :ttl, #end = :end",
            ExpressionAttributeNames: { "#ttl": "ttl", "#end": "end" },
            ExpressionAttributeValues: {
              ":now": { N: String(record.time) },
              ":audit": { M: toItem(record) },
              ":ttl": { N: String(now + TOMBSTONE_SECONDS) },
              ":end": { M: toItem(end) },
            },
          },
        },
      ]);
      return reasons === undefined ? "written" : "replayed";
    },

    async grantsOf(end) {
      if (end.kind === "job.ended") {
        const { Item } = await db.send(
          new GetItemCommand({ ...keyed(jobKey(end.job)), ConsistentRead: true }),
        );
        return Item === undefined ? [] : grantsIn(Item);
      }
      const ids: string[] = [];
      for await (const item of partition(runKey(end).pk)) ids.push(...grantsIn(item));
      return ids;
    },

    async note(record) {
      await db.send(
        new PutItemCommand({
          TableName: table,
          Item: toItem({
            ...decisionKey(record.id),
            audit: record,
            ttl: seconds(record.time) + DECISION_SECONDS,
          }),
        }),
      );
    },

    due: (now) => dueIds(db, table, now),
    byProfile: (profile, query) => byIndex(db, table, "byProfile", profile, query),
    byPrincipal: (principal, query) => byIndex(db, table, "byPrincipal", principal, query),

    async denials(role) {
      const all: Denial[] = [];
      for await (const item of partition(denialKey(role, "").pk, DENIAL_PREFIX))
        all.push(toDenial(item));
      return all;
    },

    async denial(role, grant) {
      const { Item } = await db.send(
        new GetItemCommand({ ...keyed(denialKey(role, grant)), ConsistentRead: true }),
      );
      return Item === undefined ? undefined : toDenial(Item);
    },

    async markDenied(denial, at) {
      await unlessRefused(() =>
        db.send(
          new UpdateItemCommand({
            ...keyed(denialKey(denial.role, denial.grant)),
            UpdateExpression: "SET deniedAt = :at",
            ConditionExpression: "attribute_exists(pk) AND attribute_not_exists(deniedAt)",
            ExpressionAttributeValues: { ":at": { N: String(at) } },
          }),
        ),
      );
    },
  };

  function putDenial({ role, grant, until }: Denial): TransactWriteItem {
    return {
      Put: {
        TableName: table,
        Item: toItem({
          ...denialKey(role, grant),
          role,
          grantId: grant,
          until,
          ttl: seconds(until) + DAY_SECONDS,
        }),
        // A grant ends once, and with it each of its roles is denied once.
        ConditionExpression: NOT_THERE,
      },
    };
  }

  async function* partition(pk: string, prefix?: string): AsyncGenerator<Item> {
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
}

/** The audit record of a grant as it was read, for writes that tell no new fact. */
const auditOf = new WeakMap<Stored, Item>();

function read(item: Item): Stored {
  const stored: Stored = grantItem.parse(unmarshall(item));
  if (item.audit?.M !== undefined) auditOf.set(stored, item.audit.M);
  return stored;
}

const toDenial = (item: Item): Denial => {
  const { role, grantId, until, deniedAt } = denialItem.parse(unmarshall(item));
  return { role, grant: grantId, until, ...(deniedAt === undefined ? {} : { deniedAt }) };
};

const grantsIn = (item: Item): string[] => [...(jobItem.parse(unmarshall(item)).grants ?? [])];

function leaseUpdates(leases: Readonly<Record<string, Lease>>) {
  const entries = Object.entries(leases);
  return {
    set: entries.map((_, i) => `#grant.#leases.#k${i} = :k${i}`).join(", "),
    names: {
      "#leases": "leases",
      ...Object.fromEntries(entries.map(([key], i) => [`#k${i}`, key])),
    },
    values: Object.fromEntries(entries.map(([, lease], i) => [`:k${i}`, { M: toItem(lease) }])),
  };
}

/** For writes whose refused condition means that there is nothing left to do. */
async function unlessRefused(write: () => Promise<unknown>): Promise<void> {
  try {
    await write();
  } catch (error) {
    if (!(error instanceof ConditionalCheckFailedException)) throw error;
  }
}
