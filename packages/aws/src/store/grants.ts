/** Grants that exist: what ending one takes. */
import {
  GetItemCommand,
  type TransactWriteItem,
  UpdateItemCommand,
} from "@aws-sdk/client-dynamodb";
import type { Denial, Grants } from "@stint/broker/ports";
import { type Grant, isRunning } from "@stint/core/grant";
import {
  type Context,
  keyed,
  NOT_THERE,
  putOver,
  read,
  rolesOf,
  unlessRefused,
} from "./context.ts";
import { denialKey, grantKey, liveKey } from "./keys.ts";
import { replaced } from "./replaced.ts";
import { DENIAL_SECONDS, seconds, toItem } from "./write.ts";

export const finder = (context: Context): Pick<Grants, "find"> => ({
  async find(id) {
    const { Item } = await context.db.send(
      new GetItemCommand({ ...keyed(context, grantKey(id)), ConsistentRead: true }),
    );
    return Item === undefined ? undefined : read(Item);
  },
});

export const replacer = (context: Context): Pick<Grants, "replace"> => ({
  async replace(before, after, record, denials = []) {
    return replaced(
      context,
      [
        putOver(context, before, after, record),
        ...denials.map((denial) => putDenial(context, denial)),
        ...(isRunning(before.grant) && !isRunning(after) ? livesNoMore(context, after) : []),
      ],
      {
        grant: after,
        version: before.version + 1,
      },
      "denials",
    );
  },
});

export const closer = (context: Context): Pick<Grants, "close"> => ({
  async close(id) {
    await unlessRefused(() =>
      context.db.send(
        new UpdateItemCommand({
          ...keyed(context, grantKey(id)),
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
});

export const grants = (context: Context): Grants => ({
  ...finder(context),
  ...replacer(context),
  ...closer(context),
});

/** Without a condition: an end that finds no note of the life must not fail for it. */
const livesNoMore = (context: Context, grant: Grant): TransactWriteItem[] =>
  rolesOf(grant).map((role) => ({
    Delete: { ...keyed(context, liveKey(role, grant.id)) },
  }));

function putDenial(
  { table }: Context,
  { role, grant, until, issuedBy }: Denial,
): TransactWriteItem {
  return {
    Put: {
      TableName: table,
      Item: toItem({
        ...denialKey(role, grant),
        role,
        grantId: grant,
        until,
        issuedBy,
        ttl: seconds(until) + DENIAL_SECONDS,
      }),
      // A grant ends once, and with it each of its roles is denied once.
      ConditionExpression: NOT_THERE,
    },
  };
}
