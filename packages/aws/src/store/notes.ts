/** Decisions that change nothing. */
import { PutItemCommand } from "@aws-sdk/client-dynamodb";
import type { Notes } from "@stint/broker/ports";
import type { Context } from "./context.ts";
import { decisionKey } from "./keys.ts";
import { DECISION_SECONDS, seconds, toItem } from "./write.ts";

export const notes = (context: Context): Notes => ({
  async note(record) {
    await context.db.send(
      new PutItemCommand({
        TableName: context.table,
        Item: toItem({
          ...decisionKey(record.id),
          audit: record,
          ttl: seconds(record.time) + DECISION_SECONDS,
        }),
      }),
    );
  },
});
