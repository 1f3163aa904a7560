/**
 * The integration test of the demo's job, as a team would write it: AWS SDK clients with whatever credentials the
 * environment holds, and no word of Stint but the namespace to work in.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  DeleteItemCommand,
  DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
} from "@aws-sdk/client-dynamodb";
import {
  DeleteObjectCommand,
  GetObjectCommand,
  PutObjectCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import {
  CreateQueueCommand,
  DeleteMessageCommand,
  ReceiveMessageCommand,
  SendMessageCommand,
  SQSClient,
} from "@aws-sdk/client-sqs";

const namespace = process.env.STINT_NAMESPACE;
assert.ok(namespace, "run this by: stint exec orders-integration -- node --test orders.test.ts");

const s3 = new S3Client({ forcePathStyle: true, maxAttempts: 1 });
const db = new DynamoDBClient({ maxAttempts: 1 });
const sqs = new SQSClient({ maxAttempts: 1 });

const invoice = { Bucket: "orders-it", Key: `${namespace}/invoice.json` };
const order = { pk: { S: namespace }, sk: { S: "order-1" } };
const denied = (error: Error) => /AccessDenied/.test(error.name);

after(() => {
  for (const client of [s3, db, sqs]) client.destroy();
});

test("an invoice is stored in S3", async () => {
  await s3.send(new PutObjectCommand({ ...invoice, Body: JSON.stringify({ total: 42 }) }));
  const { Body } = await s3.send(new GetObjectCommand(invoice));
  assert.deepEqual(JSON.parse((await Body?.transformToString()) ?? ""), { total: 42 });
  await s3.send(new DeleteObjectCommand(invoice));
});

test("an order is stored in DynamoDB", async () => {
  await db.send(
    new PutItemCommand({ TableName: "orders-it", Item: { ...order, total: { N: "42" } } }),
  );
  const { Item } = await db.send(new GetItemCommand({ TableName: "orders-it", Key: order }));
  assert.equal(Item?.total?.N, "42");
  await db.send(new DeleteItemCommand({ TableName: "orders-it", Key: order }));
});

test("an order is sent through SQS", async () => {
  const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName: `${namespace}-orders` }));
  await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: "order-1" }));
  const { Messages = [] } = await sqs.send(new ReceiveMessageCommand({ QueueUrl }));
  assert.equal(Messages[0]?.Body, "order-1");
  await sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle: Messages[0]?.ReceiptHandle }));
});

test("outside the namespace everything is denied", async () => {
  const elsewhere = "it-g000000000000000";
  const attempts = [
    () => s3.send(new PutObjectCommand({ Bucket: "orders-it", Key: `${elsewhere}/x`, Body: "x" })),
    () => s3.send(new GetObjectCommand({ Bucket: "stint-audit", Key: "audit/x" })),
    () =>
      db.send(
        new PutItemCommand({ TableName: "orders-it", Item: { ...order, pk: { S: elsewhere } } }),
      ),
    () => db.send(new GetItemCommand({ TableName: "stint", Key: order })),
    () => sqs.send(new CreateQueueCommand({ QueueName: `${elsewhere}-orders` })),
  ];
  for (const attempt of attempts) await assert.rejects(attempt, denied);
});

// Only in the story of `npm start`, which reports the job's end when it reads the line printed here.
test("after the job's end the same credentials are denied", {
  skip: !process.env.STINT_DEMO,
}, async () => {
  await s3.send(new PutObjectCommand({ ...invoice, Body: "still alive" }));
  console.log("holding the credentials until the job is reported as completed");
  const patience = Date.now() + 15_000;
  for (;;) {
    try {
      await s3.send(new PutObjectCommand({ ...invoice, Body: "still alive" }));
    } catch (error) {
      assert.ok(error instanceof Error && denied(error), String(error));
      return;
    }
    assert.ok(Date.now() < patience, "the credentials outlived their job");
    await sleep(100);
  }
});
