/** Matching as policies do it: globs, ARNs by segment, policy variables. */

/** The request's condition keys, by lower-case name. */
export type Context = ReadonlyMap<string, readonly string[]>;

/** A pattern's pieces: literal text, or a wildcard. What a variable brings in is literal, whatever it contains. */
type Piece = { readonly text: string } | "*" | "?";

/** A pattern as written in a policy: fixed, or with variables that each request fills in. */
export interface Pattern {
  /** The pieces for this request; `undefined` where a variable has no value. */
  readonly resolve: (context: Context) => readonly Piece[] | undefined;
  /** The text, where it has neither wildcard nor variable. */
  readonly literal?: string;
}

const special = new Set(["*", "?", "$"]);

const split = (text: string, wildcards: boolean): Piece[] => {
  if (!wildcards) return [{ text }];
  const pieces: Piece[] = [];
  for (const part of text.split(/([*?])/)) {
    if (part === "*" || part === "?") pieces.push(part);
    else if (part !== "") pieces.push({ text: part });
  }
  return pieces;
};

interface Variable {
  readonly key: string;
  readonly fallback?: string;
}

/** `${key}` or `${key, 'default'}`. */
const parseVariable = (body: string): Variable | undefined => {
  const parts = /^\s*([A-Za-z0-9_:+=.@/ -]+?)\s*(?:,\s*'([^']*)'\s*)?$/.exec(body);
  const key = parts?.[1];
  if (key === undefined) return undefined;
  const fallback = parts?.[2];
  return fallback === undefined ? { key } : { key, fallback };
};

/**
 * @param options.wildcards whether `*` and `?` are wildcards here; `${*}` is a literal star in any case.
 * @param options.variables whether `${…}` is filled in (only in policies of version 2012-10-17).
 */
export const pattern = (
  text: string,
  options: { readonly wildcards: boolean; readonly variables: boolean },
): Pattern => {
  const parts: Array<readonly Piece[] | Variable> = [];
  let rest = text;
  while (options.variables) {
    const start = rest.indexOf("${");
    const end = rest.indexOf("}", start);
    if (start < 0 || end < 0) break;
    const body = rest.slice(start + 2, end);
    const variable = special.has(body) ? undefined : parseVariable(body);
    parts.push(split(rest.slice(0, start), options.wildcards));
    if (variable !== undefined) parts.push(variable);
    else parts.push([{ text: special.has(body) ? body : rest.slice(start, end + 1) }]);
    rest = rest.slice(end + 1);
  }
  parts.push(split(rest, options.wildcards));

  const fixed = parts.every((part) => Array.isArray(part));
  if (fixed) {
    const pieces = parts.flatMap((part) => part as readonly Piece[]); // no variable among them
    const isText = pieces.every((piece) => typeof piece === "object");
    const literal = pieces.map((piece) => (typeof piece === "object" ? piece.text : "")).join("");
    return { resolve: () => pieces, ...(isText ? { literal } : {}) };
  }
  return {
    resolve(context) {
      const pieces: Piece[] = [];
      for (const part of parts) {
        if (!("key" in part)) {
          pieces.push(...part);
          continue;
        }
        const values = context.get(part.key.toLowerCase());
        // A key with several values has no one value to put in.
        const value = values?.length === 1 ? values[0] : undefined;
        const filled = value ?? part.fallback;
        if (filled === undefined) return undefined;
        pieces.push({ text: filled });
      }
      return pieces;
    },
  };
};

/** Whether `value` matches the whole pattern. Linear for one star, never exponential. */
export const matches = (pieces: readonly Piece[], value: string): boolean => {
  let piece = 0;
  let at = 0;
  let star = -1;
  let starAt = 0;
  const step = (): boolean => {
    const next = pieces[piece];
    if (next === undefined) return false;
    if (next === "?") {
      if (at >= value.length) return false;
      at += 1;
    } else if (next !== "*") {
      if (!value.startsWith(next.text, at)) return false;
      at += next.text.length;
    }
    piece += 1;
    return true;
  };
  for (;;) {
    if (pieces[piece] === "*") {
      star = piece;
      starAt = at;
      piece += 1;
      if (piece === pieces.length) return true;
      continue;
    }
    if (piece === pieces.length && at === value.length) return true;
    if (piece < pieces.length && step()) continue;
    if (star < 0 || starAt >= value.length) return false;
    // Let the last star take one character more.
    starAt += 1;
    at = starAt;
    piece = star + 1;
  }
};

/** A pattern's pieces at its first five colons; the sixth part keeps the colons that follow. */
const segments = (pieces: readonly Piece[]): Array<Piece[]> => {
  const out: Array<Piece[]> = [[]];
  for (const piece of pieces) {
    if (typeof piece === "string") {
      out.at(-1)?.push(piece);
      continue;
    }
    let rest = piece.text;
    while (out.length < 6) {
      const colon = rest.indexOf(":");
      if (colon < 0) break;
      if (colon > 0) out.at(-1)?.push({ text: rest.slice(0, colon) });
      out.push([]);
      rest = rest.slice(colon + 1);
    }
    if (rest !== "") out.at(-1)?.push({ text: rest });
  }
  return out;
};

/**
 * Whether an ARN matches a pattern, part by part: no wildcard reaches over the first five colons, except a star
 * that ends the pattern.
 */
export const matchesArn = (pieces: readonly Piece[], arn: string): boolean => {
  const wanted = segments(pieces);
  const parts = arn.split(":");
  if (wanted.length < 6) {
    if (wanted.at(-1)?.at(-1) !== "*") return false;
    if (parts.length < wanted.length) return false;
    const tail = parts.slice(wanted.length - 1).join(":");
    return wanted.every((segment, index) =>
      matches(segment, index === wanted.length - 1 ? tail : (parts[index] ?? "")),
    );
  }
  if (parts.length < 6) return false;
  return wanted.every((segment, index) =>
    matches(segment, index === 5 ? parts.slice(5).join(":") : (parts[index] ?? "")),
  );
};
