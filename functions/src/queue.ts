import type { Received } from "@stint/aws/dirty-roles";
import type { Log } from "./app.ts";

/** A batch of a queue's messages, as Lambda hands it out. */
export interface QueueEvent {
  readonly Records: ReadonlyArray<{
    readonly messageId: string;
    readonly receiptHandle: string;
    readonly body: string;
    readonly attributes: { readonly ApproximateReceiveCount: string };
  }>;
}

interface Work<T> {
  readonly name: string;
  /** After so many tries the queue sets the message aside, and what it is about is given up. */
  readonly tries: number;
  readonly log: Log;
  readonly postpone: (message: Received) => Promise<void>;
  readonly parse: (body: unknown) => T;
  readonly work: (of: T) => Promise<void>;
  readonly giveUp: (of: T, error: string) => Promise<void>;
}

/**
 * Works a batch off, message by message. One that fails is tried again sooner than the queue would by itself, and holds
 * up no other; at its last try it is given up, loudly.
 */
export async function eachMessage<T>({ Records }: QueueEvent, how: Work<T>) {
  const failed: string[] = [];
  for (const { messageId, receiptHandle, body, attributes } of Records) {
    const count = Number(attributes.ApproximateReceiveCount);
    let of: T | undefined;
    try {
      of = how.parse(JSON.parse(body));
      await how.work(of);
    } catch (error) {
      how.log.error(`${how.name}_failed`, { messageId, of, count, error: String(error) });
      failed.push(messageId);
      if (of !== undefined && count >= how.tries)
        await how.giveUp(of, String(error)).catch(() => {});
      await how.postpone({ receiptHandle, count }).catch(() => {});
    }
  }
  return { batchItemFailures: failed.map((itemIdentifier) => ({ itemIdentifier })) };
}
