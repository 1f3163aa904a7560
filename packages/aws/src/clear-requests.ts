import { SendMessageCommand, type SQSClient } from "@aws-sdk/client-sqs";
import type { ClearRequests } from "@stint/broker/ports";
import { GRANT_ID } from "@stint/core/id";
import * as z from "zod/mini";

export const clearMessage = z.strictObject({ grant: z.string().check(z.regex(GRANT_ID)) });

export const createClearRequests = (sqs: SQSClient, queueUrl: string): ClearRequests => ({
  async ask(grant) {
    await sqs.send(
      new SendMessageCommand({
        QueueUrl: queueUrl,
        MessageBody: JSON.stringify({ grant } satisfies z.input<typeof clearMessage>),
      }),
    );
  },
});
