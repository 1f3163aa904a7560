/** What a KeyConditionExpression asks for, and the stretch of an ordered tree that answers it. */

import { invalid, invalidParameters } from "./errors.ts";
import type { BoundCondition, Placeholders } from "./expressions.ts";
import { AFTER, partitionKey, sortKey, sortPrefix } from "./keys.ts";
import { resolvePath } from "./paths.ts";
import type { Condition, Operand } from "./syntax.ts";
import type { KeyAttribute, KeySchema } from "./table.ts";
import { type AttributeValue, typeOf } from "./values.ts";

/** Keys from `low` up to but without `high`. */
export interface Stretch {
  readonly low: string;
  readonly high: string;
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

export function stretchOf({ partition, sort }: KeyConditions): Stretch {
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
