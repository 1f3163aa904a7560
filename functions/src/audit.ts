import { auditRecords, type StreamEvent } from "@stint/aws/audit/record";
import type { App } from "./app.ts";
import { handlerOf } from "./door.ts";
import { auditLogOf, busOf } from "./live.ts";

/**
 * The table's stream into what tells of it: first the audit log, then the bus. The batch as a whole, or again: the log
 * keeps each record once, and a fact that is published twice has the same id.
 */
export const audit = (app: Pick<App, "auditLog" | "bus">) => async (event: StreamEvent) => {
  const rows = auditRecords(event);
  if (rows.length === 0) return;
  await app.auditLog.append("stream", rows);
  await app.bus.publish(rows.map(({ record }) => record));
};

export const handler = handlerOf(audit, (outside) => ({
  auditLog: auditLogOf(outside),
  bus: busOf(outside),
}));
