/** The operators of event patterns (`{"prefix": "a"}`), each parsed into a test of one scalar. */
import { BlockList, isIP } from "node:net";

export type Matcher = (value: unknown) => boolean;

/** What an operator says: a test of a value, whether there is a value at all, or why it is no operator. */
export type Operator =
  | { readonly matches: Matcher }
  | { readonly exists: boolean }
  | { readonly invalid: string };

export const operatorNames: ReadonlySet<string> = new Set([
  "prefix",
  "suffix",
  "equals-ignore-case",
  "wildcard",
  "anything-but",
  "numeric",
  "exists",
  "cidr",
]);

/** Reads an object with one operator. */
export function parseOperator(of: Readonly<Record<string, unknown>>): Operator {
  const [entry, ...others] = Object.entries(of);
  if (entry === undefined || others.length > 0) {
    return { invalid: "Only one key allowed in match expression" };
  }
  const [name, operand] = entry;
  switch (name) {
    case "prefix":
      return affix(name, operand, (text, part) => text.startsWith(part));
    case "suffix":
      return affix(name, operand, (text, part) => text.endsWith(part));
    case "equals-ignore-case":
    case "wildcard":
      return typeof operand === "string"
        ? textTest(name, operand)
        : { invalid: `${name} match pattern must be a string` };
    case "anything-but":
      return anythingBut(operand);
    case "numeric":
      return numeric(operand);
    case "exists":
      return typeof operand === "boolean"
        ? { exists: operand }
        : { invalid: "exists match pattern must be either true or false" };
    case "cidr":
      return cidr(operand);
    default:
      return { invalid: `Unrecognized match type ${name}` };
  }
}

type PartTest = (text: string, part: string) => boolean;

function affix(name: string, operand: unknown, holds: PartTest): Operator {
  if (typeof operand === "string") {
    return { matches: (value) => typeof value === "string" && holds(value, operand) };
  }
  const caseless = single(operand, "equals-ignore-case");
  if (typeof caseless === "string") {
    const part = caseless.toLowerCase();
    return { matches: (value) => typeof value === "string" && holds(value.toLowerCase(), part) };
  }
  return { invalid: `${name} match pattern must be a string` };
}

/** The four tests of text that also stand inside `anything-but`. */
function textTest(name: string, operand: string): Operator {
  switch (name) {
    case "prefix":
      return affix(name, operand, (text, part) => text.startsWith(part));
    case "suffix":
      return affix(name, operand, (text, part) => text.endsWith(part));
    case "wildcard": {
      const parts = wildcardParts(operand);
      if ("invalid" in parts) return parts;
      return {
        matches: (value) => typeof value === "string" && wildcardMatches(value, parts.parts),
      };
    }
    case "equals-ignore-case": {
      const wanted = operand.toLowerCase();
      return { matches: (value) => typeof value === "string" && value.toLowerCase() === wanted };
    }
    default:
      return { invalid: `Unsupported anything-but pattern: ${name}` };
  }
}

function anythingBut(operand: unknown): Operator {
  if (typeof operand === "string" || typeof operand === "number") return anythingBut([operand]);
  if (Array.isArray(operand)) {
    const uniform =
      operand.every((each) => typeof each === "string") ||
      operand.every((each) => typeof each === "number");
    if (operand.length === 0 || !uniform) {
      return {
        invalid: "Inside anything but list, either all values are Number or String",
      };
    }
    const refused = new Set<unknown>(operand);
    return { matches: (value) => !refused.has(value) };
  }
  const [entry, ...others] =
    typeof operand === "object" && operand !== null ? Object.entries(operand) : [];
  if (entry === undefined || others.length > 0) {
    return { invalid: "Value of anything-but must be an array or single string/number value" };
  }
  const [name, of] = entry;
  const list: readonly unknown[] = Array.isArray(of) ? of : [of];
  if (list.length === 0) return { invalid: `Empty arrays are not allowed in ${name}` };
  const tests: Matcher[] = [];
  for (const each of list) {
    if (typeof each !== "string") return { invalid: `${name} match pattern must be a string` };
    if (each === "") return { invalid: `Null/Empty ${name} not allowed in anything-but` };
    const test = textTest(name, each);
    if (!("matches" in test)) return test;
    tests.push(test.matches);
  }
  return { matches: (value) => !tests.some((test) => test(value)) };
}

const comparisons: Readonly<Record<string, (value: number, bound: number) => boolean>> = {
  "=": (value, bound) => value === bound,
  ">": (value, bound) => value > bound,
  ">=": (value, bound) => value >= bound,
  "<": (value, bound) => value < bound,
  "<=": (value, bound) => value <= bound,
};

function numeric(operand: unknown): Operator {
  if (!Array.isArray(operand) || (operand.length !== 2 && operand.length !== 4)) {
    return { invalid: "Value of numeric must be an array of one or two comparisons" };
  }
  const tests: Array<(value: number) => boolean> = [];
  const bounds: number[] = [];
  for (let index = 0; index < operand.length; index += 2) {
    const [sign, bound]: unknown[] = operand.slice(index, index + 2);
    const compare = typeof sign === "string" ? comparisons[sign] : undefined;
    if (compare === undefined) return { invalid: `Unrecognized numeric range operator: ${sign}` };
    if (typeof bound !== "number") return { invalid: `Value of ${sign} must be numeric` };
    if (Math.abs(bound) > 5_000_000_000) {
      return { invalid: `Value of ${sign} must be within -5.0E9 and +5.0E9` };
    }
    bounds.push(bound);
    tests.push((value) => compare(value, bound));
  }
  if (operand.length === 4) {
    const ascending = ["<", "<="].includes(operand[2]) && [">", ">="].includes(operand[0]);
    if (!ascending || !((bounds[0] ?? 0) < (bounds[1] ?? 0))) {
      return { invalid: "Bad numeric range" };
    }
  }
  return { matches: (value) => typeof value === "number" && tests.every((test) => test(value)) };
}

function cidr(operand: unknown): Operator {
  const [address = "", length = "", ...others] =
    typeof operand === "string" ? operand.split("/") : [];
  const version = isIP(address);
  const bits = /^\d{1,3}$/.test(length) ? Number(length) : Number.NaN;
  if (version === 0 || others.length > 0 || !(bits <= (version === 4 ? 32 : 128))) {
    return { invalid: `Malformed CIDR: ${JSON.stringify(operand)}` };
  }
  const family = version === 4 ? "ipv4" : "ipv6";
  const block = new BlockList();
  block.addSubnet(address, bits, family);
  return {
    matches: (value) =>
      typeof value === "string" && isIP(value) === version && block.check(value, family),
  };
}

/** The literal stretches between the stars; `\*` and `\\` are literal. */
function wildcardParts(
  pattern: string,
): { readonly parts: readonly string[] } | { readonly invalid: string } {
  const parts = [""];
  const extend = (character: string) => {
    parts.push(`${parts.pop() ?? ""}${character}`);
  };
  for (let index = 0; index < pattern.length; index++) {
    const character = pattern.charAt(index);
    if (character === "*") {
      if (pattern.charAt(index + 1) === "*") {
        return { invalid: "Consecutive wildcard characters" };
      }
      parts.push("");
    } else if (character === "\\") {
      const escaped = pattern.charAt(++index);
      if (escaped !== "*" && escaped !== "\\") return { invalid: "Invalid escape character" };
      extend(escaped);
    } else {
      extend(character);
    }
  }
  return { parts };
}

/** Leftmost matching of each stretch is enough, since a star may take anything: linear, no backtracking. */
function wildcardMatches(text: string, parts: readonly string[]): boolean {
  const first = parts[0] ?? "";
  if (parts.length === 1) return text === first;
  const last = parts.at(-1) ?? "";
  if (text.length < first.length + last.length) return false;
  if (!text.startsWith(first) || !text.endsWith(last)) return false;
  let from = first.length;
  const end = text.length - last.length;
  for (const part of parts.slice(1, -1)) {
    const found = text.indexOf(part, from);
    if (found === -1 || found + part.length > end) return false;
    from = found + part.length;
  }
  return true;
}

function single(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  const entries = Object.entries(value);
  return entries.length === 1 && entries[0]?.[0] === name ? entries[0][1] : undefined;
}
