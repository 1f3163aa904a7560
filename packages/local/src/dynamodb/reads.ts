/** Query and Scan: one stretch of an ordered tree, page by page. */

import { holds } from "./conditions.ts";
import { invalid, invalidParameters } from "./errors.ts";
import {
  type BoundCondition,
  type ExpressionCache,
  expressions,
  type Placeholders,
  rootsOf,
} from "./expressions.ts";
import { keyConditions, type Stretch, stretchOf } from "./key-conditions.ts";
import { AFTER, partitionKey, segmentStart, sortKey } from "./keys.ts";
import { project } from "./paths.ts";
import type { Path } from "./syntax.ts";
import {
  type Index,
  type KeyAttribute,
  type KeySchema,
  projected,
  type Row,
  type Table,
} from "./table.ts";
import {
  type AttributeValue,
  admitItem,
  attributeOf,
  type Item,
  itemSize,
  typeOf,
} from "./values.ts";

export const PAGE_BYTES = 1024 * 1024;

export type Select =
  | "ALL_ATTRIBUTES"
  | "ALL_PROJECTED_ATTRIBUTES"
  | "SPECIFIC_ATTRIBUTES"
  | "COUNT";

export interface ReadInput extends Placeholders {
  readonly IndexName?: string | undefined;
  readonly ConsistentRead?: boolean | undefined;
  readonly ExclusiveStartKey?: Item | undefined;
  readonly FilterExpression?: string | undefined;
  readonly KeyConditionExpression?: string | undefined;
  readonly ProjectionExpression?: string | undefined;
  readonly Limit?: number | undefined;
  readonly ScanIndexForward?: boolean | undefined;
  readonly Select?: Select | undefined;
  readonly Segment?: number | undefined;
  readonly TotalSegments?: number | undefined;
}

export interface Page {
  readonly Items?: readonly Item[];
  readonly Count: number;
  readonly ScannedCount: number;
  readonly LastEvaluatedKey?: Item;
  /** What was read, for the capacity consumed: bytes, the index, and of a query an item of its partition. */
  readonly cost: {
    readonly bytes: number;
    readonly index: Index | undefined;
    readonly item: Item | undefined;
  };
}

function indexNamed(table: Table, name: string | undefined): Index | undefined {
  if (name === undefined) return undefined;
  const index = table.indexes.find((candidate) => candidate.name === name);
  if (index === undefined) throw invalid(`The table does not have the specified index: ${name}`);
  return index;
}

export function query(cache: ExpressionCache, table: Table, input: ReadInput): Page {
  const index = indexNamed(table, input.IndexName);
  const keys = index?.keys ?? table.keys;
  const bound = expressions(cache, input, ["FilterExpression", "KeyConditionExpression"]);
  if (input.KeyConditionExpression === undefined)
    throw invalid(
      "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.",
    );
  const condition = bound.condition("KeyConditionExpression", input.KeyConditionExpression);
  const filter = bound.condition("FilterExpression", input.FilterExpression);
  const projection = bound.projection(input.ProjectionExpression);
  bound.finish();
  const named = keyConditions(condition, keys);
  if (input.FilterExpression !== undefined) {
    const parsed = cache.condition("FilterExpression", input.FilterExpression);
    refuseKeysInFilter(rootsOf(parsed, input.ExpressionAttributeNames), keys);
  }
  return page(table, index, input, filter, projection, stretchOf(named));
}

export function scan(cache: ExpressionCache, table: Table, input: ReadInput): Page {
  const index = indexNamed(table, input.IndexName);
  const bound = expressions(cache, input, ["FilterExpression"]);
  const filter = bound.condition("FilterExpression", input.FilterExpression);
  const projection = bound.projection(input.ProjectionExpression);
  bound.finish();
  const { Segment, TotalSegments } = input;
  if ((Segment === undefined) !== (TotalSegments === undefined))
    throw invalid(
      Segment === undefined
        ? "The Segment parameter is required but was not present in the request when parameter TotalSegments is present"
        : "The TotalSegments parameter is required but was not present in the request when Segment parameter is present",
    );
  if (Segment === undefined || TotalSegments === undefined)
    return page(table, index, input, filter, projection, { low: "", high: AFTER });
  if (Segment >= TotalSegments)
    throw invalid(
      `The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: ${Segment} is not less than TotalSegments: ${TotalSegments}`,
    );
  return page(table, index, input, filter, projection, {
    low: segmentStart(Segment, TotalSegments),
    high: segmentStart(Segment + 1, TotalSegments),
  });
}

function page(
  table: Table,
  index: Index | undefined,
  input: ReadInput,
  filter: BoundCondition | undefined,
  projection: readonly Path[] | undefined,
  { low, high }: Stretch,
): Page {
  if (index !== undefined && input.ConsistentRead === true)
    throw invalid("Consistent reads are not supported on global secondary indexes");
  checkSelect(input, index, projection);
  const forward = input.ScanIndexForward !== false;
  const start = startKey(table, index, input.ExclusiveStartKey);
  if (start !== undefined && (start < low || start >= high))
    throw invalid(
      input.KeyConditionExpression === undefined
        ? "The provided starting key is invalid: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with correct Segment."
        : "The provided starting key is outside query boundaries based on provided conditions",
    );
  const rows = index?.rows ?? table.rows;
  const walk = forward ? rows.ascending(start ?? low) : rows.descending(start ?? high);
  const items: Item[] = [];
  const counting = input.Select === "COUNT";
  let count = 0;
  let scanned = 0;
  let bytes = 0;
  let last: Row | undefined;
  let more = false;
  for (const [key, row] of walk) {
    if (forward ? key >= high : key < low) break;
    if (key === start) continue;
    if (scanned === input.Limit) {
      more = true;
      break;
    }
    const seen = index === undefined ? row.item : projected(index, row.item);
    const size = seen === row.item ? row.size : itemSize(seen);
    if (bytes + size > PAGE_BYTES && scanned > 0) {
      more = true;
      break;
    }
    bytes += size;
    scanned++;
    last = row;
    if (filter !== undefined && !holds(filter.condition, seen, filter.bindings)) continue;
    count++;
    if (!counting) items.push(projection === undefined ? seen : project(seen, projection));
  }
  // AWS stops at the limit without looking whether anything follows.
  if (scanned === input.Limit) more = true;
  return {
    ...(counting ? {} : { Items: items }),
    Count: count,
    ScannedCount: scanned,
    ...(more && last !== undefined ? { LastEvaluatedKey: table.keyItem(last.item, index) } : {}),
    cost: {
      bytes,
      index,
      item: input.KeyConditionExpression === undefined ? undefined : last?.item,
    },
  };
}

function checkSelect(
  { Select, ProjectionExpression }: ReadInput,
  index: Index | undefined,
  projection: readonly Path[] | undefined,
): void {
  if (Select === "SPECIFIC_ATTRIBUTES" && ProjectionExpression === undefined)
    throw invalid(
      "One or more parameter values were invalid: SPECIFIC_ATTRIBUTES requires a ProjectionExpression",
    );
  if (
    Select !== undefined &&
    Select !== "SPECIFIC_ATTRIBUTES" &&
    ProjectionExpression !== undefined
  )
    throw invalid(
      `Cannot specify the ProjectionExpression when choosing to get ${Select === "COUNT" ? "only the Count" : Select}`,
    );
  if (Select === "ALL_PROJECTED_ATTRIBUTES" && index === undefined)
    throw invalidParameters(
      "ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName",
    );
  if (index?.attributes === undefined) return;
  if (Select === "ALL_ATTRIBUTES")
    throw invalidParameters(
      `Select type ALL_ATTRIBUTES is not supported for global secondary index ${index.name} because its projection type is not ALL`,
    );
  const beyond = projection
    ?.map((path) => String(path[0]))
    .filter((name) => !index.attributes?.has(name));
  if (beyond !== undefined && beyond.length > 0)
    throw invalidParameters(
      `Global secondary index ${index.name} does not project [${beyond.join(", ")}]`,
    );
}

/** The place after which a page begins. It need not exist any more. */
function startKey(
  table: Table,
  index: Index | undefined,
  given: Item | undefined,
): string | undefined {
  if (given === undefined) return undefined;
  admitItem(given);
  const own = table.keyItem(given);
  const whole = table.keyItem(given, index);
  const wrong = () => invalid("The provided starting key is invalid");
  if (Object.keys(whole).length !== Object.keys(given).length) throw wrong();
  let key: string;
  try {
    key = table.keyOf(own);
  } catch {
    throw wrong();
  }
  if (index === undefined) return key;
  const part = (attribute: KeyAttribute): AttributeValue => {
    const value = attributeOf(given, attribute.name);
    if (value === undefined || typeOf(value) !== attribute.type) throw wrong();
    return value;
  };
  const { partition, sort } = index.keys;
  return partitionKey(part(partition)) + (sort === undefined ? "" : sortKey(part(sort))) + key;
}

function refuseKeysInFilter(attributes: readonly string[], { partition, sort }: KeySchema): void {
  const found = attributes.find((name) => name === partition.name || name === sort?.name);
  if (found !== undefined)
    throw invalid(
      `Filter Expression can only contain non-primary key attributes: Primary key attribute: ${found}`,
    );
}
