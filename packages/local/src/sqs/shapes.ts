/** The inputs of SQS's operations. Ranges that have an error code of their own are checked by the operation. */
import { z } from "zod";

const QueueUrl = z.string().min(1);
const seconds = z.int();

const messageAttributes = z.record(
  z.string(),
  z.strictObject({
    DataType: z.string(),
    StringValue: z.string().optional(),
    BinaryValue: z.base64().optional(),
  }),
);

const message = {
  MessageBody: z.string(),
  DelaySeconds: seconds.optional(),
  MessageAttributes: messageAttributes.optional(),
  MessageSystemAttributes: z
    .strictObject({
      AWSTraceHeader: z.strictObject({ DataType: z.literal("String"), StringValue: z.string() }),
    })
    .partial()
    .optional(),
  MessageDeduplicationId: z.string().optional(),
  MessageGroupId: z.string().optional(),
};

const receipt = { ReceiptHandle: z.string() };

export const shapes = {
  CreateQueue: z.strictObject({
    QueueName: z.string(),
    Attributes: z.record(z.string(), z.string()).optional(),
  }),
  GetQueueUrl: z.strictObject({
    QueueName: z.string(),
    QueueOwnerAWSAccountId: z.string().optional(),
  }),
  GetQueueAttributes: z.strictObject({
    QueueUrl,
    AttributeNames: z.array(z.string()).optional(),
  }),
  SetQueueAttributes: z.strictObject({ QueueUrl, Attributes: z.record(z.string(), z.string()) }),
  ListQueues: z.strictObject({
    QueueNamePrefix: z.string().optional(),
    MaxResults: z.int().min(1).max(1000).optional(),
    NextToken: z.string().optional(),
  }),
  DeleteQueue: z.strictObject({ QueueUrl }),
  PurgeQueue: z.strictObject({ QueueUrl }),
  SendMessage: z.strictObject({ QueueUrl, ...message }),
  SendMessageBatch: z.strictObject({
    QueueUrl,
    Entries: z.array(z.strictObject({ Id: z.string(), ...message })),
  }),
  ReceiveMessage: z.strictObject({
    QueueUrl,
    /** The older name of MessageSystemAttributeNames. */
    AttributeNames: z.array(z.string()).optional(),
    MessageSystemAttributeNames: z.array(z.string()).optional(),
    MessageAttributeNames: z.array(z.string()).optional(),
    MaxNumberOfMessages: z.int().optional(),
    VisibilityTimeout: seconds.optional(),
    WaitTimeSeconds: seconds.optional(),
  }),
  DeleteMessage: z.strictObject({ QueueUrl, ...receipt }),
  DeleteMessageBatch: z.strictObject({
    QueueUrl,
    Entries: z.array(z.strictObject({ Id: z.string(), ...receipt })),
  }),
  ChangeMessageVisibility: z.strictObject({ QueueUrl, ...receipt, VisibilityTimeout: seconds }),
  ChangeMessageVisibilityBatch: z.strictObject({
    QueueUrl,
    Entries: z.array(
      z.strictObject({ Id: z.string(), ...receipt, VisibilityTimeout: seconds.optional() }),
    ),
  }),
};

export type Shape<N extends keyof typeof shapes> = z.infer<(typeof shapes)[N]>;
