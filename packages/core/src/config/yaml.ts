import {
  CST,
  type Document,
  isMap,
  isNode,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  parseDocument,
  visit,
} from "yaml";
import type { Finding, Path, Problem } from "./problem.ts";
import { pathText } from "./problem.ts";

const LONGEST_TEXT = 2_000_000;
/** About three times what a configuration needs. */
const DEEPEST = 32;

interface Yaml {
  /** Plain data; undefined where the text is no YAML at all. */
  readonly data: unknown;
  readonly problems: readonly Problem[];
  /** A finding with its path as text and its place in the file. */
  place(finding: Finding): Problem;
}

/** Reads a restricted YAML 1.2: one document, string keys, each once; no anchors, aliases or tags. */
export function readYaml(text: string): Yaml {
  const lines = new LineCounter();
  const placeless = (finding: Finding): Problem => problem(finding, undefined, lines);
  const broken = (message: string): Yaml => ({
    data: undefined,
    problems: [{ path: "", message }],
    place: placeless,
  });
  if (text.length > LONGEST_TEXT) return broken(`is longer than ${LONGEST_TEXT} characters`);

  if (nestedTooDeeply(text)) return broken(`is nested deeper than ${DEEPEST}`);

  try {
    const document = parseDocument(text, {
      version: "1.2",
      schema: "core",
      merge: false,
      uniqueKeys: true,
      prettyErrors: false,
      lineCounter: lines,
    });
    const problems = [...document.errors, ...document.warnings].map((error) =>
      problem(
        {
          at: keyPath(document.contents, error.pos[0]) ?? [],
          message: error.code === "DUPLICATE_KEY" ? "is there twice" : sentence(error.message),
        },
        error.pos[0],
        lines,
      ),
    );
    const unusable = document.errors.some((error) => error.code !== "DUPLICATE_KEY");
    const refused = refusedNodes(document, lines);
    problems.push(...refused);
    return {
      // Aliases are not resolved even to complain about the rest: a bomb of them would have to be built for it.
      data: unusable || refused.length > 0 ? undefined : document.toJS({ maxAliasCount: 0 }),
      problems,
      place: (finding) => problem(finding, offset(document, finding.at), lines),
    };
  } catch (error) {
    // The parser should not throw; if it does, that too is a problem of the text.
    return broken(`cannot be read: ${error instanceof Error ? error.message : "unknown error"}`);
  }
}

/** Looked at before the text is parsed: the parser takes minutes for a hundred thousand open brackets. */
function nestedTooDeeply(text: string): boolean {
  let open = 0;
  let indicators = 0;
  let startsLine = false;
  for (const token of new Lexer().lex(text)) {
    const type = CST.tokenType(token);
    if (startsLine && type === "space" && token.length > DEEPEST * 8) return true;
    startsLine = type === "newline";
    if (type === "flow-seq-start" || type === "flow-map-start") open++;
    else if (type === "flow-seq-end" || type === "flow-map-end") open--;
    // `- - - x` nests as brackets do.
    else if (type === "seq-item-ind" || type === "explicit-key-ind") indicators++;
    else if (type !== "space") indicators = 0;
    if (open > DEEPEST || indicators > DEEPEST) return true;
  }
  return false;
}

function refusedNodes(document: Document, lines: LineCounter): Problem[] {
  const problems: Problem[] = [];
  const refuse = (node: unknown, message: string, hint?: string): void => {
    const at = isNode(node) ? node.range?.[0] : undefined;
    problems.push(problem({ at: [], message, hint }, at, lines));
  };
  visit(document, {
    Alias: (_, node) => refuse(node, `alias *${node.source} is not allowed`, "write it out"),
    Node: (_, node) => {
      if ("anchor" in node && node.anchor !== undefined)
        refuse(
          node,
          `anchor &${node.anchor} is not allowed`,
          "write the value out where it is used",
        );
      if (node.tag !== undefined && !node.tag.startsWith("tag:yaml.org,2002:"))
        refuse(node, `tag ${node.tag} is not allowed`);
    },
    Pair: (_, pair) => {
      if (!isScalar(pair.key) || typeof pair.key.value !== "string")
        refuse(pair.key, "a key must be text", "quote it");
      else if (pair.key.value === "__proto__") refuse(pair.key, "the key __proto__ is not allowed");
    },
  });
  return problems;
}

/** Where in the text a path is: its key, so that a missing or wrong value is shown beside its name. */
function offset(document: Document, path: Path): number | undefined {
  let node: unknown = document.contents;
  let found = isNode(node) ? node.range?.[0] : undefined;
  for (const part of path) {
    if (isMap(node)) {
      // Several keys of one name are a problem of their own; the last one counts, as in the data.
      const pair = node.items.findLast((item) => isScalar(item.key) && item.key.value === part);
      if (pair === undefined || !isNode(pair.key)) break;
      found = pair.key.range?.[0];
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(part)];
      if (!isNode(node)) break;
      found = node.range?.[0];
    } else break;
  }
  return found;
}

/** The path of the key that begins at an offset. */
function keyPath(node: unknown, at: number, path: Path = []): Path | undefined {
  if (isSeq(node))
    for (const [index, item] of node.items.entries()) {
      const found = keyPath(item, at, [...path, index]);
      if (found !== undefined) return found;
    }
  if (isMap(node))
    for (const { key, value } of node.items) {
      if (!isScalar(key)) continue;
      const here = [...path, String(key.value)];
      if (key.range?.[0] === at) return here;
      const found = keyPath(value, at, here);
      if (found !== undefined) return found;
    }
  return undefined;
}

function problem(finding: Finding, at: number | undefined, lines: LineCounter): Problem {
  const place = at === undefined ? undefined : lines.linePos(at);
  return {
    path: pathText(finding.at),
    message: finding.message,
    ...(finding.hint === undefined ? {} : { hint: finding.hint }),
    // The counter answers line 0 for a text without one.
    ...(place === undefined || place.line === 0 ? {} : { line: place.line, column: place.col }),
  };
}

const sentence = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1);
