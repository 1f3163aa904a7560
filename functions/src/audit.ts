import { auditRecords, type StreamEvent } from "@stint/aws/audit/record";
import type { App } from "./app.ts";
import { handlerOf } from "./door.ts";

/** The table's stream into the audit log: the batch as a whole, or again. */
export const audit = (app: App) => async (event: StreamEvent) => {
  const records = auditRecords(event);
  if (records.length > 0) await app.auditLog.append("stream", records);
};

export const handler = handlerOf(audit);
