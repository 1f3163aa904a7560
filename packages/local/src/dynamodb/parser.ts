import { invalid } from "./errors.ts";
import { type Tokens, tokens } from "./lexer.ts";
import { isReserved } from "./reserved.ts";
import type {
  Comparator,
  Condition,
  ExpressionKind,
  Operand,
  Parsed,
  Path,
  UpdateAction,
  UpdateOperand,
} from "./syntax.ts";

/** AWS's own bounds; they also keep this parser's recursion shallow. */
const MAX_LENGTH = 4096;
const MAX_OPERATORS = 300;
const MAX_IN = 100;
const MAX_PATH_DEPTH = 32;

const COMPARATORS: ReadonlySet<string> = new Set(["=", "<>", "<", "<=", ">", ">="]);
const IDENTIFIER = /^[A-Za-z_]/;

interface Reader {
  readonly at: Tokens;
  readonly names: Set<string>;
  readonly values: Set<string>;
  readonly roots: Set<string>;
  operators: number;
}

function parsed<T>(kind: ExpressionKind, text: string, read: (reader: Reader) => T): Parsed<T> {
  if (text.length > MAX_LENGTH)
    throw invalid(
      `Invalid ${kind}: Expression size has exceeded the maximum allowed size; expression size: ${text.length}`,
    );
  const reader: Reader = {
    at: tokens(kind, text),
    names: new Set(),
    values: new Set(),
    roots: new Set(),
    operators: 0,
  };
  const tree = read(reader);
  if (reader.at.peek() !== "") reader.at.fail();
  return {
    tree,
    names: [...reader.names],
    values: [...reader.values],
    roots: [...reader.roots],
  };
}

function counted(reader: Reader): void {
  if (++reader.operators > MAX_OPERATORS)
    throw invalid(
      `Invalid ${reader.at.kind}: The expression contains too many operators; operator count: ${reader.operators}`,
    );
}

export const parseCondition = (kind: ExpressionKind, text: string): Parsed<Condition> =>
  parsed(kind, text, readOr);

function readOr(reader: Reader): Condition {
  let left = readAnd(reader);
  while (reader.at.take("OR")) {
    counted(reader);
    left = { kind: "or", left, right: readAnd(reader) };
  }
  return left;
}

function readAnd(reader: Reader): Condition {
  let left = readNot(reader);
  while (reader.at.take("AND")) {
    counted(reader);
    left = { kind: "and", left, right: readNot(reader) };
  }
  return left;
}

function readNot(reader: Reader): Condition {
  if (!reader.at.take("NOT")) return readPrimary(reader);
  counted(reader);
  return { kind: "not", of: readNot(reader) };
}

function readPrimary(reader: Reader): Condition {
  const { at } = reader;
  counted(reader);
  if (at.take("(")) {
    const inner = readOr(reader);
    at.expect(")");
    return inner;
  }
  if (IDENTIFIER.test(at.peek()) && at.peek(1) === "(" && at.peek() !== "size")
    return readFunction(reader);
  const left = readOperand(reader);
  if (COMPARATORS.has(at.peek())) {
    // Membership in the set of comparators was just tested.
    const operator = at.next() as Comparator;
    const right = readOperand(reader);
    if (sameOperand(left, right)) throw notDistinct(reader, operator, left);
    return { kind: "compare", operator, left, right };
  }
  if (at.take("BETWEEN")) {
    const low = readOperand(reader);
    at.expect("AND");
    return { kind: "between", of: left, low, high: readOperand(reader) };
  }
  if (at.take("IN")) {
    at.expect("(");
    const among = [readOperand(reader)];
    while (at.take(",")) among.push(readOperand(reader));
    at.expect(")");
    if (among.length > MAX_IN)
      throw invalid(
        `Invalid ${at.kind}: The IN operator is provided with too many operands; number of operands: ${among.length}`,
      );
    return { kind: "in", of: left, among };
  }
  return at.fail();
}

function readFunction(reader: Reader): Condition {
  const { at } = reader;
  const name = at.next();
  at.expect("(");
  const operands: Operand[] = [];
  if (at.peek() !== ")") {
    do operands.push(readOperand(reader));
    while (at.take(","));
  }
  at.expect(")");
  const [first, second] = operands;
  const wants = name === "attribute_exists" || name === "attribute_not_exists" ? 1 : 2;
  switch (name) {
    case "attribute_exists":
    case "attribute_not_exists":
    case "attribute_type":
    case "begins_with":
    case "contains":
      break;
    case "if_not_exists":
    case "list_append":
      throw invalid(
        `Invalid ${at.kind}: The function is not allowed in this expression; function: ${name}`,
      );
    default:
      throw invalid(`Invalid ${at.kind}: Invalid function name; function: ${name}`);
  }
  if (operands.length !== wants || first === undefined)
    throw invalid(
      `Invalid ${at.kind}: Incorrect number of operands for operator or function; operator or function: ${name}, number of operands: ${operands.length}`,
    );
  if (name === "begins_with" || name === "contains") {
    if (second === undefined) return at.fail();
    if (sameOperand(first, second)) throw notDistinct(reader, name, first);
    return { kind: name, of: first, part: second };
  }
  if (first.kind !== "path")
    throw invalid(
      `Invalid ${at.kind}: Operator or function requires a document path; operator or function: ${name}`,
    );
  if (name !== "attribute_type")
    return { kind: name === "attribute_exists" ? "exists" : "missing", path: first.path };
  if (second === undefined) return at.fail();
  return { kind: "type", path: first.path, type: second };
}

function readOperand(reader: Reader): Operand {
  const { at } = reader;
  const token = at.peek();
  if (token.startsWith(":")) return { kind: "value", name: readValue(reader) };
  if (token === "size" && at.peek(1) === "(") {
    at.next();
    at.next();
    if (at.peek().startsWith(":"))
      throw invalid(
        `Invalid ${at.kind}: Operator or function requires a document path; operator or function: size`,
      );
    const path = readPath(reader);
    at.expect(")");
    return { kind: "size", path };
  }
  if (IDENTIFIER.test(token) && at.peek(1) === "(") {
    const known = ["attribute_exists", "attribute_not_exists", "attribute_type", "begins_with"];
    throw invalid(
      [...known, "contains", "if_not_exists", "list_append"].includes(token)
        ? `Invalid ${at.kind}: The function is not allowed to be used this way in an expression; function: ${token}`
        : `Invalid ${at.kind}: Invalid function name; function: ${token}`,
    );
  }
  return { kind: "path", path: readPath(reader) };
}

const sameOperand = (a: Operand, b: Operand): boolean =>
  a.kind === "path" && b.kind === "path" && samePath(a.path, b.path);

const samePath = (a: Path, b: Path): boolean =>
  a.length === b.length && a.every((part, at) => part === b[at]);

const notDistinct = (reader: Reader, name: string, first: Operand) =>
  invalid(
    `Invalid ${reader.at.kind}: The first operand must be distinct from the remaining operands for this operator or function; operator: ${name}, first operand: ${first.kind === "path" ? showPath(first.path) : ""}`,
  );

/** `[a, b, [0]]`, as AWS's messages write paths. */
export const showPath = (path: Path): string =>
  `[${path.map((part) => (typeof part === "number" ? `[${part}]` : part)).join(", ")}]`;

function readValue(reader: Reader): string {
  const token = reader.at.peek();
  if (!token.startsWith(":")) return reader.at.fail();
  reader.values.add(token);
  return reader.at.next();
}

function readPath(reader: Reader): Path {
  const { at } = reader;
  const root = readName(reader);
  reader.roots.add(root);
  const path: (string | number)[] = [root];
  for (;;) {
    if (at.take(".")) path.push(readName(reader));
    else if (at.take("[")) {
      if (!/^\d{1,9}$/.test(at.peek())) at.fail();
      path.push(Number(at.next()));
      at.expect("]");
    } else break;
  }
  if (path.length > MAX_PATH_DEPTH)
    throw invalid(
      `Invalid ${at.kind}: The document path has too many nesting elements; nesting levels: ${path.length}`,
    );
  return path;
}

function readName(reader: Reader): string {
  const token = reader.at.peek();
  if (token.startsWith("#")) reader.names.add(token);
  else if (!IDENTIFIER.test(token)) reader.at.fail();
  else if (isReserved(token))
    throw invalid(
      `Invalid ${reader.at.kind}: Attribute name is a reserved keyword; reserved keyword: ${token}`,
    );
  return reader.at.next();
}

export const parseProjection = (text: string): Parsed<readonly Path[]> =>
  parsed("ProjectionExpression", text, (reader) => {
    const paths = [readPath(reader)];
    while (reader.at.take(",")) paths.push(readPath(reader));
    return paths;
  });

export const parseUpdate = (text: string): Parsed<readonly UpdateAction[]> =>
  parsed("UpdateExpression", text, (reader) => {
    const { at } = reader;
    const seen = new Set<string>();
    const actions: UpdateAction[] = [];
    while (at.peek() !== "") {
      const section = at.peek().toUpperCase();
      if (section !== "SET" && section !== "REMOVE" && section !== "ADD" && section !== "DELETE")
        return at.fail();
      if (seen.has(section))
        throw invalid(
          `Invalid UpdateExpression: The "${section}" section can only be used once in an update expression;`,
        );
      seen.add(section);
      at.next();
      do {
        counted(reader);
        const path = readPath(reader);
        if (section === "SET") {
          at.expect("=");
          actions.push({ kind: "set", path, to: readUpdateValue(reader) });
        } else if (section === "REMOVE") actions.push({ kind: "remove", path });
        else
          actions.push({
            kind: section === "ADD" ? "add" : "delete",
            path,
            value: readValue(reader),
          });
      } while (at.take(","));
    }
    return actions;
  });

function readUpdateValue(reader: Reader): UpdateOperand {
  const left = readUpdateOperand(reader);
  const sign = reader.at.peek() === "+" ? 1 : reader.at.peek() === "-" ? -1 : undefined;
  if (sign === undefined) return left;
  reader.at.next();
  return { kind: "sum", sign, left, right: readUpdateOperand(reader) };
}

function readUpdateOperand(reader: Reader): UpdateOperand {
  const { at } = reader;
  counted(reader);
  if (at.take("(")) {
    const inner = readUpdateValue(reader);
    at.expect(")");
    return inner;
  }
  const token = at.peek();
  if (token.startsWith(":")) return { kind: "value", name: readValue(reader) };
  if (!IDENTIFIER.test(token) || at.peek(1) !== "(")
    return { kind: "path", path: readPath(reader) };
  if (token !== "if_not_exists" && token !== "list_append")
    throw invalid(
      [
        "attribute_exists",
        "attribute_not_exists",
        "attribute_type",
        "begins_with",
        "contains",
        "size",
      ].includes(token)
        ? `Invalid UpdateExpression: The function is not allowed in an update expression; function: ${token}`
        : `Invalid UpdateExpression: Invalid function name; function: ${token}`,
    );
  at.next();
  at.expect("(");
  if (token === "list_append") {
    const left = readUpdateOperand(reader);
    at.expect(",");
    const right = readUpdateOperand(reader);
    at.expect(")");
    return { kind: "list_append", left, right };
  }
  if (at.peek().startsWith(":"))
    throw invalid(
      "Invalid UpdateExpression: Operator or function requires a document path; operator or function: if_not_exists",
    );
  const path = readPath(reader);
  at.expect(",");
  const otherwise = readUpdateOperand(reader);
  at.expect(")");
  return { kind: "if_not_exists", path, otherwise };
}
