/** A small XML writer: objects become elements in their own order, arrays repeat their element. */

const escapes: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "\r": "&#xD;",
};

/** Text made safe as the content of an element or of an attribute in double quotes. */
export const escapeXml = (text: string): string =>
  text.replace(/[&<>"\r]/g, (c) => escapes[c] ?? c);

/**
 * `value` as elements named `name`: an object's entries are its children, an array repeats the element,
 * a Date is ISO 8601, bytes are base64, and `undefined` or `null` is nothing at all.
 */
export const element = (name: string, value: unknown, attributes = ""): string => {
  if (value === undefined || value === null) return "";
  if (Array.isArray(value)) return value.map((item) => element(name, item, attributes)).join("");
  return `<${name}${attributes}>${content(value)}</${name}>`;
};

const content = (value: unknown): string => {
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (typeof value === "object" && value !== null)
    return Object.entries(value)
      .map(([key, child]) => element(key, child))
      .join("");
  return escapeXml(String(value));
};

/** A list in the AWS query protocol's form: `<member>` elements inside of the list's own element. */
export const members = <T>(items: readonly T[]): { readonly member: readonly T[] } => ({
  member: items,
});
