/** Attribute values as they travel: DynamoDB JSON, binaries in base64. Stored values are never changed in place. */
import { AwsError } from "../service.ts";
import { invalid, invalidParameters } from "./errors.ts";
import { canonicalNumber, compareNumbers, numberSize } from "./numbers.ts";

export type AttributeValue =
  | { readonly S: string }
  | { readonly N: string }
  | { readonly B: string }
  | { readonly BOOL: boolean }
  | { readonly NULL: true }
  | { readonly M: Item }
  | { readonly L: readonly AttributeValue[] }
  | { readonly SS: readonly string[] }
  | { readonly NS: readonly string[] }
  | { readonly BS: readonly string[] };

/** Attributes by name. */
export type Item = { readonly [name: string]: AttributeValue };
export type MutableItem = { [name: string]: AttributeValue };

export type AttributeType = "S" | "N" | "B" | "BOOL" | "NULL" | "M" | "L" | "SS" | "NS" | "BS";

const MAX_DEPTH = 32;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

export function typeOf(value: AttributeValue): AttributeType {
  // A checked value has exactly one member, named by its type.
  for (const type in value) return type as AttributeType;
  throw invalid("Supplied AttributeValue is empty");
}

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const attribute = (item: Item, name: string): AttributeValue | undefined =>
  Object.hasOwn(item, name) ? item[name] : undefined;

export { attribute as attributeOf };

/** An attribute may be called `__proto__`, which plain assignment would take for something else. */
export function setAttribute(item: MutableItem, name: string, value: AttributeValue): void {
  if (name !== "__proto__") item[name] = value;
  else
    Object.defineProperty(item, name, {
      value,
      enumerable: true,
      writable: true,
      configurable: true,
    });
}

const wrongJson = (type: string): AwsError =>
  new AwsError(
    "SerializationException",
    `Start of structure or value of another type found for ${type}`,
  );

/**
 * Checks a value from outside, puts its numbers (and raw binaries) into their one stored form in place, and returns
 * its size in bytes.
 */
export function admit(value: unknown, depth = 1): number {
  if (!isRecord(value)) throw wrongJson("AttributeValue");
  if (depth > MAX_DEPTH + 1) throw invalid("Nesting Levels have exceeded supported limits");
  let type: string | undefined;
  for (const name in value) {
    if (type !== undefined)
      throw invalid(
        "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes",
      );
    type = name;
  }
  switch (type) {
    case "S":
      if (typeof value.S !== "string") throw wrongJson("S");
      return Buffer.byteLength(value.S);
    case "N": {
      if (typeof value.N !== "string") throw wrongJson("N");
      const canonical = canonicalNumber(value.N);
      if (canonical !== value.N) value.N = canonical;
      return numberSize(canonical);
    }
    case "B": {
      const text = base64(value.B);
      if (text !== value.B) value.B = text;
      return binarySize(text);
    }
    case "BOOL":
      if (typeof value.BOOL !== "boolean") throw wrongJson("BOOL");
      return 1;
    case "NULL":
      if (value.NULL !== true)
        throw invalidParameters("Null attribute value types must have the value of true");
      return 1;
    case "M":
      if (!isRecord(value.M)) throw wrongJson("M");
      return 3 + admitItem(value.M, depth + 1, 1);
    case "L": {
      if (!Array.isArray(value.L)) throw wrongJson("L");
      let size = 3;
      for (const element of value.L) size += 1 + admit(element, depth + 1);
      return size;
    }
    case "SS":
      return admitSet(value, "SS", "string", (text) => text, Buffer.byteLength);
    case "NS":
      return admitSet(value, "NS", "number", canonicalNumber, numberSize);
    case "BS":
      return admitSet(value, "BS", "binary", base64, binarySize);
    default:
      throw invalid(
        "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes",
      );
  }
}

/** As `admit`, for a map of attributes. */
export function admitItem(item: unknown, depth = 1, perElement = 0): number {
  if (!isRecord(item)) throw wrongJson("Item");
  let size = 0;
  for (const name in item) size += Buffer.byteLength(name) + perElement + admit(item[name], depth);
  return size;
}

function base64(value: unknown): string {
  // Only bulk loads bring bytes; what came over the wire is text.
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (typeof value !== "string" || !BASE64.test(value))
    throw new AwsError("SerializationException", "Expected a base64-encoded binary");
  return value;
}

const binarySize = (text: string): number =>
  (text.length / 4) * 3 - (text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0);

function admitSet(
  value: Record<string, unknown>,
  type: "SS" | "NS" | "BS",
  noun: string,
  canonical: (element: string) => string,
  sizeOf: (element: string) => number,
): number {
  const given = value[type];
  if (!Array.isArray(given)) throw wrongJson(type);
  if (given.length === 0) throw invalidParameters(`An ${noun} set  may not be empty`);
  const elements: string[] = [];
  let size = 3;
  for (const element of given) {
    if (typeof element !== "string" && type !== "BS") throw wrongJson(type);
    const text = canonical(element);
    elements.push(text);
    size += 1 + sizeOf(text);
  }
  if (new Set(elements).size !== elements.length)
    throw invalidParameters(`Input collection [${given.join(", ")}] contains duplicates.`);
  value[type] = elements;
  return size;
}

/** Size of an item that has been admitted before, as after an update. */
export const itemSize = (item: Item): number => admitItem(item);

const bytes = (text: string): string => Buffer.from(text, "base64").toString("latin1");

/** Order of two values of one scalar type; undefined where DynamoDB has none. */
export function compareValues(a: AttributeValue, b: AttributeValue): number | undefined {
  if ("S" in a) return "S" in b ? compareText(codePointOrder(a.S), codePointOrder(b.S)) : undefined;
  if ("N" in a) return "N" in b ? compareNumbers(a.N, b.N) : undefined;
  if ("B" in a) return "B" in b ? compareText(bytes(a.B), bytes(b.B)) : undefined;
  return undefined;
}

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

const ABOVE_SURROGATES = /[\ud800-\uffff]/;

/**
 * DynamoDB orders strings by their UTF-8 bytes, which is by code point; JavaScript by UTF-16 unit, which puts
 * U+10000 and up before U+E000. Moving the surrogates to the top makes both the same.
 */
export function codePointOrder(text: string): string {
  if (!ABOVE_SURROGATES.test(text)) return text;
  let moved = "";
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    moved += String.fromCharCode(
      unit >= 0xe000 ? unit - 0x800 : unit >= 0xd800 ? unit + 0x2000 : unit,
    );
  }
  return moved;
}

export { bytes as binaryOrder };

export function sameValue(a: AttributeValue, b: AttributeValue): boolean {
  if (a === b) return true;
  if ("S" in a) return "S" in b && a.S === b.S;
  if ("N" in a) return "N" in b && a.N === b.N;
  if ("B" in a) return "B" in b && a.B === b.B;
  if ("BOOL" in a) return "BOOL" in b && a.BOOL === b.BOOL;
  if ("NULL" in a) return "NULL" in b;
  if ("M" in a) return "M" in b && sameItem(a.M, b.M);
  if ("SS" in a) return "SS" in b && sameSet(a.SS, b.SS);
  if ("NS" in a) return "NS" in b && sameSet(a.NS, b.NS);
  if ("BS" in a) return "BS" in b && sameSet(a.BS, b.BS);
  if (!("L" in b) || a.L.length !== b.L.length) return false;
  const other = b.L;
  return a.L.every((element, at) => {
    const twin = other[at];
    return twin !== undefined && sameValue(element, twin);
  });
}

export function sameItem(a: Item, b: Item): boolean {
  if (a === b) return true;
  const names = Object.keys(a);
  if (names.length !== Object.keys(b).length) return false;
  for (const name of names) {
    const left = attribute(a, name);
    const right = attribute(b, name);
    if (left === undefined || right === undefined || !sameValue(left, right)) return false;
  }
  return true;
}

function sameSet(a: readonly string[], b: readonly string[]): boolean {
  if (a.length !== b.length) return false;
  const have = new Set(a);
  return b.every((element) => have.has(element));
}
