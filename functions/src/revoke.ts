import { dirtyRoleMessage } from "@stint/aws/dirty-roles";
import { type Denying, giveUp, writeDenials } from "@stint/broker/deny";
import type { App } from "./app.ts";
import { DIRTY_TRIES } from "./deployment.ts";
import { handlerOf } from "./door.ts";
import { denying, denyListOf, postponingOf, proofsOf } from "./live.ts";

interface QueueEvent {
  readonly Records: ReadonlyArray<{
    readonly messageId: string;
    readonly receiptHandle: string;
    readonly body: string;
    readonly attributes: { readonly ApproximateReceiveCount: string };
  }>;
}

/**
 * Dirty roles: each role's deny list is made to say what its denial items say. One that fails is tried again sooner than
 * the queue would, and holds up no other; at its last try its grants say that they are stuck.
 */
export const revoke =
  (app: Pick<App, "log" | "postpone"> & { readonly deps: Denying }) =>
  async (event: QueueEvent) => {
    const failed: string[] = [];
    const done = new Map<string, Promise<void>>();
    for (const { messageId, receiptHandle, body, attributes } of event.Records) {
      const count = Number(attributes.ApproximateReceiveCount);
      let role: string | undefined;
      try {
        const message = dirtyRoleMessage.parse(JSON.parse(body));
        role = message.role;
        // Several messages about one role are one piece of work, unless one asks for a closer look.
        const work = `${message.look} ${role}`;
        if (!done.has(work)) done.set(work, writeDenials(app.deps, role, message.look));
        await done.get(work);
      } catch (error) {
        app.log.error("revoke_failed", { messageId, role, count, error: String(error) });
        failed.push(messageId);
        if (role !== undefined && count >= DIRTY_TRIES)
          await giveUp(app.deps, role, String(error)).catch(() => {});
        await app.postpone({ receiptHandle, count }).catch(() => {});
      }
    }
    return { batchItemFailures: failed.map((itemIdentifier) => ({ itemIdentifier })) };
  };

export const handler = handlerOf(revoke, (outside) => ({
  deps: { ...denying(outside), denyList: denyListOf(outside), proofs: proofsOf(outside) },
  postpone: postponingOf(outside),
  log: outside.log,
}));
