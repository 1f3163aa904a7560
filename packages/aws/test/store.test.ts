import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { createStore } from "@stint/aws/store/store";
import { toOpening } from "@stint/core/grant";
import { expect, test } from "vitest";

const grant = toOpening(
  {
    id: "g0123456789abcde",
    profile: "p",
    principal: { kind: "person", id: "person:local:ann", claims: {}, groups: [] },
    namespace: "it-g0123456789abcde",
    rule: "r",
    policyVersion: "v",
    createdAt: 1_000,
    seconds: 60,
    leaseSeconds: 60,
    claimSeconds: 60,
    targets: {},
    requestHash: "h",
    tokenKey: "1",
  },
  "m",
  60,
  1_000,
);
const proof = { id: "t", hash: "h", expiresAt: 2_000, once: false };
const record = {
  id: "1",
  time: 1_000,
  fact: "grant.opened" as const,
  actor: { kind: "person" as const, id: "person:local:ann" },
  policyVersion: "v",
};

/** DynamoDB as it answers in real life when two transactions touch one item: local AWS never has two at once. */
function dynamoThat(...codes: readonly string[]) {
  const answers = [...codes];
  let asked = 0;
  const client = new DynamoDBClient({
    region: "us-east-1",
    credentials: { accessKeyId: "a", secretAccessKey: "b" },
    maxAttempts: 1,
    requestHandler: {
      handle: async () => {
        asked += 1;
        const code = answers.shift();
        const body =
          code === undefined
            ? "{}"
            : JSON.stringify({
                __type: "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
                Message: `Transaction cancelled, please refer cancellation reasons for specific reasons [${code}]`,
                CancellationReasons: [{ Code: code, Message: "…" }],
              });
        return {
          response: {
            statusCode: code === undefined ? 200 : 400,
            headers: { "content-type": "application/x-amz-json-1.0" },
            body: Buffer.from(body),
          },
        };
      },
    },
  });
  const pauses: number[] = [];
  const store = createStore({
    db: client,
    table: "stint",
    pause: async (attempt) => void pauses.push(attempt),
  });
  return { store, pauses, asked: () => asked };
}

test("a transaction that another one cancelled is written again, later each time", async () => {
  const { store, pauses, asked } = dynamoThat("TransactionConflict", "ThrottlingError");
  expect(await store.open(grant, proof, record)).toMatchObject({ kind: "opened" });
  expect(asked()).toBe(3);
  expect(pauses).toEqual([1, 2]);
});

test("a conflict that does not pass is a fault after a bounded number of attempts", async () => {
  const { store, asked } = dynamoThat(...Array.from({ length: 50 }, () => "TransactionConflict"));
  await expect(store.open(grant, proof, record)).rejects.toMatchObject({
    name: "TransactionCanceledException",
  });
  expect(asked()).toBe(8);
});

test("what will never pass is not tried again", async () => {
  const { store, asked } = dynamoThat("ValidationError");
  await expect(store.open(grant, proof, record)).rejects.toThrow();
  expect(asked()).toBe(1);
});
