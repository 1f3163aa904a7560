/** What item operations accept. Attribute values are only checked to be objects here: `admit` does the rest, faster. */
import { z } from "zod";
import { type Item, isRecord } from "./values.ts";

const Attributes = z.custom<Item>(isRecord, "expected a map of attribute values");
const Names = z.custom<Readonly<Record<string, string>>>((value) => {
  if (!isRecord(value)) return false;
  for (const name in value) if (typeof value[name] !== "string") return false;
  return true;
}, "expected a map of strings");

export const TableName = z.string().min(1).max(1024);
const text = z.string().optional();
const flag = z.boolean().optional();
const capacity = z.enum(["NONE", "TOTAL"]).optional();
const metrics = z.literal("NONE").optional();
const returnValues = z
  .enum(["NONE", "ALL_OLD", "UPDATED_OLD", "ALL_NEW", "UPDATED_NEW"])
  .optional();

const placeholders = {
  ExpressionAttributeNames: Names.optional(),
  ExpressionAttributeValues: Attributes.optional(),
};
const conditional = {
  TableName,
  ConditionExpression: text,
  ReturnValuesOnConditionCheckFailure: z.enum(["NONE", "ALL_OLD"]).optional(),
  ...placeholders,
};
const answering = {
  ReturnValues: returnValues,
  ReturnConsumedCapacity: capacity,
  ReturnItemCollectionMetrics: metrics,
};

export const PutItemInput = z.strictObject({ ...conditional, ...answering, Item: Attributes });
export const DeleteItemInput = z.strictObject({ ...conditional, ...answering, Key: Attributes });
export const UpdateItemInput = z.strictObject({
  ...conditional,
  ...answering,
  Key: Attributes,
  UpdateExpression: text,
});
const reading = {
  Key: Attributes,
  ProjectionExpression: text,
  ExpressionAttributeNames: Names.optional(),
};
export const GetItemInput = z.strictObject({
  TableName,
  ...reading,
  ConsistentRead: flag,
  ReturnConsumedCapacity: capacity,
});

const walking = {
  TableName,
  IndexName: text,
  ConsistentRead: flag,
  ExclusiveStartKey: Attributes.optional(),
  FilterExpression: text,
  ProjectionExpression: text,
  Limit: z.int().min(1).optional(),
  Select: z
    .enum(["ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES", "SPECIFIC_ATTRIBUTES", "COUNT"])
    .optional(),
  ReturnConsumedCapacity: capacity,
  ...placeholders,
};
export const QueryInput = z.strictObject({
  ...walking,
  KeyConditionExpression: text,
  ScanIndexForward: flag,
});
export const ScanInput = z.strictObject({
  ...walking,
  Segment: z.int().min(0).max(999_999).optional(),
  TotalSegments: z.int().min(1).max(1_000_000).optional(),
});

export const BatchGetItemInput = z.strictObject({
  RequestItems: z.record(
    z.string(),
    z.strictObject({
      Keys: z.array(Attributes).min(1),
      ProjectionExpression: text,
      ExpressionAttributeNames: Names.optional(),
      ConsistentRead: flag,
    }),
  ),
  ReturnConsumedCapacity: capacity,
});
export const BatchWriteItemInput = z.strictObject({
  RequestItems: z.record(
    z.string(),
    z
      .array(
        z.strictObject({
          PutRequest: z.strictObject({ Item: Attributes }).optional(),
          DeleteRequest: z.strictObject({ Key: Attributes }).optional(),
        }),
      )
      .min(1),
  ),
  ReturnConsumedCapacity: capacity,
  ReturnItemCollectionMetrics: metrics,
});

export const TransactWriteItemsInput = z.strictObject({
  TransactItems: z
    .array(
      z.strictObject({
        Put: z.strictObject({ ...conditional, Item: Attributes }).optional(),
        Update: z
          .strictObject({ ...conditional, Key: Attributes, UpdateExpression: z.string() })
          .optional(),
        Delete: z.strictObject({ ...conditional, Key: Attributes }).optional(),
        ConditionCheck: z
          .strictObject({ ...conditional, Key: Attributes, ConditionExpression: z.string() })
          .optional(),
      }),
    )
    .min(1)
    .max(100),
  ClientRequestToken: z.string().min(1).max(36).optional(),
  ReturnConsumedCapacity: capacity,
  ReturnItemCollectionMetrics: metrics,
});
export const TransactGetItemsInput = z.strictObject({
  TransactItems: z
    .array(z.strictObject({ Get: z.strictObject({ TableName, ...reading }) }))
    .min(1)
    .max(100),
  ReturnConsumedCapacity: capacity,
});
