import { once } from "@stint/core/once";
import { live, type Outside } from "./live.ts";

type Handler = (event: never, context: never) => Promise<unknown>;

/** What AWS calls: the door over its own parts of the live app, made at the first event and kept. */
export function handlerOf<A, H extends Handler>(
  door: (app: A) => H,
  parts: (outside: Outside) => A,
): Handler {
  const made = once(() => door(parts(live())));
  return (event, context) => made()(event, context);
}
