import { TextDecoder } from "node:util";
import middy from "@middy/core";
import httpRouter from "@middy/http-router";
import { grantOfToken, looksLikeGrantToken } from "@stint/broker/tokens";
import { GrantError } from "@stint/core/error";
import type { Caller } from "@stint/core/principal";
import type { APIGatewayProxyEventV2 } from "aws-lambda";
import type * as z from "zod/mini";
import type { ApiApp, App } from "./app.ts";
import { asGrantError, problem, type Reply } from "./problem.ts";

/** One request after the edge has dealt with encodings, sizes and header spelling. */
export interface HttpRequest {
  readonly path: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string>>;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** The bytes as they arrived: what a signature is over. */
  readonly body: Uint8Array;
}

export interface Route<A> {
  readonly method: "GET" | "POST" | "DELETE";
  /** With `{name}` for a path parameter. */
  readonly path: string;
  readonly maxBytes?: number;
  readonly endpoint: (request: HttpRequest, app: A) => Promise<Reply>;
}

export const MAX_BODY = 1_000_000;

type HttpEvent = Pick<APIGatewayProxyEventV2, "rawPath" | "rawQueryString" | "headers"> &
  Partial<
    Pick<APIGatewayProxyEventV2, "body" | "isBase64Encoded" | "pathParameters" | "version">
  > & {
    readonly requestContext: {
      readonly requestId: string;
      readonly http: { readonly method: string; readonly path: string };
    };
  };

/** One door over HTTP: routes under middy's router, and the one place where an error becomes an answer. */
export function http<A extends Pick<App, "log">>(app: A, routes: readonly Route<A>[]) {
  const router = httpRouter({
    routes: routes.map(({ method, path, endpoint, maxBytes = MAX_BODY }) => ({
      method,
      path,
      // The router's type wants a callback handler of Lambda's; it calls it with the event alone.
      handler: ((event: HttpEvent) => endpoint(requestOf(event, maxBytes), app)) as never,
    })),
    notFoundResponse: ({ method, path }: { method: string; path: string }) => {
      throw new GrantError("route_not_found", `there is no ${clipped(`${method} ${path}`)}`, {
        hint: "GET /openapi.json lists what there is",
      });
    },
  });
  // No early time-out: the answer to a caller whose lease is written is worth waiting for.
  return middy({ timeoutEarlyInMillis: 0 })
    .use({
      after: ({ event, response }) => logged(app, event, response),
      onError: (request) => {
        const { event, error } = request;
        const told = asGrantError(error);
        if (told.code === "internal" || told.code === "unavailable")
          app.log.error(told.code, {
            requestId: idOf(event),
            error: describe(told.cause ?? error),
          });
        request.response = problem(told, idOf(event));
        logged(app, event, request.response, told.code);
      },
    })
    .handler(router);
}

const idOf = (event: HttpEvent): string => event.requestContext.requestId;

function logged(app: Pick<App, "log">, event: HttpEvent, response: Reply, code?: string): void {
  app.log.info("request", {
    requestId: idOf(event),
    method: event.requestContext.http.method,
    path: event.rawPath.split("/").map(named).join("/"),
    status: response.statusCode,
    ...(code === undefined ? {} : { code }),
  });
}

/** Our paths' own parts and ids, and nothing else: somebody will put a token where an id belongs. */
const named = (part: string): string => (/^[\w.-]{0,40}$/.test(part) ? part : "…");

/** Name, message and cause: never the properties, which may hold what was sent. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  const cause = error.cause === undefined ? "" : `; ${describe(error.cause)}`;
  return `${error.name}: ${error.message}${cause}`;
}

function requestOf(event: HttpEvent, maxBytes: number): HttpRequest {
  const body = bytesOf(event, maxBytes);
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(event.headers))
    if (value !== undefined) headers[name.toLowerCase()] = value;
  const search = new URLSearchParams(event.rawQueryString);
  // Made of entries, so that `__proto__` is a name like any other, and refused like any other.
  const query: Record<string, string> = Object.fromEntries(search);
  const twice = [...search.keys()].find((name, at, all) => all.indexOf(name) !== at);
  if (twice !== undefined)
    throw new GrantError("invalid_request", `${clipped(twice)} is there more than once`);
  const path: Record<string, string> = {};
  for (const [name, value] of Object.entries(event.pathParameters ?? {}))
    if (value !== undefined) path[name] = value;
  return { headers, query, path, body };
}

function bytesOf({ body = "", isBase64Encoded }: HttpEvent, maxBytes: number): Uint8Array {
  // The length before decoding is a bound that costs nothing.
  const least = isBase64Encoded === true ? (body.length / 4) * 3 - 2 : body.length;
  const bytes =
    least > maxBytes ? undefined : Buffer.from(body, isBase64Encoded === true ? "base64" : "utf8");
  if (bytes === undefined || bytes.length > maxBytes)
    throw new GrantError("too_large", `the body is larger than ${maxBytes / 1_000_000} MB`);
  return bytes;
}

/** The body as a flat JSON object of one shape. @throws GrantError invalid_request, naming the field */
export function bodyOf<T extends object>(request: HttpRequest, schema: z.ZodMiniType<T>): T {
  const text = textOf(request.body);
  const checkedBody = checked(schema, parsed(text), "the body");
  // Whoever else reads the first of two fields, or cannot store half a character, would read another request than we.
  const names = namesIn(text);
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined)
    throw new GrantError("invalid_request", `the body is not valid: ${twice}: is there twice`);
  const broken = Object.entries(checkedBody).find(([, value]) => isBroken(value));
  if (broken !== undefined)
    throw new GrantError("invalid_request", `the body is not valid: ${broken[0]}: is not Unicode`);
  return checkedBody;
}

/** The names in a JSON object that has no objects in it. */
const namesIn = (text: string): unknown[] =>
  [...text.matchAll(/("(?:[^"\\]|\\.)*")(\s*:)?/g)].flatMap(([, name = "", colon]) =>
    colon === undefined ? [] : [JSON.parse(name)],
  );

const isBroken = (value: unknown): boolean => typeof value === "string" && !value.isWellFormed();

/** @throws GrantError invalid_request */
export const jsonOf = (body: Uint8Array): unknown => parsed(textOf(body));

const NOT_JSON = "the body is not JSON in UTF-8";

function textOf(body: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(body);
  } catch {
    throw new GrantError("invalid_request", NOT_JSON);
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new GrantError("invalid_request", NOT_JSON);
  }
}

export function checked<T>(schema: z.ZodMiniType<T>, value: unknown, where: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const problems = result.error.issues.slice(0, 3).map((issue) => told(issue, value));
  throw new GrantError("invalid_request", `${where} is not valid: ${clipped(problems.join("; "))}`);
}

/** One problem in words for whoever wrote the request. */
function told(issue: z.core.$ZodIssue, root: unknown): string {
  const path = issue.path.map(String).join(".");
  const at = (message: string) => (path === "" ? message : `${path}: ${message}`);
  switch (issue.code) {
    case "unrecognized_keys":
      return at(
        `${issue.keys.join(", ")} ${issue.keys.length === 1 ? "is no field" : "are no fields"} of this`,
      );
    case "invalid_type":
      return at(
        isMissing(root, issue.path)
          ? "is missing"
          : `must be ${KINDS[issue.expected] ?? issue.expected}`,
      );
    case "invalid_value":
      return at(`must be ${issue.values.map(String).join(" or ")}`);
    case "too_big":
      return at(
        issue.origin === "string"
          ? `is longer than ${issue.maximum} characters`
          : `is more than ${issue.maximum}`,
      );
    case "too_small":
      return at(issue.origin === "string" ? "is too short" : `is less than ${issue.minimum}`);
    default:
      return at(issue.message);
  }
}

const KINDS: Readonly<Record<string, string>> = { string: "text", object: "an object" };

/** Whether nothing is there at the path: an empty body, or a field that was left out. */
function isMissing(root: unknown, path: readonly PropertyKey[]): boolean {
  let value = root;
  for (const key of path) {
    if (typeof value !== "object" || value === null) return true;
    value = (value as Readonly<Record<PropertyKey, unknown>>)[key]; // any object may be asked for any key
  }
  return value === undefined;
}

/** What a caller sent may be quoted to them, but a long request gets no long answer. */
const clipped = (text: string): string => (text.length <= 300 ? text : `${text.slice(0, 300)}…`);

const BEARER = /^Bearer +([^\s]+)$/i;

/** Who asks. Everything about the caller comes from here and nothing from the body. */
export async function callerOf(request: HttpRequest, app: ApiApp): Promise<Caller> {
  const { authorization } = request.headers;
  if (authorization === undefined)
    throw new GrantError("unauthenticated", "there is no Authorization header", {
      hint: "send Authorization: Bearer <OIDC token or grant token>",
    });
  const token = BEARER.exec(authorization)?.[1];
  if (token === undefined)
    throw new GrantError("unauthenticated", "the Authorization header is not Bearer <token>");
  if (!looksLikeGrantToken(token)) return app.verifier.verify(token);
  const grantId = grantOfToken(token, await app.deps.keys.current());
  if (grantId === undefined)
    throw new GrantError("unauthenticated", "this grant token is not one of ours");
  return { kind: "holder", grantId };
}

/** As `callerOf`, for what a grant token does not open. */
export async function principalOf(request: HttpRequest, app: ApiApp) {
  const caller = await callerOf(request, app);
  if (caller.kind === "principal") return caller;
  throw new GrantError("unauthenticated", "a grant token opens its own grant only", {
    hint: "send the pipeline's or person's own token",
  });
}
