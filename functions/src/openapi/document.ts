/** Makes the OpenAPI document of the route tables. The same routes and schemas give the same text, byte for byte. */
import type { Code } from "@stint/core/error";
import { pipelines } from "@stint/pipelines/registry";
import * as z from "zod";
import manifest from "../../package.json" with { type: "json" };
import type { Route } from "../edge.ts";
import { idempotencyKey, listQuery, routes } from "../endpoints.ts";
import { PROBLEMS } from "../problem.ts";
import { webhookRoute } from "../webhook.ts";
import { EVERYWHERE, notes, type Operation, operations, queryNotes } from "./operations.ts";
import { codes, components, type SchemaName } from "./schemas.ts";

type Json = Record<string, unknown>;

/** Every route that some function serves. */
export const served: readonly Route<never>[] = [...routes, webhookRoute];

export const keyOf = ({ method, path }: Pick<Route<never>, "method" | "path">): string =>
  `${method} ${path}`;

const ref = (kind: "schemas" | "responses" | "parameters" | "headers", name: string): Json => ({
  $ref: `#/components/${kind}/${name}`,
});

/** Zod says things that nobody who reads the document needs: that keys are text, what a date is, which integers are safe. */
const SETTINGS = {
  io: "input",
  override: ({ jsonSchema }: { jsonSchema: Json }) => {
    if (jsonSchema.format === "date-time") delete jsonSchema.pattern;
    if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
    if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
    delete jsonSchema.propertyNames;
  },
} as const;

const jsonSchemaOf = (schema: z.core.$ZodType): Json => {
  const { $schema: _, ...json } = z.toJSONSchema(schema, SETTINGS);
  return json;
};

function schemas(): Json {
  const registry = z.registry<{ id: string }>();
  for (const [id, schema] of Object.entries(components)) registry.add(schema, { id });
  const made = z.toJSONSchema(registry, {
    ...SETTINGS,
    uri: (id) => `#/components/schemas/${id}`,
  }).schemas;
  return Object.fromEntries(
    Object.keys(components).map((name) => {
      const { $schema: _, $id: __, ...json } = made[name] ?? {};
      return [name, name in notes ? annotated(json, notes[name as keyof typeof notes]) : json]; // just tested
    }),
  );
}

const annotated = (json: Json, of: Readonly<Record<string, object>>): Json => ({
  ...json,
  properties: Object.fromEntries(
    Object.entries((json.properties ?? {}) as Json).map(([name, schema]) => [
      name,
      { ...(schema as Json), ...of[name] }, // a property's schema is an object, as zod writes them
    ]),
  ),
});

/** The path's placeholders, each with what it stands for. */
const pathParameters = (): Json => ({
  id: {
    name: "id",
    in: "path",
    required: true,
    description: "The grant's id",
    schema: jsonSchemaOf(components.Grant.shape.id),
  },
  pipeline: {
    name: "pipeline",
    in: "path",
    required: true,
    description: "The pipeline's name, as in rules",
    schema: { type: "string", enum: Object.keys(pipelines) },
  },
});

const parameters = (): Json => ({
  ...pathParameters(),
  idempotencyKey: {
    name: "Idempotency-Key",
    in: "header",
    required: false,
    description:
      "Names the request, so that repeating it is safe. Without it the token's own id does, and each token is " +
      "one request",
    schema: jsonSchemaOf(idempotencyKey),
  },
});

function queryParameters(): Json[] {
  const { properties = {} } = jsonSchemaOf(listQuery);
  return Object.entries(properties as Record<string, Json>).map(([name, schema]) => {
    const note = queryNotes[name as keyof typeof queryNotes]; // keys of the same schema
    return { name, in: "query", required: false, schema, ...note };
  });
}

/** The codes of an operation by their statuses, both in the order of the closed list. */
function problemsOf(operation: Operation): Map<number, Code[]> {
  const all = new Set([...EVERYWHERE, ...operation.codes]);
  const byStatus = new Map<number, Code[]>();
  for (const code of codes) {
    if (!all.has(code)) continue;
    const { status } = PROBLEMS[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return byStatus;
}

const responseName = (of: readonly Code[]): string => of.join(".");

function problemResponse(status: number, of: readonly Code[]): Json {
  return {
    description: of.map((code) => `\`${code}\`: ${PROBLEMS[code].title}`).join("; "),
    ...(status === 401
      ? { headers: { "WWW-Authenticate": ref("headers", "wwwAuthenticate") } }
      : {}),
    ...(status === 503 ? { headers: { "Retry-After": ref("headers", "retryAfter") } } : {}),
    content: {
      "application/problem+json": {
        schema: {
          allOf: [
            ref("schemas", "Problem"),
            { type: "object", properties: { status: { const: status }, code: { enum: of } } },
          ],
        },
      },
    },
  };
}

function responses(): Json {
  const made = new Map<string, Json>();
  for (const operation of Object.values(operations))
    for (const [status, of] of problemsOf(operation))
      made.set(responseName(of), problemResponse(status, of));
  return Object.fromEntries([...made].sort(([a], [b]) => (a < b ? -1 : 1)));
}

const jsonContent = (schema: SchemaName | undefined): Json => ({
  "application/json": {
    schema: schema === undefined ? { type: "object" } : ref("schemas", schema),
  },
});

function operationOf(route: Route<never>, operation: Operation): Json {
  const { id, tag, summary, description, doors, body, success } = operation;
  const given = [
    ...[...route.path.matchAll(/\{([a-z]+)\}/g)].map(([, name = ""]) => ref("parameters", name)),
    ...(operation.idempotencyKey === true ? [ref("parameters", "idempotencyKey")] : []),
    ...(operation.query === true ? queryParameters() : []),
  ];
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(description === undefined ? {} : { description }),
    security: doors.flatMap((door) =>
      (door === "signature" ? Object.keys(signatureSchemes()) : [door]).map((name) => ({
        [name]: [],
      })),
    ),
    ...(given.length === 0 ? {} : { parameters: given }),
    ...(body === undefined
      ? {}
      : { requestBody: { required: body.optional !== true, content: jsonContent(body.schema) } }),
    responses: {
      ...Object.fromEntries(
        Object.entries(success).map(([status, { description, schema }]) => [
          status,
          { description, content: jsonContent(schema) },
        ]),
      ),
      ...Object.fromEntries(
        [...problemsOf(operation)].map(([status, of]) => [
          status,
          ref("responses", responseName(of)),
        ]),
      ),
    },
  };
}

function paths(): Record<string, Json> {
  const made: Record<string, Json> = {};
  for (const route of served) {
    const operation = operations[keyOf(route)];
    // A route without a description is left out here and found by the test, which names it.
    if (operation === undefined) continue;
    made[route.path] = {
      ...made[route.path],
      [route.method.toLowerCase()]: operationOf(route, operation),
    };
  }
  return made;
}

/** Each pipeline signs its deliveries in a header of its own. */
const signatureSchemes = (): Json =>
  Object.fromEntries(
    Object.values(pipelines).map(({ name, webhook }) => [
      `${name}Signature`,
      {
        type: "apiKey",
        in: "header",
        name: webhook.signatureHeader,
        description: `A signature over the body's bytes, as ${name} makes it`,
      },
    ]),
  );

/** The document, made anew. What is served is the committed text of it. */
export const openapiDocument = (): Json => ({
  openapi: "3.1.0",
  info: {
    title: "Stint",
    version: manifest.version,
    summary: "Access for exactly as long as the test runs",
    description:
      "A pipeline's job or a person asks for a profile and gets credentials that die when the job ends, whatever " +
      "fails. Times are ISO 8601 in UTC. Unknown fields in a body are an error. Errors are RFC 9457 problem " +
      "documents: go by their `code`. A path that does not exist answers 404 `route_not_found`.",
    license: { name: "Apache-2.0", identifier: "Apache-2.0" },
  },
  servers: [{ url: "/" }],
  tags: [
    { name: "grants", description: "One profile, one principal, one stretch of time" },
    { name: "decisions", description: "What the rules would say" },
    { name: "webhooks", description: "What pipelines report" },
    { name: "service", description: "About this server" },
  ],
  paths: paths(),
  components: {
    securitySchemes: {
      identity: {
        type: "http",
        scheme: "bearer",
        bearerFormat: "JWT",
        description:
          "The OIDC token of a pipeline's job, or of a person's login, for the server's audience",
      },
      grantToken: {
        type: "http",
        scheme: "bearer",
        description: "The `token` that a request for a grant was answered with",
      },
      ...signatureSchemes(),
    },
    headers: {
      wwwAuthenticate: { schema: { type: "string" } },
      retryAfter: { description: "Seconds", schema: { type: "integer" } },
    },
    parameters: parameters(),
    responses: responses(),
    schemas: schemas(),
  },
});

/** The text of functions/openapi.json. */
export const openapiText = (): string => `${JSON.stringify(openapiDocument(), null, 2)}\n`;
