/** Definitions of tables: what CreateTable and UpdateTable accept, and how they are described. */
import { z } from "zod";
import { invalid, invalidParameters } from "./errors.ts";
import type { IndexDefinition, KeySchema, Projection, ScalarType } from "./table.ts";

const KeySchemaInput = z
  .array(
    z.strictObject({
      AttributeName: z.string().min(1).max(255),
      KeyType: z.enum(["HASH", "RANGE"]),
    }),
  )
  .min(1)
  .max(2);
export const AttributeDefinitions = z.array(
  z.strictObject({
    AttributeName: z.string().min(1).max(255),
    AttributeType: z.enum(["S", "N", "B"]),
  }),
);
export const Throughput = z.strictObject({
  ReadCapacityUnits: z.int().min(1),
  WriteCapacityUnits: z.int().min(1),
});
export const IndexInput = z.strictObject({
  IndexName: z.string().regex(/^[a-zA-Z0-9_.-]{3,255}$/),
  KeySchema: KeySchemaInput,
  Projection: z.strictObject({
    ProjectionType: z.enum(["ALL", "KEYS_ONLY", "INCLUDE"]).optional(),
    NonKeyAttributes: z.array(z.string().min(1).max(255)).min(1).max(100).optional(),
  }),
  ProvisionedThroughput: Throughput.optional(),
});
export const StreamSpecification = z.strictObject({
  StreamEnabled: z.boolean(),
  StreamViewType: z.enum(["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"]).optional(),
});
export const BillingMode = z.enum(["PAY_PER_REQUEST", "PROVISIONED"]);
export const CreateTableInput = z.strictObject({
  TableName: z.string().min(1).max(1024),
  AttributeDefinitions,
  KeySchema: KeySchemaInput,
  GlobalSecondaryIndexes: z.array(IndexInput).min(1).max(20).optional(),
  BillingMode: BillingMode.optional(),
  ProvisionedThroughput: Throughput.optional(),
  StreamSpecification: StreamSpecification.optional(),
  DeletionProtectionEnabled: z.boolean().optional(),
});

export const UpdateTableInput = z.strictObject({
  TableName: z.string().min(1).max(1024),
  AttributeDefinitions: AttributeDefinitions.optional(),
  BillingMode: BillingMode.optional(),
  ProvisionedThroughput: Throughput.optional(),
  GlobalSecondaryIndexUpdates: z
    .array(
      z.strictObject({
        Create: IndexInput.optional(),
        Delete: z.strictObject({ IndexName: z.string() }).optional(),
      }),
    )
    .optional(),
  StreamSpecification: StreamSpecification.optional(),
  DeletionProtectionEnabled: z.boolean().optional(),
});

export type AttributeDefinition = z.infer<typeof AttributeDefinitions>[number];
export type StreamSettings = z.infer<typeof StreamSpecification>;

/** @throws ValidationException where the names do not make a key. */
export function keySchema(
  given: z.infer<typeof KeySchemaInput>,
  definitions: readonly AttributeDefinition[],
): KeySchema {
  const [first, second] = given;
  if (first === undefined || first.KeyType !== "HASH")
    throw invalid("Invalid KeySchema: The first KeySchemaElement is not a HASH key type");
  if (second !== undefined && second.KeyType !== "RANGE")
    throw invalid("Invalid KeySchema: The second KeySchemaElement is not a RANGE key type");
  if (second?.AttributeName === first.AttributeName)
    throw invalid(
      "Both the Hash Key and the Range Key element in the KeySchema have the same name",
    );
  const typeOfKey = (name: string): ScalarType => {
    const found = definitions.find((definition) => definition.AttributeName === name);
    if (found === undefined)
      throw invalidParameters(
        `Some index key attributes are not defined in AttributeDefinitions. Keys: [${given.map((key) => key.AttributeName).join(", ")}], AttributeDefinitions: [${definitions.map((definition) => definition.AttributeName).join(", ")}]`,
      );
    return found.AttributeType;
  };
  const partition = { name: first.AttributeName, type: typeOfKey(first.AttributeName) };
  if (second === undefined) return { partition };
  return { partition, sort: { name: second.AttributeName, type: typeOfKey(second.AttributeName) } };
}

export function indexDefinition(
  given: z.infer<typeof IndexInput>,
  definitions: readonly AttributeDefinition[],
): IndexDefinition {
  const { ProjectionType, NonKeyAttributes } = given.Projection;
  if (ProjectionType === undefined) throw invalidParameters("Unknown ProjectionType: null");
  let projection: Projection;
  if (ProjectionType === "INCLUDE") {
    if (NonKeyAttributes === undefined)
      throw invalidParameters("ProjectionType is INCLUDE, but NonKeyAttributes is not specified");
    projection = { type: "INCLUDE", attributes: NonKeyAttributes };
  } else {
    if (NonKeyAttributes !== undefined)
      throw invalidParameters(
        `ProjectionType is ${ProjectionType}, but NonKeyAttributes is specified`,
      );
    projection = { type: ProjectionType };
  }
  return { name: given.IndexName, keys: keySchema(given.KeySchema, definitions), projection };
}

/** Definitions that no key uses are refused, as they are most often a misunderstanding. */
export function checkDefinitions(
  definitions: readonly AttributeDefinition[],
  schemas: readonly KeySchema[],
): void {
  const names = definitions.map((definition) => definition.AttributeName);
  if (new Set(names).size !== names.length)
    throw invalidParameters("Cannot have two attributes with the same name");
  const used = new Set(
    schemas.flatMap(({ partition, sort }) =>
      sort === undefined ? [partition.name] : [partition.name, sort.name],
    ),
  );
  if (names.some((name) => !used.has(name)))
    throw invalidParameters(
      `Some AttributeDefinitions are not used. AttributeDefinitions: [${names.join(", ")}], keys used: [${[...used].join(", ")}]`,
    );
}

export const describeKeys = ({ partition, sort }: KeySchema) => [
  { AttributeName: partition.name, KeyType: "HASH" },
  ...(sort === undefined ? [] : [{ AttributeName: sort.name, KeyType: "RANGE" }]),
];

/** Each key attribute of a table and its indexes, once. */
export function describeDefinitions(schemas: readonly KeySchema[]) {
  const found = new Map<string, ScalarType>();
  for (const { partition, sort } of schemas)
    for (const { name, type } of sort === undefined ? [partition] : [partition, sort])
      found.set(name, type);
  return [...found].map(([AttributeName, AttributeType]) => ({ AttributeName, AttributeType }));
}
