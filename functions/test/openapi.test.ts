import { readFileSync } from "node:fs";
import { durationSeconds } from "@stint/core/time";
import { keyOf, openapiDocument, openapiText, served } from "@stint/functions/openapi/document";
import { notes, operations } from "@stint/functions/openapi/operations";
import { codes } from "@stint/functions/openapi/schemas";
import { beforeAll, describe, expect, test } from "vitest";
import { createWorld, grantIn, type World } from "../../test/journeys/world.ts";
import { grantRequest, listQuery } from "../src/endpoints.ts";
import { PROBLEMS } from "../src/problem.ts";
import { isObject, KEYWORDS, mismatches, resolved, undescribed } from "./conform.ts";

const text = readFileSync(new URL("../openapi.json", import.meta.url), "utf8");
const document: unknown = JSON.parse(text);

/** Every object of the document with its place in it. */
function* nodes(
  value: unknown = document,
  at = "#",
): Generator<{ at: string; node: Readonly<Record<string, unknown>> }> {
  if (Array.isArray(value)) {
    for (const [i, one] of value.entries()) yield* nodes(one, `${at}/${i}`);
    return;
  }
  if (!isObject(value)) return;
  yield { at, node: value };
  for (const [name, one] of Object.entries(value)) yield* nodes(one, `${at}/${name}`);
}

interface Described {
  readonly key: string;
  readonly path: string;
  readonly operation: Readonly<Record<string, unknown>>;
}

const described: Described[] = Object.entries(resolved("#/paths", document)).flatMap(
  ([path, item]) =>
    Object.entries(isObject(item) ? item : {}).map(([method, operation]) => ({
      key: `${method.toUpperCase()} ${path}`,
      path,
      operation: isObject(operation) ? operation : {},
    })),
);

const sorted = (names: Iterable<string>): string[] => [...names].sort();

describe("the committed document", () => {
  test("is what the routes and schemas make: npm run openapi writes it anew", () => {
    expect(text).toBe(openapiText());
  });

  test("comes out the same each time", () => {
    expect(openapiText()).toBe(openapiText());
  });

  test("says which version of OpenAPI and of the API it is", () => {
    expect(document).toMatchObject({
      openapi: expect.stringMatching(/^3\.1\.\d+$/),
      info: { title: "Stint", version: expect.stringMatching(/^\d+\.\d+\.\d+$/) },
    });
  });
});

describe("routes", () => {
  test("are each described, and nothing else is", () => {
    expect(sorted(described.map(({ key }) => key))).toEqual(sorted(served.map(keyOf)));
    expect(sorted(Object.keys(operations))).toEqual(sorted(served.map(keyOf)));
  });

  test("have an operation id of their own", () => {
    const ids = described.map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
    for (const id of ids) expect(id).toMatch(/^[a-z][A-Za-z]+$/);
  });

  test.each(described)(
    "$key describes exactly the parameters of its path",
    ({ path, operation }) => {
      const parameters = Array.isArray(operation.parameters) ? operation.parameters : [];
      const inPath = parameters
        .map((one) => (isObject(one) && typeof one.$ref === "string" ? resolved(one.$ref) : one))
        .filter((one) => isObject(one) && one.in === "path");
      expect(inPath).toEqual(
        [...path.matchAll(/\{([a-z]+)\}/g)].map(([, name]) =>
          expect.objectContaining({ name, required: true, schema: expect.anything() }),
        ),
      );
    },
  );

  test.each(described)("$key answers with one success at least, and says of what kind", (one) => {
    const responses = Object.entries(resolved("#/responses", one.operation));
    const good = responses.filter(([status]) => status.startsWith("2"));
    expect(good.length).toBeGreaterThan(0);
    for (const [, response] of good)
      expect(response).toMatchObject({
        description: expect.any(String),
        content: { "application/json": { schema: expect.anything() } },
      });
  });

  test.each(described)("$key names only doors that exist", ({ operation }) => {
    const schemes = Object.keys(resolved("#/components/securitySchemes"));
    const named = (Array.isArray(operation.security) ? operation.security : []).flatMap(
      Object.keys,
    );
    expect(schemes).toEqual(expect.arrayContaining(named));
    // Whoever must be known can be unknown; where nobody must, nobody is.
    expect("401" in resolved("#/responses", operation)).toBe(named.length > 0);
  });
});

describe("error codes", () => {
  test("are a closed list in the problem document", () => {
    expect(resolved("#/components/schemas/Problem/properties/code").enum).toEqual(codes);
    expect(sorted(codes)).toEqual(sorted(Object.keys(PROBLEMS)));
  });

  test.each(codes)("%s is told by some route, under its own status and no other", (code) => {
    const statuses = new Set<string>();
    for (const { operation } of described)
      for (const [status, response] of Object.entries(resolved("#/responses", operation))) {
        if (!isObject(response) || typeof response.$ref !== "string") continue;
        const schema = resolved(`${response.$ref}/content/application~1problem+json/schema`);
        if (JSON.stringify(schema).includes(`"${code}"`)) statuses.add(status);
      }
    expect([...statuses]).toEqual([String(PROBLEMS[code].status)]);
  });
});

describe("the structure", () => {
  test("has no reference that leads nowhere", () => {
    const references = [...nodes()].flatMap(({ node }) =>
      typeof node.$ref === "string" ? [node.$ref] : [],
    );
    expect(references.length).toBeGreaterThan(50);
    for (const reference of references) expect(() => resolved(reference, document)).not.toThrow();
  });

  test("has no component that nobody refers to", () => {
    const used = new Set([...nodes()].map(({ node }) => node.$ref));
    const unused = Object.entries(resolved("#/components")).flatMap(([kind, of]) =>
      kind === "securitySchemes" || !isObject(of)
        ? []
        : Object.keys(of)
            .map((name) => `#/components/${kind}/${name}`)
            .filter((name) => !used.has(name)),
    );
    expect(unused).toEqual([]);
  });

  test("names components as OpenAPI admits", () => {
    for (const of of Object.values(resolved("#/components")))
      for (const name of Object.keys(isObject(of) ? of : {})) expect(name).toMatch(/^[\w.-]+$/);
  });

  test("requires only fields that it describes", () => {
    for (const { at, node } of nodes()) {
      if (!Array.isArray(node.required) || !isObject(node.properties)) continue;
      expect(Object.keys(node.properties), at).toEqual(expect.arrayContaining(node.required));
    }
  });

  test("closes requests and leaves answers open to new fields", () => {
    for (const [name, schema] of Object.entries(resolved("#/components/schemas")))
      if (isObject(schema) && isObject(schema.properties))
        expect(schema.additionalProperties, name).toBe(
          name.endsWith("Request") ? false : undefined,
        );
  });

  test("uses only keywords that the checks below know", () => {
    const known = Object.keys(KEYWORDS);
    for (const { at, node } of nodes(resolved("#/components/schemas")))
      if (typeof node.type === "string")
        expect(known, at).toEqual(expect.arrayContaining(Object.keys(node)));
  });
});

describe("what the document adds to the schemas", () => {
  test.each(["90s", "20m", "2h", "1h30m", "90", "-5m", "0s", "1e3s", "10y", ""])(
    "a duration %j is one here exactly where it is one for the API",
    (duration) => {
      const { pattern } = notes.GrantRequest.duration;
      expect(new RegExp(pattern).test(duration)).toBe(durationSeconds(duration) !== undefined);
    },
  );

  test("the list's limit has the bounds and the default of the door", () => {
    const { operation } = described.find(({ key }) => key === "GET /v1/grants") ?? {};
    const limit = (Array.isArray(operation?.parameters) ? operation.parameters : []).find(
      (one) => isObject(one) && one.name === "limit",
    );
    const { minimum, maximum, default: usual } = resolved("#/schema", limit);
    const parse = (n: number) => listQuery.safeParse({ limit: String(n) }).success;
    expect([parse(Number(minimum) - 1), parse(Number(minimum))]).toEqual([false, true]);
    expect([parse(Number(maximum)), parse(Number(maximum) + 1)]).toEqual([true, false]);
    expect(listQuery.parse({}).limit).toBe(usual);
  });

  test("the request's examples are requests", () => {
    const examples = Object.entries(notes.GrantRequest).flatMap(([name, note]) =>
      "examples" in note ? note.examples.map((example) => [name, example] as const) : [],
    );
    for (const [name, example] of examples)
      expect(grantRequest.safeParse({ profile: "p", [name]: example }).success, name).toBe(true);
  });
});

describe("the checks", () => {
  const bad = { type: "t", title: "t", status: 404, code: "nonsense", detail: "d", requestId: "r" };

  test("find a code that is not on the list, a missing field, and one that is not described", () => {
    const schema = { $ref: "#/components/schemas/Problem" };
    expect(mismatches(schema, { ...bad, code: "refused" })).toEqual([]);
    expect(mismatches(schema, bad)).toHaveLength(1);
    expect(mismatches(schema, { ...bad, code: "refused", detail: undefined })).toHaveLength(1);
    expect(mismatches(schema, { ...bad, code: "refused", more: 1 })).toEqual([
      "answer has the undescribed more",
    ]);
  });

  test("find a status, a kind of content and a code that the route does not tell of", () => {
    const headers = { "content-type": "application/problem+json" };
    const body = { ...bad, code: "grant_not_found" };
    expect(undescribed("GET", "/v1/grants/x", { status: 404, headers, body })).toEqual([]);
    expect(undescribed("GET", "/v1/grants", { status: 404, headers, body })).toHaveLength(1);
    expect(undescribed("GET", "/v1/grants/x", { status: 404, headers: {}, body })).toHaveLength(1);
    expect(
      undescribed("GET", "/v1/grants/x", {
        status: 404,
        headers,
        body: { ...bad, code: "route_not_found" },
      }),
    ).toHaveLength(1);
  });
});

describe("real answers are as described", () => {
  let world: World;
  beforeAll(async () => {
    world = await createWorld();
  });

  const asks = async (...[method, path, options]: Parameters<World["call"]>) => {
    const answer = await world.call(method, path, options);
    expect(undescribed(method, path, answer), JSON.stringify(answer.body)).toEqual([]);
    return answer;
  };
  const body = { profile: "orders-integration", name: "a label", reason: "to see" };

  test("from a job's request to its release", async () => {
    const token = await world.jobToken();
    const issued = await asks("POST", "/v1/grants", { token, body });
    expect(issued.status).toBe(201);
    const at = `/v1/grants/${grantIn(issued).id}`;
    const own = { token: String(issued.body.token) };
    expect(await asks("POST", "/v1/grants", { token, body })).toMatchObject({ status: 200 });
    expect(await asks("POST", `${at}/credentials`, own)).toMatchObject({ status: 200 });
    expect(await asks("GET", at, own)).toMatchObject({ status: 200 });
    expect(await asks("GET", "/v1/grants", own)).toMatchObject({ status: 403 });
    expect(await asks("GET", "/v1/grants?limit=1", { token })).toMatchObject({ status: 200 });
    expect(await asks("DELETE", at, own)).toMatchObject({ status: 202 });
    await world.aws.settle();
    expect(await asks("GET", at, own)).toMatchObject({ body: { grant: { state: "ended" } } });
    expect(await asks("POST", `${at}/credentials`, own)).toMatchObject({ status: 409 });
  });

  test("from a person's request to its approval", async () => {
    const token = await world.personToken("dev", ["developers"]);
    const waiting = await asks("POST", "/v1/grants", { token, body });
    expect(waiting.status).toBe(202);
    const at = `/v1/grants/${grantIn(waiting).id}`;
    const own = { token: String(waiting.body.token) };
    expect(await asks("POST", `${at}/credentials`, own)).toMatchObject({ status: 409 });
    const decided = { token, body: { decision: "approve", reason: "fine" } };
    expect(await asks("POST", `${at}/approval`, decided)).toMatchObject({ status: 403 });
    const owner = { ...decided, token: await world.personToken("owner", ["orders-owners"]) };
    expect(await asks("POST", `${at}/approval`, owner)).toMatchObject({ status: 200 });
  });

  test("an order of revocation, and an end that is not to be retried", async () => {
    const answer = await asks("POST", "/v1/grants", { token: await world.jobToken(), body });
    const owner = await world.personToken("owner", ["orders-owners"]);
    const at = `/v1/grants/${grantIn(answer).id}/retry`;
    expect(await asks("POST", at, { token: owner })).toMatchObject({ status: 409 });
    const role = "arn:aws:iam::000000000000:role/stint/orders-integration";
    const order = { token: owner, body: { role, hard: true, dryRun: true } };
    const told = await asks("POST", "/v1/revocations", order);
    expect(told).toMatchObject({ status: 202, body: { hits: expect.any(Array) } });
    const stranger = { ...order, token: await world.personToken("x", []) };
    expect(await asks("POST", "/v1/revocations", stranger)).toMatchObject({ status: 403 });
    const own = { ...order, token: String(answer.body.token) };
    expect(await asks("POST", "/v1/revocations", own)).toMatchObject({ status: 401 });
  });

  test("refusals and decisions", async () => {
    const token = await world.jobToken({ ref: "refs/heads/other" });
    expect(await asks("POST", "/v1/grants", { token, body })).toMatchObject({ status: 403 });
    for (const one of [token, await world.jobToken()])
      expect(await asks("POST", "/v1/decisions", { token: one, body })).toMatchObject({
        status: 200,
      });
    expect(await asks("POST", "/v1/grants", { body })).toMatchObject({ status: 401 });
    expect(await asks("POST", "/v1/grants", { token, raw: "{" })).toMatchObject({ status: 400 });
    const large = { token, raw: " ".repeat(1_000_001) };
    expect(await asks("POST", "/v1/grants", large)).toMatchObject({ status: 413 });
    expect(await asks("GET", "/v1/grants/nonsense", { token })).toMatchObject({ status: 404 });
    expect(await asks("GET", "/v2/grants", { token })).toMatchObject({ status: 404 });
  });

  test("webhooks, health, and the document itself", async () => {
    const path = "/v1/webhooks/github";
    const sent = await world.github("ping", {});
    expect(undescribed("POST", path, sent)).toEqual([]);
    expect(sent.status).toBe(202);
    expect(await asks("POST", path, { raw: "{}" })).toMatchObject({ status: 401 });
    expect(await asks("POST", "/v1/webhooks/nobody", { raw: "{}" })).toMatchObject({ status: 404 });
    expect(await asks("GET", "/healthz")).toMatchObject({ status: 200 });
    expect(await asks("GET", "/openapi.json")).toMatchObject({ body: openapiDocument() });
  });
});
