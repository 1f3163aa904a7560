import { relayTasks, type TableEvent } from "@stint/aws/relay";
import { relay as relayChange } from "@stint/broker/relay";
import type { App } from "./app.ts";
import { handlerOf } from "./door.ts";

/**
 * The table's stream into what follows from each change: events, dirty roles, the ends of a job's grants. In order;
 * from the first record that fails on, the batch comes again.
 */
export const relay = (app: App) => async (event: TableEvent) => {
  for (const { sequenceNumber, change } of relayTasks(event)) {
    try {
      await relayChange(app.deps, app.bus, change);
    } catch (error) {
      app.log.error("relay_failed", { sequenceNumber, error: String(error) });
      return { batchItemFailures: [{ itemIdentifier: sequenceNumber }] };
    }
  }
  return { batchItemFailures: [] };
};

export const handler = handlerOf(relay);
