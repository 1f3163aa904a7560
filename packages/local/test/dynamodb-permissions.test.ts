import {
  BatchGetItemCommand,
  BatchWriteItemCommand,
  DynamoDBClient,
  GetItemCommand,
  ListTablesCommand,
  PutItemCommand,
  QueryCommand,
  ScanCommand,
  TransactGetItemsCommand,
  TransactWriteItemsCommand,
  UpdateItemCommand,
} from "@aws-sdk/client-dynamodb";
import { CreateRoleCommand, IAMClient, PutRolePolicyCommand } from "@aws-sdk/client-iam";
import { beforeEach, expect, test } from "vitest";
import { dynamoWorld, refusal } from "./dynamodb-world.ts";

let world: ReturnType<typeof dynamoWorld>;
const TableName = "orders";
const arn = "arn:aws:dynamodb:us-east-1:000000000000:table/orders";
const keyOf = (pk: string) => ({ pk: { S: pk }, sk: { S: "s" } });

beforeEach(async () => {
  world = dynamoWorld();
  await world.createTable(TableName, {
    AttributeDefinitions: ["pk", "sk", "owner"].map((AttributeName) => ({
      AttributeName,
      AttributeType: "S" as const,
    })),
    GlobalSecondaryIndexes: [
      {
        IndexName: "by-owner",
        KeySchema: [{ AttributeName: "owner", KeyType: "HASH" }],
        Projection: { ProjectionType: "ALL" },
      },
    ],
    StreamSpecification: { StreamEnabled: true, StreamViewType: "KEYS_ONLY" },
  });
});

/** The client of a role that may do just this. */
async function clientWith(...Statement: object[]) {
  const iam = new IAMClient(world.config);
  const RoleName = "tester";
  await iam.send(
    new CreateRoleCommand({
      RoleName,
      AssumeRolePolicyDocument: JSON.stringify({
        Version: "2012-10-17",
        Statement: [
          {
            Effect: "Allow",
            Principal: { Service: "lambda.amazonaws.com" },
            Action: "sts:AssumeRole",
          },
        ],
      }),
    }),
  );
  const PolicyDocument = JSON.stringify({ Version: "2012-10-17", Statement });
  await iam.send(new PutRolePolicyCommand({ RoleName, PolicyName: "p", PolicyDocument }));
  await world.aws.advance(5000);
  const credentials = world.aws.credentialsFor("arn:aws:iam::000000000000:role/tester", "s");
  return new DynamoDBClient({ ...world.config, credentials });
}
const allow = (Action: string | string[], Resource: string, Condition?: object) => ({
  Effect: "Allow",
  Action,
  Resource,
  ...(Condition ? { Condition } : {}),
});
const denied =
  /^AccessDeniedException: User: arn:aws:sts::000000000000:assumed-role\/tester\/s is not authorized to perform: /;
const own = { "ForAllValues:StringEquals": { "dynamodb:LeadingKeys": ["mine"] } };
const query = (pk: string, IndexName?: string) =>
  new QueryCommand({
    TableName,
    KeyConditionExpression: "#k = :k",
    ExpressionAttributeNames: { "#k": IndexName === undefined ? "pk" : "owner" },
    ExpressionAttributeValues: { ":k": { S: pk } },
    ...(IndexName ? { IndexName } : {}),
  });

test("an action and its table are asked for by name", async () => {
  const client = await clientWith(allow("dynamodb:GetItem", arn));
  await client.send(new GetItemCommand({ TableName, Key: keyOf("a") }));
  expect(await refusal(client.send(new PutItemCommand({ TableName, Item: keyOf("a") })))).toMatch(
    denied,
  );
  const elsewhere = await refusal(
    client.send(new GetItemCommand({ TableName: "others", Key: keyOf("a") })),
  );
  expect(elsewhere).toContain(
    "dynamodb:GetItem on resource: arn:aws:dynamodb:us-east-1:000000000000:table/others",
  );
  expect(await refusal(client.send(new ListTablesCommand({})))).toContain(
    "dynamodb:ListTables on resource: *",
  );
});

test("an index is a resource of its own", async () => {
  const client = await clientWith(allow("dynamodb:Query", `${arn}/index/by-owner`));
  await client.send(query("x", "by-owner"));
  expect(await refusal(client.send(query("x")))).toMatch(denied);
});

test("leading keys hold for items, batches, queries and their indexes", async () => {
  const client = await clientWith(allow("dynamodb:*", `${arn}*`, own));
  const Item = { ...keyOf("mine"), owner: { S: "mine" } };
  await client.send(new PutItemCommand({ TableName, Item }));
  await client.send(query("mine"));
  await client.send(query("mine", "by-owner"));
  await client.send(
    new BatchGetItemCommand({ RequestItems: { [TableName]: { Keys: [keyOf("mine")] } } }),
  );
  for (const command of [
    new PutItemCommand({ TableName, Item: keyOf("yours") }),
    query("yours"),
    query("yours", "by-owner"),
    new BatchGetItemCommand({
      RequestItems: { [TableName]: { Keys: [keyOf("mine"), keyOf("yours")] } },
    }),
    new BatchWriteItemCommand({
      RequestItems: {
        [TableName]: [{ PutRequest: { Item } }, { DeleteRequest: { Key: keyOf("yours") } }],
      },
    }),
  ])
    expect(await refusal(client.send(command as PutItemCommand))).toMatch(denied);
  expect(world.aws.services.dynamodb.table(TableName).rows.size).toBe(1);
});

test("the leading key of a query is found wherever it stands", async () => {
  const client = await clientWith(allow("dynamodb:Query", arn, own));
  const send = (pk: string) =>
    client.send(
      new QueryCommand({
        TableName,
        KeyConditionExpression: "begins_with(sk, :s) AND (:k = pk)",
        ExpressionAttributeValues: { ":k": { S: pk }, ":s": { S: "mine" } },
      }),
    );
  await send("mine");
  expect(await refusal(send("yours"))).toMatch(denied);
});

test("a number is asked for in its stored form", async () => {
  await world.createTable("numbers", {
    AttributeDefinitions: [{ AttributeName: "n", AttributeType: "N" }],
    KeySchema: [{ AttributeName: "n", KeyType: "HASH" }],
  });
  const client = await clientWith(allow("dynamodb:GetItem", "*"), {
    Effect: "Deny",
    Action: "*",
    Resource: "*",
    Condition: { "ForAnyValue:StringEquals": { "dynamodb:LeadingKeys": ["1"] } },
  });
  const get = (N: string) =>
    client.send(new GetItemCommand({ TableName: "numbers", Key: { n: { N } } }));
  await get("2");
  for (const form of ["1", "01", "1.0", "10e-1"]) expect(await refusal(get(form))).toMatch(denied);
});

test("a transaction needs each item's own permission, and a refusal leaves nothing", async () => {
  const client = await clientWith(
    allow(["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:GetItem"], arn, own),
  );
  const put = (pk: string) => ({ Put: { TableName, Item: keyOf(pk) } });
  const send = (...TransactItems: object[]) =>
    refusal(client.send(new TransactWriteItemsCommand({ TransactItems })));
  expect(await send(put("mine"), put("yours"))).toMatch(denied);
  expect(
    await send(put("mine"), {
      ConditionCheck: {
        TableName,
        Key: { pk: { S: "mine" }, sk: { S: "other" } },
        ConditionExpression: "attribute_not_exists(pk)",
      },
    }),
  ).toContain("dynamodb:ConditionCheckItem");
  expect(await send({ Delete: { TableName, Key: keyOf("mine") } })).toContain(
    "dynamodb:DeleteItem",
  );
  expect(world.aws.services.dynamodb.table(TableName).rows.size).toBe(0);
  expect(await send(put("mine"))).toBe("not refused");
  const read = (pk: string) =>
    refusal(
      client.send(
        new TransactGetItemsCommand({ TransactItems: [{ Get: { TableName, Key: keyOf(pk) } }] }),
      ),
    );
  expect(await read("mine")).toBe("not refused");
  expect(await read("yours")).toMatch(denied);
});

test("attributes, select and return values can be conditions", async () => {
  const client = await clientWith(
    allow(["dynamodb:GetItem", "dynamodb:UpdateItem", "dynamodb:Scan"], arn, {
      "ForAllValues:StringEquals": { "dynamodb:Attributes": ["pk", "sk", "v"] },
      StringEqualsIfExists: {
        "dynamodb:Select": "SPECIFIC_ATTRIBUTES",
        "dynamodb:ReturnValues": ["NONE", "UPDATED_NEW"],
      },
    }),
  );
  const get = (ProjectionExpression?: string) =>
    refusal(
      client.send(
        new GetItemCommand({
          TableName,
          Key: keyOf("a"),
          ...(ProjectionExpression ? { ProjectionExpression } : {}),
        }),
      ),
    );
  expect(await get("v.deep")).toBe("not refused");
  expect(await get("v, secret")).toMatch(denied);
  expect(await get()).toMatch(denied);
  const update = (name: string, ReturnValues?: "ALL_NEW" | "UPDATED_NEW") =>
    refusal(
      client.send(
        new UpdateItemCommand({
          TableName,
          Key: keyOf("a"),
          UpdateExpression: "SET #n = :v",
          ExpressionAttributeNames: { "#n": name },
          ExpressionAttributeValues: { ":v": { S: "x" } },
          ...(ReturnValues ? { ReturnValues } : {}),
        }),
      ),
    );
  expect(await update("v")).toBe("not refused");
  expect(await update("v", "UPDATED_NEW")).toBe("not refused");
  expect(await update("v", "ALL_NEW")).toMatch(denied);
  expect(await update("secret")).toMatch(denied);
  const scan = (FilterExpression: string) =>
    refusal(
      client.send(new ScanCommand({ TableName, ProjectionExpression: "v", FilterExpression })),
    );
  expect(await scan("attribute_exists(v)")).toBe("not refused");
  expect(await scan("attribute_exists(secret)")).toMatch(denied);
});

test("a stream's records need permission on the stream", async () => {
  const client = await clientWith(allow("dynamodb:*", arn));
  expect(await refusal(client.send(new ListTablesCommand({})))).toMatch(denied);
  const { Streams } = (await world.raw(
    "ListStreams",
    { TableName },
    "DynamoDBStreams_20120810",
  )) as {
    Streams: { StreamArn: string }[];
  };
  expect(Streams[0]?.StreamArn).toMatch(new RegExp(`^${arn}/stream/`));
});
