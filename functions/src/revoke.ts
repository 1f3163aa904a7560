import { dirtyRoleMessage } from "@stint/aws/dirty-roles";
import { type Denying, giveUp, writeDenials } from "@stint/broker/deny";
import type { App } from "./app.ts";
import { DIRTY_TRIES } from "./deployment.ts";
import { handlerOf } from "./door.ts";
import { denying, denyListOf, postponingOf, proofsOf } from "./live.ts";
import { eachMessage, type QueueEvent } from "./queue.ts";

/** Dirty roles: each role's deny list is made to say what its denial items say; at the last try its grants are stuck. */
export const revoke =
  (app: Pick<App, "log" | "postpone"> & { readonly deps: Denying }) => (event: QueueEvent) => {
    const done = new Map<string, Promise<void>>();
    return eachMessage(event, {
      name: "revoke",
      tries: DIRTY_TRIES,
      log: app.log,
      postpone: app.postpone,
      parse: (body) => dirtyRoleMessage.parse(body),
      // Several messages about one role are one piece of work, unless one asks for a closer look.
      work: async ({ role, look }) => {
        const work = `${look} ${role}`;
        if (!done.has(work)) done.set(work, writeDenials(app.deps, role, look));
        await done.get(work);
      },
      giveUp: ({ role }, error) => giveUp(app.deps, role, error),
    });
  };

export const handler = handlerOf(revoke, (outside) => ({
  deps: { ...denying(outside), denyList: denyListOf(outside), proofs: proofsOf(outside) },
  postpone: postponingOf(outside),
  log: outside.log,
}));
