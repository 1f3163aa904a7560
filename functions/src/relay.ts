import type { StreamEvent } from "@stint/aws/audit/record";
import { relayTasks } from "@stint/aws/relay";
import { relay as relayChange } from "@stint/broker/relay";
import type { App } from "./app.ts";
import { handlerOf } from "./door.ts";

/**
 * The table's stream into what takes access away: dirty roles, the ends of a job's grants, and schedules that are done
 * for. Nothing that only tells is in here, so that an outage of the log or the bus holds up no end. In order; from the
 * first record that fails on, the batch comes again.
 */
export const relay = (app: App) => async (event: StreamEvent) => {
  for (const { sequenceNumber, change } of relayTasks(event)) {
    try {
      await relayChange(app.deps, change());
    } catch (error) {
      app.log.error("relay_failed", { sequenceNumber, error: String(error) });
      return { batchItemFailures: [{ itemIdentifier: sequenceNumber }] };
    }
  }
  return { batchItemFailures: [] };
};

export const handler = handlerOf(relay);
