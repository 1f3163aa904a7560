import { expect, test } from "vitest";
import { createClient } from "../src/client.ts";
import { StintError } from "../src/error.ts";
import { awsOnly } from "../src/kinds.ts";
import {
  awsIdentity,
  grantCredentials,
  grantLeases,
  type LeaseOptions,
  type Leases,
} from "../src/leases.ts";
import type { CredentialsAnswer } from "../src/types.ts";
import {
  type Answer,
  awsCredentials,
  type Fake,
  grant,
  ID,
  problem,
  serve,
  TOKEN,
} from "./fake.ts";

const START = Date.parse("2026-11-22T10:00:00.000Z");
const at = (minutes: number) => START + minutes * 60_000;
const iso = (minutes: number) => new Date(at(minutes)).toISOString();

/** What a mint brings: credentials until then, of a grant that lasts for an hour. */
const minted = (key: string, until: number): CredentialsAnswer => ({
  grant: grant({ endsAt: iso(60) }),
  credentials: { aws: { ...awsCredentials, accessKeyId: key, expiration: iso(until) } },
});
const answered = (key: string, until: number): Answer => ({
  status: 200,
  body: minted(key, until),
});

interface World extends AsyncDisposable {
  readonly api: Fake;
  readonly leases: Leases;
  readonly key: () => Promise<string | undefined>;
  /** Moves the clock to so many minutes after the start. */
  readonly moveTo: (minutes: number) => void;
}

async function world(
  answers: Array<Answer | Promise<Answer>>,
  options: Partial<LeaseOptions> = {},
): Promise<World> {
  const api = await serve(() => answers.shift() ?? problem(500, "internal"));
  let now = START;
  const client = createClient({ url: api.url, token: "oidc", retry: { attempts: 1 } });
  const leases = grantLeases({ client, grant: ID, token: TOKEN, now: () => now, ...options });
  return {
    api,
    leases,
    key: async () => awsOnly((await leases()).credentials).aws?.accessKeyId,
    moveTo: (minutes) => {
      now = at(minutes);
    },
    [Symbol.asyncDispose]: () => api[Symbol.asyncDispose](),
  };
}

const codeFrom = async (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "none",
    (error: unknown) => (error instanceof StintError ? error.code : String(error)),
  );

test("the first asks with the grant's token, and leaves the length to the profile", async () => {
  await using one = await world([answered("A", 15)]);
  expect(await one.key()).toBe("A");
  expect(one.api.calls).toMatchObject([
    {
      method: "POST",
      url: `/v1/grants/${ID}/credentials`,
      headers: { authorization: `Bearer ${TOKEN}` },
      body: {},
    },
  ]);
});

test("a lease that is named is asked for each time", async () => {
  await using one = await world([answered("A", 2), answered("B", 4)], { lease: "2m" });
  await one.key();
  one.moveTo(3);
  await one.key();
  expect(one.api.calls.map(({ body }) => body)).toEqual([{ lease: "2m" }, { lease: "2m" }]);
});

test("what is held is used up before anything is minted", async () => {
  await using one = await world([answered("B", 25)], { held: minted("A", 15) });
  one.moveTo(9.9);
  expect(await one.key()).toBe("A");
  expect(one.api.calls).toHaveLength(0);
  one.moveTo(10);
  expect(await one.key()).toBe("B");
});

test("what is held and over is not given to anybody", async () => {
  await using one = await world([answered("A", 15)], { held: minted("OLD", -1) });
  expect(await one.key()).toBe("A");
});

test("a grant that waited for approval has nothing to hold yet", async () => {
  await using one = await world([answered("A", 15)], {
    held: { grant: grant({ state: "pending" }), token: TOKEN },
  });
  expect(await one.key()).toBe("A");
});

test.each([
  ["an hour", 60, 54.9, 55],
  ["fifteen minutes", 15, 9.9, 10],
  ["two minutes", 2, 0.9, 1],
])("one of %s is renewed with five minutes or half of it left", async (_, until, held, due) => {
  const first = { ...minted("A", until), grant: grant({ endsAt: iso(600) }) };
  await using one = await world([answered("B", due + until)], { held: first });
  one.moveTo(held);
  expect(await one.key()).toBe("A");
  one.moveTo(due);
  expect(await one.key()).toBe("B");
});

test("one that ends with its grant is the last: nothing is minted beside it", async () => {
  await using one = await world([problem(409, "grant_ended")], { held: minted("A", 60) });
  one.moveTo(59.9);
  expect(await one.key()).toBe("A");
  expect(one.api.calls).toHaveLength(0);
  one.moveTo(60);
  expect(await codeFrom(one.key())).toBe("grant_ended");
});

test("callers at the same time share one renewal", async () => {
  await using one = await world([answered("A", 15), answered("B", 30)]);
  expect(await Promise.all([one.key(), one.key(), one.key()])).toEqual(["A", "A", "A"]);
  expect(one.api.calls).toHaveLength(1);
  one.moveTo(12);
  expect(await Promise.all([one.key(), one.key()])).toEqual(["B", "B"]);
  expect(one.api.calls).toHaveLength(2);
});

test.each(["grant_ended", "job_ended"])(
  "after %s nobody is asked again, also with a lease in hand",
  async (code) => {
    await using one = await world([problem(409, code), answered("B", 30)], {
      held: minted("A", 15),
    });
    one.moveTo(11);
    expect(await codeFrom(one.key())).toBe(code);
    expect(await codeFrom(one.key())).toBe(code);
    one.moveTo(40);
    expect(await codeFrom(one.key())).toBe(code);
    expect(one.api.calls).toHaveLength(1);
  },
);

test("a renewal that fails leaves what is held in use until its end", async () => {
  await using one = await world(
    [problem(503, "unavailable"), problem(503, "unavailable"), answered("B", 30)],
    { held: minted("A", 15) },
  );
  one.moveTo(11);
  expect(await one.key()).toBe("A");
  expect(await one.key()).toBe("A"); // and is not tried again at once
  expect(one.api.calls).toHaveLength(1);
  one.moveTo(15);
  expect(await codeFrom(one.key())).toBe("unavailable");
  expect(await one.key()).toBe("B");
});

test("a failure is nobody's for ever: the next caller asks anew", async () => {
  await using one = await world([problem(409, "wrong_state"), answered("A", 15)]);
  expect(await codeFrom(one.key())).toBe("wrong_state");
  expect(await one.key()).toBe("A");
});

test("to a clock that is wrong, for which all leases look over, they are minted 20 s apart", async () => {
  await using one = await world([answered("A", 15), answered("B", 16)]);
  one.moveTo(45);
  expect(await one.key()).toBe("A");
  expect(await one.key()).toBe("A");
  one.moveTo(45.4);
  expect(await one.key()).toBe("B");
});

test("a provider has the shape that AWS's SDK takes", async () => {
  await using one = await world([]);
  const provider = awsIdentity(async () => minted("A", 15), "aws");
  expect(await provider()).toEqual({
    accessKeyId: "A",
    secretAccessKey: awsCredentials.secretAccessKey,
    sessionToken: awsCredentials.sessionToken,
    expiration: new Date(at(15)),
  });
  expect(one.api.calls).toHaveLength(0);
});

test("of several targets the one that is named is given, else the first", async () => {
  const other = { ...awsCredentials, accessKeyId: "OTHER" };
  const both = { grant: grant(), credentials: { main: awsCredentials, lake: other } };
  await using api = await serve(() => ({ status: 200, body: both }));
  const client = createClient({ url: api.url, token: "oidc" });
  const of = (target?: string) =>
    grantCredentials({ client, grant: ID, ...(target === undefined ? {} : { target }) })();
  expect((await of("lake")).accessKeyId).toBe("OTHER");
  expect((await of()).accessKeyId).toBe("ASIAEXAMPLE");
  expect(api.calls[0]?.headers.authorization).toBe("Bearer oidc");
  for (const none of ["toString", "ware"])
    await expect(of(none)).rejects.toMatchObject({
      code: "no_target",
      hint: "targets: main, lake",
    });
});
