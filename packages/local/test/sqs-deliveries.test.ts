import {
  CreateQueueCommand,
  DeleteMessageCommand,
  ReceiveMessageCommand,
  SendMessageCommand,
} from "@aws-sdk/client-sqs";
import { describe, expect, test } from "vitest";
import { failure, messaging } from "./messaging.ts";

/** A queue with ten messages, sent in order. */
const filled = async (name = "jobs") => {
  const world = messaging();
  const { sqs, receive } = world;
  const fifo = name.endsWith(".fifo");
  const { QueueUrl = "" } = await sqs.send(
    new CreateQueueCommand({ QueueName: name, Attributes: fifo ? { FifoQueue: "true" } : {} }),
  );
  const sent = Array.from({ length: 10 }, (_, at) => `m${at}`);
  for (const MessageBody of sent)
    await sqs.send(
      new SendMessageCommand({
        QueueUrl,
        MessageBody,
        ...(fifo && { MessageGroupId: "g", MessageDeduplicationId: MessageBody }),
      }),
    );
  const bodies = async () => (await receive(QueueUrl)).map(({ Body }) => Body);
  return { ...world, QueueUrl, sent, bodies, queues: world.aws.services.sqs };
};

describe("what a standard queue may do", () => {
  test("it delivers some messages once more, soon and only once", async () => {
    const { queues, sent, bodies, aws } = await filled();
    queues.configure({ redeliver: 0.5 });
    expect(await bodies()).toEqual(sent);
    await aws.advance(1);
    const again = await bodies();
    expect(again.length).toBeGreaterThan(0);
    expect(again.length).toBeLessThan(10);
    await aws.advance(1);
    expect(await bodies()).toEqual([]);
  });

  test("it delivers in any order", async () => {
    const { queues, sent, bodies } = await filled();
    queues.configure({ shuffle: true });
    const seen = await bodies();
    expect(seen).not.toEqual(sent);
    expect(seen.toSorted()).toEqual(sent);
  });

  test("a FIFO queue does neither", async () => {
    const { queues, sent, bodies, aws } = await filled("jobs.fifo");
    queues.configure({ redeliver: 1, shuffle: true });
    expect(await bodies()).toEqual(sent);
    await aws.advance(1);
    expect(await bodies()).toEqual([]);
  });

  test("a deletion can be lost, and the message comes again", async () => {
    const { sqs, receive, QueueUrl, aws, bodies, sent } = await filled();
    const [first] = await receive(QueueUrl);
    aws.faults.add({ service: "sqs", operation: "DeleteMessage", kind: "lose", times: 1 });
    const remove = () =>
      sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle: first?.ReceiptHandle }));
    await remove();
    await aws.advance(30_000);
    expect(await bodies()).toEqual(sent);
  });

  test("no more than the limit is in flight: FIFO gives nothing, standard says so", async () => {
    for (const [name, told] of [
      ["jobs", "OverLimit"],
      ["jobs.fifo", "none"],
    ] as const) {
      const { queues, sqs, receive, QueueUrl } = await filled(name);
      queues.configure({ inFlight: 2 });
      const [first] = await receive(QueueUrl, { MaxNumberOfMessages: 2 });
      const more = () => sqs.send(new ReceiveMessageCommand({ QueueUrl }));
      expect((await failure(more())).name).toBe(told);
      await sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle: first?.ReceiptHandle }));
      expect((await failure(more())).name).toBe("none");
    }
  });

  test("a probability beyond one is none", () => {
    const queues = messaging().aws.services.sqs;
    expect(() => queues.configure({ redeliver: 1.1 })).toThrow(RangeError);
  });
});
