import { type Sweeping, sweep as sweepDue } from "@stint/broker/ending";
import type { App } from "./app.ts";
import { handlerOf } from "./door.ts";
import { clearsOf, dirtyOf, sweeping } from "./live.ts";

/** Every minute: ends what is due by the table alone, whatever its schedule did. */
export const sweep = (app: Pick<App, "log"> & { readonly deps: Sweeping }) => async () => {
  const looked = await sweepDue(app.deps);
  app.log.info("sweep", { looked });
};

export const handler = handlerOf(sweep, (outside) => ({
  deps: { ...sweeping(outside), dirty: dirtyOf(outside), clears: clearsOf(outside) },
  log: outside.log,
}));
