/** Expressions of one request: parsed once per text, bound to the request's names and values, and used up entirely. */
import { type Bindings, checkCondition } from "./conditions.ts";
import { invalid } from "./errors.ts";
import { parseCondition, parseProjection, parseUpdate } from "./parser.ts";
import { checkOverlap, resolvePath } from "./paths.ts";
import type { Condition, ExpressionKind, Parsed, Path, UpdateAction } from "./syntax.ts";
import { checkUpdate } from "./updates.ts";
import { type AttributeValue, admit } from "./values.ts";

/** Parsed texts, the most recently used kept. Programs use a few dozen; whoever builds texts must not fill memory. */
export interface ExpressionCache {
  condition(kind: ExpressionKind, text: string): Parsed<Condition>;
  projection(text: string): Parsed<readonly Path[]>;
  update(text: string): Parsed<readonly UpdateAction[]>;
}

const CACHED_TEXTS = 500;

function remembered<T>(parse: (text: string) => T): (text: string) => T {
  const known = new Map<string, T>();
  return (text) => {
    const have = known.get(text);
    if (have !== undefined) {
      // Only a cache that may soon be full needs to know what was used last.
      if (known.size > CACHED_TEXTS / 2) {
        known.delete(text);
        known.set(text, have);
      }
      return have;
    }
    const fresh = parse(text);
    if (known.size >= CACHED_TEXTS)
      for (const oldest of known.keys()) {
        known.delete(oldest);
        break;
      }
    known.set(text, fresh);
    return fresh;
  };
}

export function expressionCache(): ExpressionCache {
  // Messages name the kind of expression, so each kind has texts of its own.
  const conditions = {
    ConditionExpression: remembered((text) => parseCondition("ConditionExpression", text)),
    FilterExpression: remembered((text) => parseCondition("FilterExpression", text)),
    KeyConditionExpression: remembered((text) => parseCondition("KeyConditionExpression", text)),
  };
  return {
    condition: (kind, text) =>
      kind === "FilterExpression" || kind === "KeyConditionExpression"
        ? conditions[kind](text)
        : conditions.ConditionExpression(text),
    projection: remembered(parseProjection),
    update: remembered(parseUpdate),
  };
}

/** The part of a request that expressions draw on. */
export interface Placeholders {
  readonly ExpressionAttributeNames?: Readonly<Record<string, string>> | undefined;
  readonly ExpressionAttributeValues?: Readonly<Record<string, unknown>> | undefined;
}

export interface BoundCondition {
  readonly condition: Condition;
  readonly bindings: Bindings;
}

export interface BoundUpdate {
  readonly actions: readonly UpdateAction[];
  readonly bindings: Bindings;
}

export interface Expressions {
  readonly bindings: Bindings;
  condition(kind: ExpressionKind, text: string | undefined): BoundCondition | undefined;
  projection(text: string | undefined): readonly Path[] | undefined;
  update(text: string | undefined): BoundUpdate | undefined;
  /** To be called when every expression has been read: placeholders that none used are refused. */
  finish(): void;
}

/** `couldHave`: the expressions that this operation takes, for the message when there is none. */
export function expressions(
  cache: ExpressionCache,
  given: Placeholders,
  couldHave: readonly ExpressionKind[],
): Expressions {
  const { ExpressionAttributeNames: names, ExpressionAttributeValues: values } = given;
  if (names !== undefined) checkPlaceholders("ExpressionAttributeNames", names, /^#[A-Za-z0-9_]+$/);
  if (values !== undefined) {
    checkPlaceholders("ExpressionAttributeValues", values, /^:[A-Za-z0-9_]+$/);
    for (const name in values) admit(values[name]);
  }
  // `admit` has just checked each value.
  const bindings: Bindings = {
    names: names ?? {},
    values: (values ?? {}) as Readonly<Record<string, AttributeValue>>,
  };
  const usedNames = new Set<string>();
  const usedValues = new Set<string>();
  let any = false;

  function bind<T>(kind: ExpressionKind, parsed: Parsed<T>): T {
    any = true;
    for (const name of parsed.names) {
      if (names === undefined || !Object.hasOwn(names, name))
        throw invalid(
          `Invalid ${kind}: An expression attribute name used in the document path is not defined; attribute name: ${name}`,
        );
      usedNames.add(name);
    }
    for (const value of parsed.values) {
      if (values === undefined || !Object.hasOwn(values, value))
        throw invalid(
          `Invalid ${kind}: An expression attribute value used in expression is not defined; attribute value: ${value}`,
        );
      usedValues.add(value);
    }
    return parsed.tree;
  }

  return {
    bindings,
    condition(kind, text) {
      if (text === undefined) return undefined;
      const condition = bind(kind, cache.condition(kind, text));
      checkCondition(kind, condition, bindings);
      return { condition, bindings };
    },
    projection(text) {
      if (text === undefined) return undefined;
      const paths = bind("ProjectionExpression", cache.projection(text)).map((path) =>
        resolvePath(path, bindings.names),
      );
      checkOverlap("ProjectionExpression", paths);
      return paths;
    },
    update(text) {
      if (text === undefined) return undefined;
      const actions = bind("UpdateExpression", cache.update(text));
      checkUpdate(actions, bindings);
      if (actions.length > 1)
        checkOverlap(
          "UpdateExpression",
          actions.map(({ path }) => resolvePath(path, bindings.names)),
        );
      return { actions, bindings };
    },
    finish() {
      if (!any) {
        const none = couldHave.filter((kind) => kind !== "ProjectionExpression").join(" and ");
        const why = none === "" ? "" : `: ${none} ${none.includes(" and ") ? "are" : "is"} null`;
        if (names !== undefined)
          throw invalid("ExpressionAttributeNames can only be specified when using expressions");
        if (values !== undefined)
          throw invalid(
            `ExpressionAttributeValues can only be specified when using expressions${why}`,
          );
      }
      refuseUnused("ExpressionAttributeNames", names, usedNames);
      refuseUnused("ExpressionAttributeValues", values, usedValues);
    },
  };
}

function checkPlaceholders(
  parameter: string,
  given: Readonly<Record<string, unknown>>,
  form: RegExp,
): void {
  let count = 0;
  for (const name in given) {
    count++;
    if (!form.test(name))
      throw invalid(`${parameter} contains invalid key: Syntax error; key: "${name}"`);
    if (given[name] === "")
      throw invalid(
        `${parameter} contains invalid value: Attribute name must not be empty; key: ${name}`,
      );
  }
  if (count === 0) throw invalid(`${parameter} must not be empty`);
}

function refuseUnused(
  parameter: string,
  given: Readonly<Record<string, unknown>> | undefined,
  used: ReadonlySet<string>,
): void {
  if (given === undefined) return;
  const unused = Object.keys(given).filter((name) => !used.has(name));
  if (unused.length > 0)
    throw invalid(
      `Value provided in ${parameter} unused in expressions: keys: {${unused.join(", ")}}`,
    );
}

/** Top-level attributes that a text names. */
export const rootsOf = (
  { roots }: Parsed<unknown>,
  names: Readonly<Record<string, string>> | undefined,
): readonly string[] => roots.map((root) => names?.[root] ?? root);
