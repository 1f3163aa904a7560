/** How AWS services read requests and write answers: JSON RPC and Query. */
import { AwsError, type AwsRequest, type Protocol } from "./service.ts";
import { element } from "./xml.ts";

const utf8 = new TextDecoder("utf-8", { fatal: true });

const text = (body: Uint8Array): string => {
  try {
    return utf8.decode(body);
  } catch {
    throw new AwsError("SerializationException", "The request body is not valid UTF-8");
  }
};

/**
 * The JSON text of an answer: `Date` becomes seconds since the epoch and bytes become base64, as AWS's JSON has them,
 * before `JSON.stringify` would call their own `toJSON`.
 */
const toJson = (output: unknown): string => JSON.stringify(plain(output)) ?? "{}";

const plain = (value: unknown): unknown => {
  if (value instanceof Date) return value.getTime() / 1000;
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (typeof value !== "object" || value === null) return value;
  const out: Record<string, unknown> = {};
  for (const [key, child] of Object.entries(value))
    if (child !== undefined) out[key] = plain(child);
  return out;
};

/**
 * AWS JSON 1.0 and 1.1: `X-Amz-Target: <target>.<Operation>`, a JSON object each way.
 * In answers, `Date` becomes epoch seconds, bytes become base64, `undefined` is left out.
 * @param options.queryErrors gives the code and fault of an error as the older query protocol spelled it, for services
 * whose SDKs look for that (`x-amzn-query-error`), as SQS. Without a return the code itself is sent.
 * @param options.errorNamespace the prefix in `__type` (`com.amazonaws.dynamodb.v20120810#…`).
 */
export const jsonProtocol = (options: {
  readonly version: "1.0" | "1.1";
  readonly target: string;
  readonly validationCode?: string;
  readonly errorNamespace?: string;
  readonly queryErrors?: boolean | ((code: string) => string | undefined);
}): Protocol => {
  const contentType = `application/x-amz-json-${options.version}`;
  const { queryErrors } = options;
  const legacyCode = (code: string) =>
    (typeof queryErrors === "function" ? queryErrors(code) : undefined) ?? code;
  return {
    ...(options.validationCode === undefined ? {} : { validationCode: options.validationCode }),
    parse(request) {
      const [target, operation, ...rest] = (request.headers["x-amz-target"] ?? "").split(".");
      if (target !== options.target || !operation || rest.length > 0 || request.method !== "POST")
        throw new AwsError("UnknownOperationException", "");
      const type = request.headers["content-type"] ?? "";
      if (type.split(";", 1)[0]?.trim() !== contentType)
        throw new AwsError("SerializationException", `Expected content type ${contentType}`);
      let input: unknown;
      try {
        input = request.body.length === 0 ? {} : JSON.parse(text(request.body));
      } catch (error) {
        if (error instanceof AwsError) throw error;
        throw new AwsError("SerializationException", "The request body is not valid JSON");
      }
      if (typeof input !== "object" || input === null || Array.isArray(input))
        throw new AwsError(
          "SerializationException",
          "Start of structure or map found where not expected",
        );
      return { operation, input };
    },
    render: (output, _operation, { requestId }) => ({
      status: 200,
      headers: { "content-type": contentType, "x-amzn-requestid": requestId },
      body: output === undefined ? "{}" : toJson(output),
    }),
    renderError(error, requestId) {
      const namespace = options.errorNamespace ?? "com.amazon.coral.service";
      return {
        status: error.status,
        headers: {
          "content-type": contentType,
          "x-amzn-requestid": requestId,
          "x-amzn-errortype": error.code,
          ...(queryErrors
            ? {
                "x-amzn-query-error": `${legacyCode(error.code)};${error.status < 500 ? "Sender" : "Receiver"}`,
              }
            : {}),
        },
        body: toJson({
          __type: `${namespace}#${error.code}`,
          message: error.message,
          ...error.details,
        }),
      };
    },
  };
};

type Tree = { [key: string]: Tree | string };

const isList = (tree: Tree): boolean => {
  const keys = Object.keys(tree);
  return keys.length > 0 && keys.every((key, index) => key === String(index + 1));
};

/** `{member: {1: …, 2: …}}` becomes an array, `{entry: {1: {key, value}}}` a record. An empty list is sent as `""`. */
const fold = (node: Tree | string): unknown => {
  if (typeof node === "string") return node;
  const { member, entry } = node;
  const only = Object.keys(node).length === 1;
  if (only && typeof member === "object" && isList(member)) return Object.values(member).map(fold);
  if (only && typeof entry === "object" && isList(entry))
    return Object.fromEntries(
      Object.values(entry).map((pair) => {
        const folded = typeof pair === "string" ? {} : pair;
        return [String(folded.key ?? ""), fold(folded.value ?? "")];
      }),
    );
  return Object.fromEntries(Object.entries(node).map(([key, child]) => [key, fold(child)]));
};

const parseForm = (request: AwsRequest): Record<string, unknown> => {
  const pairs = [
    ...request.query.filter(([name]) => !name.startsWith("X-Amz-")),
    ...(request.body.length === 0 ? [] : new URLSearchParams(text(request.body))),
  ];
  const root: Tree = Object.create(null);
  for (const [name, value] of pairs) {
    const path = name.split(".");
    const last = path.pop() ?? "";
    let node = root;
    for (const part of path) {
      const child = node[part] ?? Object.create(null);
      if (typeof child === "string") throw malformed();
      node[part] = child;
      node = child;
    }
    if (last === "" || node[last] !== undefined) throw malformed();
    node[last] = value;
  }
  return Object.fromEntries(Object.entries(root).map(([key, child]) => [key, fold(child)]));
};

const malformed = () =>
  new AwsError("MalformedQueryString", "The query string contains a syntax error.", 404);

/**
 * AWS Query: `Action=…&Version=…&List.member.1.Key=…` as a form or in the URL, XML back.
 * All scalars arrive as text (use `z.coerce` or a regex), an empty list as `""`. `X-Amz-…` parameters of presigned
 * URLs are not input. In answers, arrays repeat their element: wrap lists with `members(…)`.
 */
export const queryProtocol = (options: {
  readonly xmlns: string;
  readonly apiVersion: string;
  readonly validationCode?: string;
}): Protocol => ({
  validationCode: options.validationCode ?? "ValidationError",
  parse(request) {
    const { Action, Version, ...input } = parseForm(request);
    if (typeof Action !== "string" || Action === "")
      throw new AwsError("MissingAction", "The request is missing an action.");
    if (Version !== options.apiVersion)
      throw new AwsError(
        "InvalidAction",
        `Could not find operation ${Action} for version ${typeof Version === "string" ? Version : "NO_VERSION_SPECIFIED"}`,
      );
    return { operation: Action, input };
  },
  render: (output, operation, { requestId }) => ({
    status: 200,
    headers: { "content-type": "text/xml", "x-amzn-requestid": requestId },
    body: element(
      `${operation}Response`,
      {
        ...(output === undefined ? {} : { [`${operation}Result`]: output }),
        ResponseMetadata: { RequestId: requestId },
      },
      ` xmlns="${options.xmlns}"`,
    ),
  }),
  renderError: (error, requestId) => ({
    status: error.status,
    headers: { "content-type": "text/xml", "x-amzn-requestid": requestId },
    body: element(
      "ErrorResponse",
      {
        Error: {
          Type: error.status < 500 ? "Sender" : "Receiver",
          Code: error.code,
          Message: error.message,
          ...error.details,
        },
        RequestId: requestId,
      },
      ` xmlns="${options.xmlns}"`,
    ),
  }),
});
