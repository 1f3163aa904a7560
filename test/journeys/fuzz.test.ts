/** Whatever arrives: an answer that is not our fault, and no grant for who may have none. */
import { grantRequest, revocationRequest, routes } from "@stint/functions/endpoints";
import fc from "fast-check";
import { beforeAll, expect, test } from "vitest";
import { leaving } from "./traces.ts";
import { type Answer, createWorld, grantIn, sign, type World } from "./world.ts";

const PROFILE = "orders-integration";
const FIELDS = [
  ...["profile", "duration", "lease", "name", "reason", "decision"],
  ...["principal", "role", "hard", "dryRun", "__proto__", "x"],
];

let world: World;
let tokens: Record<string, string>;
let grant: string;
beforeAll(async () => {
  world = await createWorld();
  const opened = await world.call("POST", "/v1/grants", {
    token: await world.jobToken(),
    body: { profile: PROFILE },
  });
  const elsewhere = await world.call("POST", "/v1/grants", {
    token: await world.jobToken({ run_id: "2" }),
    body: { profile: PROFILE },
  });
  grant = grantIn(opened).id;
  tokens = {
    none: "",
    job: await world.jobToken({ run_id: "3" }),
    stranger: await world.jobToken({ repository_id: "1" }),
    person: await world.personToken("ann", ["nobody"]),
    owner: await world.personToken("owner", ["orders-owners"]),
    expired: await world.jobToken({ exp: 1 }),
    holder: String(elsewhere.body.token),
  };
});

/** No control characters: HTTP lets none through in a path or a header's value. */
const printable = fc.string({ maxLength: 40 });
const anyText = fc.oneof(printable, fc.string({ unit: "binary", maxLength: 40 }));

const value = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(PROFILE, "20m", "90s", "approve", "", null, 0, true) },
  { weight: 2, arbitrary: anyText },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 3 }) },
);
const nearlyRequest = fc
  .array(fc.tuple(fc.oneof(fc.constantFrom(...FIELDS), printable), value), { maxLength: 5 })
  .map(
    (fields) =>
      // Written by hand, so that a name may come twice.
      `{${fields.map(([name, of]) => `${JSON.stringify(name)}:${JSON.stringify(of)}`).join(",")}}`,
  );
const body = fc.oneof(
  nearlyRequest,
  fc.json(),
  anyText,
  fc.uint8Array({ maxLength: 60 }),
  fc.constantFrom("", "{}", JSON.stringify({ profile: PROFILE })),
);

const id = fc.oneof(
  fc.constant("{grant}"),
  fc.constant("g000000000000000"),
  printable.map(encodeURIComponent),
  printable,
);
/** Mostly a route that there is, sometimes with another's method, sometimes nothing that there is. */
const target = fc.oneof(
  {
    weight: 8,
    arbitrary: fc
      .tuple(fc.constantFrom(...routes), id)
      .map(([of, name]) => [of.method, of.path.replace("{id}", () => name)] as const),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(
      fc.constantFrom("GET", "POST", "DELETE", "PUT"),
      printable.map((text) => `/${text}`),
    ),
  },
);
const query = fc.oneof(
  fc.constant(""),
  fc
    .array(
      fc.tuple(
        fc.oneof(
          fc.constantFrom("state", "profile", "principal", "job", "stuck", "limit", "cursor"),
          printable,
        ),
        fc.oneof(
          fc.constantFrom("active", PROFILE, "true", "5", "0", ""),
          printable.map(encodeURIComponent),
          fc.jsonValue({ maxDepth: 1 }).map((of) => {
            return Buffer.from(JSON.stringify([0, of])).toString("base64url");
          }),
          printable,
        ),
      ),
      { maxLength: 4 },
    )
    .map((pairs) => pairs.map(([name, of]) => `${name}=${of}`).join("&")),
);
const headers = fc.dictionary(
  fc.oneof(
    fc.constantFrom("idempotency-key", "content-type", "x-github-event"),
    fc.constant("Authorization"),
    printable,
  ),
  fc.oneof(
    anyText,
    fc.constantFrom("application/json", "Bearer ", "Bearer a.b.c", "Bearer stint_g"),
  ),
  { maxKeys: 2 },
);

function expectOrderly({ status, headers: sent, body: told }: Answer): void {
  expect(status, JSON.stringify(told)).toBeLessThan(500);
  if (status < 400) return;
  expect(sent["content-type"]).toBe("application/problem+json");
  expect(told).toMatchObject({ status, code: expect.any(String), requestId: "test" });
  expect(told.detail.length).toBeLessThan(1_000);
}

function isOrder(path: string, raw: string | Uint8Array): boolean {
  if (path !== "/v1/revocations") return false;
  try {
    return revocationRequest.safeParse(JSON.parse(Buffer.from(raw).toString())).success;
  } catch {
    return false;
  }
}

test("no request of any shape is our fault, and none opens a grant that was not asked for", async () => {
  const { left } = await leaving(world, () =>
    fc.assert(
      fc.asyncProperty(
        target,
        query,
        fc.constantFrom("none", "job", "stranger", "person", "owner", "expired", "holder"),
        headers,
        body,
        async ([method, at], search, who, more, raw) => {
          // The owner may end this grant, by itself or with all others.
          fc.pre(!(who === "owner" && (method === "DELETE" || isOrder(at, raw))));
          const answer = await world.call(
            method,
            `${at.replace("{grant}", grant)}${search === "" ? "" : `?${search}`}`,
            { ...(tokens[who] ? { token: tokens[who] } : {}), headers: more, raw },
          );
          expectOrderly(answer);
          if (answer.status === 201 || answer.status === 202) {
            expect(who).toBe("job");
            const sent = JSON.parse(Buffer.from(raw).toString());
            expect(grantRequest.parse(sent).profile).toBe(PROFILE);
          }
        },
      ),
      { numRuns: 400 },
    ),
  );
  // One token opens one grant, however often it is tried.
  expect(left.GRANT ?? 0).toBeLessThanOrEqual(1);
  expect(left.schedule).toBe(left.GRANT);
  expect(left.TOKEN).toBe(left.GRANT);
});

test("no webhook of any shape is our fault, and none touches a grant", async () => {
  const payload = fc.oneof(
    body,
    fc
      .record(
        {
          action: fc.constantFrom("completed", "queued", 1, null),
          workflow_job: fc.record(
            {
              run_id: fc.oneof(fc.integer(), fc.double(), anyText),
              run_attempt: fc.oneof(fc.integer(), fc.constant(null)),
              check_run_url: fc.oneof(
                anyText,
                fc.nat().map((n) => `https://x.test/${n}`),
              ),
            },
            { requiredKeys: [] },
          ),
          workflow_run: fc.record(
            { id: fc.oneof(fc.integer(), fc.double()), run_attempt: fc.integer() },
            { requiredKeys: [] },
          ),
        },
        { requiredKeys: [] },
      )
      .map((of) => JSON.stringify(of)),
  );
  const { left } = await leaving(world, () =>
    fc.assert(
      fc.asyncProperty(
        payload,
        fc.boolean(),
        fc.constantFrom("workflow_job", "workflow_run", "push", ""),
        anyText,
        headers,
        async (raw, signed, event, delivery, more) => {
          const bytes = Buffer.from(raw);
          const answer = await world.call("POST", "/v1/webhooks/github", {
            raw: bytes,
            headers: {
              ...more,
              "x-github-event": event,
              "x-github-delivery": delivery,
              ...(signed ? { "x-hub-signature-256": sign(bytes) } : {}),
            },
          });
          expectOrderly(answer);
          if (!signed) expect(answer.status).toBe(401);
        },
      ),
      { numRuns: 300 },
    ),
  );
  const { RUN: _, DELIVERY: __, ...rest } = left;
  expect(rest).toEqual({});
});

test("nothing went wrong inside", () => {
  expect(world.aws.errors).toEqual([]);
  expect(world.logged.filter(({ level }) => level === "error")).toEqual([]);
});
