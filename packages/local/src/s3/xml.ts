/** XML as S3 speaks it: a strict reader for request bodies, a writer for answers. */
import { z } from "zod";
import { AwsError } from "../service.ts";
import { element } from "../xml.ts";

const NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/";

// Keys may hold control characters; S3 writes them as references, although XML 1.0 has no place for them.
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is escaped
const CONTROL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g;

/** An answer's document; errors carry no namespace. */
export const writeXml = (root: string, value: object, namespace = true): string => {
  const document = element(root, value, namespace ? ` xmlns="${NAMESPACE}"` : "");
  const safe = document.replace(CONTROL, (c) => `&#x${c.charCodeAt(0).toString(16)};`);
  return `<?xml version="1.0" encoding="UTF-8"?>\n${safe}`;
};

const malformed = () =>
  new AwsError(
    "MalformedXML",
    "The XML you provided was not well-formed or did not validate against our published schema",
  );

interface Element {
  readonly name: string;
  readonly children: Element[];
  text: string;
}

const TOKEN =
  /<!\[CDATA\[([\s\S]*?)\]\]>|<!--[\s\S]*?-->|<\?[\s\S]*?\?>|<(\/?)([^\s<>/!?]+)([^<>]*?)(\/?)>|([^<]+)/y;

const NAMED: Readonly<Record<string, string>> = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
};

const unescapeText = (text: string): string =>
  text.replace(/&([^;&\s]*;?)/g, (_, body: string) => {
    if (!body.endsWith(";")) throw malformed();
    const name = body.slice(0, -1);
    const named = Object.hasOwn(NAMED, name) ? NAMED[name] : undefined;
    if (named !== undefined) return named;
    const code = /^#x[0-9a-f]{1,6}$/i.test(name)
      ? Number.parseInt(name.slice(2), 16)
      : /^#[0-9]{1,7}$/.test(name)
        ? Number.parseInt(name.slice(1), 10)
        : Number.NaN;
    if (!(code <= 0x10ffff)) throw malformed();
    return String.fromCodePoint(code);
  });

const decode = (body: Uint8Array): string => {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(body);
  } catch {
    throw malformed();
  }
};

/** Declarations (`<!DOCTYPE`) are refused: the token above has no place for them. */
const parse = (body: Uint8Array): Element => {
  const text = decode(body);
  const root: Element = { name: "", children: [], text: "" };
  const open: Element[] = [root];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const match = TOKEN.exec(text);
    if (match === null) throw malformed();
    const [, cdata, closing, name, , empty, characters] = match;
    const current = open.at(-1);
    if (current === undefined) throw malformed();
    if (cdata !== undefined) current.text += cdata;
    else if (characters !== undefined) current.text += unescapeText(characters);
    else if (name !== undefined && closing === "/") {
      if (open.length < 2 || current.name !== local(name)) throw malformed();
      open.pop();
    } else if (name !== undefined) {
      if (open.length > 32) throw malformed();
      const child: Element = { name: local(name), children: [], text: "" };
      current.children.push(child);
      if (empty !== "/") open.push(child);
    }
  }
  const [document] = root.children;
  if (open.length !== 1 || root.children.length !== 1 || document === undefined) throw malformed();
  if (root.text.trim() !== "") throw malformed();
  return document;
};

const local = (name: string) => name.slice(name.indexOf(":") + 1);

/** An element without children is its text; others are their children's lists by name. */
const plain = (of: Element): unknown => {
  if (of.children.length === 0) return of.text;
  if (of.text.trim() !== "") throw malformed();
  const lists = new Map<string, unknown[]>();
  for (const child of of.children) {
    const list = lists.get(child.name) ?? [];
    list.push(plain(child));
    lists.set(child.name, list);
  }
  return Object.fromEntries(lists);
};

/** Exactly one such child, its value read by `schema`. */
export const one = <S extends z.ZodType>(schema: S) =>
  z.tuple([schema]).transform(([value]) => value);

/**
 * Reads a request's document. An element that `schema` does not know is NotImplemented, not ignored; anything else
 * amiss is MalformedXML.
 */
export function readXml<T>(body: Uint8Array, root: string, schema: z.ZodType<T>): T {
  const document = parse(body);
  if (document.name !== root) throw malformed();
  // `<Retention></Retention>` and the like: a document without children is one in which all are left out.
  const value =
    document.children.length === 0 && document.text.trim() === "" ? {} : plain(document);
  const read = schema.safeParse(value);
  if (read.success) return read.data;
  if (read.error.issues.some((issue) => issue.code === "unrecognized_keys"))
    throw new AwsError(
      "NotImplemented",
      "An element of the document you provided implies functionality that is not implemented",
      501,
    );
  throw malformed();
}
