/** Roles: what their lists were written for, and which grants live on them. */
import {
  type AttributeValue,
  GetItemCommand,
  QueryCommand,
  UpdateItemCommand,
} from "@aws-sdk/client-dynamodb";
import { unmarshall } from "@aws-sdk/util-dynamodb";
import type { Denied, HardOrders, KnownRoles, LiveGrants, Lives, Roles } from "@stint/broker/ports";
import { type Context, DAY_SECONDS, keyed, partition, unlessRefused } from "./context.ts";
import { liveItem, roleItem } from "./items.ts";
import { DENIED_ROLES, grantKey, LIVE_PREFIX, liveKey, roleKey } from "./keys.ts";
import { noted } from "./notes.ts";
import { createTransact, failed } from "./transact.ts";
import { type Item, seconds, toItem } from "./write.ts";

export const roles = (context: Context): Roles => ({
  async role(role) {
    const { Item } = await context.db.send(
      new GetItemCommand({ ...keyed(context, roleKey(role)), ConsistentRead: true }),
    );
    if (Item === undefined) return {};
    const { role: _, ...state } = roleItem.parse(unmarshall(Item));
    return state;
  },

  async noteRole(role, { until, watermark }, record) {
    await context.db.send(
      new UpdateItemCommand({
        ...keyed(context, roleKey(role)),
        ...setting({
          role: { S: role },
          ...(until === undefined ? {} : watchedUntil(until)),
          ...(watermark === undefined ? {} : { watermark: { M: toItem(watermark) } }),
          ...(record === undefined ? {} : { audit: { M: toItem(record) } }),
        }),
      }),
    );
  },
});

export const hardOrders = (context: Context): HardOrders => ({
  async orderHard(role, hard, record) {
    const update = setting({
      role: { S: role },
      hard: { M: toItem(hard) },
      // No lease that runs now is longer. From here on the sweeper looks at the role, whatever becomes of the stream.
      ...watchedUntil(hard.until),
      audit: { M: toItem(record) },
    });
    await unlessRefused(() =>
      context.db.send(
        new UpdateItemCommand({
          ...keyed(context, roleKey(role)),
          ...update,
          ConditionExpression: "attribute_not_exists(#hard) OR #hard.#at < :at",
          ExpressionAttributeNames: {
            ...update.ExpressionAttributeNames,
            "#hard": "hard",
            "#at": "at",
          },
          ExpressionAttributeValues: {
            ...update.ExpressionAttributeValues,
            ":at": { N: String(hard.at) },
          },
        }),
      ),
    );
  },
});

/** The role is in the `due` index, as one that the sweeper looks at, until then. */
const watchedUntil = (until: number): Item => ({
  until: { N: String(until) },
  due: { S: DENIED_ROLES },
  dueAt: { N: String(until) },
  ttl: { N: String(seconds(until) + DAY_SECONDS) },
});

/** Only what is named is touched: what others want of the role stands beside it. */
function setting(values: Item) {
  const names = Object.keys(values);
  return {
    UpdateExpression: `SET ${names.map((_, i) => `#n${i} = :v${i}`).join(", ")}`,
    ExpressionAttributeNames: Object.fromEntries(names.map((name, i) => [`#n${i}`, name])),
    ExpressionAttributeValues: Object.fromEntries(
      Object.values(values).map((value, i) => [`:v${i}`, value]),
    ),
  };
}

export const liveGrants = (context: Context): LiveGrants => ({
  async *liveOf(role) {
    for await (const item of partition(context, liveKey(role, "").pk, LIVE_PREFIX))
      yield liveItem.parse(unmarshall(item)).grantId;
  },
});

export const lives = (context: Context): Lives => ({
  async removeLife(role, grant, record) {
    const reasons = await createTransact(context)([
      {
        ConditionCheck: {
          ...keyed(context, grantKey(grant)),
          // A grant that has come to live since it was read must keep its note.
          ConditionExpression:
            "attribute_not_exists(pk) OR NOT #grant.#state IN (:opening, :active)",
          ExpressionAttributeNames: { "#grant": "grant", "#state": "state" },
          ExpressionAttributeValues: { ":opening": { S: "opening" }, ":active": { S: "active" } },
        },
      },
      {
        Delete: {
          ...keyed(context, liveKey(role, grant)),
          ConditionExpression: "attribute_exists(pk)",
        },
      },
      { Put: noted(context, record) },
    ]);
    return !(reasons ?? []).some(failed);
  },
});

export const deniedRoles = (context: Context): Denied => ({
  deniedRoles: (now) => rolesDue(context, " AND dueAt > :now", { ":now": { N: String(now) } }),
});

export const knownRoles = (context: Context): KnownRoles => ({
  knownRoles: () => rolesDue(context, "", {}),
});

async function* rolesDue(
  { db, table }: Context,
  when: string,
  values: Readonly<Record<string, AttributeValue>>,
): AsyncGenerator<string> {
  let from: Item | undefined;
  do {
    const page = await db.send(
      new QueryCommand({
        TableName: table,
        IndexName: "due",
        KeyConditionExpression: `due = :due${when}`,
        ExpressionAttributeValues: { ":due": { S: DENIED_ROLES }, ...values },
        ...(from === undefined ? {} : { ExclusiveStartKey: from }),
      }),
    );
    for (const { pk } of page.Items ?? [])
      if (pk?.S !== undefined) yield pk.S.slice("ROLE#".length);
    from = page.LastEvaluatedKey;
  } while (from !== undefined);
}
