import {
  DeleteTableCommand,
  DescribeContinuousBackupsCommand,
  DescribeTableCommand,
  DescribeTimeToLiveCommand,
  DynamoDBClient,
  ListTablesCommand,
  QueryCommand,
  ScanCommand,
  UpdateContinuousBackupsCommand,
  UpdateTableCommand,
  UpdateTimeToLiveCommand,
  waitUntilTableExists,
} from "@aws-sdk/client-dynamodb";
import { beforeEach, describe, expect, test } from "vitest";
import { dynamoWorld, refusal } from "./dynamodb-world.ts";

let world: ReturnType<typeof dynamoWorld>;
beforeEach(() => {
  world = dynamoWorld();
});

const gsi = {
  IndexName: "by-state",
  KeySchema: [{ AttributeName: "state", KeyType: "HASH" as const }],
  Projection: { ProjectionType: "ALL" as const },
};
const withState = [
  { AttributeName: "pk", AttributeType: "S" as const },
  { AttributeName: "sk", AttributeType: "S" as const },
  { AttributeName: "state", AttributeType: "S" as const },
];

describe("creating", () => {
  test("a table is described as it was created, and waiters find it", async () => {
    const created = await world.createTable("orders", {
      AttributeDefinitions: withState,
      GlobalSecondaryIndexes: [gsi],
      StreamSpecification: { StreamEnabled: true, StreamViewType: "NEW_AND_OLD_IMAGES" },
    });
    expect(created.TableDescription?.TableStatus).toBe("CREATING");
    await waitUntilTableExists({ client: world.client, maxWaitTime: 30 }, { TableName: "orders" });
    const { Table } = await world.client.send(new DescribeTableCommand({ TableName: "orders" }));
    expect(Table).toMatchObject({
      TableArn: "arn:aws:dynamodb:us-east-1:000000000000:table/orders",
      TableStatus: "ACTIVE",
      ItemCount: 0,
      BillingModeSummary: { BillingMode: "PAY_PER_REQUEST" },
      StreamSpecification: { StreamEnabled: true, StreamViewType: "NEW_AND_OLD_IMAGES" },
      GlobalSecondaryIndexes: [{ IndexName: "by-state", IndexStatus: "ACTIVE" }],
    });
    expect(Table?.CreationDateTime).toEqual(new Date(Date.UTC(2026, 0, 5, 12)));
    expect(Table?.LatestStreamArn).toBe(
      "arn:aws:dynamodb:us-east-1:000000000000:table/orders/stream/2026-01-05T12:00:00.000",
    );
  });

  test("a name is taken only once", async () => {
    await world.createTable("orders");
    expect(await refusal(world.createTable("orders"))).toBe(
      "ResourceInUseException: Table already exists: orders",
    );
  });

  test.each([
    ["a short name", { TableName: "ab" }, /TableName must be at least 3/],
    ["a name with a slash", { TableName: "a/b/c" }, /TableName must be/],
    [
      "a key attribute without a definition",
      { AttributeDefinitions: [{ AttributeName: "pk", AttributeType: "S" as const }] },
      /Some index key attributes are not defined/,
    ],
    ["a definition that no key uses", { AttributeDefinitions: withState }, /not used/],
    [
      "a range key first",
      { KeySchema: [{ AttributeName: "pk", KeyType: "RANGE" as const }] },
      /not a HASH key/,
    ],
    [
      "one attribute for both keys",
      {
        KeySchema: [
          { AttributeName: "pk", KeyType: "HASH" as const },
          { AttributeName: "pk", KeyType: "RANGE" as const },
        ],
      },
      /same name/,
    ],
    [
      "throughput beside on-demand billing",
      { ProvisionedThroughput: { ReadCapacityUnits: 1, WriteCapacityUnits: 1 } },
      /BillingMode is PAY_PER_REQUEST/,
    ],
    [
      "no throughput for provisioned billing",
      { BillingMode: "PROVISIONED" as const },
      /PROVISIONED/,
    ],
    [
      "a stream without a view",
      { StreamSpecification: { StreamEnabled: true } },
      /StreamViewType must be specified/,
    ],
    [
      "included attributes without their names",
      {
        AttributeDefinitions: withState,
        GlobalSecondaryIndexes: [{ ...gsi, Projection: { ProjectionType: "INCLUDE" as const } }],
      },
      /NonKeyAttributes is not specified/,
    ],
    [
      "two indexes of one name",
      { AttributeDefinitions: withState, GlobalSecondaryIndexes: [gsi, gsi] },
      /Duplicate index name/,
    ],
    [
      "local secondary indexes, which are not built",
      { LocalSecondaryIndexes: [{ ...gsi, Projection: { ProjectionType: "ALL" as const } }] },
      /Unknown parameter in input: LocalSecondaryIndexes/,
    ],
  ])("%s is refused, and there is no table", async (_, settings, message) => {
    const answer = await refusal(world.createTable("orders", settings));
    expect(answer).toMatch(/^ValidationException/);
    expect(answer).toMatch(message);
    expect((await world.client.send(new ListTablesCommand({}))).TableNames).toEqual([]);
  });
});

describe("settings", () => {
  test("tables are listed by name, page by page", async () => {
    for (const name of ["ccc", "aaa", "bbb"]) await world.createTable(name);
    const first = await world.client.send(new ListTablesCommand({ Limit: 2 }));
    expect(first).toMatchObject({ TableNames: ["aaa", "bbb"], LastEvaluatedTableName: "bbb" });
    const rest = await world.client.send(new ListTablesCommand({ ExclusiveStartTableName: "bbb" }));
    expect(rest.TableNames).toEqual(["ccc"]);
    expect(rest.LastEvaluatedTableName).toBeUndefined();
  });

  test("a deleted table is gone with its items", async () => {
    await world.createTable("orders");
    await world.put("orders", { pk: { S: "a" }, sk: { S: "b" } });
    await world.client.send(new DeleteTableCommand({ TableName: "orders" }));
    expect(
      await refusal(world.client.send(new DescribeTableCommand({ TableName: "orders" }))),
    ).toBe("ResourceNotFoundException: Requested resource not found: Table: orders not found");
    await world.createTable("orders");
    expect((await world.client.send(new ScanCommand({ TableName: "orders" }))).Count).toBe(0);
  });

  test("deletion protection holds until it is taken off", async () => {
    await world.createTable("orders", { DeletionProtectionEnabled: true });
    const remove = () => world.client.send(new DeleteTableCommand({ TableName: "orders" }));
    expect(await refusal(remove())).toMatch(/protected against deletion/);
    await world.client.send(
      new UpdateTableCommand({ TableName: "orders", DeletionProtectionEnabled: false }),
    );
    await remove();
  });

  test("an index added later holds the items that were there, and one that is removed is gone", async () => {
    await world.createTable("orders");
    await world.put("orders", { pk: { S: "a" }, sk: { S: "1" }, state: { S: "open" } });
    await world.put("orders", { pk: { S: "a" }, sk: { S: "2" }, state: { N: "1" } });
    await world.client.send(
      new UpdateTableCommand({
        TableName: "orders",
        AttributeDefinitions: withState,
        GlobalSecondaryIndexUpdates: [{ Create: gsi }],
      }),
    );
    const query = () =>
      world.client.send(
        new QueryCommand({
          TableName: "orders",
          IndexName: "by-state",
          KeyConditionExpression: "#s = :s",
          ExpressionAttributeNames: { "#s": "state" },
          ExpressionAttributeValues: { ":s": { S: "open" } },
        }),
      );
    expect((await query()).Items).toHaveLength(1);
    await world.client.send(
      new UpdateTableCommand({
        TableName: "orders",
        GlobalSecondaryIndexUpdates: [{ Delete: { IndexName: "by-state" } }],
      }),
    );
    expect(await refusal(query())).toMatch(/does not have the specified index: by-state/);
  });

  test("time to live is switched on once, and off by its own attribute", async () => {
    await world.createTable("orders");
    const set = (Enabled: boolean, AttributeName = "ttl") =>
      world.client.send(
        new UpdateTimeToLiveCommand({
          TableName: "orders",
          TimeToLiveSpecification: { Enabled, AttributeName },
        }),
      );
    expect(await refusal(set(false))).toMatch(/already disabled/);
    await set(true);
    expect(await refusal(set(true))).toMatch(/already enabled/);
    expect(await refusal(set(true, "other"))).toMatch(/different AttributeName/);
    const described = await world.client.send(
      new DescribeTimeToLiveCommand({ TableName: "orders" }),
    );
    expect(described.TimeToLiveDescription).toEqual({
      TimeToLiveStatus: "ENABLED",
      AttributeName: "ttl",
    });
    await set(false);
  });

  test("point-in-time recovery is remembered", async () => {
    await world.createTable("orders");
    await world.client.send(
      new UpdateContinuousBackupsCommand({
        TableName: "orders",
        PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true },
      }),
    );
    const { ContinuousBackupsDescription } = await world.client.send(
      new DescribeContinuousBackupsCommand({ TableName: "orders" }),
    );
    expect(ContinuousBackupsDescription?.PointInTimeRecoveryDescription).toMatchObject({
      PointInTimeRecoveryStatus: "ENABLED",
    });
  });
});

describe("bad requests", () => {
  test("an operation that is not built, or belongs to the other API, is unknown", async () => {
    expect((await world.raw("CreateBackup", {})).__type).toMatch(/UnknownOperationException/);
    expect((await world.raw("ListStreams", {})).__type).toMatch(/UnknownOperationException/);
    const answer = await world.raw("PutItem", {}, "DynamoDBStreams_20120810");
    expect(answer.__type).toMatch(/UnknownOperationException/);
  });

  test("what is no JSON is refused", async () => {
    expect((await world.raw("GetItem", "{")).__type).toMatch(/SerializationException/);
    expect((await world.raw("GetItem", "[]")).__type).toMatch(/SerializationException/);
  });

  test.each([
    ["PutItem", { Expected: {} }],
    ["Query", { KeyConditions: {} }],
    ["Query", { QueryFilter: {} }],
    ["Scan", { ScanFilter: {} }],
    ["GetItem", { AttributesToGet: ["a"] }],
    ["UpdateItem", { AttributeUpdates: {} }],
    ["DeleteItem", { ConditionalOperator: "AND" }],
  ])("%s refuses the legacy parameter %o", async (operation, legacy) => {
    await world.createTable("orders");
    const key = { pk: { S: "a" }, sk: { S: "b" } };
    const base = operation === "PutItem" ? { Item: key } : { Key: key };
    const needsKey = operation !== "Query" && operation !== "Scan";
    const answer = await world.raw(operation, {
      TableName: "orders",
      ...(needsKey ? base : {}),
      ...legacy,
    });
    expect(answer.__type).toMatch(/ValidationException/);
    expect(answer.message).toBe(
      `1 validation error detected: Unknown parameter in input: ${Object.keys(legacy)[0]}`,
    );
  });

  test("a wrong secret is refused before anything is read", async () => {
    const stranger = new DynamoDBClient({
      ...world.config,
      credentials: { accessKeyId: "local", secretAccessKey: "guess" },
    });
    expect(await refusal(stranger.send(new ListTablesCommand({})))).toMatch(/Signature/);
  });
});
