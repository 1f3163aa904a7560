import { dirtyRoleMessage } from "@stint/aws/dirty-roles";
import { type Denying, writeDenials } from "@stint/broker/deny";
import type { App } from "./app.ts";
import { handlerOf } from "./door.ts";
import { denying, denyListOf } from "./live.ts";

interface QueueEvent {
  readonly Records: ReadonlyArray<{ readonly messageId: string; readonly body: string }>;
}

/** Dirty roles: each role's deny list is made to say what its denial items say. */
export const revoke =
  (app: Pick<App, "log"> & { readonly deps: Denying }) => async (event: QueueEvent) => {
    const failed: string[] = [];
    const done = new Map<string, Promise<void>>();
    for (const { messageId, body } of event.Records) {
      try {
        const { role } = dirtyRoleMessage.parse(JSON.parse(body));
        // Several messages about one role are one piece of work: each only says that the role is dirty.
        if (!done.has(role)) done.set(role, writeDenials(app.deps, role));
        await done.get(role);
      } catch (error) {
        app.log.error("revoke_failed", { messageId, error: String(error) });
        failed.push(messageId);
      }
    }
    return { batchItemFailures: failed.map((itemIdentifier) => ({ itemIdentifier })) };
  };

export const handler = handlerOf(revoke, (outside) => ({
  deps: { ...denying(outside), denyList: denyListOf(outside) },
  log: outside.log,
}));
