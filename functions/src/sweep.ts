import type { Deps, Keeping } from "@stint/broker/deps";
import { sweep as sweepDue } from "@stint/broker/ending";
import type { App } from "./app.ts";
import { handlerOf } from "./door.ts";
import { dirtyOf, keeping } from "./live.ts";

/** Every minute: ends what is due by the table alone, whatever its schedule did. */
export const sweep =
  (app: Pick<App, "log"> & { readonly deps: Keeping & Pick<Deps, "dirty"> }) => async () => {
    const looked = await sweepDue(app.deps);
    app.log.info("sweep", { looked });
  };

export const handler = handlerOf(sweep, (outside) => ({
  deps: { ...keeping(outside), dirty: dirtyOf(outside) },
  log: outside.log,
}));
