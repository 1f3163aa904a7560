import {
  ChangeMessageVisibilityCommand,
  CreateQueueCommand,
  DeleteMessageCommand,
  DeleteQueueCommand,
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  type Message,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SendMessageCommand,
  SQSClient,
} from "@aws-sdk/client-sqs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Endpoint, endpoint, refusal } from "./endpoint.ts";

let at: Endpoint;
let sqs: SQSClient;
const made: string[] = [];
beforeAll(async () => {
  at = await endpoint();
  sqs = new SQSClient({ ...at.client, useQueueUrlAsEndpoint: false });
});
afterAll(async () => {
  for (const QueueUrl of made) await sqs.send(new DeleteQueueCommand({ QueueUrl }));
  await at.close();
});

const queue = async (suffix = "", Attributes: Record<string, string> = {}) => {
  const QueueName = `${at.unique("queue")}${suffix}`;
  const { QueueUrl = "" } = await sqs.send(
    new CreateQueueCommand({
      QueueName,
      Attributes: { ...(suffix ? { FifoQueue: "true" } : {}), ...Attributes },
    }),
  );
  made.push(QueueUrl);
  return { QueueName, QueueUrl };
};
const receive = async (QueueUrl: string, more: object = {}): Promise<Message[]> =>
  (
    await sqs.send(
      new ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds: 1, MaxNumberOfMessages: 10, ...more }),
    )
  ).Messages ?? [];
const bodies = (messages: readonly Message[]) => messages.map(({ Body }) => Body);

describe("a standard queue", () => {
  test("hands a message out once at a time, until it is deleted", async () => {
    const { QueueUrl } = await queue("", { VisibilityTimeout: "30" });
    const { MD5OfMessageBody } = await sqs.send(
      new SendMessageCommand({ QueueUrl, MessageBody: "hello" }),
    );
    expect(MD5OfMessageBody).toBe("5d41402abc4b2a76b9719d911017c592");
    const [first] = await receive(QueueUrl, {
      MessageSystemAttributeNames: ["ApproximateReceiveCount"],
    });
    expect(first).toMatchObject({ Body: "hello", Attributes: { ApproximateReceiveCount: "1" } });
    expect(await receive(QueueUrl)).toEqual([]);
    // Given back at once.
    await sqs.send(
      new ChangeMessageVisibilityCommand({
        QueueUrl,
        ReceiptHandle: first?.ReceiptHandle,
        VisibilityTimeout: 0,
      }),
    );
    const [again] = await receive(QueueUrl);
    expect(again?.Body).toBe("hello");
    await sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle: again?.ReceiptHandle }));
    expect(await receive(QueueUrl)).toEqual([]);
  });

  test("keeps message attributes and tells their digest", async () => {
    const { QueueUrl } = await queue();
    await sqs.send(
      new SendMessageCommand({
        QueueUrl,
        MessageBody: "x",
        MessageAttributes: { kind: { DataType: "String", StringValue: "order" } },
      }),
    );
    const [message] = await receive(QueueUrl, { MessageAttributeNames: ["All"] });
    expect(message?.MessageAttributes?.kind).toMatchObject({
      DataType: "String",
      StringValue: "order",
    });
  });

  test("sends up to ten at once, each with an id of its own", async () => {
    const { QueueUrl } = await queue();
    const batch = (ids: readonly string[]) =>
      sqs.send(
        new SendMessageBatchCommand({
          QueueUrl,
          Entries: ids.map((Id) => ({ Id, MessageBody: Id })),
        }),
      );
    const { Successful } = await batch(["a", "b"]);
    expect(Successful?.map(({ Id }) => Id)).toEqual(["a", "b"]);
    expect(await refusal(batch([]))).toMatch(/EmptyBatchRequest 400$/);
    expect(await refusal(batch(["a", "a"]))).toMatch(/BatchEntryIdsNotDistinct 400$/);
    expect(await refusal(batch(Array.from({ length: 11 }, (_, n) => `m${n}`)))).toMatch(
      /TooManyEntriesInBatchRequest 400$/,
    );
  });

  test("moves what is received too often to its dead letters", async () => {
    const dead = await queue();
    const { Attributes } = await sqs.send(
      new GetQueueAttributesCommand({ QueueUrl: dead.QueueUrl, AttributeNames: ["QueueArn"] }),
    );
    const { QueueUrl } = await queue("", {
      VisibilityTimeout: "0",
      RedrivePolicy: JSON.stringify({
        deadLetterTargetArn: Attributes?.QueueArn,
        maxReceiveCount: 1,
      }),
    });
    await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: "poison" }));
    expect(bodies(await receive(QueueUrl))).toEqual(["poison"]);
    await expect
      .poll(
        async () => {
          await receive(QueueUrl);
          return bodies(await receive(dead.QueueUrl, { VisibilityTimeout: 0 }));
        },
        { timeout: 30_000 },
      )
      .toEqual(["poison"]);
  });

  test("is found by its name, and made twice only alike", async () => {
    const { QueueName, QueueUrl } = await queue("", { VisibilityTimeout: "30" });
    expect((await sqs.send(new GetQueueUrlCommand({ QueueName }))).QueueUrl).toBe(QueueUrl);
    const again = (VisibilityTimeout: string) =>
      refusal(sqs.send(new CreateQueueCommand({ QueueName, Attributes: { VisibilityTimeout } })));
    expect(await again("30")).toBe("none");
    expect(await again("31")).toMatch(/^QueueNameExists 400$/);
    const none = sqs.send(new GetQueueUrlCommand({ QueueName: at.unique("none") }));
    expect(await refusal(none)).toMatch(
      /^(QueueDoesNotExist|AWS\.SimpleQueueService\.NonExistentQueue) 400$/,
    );
  });
});

describe("a FIFO queue", () => {
  const send = (QueueUrl: string, MessageBody: string, MessageGroupId: string, id = MessageBody) =>
    sqs.send(
      new SendMessageCommand({ QueueUrl, MessageBody, MessageGroupId, MessageDeduplicationId: id }),
    );

  test("keeps a group's order, and a group waits for what is out", async () => {
    const { QueueUrl } = await queue(".fifo", { VisibilityTimeout: "30" });
    await send(QueueUrl, "a1", "a");
    await send(QueueUrl, "a2", "a");
    await send(QueueUrl, "b1", "b");
    const first = await receive(QueueUrl, { MaxNumberOfMessages: 1 });
    expect(bodies(first)).toEqual(["a1"]);
    expect(bodies(await receive(QueueUrl))).toEqual(["b1"]);
    await sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle: first[0]?.ReceiptHandle }));
    expect(bodies(await receive(QueueUrl))).toEqual(["a2"]);
  });

  test("takes a deduplication id once", async () => {
    const { QueueUrl } = await queue(".fifo");
    const one = await send(QueueUrl, "first", "a", "id");
    const two = await send(QueueUrl, "first", "a", "id");
    expect(two.MessageId).toBe(one.MessageId);
    expect(bodies(await receive(QueueUrl))).toEqual(["first"]);
  });

  test("wants a group, and a name that ends in .fifo", async () => {
    const { QueueUrl } = await queue(".fifo");
    const lacking = sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: "x" }));
    expect(await refusal(lacking)).toMatch(/^(MissingParameter|InvalidParameterValue) 400$/);
    const named = new CreateQueueCommand({
      QueueName: at.unique("q"),
      Attributes: { FifoQueue: "true" },
    });
    expect(await refusal(sqs.send(named))).toMatch(/400$/);
  });
});
