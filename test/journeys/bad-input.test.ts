/** Requests that nobody should send: each is told what is wrong with it, and leaves nothing behind. */
import { beforeAll, describe, expect, test } from "vitest";
import { expectProblem, leaving, OPENED } from "./traces.ts";
import { type Answer, createWorld, grantIn, type World } from "./world.ts";

let world: World;
let token: string;
beforeAll(async () => {
  world = await createWorld();
  token = await world.jobToken();
});

const PROFILE = "orders-integration";

/** Nobody's id, but one that could be. */
const UNKNOWN = "g000000000000000";

const json = (value: unknown) => JSON.stringify(value);
const bytes = (...values: number[]) => Uint8Array.from(values);
const nested = (depth: number) => `${"[".repeat(depth)}${"]".repeat(depth)}`;

describe("a body that is not a request", () => {
  test.each<[string, string | Uint8Array, RegExp]>([
    ["nothing", "", /not JSON/],
    ["text", "profile=orders-integration", /not JSON/],
    ["half of it", '{"profile": "orders-integra', /not JSON/],
    ["two of it", '{"profile": "a"} {"profile": "b"}', /not JSON/],
    ["a comma too many", '{"profile": "orders-integration",}', /not JSON/],
    ["a comment", '{"profile": "orders-integration"} // please', /not JSON/],
    ["single quotes", "{'profile': 'orders-integration'}", /not JSON/],
    [
      "invalid UTF-8",
      Buffer.concat([Buffer.from('{"profile":"'), bytes(0xff, 0xfe), Buffer.from('"}')]),
      /UTF-8/,
    ],
    ["an overlong encoding", bytes(0x7b, 0xc0, 0xa2, 0x7d), /UTF-8/],
    ["UTF-16", Buffer.from('{"profile":"orders-integration"}', "utf16le"), /not JSON/],
    ["a list", "[]", /object/],
    ["null", "null", /object/],
    ["a text in quotes", '"orders-integration"', /object/],
    ["a number", "42", /object/],
    ["a list of requests", json([{ profile: PROFILE }]), /object/],
    ["fifty thousand lists in each other", nested(50_000), /object/],
    ["fifty thousand lists for a name", `{"profile":${nested(50_000)}}`, /profile/],
    [
      "fifty thousand objects in each other",
      `${'{"a":'.repeat(50_000)}1${"}".repeat(50_000)}`,
      /profile|"a"/,
    ],
    ["an empty object", "{}", /profile/],
    ["no profile", json({ duration: "20m" }), /profile/],
    ["an unknown field", json({ profile: PROFILE, minutes: 5 }), /minutes/],
    ["a field in other letters", json({ Profile: PROFILE }), /Profile|profile/],
    [
      "a principal of its own",
      json({ profile: PROFILE, principal: { kind: "person", id: "person:local:root" } }),
      /principal/,
    ],
    ["a rule of its own", json({ profile: PROFILE, rule: "orders-main", grant: {} }), /rule/],
    ["__proto__", `{"profile":"${PROFILE}","__proto__":{"duration":"1h"}}`, /__proto__/],
    ["constructor", json({ profile: PROFILE, constructor: {} }), /constructor/],
    ["a profile that is null", json({ profile: null }), /profile/],
    ["a profile that is a number", json({ profile: 7 }), /profile/],
    ["a profile that is a list", json({ profile: [PROFILE] }), /profile/],
    ["a profile that is an object", json({ profile: { name: PROFILE } }), /profile/],
    ["an empty profile", json({ profile: "" }), /profile/],
    ["a long profile", json({ profile: "p".repeat(101) }), /profile/],
    ["a duration that is a number", json({ profile: PROFILE, duration: 20 }), /duration/],
    ["a duration that is null", json({ profile: PROFILE, duration: null }), /duration/],
    ["a lease that is a flag", json({ profile: PROFILE, lease: true }), /lease/],
    ["an empty name", json({ profile: PROFILE, name: "" }), /name/],
    ["a long name", json({ profile: PROFILE, name: "n".repeat(201) }), /name/],
    ["half a character for a name", `{"profile":"${PROFILE}","name":"\\ud800"}`, /name/],
    ["half a character for a reason", `{"profile":"${PROFILE}","reason":"\\udfff!"}`, /reason/],
    ["an empty reason", json({ profile: PROFILE, reason: "" }), /reason/],
    ["a long reason", json({ profile: PROFILE, reason: "r".repeat(1001) }), /reason/],
    ["a profile said twice", `{"profile":"nothing","profile":"${PROFILE}"}`, /profile.*twice/],
    [
      "a megabyte, and then a short one",
      `{"name":"${"n".repeat(900_000)}","profile":"${PROFILE}","name":"n"}`,
      /name: is there twice/,
    ],
    [
      "a profile said twice, once in escapes",
      `{"profile":"nothing","\\u0070rofile":"${PROFILE}"}`,
      /twice/,
    ],
  ])("%s", async (_, raw, detail) => {
    for (const path of ["/v1/grants", "/v1/decisions"]) {
      const { answer, left } = await leaving(world, () => world.call("POST", path, { token, raw }));
      expectProblem(answer, 400, "invalid_request", detail);
      expect(answer.body.detail.length).toBeLessThan(400);
      expect(left).toEqual({});
    }
  });

  test("no number of unknown fields makes the answer long", async () => {
    const many = Object.fromEntries(Array.from({ length: 5_000 }, (_, i) => [`field-${i}`, i]));
    const answer = await world.call("POST", "/v1/grants", {
      token,
      body: { profile: PROFILE, ...many },
    });
    expectProblem(answer, 400, "invalid_request", /field-0/);
    expect(answer.body.detail.length).toBeLessThan(400);
  });
});

describe("the body of a claim and of an approval", () => {
  test.each<[string, string, RegExp]>([
    ["not JSON", "{", /not JSON/],
    ["an unknown field", json({ lease: "5m", duration: "5m" }), /duration/],
    ["a lease that is a number", json({ lease: 300 }), /lease/],
    ["a lease that is no duration", json({ lease: "soon" }), /lease/],
    ["a lease of 59 s", json({ lease: "59s" }), /lease is shorter/],
    ["a lease of 61 m", json({ lease: "61m" }), /lease is longer/],
  ])("of a claim: %s", async (_, raw, detail) => {
    const own = await world.jobToken({ run_id: "77" });
    const opened = await world.call("POST", "/v1/grants", {
      token: own,
      body: { profile: PROFILE },
      headers: { "idempotency-key": "claims" },
    });
    const holder = opened.body.token ?? "";
    const { answer, left } = await leaving(world, () =>
      world.call("POST", `/v1/grants/${grantIn(opened).id}/credentials`, { token: holder, raw }),
    );
    expectProblem(answer, 400, "invalid_request", detail);
    expect(left).toEqual({});
  });

  test.each<[string, string, RegExp]>([
    ["nothing", "", /not JSON/],
    ["no reason", json({ decision: "approve" }), /reason/],
    ["an empty reason", json({ decision: "approve", reason: "" }), /reason/],
    ["another decision", json({ decision: "maybe", reason: "x" }), /decision/],
    ["a decision in capitals", json({ decision: "APPROVE", reason: "x" }), /decision/],
    ["somebody else's name", json({ decision: "approve", reason: "x", by: "ann" }), /by/],
  ])("of an approval: %s", async (_, raw, detail) => {
    const asked = await world.call("POST", "/v1/grants", {
      token: await world.personToken("dev", ["developers"]),
      body: { profile: PROFILE },
      headers: { "idempotency-key": "approvals" },
    });
    const owner = await world.personToken("owner", ["orders-owners"]);
    const { answer, left } = await leaving(world, () =>
      world.call("POST", `/v1/grants/${grantIn(asked).id}/approval`, { token: owner, raw }),
    );
    expectProblem(answer, 400, "invalid_request", detail);
    expect(left).toEqual({});
  });
});

describe("size", () => {
  const padded = (length: number) => json({ profile: PROFILE }).padEnd(length, " ");
  /** As API Gateway passes a body on that it takes for text. */
  const plainly = async (path: string, body: string): Promise<Answer> => {
    const answer = (await world.stint.invoke("api", {
      version: "2.0",
      rawPath: path,
      rawQueryString: "",
      headers: { authorization: `Bearer ${token}` },
      requestContext: { requestId: "test", http: { method: "POST", path } },
      body,
      isBase64Encoded: false,
    })) as { statusCode: number; headers: Record<string, string>; body: string }; // what doors answer
    return {
      status: answer.statusCode,
      headers: answer.headers,
      body: JSON.parse(answer.body),
    };
  };

  test.each(["/v1/grants", "/v1/decisions", `/v1/grants/${UNKNOWN}/credentials`])(
    "2 MB to %s are answered, not cut off",
    async (path) => {
      const { answer, left } = await leaving(world, () =>
        world.call("POST", path, { token, raw: padded(2_000_000) }),
      );
      expectProblem(answer, 413, "too_large", /larger than 1 MB/);
      expect(left).toEqual({});
    },
  );

  test("a megabyte is not too large, one byte more is", async () => {
    const { answer, left } = await leaving(world, () =>
      world.call("POST", "/v1/decisions", { token, raw: padded(1_000_000) }),
    );
    expect(answer).toMatchObject({ status: 200, body: { allowed: true } });
    expect(left).toEqual({ DECISION: 1 });
    const more = await world.call("POST", "/v1/decisions", { token, raw: padded(1_000_001) });
    expectProblem(more, 413, "too_large");
  });

  test("bytes count, not characters, and not how the gateway passes them on", async () => {
    expectProblem(await plainly("/v1/decisions", padded(1_000_001)), 413, "too_large");
    expectProblem(await plainly("/v1/decisions", `"${"é".repeat(600_000)}"`), 413, "too_large");
    expect(await plainly("/v1/decisions", padded(1_000_000))).toMatchObject({ status: 200 });
    expectProblem(await plainly("/v1/decisions", "{"), 400, "invalid_request", /not JSON/);
  });

  test("a body where none belongs is not read, and is too large all the same", async () => {
    const junk = await world.call("GET", "/healthz", { raw: "{{{" });
    expect(junk.status).toBe(200);
    expectProblem(
      await world.call("GET", "/healthz", { raw: padded(1_000_001) }),
      413,
      "too_large",
    );
  });

  test("a webhook may have 5 MB", async () => {
    const { answer, left } = await leaving(world, () =>
      world.call("POST", "/v1/webhooks/github", { raw: padded(5_000_001) }),
    );
    expectProblem(answer, 413, "too_large", /larger than 5 MB/);
    expect(left).toEqual({});
    const signed = await world.github("ping", padded(5_000_000));
    expect(signed).toMatchObject({ status: 202 });
  });
});

describe("a query", () => {
  test.each<[string, RegExp]>([
    ["foo=1", /foo/],
    ["profile=orders-integration&__proto__=x", /__proto__/],
    ["constructor=x", /constructor/],
    ["Limit=5", /Limit/],
    ["limit=5&limit=5", /limit is there more than once/],
    ["state=active&state=ended", /state is there more than once/],
    ["limit=0", /limit/],
    ["limit=101", /limit/],
    ["limit=-1", /limit/],
    ["limit=1e2", /limit/],
    ["limit=007", /limit/],
    ["limit=ten", /limit/],
    ["limit=", /limit/],
    ["limit=1.5", /limit/],
    ["state=gone", /state/],
    ["state=", /state/],
    ["state=Active", /state/],
    ["stuck=yes", /stuck/],
    ["stuck=", /stuck/],
    [`profile=${"p".repeat(101)}`, /profile/],
    ["profile=", /profile/],
    ["principal=", /principal/],
    [`principal=${"p".repeat(501)}`, /principal/],
    ["job=", /job/],
    [`job=${"1".repeat(201)}`, /job/],
    [`cursor=${"c".repeat(501)}`, /cursor/],
    ["cursor=", /cursor/],
    ["cursor=abc", /cursor/],
    ["cursor=null", /cursor/],
    ["cursor=%00%ff", /cursor/],
  ])("%s", async (query, detail) => {
    const owner = await world.personToken("owner", ["orders-owners"]);
    const { answer, left } = await leaving(world, () =>
      world.call("GET", `/v1/grants?${query}`, { token: owner }),
    );
    expectProblem(answer, 400, "invalid_request", detail);
    expect(left).toEqual({});
  });

  const forged: ReadonlyArray<[string, unknown]> = [
    ["no position", [0, "x"]],
    ["a position in no index", [0, "1..g000000000000000"]],
    ["a position after no grant", [0, "1700000000000.g00000000000000i"]],
    ["a long time", [0, "1234567890123456.g000000000000000"]],
    ["a negative partition", [-1, null]],
    ["half a partition", [0.5, null]],
    ["a partition's name", ["byProfile", null]],
    ["a key", [0, { pk: "GRANT#g000000000000000", sk: "GRANT" }]],
    ["an object", { at: 0 }],
    ["three parts", [0, null, "x"]],
    ["nothing", []],
  ];
  test.each(forged)("a forged cursor: %s", async (_, content) => {
    const cursor = Buffer.from(json(content)).toString("base64url");
    const owner = await world.personToken("owner", ["orders-owners"]);
    const { answer, left } = await leaving(world, () =>
      world.call("GET", `/v1/grants?cursor=${cursor}`, { token: owner }),
    );
    expectProblem(answer, 400, "invalid_request", /cursor/);
    expect(left).toEqual({});
  });

  test("a cursor that somebody made up shows nobody else's grants", async () => {
    const stranger = await world.personToken("stranger", []);
    for (const at of [0, 1, 7, 1e308]) {
      const cursor = Buffer.from(json([at, "1900000000000.g000000000000000"])).toString(
        "base64url",
      );
      const answer = await world.call("GET", `/v1/grants?cursor=${cursor}`, { token: stranger });
      expect(answer).toMatchObject({ status: 200, body: { grants: [] } });
    }
  });
});

describe("an idempotency key", () => {
  test.each([
    ["empty", ""],
    ["a space", " "],
    ["two words", "a b"],
    ["a tab", "a\tb"],
    ["a line break", "a\nb"],
    ["a zero byte", "a\u0000b"],
    ["other letters", "ключ"],
    ["201 characters", "k".repeat(201)],
    ["10,000 characters", "k".repeat(10_000)],
  ])("%s", async (_, key) => {
    const { answer, left } = await leaving(world, () =>
      world.call("POST", "/v1/grants", {
        token,
        body: { profile: PROFILE },
        headers: { "Idempotency-Key": key },
      }),
    );
    expectProblem(answer, 400, "invalid_request", /Idempotency-Key/);
    expect(left).toEqual({});
  });

  test("of 200 printable characters is fine", async () => {
    const { answer, left } = await leaving(world, async () =>
      world.call("POST", "/v1/grants", {
        token: await world.jobToken({ run_id: "200" }),
        body: { profile: PROFILE },
        headers: { "IDEMPOTENCY-KEY": "~!#".padEnd(200, "k") },
      }),
    );
    expect(answer.status).toBe(201);
    expect(left).toEqual(OPENED);
  });
});

describe("a path", () => {
  const ids = [
    UNKNOWN,
    "g",
    "grants",
    "G000000000000000",
    "g00000000000000",
    "g0000000000000000",
    "g00000000000000i",
    "g00000000000000u",
    "g00000000000000%20",
    "g000000000000000\n",
    "..",
    "%2e%2e",
    "..%2f..%2fv1%2fgrants",
    "null",
    "undefined",
    "__proto__",
    "constructor",
    "0",
    "-1",
    "*",
    "g000000000000000' OR 1=1 --",
    "GRANT#g000000000000000",
    "{id}",
    "é".repeat(50),
    "g".repeat(5_000),
  ];
  const uses: ReadonlyArray<[string, string, unknown]> = [
    ["GET", "", undefined],
    ["DELETE", "", undefined],
    ["POST", "/credentials", {}],
    ["POST", "/approval", { decision: "approve", reason: "x" }],
  ];
  test.each(uses)("%s /v1/grants/{id}%s for what is no grant", async (method, rest, body) => {
    const owner = await world.personToken("owner", ["orders-owners"]);
    const { left } = await leaving(world, async () => {
      for (const id of ids) {
        const answer = await world.call(method, `/v1/grants/${id}${rest}`, { token: owner, body });
        expectProblem(answer, 404, "grant_not_found");
        expect(answer.body.detail.length).toBeLessThan(200);
      }
    });
    expect(left).toEqual({});
  });

  test.each([
    ["GET", "/"],
    ["GET", "/v1"],
    ["GET", "/v2/grants"],
    ["GET", "/v1/grantz"],
    ["GET", "/V1/GRANTS"],
    ["GET", "//v1/grants"],
    ["GET", `/v1/grants/${UNKNOWN}/credentials`],
    ["GET", `/v1/grants/${UNKNOWN}/approval`],
    ["POST", `/v1/grants/${UNKNOWN}`],
    ["POST", `/v1/grants/${UNKNOWN}/credentials/again`],
    ["POST", "/v1/grants//credentials"],
    ["PUT", "/v1/grants"],
    ["PATCH", `/v1/grants/${UNKNOWN}`],
    ["DELETE", "/v1/grants"],
    ["HEAD", "/healthz"],
    ["OPTIONS", "/v1/grants"],
    ["TRACE", "/v1/grants"],
    ["get", "/healthz"],
    ["__proto__", "/healthz"],
    ["POST", "/healthz"],
    ["GET", "/v1/webhooks/github"],
    ["POST", "/v1/webhooks/"],
    ["POST", "/v1/webhooks/github/more"],
    ["POST", "/_local/token"],
    ["GET", "/.env"],
    ["GET", `/${"a".repeat(300)}/b`],
  ])("%s %s is no route", async (method, path) => {
    const { answer, left } = await leaving(world, () => world.call(method, path, { token }));
    expectProblem(answer, 404, "route_not_found", /^there is no /);
    expect(answer.body.hint).toMatch(/openapi/);
    expect(answer.body.detail.length).toBeLessThan(400);
    expect(left).toEqual({});
  });
});

describe("the Authorization header", () => {
  const decide = (headers: Record<string, string>) =>
    leaving(world, () =>
      world.call("POST", "/v1/decisions", { headers, body: { profile: PROFILE } }),
    );

  test.each([
    ["Authorization", "Bearer "],
    ["authorization", "bearer "],
    ["AUTHORIZATION", "BEARER "],
    ["Authorization", "Bearer  "],
  ])("%s: %s<token> is understood", async (name, scheme) => {
    const { answer, left } = await decide({ [name]: `${scheme}${token}` });
    expect(answer).toMatchObject({ status: 200, body: { allowed: true, rule: "orders-main" } });
    expect(left).toEqual({ DECISION: 1 });
  });

  test("that is missing says what to send", async () => {
    const { answer, left } = await decide({});
    expectProblem(answer, 401, "unauthenticated", /no Authorization header/);
    expect(answer.body.hint).toContain("Bearer <");
    expect(answer.headers["www-authenticate"]).toMatch(/^Bearer /);
    expect(left).toEqual({});
  });

  test.each<[string, (token: string) => string]>([
    ["empty", () => ""],
    ["a scheme alone", () => "Bearer"],
    ["a scheme and a space", () => "Bearer "],
    ["a token alone", (of) => of],
    ["Basic", (of) => `Basic ${Buffer.from(`job:${of}`).toString("base64")}`],
    ["Token", (of) => `Token ${of}`],
    ["STS, which comes later", () => "Stint-STS aHR0cHM6Ly9zdHMuYW1hem9uYXdzLmNvbQ"],
    ["two tokens", (of) => `Bearer ${of} ${of}`],
    ["two headers, joined", (of) => `Bearer ${of}, Bearer ${of}`],
    ["a tab", (of) => `Bearer\t${of}`],
    ["no space", (of) => `Bearer${of}`],
    ["quotes", (of) => `Bearer "${of}"`],
    ["a space before", (of) => ` Bearer ${of}`],
    ["a line break after", (of) => `Bearer ${of}\n`],
    ["a comma after", (of) => `Bearer ${of},`],
  ])("with %s is refused", async (_, of) => {
    const { answer, left } = await decide({ authorization: of(token) });
    expectProblem(answer, 401, "unauthenticated");
    expect(JSON.stringify(answer.body)).not.toContain(token.slice(0, 20));
    expect(answer.headers["www-authenticate"]).toMatch(/^Bearer /);
    expect(left).toEqual({});
  });

  test("comes first: who is nobody learns nothing about the body, the query or the path", async () => {
    for (const [method, path, raw] of [
      ["POST", "/v1/grants", "{{"],
      ["POST", "/v1/decisions", json({ nonsense: 1 })],
      ["GET", "/v1/grants?nonsense=1", ""],
      ["GET", "/v1/grants/nonsense", ""],
      ["DELETE", `/v1/grants/${UNKNOWN}`, ""],
      ["POST", `/v1/grants/${UNKNOWN}/credentials`, "{{"],
      ["POST", `/v1/grants/${UNKNOWN}/approval`, "{{"],
    ] as const) {
      const { answer, left } = await leaving(world, () => world.call(method, path, { raw }));
      expectProblem(answer, 401, "unauthenticated");
      expect(left).toEqual({});
    }
  });
});

test("nothing went wrong inside, and nobody was alarmed", () => {
  expect(world.aws.errors).toEqual([]);
  expect(world.logged.filter(({ level }) => level === "error")).toEqual([]);
});
