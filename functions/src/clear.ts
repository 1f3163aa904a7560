import { clearMessage } from "@stint/aws/clear-requests";
import { type ClearingUp, clearTargets, giveUpClearing } from "@stint/broker/clear";
import type { App } from "./app.ts";
import { CLEAR_TRIES } from "./deployment.ts";
import { handlerOf } from "./door.ts";
import { clearing, clearingOf, postponingClearsOf } from "./live.ts";
import { eachMessage, type QueueEvent } from "./queue.ts";

/** Grants that have ended with something that must be taken away: logins of databases, and what they made. */
export const clear =
  (app: Pick<App, "log" | "postponeClear"> & { readonly deps: ClearingUp }) =>
  (event: QueueEvent) =>
    eachMessage(event, {
      name: "clear",
      tries: CLEAR_TRIES,
      log: app.log,
      postpone: app.postponeClear,
      parse: (body) => clearMessage.parse(body).grant,
      work: (grant) => clearTargets(app.deps, grant),
      giveUp: (grant, error) => giveUpClearing(app.deps, grant, error),
    });

export const handler = handlerOf(clear, (outside) => ({
  deps: { ...clearing(outside), clearing: clearingOf(outside) },
  postponeClear: postponingClearsOf(outside),
  log: outside.log,
}));
