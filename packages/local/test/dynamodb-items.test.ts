import {
  type AttributeValue,
  BatchGetItemCommand,
  BatchWriteItemCommand,
  DeleteItemCommand,
  GetItemCommand,
  PutItemCommand,
  type PutItemCommandInput,
  ScanCommand,
  UpdateItemCommand,
} from "@aws-sdk/client-dynamodb";
import { beforeEach, describe, expect, test } from "vitest";
import { dynamoWorld, refusal } from "./dynamodb-world.ts";

let world: ReturnType<typeof dynamoWorld>;
const TableName = "orders";
const key = { pk: { S: "a" }, sk: { S: "b" } };

beforeEach(async () => {
  world = dynamoWorld();
  await world.createTable(TableName);
});

const put = (Item: Record<string, AttributeValue>, more: Partial<PutItemCommandInput> = {}) =>
  world.client.send(new PutItemCommand({ TableName, Item, ...more }));
const get = async (Key: Record<string, AttributeValue> = key) =>
  (await world.client.send(new GetItemCommand({ TableName, Key }))).Item;

describe("storing", () => {
  test("every type comes back as it went in", async () => {
    const item = {
      ...key,
      text: { S: "é\u{1f600}" },
      empty: { S: "" },
      number: { N: "-12.5" },
      bytes: { B: Uint8Array.of(0, 255, 7) },
      yes: { BOOL: true },
      nothing: { NULL: true as const },
      map: { M: { inner: { L: [{ S: "x" }, { M: {} }] } } },
      texts: { SS: ["a", "b"] },
      numbers: { NS: ["1", "2.5"] },
      blobs: { BS: [Uint8Array.of(1), Uint8Array.of(2)] },
    };
    await put(item);
    expect(await get()).toEqual(item);
  });

  test("numbers come back in their one form, with all their digits", async () => {
    const forms: Record<string, string> = {
      "1.50": "1.5",
      "007": "7",
      "-0": "0",
      "+3": "3",
      "1e3": "1000",
      "12E-4": "0.0012",
      "12345678901234567890123456789012345678": "12345678901234567890123456789012345678",
      "0.10000000000000000000000000000000000001": "0.10000000000000000000000000000000000001",
      "1e125": `1${"0".repeat(125)}`,
    };
    for (const [given, kept] of Object.entries(forms)) {
      await put({ ...key, n: { N: given } });
      expect((await get())?.n).toEqual({ N: kept });
    }
  });

  test("an attribute may be called __proto__ and changes nothing else", async () => {
    const answer = await world.raw(
      "PutItem",
      `{"TableName":"orders","Item":{"pk":{"S":"a"},"sk":{"S":"b"},"__proto__":{"S":"x"}}}`,
    );
    expect(answer).toEqual({});
    const scan = await world.raw("Scan", { TableName });
    expect(JSON.stringify(scan)).toContain(`"__proto__":{"S":"x"}`);
    expect(({} as Record<string, unknown>).S).toBeUndefined();
  });

  test("a put replaces the whole item and returns the old one when asked", async () => {
    await put({ ...key, old: { S: "x" } });
    const answer = await put({ ...key, fresh: { S: "y" } }, { ReturnValues: "ALL_OLD" });
    expect(answer.Attributes).toEqual({ ...key, old: { S: "x" } });
    expect(await get()).toEqual({ ...key, fresh: { S: "y" } });
  });

  test("a missing item is no error, and deleting it neither", async () => {
    expect(await get()).toBeUndefined();
    const answer = await world.client.send(
      new DeleteItemCommand({ TableName, Key: key, ReturnValues: "ALL_OLD" }),
    );
    expect(answer.Attributes).toBeUndefined();
  });

  test("a projection cuts out nested parts in their shape", async () => {
    await put({
      ...key,
      m: { M: { a: { S: "1" }, b: { S: "2" } } },
      l: { L: [{ S: "x" }, { S: "y" }, { S: "z" }] },
      other: { S: "no" },
    });
    const { Item } = await world.client.send(
      new GetItemCommand({
        TableName,
        Key: key,
        ProjectionExpression: "sk, m.#b, l[2], l[0], gone.deep",
        ExpressionAttributeNames: { "#b": "b" },
      }),
    );
    expect(Item).toEqual({
      sk: { S: "b" },
      m: { M: { b: { S: "2" } } },
      l: { L: [{ S: "x" }, { S: "z" }] },
    });
  });

  test("a table may be named by its ARN", async () => {
    const arn = "arn:aws:dynamodb:us-east-1:000000000000:table/orders";
    await world.put(arn, { ...key, v: { N: "1" } });
    expect((await get())?.v).toEqual({ N: "1" });
  });

  test("consumed capacity is told when asked for", async () => {
    const answer = await put(
      { ...key, v: { S: "x".repeat(1500) } },
      { ReturnConsumedCapacity: "TOTAL" },
    );
    expect(answer.ConsumedCapacity).toEqual({ TableName, CapacityUnits: 2 });
  });
});

describe("bad items", () => {
  test.each<[string, Record<string, unknown>, RegExp]>([
    ["no sort key", { pk: { S: "a" } }, /Missing the key sk in the item/],
    [
      "a key of another type",
      { pk: { N: "1" }, sk: { S: "b" } },
      /Type mismatch for key pk expected: S actual: N/,
    ],
    [
      "an empty key",
      { pk: { S: "" }, sk: { S: "b" } },
      /cannot contain an empty string value. Key: pk/,
    ],
    ["a partition key of 2,049 bytes", { pk: { S: "x".repeat(2049) }, sk: { S: "b" } }, /hashkey/],
    ["a sort key of 1,025 bytes", { pk: { S: "a" }, sk: { S: "x".repeat(1025) } }, /range keys/],
    ["a value without a type", { ...key, v: {} }, /is empty, must contain exactly one/],
    ["a value with two types", { ...key, v: { S: "a", N: "1" } }, /more than one datatypes/],
    ["an unknown type", { ...key, v: { X: "a" } }, /exactly one of the supported datatypes/],
    [
      "a number that is none",
      { ...key, v: { N: "1x" } },
      /cannot be converted to a numeric value: 1x/,
    ],
    ["an empty number", { ...key, v: { N: "" } }, /cannot be converted to a numeric value/],
    ["NaN", { ...key, v: { N: "NaN" } }, /cannot be converted/],
    ["39 digits", { ...key, v: { N: "1".repeat(39) } }, /more than 38 significant digits/],
    ["1e126", { ...key, v: { N: "1e126" } }, /Number overflow/],
    ["1e-131", { ...key, v: { N: "1e-131" } }, /Number underflow/],
    ["an empty set", { ...key, v: { SS: [] } }, /set {2}may not be empty/],
    ["a set with a duplicate", { ...key, v: { SS: ["a", "a"] } }, /contains duplicates/],
    ["a number twice in two forms", { ...key, v: { NS: ["1", "1.0"] } }, /contains duplicates/],
    ["a false NULL", { ...key, v: { NULL: false } }, /must have the value of true/],
    ["a string that is a number", { ...key, v: { S: 5 } }, /another type found/],
    ["a value that is null", { ...key, v: null }, /another type found/],
    ["bytes that are not base64", { ...key, v: { B: "%%%" } }, /base64/],
  ])("%s is refused", async (_, Item, message) => {
    const answer = await world.raw("PutItem", { TableName, Item });
    expect(answer.__type).toMatch(/#(Validation|Serialization)Exception$/);
    expect(answer.message).toMatch(message);
    expect(world.aws.services.dynamodb.table(TableName).rows.size).toBe(0);
  });

  test("an item may have 400 KB and not a byte more", async () => {
    const room = 400 * 1024 - "pkaskbv".length;
    await put({ ...key, v: { S: "x".repeat(room) } });
    expect(await refusal(put({ ...key, v: { S: "x".repeat(room + 1) } }))).toBe(
      "ValidationException: Item size has exceeded the maximum allowed size",
    );
  });

  test("maps may nest 32 deep", async () => {
    let value: AttributeValue = { S: "x" };
    for (let depth = 0; depth < 32; depth++) value = { M: { a: value } };
    await put({ ...key, v: value });
    expect(await refusal(put({ ...key, v: { M: { a: value } } }))).toMatch(/Nesting Levels/);
  });

  test.each([
    ["too few", { pk: { S: "a" } }],
    ["too many", { ...key, x: { S: "c" } }],
    ["another name", { pk: { S: "a" }, x: { S: "b" } }],
    ["another type", { pk: { S: "a" }, sk: { N: "1" } }],
  ])("a key of %s attributes does not match the schema", async (_, Key) => {
    expect(await refusal(get(Key))).toBe(
      "ValidationException: The provided key element does not match the schema",
    );
  });

  test("a table that does not exist is not found", async () => {
    expect(await refusal(world.put("nowhere", key))).toBe(
      "ResourceNotFoundException: Requested resource not found",
    );
  });
});

describe("conditional writes", () => {
  test("a second creation fails and shows what is there", async () => {
    const create = (by: string) =>
      put(
        { ...key, by: { S: by } },
        {
          ConditionExpression: "attribute_not_exists(pk)",
          ReturnValuesOnConditionCheckFailure: "ALL_OLD",
        },
      );
    await create("first");
    const error = await create("second").catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      name: "ConditionalCheckFailedException",
      message: "The conditional request failed",
      Item: { ...key, by: { S: "first" } },
    });
    expect((await get())?.by).toEqual({ S: "first" });
  });

  test("without ALL_OLD the failure shows nothing", async () => {
    await put(key);
    const error = await put(key, { ConditionExpression: "attribute_not_exists(pk)" }).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ name: "ConditionalCheckFailedException" });
    expect((error as { Item?: unknown }).Item).toBeUndefined();
  });

  test("an update and a delete under a failed condition change nothing", async () => {
    await put({ ...key, state: { S: "open" } });
    const shared = {
      TableName,
      Key: key,
      ConditionExpression: "#s = :closed",
      ExpressionAttributeNames: { "#s": "state" },
      ReturnValuesOnConditionCheckFailure: "ALL_OLD" as const,
    };
    const values = { ":closed": { S: "closed" } };
    for (const command of [
      new DeleteItemCommand({ ...shared, ExpressionAttributeValues: values }),
      new UpdateItemCommand({
        ...shared,
        UpdateExpression: "SET #s = :closed",
        ExpressionAttributeValues: values,
      }),
    ]) {
      const error = await world.client.send(command as DeleteItemCommand).catch((e: unknown) => e);
      expect(error).toMatchObject({
        name: "ConditionalCheckFailedException",
        Item: { state: { S: "open" } },
      });
    }
    expect((await get())?.state).toEqual({ S: "open" });
  });

  test("put and delete return the old item or nothing", async () => {
    expect(await refusal(put(key, { ReturnValues: "ALL_NEW" }))).toBe(
      "ValidationException: ReturnValues can only be ALL_OLD or NONE",
    );
  });
});

describe("batches", () => {
  const numbered = (n: number) => ({ pk: { S: "a" }, sk: { S: String(n).padStart(3, "0") } });
  const write = (count: number) =>
    world.client.send(
      new BatchWriteItemCommand({
        RequestItems: {
          [TableName]: Array.from({ length: count }, (_, n) => ({
            PutRequest: { Item: { ...numbered(n), n: { N: String(n) } } },
          })),
        },
      }),
    );

  test("25 are written and found again by key", async () => {
    expect((await write(25)).UnprocessedItems).toEqual({});
    const { Responses } = await world.client.send(
      new BatchGetItemCommand({
        RequestItems: {
          [TableName]: {
            Keys: [numbered(3), numbered(24), numbered(99)],
            ProjectionExpression: "n",
          },
        },
      }),
    );
    expect(Responses?.[TableName]).toEqual([{ n: { N: "3" } }, { n: { N: "24" } }]);
  });

  test("26 are too many, and none is written", async () => {
    expect(await refusal(write(26))).toMatch(/Too many items requested/);
    expect((await world.client.send(new ScanCommand({ TableName }))).Count).toBe(0);
  });

  test("one bad element refuses the batch as a whole", async () => {
    const call = world.client.send(
      new BatchWriteItemCommand({
        RequestItems: {
          [TableName]: [
            { PutRequest: { Item: numbered(1) } },
            { DeleteRequest: { Key: { pk: { S: "a" } } } },
          ],
        },
      }),
    );
    expect(await refusal(call)).toMatch(/does not match the schema/);
    expect(await get(numbered(1))).toBeUndefined();
  });

  test("the same key twice is refused", async () => {
    const element = { PutRequest: { Item: numbered(1) } };
    const call = world.client.send(
      new BatchWriteItemCommand({ RequestItems: { [TableName]: [element, element] } }),
    );
    expect(await refusal(call)).toMatch(/contains duplicates/);
    const reading = world.client.send(
      new BatchGetItemCommand({
        RequestItems: { [TableName]: { Keys: [numbered(1), numbered(1)] } },
      }),
    );
    expect(await refusal(reading)).toMatch(/contains duplicates/);
  });

  test("what does not fit into 16 MB is returned as unprocessed", async () => {
    world.aws.services.dynamodb.load(
      TableName,
      Array.from({ length: 50 }, (_, n) => ({ ...numbered(n), v: { S: "x".repeat(390 * 1024) } })),
    );
    const { Responses, UnprocessedKeys } = await world.client.send(
      new BatchGetItemCommand({
        RequestItems: { [TableName]: { Keys: Array.from({ length: 50 }, (_, n) => numbered(n)) } },
      }),
    );
    expect(Responses?.[TableName]).toHaveLength(42);
    expect(UnprocessedKeys?.[TableName]?.Keys).toHaveLength(8);
  });
});
