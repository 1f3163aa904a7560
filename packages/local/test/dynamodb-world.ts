import {
  type AttributeValue,
  CreateTableCommand,
  type CreateTableCommandInput,
  DynamoDBClient,
  ListTablesCommand,
  PutItemCommand,
  QueryCommand,
  type QueryCommandInput,
} from "@aws-sdk/client-dynamodb";
import { createLocalAws } from "../src/aws.ts";
import { createVirtualClock } from "../src/clock.ts";
import { dynamodb } from "../src/services/dynamodb.ts";

export const start = Date.UTC(2026, 0, 5, 12, 0, 0);

/** Local AWS with DynamoDB alone, under a virtual clock, and the administrator's real SDK client. */
export function dynamoWorld() {
  const aws = createLocalAws({
    clock: createVirtualClock(start),
    iamDelayMs: 0,
    services: { dynamodb },
  });
  const config = {
    region: "us-east-1",
    credentials: { accessKeyId: "local", secretAccessKey: "local" },
    requestHandler: aws.requestHandler,
    maxAttempts: 1,
  };
  const client = new DynamoDBClient(config);

  /** A call that the client of DynamoDB would not send so: bad input, or the API of streams. */
  async function raw(operation: string, input: unknown, target = "DynamoDB_20120810") {
    let text = "";
    const one = new DynamoDBClient({
      ...config,
      requestHandler: {
        ...aws.requestHandler,
        async handle(...call: Parameters<typeof aws.requestHandler.handle>) {
          const { response } = await aws.requestHandler.handle(...call);
          const body = await new Response(response.body).bytes();
          text = Buffer.from(body).toString();
          return { response: { ...response, body } };
        },
      },
    });
    one.middlewareStack.add(
      (next) => (args) => {
        const request = args.request as { headers: Record<string, string>; body: string };
        request.headers["x-amz-target"] = `${target}.${operation}`;
        request.body = typeof input === "string" ? input : JSON.stringify(input);
        request.headers["content-length"] = String(Buffer.byteLength(request.body));
        return next(args);
      },
      { step: "build", priority: "low" },
    );
    await one.send(new ListTablesCommand({})).catch((error: unknown) => {
      if (text === "") throw error;
    });
    return JSON.parse(text) as Record<string, unknown>;
  }

  /** A table with `pk` and `sk`, both strings, unless said otherwise. */
  const createTable = (TableName: string, settings: Partial<CreateTableCommandInput> = {}) =>
    client.send(
      new CreateTableCommand({
        TableName,
        BillingMode: "PAY_PER_REQUEST",
        AttributeDefinitions: [
          { AttributeName: "pk", AttributeType: "S" },
          { AttributeName: "sk", AttributeType: "S" },
        ],
        KeySchema: [
          { AttributeName: "pk", KeyType: "HASH" },
          { AttributeName: "sk", KeyType: "RANGE" },
        ],
        ...settings,
      }),
    );

  const put = (TableName: string, Item: Record<string, AttributeValue>) =>
    client.send(new PutItemCommand({ TableName, Item }));

  /** Every page of a query, and how many there were. */
  async function queryAll(input: QueryCommandInput) {
    const items: Record<string, AttributeValue>[] = [];
    let pages = 0;
    let ExclusiveStartKey: Record<string, AttributeValue> | undefined;
    do {
      const page = await client.send(
        new QueryCommand({ ...input, ...(ExclusiveStartKey ? { ExclusiveStartKey } : {}) }),
      );
      items.push(...(page.Items ?? []));
      pages++;
      ExclusiveStartKey = page.LastEvaluatedKey;
    } while (ExclusiveStartKey !== undefined);
    return { items, pages };
  }

  return { aws, config, client, raw, createTable, put, queryAll };
}

/** The name and message of what a call was refused with. */
export async function refusal(call: Promise<unknown>) {
  try {
    await call;
  } catch (error) {
    if (error instanceof Error) return `${error.name}: ${error.message}`;
  }
  return "not refused";
}
