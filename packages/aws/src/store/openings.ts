/** Grants that begin: written ahead, started, planned, leased. */
import {
  ConditionalCheckFailedException,
  type TransactWriteItem,
  UpdateItemCommand,
} from "@aws-sdk/client-dynamodb";
import type { Opened, Openings } from "@stint/broker/ports";
import { jobOf, type Lease } from "@stint/core/grant";
import {
  type Context,
  DAY_SECONDS,
  jobGoesOn,
  keyed,
  livesNow,
  NO_TOMBSTONE,
  NOT_THERE,
  putOver,
  read,
  untombed,
} from "./context.ts";
import { grantKey, jobKey, runKey, tokenKey } from "./keys.ts";
import { replaced } from "./replaced.ts";
import { createTransact, failed } from "./transact.ts";
import { grantToItem, seconds, TOMBSTONE_SECONDS, toItem } from "./write.ts";

export const openings = (context: Context): Openings => ({
  async open(grant, proof, record): Promise<Opened> {
    const job = jobOf(grant);
    const ttl = seconds(record.time) + TOMBSTONE_SECONDS;
    const items: TransactWriteItem[] = [
      {
        Put: {
          TableName: context.table,
          Item: grantToItem(grant, 1, record),
          ConditionExpression: NOT_THERE,
          ReturnValuesOnConditionCheckFailure: "ALL_OLD",
        },
      },
      ...livesNow(context, grant),
    ];
    if (job !== undefined)
      items.push(
        {
          Update: {
            ...keyed(context, jobKey(job)),
            UpdateExpression: "ADD grants :id SET #ttl = :ttl",
            ConditionExpression: NO_TOMBSTONE,
            ExpressionAttributeNames: { "#ttl": "ttl" },
            ExpressionAttributeValues: { ":id": { SS: [grant.id] }, ":ttl": { N: String(ttl) } },
          },
        },
        untombed(context, runKey(job)),
      );
    if (proof.once && job !== undefined)
      items.push({
        Put: {
          TableName: context.table,
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
    const reasons = await createTransact(context)(items);
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
    return replaced(
      context,
      [
        putOver(context, before, after, record),
        ...livesNow(context, after),
        ...jobGoesOn(context, after),
      ],
      {
        grant: after,
        version: before.version + 1,
      },
    );
  },

  async plan(grant, planned, over) {
    const leases = leaseUpdates(planned);
    // As many as an expression bears; those that are left go with the next plans.
    const going = over.slice(0, 50);
    const gone = going.map((_, i) => `#grant.#leases.#g${i}`);
    const remove = gone.length === 0 ? "" : ` REMOVE ${gone.join(", ")}`;
    try {
      await context.db.send(
        new UpdateItemCommand({
          ...keyed(context, grantKey(grant.id)),
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
        ...keyed(context, grantKey(grant.id)),
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
    return replaced(context, [update, ...jobGoesOn(context, grant)], { grant, version: 0 });
  },
});

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
