import { type EventBridgeClient, PutEventsCommand } from "@aws-sdk/client-eventbridge";
import type { Bus } from "@stint/broker/ports";
import type { AuditRecord } from "@stint/core/audit";
import { eventOf } from "@stint/core/events";

const BATCH = 10;
const ATTEMPTS = 3;

/** Publishes facts. An entry that EventBridge refused alone is sent again alone; what stays refused is a fault. */
export const createBus = (events: EventBridgeClient, bus: string): Bus => ({
  async publish(records) {
    for (let at = 0; at < records.length; at += BATCH)
      await publishBatch(events, bus, records.slice(at, at + BATCH));
  },
});

async function publishBatch(
  events: EventBridgeClient,
  bus: string,
  batch: readonly AuditRecord[],
): Promise<void> {
  let rest = batch;
  let codes: string[] = [];
  for (let attempt = 0; attempt < ATTEMPTS && rest.length > 0; attempt++) {
    const { FailedEntryCount = 0, Entries = [] } = await events.send(
      new PutEventsCommand({
        Entries: rest.map((record) => {
          const { detailType, detail } = eventOf(record);
          return {
            EventBusName: bus,
            Source: "stint",
            DetailType: detailType,
            Detail: JSON.stringify(detail),
            Time: new Date(record.time),
          };
        }),
      }),
    );
    if (FailedEntryCount === 0) return;
    // Not an exception of the SDK's: the call succeeded and some entries did not.
    codes = Entries.flatMap(({ ErrorCode }) => ErrorCode ?? []);
    rest = rest.filter((_, i) => Entries[i]?.ErrorCode !== undefined);
  }
  if (rest.length > 0)
    throw new Error(`EventBridge refused ${rest.length} events: ${[...new Set(codes)].join(", ")}`);
}
