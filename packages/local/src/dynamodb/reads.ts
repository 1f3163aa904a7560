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
import { AFTER, partitionKey, segmentStart, sortKey, sortPrefix } from "./keys.ts";
import { project, resolvePath } from "./paths.ts";
import type { Condition, Operand, Path } from "./syntax.ts";
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
  /** Bytes read, for the capacity consumed. */
  readonly bytes: number;
}

/** Keys from `low` up to but without `high`. */
interface Stretch {
  readonly low: string;
  readonly high: string;
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
    bytes,
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

type SortCondition =
  | {
      readonly operator: "=" | "<" | "<=" | ">" | ">=" | "begins_with";
      readonly value: AttributeValue;
    }
  | { readonly operator: "between"; readonly low: AttributeValue; readonly high: AttributeValue };

export interface KeyConditions {
  readonly partition: AttributeValue;
  readonly sort?: SortCondition;
}

const FLIPPED = { "=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<=" } as const;

/** Reads `pk = :p AND …` for these keys. @throws ValidationException for every other form. */
export function keyConditions(bound: BoundCondition | undefined, keys: KeySchema): KeyConditions {
  const { names, values } = bound?.bindings ?? { names: {}, values: {} };
  const terms: Condition[] = [];
  const flatten = (node: Condition): void => {
    if (node.kind === "and") {
      flatten(node.left);
      flatten(node.right);
    } else terms.push(node);
  };
  if (bound !== undefined) flatten(bound.condition);

  const found = new Map<string, SortCondition>();
  const note = (of: Operand, condition: SortCondition): void => {
    if (of.kind !== "path") throw invalid("Query key condition not supported");
    const path = resolvePath(of.path, names);
    if (path.length > 1)
      throw invalid(
        "Invalid KeyConditionExpression: KeyConditionExpressions cannot have conditions on nested attributes",
      );
    const name = String(path[0]);
    if (found.has(name))
      throw invalid(
        "Invalid KeyConditionExpression: KeyConditionExpressions must only contain one condition per key",
      );
    found.set(name, condition);
  };
  const literal = (operand: Operand): AttributeValue => {
    const value = operand.kind === "value" ? values[operand.name] : undefined;
    if (value === undefined)
      throw invalid(
        "Invalid KeyConditionExpression: Only literal values can be compared with keys",
      );
    return value;
  };
  const badOperator = (operator: string) =>
    invalid(
      `Invalid KeyConditionExpression: Invalid operator used in KeyConditionExpression: ${operator}`,
    );
  for (const term of terms) {
    if (term.kind === "compare") {
      const { operator, left, right } = term;
      if (operator === "<>") throw badOperator("<>");
      if (left.kind === "value") note(right, { operator: FLIPPED[operator], value: literal(left) });
      else note(left, { operator, value: literal(right) });
    } else if (term.kind === "between") {
      note(term.of, { operator: "between", low: literal(term.low), high: literal(term.high) });
    } else if (term.kind === "begins_with") {
      note(term.of, { operator: "begins_with", value: literal(term.part) });
    } else {
      throw badOperator(OPERATOR_NAMES[term.kind]);
    }
  }

  const { partition, sort } = keys;
  const first = found.get(partition.name);
  if (first === undefined)
    throw invalid(`Query condition missed key schema element: ${partition.name}`);
  if (first.operator !== "=") throw invalid("Query key condition not supported");
  checkType(first.value, partition);
  const second = sort === undefined ? undefined : found.get(sort.name);
  if (found.size > (second === undefined ? 1 : 2)) {
    if (sort !== undefined && second === undefined)
      throw invalid(`Query condition missed key schema element: ${sort.name}`);
    throw invalid("Query key condition not supported");
  }
  if (second === undefined || sort === undefined) return { partition: first.value };
  if (second.operator === "between") {
    checkType(second.low, sort);
    checkType(second.high, sort);
  } else checkType(second.value, sort);
  return { partition: first.value, sort: second };
}

const OPERATOR_NAMES = {
  and: "AND",
  or: "OR",
  not: "NOT",
  in: "IN",
  exists: "attribute_exists",
  missing: "attribute_not_exists",
  type: "attribute_type",
  contains: "contains",
} as const;

function checkType(value: AttributeValue, attribute: KeyAttribute): void {
  if (typeOf(value) !== attribute.type)
    throw invalidParameters("Condition parameter type does not match schema type");
  if (("S" in value && value.S === "") || ("B" in value && value.B === ""))
    throw invalid(
      `One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty ${"S" in value ? "string" : "binary"} value. Key: ${attribute.name}`,
    );
}

function stretchOf({ partition, sort }: KeyConditions): Stretch {
  const base = partitionKey(partition);
  const all = { low: base, high: base + AFTER };
  if (sort === undefined) return all;
  if (sort.operator === "between")
    return { low: base + sortKey(sort.low), high: base + sortKey(sort.high) + AFTER };
  // The end mark in a sort key keeps `a` apart from `ab`.
  const at = base + sortKey(sort.value);
  switch (sort.operator) {
    case "=":
      return { low: at, high: at + AFTER };
    case "<":
      return { low: base, high: at };
    case "<=":
      return { low: base, high: at + AFTER };
    case ">":
      return { low: at + AFTER, high: all.high };
    case ">=":
      return { low: at, high: all.high };
    case "begins_with": {
      const beginning = base + sortPrefix(sort.value);
      return { low: beginning, high: beginning + AFTER };
    }
  }
}

function refuseKeysInFilter(attributes: readonly string[], { partition, sort }: KeySchema): void {
  const found = attributes.find((name) => name === partition.name || name === sort?.name);
  if (found !== undefined)
    throw invalid(
      `Filter Expression can only contain non-primary key attributes: Primary key attribute: ${found}`,
    );
}

/** The partition that a query names, unchecked, for its permission. */
export function partitionNamed(
  condition: Condition,
  given: Placeholders,
  keys: KeySchema,
): unknown {
  if (condition.kind === "and")
    return (
      partitionNamed(condition.left, given, keys) ?? partitionNamed(condition.right, given, keys)
    );
  if (condition.kind !== "compare" || condition.operator !== "=") return undefined;
  const { left, right } = condition;
  const [path, value] = left.kind === "path" ? [left, right] : [right, left];
  if (path.kind !== "path" || value.kind !== "value") return undefined;
  const isPartition =
    resolvePath(path.path, given.ExpressionAttributeNames ?? {})[0] === keys.partition.name;
  return isPartition ? given.ExpressionAttributeValues?.[value.name] : undefined;
}
