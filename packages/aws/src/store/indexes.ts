import { type DynamoDBClient, QueryCommand } from "@aws-sdk/client-dynamodb";
import { unmarshall } from "@aws-sdk/util-dynamodb";
import type { Due, ListQuery, Lists, Page } from "@stint/broker/ports";
import { GrantError } from "@stint/core/error";
import type { State } from "@stint/core/grant";
import { GRANT_ID } from "@stint/core/id";
import * as z from "zod/mini";
import type { Context } from "./context.ts";
import { grantItem } from "./items.ts";
import { dueShards, grantKey } from "./keys.ts";
import { type Item, toItem } from "./write.ts";

/** Items that one query reads before it hands its ids on. */
const DUE_PAGE = 500;

export const due = ({ db, table }: Context): Due => ({ due: (now) => dueIds(db, table, now) });

export const lists = ({ db, table }: Context): Lists => ({
  byProfile: (profile, query) => byIndex(db, table, "byProfile", profile, query),
  byPrincipal: (principal, query) => byIndex(db, table, "byPrincipal", principal, query),
});

/** Ids whose time has come, shard by shard: the cost follows what is due, not what lives. */
async function* dueIds(db: DynamoDBClient, table: string, now: number): AsyncGenerator<string> {
  const first = await Promise.all(dueShards().map((shard) => duePage(db, table, shard, now)));
  for (const [i, shard] of dueShards().entries()) {
    let page: DuePage | undefined = first[i];
    while (page !== undefined) {
      yield* page.ids;
      page = page.next === undefined ? undefined : await duePage(db, table, shard, now, page.next);
    }
  }
}

const idOfKey = z.pipe(
  z.object({ pk: z.string() }),
  z.transform(({ pk }) => pk.slice("GRANT#".length)),
);

interface DuePage {
  readonly ids: readonly string[];
  readonly next?: Item;
}

async function duePage(
  db: DynamoDBClient,
  table: string,
  shard: string,
  now: number,
  from?: Item,
): Promise<DuePage> {
  const { Items = [], LastEvaluatedKey } = await db.send(
    new QueryCommand({
      TableName: table,
      IndexName: "due",
      KeyConditionExpression: "due = :due AND dueAt <= :now",
      ExpressionAttributeValues: { ":due": { S: shard }, ":now": { N: String(now) } },
      Limit: DUE_PAGE,
      ...(from === undefined ? {} : { ExclusiveStartKey: from }),
    }),
  );
  const ids = Items.map((item) => idOfKey.parse(unmarshall(item)));
  return LastEvaluatedKey === undefined ? { ids } : { ids, next: LastEvaluatedKey };
}

const POSITION = /^([0-9]{1,15})\.(g[0-9a-z]{15})$/;

/** What `isLive` says of a grant's state. */
const LIVE = {
  ":pending": { S: "pending" },
  ":ready": { S: "ready" },
  ":opening": { S: "opening" },
  ":active": { S: "active" },
} as const satisfies { [S in LiveState as `:${S}`]: { S: S } };
type LiveState = Exclude<State, "ending" | "ended" | "refused">;

/** Newest first. `from` is the position after which to go on: a caller can choose it, so it is only a position. */
async function byIndex(
  db: DynamoDBClient,
  table: string,
  index: "byProfile" | "byPrincipal",
  partition: string,
  { state, live, since, stuck, job, limit, from }: ListQuery,
): Promise<Page> {
  const filters = [
    ...(state === undefined ? [] : ["#grant.#state = :state"]),
    ...(live === undefined ? [] : [`#grant.#state IN (${Object.keys(LIVE).join(", ")})`]),
    ...(stuck === undefined
      ? []
      : [stuck ? "#grant.stuck = :stuck" : "attribute_not_exists(#grant.stuck)"]),
    ...(job === undefined ? [] : ["#grant.principal.job.job = :job"]),
  ];
  const { Items = [], LastEvaluatedKey } = await db.send(
    new QueryCommand({
      TableName: table,
      IndexName: index,
      KeyConditionExpression: `#partition = :partition${since === undefined ? "" : " AND createdAt >= :since"}`,
      ScanIndexForward: false,
      Limit: limit,
      ExpressionAttributeNames: {
        "#partition": index,
        ...(filters.length === 0 ? {} : { "#grant": "grant" }),
        ...(state === undefined && live === undefined ? {} : { "#state": "state" }),
      },
      ExpressionAttributeValues: {
        ":partition": { S: partition },
        ...(state === undefined ? {} : { ":state": { S: state } }),
        ...(live === undefined ? {} : LIVE),
        ...(since === undefined ? {} : { ":since": { N: String(since) } }),
        ...(stuck === true ? { ":stuck": { BOOL: true } } : {}),
        ...(job === undefined ? {} : { ":job": { S: job } }),
      },
      ...(filters.length === 0 ? {} : { FilterExpression: filters.join(" AND ") }),
      ...(from === undefined ? {} : { ExclusiveStartKey: startKey(index, partition, from) }),
    }),
  );
  const grants = Items.map((item) => grantItem.parse(unmarshall(item)).grant);
  return LastEvaluatedKey === undefined
    ? { grants }
    : { grants, next: positionOf(LastEvaluatedKey) };
}

function startKey(index: string, partition: string, from: string): Item {
  const [, createdAt, id] = POSITION.exec(from) ?? [];
  if (createdAt === undefined || id === undefined || !GRANT_ID.test(id))
    throw new GrantError("invalid_request", "cursor is not one that this API gave out");
  return toItem({ ...grantKey(id), [index]: partition, createdAt: Number(createdAt) });
}

const lastKey = z.object({ pk: z.string(), createdAt: z.number() });

function positionOf(key: Item): string {
  const { pk, createdAt } = lastKey.parse(unmarshall(key));
  return `${createdAt}.${pk.slice("GRANT#".length)}`;
}
