/** Carrying out update expressions. Items are values: every change copies what lies on its path. */
import type { Bindings } from "./conditions.ts";
import { invalid } from "./errors.ts";
import { addNumbers } from "./numbers.ts";
import { resolvePath, valueAt } from "./paths.ts";
import type { Path, UpdateAction, UpdateOperand } from "./syntax.ts";
import {
  type AttributeValue,
  attributeOf,
  type Item,
  type MutableItem,
  setAttribute,
  typeOf,
} from "./values.ts";

const LONG_NAMES = {
  S: "STRING",
  N: "NUMBER",
  B: "BINARY",
  BOOL: "BOOLEAN",
  NULL: "NULL",
  M: "MAP",
  L: "LIST",
  SS: "STRING_SET",
  NS: "NUMBER_SET",
  BS: "BINARY_SET",
} as const;

/** What AWS checks of an update before it looks at any item: literals of a type that the action takes. */
export function checkUpdate(actions: readonly UpdateAction[], { values }: Bindings): void {
  const wrong = (operator: string, value: AttributeValue, set: string) =>
    invalid(
      `Invalid UpdateExpression: Incorrect operand type for operator or function; operator: ${operator}, operand type: ${LONG_NAMES[typeOf(value)]}, typeSet: ${set}`,
    );
  const checkOperand = (operand: UpdateOperand): void => {
    if (operand.kind === "sum" || operand.kind === "list_append") {
      const type = operand.kind === "sum" ? "N" : "L";
      for (const side of [operand.left, operand.right]) {
        checkOperand(side);
        const literal = side.kind === "value" ? values[side.name] : undefined;
        if (literal !== undefined && typeOf(literal) !== type)
          throw invalid(
            `Invalid UpdateExpression: Incorrect operand type for operator or function; operator or function: ${operand.kind === "sum" ? (operand.sign === 1 ? "+" : "-") : "list_append"}, operand type: ${typeOf(literal)}`,
          );
      }
    }
    if (operand.kind === "if_not_exists") checkOperand(operand.otherwise);
  };
  for (const action of actions) {
    if (action.kind === "set") checkOperand(action.to);
    if (action.kind !== "add" && action.kind !== "delete") continue;
    const value = values[action.value];
    if (value === undefined) continue;
    const isSet = "SS" in value || "NS" in value || "BS" in value;
    if (action.kind === "delete" && !isSet)
      throw wrong("DELETE", value, "ALLOWED_FOR_DELETE_OPERAND");
    if (action.kind === "add" && !isSet && !("N" in value))
      throw wrong("ADD", value, "ALLOWED_FOR_ADD_OPERAND");
  }
}

/** The item after the update. Every operand is read from the item as it was before. */
export function applyUpdate(
  actions: readonly UpdateAction[],
  before: Item,
  bindings: Bindings,
): Item {
  let item = before;
  const removals: Path[] = [];
  for (const action of actions) {
    const path = resolvePath(action.path, bindings.names);
    if (action.kind === "set") {
      item = write(item, path, evaluate(action.to, before, bindings));
    } else if (action.kind === "remove") {
      removals.push(path);
    } else {
      const value = bindings.values[action.value];
      if (value === undefined) throw invalid("An expression attribute value is not defined");
      const old = valueAt(before, path);
      const changed = action.kind === "add" ? add(old, value) : subtract(old, value);
      if (changed !== undefined) item = write(item, path, changed);
      else if (old !== undefined) removals.push(path);
    }
  }
  // From the back, so that removing one element does not move those still to be removed.
  removals.sort(lastFirst);
  for (const path of removals) item = remove(item, path);
  return item;
}

function lastFirst(a: Path, b: Path): number {
  for (let at = 0; at < a.length && at < b.length; at++) {
    const left = a[at];
    const right = b[at];
    if (left === right) continue;
    return typeof left === "number" && typeof right === "number" ? right - left : 0;
  }
  return 0;
}

function evaluate(operand: UpdateOperand, item: Item, bindings: Bindings): AttributeValue {
  switch (operand.kind) {
    case "value": {
      const value = bindings.values[operand.name];
      if (value === undefined) throw invalid("An expression attribute value is not defined");
      return value;
    }
    case "path": {
      const value = valueAt(item, resolvePath(operand.path, bindings.names));
      if (value === undefined)
        throw invalid(
          "The provided expression refers to an attribute that does not exist in the item",
        );
      return value;
    }
    case "if_not_exists":
      return (
        valueAt(item, resolvePath(operand.path, bindings.names)) ??
        evaluate(operand.otherwise, item, bindings)
      );
    case "list_append": {
      const left = evaluate(operand.left, item, bindings);
      const right = evaluate(operand.right, item, bindings);
      if (!("L" in left) || !("L" in right)) throw wrongType();
      return { L: [...left.L, ...right.L] };
    }
    case "sum": {
      const left = evaluate(operand.left, item, bindings);
      const right = evaluate(operand.right, item, bindings);
      if (!("N" in left) || !("N" in right)) throw wrongType();
      return { N: addNumbers(left.N, right.N, operand.sign) };
    }
  }
}

const wrongType = () => invalid("An operand in the update expression has an incorrect data type");

function add(old: AttributeValue | undefined, value: AttributeValue): AttributeValue {
  if (old === undefined) return value;
  if ("N" in old && "N" in value) return { N: addNumbers(old.N, value.N, 1) };
  if ("SS" in old && "SS" in value) return { SS: [...new Set([...old.SS, ...value.SS])] };
  if ("NS" in old && "NS" in value) return { NS: [...new Set([...old.NS, ...value.NS])] };
  if ("BS" in old && "BS" in value) return { BS: [...new Set([...old.BS, ...value.BS])] };
  throw wrongType();
}

/** Undefined when nothing is left: there are no empty sets. */
function subtract(
  old: AttributeValue | undefined,
  value: AttributeValue,
): AttributeValue | undefined {
  if (old === undefined) return undefined;
  const without = (from: readonly string[], gone: readonly string[]) =>
    from.filter((element) => !gone.includes(element));
  if ("SS" in old && "SS" in value) {
    const SS = without(old.SS, value.SS);
    return SS.length > 0 ? { SS } : undefined;
  }
  if ("NS" in old && "NS" in value) {
    const NS = without(old.NS, value.NS);
    return NS.length > 0 ? { NS } : undefined;
  }
  if ("BS" in old && "BS" in value) {
    const BS = without(old.BS, value.BS);
    return BS.length > 0 ? { BS } : undefined;
  }
  throw wrongType();
}

const badPath = () =>
  invalid("The document path provided in the update expression is invalid for update");

function write(item: Item, path: Path, value: AttributeValue): Item {
  const name = String(path[0]);
  const changed: MutableItem = { ...item };
  if (path.length === 1) setAttribute(changed, name, value);
  else {
    const old = attributeOf(item, name);
    if (old === undefined) throw badPath();
    setAttribute(changed, name, writeInto(old, path, 1, value));
  }
  return changed;
}

function writeInto(
  holder: AttributeValue,
  path: Path,
  at: number,
  value: AttributeValue,
): AttributeValue {
  const part = path[at];
  const last = at === path.length - 1;
  if (typeof part === "number") {
    if (!("L" in holder)) throw badPath();
    const elements = [...holder.L];
    const old = elements[part];
    if (last) {
      // A position beyond the end means: append.
      if (old === undefined) elements.push(value);
      else elements[part] = value;
    } else {
      if (old === undefined) throw badPath();
      elements[part] = writeInto(old, path, at + 1, value);
    }
    return { L: elements };
  }
  if (part === undefined || !("M" in holder)) throw badPath();
  const changed: MutableItem = { ...holder.M };
  const old = attributeOf(holder.M, part);
  if (last) setAttribute(changed, part, value);
  else {
    if (old === undefined) throw badPath();
    setAttribute(changed, part, writeInto(old, path, at + 1, value));
  }
  return { M: changed };
}

function remove(item: Item, path: Path): Item {
  const name = String(path[0]);
  const old = attributeOf(item, name);
  if (path.length > 1) {
    if (old === undefined) throw badPath();
    const changed: MutableItem = { ...item };
    setAttribute(changed, name, removeFrom(old, path, 1));
    return changed;
  }
  if (old === undefined) return item;
  const changed: MutableItem = { ...item };
  delete changed[name];
  return changed;
}

function removeFrom(holder: AttributeValue, path: Path, at: number): AttributeValue {
  const part = path[at];
  const last = at === path.length - 1;
  if (typeof part === "number") {
    if (!("L" in holder)) throw badPath();
    const elements = [...holder.L];
    const old = elements[part];
    if (last) elements.splice(part, 1);
    else {
      if (old === undefined) throw badPath();
      elements[part] = removeFrom(old, path, at + 1);
    }
    return { L: elements };
  }
  if (part === undefined || !("M" in holder)) throw badPath();
  const old = attributeOf(holder.M, part);
  const changed: MutableItem = { ...holder.M };
  if (last) delete changed[part];
  else {
    if (old === undefined) throw badPath();
    setAttribute(changed, part, removeFrom(old, path, at + 1));
  }
  return { M: changed };
}

/** Whether an update names this attribute as a whole or in part. */
export const touches = (
  actions: readonly UpdateAction[],
  name: string,
  bindings: Bindings,
): boolean => actions.some(({ path }) => resolvePath(path, bindings.names)[0] === name);
