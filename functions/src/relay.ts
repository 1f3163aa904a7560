import type { StreamEvent } from "@stint/aws/audit/record";
import { relayTasks } from "@stint/aws/relay";
import type { Alarm } from "@stint/broker/alarms";
import { type Change, type Relaying, relay as relayChanges } from "@stint/broker/relay";
import type { App } from "./app.ts";
import { handlerOf } from "./door.ts";
import { clearsOf, dirtyOf, relaying, unschedulingOf } from "./live.ts";

/**
 * The table's stream into what takes access away: dirty roles, the ends of a job's grants, and schedules that are done
 * for. Nothing that only tells is in here, so that an outage of the log or the bus holds up no end. From the first
 * record that failed on, the batch comes again.
 */
export const relay =
  (app: Pick<App, "log"> & { readonly deps: Relaying }) => async (event: StreamEvent) => {
    const changes: Change[] = [];
    for (const { sequenceNumber, change } of relayTasks(event)) {
      if (change !== undefined) changes.push(change);
      else {
        // No retry reads it. What it asked for is left to schedule and sweeper, and nothing behind it has to wait.
        const alarm: Alarm = "relay_unreadable";
        app.log.error(alarm, { sequenceNumber, alarm });
      }
    }
    const failed = await relayChanges(app.deps, changes);
    for (const [sequenceNumber, error] of failed)
      app.log.error("relay_failed", { sequenceNumber, error: String(error) });
    const first = changes.find(({ id }) => failed.has(id));
    return { batchItemFailures: first === undefined ? [] : [{ itemIdentifier: first.id }] };
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
