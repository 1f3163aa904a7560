/** What is to be denied, and what is. */
import { GetItemCommand, UpdateItemCommand } from "@aws-sdk/client-dynamodb";
import { unmarshall } from "@aws-sdk/util-dynamodb";
import type { Denial, Denials } from "@stint/broker/ports";
import { type Context, keyed, partition, unlessRefused } from "./context.ts";
import { denialItem } from "./items.ts";
import { DENIAL_PREFIX, denialKey } from "./keys.ts";
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

/** All of a role's, and the mark that they are in IAM. */
export const roleDenials = (context: Context): Pick<Denials, "denials" | "markDenied"> => ({
  async denials(role) {
    const all: Denial[] = [];
    for await (const item of partition(context, denialKey(role, "").pk, DENIAL_PREFIX))
      all.push(toDenial(item));
    return all;
  },

  async markDenied(denial, at) {
    await unlessRefused(() =>
      context.db.send(
        new UpdateItemCommand({
          ...keyed(context, denialKey(denial.role, denial.grant)),
          UpdateExpression: "SET deniedAt = :at",
          ConditionExpression: "attribute_exists(pk) AND attribute_not_exists(deniedAt)",
          ExpressionAttributeValues: { ":at": { N: String(at) } },
        }),
      ),
    );
  },
});

const toDenial = (item: Item): Denial => {
  const { role, grantId, until, deniedAt } = denialItem.parse(unmarshall(item));
  return { role, grant: grantId, until, ...(deniedAt === undefined ? {} : { deniedAt }) };
};
