/** Deciding conditions and filters on an item. */
import { invalid } from "./errors.ts";
import { resolvePath, valueAt } from "./paths.ts";
import type { Condition, Operand } from "./syntax.ts";
import {
  type AttributeType,
  type AttributeValue,
  compareValues,
  type Item,
  sameValue,
  typeOf,
} from "./values.ts";

/** What placeholders stand for in one request. */
export interface Bindings {
  readonly names: Readonly<Record<string, string>>;
  readonly values: Readonly<Record<string, AttributeValue>>;
}

const ORDERED: ReadonlySet<AttributeType> = new Set(["S", "N", "B"]);
const TYPES: ReadonlySet<string> = new Set("B NULL SS BOOL L BS N NS S M".split(" "));

/**
 * What AWS checks of a condition before it looks at any item: literal operands of a type that the operator takes.
 */
export function checkCondition(kind: string, condition: Condition, bindings: Bindings): void {
  const literal = (operand: Operand): AttributeValue | undefined =>
    operand.kind === "value" ? bindings.values[operand.name] : undefined;
  const wants = (operand: Operand, types: ReadonlySet<AttributeType>, name: string): void => {
    const value = literal(operand);
    if (value !== undefined && !types.has(typeOf(value)))
      throw invalid(
        `Invalid ${kind}: Incorrect operand type for operator or function; operator or function: ${name}, operand type: ${typeOf(value)}`,
      );
  };
  switch (condition.kind) {
    case "and":
    case "or":
      checkCondition(kind, condition.left, bindings);
      checkCondition(kind, condition.right, bindings);
      return;
    case "not":
      checkCondition(kind, condition.of, bindings);
      return;
    case "compare":
      if (condition.operator === "=" || condition.operator === "<>") return;
      wants(condition.left, ORDERED, condition.operator);
      wants(condition.right, ORDERED, condition.operator);
      return;
    case "between": {
      for (const operand of [condition.of, condition.low, condition.high])
        wants(operand, ORDERED, "BETWEEN");
      const low = literal(condition.low);
      const high = literal(condition.high);
      if (low === undefined || high === undefined) return;
      const order = compareValues(low, high);
      if (order === undefined)
        throw invalid(
          `Invalid ${kind}: The BETWEEN operator requires same data type for lower and upper bounds; lower bound operand: AttributeValue: ${JSON.stringify(low)}, upper bound operand: AttributeValue: ${JSON.stringify(high)}`,
        );
      if (order > 0)
        throw invalid(
          `Invalid ${kind}: The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower bound operand: AttributeValue: ${JSON.stringify(low)}, upper bound operand: AttributeValue: ${JSON.stringify(high)}`,
        );
      return;
    }
    case "begins_with":
      wants(condition.of, new Set<AttributeType>(["S", "B"]), "begins_with");
      wants(condition.part, new Set<AttributeType>(["S", "B"]), "begins_with");
      return;
    case "type": {
      const type = literal(condition.type);
      if (type === undefined || !("S" in type))
        throw invalid(
          `Invalid ${kind}: Incorrect operand type for operator or function; operator or function: attribute_type, operand type: ${type === undefined ? "PATH" : typeOf(type)}`,
        );
      if (!TYPES.has(type.S))
        throw invalid(
          `Invalid ${kind}: Invalid attribute type name found; type: ${type.S}, valid types: {${[...TYPES].join(",")}}`,
        );
      return;
    }
    default:
      return;
  }
}

/** Whether the condition holds; `item` is empty where none exists. */
export function holds(condition: Condition, item: Item, bindings: Bindings): boolean {
  const value = (operand: Operand) => evaluate(operand, item, bindings);
  switch (condition.kind) {
    case "and":
      return holds(condition.left, item, bindings) && holds(condition.right, item, bindings);
    case "or":
      return holds(condition.left, item, bindings) || holds(condition.right, item, bindings);
    case "not":
      return !holds(condition.of, item, bindings);
    case "exists":
      return valueAt(item, resolvePath(condition.path, bindings.names)) !== undefined;
    case "missing":
      return valueAt(item, resolvePath(condition.path, bindings.names)) === undefined;
    case "type": {
      const found = valueAt(item, resolvePath(condition.path, bindings.names));
      const type = value(condition.type);
      return found !== undefined && type !== undefined && "S" in type && typeOf(found) === type.S;
    }
    case "compare": {
      const left = value(condition.left);
      const right = value(condition.right);
      const equal = left !== undefined && right !== undefined && sameValue(left, right);
      if (condition.operator === "=") return equal;
      // Also of what is missing: `status <> :gone` holds where there is no status.
      if (condition.operator === "<>") return !equal;
      return within(condition.operator, left, right);
    }
    case "between": {
      const of = value(condition.of);
      return within(">=", of, value(condition.low)) && within("<=", of, value(condition.high));
    }
    case "in": {
      const of = value(condition.of);
      if (of === undefined) return false;
      return condition.among.some((operand) => {
        const candidate = value(operand);
        return candidate !== undefined && sameValue(of, candidate);
      });
    }
    case "begins_with": {
      const of = value(condition.of);
      const part = value(condition.part);
      if (of === undefined || part === undefined) return false;
      if ("S" in of) return "S" in part && of.S.startsWith(part.S);
      if ("B" in of) return "B" in part && latin1(of.B).startsWith(latin1(part.B));
      return false;
    }
    case "contains": {
      const of = value(condition.of);
      const part = value(condition.part);
      return of !== undefined && part !== undefined && contains(of, part);
    }
  }
}

function within(
  operator: "<" | "<=" | ">" | ">=",
  left: AttributeValue | undefined,
  right: AttributeValue | undefined,
): boolean {
  if (left === undefined || right === undefined) return false;
  const order = compareValues(left, right);
  if (order === undefined) return false;
  if (operator === "<") return order < 0;
  if (operator === "<=") return order <= 0;
  return operator === ">" ? order > 0 : order >= 0;
}

function contains(of: AttributeValue, part: AttributeValue): boolean {
  if ("S" in of) return "S" in part && of.S.includes(part.S);
  if ("B" in of) return "B" in part && latin1(of.B).includes(latin1(part.B));
  if ("SS" in of) return "S" in part && of.SS.includes(part.S);
  if ("NS" in of) return "N" in part && of.NS.includes(part.N);
  if ("BS" in of) return "B" in part && of.BS.includes(part.B);
  return "L" in of && of.L.some((element) => sameValue(element, part));
}

const latin1 = (base64: string): string => Buffer.from(base64, "base64").toString("latin1");

function evaluate(operand: Operand, item: Item, bindings: Bindings): AttributeValue | undefined {
  if (operand.kind === "value") return bindings.values[operand.name];
  const found = valueAt(item, resolvePath(operand.path, bindings.names));
  if (operand.kind === "path") return found;
  const size = found === undefined ? undefined : sizeOf(found);
  return size === undefined ? undefined : { N: String(size) };
}

function sizeOf(value: AttributeValue): number | undefined {
  if ("S" in value) return value.S.length;
  if ("B" in value) return latin1(value.B).length;
  if ("SS" in value) return value.SS.length;
  if ("NS" in value) return value.NS.length;
  if ("BS" in value) return value.BS.length;
  if ("L" in value) return value.L.length;
  return "M" in value ? Object.keys(value.M).length : undefined;
}
