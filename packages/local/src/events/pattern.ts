/**
 * EventBridge's event patterns: compiled once when a rule is put, then asked for every event. A pattern that
 * EventBridge would refuse is refused here, since one that silently matches nothing costs days.
 */
import { AwsError } from "../service.ts";
import { type Matcher, operatorNames, parseOperator } from "./operators.ts";

/** Whether an event, as parsed JSON, matches. */
export type Pattern = (event: unknown) => boolean;

type Json = Readonly<Record<string, unknown>>;

const maxPatternLength = 4096;

/** Alternatives multiply when `$or` is nested or repeated; EventBridge stops at a thousand. */
const maxCombinations = 1000;

/** Compiles a pattern. @throws {AwsError} `InvalidEventPatternException` with the reason. */
export function compilePattern(text: string): Pattern {
  if (text.length > maxPatternLength) invalid(`the pattern is longer than ${maxPatternLength}`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    invalid("the pattern is not valid JSON");
  }
  if (!isObject(parsed)) invalid("Filter is not an object");
  const { matches, combinations } = compileObject(parsed, []);
  if (combinations > maxCombinations) {
    invalid(`$or makes more than ${maxCombinations} combinations`);
  }
  return (event) => isObject(event) && matches(event);
}

/** The exact strings that a pattern asks of a top-level field, as PutRule's condition keys show them. */
export function exactValues(text: string | undefined, field: string): string[] {
  if (text === undefined) return [];
  const pattern: unknown = JSON.parse(text);
  const values = isObject(pattern) ? pattern[field] : undefined;
  return Array.isArray(values) ? values.filter((value) => typeof value === "string") : [];
}

interface Compiled {
  readonly matches: (node: Json) => boolean;
  readonly combinations: number;
}

function compileObject(pattern: Json, path: readonly string[]): Compiled {
  const fields = Object.entries(pattern);
  if (fields.length === 0) invalid(`Empty objects are not allowed${at(path)}`);
  let combinations = 1;
  const all: Array<(node: Json) => boolean> = [];
  for (const [name, wanted] of fields) {
    if (name === "$or" && isAlternatives(wanted)) {
      const alternatives = wanted.map((alternative) => compileObject(alternative, path));
      combinations *= alternatives.reduce((sum, each) => sum + each.combinations, 0);
      all.push((node) => alternatives.some((each) => each.matches(node)));
      continue;
    }
    const here = [...path, name];
    if (Array.isArray(wanted)) {
      all.push(compileField(name, wanted, here));
    } else if (isObject(wanted)) {
      const inner = compileObject(wanted, here);
      combinations *= inner.combinations;
      all.push((node) => descend(own(node, name), inner.matches));
    } else {
      invalid(`"${name}" must be an object or an array`);
    }
  }
  return { matches: (node) => all.every((test) => test(node)), combinations };
}

function compileField(name: string, wanted: readonly unknown[], path: readonly string[]) {
  if (wanted.length === 0) invalid(`Empty arrays are not allowed${at(path)}`);
  const tests: Matcher[] = [];
  let exists: boolean | undefined;
  for (const each of wanted) {
    if (isObject(each)) {
      const operator = parseOperator(each);
      if ("invalid" in operator) invalid(`${operator.invalid}${at(path)}`);
      if ("exists" in operator) exists = operator.exists;
      else tests.push(operator.matches);
    } else if (each === null || ["string", "number", "boolean"].includes(typeof each)) {
      tests.push((value) => value === each);
    } else {
      invalid(`Match value must be String, number, true, false, or null${at(path)}`);
    }
  }
  return (node: Json): boolean => {
    const values = leaves(own(node, name));
    // `exists: false` holds exactly where there is nothing for another matcher to look at.
    if (exists !== undefined && exists === values.length > 0) return true;
    return values.some((value) => tests.some((test) => test(value)));
  };
}

/** An array of objects matches where one element has all of it, never by fields of different elements. */
function descend(value: unknown, matches: (node: Json) => boolean): boolean {
  if (Array.isArray(value) && value.length > 0) return value.some((each) => descend(each, matches));
  // Below something absent only `exists: false` can hold.
  return matches(isObject(value) ? value : {});
}

/** The scalars at a field: an array stands for its elements, an object is no leaf. */
function leaves(value: unknown): unknown[] {
  if (value === undefined) return [];
  if (Array.isArray(value)) return value.flatMap(leaves);
  return isObject(value) ? [] : [value];
}

/** `$or` over anything but two or more patterns is a field of that name, as it was before the operator existed. */
function isAlternatives(wanted: unknown): wanted is Json[] {
  return (
    Array.isArray(wanted) &&
    wanted.length >= 2 &&
    wanted.every(
      (each) => isObject(each) && !Object.keys(each).some((name) => operatorNames.has(name)),
    )
  );
}

function own(node: Json, name: string): unknown {
  return Object.hasOwn(node, name) ? node[name] : undefined;
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function at(path: readonly string[]): string {
  return path.length === 0 ? "" : ` at ${path.join(".")}`;
}

function invalid(reason: string): never {
  throw new AwsError(
    "InvalidEventPatternException",
    `Event pattern is not valid. Reason: ${reason}`,
  );
}
