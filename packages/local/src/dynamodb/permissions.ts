/** The permission that each call needs, with the condition keys that DynamoDB sets. */
import type { Check } from "../service.ts";
import type { Catalogue, Entry } from "./catalogue.ts";
import { type Placeholders, rootsOf } from "./expressions.ts";
import { partitionNamed } from "./key-conditions.ts";
import type { ExpressionKind } from "./syntax.ts";
import { attributeOf, type Item, isRecord } from "./values.ts";
import { leadingValue, type ReturnValues } from "./writes.ts";

type Context = { [key: string]: string | readonly string[] };

interface ItemCall extends Placeholders {
  readonly TableName: string;
  readonly Item?: Item | undefined;
  readonly Key?: Item | undefined;
  readonly ConditionExpression?: string | undefined;
  readonly UpdateExpression?: string | undefined;
  readonly ProjectionExpression?: string | undefined;
  readonly ReturnValues?: ReturnValues | undefined;
}

interface WalkCall extends Placeholders {
  readonly TableName: string;
  readonly IndexName?: string | undefined;
  readonly KeyConditionExpression?: string | undefined;
  readonly FilterExpression?: string | undefined;
  readonly ProjectionExpression?: string | undefined;
  readonly Select?: string | undefined;
}

/** Top-level attributes that the call names. Unreadable expressions throw here as they would in the operation. */
function attributesNamed({ cache }: Catalogue, call: ItemCall & WalkCall): Set<string> {
  const names = call.ExpressionAttributeNames;
  const found = new Set<string>();
  for (const source of [call.Item, call.Key])
    if (isRecord(source)) for (const name in source) found.add(name);
  const kinds = ["ConditionExpression", "FilterExpression", "KeyConditionExpression"] as const;
  const add = (roots: readonly string[]) => {
    for (const root of roots) found.add(root);
  };
  for (const kind of kinds) {
    const text = call[kind];
    if (text !== undefined)
      add(rootsOf(cache.condition(kind satisfies ExpressionKind, text), names));
  }
  if (call.UpdateExpression !== undefined) add(rootsOf(cache.update(call.UpdateExpression), names));
  if (call.ProjectionExpression !== undefined)
    add(rootsOf(cache.projection(call.ProjectionExpression), names));
  return found;
}

const keyOf = (entry: Entry | undefined, item: Item | undefined): string | undefined =>
  entry === undefined || !isRecord(item)
    ? undefined
    : leadingValue(attributeOf(item, entry.table.keys.partition.name));

/** For an operation on one item, also inside a transaction (`enclosing`). */
export function itemCheck(
  catalogue: Catalogue,
  action: string,
  call: ItemCall,
  enclosing?: string,
): Check {
  const leading = keyOf(catalogue.peek(call.TableName), call.Item ?? call.Key);
  const context: Context = {
    "dynamodb:Attributes": [...attributesNamed(catalogue, call)],
  };
  if (leading !== undefined) context["dynamodb:LeadingKeys"] = [leading];
  if (enclosing !== undefined) context["dynamodb:EnclosingOperation"] = enclosing;
  if (action === "GetItem")
    context["dynamodb:Select"] =
      call.ProjectionExpression === undefined ? "ALL_ATTRIBUTES" : "SPECIFIC_ATTRIBUTES";
  else if (enclosing === undefined) context["dynamodb:ReturnValues"] = call.ReturnValues ?? "NONE";
  return { action: `dynamodb:${action}`, resource: catalogue.arnOf(call.TableName), context };
}

/** For several items of one table, all of whose keys must be allowed. */
export function itemsCheck(
  catalogue: Catalogue,
  action: "BatchGetItem" | "BatchWriteItem",
  tableName: string,
  items: readonly (Item | undefined)[],
  call: Pick<WalkCall, "ProjectionExpression" | "ExpressionAttributeNames"> = {},
): Check {
  const entry = catalogue.peek(tableName);
  const leading = new Set<string>();
  const attributes = attributesNamed(catalogue, { TableName: tableName, ...call });
  for (const item of items) {
    const key = keyOf(entry, item);
    if (key !== undefined) leading.add(key);
    if (isRecord(item)) for (const name in item) attributes.add(name);
  }
  const context: Context = { "dynamodb:Attributes": [...attributes] };
  if (leading.size > 0) context["dynamodb:LeadingKeys"] = [...leading];
  if (action === "BatchGetItem")
    context["dynamodb:Select"] =
      call.ProjectionExpression === undefined ? "ALL_ATTRIBUTES" : "SPECIFIC_ATTRIBUTES";
  return { action: `dynamodb:${action}`, resource: catalogue.arnOf(tableName), context };
}

/** For Query and Scan, of a table or of an index, which is a resource of its own. */
export function walkCheck(catalogue: Catalogue, action: "Query" | "Scan", call: WalkCall): Check {
  const entry = catalogue.peek(call.TableName);
  const index = entry?.table.indexes.find(({ name }) => name === call.IndexName);
  const keys = call.IndexName === undefined ? entry?.table.keys : index?.keys;
  const context: Context = {
    "dynamodb:Attributes": [...attributesNamed(catalogue, call)],
    "dynamodb:Select":
      call.Select ??
      (call.ProjectionExpression !== undefined
        ? "SPECIFIC_ATTRIBUTES"
        : call.IndexName === undefined
          ? "ALL_ATTRIBUTES"
          : "ALL_PROJECTED_ATTRIBUTES"),
  };
  if (call.KeyConditionExpression !== undefined && keys !== undefined) {
    const { tree } = catalogue.cache.condition(
      "KeyConditionExpression",
      call.KeyConditionExpression,
    );
    const leading = leadingValue(partitionNamed(tree, call, keys));
    if (leading !== undefined) context["dynamodb:LeadingKeys"] = [leading];
  }
  const table = catalogue.arnOf(call.TableName);
  const resource = call.IndexName === undefined ? table : `${table}/index/${call.IndexName}`;
  return { action: `dynamodb:${action}`, resource, context };
}
