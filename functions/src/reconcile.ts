import { type Reconciling, reconcile as reconcileAll } from "@stint/broker/reconcile";
import type { App } from "./app.ts";
import { handlerOf } from "./door.ts";
import {
  clearingOf,
  dirtyOf,
  reconciling,
  schedulesOf,
  timetableOf,
  unschedulingOf,
} from "./live.ts";

/** Once a day: looks through everything for what has drifted apart. Safe to repeat, and to stop anywhere. */
export const reconcile = (app: Pick<App, "log"> & { readonly deps: Reconciling }) => async () => {
  const { walks, failures } = await reconcileAll(app.deps);
  app.log.info("reconcile", walks);
  if (failures.length > 0) throw new AggregateError(failures, "not all could be looked at");
};

export const handler = handlerOf(reconcile, (outside) => ({
  deps: {
    ...reconciling(outside),
    dirty: dirtyOf(outside),
    clearing: clearingOf(outside),
    schedules: { ...schedulesOf(outside), ...unschedulingOf(outside), ...timetableOf(outside) },
  },
  log: outside.log,
}));
