/** Decisions that change nothing, and what is done about things that do not lie in the table. */
import { PutItemCommand } from "@aws-sdk/client-dynamodb";
import type { Notes } from "@stint/broker/ports";
import type { AuditRecord } from "@stint/core/audit";
import type { Context } from "./context.ts";
import { decisionKey } from "./keys.ts";
import { DECISION_SECONDS, seconds, toItem } from "./write.ts";

export const notes = (context: Context): Notes => ({
  async note(record) {
    await context.db.send(new PutItemCommand(noted(context, record)));
  },
});

/** A record that is told by an item of its own. */
export const noted = ({ table }: Context, record: AuditRecord) => ({
  TableName: table,
  Item: toItem({
    ...decisionKey(record.id),
    audit: record,
    ttl: seconds(record.time) + DECISION_SECONDS,
  }),
});
