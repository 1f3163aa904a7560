/** Small checks of values against the committed OpenAPI document: only the keywords that it uses, and no other. */
import committed from "../openapi.json" with { type: "json" };

type Json = Readonly<Record<string, unknown>>;

export const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** What a JSON pointer of the document leads to. */
export function resolved(pointer: string, document: unknown = committed): Json {
  const found = pointer
    .replace(/^#\//, "")
    .split("/")
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))
    .reduce<unknown>(
      (at, part) => (isObject(at) && Object.hasOwn(at, part) ? at[part] : undefined),
      document,
    );
  if (!pointer.startsWith("#/") || !isObject(found)) throw new Error(`${pointer} leads nowhere`);
  return found;
}

const deref = (schema: unknown): Json => {
  if (!isObject(schema)) throw new Error(`not a schema: ${JSON.stringify(schema)}`);
  return typeof schema.$ref === "string" ? deref(resolved(schema.$ref)) : schema;
};

const typeOf = (value: unknown): string => {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return Number.isInteger(value) ? "integer" : typeof value;
};

type Keyword = (value: unknown, of: unknown, at: string, schema: Json) => string[];
const unless = (holds: boolean, at: string, problem: string) => (holds ? [] : [`${at} ${problem}`]);
const list = (of: unknown): unknown[] => (Array.isArray(of) ? of : [of]);
const none: Keyword = () => [];

export const KEYWORDS: Readonly<Record<string, Keyword>> = {
  type: (value, of, at) => unless(list(of).includes(typeOf(value)), at, `is no ${list(of)}`),
  enum: (value, of, at) => unless(list(of).includes(value), at, `is none of ${list(of)}`),
  const: (value, of, at) => unless(value === of, at, `is not ${of}`),
  pattern: (value, of, at) =>
    unless(new RegExp(String(of), "u").test(String(value)), at, `is not ${of}`),
  format: (value, of, at) =>
    of === "date-time"
      ? unless(new Date(String(value)).toISOString() === value, at, "is no time")
      : [`${at}: format ${of}`],
  minimum: (value, of, at) => unless(Number(value) >= Number(of), at, `is under ${of}`),
  maximum: (value, of, at) => unless(Number(value) <= Number(of), at, `is over ${of}`),
  minLength: (value, of, at) => unless(String(value).length >= Number(of), at, "is too short"),
  maxLength: (value, of, at) => unless(String(value).length <= Number(of), at, "is too long"),
  required: (value, of, at) =>
    list(of).flatMap((name) =>
      unless(isObject(value) && Object.hasOwn(value, String(name)), at, `lacks ${name}`),
    ),
  // A field that the document does not tell of is a fault of the document, though a reader would pass over it.
  properties: (value, of, at, schema) =>
    Object.entries(isObject(value) ? value : {}).flatMap(([name, one]) => {
      const known = isObject(of) ? of[name] : undefined;
      if (known !== undefined) return mismatches(known, one, `${at}.${name}`);
      return unless(isObject(schema.additionalProperties), at, `has the undescribed ${name}`);
    }),
  additionalProperties: (value, of, at, { properties }) =>
    isObject(of)
      ? Object.entries(isObject(value) ? value : {})
          .filter(([name]) => !isObject(properties) || !Object.hasOwn(properties, name))
          .flatMap(([name, one]) => mismatches(of, one, `${at}.${name}`))
      : [],
  items: (value, of, at) => list(value).flatMap((one, i) => mismatches(of, one, `${at}[${i}]`)),
  // What fits one of several shapes fits: the one that it comes nearest to says what is wrong.
  anyOf: (value, of, at) => {
    const tried = list(of).map((one) => mismatches(one, value, at));
    return tried.some((wrong) => wrong.length === 0)
      ? []
      : (tried.toSorted((a, b) => a.length - b.length)[0] ?? []);
  },
  description: none,
  examples: none,
  default: none,
};

/** What of `value` is not as `schema` says, each with its place. Throws on a keyword that it does not know. */
export function mismatches(of: unknown, value: unknown, at = "answer"): string[] {
  const schema = deref(of);
  if (schema.allOf !== undefined) {
    // The first part tells of every field; the others narrow some of them.
    const [whole, ...narrower] = list(schema.allOf);
    return [
      ...mismatches(whole, value, at),
      ...narrower.flatMap((part) =>
        Object.entries(propertiesOf(part)).flatMap(([name, one]) =>
          mismatches(one, isObject(value) ? value[name] : undefined, `${at}.${name}`),
        ),
      ),
    ];
  }
  // Of a value of another type the other keywords would only repeat that.
  const type = schema.type === undefined ? [] : KEYWORDS.type?.(value, schema.type, at, schema);
  if (type !== undefined && type.length > 0) return type;
  return Object.entries(schema).flatMap(([name, said]) => {
    const keyword = KEYWORDS[name];
    if (keyword === undefined) throw new Error(`${at}: the keyword ${name} is not known here`);
    return keyword(value, said, at, schema);
  });
}

const propertiesOf = (schema: unknown): Json => {
  const { properties } = deref(schema);
  return isObject(properties) ? properties : {};
};

interface Said {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: unknown;
}

/** What of an answer is not as the document says of that method and path, or of its status there. */
export function undescribed(method: string, path: string, answer: Said): string[] {
  const [plain = ""] = path.split("?");
  const template = Object.keys(committed.paths).find((one) =>
    new RegExp(`^${one.replaceAll(/\{[a-z]+\}/g, "[^/]+").replaceAll(".", "\\.")}$`).test(plain),
  );
  const item = template === undefined ? {} : resolved("#/paths")[template];
  const operation: unknown = isObject(item) ? item[method.toLowerCase()] : undefined;
  const what = `${method} ${template ?? plain} ${answer.status}`;
  // What is no route has one answer, which the document tells of in words.
  if (!isObject(operation))
    return mismatches(
      { $ref: "#/components/responses/route_not_found/content/application~1problem+json/schema" },
      answer.body,
      what,
    );
  const responses = isObject(operation.responses) ? operation.responses : {};
  const response = responses[String(answer.status)];
  if (response === undefined) return [`${what} is not described`];
  const { content } = deref(response);
  const type = answer.headers["content-type"] ?? "";
  const media = isObject(content) ? content[type] : undefined;
  if (!isObject(media)) return [`${what}: ${type} is not described`];
  return isObject(media.schema) &&
    media.schema.type === "object" &&
    media.schema.properties === undefined
    ? []
    : mismatches(media.schema, answer.body, what);
}
