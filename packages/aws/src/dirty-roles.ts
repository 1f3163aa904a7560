import { createHash } from "node:crypto";
import { SendMessageCommand, type SQSClient } from "@aws-sdk/client-sqs";
import type { DirtyRoles } from "@stint/broker/ports";
import * as z from "zod/mini";

export const dirtyRoleMessage = z.strictObject({ role: z.string().check(z.minLength(1)) });

const hash = (text: string): string => createHash("sha256").update(text).digest("hex");

/** A FIFO queue with a message group per role: one worker at a time looks after each role. */
export const createDirtyRoles = (sqs: SQSClient, queueUrl: string): DirtyRoles => ({
  async mark(role, cause) {
    await sqs.send(
      new SendMessageCommand({
        QueueUrl: queueUrl,
        MessageBody: JSON.stringify({ role } satisfies z.input<typeof dirtyRoleMessage>),
        MessageGroupId: hash(role),
        MessageDeduplicationId: hash(`${role}\n${cause}`),
      }),
    );
  },
});
