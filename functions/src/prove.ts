import { proofMessage } from "@stint/aws/proofs";
import { type Proving, prove as proveDenials } from "@stint/broker/prove";
import type { App } from "./app.ts";
import { handlerOf } from "./door.ts";
import { proberOf, proving } from "./live.ts";

interface QueueEvent {
  readonly Records: ReadonlyArray<{ readonly messageId: string; readonly body: string }>;
}

/**
 * Deny lists that were written: each is seen to hold, or asked about again later. Under the broker's role, since target
 * roles let in nobody else.
 */
export const prove =
  (app: Pick<App, "log"> & { readonly deps: Proving }) => async (event: QueueEvent) => {
    const failed: string[] = [];
    for (const { messageId, body } of event.Records) {
      try {
        await proveDenials(app.deps, proofMessage.parse(JSON.parse(body)));
      } catch (error) {
        app.log.error("proof_failed", { messageId, error: String(error) });
        failed.push(messageId);
      }
    }
    return { batchItemFailures: failed.map((itemIdentifier) => ({ itemIdentifier })) };
  };

export const handler = handlerOf(prove, (outside) => ({
  deps: { ...proving(outside), prober: proberOf(outside) },
  log: outside.log,
}));
