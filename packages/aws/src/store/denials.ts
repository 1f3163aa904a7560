/** What is to be denied, and what is. */
import { type AttributeValue, GetItemCommand, UpdateItemCommand } from "@aws-sdk/client-dynamodb";
import { unmarshall } from "@aws-sdk/util-dynamodb";
import type { Denial, Denials, Proofs } from "@stint/broker/ports";
import { type Context, keyed, partition, unlessRefused } from "./context.ts";
import { denialItem } from "./items.ts";
import { DENIAL_PREFIX, denialKey, type Key } from "./keys.ts";
import type { Item } from "./write.ts";

/** Whether one grant is denied in a role. */
export const denial = (context: Context): Pick<Denials, "denial"> => ({
  async denial(role, grant) {
    const { Item } = await context.db.send(
      new GetItemCommand({ ...keyed(context, denialKey(role, grant)), ConsistentRead: true }),
    );
    return Item === undefined ? undefined : toDenial(Item);
  },
});

/** All of a role's, and the mark that they are in IAM, or never will be. */
export const roleDenials = (
  context: Context,
): Pick<Denials, "denials" | "markDenied" | "spare"> => ({
  async denials(role) {
    const all: Denial[] = [];
    for await (const item of partition(context, denialKey(role, "").pk, DENIAL_PREFIX))
      all.push(toDenial(item));
    return all;
  },

  markDenied: ({ role, grant }, at) =>
    mark(context, denialKey(role, grant), "deniedAt", { N: String(at) }),

  spare: ({ role, grant }, why) => mark(context, denialKey(role, grant), "spared", { S: why }),
});

/** What was seen to hold. The list was written at `deniedAt` whether or not its worker came to say so. */
export const proofs = (context: Context): Proofs => ({
  async markProved(role, grant, deniedAt, provedAt) {
    await unlessRefused(() =>
      context.db.send(
        new UpdateItemCommand({
          ...keyed(context, denialKey(role, grant)),
          UpdateExpression:
            "SET deniedAt = if_not_exists(deniedAt, :deniedAt), provedAt = :provedAt",
          ConditionExpression: "attribute_exists(pk) AND attribute_not_exists(provedAt)",
          ExpressionAttributeValues: {
            ":deniedAt": { N: String(deniedAt) },
            ":provedAt": { N: String(provedAt) },
          },
        }),
      ),
    );
  },
});

/** Once: what is said of a denial stays. */
const mark = (context: Context, key: Key, name: string, value: AttributeValue): Promise<void> =>
  unlessRefused(() =>
    context.db.send(
      new UpdateItemCommand({
        ...keyed(context, key),
        UpdateExpression: "SET #name = :value",
        ConditionExpression: "attribute_exists(pk) AND attribute_not_exists(#name)",
        ExpressionAttributeNames: { "#name": name },
        ExpressionAttributeValues: { ":value": value },
      }),
    ),
  );

const toDenial = (item: Item): Denial => {
  const { grantId, ...rest } = denialItem.parse(unmarshall(item));
  return { ...rest, grant: grantId };
};
