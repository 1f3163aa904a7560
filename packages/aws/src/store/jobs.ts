/** Jobs and runs: the tombstone that their end leaves, and the grants that end with them. */
import { GetItemCommand } from "@aws-sdk/client-dynamodb";
import { unmarshall } from "@aws-sdk/util-dynamodb";
import type { JobGrants, Tombstones } from "@stint/broker/ports";
import { type Context, keyed, NOT_THERE, partition } from "./context.ts";
import { jobItem } from "./items.ts";
import { deliveryKey, endKey, jobKey, runKey } from "./keys.ts";
import { createTransact } from "./transact.ts";
import { DELIVERY_SECONDS, type Item, seconds, TOMBSTONE_SECONDS, toItem } from "./write.ts";

export const tombstones = (context: Context): Tombstones => ({
  async tombstone(end, delivery, record) {
    const now = seconds(record.time);
    const reasons = await createTransact(context)([
      {
        Put: {
          TableName: context.table,
          Item: toItem({
            ...deliveryKey(delivery.pipeline, delivery.id),
            ttl: now + DELIVERY_SECONDS,
          }),
          ConditionExpression: NOT_THERE,
        },
      },
      {
        Update: {
          ...keyed(context, endKey(end)),
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
});

export const jobGrants = (context: Context): JobGrants => ({
  async grantsOf(end) {
    if (end.kind === "job.ended") {
      const { Item } = await context.db.send(
        new GetItemCommand({ ...keyed(context, jobKey(end.job)), ConsistentRead: true }),
      );
      return Item === undefined ? [] : grantsIn(Item);
    }
    const ids: string[] = [];
    for await (const item of partition(context, runKey(end).pk)) ids.push(...grantsIn(item));
    return ids;
  },
});

const grantsIn = (item: Item): string[] => [...(jobItem.parse(unmarshall(item)).grants ?? [])];
