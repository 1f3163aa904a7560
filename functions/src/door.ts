import { once } from "@stint/core/once";
import type { App } from "./app.ts";
import { live } from "./live.ts";

type Handler = (event: never, context: never) => Promise<unknown>;

/** What AWS calls: the door over the live app, both made at the first event and kept. */
export function handlerOf<H extends Handler>(door: (app: App) => H): Handler {
  const made = once(() => door(live()));
  return (event, context) => made()(event, context);
}
