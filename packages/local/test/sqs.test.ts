import {
  ChangeMessageVisibilityBatchCommand,
  ChangeMessageVisibilityCommand,
  CreateQueueCommand,
  DeleteMessageBatchCommand,
  DeleteMessageCommand,
  DeleteQueueCommand,
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  ListQueuesCommand,
  PurgeQueueCommand,
  QueueDoesNotExist,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SendMessageCommand,
  SetQueueAttributesCommand,
  SQSClient,
} from "@aws-sdk/client-sqs";
import { describe, expect, test } from "vitest";
import type { SqsEvent } from "../src/sqs/mapping.ts";
import { failure, messaging, start } from "./messaging.ts";

const standard = async (attributes: Record<string, string> = {}) => {
  const world = messaging();
  const { url, arn } = await world.createQueue("jobs", attributes);
  const send = (MessageBody: string, more: Partial<SendMessageCommand["input"]> = {}) =>
    world.sqs.send(new SendMessageCommand({ QueueUrl: url, MessageBody, ...more }));
  const bodies = async () => (await world.receive(url)).map(({ Body }) => Body);
  const remove = (ReceiptHandle = "") =>
    world.sqs.send(new DeleteMessageCommand({ QueueUrl: url, ReceiptHandle }));
  return { ...world, url, arn, send, bodies, remove };
};

const fifo = async (attributes: Record<string, string> = {}) => {
  const world = messaging();
  const { url, arn } = await world.createQueue("jobs.fifo", { FifoQueue: "true", ...attributes });
  const send = (MessageBody: string, MessageGroupId: string, MessageDeduplicationId?: string) =>
    world.sqs.send(
      new SendMessageCommand({
        QueueUrl: url,
        MessageBody,
        MessageGroupId,
        MessageDeduplicationId,
      }),
    );
  const bodies = async () => (await world.receive(url)).map(({ Body }) => Body);
  return { ...world, url, arn, send, bodies };
};

describe("queues", () => {
  test("a queue is found by its name, and its URL leads back to where the client was", async () => {
    const { sqs, url } = await standard();
    const found = await sqs.send(new GetQueueUrlCommand({ QueueName: "jobs" }));
    expect(found.QueueUrl).toBe(url);
    expect(url).toBe("https://sqs.us-east-1.amazonaws.com/000000000000/jobs");
  });

  test("over loopback the URL is the server's, and works", async () => {
    const { aws } = messaging();
    const server = await aws.listen(0);
    const client = new SQSClient({
      region: "us-east-1",
      credentials: aws.administrator,
      endpoint: server.url,
    });
    try {
      const { QueueUrl } = await client.send(new CreateQueueCommand({ QueueName: "jobs" }));
      expect(QueueUrl).toBe(`${server.url}/000000000000/jobs`);
      await client.send(new SendMessageCommand({ QueueUrl, MessageBody: "hello" }));
      const { Messages } = await client.send(new ReceiveMessageCommand({ QueueUrl }));
      expect(Messages?.map(({ Body }) => Body)).toEqual(["hello"]);
    } finally {
      client.destroy();
      await server.close();
    }
  });

  test("creating it again is the same queue, with other attributes an error", async () => {
    const { sqs, url, createQueue } = await standard({ VisibilityTimeout: "60" });
    expect((await createQueue("jobs", { VisibilityTimeout: "60" })).url).toBe(url);
    const call = sqs.send(
      new CreateQueueCommand({ QueueName: "jobs", Attributes: { VisibilityTimeout: "61" } }),
    );
    expect((await failure(call)).name).toBe("QueueNameExists");
  });

  test("attributes have defaults, can be set, and count messages", async () => {
    const { sqs, url, arn, send, bodies } = await standard();
    await send("a");
    await send("b");
    await send("late", { DelaySeconds: 9 });
    await sqs.send(new ReceiveMessageCommand({ QueueUrl: url }));
    await sqs.send(
      new SetQueueAttributesCommand({ QueueUrl: url, Attributes: { VisibilityTimeout: "7" } }),
    );
    const { Attributes } = await sqs.send(
      new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ["All"] }),
    );
    expect(Attributes).toMatchObject({
      QueueArn: arn,
      VisibilityTimeout: "7",
      MaximumMessageSize: "1048576",
      ApproximateNumberOfMessages: "1",
      ApproximateNumberOfMessagesNotVisible: "1",
      ApproximateNumberOfMessagesDelayed: "1",
      CreatedTimestamp: String(start / 1000),
    });
    expect(await bodies()).toEqual(["b"]);
  });

  test("queues are listed by prefix, page by page", async () => {
    const { sqs, createQueue } = await standard();
    for (const name of ["it-1", "it-2", "it-3"]) await createQueue(name);
    const first = await sqs.send(new ListQueuesCommand({ QueueNamePrefix: "it-", MaxResults: 2 }));
    const second = await sqs.send(
      new ListQueuesCommand({ QueueNamePrefix: "it-", MaxResults: 2, NextToken: first.NextToken }),
    );
    const names = [...(first.QueueUrls ?? []), ...(second.QueueUrls ?? [])];
    expect(names.map((each) => each.split("/").at(-1))).toEqual(["it-1", "it-2", "it-3"]);
    expect(second.NextToken).toBeUndefined();
  });

  test("a deleted queue is gone, and its name is free after a minute", async () => {
    const { sqs, url, aws, createQueue } = await standard();
    await sqs.send(new DeleteQueueCommand({ QueueUrl: url }));
    expect((await failure(sqs.send(new GetQueueUrlCommand({ QueueName: "jobs" })))).name).toBe(
      "QueueDoesNotExist",
    );
    expect((await failure(createQueue("jobs"))).name).toBe("QueueDeletedRecently");
    await aws.advance(60_000);
    expect((await createQueue("jobs")).url).toBe(url);
  });

  test("purging empties a queue, at most once a minute", async () => {
    const { sqs, url, send, bodies, aws } = await standard();
    await send("a");
    await sqs.send(new PurgeQueueCommand({ QueueUrl: url }));
    expect(await bodies()).toEqual([]);
    const again = () => failure(sqs.send(new PurgeQueueCommand({ QueueUrl: url })));
    expect((await again()).name).toBe("PurgeQueueInProgress");
    await aws.advance(60_000);
    expect((await again()).name).toBe("none");
  });

  test.each([
    [{ QueueName: "no spaces" }, "InvalidParameterValue"],
    [{ QueueName: "x".repeat(81) }, "InvalidParameterValue"],
    [{ QueueName: "a.fifo" }, "InvalidParameterValue"],
    [{ QueueName: "a", Attributes: { FifoQueue: "true" } }, "InvalidParameterValue"],
    [{ QueueName: "a.fifo", Attributes: { FifoQueue: "yes" } }, "InvalidAttributeValue"],
    [{ QueueName: "a", Attributes: { VisibilityTimeout: "43201" } }, "InvalidAttributeValue"],
    [{ QueueName: "a", Attributes: { DelaySeconds: "-1" } }, "InvalidAttributeValue"],
    [{ QueueName: "a", Attributes: { Policy: "{" } }, "InvalidAttributeValue"],
    [{ QueueName: "a", Attributes: { RedrivePolicy: "{}" } }, "InvalidAttributeValue"],
    [{ QueueName: "a", Attributes: { Colour: "red" } }, "InvalidAttributeName"],
    [{ QueueName: "a", Attributes: { ContentBasedDeduplication: "true" } }, "InvalidAttributeName"],
    [
      {
        QueueName: "a",
        Attributes: {
          RedrivePolicy: JSON.stringify({
            deadLetterTargetArn: "arn:aws:sqs:us-east-1:000000000000:none",
            maxReceiveCount: 1,
          }),
        },
      },
      "InvalidParameterValue",
    ],
    [{ QueueName: "a", tags: { team: "x" } }, "InvalidParameterValue"],
  ])("a queue that SQS would refuse is refused: %j", async (input, code) => {
    const { sqs } = messaging();
    // The cast lets attributes through that the SDK's types know better than to send.
    const call = sqs.send(new CreateQueueCommand(input as CreateQueueCommand["input"]));
    expect((await failure(call)).name).toBe(code);
  });

  test("the queue's policy is part of what permits a call", async () => {
    const Policy = JSON.stringify({ Version: "2012-10-17", Statement: [] });
    const { aws, url, arn } = await standard({ Policy });
    const call = {
      caller: { arn: "", account: "", userId: "", accessKeyId: "" },
      request: { method: "POST", path: "/", query: [], headers: {}, body: new Uint8Array() },
      requestId: "",
    };
    const { operations } = aws.services.sqs;
    const actions = {
      SendMessageBatch: "sqs:SendMessage",
      DeleteMessageBatch: "sqs:DeleteMessage",
      ChangeMessageVisibilityBatch: "sqs:ChangeMessageVisibility",
      ReceiveMessage: "sqs:ReceiveMessage",
    };
    for (const [name, action] of Object.entries(actions)) {
      expect(operations[name]?.authorize({ QueueUrl: url }, call)).toEqual([
        { action, resource: arn, resourcePolicy: Policy },
      ]);
    }
  });

  test("an error carries the older query protocol's code too", async () => {
    const { sqs } = messaging();
    const error = await sqs
      .send(new GetQueueUrlCommand({ QueueName: "none" }))
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(QueueDoesNotExist);
    expect(error).toMatchObject({
      Code: "AWS.SimpleQueueService.NonExistentQueue",
      Type: "Sender",
      $metadata: { httpStatusCode: 400 },
    });
  });
});

describe("messages", () => {
  test("a message is received, held back while it is in flight, and gone once deleted", async () => {
    const { url, send, receive, remove, aws, bodies } = await standard();
    const { MessageId } = await send("hello");
    const [message] = await receive(url);
    expect(message).toMatchObject({
      MessageId,
      Body: "hello",
      MD5OfBody: "5d41402abc4b2a76b9719d911017c592",
      Attributes: {
        ApproximateReceiveCount: "1",
        SentTimestamp: String(start),
        ApproximateFirstReceiveTimestamp: String(start),
        SenderId: expect.any(String),
      },
    });
    await aws.advance(29_999);
    expect(await bodies()).toEqual([]);
    await remove(message?.ReceiptHandle);
    await aws.advance(60_000);
    expect(await bodies()).toEqual([]);
  });

  test("a message that is not deleted reappears and counts its receives", async () => {
    const { url, send, receive, aws } = await standard({ VisibilityTimeout: "5" });
    await send("again");
    await receive(url);
    await aws.advance(5_000);
    const [message] = await receive(url);
    expect(message?.Attributes?.ApproximateReceiveCount).toBe("2");
    expect(message?.Attributes?.ApproximateFirstReceiveTimestamp).toBe(String(start));
  });

  test("an older receipt of a message that somebody else received does not delete it", async () => {
    const { url, send, receive, remove, aws, bodies } = await standard({ VisibilityTimeout: "5" });
    await send("mine");
    const [first] = await receive(url);
    await aws.advance(5_000);
    await receive(url);
    await remove(first?.ReceiptHandle);
    await aws.advance(5_000);
    expect(await bodies()).toEqual(["mine"]);
  });

  test("attributes come back as asked, with SQS's digest of them", async () => {
    const { url, send, receive } = await standard();
    const MessageAttributes = {
      kind: { DataType: "String", StringValue: "grant" },
      "kind.of": { DataType: "Number", StringValue: "7" },
      raw: { DataType: "Binary", BinaryValue: Uint8Array.of(1, 2, 255) },
    };
    const { MD5OfMessageAttributes } = await send("x", { MessageAttributes });
    // By the algorithm of SQS's developer guide, computed apart from this code.
    expect(MD5OfMessageAttributes).toBe("cbca65a098a994825df6b0636be6bbc3");
    const [all] = await receive(url, { VisibilityTimeout: 0 });
    expect(all?.MessageAttributes).toEqual(MessageAttributes);
    expect(all?.MD5OfMessageAttributes).toBe(MD5OfMessageAttributes);
    const [some] = await receive(url, { MessageAttributeNames: ["kind.*"], VisibilityTimeout: 0 });
    expect(Object.keys(some?.MessageAttributes ?? {})).toEqual(["kind.of"]);
    const [none] = await receive(url, { MessageAttributeNames: [] });
    expect(none?.MessageAttributes).toBeUndefined();
  });

  test("visibility can be prolonged, cut short, and only of what is in flight", async () => {
    const { sqs, url, send, receive, aws, bodies } = await standard({ VisibilityTimeout: "5" });
    await send("held");
    const [message] = await receive(url);
    const change = (VisibilityTimeout: number) =>
      failure(
        sqs.send(
          new ChangeMessageVisibilityCommand({
            QueueUrl: url,
            ReceiptHandle: message?.ReceiptHandle,
            VisibilityTimeout,
          }),
        ),
      );
    expect((await change(100)).name).toBe("none");
    await aws.advance(99_000);
    expect(await bodies()).toEqual([]);
    expect((await change(43_200)).name).toBe("InvalidParameterValue");
    expect((await change(0)).name).toBe("none");
    expect((await change(5)).name).toBe("MessageNotInflight");
    expect(await bodies()).toEqual(["held"]);
  });

  test("a delayed message is not seen before its time", async () => {
    const { send, aws, bodies } = await standard({ DelaySeconds: "3" });
    await send("queue's");
    await send("its own", { DelaySeconds: 1 });
    expect(await bodies()).toEqual([]);
    await aws.advance(1_000);
    expect(await bodies()).toEqual(["its own"]);
    await aws.advance(2_000);
    expect(await bodies()).toEqual(["queue's"]);
  });

  test("what is older than the retention period is gone", async () => {
    const { send, aws, bodies } = await standard({ MessageRetentionPeriod: "60" });
    await send("old");
    await aws.advance(60_000);
    expect(await bodies()).toEqual([]);
  });

  test("a long poll ends with the first message, or empty when its time is over", async () => {
    const { url, send, receive, aws } = await standard();
    const waiting = receive(url, { WaitTimeSeconds: 20 });
    const other = receive(url, { WaitTimeSeconds: 10 });
    await aws.advance(5_000);
    await send("now");
    expect((await waiting).map(({ Body }) => Body)).toEqual(["now"]);
    await aws.advance(20_000);
    expect(await other).toEqual([]);
  });

  test("a long poll gets what reappears meanwhile", async () => {
    const { url, send, receive, aws } = await standard({ VisibilityTimeout: "5" });
    await send("back");
    await receive(url);
    const waiting = receive(url, { WaitTimeSeconds: 20 });
    await aws.advance(5_000);
    expect((await waiting).map(({ Body }) => Body)).toEqual(["back"]);
  });

  test("after its last receive a message moves to the dead-letter queue", async () => {
    const world = messaging();
    const dead = await world.createQueue("dead");
    const { url, arn } = await world.createQueue("jobs", {
      VisibilityTimeout: "1",
      RedrivePolicy: JSON.stringify({ deadLetterTargetArn: dead.arn, maxReceiveCount: 2 }),
    });
    const sent = await world.sqs.send(
      new SendMessageCommand({ QueueUrl: url, MessageBody: "poison" }),
    );
    for (let round = 0; round < 2; round++) {
      expect(await world.receive(url)).toHaveLength(1);
      await world.aws.advance(1_000);
    }
    expect(await world.receive(dead.url)).toEqual([]);
    expect(await world.receive(url)).toEqual([]);
    const [message] = await world.receive(dead.url);
    expect(message).toMatchObject({
      MessageId: sent.MessageId,
      Body: "poison",
      Attributes: { DeadLetterQueueSourceArn: arn },
    });
  });

  test.each([
    [{ MessageBody: "" }, "MissingParameter"],
    [{ MessageBody: "a\u0000b" }, "InvalidMessageContents"],
    [{ MessageBody: "x".repeat(1_048_577) }, "InvalidParameterValue"],
    [{ MessageBody: "x", DelaySeconds: 901 }, "InvalidParameterValue"],
    [{ MessageBody: "x", MessageDeduplicationId: "d" }, "InvalidParameterValue"],
    [
      { MessageBody: "x", MessageAttributes: { a: { DataType: "Text", StringValue: "x" } } },
      "InvalidParameterValue",
    ],
    [
      { MessageBody: "x", MessageAttributes: { a: { DataType: "Number", StringValue: "x" } } },
      "InvalidParameterValue",
    ],
    [
      {
        MessageBody: "x",
        MessageAttributes: { "aws.x": { DataType: "String", StringValue: "x" } },
      },
      "InvalidParameterValue",
    ],
  ])("a message that SQS would refuse is refused (case %#)", async (input, code) => {
    const { sqs, url } = await standard();
    const call = sqs.send(new SendMessageCommand({ QueueUrl: url, ...input }));
    expect((await failure(call)).name).toBe(code);
  });

  test("a body of exactly 1 MiB is taken", async () => {
    const { send } = await standard();
    expect((await send("x".repeat(1_048_576))).MessageId).toBeDefined();
  });

  test.each([
    [{ MaxNumberOfMessages: 11 }, "InvalidParameterValue"],
    [{ MaxNumberOfMessages: 0 }, "InvalidParameterValue"],
    [{ WaitTimeSeconds: 21 }, "InvalidParameterValue"],
    [{ VisibilityTimeout: -1 }, "InvalidParameterValue"],
    [{ ReceiveRequestAttemptId: "a" }, "InvalidParameterValue"],
    [{ QueueUrl: "https://sqs.us-east-1.amazonaws.com/000000000000/none" }, "QueueDoesNotExist"],
    [{ QueueUrl: "https://sqs.us-east-1.amazonaws.com/111122223333/jobs" }, "InvalidAddress"],
  ])("a receive that SQS would refuse is refused: %j", async (input, code) => {
    const { sqs, url } = await standard();
    const call = sqs.send(new ReceiveMessageCommand({ QueueUrl: url, ...input }));
    expect((await failure(call)).name).toBe(code);
  });

  test("a receipt handle that was never given out, or for another queue, is invalid", async () => {
    const { sqs, url, send, receive, createQueue, remove } = await standard();
    await send("x");
    const [message] = await receive(url);
    const other = await createQueue("other");
    const elsewhere = sqs.send(
      new DeleteMessageCommand({ QueueUrl: other.url, ReceiptHandle: message?.ReceiptHandle }),
    );
    expect((await failure(elsewhere)).name).toBe("ReceiptHandleIsInvalid");
    expect((await failure(remove("made up"))).name).toBe("ReceiptHandleIsInvalid");
    await remove(message?.ReceiptHandle);
    expect((await failure(remove(message?.ReceiptHandle))).name).toBe("none");
  });
});

describe("batches", () => {
  test("each entry succeeds or fails by itself", async () => {
    const { sqs, url, receive, bodies } = await standard();
    const sent = await sqs.send(
      new SendMessageBatchCommand({
        QueueUrl: url,
        Entries: [
          { Id: "a", MessageBody: "one" },
          { Id: "b", MessageBody: "two", DelaySeconds: 1000 },
          { Id: "c", MessageBody: "three" },
        ],
      }),
    );
    expect(sent.Successful?.map(({ Id }) => Id)).toEqual(["a", "c"]);
    expect(sent.Failed).toMatchObject([
      { Id: "b", SenderFault: true, Code: "InvalidParameterValue" },
    ]);
    const messages = await receive(url);
    const changed = await sqs.send(
      new ChangeMessageVisibilityBatchCommand({
        QueueUrl: url,
        Entries: [{ Id: "x", ReceiptHandle: messages[1]?.ReceiptHandle, VisibilityTimeout: 0 }],
      }),
    );
    expect(changed.Successful).toEqual([{ Id: "x" }]);
    const deleted = await sqs.send(
      new DeleteMessageBatchCommand({
        QueueUrl: url,
        Entries: [
          { Id: "x", ReceiptHandle: messages[0]?.ReceiptHandle },
          { Id: "y", ReceiptHandle: "made up" },
        ],
      }),
    );
    expect(deleted.Successful).toEqual([{ Id: "x" }]);
    expect(deleted.Failed).toMatchObject([{ Id: "y", Code: "ReceiptHandleIsInvalid" }]);
    expect(await bodies()).toEqual(["three"]);
  });

  const entry = (Id: string, MessageBody = "x") => ({ Id, MessageBody });
  test.each([
    [[], "EmptyBatchRequest"],
    [Array.from({ length: 11 }, (_, index) => entry(`${index}`)), "TooManyEntriesInBatchRequest"],
    [[entry("a"), entry("a")], "BatchEntryIdsNotDistinct"],
    [[entry("a b")], "InvalidBatchEntryId"],
    [[entry("a", "x".repeat(600_000)), entry("b", "x".repeat(600_000))], "BatchRequestTooLong"],
  ])("a batch that SQS would refuse is refused as a whole (case %#)", async (Entries, code) => {
    const { sqs, url, bodies } = await standard();
    const call = sqs.send(new SendMessageBatchCommand({ QueueUrl: url, Entries }));
    expect((await failure(call)).name).toBe(code);
    expect(await bodies()).toEqual([]);
  });
});

describe("FIFO queues", () => {
  test("a group goes in order, and no further message of it while one is in flight", async () => {
    const { sqs, url, send, receive, bodies } = await fifo();
    await send("a1", "a", "1");
    await send("a2", "a", "2");
    await send("b1", "b", "3");
    const [first] = await receive(url, { MaxNumberOfMessages: 1 });
    expect(first).toMatchObject({ Body: "a1", Attributes: { MessageGroupId: "a" } });
    expect(await bodies()).toEqual(["b1"]);
    await sqs.send(
      new DeleteMessageCommand({ QueueUrl: url, ReceiptHandle: first?.ReceiptHandle }),
    );
    expect(await bodies()).toEqual(["a2"]);
  });

  test("one receive may hold several messages of a group, in order", async () => {
    const { send, bodies } = await fifo();
    for (const n of ["1", "2", "3"]) await send(n, "a", n);
    expect(await bodies()).toEqual(["1", "2", "3"]);
    expect(await bodies()).toEqual([]);
  });

  test("sequence numbers rise", async () => {
    const { send } = await fifo();
    const first = await send("1", "a", "1");
    const second = await send("2", "b", "2");
    expect(first.SequenceNumber).toMatch(/^\d{20}$/);
    expect(BigInt(second.SequenceNumber ?? 0)).toBeGreaterThan(BigInt(first.SequenceNumber ?? 0));
  });

  test("a deduplication id is taken once in five minutes, also after deletion", async () => {
    const { sqs, url, send, receive, bodies, aws } = await fifo();
    const first = await send("one", "a", "same");
    const [message] = await receive(url);
    await sqs.send(
      new DeleteMessageCommand({ QueueUrl: url, ReceiptHandle: message?.ReceiptHandle }),
    );
    const repeat = await send("one", "a", "same");
    expect(repeat.MessageId).toBe(first.MessageId);
    expect(await bodies()).toEqual([]);
    await aws.advance(300_000);
    await send("one", "a", "same");
    expect(await bodies()).toEqual(["one"]);
  });

  test("with content-based deduplication the body is the id", async () => {
    const { send, bodies } = await fifo({ ContentBasedDeduplication: "true" });
    await send("same", "a");
    await send("same", "a");
    await send("other", "a");
    expect(await bodies()).toEqual(["same", "other"]);
  });

  test("group and deduplication id are required, a delay of one's own is not taken", async () => {
    const { sqs, url } = await fifo();
    const send = (more: Partial<SendMessageCommand["input"]>) =>
      failure(sqs.send(new SendMessageCommand({ QueueUrl: url, MessageBody: "x", ...more })));
    expect((await send({ MessageDeduplicationId: "1" })).name).toBe("MissingParameter");
    expect((await send({ MessageGroupId: "a" })).name).toBe("InvalidParameterValue");
    const delayed = { MessageGroupId: "a", MessageDeduplicationId: "1", DelaySeconds: 1 };
    expect((await send(delayed)).name).toBe("InvalidParameterValue");
  });

  test("a receipt whose time is over no longer deletes", async () => {
    const { sqs, url, send, receive, aws } = await fifo({ VisibilityTimeout: "5" });
    await send("x", "a", "1");
    const [message] = await receive(url);
    await aws.advance(5_000);
    const call = sqs.send(
      new DeleteMessageCommand({ QueueUrl: url, ReceiptHandle: message?.ReceiptHandle }),
    );
    expect(await failure(call)).toMatchObject({
      name: "InvalidParameterValue",
      message: expect.stringContaining("expired"),
    });
  });

  test("a dead-letter queue must be of the same kind", async () => {
    const { sqs, url, createQueue } = await fifo();
    const dead = await createQueue("dead");
    const call = sqs.send(
      new SetQueueAttributesCommand({
        QueueUrl: url,
        Attributes: {
          RedrivePolicy: JSON.stringify({ deadLetterTargetArn: dead.arn, maxReceiveCount: 3 }),
        },
      }),
    );
    expect((await failure(call)).name).toBe("InvalidParameterValue");
  });
});

describe("event source mapping", () => {
  test("the function gets Lambda's records, and what it handled is deleted", async () => {
    const { aws, arn, send, sqs, url } = await standard();
    const seen: SqsEvent[] = [];
    aws.services.sqs.connect({
      queue: "jobs",
      function: async (event) => {
        seen.push(event);
      },
    });
    const { MessageId } = await send("work", {
      MessageAttributes: { kind: { DataType: "String", StringValue: "x" } },
    });
    await aws.settle();
    expect(seen).toEqual([
      {
        Records: [
          {
            messageId: MessageId,
            receiptHandle: expect.any(String),
            body: "work",
            attributes: {
              ApproximateReceiveCount: "1",
              SentTimestamp: String(start),
              SenderId: expect.any(String),
              ApproximateFirstReceiveTimestamp: String(start),
            },
            messageAttributes: {
              kind: {
                dataType: "String",
                stringValue: "x",
                stringListValues: [],
                binaryListValues: [],
              },
            },
            md5OfBody: expect.stringMatching(/^[0-9a-f]{32}$/),
            md5OfMessageAttributes: expect.stringMatching(/^[0-9a-f]{32}$/),
            eventSource: "aws:sqs",
            eventSourceARN: arn,
            awsRegion: "us-east-1",
          },
        ],
      },
    ]);
    const { Attributes } = await sqs.send(
      new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ["All"] }),
    );
    expect(Attributes).toMatchObject({
      ApproximateNumberOfMessages: "0",
      ApproximateNumberOfMessagesNotVisible: "0",
    });
  });

  test("what was there before the connection is taken too", async () => {
    const { aws, send } = await standard();
    await send("early");
    const seen: string[] = [];
    aws.services.sqs.connect({
      queue: "jobs",
      function: async ({ Records }) => {
        seen.push(...Records.map(({ body }) => body));
      },
    });
    await aws.settle();
    expect(seen).toEqual(["early"]);
  });

  test("a batch that throws comes again after the visibility timeout, then goes to the dead letters", async () => {
    const world = messaging();
    const dead = await world.createQueue("dead");
    const { url } = await world.createQueue("jobs", {
      VisibilityTimeout: "10",
      RedrivePolicy: JSON.stringify({ deadLetterTargetArn: dead.arn, maxReceiveCount: 3 }),
    });
    const at: number[] = [];
    world.aws.services.sqs.connect({
      queue: "jobs",
      function: async () => {
        at.push(world.aws.clock.now() - start);
        throw new Error("no");
      },
    });
    await world.sqs.send(new SendMessageCommand({ QueueUrl: url, MessageBody: "poison" }));
    await world.aws.advance(60_000);
    expect(at).toEqual([0, 10_000, 20_000]);
    expect((await world.receive(dead.url)).map(({ Body }) => Body)).toEqual(["poison"]);
  });

  test("only the reported items come again", async () => {
    const { aws, sqs, url } = await standard({ VisibilityTimeout: "10" });
    const seen: string[][] = [];
    aws.services.sqs.connect({
      queue: "jobs",
      reportBatchItemFailures: true,
      function: async ({ Records }) => {
        seen.push(Records.map(({ body }) => body));
        const failed = Records.filter(
          ({ body, attributes }) => body === "bad" && attributes.ApproximateReceiveCount === "1",
        );
        return {
          batchItemFailures: failed.map(({ messageId }) => ({ itemIdentifier: messageId })),
        };
      },
    });
    await sqs.send(
      new SendMessageBatchCommand({
        QueueUrl: url,
        Entries: [
          { Id: "a", MessageBody: "good", DelaySeconds: 1 },
          { Id: "b", MessageBody: "bad", DelaySeconds: 1 },
        ],
      }),
    );
    await aws.advance(60_000);
    expect(seen).toEqual([["good", "bad"], ["bad"]]);
  });

  test("an answer with an id that was not in the batch fails the whole batch", async () => {
    const { aws, send } = await standard({ VisibilityTimeout: "10" });
    let runs = 0;
    aws.services.sqs.connect({
      queue: "jobs",
      reportBatchItemFailures: true,
      function: async () => {
        runs += 1;
        return runs === 1 ? { batchItemFailures: [{ itemIdentifier: "other" }] } : {};
      },
    });
    await send("x");
    await aws.advance(60_000);
    expect(runs).toBe(2);
  });

  test("of a FIFO group one batch is at work at a time", async () => {
    const { aws, send } = await fifo();
    const log: string[] = [];
    aws.services.sqs.connect({
      queue: "jobs.fifo",
      batchSize: 1,
      function: async ({ Records }) => {
        const name = Records.map(({ body }) => body).join();
        log.push(`${name} begins`);
        await aws.clock.sleep(1_000);
        log.push(`${name} ends`);
      },
    });
    await send("a1", "a", "1");
    await send("a2", "a", "2");
    await send("b1", "b", "3");
    await aws.advance(5_000);
    expect(log).toEqual(["a1 begins", "b1 begins", "a1 ends", "a2 begins", "b1 ends", "a2 ends"]);
  });

  test("once disconnected nothing is taken any more, and a queue that is not there has no mapping", async () => {
    const { aws, send, bodies } = await standard();
    const disconnect = aws.services.sqs.connect({ queue: "jobs", function: async () => {} });
    disconnect();
    await send("stays");
    await aws.settle();
    expect(await bodies()).toEqual(["stays"]);
    const connect = () => aws.services.sqs.connect({ queue: "none", function: async () => {} });
    expect(connect).toThrow("does not exist");
  });
});
