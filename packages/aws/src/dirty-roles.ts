import { createHash } from "node:crypto";
import {
  ChangeMessageVisibilityCommand,
  SendMessageCommand,
  type SQSClient,
} from "@aws-sdk/client-sqs";
import type { DirtyRoles, Look } from "@stint/broker/ports";
import * as z from "zod/mini";

const LOOKS = { new: "new", check: "check", tidy: "tidy" } as const satisfies { [L in Look]: L };

export const dirtyRoleMessage = z.strictObject({
  role: z.string().check(z.minLength(1)),
  look: z.enum(LOOKS),
});

const hash = (text: string): string => createHash("sha256").update(text).digest("hex");

/** A FIFO queue with a message group per role: one worker at a time looks after each role. */
export const createDirtyRoles = (sqs: SQSClient, queueUrl: string): DirtyRoles => ({
  async mark(role, cause, look) {
    await sqs.send(
      new SendMessageCommand({
        QueueUrl: queueUrl,
        MessageBody: JSON.stringify({ role, look } satisfies z.input<typeof dirtyRoleMessage>),
        MessageGroupId: hash(role),
        MessageDeduplicationId: hash(`${role}\n${cause}`),
      }),
    );
  },
});

/** A message that is worked on, as its worker was given it. */
export interface Received {
  readonly receiptHandle: string;
  /** How often it has been given out, this time included. */
  readonly count: number;
}

const LONGEST_WAIT_SECONDS = 60;

/**
 * Puts a message that failed off: for 2 s, 4 s, and so on to a minute, of which up to half is taken away at random. The
 * queue's own time would be minutes the first time, and the same for all.
 */
export const createPostponing =
  (sqs: SQSClient, queueUrl: string, random: () => number) =>
  async ({ receiptHandle, count }: Received): Promise<void> => {
    const wait = Math.min(LONGEST_WAIT_SECONDS, 2 ** count) * (1 - random() / 2);
    await sqs.send(
      new ChangeMessageVisibilityCommand({
        QueueUrl: queueUrl,
        ReceiptHandle: receiptHandle,
        VisibilityTimeout: Math.max(1, Math.round(wait)),
      }),
    );
  };
