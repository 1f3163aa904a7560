/** Queues and messages as callers see them. */
import type { AwsRequest } from "../service.ts";
import { defaultAttributes, md5OfAttributes, pickAttributes } from "./attributes.ts";
import { lambdaAttributes, type SqsRecord } from "./mapping.ts";
import type { Message, Queue, Received } from "./queue.ts";

/** A queue's attributes as GetQueueAttributes shows them. */
export function describe(queue: Queue): Record<string, string> {
  const { visible, inFlight, delayed } = queue.counts();
  const inSeconds = (ms: number) => String(Math.floor(ms / 1000));
  return {
    ...defaultAttributes,
    ...(queue.fifo && {
      FifoQueue: "true",
      ContentBasedDeduplication: "false",
      DeduplicationScope: "queue",
      FifoThroughputLimit: "perQueue",
    }),
    ...Object.fromEntries(queue.attributes),
    QueueArn: queue.arn,
    ApproximateNumberOfMessages: String(visible),
    ApproximateNumberOfMessagesNotVisible: String(inFlight),
    ApproximateNumberOfMessagesDelayed: String(delayed),
    CreatedTimestamp: inSeconds(queue.createdAt),
    LastModifiedTimestamp: inSeconds(queue.modifiedAt),
  };
}

/** Every name that ReceiveMessage knows. */
export const systemNames: ReadonlySet<string> = new Set([
  "SenderId",
  "SentTimestamp",
  "ApproximateReceiveCount",
  "ApproximateFirstReceiveTimestamp",
  "SequenceNumber",
  "MessageDeduplicationId",
  "MessageGroupId",
  "AWSTraceHeader",
  "DeadLetterQueueSourceArn",
]);

function systemAttributes(message: Message): Record<string, string> {
  const all: Record<string, string | undefined> = {
    SenderId: message.senderId,
    SentTimestamp: String(message.sentAt),
    ApproximateReceiveCount: String(message.receives),
    ApproximateFirstReceiveTimestamp: String(message.firstReceivedAt ?? message.lastReceivedAt),
    SequenceNumber: message.sequence,
    MessageDeduplicationId: message.deduplicationId,
    MessageGroupId: message.groupId,
    AWSTraceHeader: message.traceHeader,
    DeadLetterQueueSourceArn: message.deadLetterSource,
  };
  const present: Record<string, string> = {};
  for (const [name, value] of Object.entries(all)) if (value !== undefined) present[name] = value;
  return present;
}

/** A message as ReceiveMessage answers it. */
export function show(
  { message, handle }: Received,
  system: readonly string[],
  asked: readonly string[],
) {
  const attributes = pickAttributes(message.attributes, asked);
  const shown = Object.entries(systemAttributes(message)).filter(
    ([name]) => system.includes("All") || system.includes(name),
  );
  return {
    MessageId: message.id,
    ReceiptHandle: handle,
    MD5OfBody: message.md5,
    Body: message.body,
    ...(shown.length > 0 && { Attributes: Object.fromEntries(shown) }),
    ...(Object.keys(attributes).length > 0 && {
      MessageAttributes: attributes,
      MD5OfMessageAttributes: md5OfAttributes(attributes),
    }),
  };
}

/** A message as Lambda gets it. */
export function record({ message, handle }: Received, queue: Queue, region: string): SqsRecord {
  return {
    messageId: message.id,
    receiptHandle: handle,
    body: message.body,
    attributes: systemAttributes(message),
    messageAttributes: lambdaAttributes(message.attributes),
    md5OfBody: message.md5,
    ...(Object.keys(message.attributes).length > 0 && {
      md5OfMessageAttributes: md5OfAttributes(message.attributes),
    }),
    eventSource: "aws:sqs",
    eventSourceARN: queue.arn,
    awsRegion: region,
  };
}

/** The queue's URL at the host that the request came to. */
export function urlOf(request: AwsRequest, account: string, name: string): string {
  const host = request.headers.host ?? "localhost";
  // The same origin as the client's endpoint, else SDKs warn and go elsewhere.
  const scheme = request.secure === false ? "http" : "https";
  return `${scheme}://${host}/${account}/${name}`;
}
