import { request as httpRequest } from "node:http";
import {
  DeleteTableCommand,
  DescribeTableCommand,
  DynamoDBClient,
  ListTablesCommand,
  TransactWriteItemsCommand,
} from "@aws-sdk/client-dynamodb";
import { GetQueueUrlCommand, SQSClient } from "@aws-sdk/client-sqs";
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { createLocalAws } from "../src/aws.ts";
import { jsonProtocol } from "../src/protocols.ts";
import { AwsError, operation, type World } from "../src/service.ts";
import type { Credentials } from "../src/sessions.ts";
import {
  ACCOUNT,
  allowAll,
  arnOf,
  createAccount,
  document,
  errorName,
  START,
  trust,
} from "./kernel-account.ts";
import { toyDynamodb } from "./kernel-toy.ts";

const describeTable = (TableName = "orders") => new DescribeTableCommand({ TableName });

const withToy = (seed = 1) => {
  const account = createAccount({ services: { dynamodb: toyDynamodb }, seed });
  const table = (keys: Credentials = account.aws.administrator) =>
    new DynamoDBClient(account.client(keys));
  return { ...account, table };
};

describe("every request", () => {
  test("of the administrator is one of the account's root, in process and over HTTP", async () => {
    const aws = createLocalAws();
    const server = await aws.listen(0);
    for (const how of [{ requestHandler: aws.requestHandler }, { endpoint: server.url }]) {
      const sts = new STSClient({ region: "us-east-1", credentials: aws.administrator, ...how });
      const { Arn, Account } = await sts.send(new GetCallerIdentityCommand({}));
      expect([Arn, Account]).toEqual([`arn:aws:iam::${ACCOUNT}:root`, ACCOUNT]);
      sts.destroy();
    }
    await server.close();
  });

  test("is answered by the service in its signature's scope", async () => {
    const { table } = withToy();
    const { Table } = await table().send(describeTable());
    expect(Table).toEqual({ TableName: "orders", ItemCount: 1 });
  });

  test("with an operation that is not known is refused", async () => {
    const { table, aws } = withToy();
    expect(await errorName(table().send(new ListTablesCommand({})))).toBe(
      "UnknownOperationException",
    );
    expect(aws.calls()).toMatchObject([
      { operation: "ListTables", code: "UnknownOperationException" },
    ]);
  });

  test("names of JavaScript's own are no operations", async () => {
    const { table } = withToy();
    const client = table();
    client.middlewareStack.add(
      (next) => (args) => {
        // The SDK's request, whose headers a client's middleware may change before it is signed.
        const { headers } = args.request as { headers: Record<string, string> };
        headers["x-amz-target"] = "DynamoDB_20120810.constructor";
        return next(args);
      },
      { step: "build" },
    );
    expect(await errorName(client.send(describeTable()))).toBe("UnknownOperationException");
  });

  test("with a parameter that is not known is refused by its name", async () => {
    const { table } = withToy();
    const input = { TableName: "orders", Extra: 1 };
    const client = table();
    client.middlewareStack.add(
      (next) => (args) => {
        (args.request as { body: string }).body = JSON.stringify(input); // as above
        return next(args);
      },
      { step: "build", priority: "high" },
    );
    await expect(client.send(describeTable())).rejects.toMatchObject({
      name: "ValidationException",
      message: "1 validation error detected: Unknown parameter in input: Extra",
    });
  });

  test("with a value out of bounds is refused with its path", async () => {
    const { table } = withToy();
    await expect(table().send(describeTable("x"))).rejects.toThrow(
      "Value at 'TableName' failed to satisfy constraint",
    );
  });

  test("that meets a mistake of ours is an InternalFailure, kept for inspection", async () => {
    const { table, aws } = withToy();
    const error = await table()
      .send(new DeleteTableCommand({ TableName: "orders" }))
      .catch((e) => e);
    expect(error).toMatchObject({ name: "InternalFailure", $metadata: { httpStatusCode: 500 } });
    expect(error.message).not.toContain("mistake");
    expect(aws.errors).toEqual([new TypeError("a mistake of ours")]);
  });

  test("carries an error's details", async () => {
    const { table, aws } = withToy();
    await expect(
      table().send(new TransactWriteItemsCommand({ TransactItems: [] })),
    ).rejects.toMatchObject({
      name: "TransactionCanceledException",
      CancellationReasons: [{ Code: "ConditionalCheckFailed" }],
    });
    expect(aws.errors).toEqual([]);
  });

  test("is dated by real time, whatever the local clock says", async () => {
    const { aws } = withToy();
    await aws.advance(30 * 24 * 3_600_000);
    const { headers } = await aws.handle({
      method: "GET",
      path: "/",
      query: [],
      headers: {},
      body: new Uint8Array(),
    });
    expect(Math.abs(Date.parse(headers.date ?? "") - Date.now())).toBeLessThan(60_000);
  });

  test("is recorded without its input", async () => {
    const { table, aws } = withToy();
    await table().send(describeTable("secret-name"));
    expect(aws.calls()).toEqual([
      {
        at: START,
        service: "dynamodb",
        operation: "DescribeTable",
        caller: `arn:aws:iam::${ACCOUNT}:root`,
        status: 200,
        ms: expect.any(Number),
      },
    ]);
  });

  test("of the last thousand is remembered", async () => {
    const { aws } = withToy();
    const bare = { method: "GET", path: "/", query: [], headers: {}, body: new Uint8Array() };
    for (let n = 0; n < 2_500; n += 1) await aws.handle(bare);
    expect(aws.calls()).toHaveLength(1_000);
  });

  test("that is given up by its client is", async () => {
    const { table, aws } = withToy();
    aws.faults.add({ kind: "delay", delayMs: 1_000 });
    const controller = new AbortController();
    const answer = errorName(table().send(describeTable(), { abortSignal: controller.signal }));
    setImmediate(() => controller.abort());
    expect(await answer).toBe("AbortError");
  });
});

describe("a JSON service", () => {
  test("spells errors of signatures its own way", async () => {
    const { table, aws, role, assume } = withToy();
    const { accessKeyId } = aws.administrator;
    const send = (keys: Credentials) => errorName(table(keys).send(describeTable()));
    expect(await send({ accessKeyId, secretAccessKey: "wrong" })).toBe("InvalidSignatureException");
    expect(await send({ accessKeyId: "AKIANOBODY", secretAccessKey: "x" })).toBe(
      "UnrecognizedClientException",
    );
    await role("app");
    const keys = await assume("app", { DurationSeconds: 900 });
    await expect(table(keys).send(describeTable())).rejects.toMatchObject({
      name: "AccessDeniedException",
      message: `User: arn:aws:sts::${ACCOUNT}:assumed-role/app/one is not authorized to perform: dynamodb:DescribeTable on resource: arn:aws:dynamodb:us-east-1:${ACCOUNT}:table/orders because no identity-based policy allows the dynamodb:DescribeTable action`,
    });
    await aws.advance(900_000);
    expect(await send(keys)).toBe("ExpiredTokenException");
  });

  test("with an older query protocol names its errors for both", async () => {
    const sqs = (_: World) => ({
      name: "sqs",
      protocol: jsonProtocol({
        version: "1.0",
        target: "AmazonSQS",
        queryErrors: (code) =>
          code === "QueueDoesNotExist" ? "AWS.SimpleQueueService.NonExistentQueue" : undefined,
      }),
      operations: {
        GetQueueUrl: operation({
          input: z.looseObject({}),
          authorize: () => [],
          run: () => {
            throw new AwsError("QueueDoesNotExist", "no such queue");
          },
        }),
      },
    });
    const { aws, client } = createAccount({ services: { sqs } });
    const queues = new SQSClient(client(aws.administrator));
    await expect(queues.send(new GetQueueUrlCommand({ QueueName: "q" }))).rejects.toMatchObject({
      name: "QueueDoesNotExist",
      Error: { Code: "AWS.SimpleQueueService.NonExistentQueue" },
    });
  });
});

describe("conditions know", () => {
  const minute = 60_000;
  test.each([
    ["the time", { DateEquals: { "aws:CurrentTime": new Date(START + minute).toISOString() } }],
    ["the time since 1970", { NumericEquals: { "aws:EpochTime": (START + minute) / 1_000 } }],
    [
      "when the session was issued",
      { DateEquals: { "aws:TokenIssueTime": new Date(START).toISOString() } },
    ],
    ["the source identity", { StringEquals: { "aws:SourceIdentity": "g1" } }],
    ["the role", { ArnEquals: { "aws:PrincipalArn": arnOf("app") } }],
    ["the account", { StringEquals: { "aws:PrincipalAccount": ACCOUNT } }],
    ["the session's id", { StringLike: { "aws:userid": "AROA*:one" } }],
    ["the kind of principal", { StringEquals: { "aws:PrincipalType": "AssumedRole" } }],
    ["session tags", { StringEquals: { "aws:PrincipalTag/team": "red" } }],
    ["role tags that no session tag hides", { StringEquals: { "aws:PrincipalTag/env": "it" } }],
    ["the region", { StringEquals: { "aws:RequestedRegion": "us-east-1" } }],
    ["TLS", { Bool: { "aws:SecureTransport": "true" } }],
    ["the source address", { IpAddress: { "aws:SourceIp": "127.0.0.0/8" } }],
    [
      "what the service adds",
      { "ForAllValues:StringEquals": { "dynamodb:LeadingKeys": ["a", "b"] } },
    ],
  ])("%s", async (_, Condition) => {
    const { table, role, assume, aws } = withToy();
    const policy = document({ Effect: "Allow", Action: "dynamodb:*", Resource: "*", Condition });
    const Tags = [
      { Key: "Team", Value: "blue" },
      { Key: "env", Value: "it" },
    ];
    await role("app", { policy, Tags });
    const keys = await assume("app", {
      SourceIdentity: "g1",
      Tags: [{ Key: "team", Value: "red" }],
    });
    await aws.advance(minute);
    expect(await errorName(table(keys).send(describeTable()))).toBe("none");
  });

  test("whether it came over plain HTTP", async () => {
    const { role, assume, aws } = withToy();
    const Condition = { Bool: { "aws:SecureTransport": "true" } };
    await role("app", {
      policy: document({ Effect: "Allow", Action: "*", Resource: "*", Condition }),
    });
    const server = await aws.listen(0);
    const client = new DynamoDBClient({
      region: "us-east-1",
      endpoint: server.url,
      credentials: await assume("app"),
    });
    expect(await errorName(client.send(describeTable()))).toBe("AccessDeniedException");
    client.destroy();
    await server.close();
  });
});

describe("the world", () => {
  test("draws the same from the same seed", async () => {
    const run = async (seed: number) => {
      const { role, assume } = withToy(seed);
      await role("app");
      const { accessKeyId } = await assume("app");
      return accessKeyId;
    };
    expect(await run(7)).toBe(await run(7));
    expect(await run(7)).not.toBe(await run(8));
  });

  test("settles when background work is done, and keeps what went wrong in it", async () => {
    const { aws } = withToy();
    const seen: string[] = [];
    aws.world.background(async () => {
      await new Promise(setImmediate);
      aws.world.background(async () => {
        seen.push("second");
        throw new Error("broken");
      });
    });
    await aws.settle();
    expect(seen).toEqual(["second"]);
    expect(aws.errors).toEqual([new Error("broken")]);
  });

  test("settles although work sleeps until somebody advances the clock", async () => {
    const { aws } = withToy();
    const seen: number[] = [];
    aws.world.background(async () => {
      await aws.world.clock.sleep(10);
      seen.push(aws.world.clock.now());
    });
    await aws.settle();
    expect(seen).toEqual([]);
    await aws.advance(10);
    expect(seen).toEqual([START + 10]);
  });
});

describe("functions", () => {
  const minute = 60_000;
  test("are invoked with a copy of the event and their context", async () => {
    const { aws } = withToy();
    const event = { a: 1, gone: undefined };
    const arn = aws.functions.set(
      "echo",
      async (given: unknown, context) => [
        given,
        context.invokedFunctionArn,
        context.getRemainingTimeInMillis(),
      ],
      { timeoutMs: 5_000 },
    );
    expect(arn).toBe(`arn:aws:lambda:us-east-1:${ACCOUNT}:function:echo`);
    expect(await aws.functions.invoke("echo", event)).toEqual([{ a: 1 }, arn, 5_000]);
    await expect(aws.functions.invoke("nobody", {})).rejects.toMatchObject({
      code: "ResourceNotFoundException",
    });
  });

  // Lambda itself, as of a failed invocation: EventBridge would need the function's policy.
  const sender = "lambda.amazonaws.com";
  const deliver = (world: World, arn: string) => world.deliver({ arn, payload: '{"a":1}', sender });

  test("delivered to, run in the background and are tried again after one and two minutes", async () => {
    const { aws } = withToy();
    const tries: number[] = [];
    const letters: unknown[] = [];
    const dead = aws.functions.set("letters", async (event: unknown) => void letters.push(event));
    const arn = aws.functions.set(
      "broken",
      async () => {
        tries.push(aws.clock.now() - START);
        throw new Error("no");
      },
      { deadLetterArn: dead },
    );
    await deliver(aws.world, arn);
    await aws.settle();
    expect(tries).toEqual([0]);
    await aws.advance(10 * minute);
    expect(tries).toEqual([0, minute, 3 * minute]);
    expect(letters).toEqual([{ a: 1 }]);
    expect(aws.errors).toHaveLength(3);
  });

  test("that never answer time out by the local clock", async () => {
    const { aws } = withToy();
    aws.functions.set("stuck", () => new Promise(() => {}), { timeoutMs: 3_000 });
    const answer = aws.functions.invoke("stuck", {}).catch((error: Error) => error.message);
    await aws.advance(3_000);
    expect(await answer).toContain("Task timed out after 3.00 seconds");
  });

  test("are found by their exact ARN only, and take JSON only", async () => {
    const { aws } = withToy();
    const arn = aws.functions.set("echo", async () => null);
    await expect(deliver(aws.world, arn.replace("us-east-1", "eu-west-1"))).rejects.toMatchObject({
      code: "ResourceNotFoundException",
    });
    await expect(deliver(aws.world, `${arn}2`)).rejects.toMatchObject({
      code: "ResourceNotFoundException",
    });
    await expect(deliver(aws.world, "arn:aws:sns:us-east-1:000000000000:t")).rejects.toMatchObject({
      code: "ResourceNotFoundException",
    });
    await expect(aws.world.deliver({ arn, payload: "{", sender })).rejects.toMatchObject({
      code: "InvalidRequestContentException",
    });
  });

  test("are reached on a role's behalf only where it trusts the sender and may invoke them", async () => {
    const { aws, role } = withToy();
    const arn = aws.functions.set("echo", async () => null);
    const scheduler = trust({ Service: "scheduler.amazonaws.com" });
    await role("good", {
      AssumeRolePolicyDocument: scheduler,
      policy: document({ Effect: "Allow", Action: "lambda:InvokeFunction", Resource: arn }),
    });
    await role("weak", {
      AssumeRolePolicyDocument: scheduler,
      policy: document({ Effect: "Allow", Action: "lambda:InvokeFunction", Resource: `${arn}2` }),
    });
    await role("stranger", { policy: allowAll });
    const by = (name: string) =>
      aws.world
        .deliver({ arn, payload: "{}", sender: "scheduler.amazonaws.com", roleArn: arnOf(name) })
        .then(
          () => "none",
          (error: AwsError) => error.code,
        );
    expect(await by("good")).toBe("none");
    for (const name of ["weak", "stranger", "nobody"])
      expect(await by(name)).toBe("AccessDeniedException");
  });
});

describe("over HTTP", () => {
  const raw = (url: string, path: string, headers: Record<string, string> = {}) =>
    new Promise<number>((resolve, reject) => {
      httpRequest(url, { path, headers, method: "POST" }, (answer) =>
        resolve(answer.resume().statusCode ?? 0),
      )
        .on("error", reject)
        .end("x");
    });

  test("what cannot be decoded is a bad request, and the next one is served", async () => {
    const { aws } = withToy();
    const server = await aws.listen(0);
    expect(await raw(server.url, "/?a=%ZZ")).toBe(400);
    expect(await raw(server.url, "/", { "x-amz-target": "DynamoDB_20120810.GetItem" })).toBe(400);
    expect(await raw(server.url, "/")).toBe(403);
    expect(aws.errors).toEqual([]);
    await server.close();
  });

  test("a port that is taken is an error", async () => {
    const { aws } = withToy();
    const server = await aws.listen(0);
    await expect(aws.listen(Number(new URL(server.url).port))).rejects.toThrow("EADDRINUSE");
    await server.close();
  });
});
