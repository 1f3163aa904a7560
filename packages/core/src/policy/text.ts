/*
 * Text of ours and of strangers becomes Cedar here and nowhere else. Everything but plain printable ASCII is written as
 * an escape, so that no value can end its literal, whatever it holds.
 */

const escaped = (text: string, special: RegExp): string => {
  if (!text.isWellFormed()) throw new RangeError("text with half of a surrogate pair in a policy");
  let literal = "";
  for (const char of text)
    literal +=
      special.test(char) || char < " " || char > "~"
        ? `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`
        : char;
  return `"${literal}"`;
};

/** A Cedar string literal. */
export const quote = (text: string): string => escaped(text, /["\\]/);

/** A Cedar pattern for `like`: every `*` is a wildcard, as in the configuration. */
export const pattern = (glob: string): string => escaped(glob, /["\\]/);

/** `Stint::Profile::"orders"` */
export const entity = (type: EntityType, id: string): string => `Stint::${type}::${quote(id)}`;

type EntityType = "Action" | "Group" | "Job" | "Person" | "Profile" | "SlackGroup";

export const isGlob = (value: string): boolean => value.includes("*");

/** What Cedar's `like` says: `*` is any text, also none. Linear, since the value is a stranger's. */
export function like(value: string, glob: string): boolean {
  const parts = glob.split("*");
  const first = parts[0] ?? "";
  const last = parts.at(-1) ?? "";
  if (parts.length === 1) return value === glob;
  if (value.length < first.length + last.length) return false;
  if (!value.startsWith(first) || !value.endsWith(last)) return false;
  let at = first.length;
  const end = value.length - last.length;
  for (const part of parts.slice(1, -1)) {
    const found = value.indexOf(part, at);
    if (found === -1 || found + part.length > end) return false;
    at = found + part.length;
  }
  return true;
}
