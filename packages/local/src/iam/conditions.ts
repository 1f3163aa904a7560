/** Condition operators of policies: parsed once into predicates over a request's context. */
import { BlockList, isIP } from "node:net";
import { type Context, matches, matchesArn, pattern } from "./match.ts";

/** Tells whether one value of the request matches one value of the policy, already prepared. */
type Test = (value: string, context: Context) => boolean;

interface Operator {
  /** Prepares a policy value. `undefined`: the value is malformed. */
  readonly prepare: (wanted: string, variables: boolean) => Test | undefined;
  /** A negated operator is true when no wanted value matches. */
  readonly negated?: true;
}

const hasVariable = (text: string) => text.includes("${");

const text =
  (fold: (value: string) => string, wildcards: boolean): Operator["prepare"] =>
  (wanted, variables) => {
    const prepared = pattern(fold(wanted), { wildcards, variables });
    const { literal } = prepared;
    if (literal !== undefined) return (value) => fold(value) === literal;
    return (value, context) => {
      const pieces = prepared.resolve(context);
      if (pieces === undefined) return false;
      const folded = pieces.map((piece) =>
        typeof piece === "string" ? piece : { text: fold(piece.text) },
      );
      return matches(folded, fold(value));
    };
  };

const same = (value: string) => value;
const lower = (value: string) => value.toLowerCase();

const NUMBER = /^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$/;

const toNumber = (value: string): number => (NUMBER.test(value) ? Number(value) : Number.NaN);

/** ISO 8601, or seconds since the epoch (milliseconds when too large for seconds). */
export const parseDate = (value: string): number => {
  if (/^-?\d+(\.\d+)?$/.test(value)) {
    const number = Number(value);
    return Math.abs(number) >= 1e11 ? number : number * 1000;
  }
  return /^\d{4}(-\d\d(-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?)?)?$/.test(value)
    ? Date.parse(/T[^Z+-]*$/.test(value) ? `${value}Z` : value)
    : Number.NaN;
};

const compared =
  (
    parse: (value: string) => number,
    compare: (value: number, wanted: number) => boolean,
  ): Operator["prepare"] =>
  (wanted) => {
    const bound = parse(wanted);
    if (Number.isNaN(bound)) return undefined;
    return (value) => {
      const actual = parse(value);
      return !Number.isNaN(actual) && compare(actual, bound);
    };
  };

const arn: Operator["prepare"] = (wanted, variables) => {
  if (!wanted.startsWith("arn:") && !/^[*?$]/.test(wanted)) return undefined;
  const prepared = pattern(wanted, { wildcards: true, variables });
  return (value, context) => {
    const pieces = prepared.resolve(context);
    return pieces !== undefined && matchesArn(pieces, value);
  };
};

const address: Operator["prepare"] = (wanted) => {
  const [host = "", bits, ...rest] = wanted.split("/");
  const version = isIP(host);
  const widest = version === 4 ? 32 : 128;
  const prefix = bits === undefined ? widest : /^\d{1,3}$/.test(bits) ? Number(bits) : -1;
  if (version === 0 || rest.length > 0 || prefix < 0 || prefix > widest) return undefined;
  const list = new BlockList();
  list.addSubnet(host, prefix, version === 4 ? "ipv4" : "ipv6");
  return (value) => {
    const given = isIP(value);
    return given !== 0 && list.check(value, given === 4 ? "ipv4" : "ipv6");
  };
};

const bool: Operator["prepare"] = (wanted) => {
  const bit = wanted.toLowerCase();
  return bit === "true" || bit === "false" ? (value) => value.toLowerCase() === bit : undefined;
};

const binary: Operator["prepare"] = (wanted) =>
  /^[A-Za-z0-9+/]*={0,2}$/.test(wanted) ? (value) => value === wanted : undefined;

const not = (prepare: Operator["prepare"]): Operator => ({ prepare, negated: true });

const equal = (a: number, b: number) => a === b;
const operators: ReadonlyMap<string, Operator> = new Map(
  Object.entries<Operator>({
    StringEquals: { prepare: text(same, false) },
    StringNotEquals: not(text(same, false)),
    StringEqualsIgnoreCase: { prepare: text(lower, false) },
    StringNotEqualsIgnoreCase: not(text(lower, false)),
    StringLike: { prepare: text(same, true) },
    StringNotLike: not(text(same, true)),
    NumericEquals: { prepare: compared(toNumber, equal) },
    NumericNotEquals: not(compared(toNumber, equal)),
    NumericLessThan: { prepare: compared(toNumber, (a, b) => a < b) },
    NumericLessThanEquals: { prepare: compared(toNumber, (a, b) => a <= b) },
    NumericGreaterThan: { prepare: compared(toNumber, (a, b) => a > b) },
    NumericGreaterThanEquals: { prepare: compared(toNumber, (a, b) => a >= b) },
    DateEquals: { prepare: compared(parseDate, equal) },
    DateNotEquals: not(compared(parseDate, equal)),
    DateLessThan: { prepare: compared(parseDate, (a, b) => a < b) },
    DateLessThanEquals: { prepare: compared(parseDate, (a, b) => a <= b) },
    DateGreaterThan: { prepare: compared(parseDate, (a, b) => a > b) },
    DateGreaterThanEquals: { prepare: compared(parseDate, (a, b) => a >= b) },
    Bool: { prepare: bool },
    BinaryEquals: { prepare: binary },
    IpAddress: { prepare: address },
    NotIpAddress: not(address),
    ArnEquals: { prepare: arn },
    ArnLike: { prepare: arn },
    ArnNotEquals: not(arn),
    ArnNotLike: not(arn),
  }).map(([name, operator]) => [name.toLowerCase(), operator]),
);

/** A condition of a statement: true, false, or false because a variable in it has no value. */
export type Condition = (context: Context) => boolean;

/** What is wrong with a condition, in AWS's words. */
export class ConditionError extends Error {}

const parseName = (given: string) => {
  const name = given.toLowerCase();
  const [quantifier, rest] = name.startsWith("forallvalues:")
    ? (["all", name.slice(13)] as const)
    : name.startsWith("foranyvalue:")
      ? (["any", name.slice(12)] as const)
      : ([undefined, name] as const);
  const ifExists = rest.endsWith("ifexists");
  return { quantifier, ifExists, base: ifExists ? rest.slice(0, -8) : rest };
};

/** Variables that a condition's values need, so that an Allow can insist that they exist. */
const unresolved = (patterns: ReturnType<typeof pattern>[]) => (context: Context) =>
  patterns.some((one) => one.resolve(context) === undefined);

/**
 * Prepares one `operator: { key: values }` entry.
 * @throws {ConditionError}
 */
export const parseCondition = (
  operatorName: string,
  key: string,
  wanted: readonly string[],
  options: { readonly variables: boolean; readonly allow: boolean },
): Condition => {
  const { quantifier, ifExists, base } = parseName(operatorName);
  const name = key.toLowerCase();
  if (base === "null") {
    if (quantifier !== undefined || ifExists)
      throw new ConditionError(`Invalid Condition type : ${operatorName}.`);
    const wants = wanted.map((value) => value.toLowerCase());
    if (wants.some((value) => value !== "true" && value !== "false"))
      throw new ConditionError(`Invalid value for Null: ${wanted.join(", ")}`);
    return (context) => wants.includes(String((context.get(name)?.length ?? 0) === 0));
  }
  const operator = operators.get(base);
  if (operator === undefined) throw new ConditionError(`Invalid Condition type : ${operatorName}.`);
  const tests = wanted.map((value) => {
    const test = operator.prepare(value, options.variables);
    if (test === undefined) throw new ConditionError(`Invalid value for ${operatorName}: ${value}`);
    return test;
  });
  const isUnresolved = unresolved(
    options.variables
      ? wanted
          .filter(hasVariable)
          .map((value) => pattern(value, { wildcards: false, variables: true }))
      : [],
  );
  const one = (value: string, context: Context): boolean => {
    const found = tests.some((test) => test(value, context));
    return operator.negated ? !found : found;
  };
  return (context) => {
    // A variable without a value must not open anything: "not equal to nothing" would be true.
    if (options.allow && isUnresolved(context)) return false;
    const values = context.get(name);
    if (values === undefined || values.length === 0) {
      if (ifExists) return true;
      // No value at all: all of them match, none of them does, and a negation holds.
      if (quantifier !== undefined) return quantifier === "all";
      return operator.negated === true;
    }
    if (quantifier === "all") return values.every((value) => one(value, context));
    if (quantifier === "any") return values.some((value) => one(value, context));
    // A key with several values under an operator for one: a match of any, and a negation of all.
    return operator.negated
      ? values.every((value) => one(value, context))
      : values.some((value) => one(value, context));
  };
};
