import type { StreamEvent } from "@stint/aws/audit/record";
import { relayTasks } from "@stint/aws/relay";
import type { Alarm } from "@stint/broker/alarms";
import { type Relaying, relay as relayChange } from "@stint/broker/relay";
import type { App } from "./app.ts";
import { handlerOf } from "./door.ts";
import { clearsOf, dirtyOf, relaying, unschedulingOf } from "./live.ts";

/**
 * The table's stream into what takes access away: dirty roles, the ends of a job's grants, and schedules that are done
 * for. Nothing that only tells is in here, so that an outage of the log or the bus holds up no end. In order; from the
 * first record that fails on, the batch comes again.
 */
export const relay =
  (app: Pick<App, "log"> & { readonly deps: Relaying }) => async (event: StreamEvent) => {
    for (const { sequenceNumber, change } of relayTasks(event)) {
      if (change === undefined) {
        // No retry reads it. What it asked for is left to schedule and sweeper, and nothing behind it has to wait.
        const alarm: Alarm = "relay_unreadable";
        app.log.error(alarm, { sequenceNumber, alarm });
        continue;
      }
      try {
        await relayChange(app.deps, change);
      } catch (error) {
        app.log.error("relay_failed", { sequenceNumber, error: String(error) });
        return { batchItemFailures: [{ itemIdentifier: sequenceNumber }] };
      }
    }
    return { batchItemFailures: [] };
  };

export const handler = handlerOf(relay, (outside) => ({
  deps: {
    ...relaying(outside),
    dirty: dirtyOf(outside),
    clears: clearsOf(outside),
    schedules: unschedulingOf(outside),
  },
  log: outside.log,
}));
