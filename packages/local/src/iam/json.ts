/** JSON as policies are read: a name that occurs twice in one object is an error, not a silent overwrite. */

/** @returns true when some object in valid JSON text has the same member twice. */
export const hasDuplicateKeys = (text: string): boolean => {
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]/g) ?? [];
  const open: Array<Set<string> | undefined> = [];
  for (const [index, token] of tokens.entries()) {
    if (token === "{") open.push(new Set());
    else if (token === "[") open.push(undefined);
    else if (token === "}" || token === "]") open.pop();
    else if (token.startsWith('"') && tokens[index + 1] === ":") {
      const names = open.at(-1);
      const name = String(JSON.parse(token));
      if (names?.has(name)) return true;
      names?.add(name);
    }
  }
  return false;
};
