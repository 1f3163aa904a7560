import { invalid } from "./errors.ts";
import type { ExpressionKind } from "./syntax.ts";

const TOKEN = /\s*(?:([A-Za-z_][A-Za-z0-9_]*|[#:][A-Za-z0-9_]+|\d+|<>|<=|>=|[=<>()[\].,+-])|(\S))/y;

/** A reader over an expression's tokens. */
export interface Tokens {
  readonly kind: ExpressionKind;
  /** The next token; empty at the end. */
  peek(ahead?: number): string;
  next(): string;
  /** Takes the next token when it is this one, without regard to case. */
  take(token: string): boolean;
  expect(token: string): void;
  /** Throws AWS's syntax error at the next token. */
  fail(): never;
}

export function tokens(kind: ExpressionKind, text: string): Tokens {
  if (text.trim() === "") throw invalid(`Invalid ${kind}: The expression can not be empty;`);
  const list: string[] = [];
  let at = 0;
  const syntaxError = (where: number): never => {
    const token = list[where] ?? "<EOF>";
    const near = list.slice(Math.max(0, where - 1), where + 2).join(" ");
    throw invalid(`Invalid ${kind}: Syntax error; token: "${token}", near: "${near}"`);
  };
  const pattern = new RegExp(TOKEN);
  while (pattern.lastIndex < text.length) {
    const match = pattern.exec(text);
    if (match === null) break; // only white space is left
    list.push(match[1] ?? match[2] ?? "");
    if (match[1] === undefined) syntaxError(list.length - 1);
  }
  return {
    kind,
    peek: (ahead = 0) => list[at + ahead] ?? "",
    next: () => list[at++] ?? "",
    take(token) {
      if (list[at]?.toUpperCase() !== token.toUpperCase()) return false;
      at++;
      return true;
    },
    expect(token) {
      if (!this.take(token)) syntaxError(at);
    },
    fail: () => syntaxError(at),
  };
}
