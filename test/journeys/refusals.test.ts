/** Requests that are well formed and still too much: refused, with as much of the reason as the caller may know. */
import { beforeAll, describe, expect, test } from "vitest";
import { configWith, expectProblem, leaving, OPENED } from "./traces.ts";
import { createWorld, grantIn, inside, type World } from "./world.ts";

const PROFILE = "orders-integration";

let world: World;
let token: string;
beforeAll(async () => {
  world = await createWorld();
  token = await world.jobToken();
});

describe("lengths", () => {
  const ask = (body: object, as = token) =>
    leaving(world, () =>
      world.call("POST", "/v1/grants", { token: as, body: { profile: PROFILE, ...body } }),
    );

  test.each(
    ["-5m", "90", "10y", "1h30m", "0s", "0h", "1e3s", "59s", "", " 5m", "5m ", "5M", "+5m", "05m"]
      .concat(["1.5h", "5 m", "m", "٥m", "1_0m", "0x5m", "Infinity", "NaN", "PT5M", "5min", "5m\n"])
      .concat(["9999999999s", "99999999999999999999"]),
  )("a duration of %j is none", async (duration) => {
    const { answer, left } = await ask({ duration });
    expectProblem(answer, 400, "invalid_request", /duration is (not a duration|shorter than 60 s)/);
    if (duration !== "59s") expect(answer.body.hint).toContain("20m");
    expect(left).toEqual({});
  });

  test.each(["-5m", "90", "0s", "59s", "61m", "2h", "3601s", "1h30m"])(
    "a lease of %j is none",
    async (lease) => {
      const { answer, left } = await ask({ lease });
      expectProblem(answer, 400, "invalid_request", /^lease is /);
      expect(left).toEqual({});
    },
  );

  test.each([
    ["31m", "31m"],
    ["1801s", "1801s"],
    ["120m", "2h"],
    ["121m", "121m"],
    ["24h", "24h"],
    ["999999999h", "999999999h"],
  ])(
    "a duration of %s, beyond what the rule gives, is refused and says so",
    async (duration, actual) => {
      const { answer, left } = await ask({ duration });
      expectProblem(answer, 403, "refused");
      expect(answer.body.explanation).toEqual({
        rule: "orders-main",
        failed: [{ claim: "duration", expected: "at most 30m", actual }],
        considered: 2,
      });
      expect(left).toEqual({ DECISION: 1 });
    },
  );

  test("a refusal takes no key: the same token asks again for less", async () => {
    const again = await world.jobToken({ run_id: "300" });
    expect((await ask({ duration: "31m" }, again)).left).toEqual({ DECISION: 1 });
    const { answer, left } = await ask({ duration: "30m" }, again);
    expect(answer.status).toBe(201);
    expect(left).toEqual(OPENED);
    expect(Date.parse(grantIn(answer).endsAt)).toBe(world.aws.clock.now() + 30 * 60_000);
  });

  inside(
    "without a duration the default is given, or the rule's cap if lower; the profile's max holds for all",
    async () => {
      const own = await createWorld({
        config: configWith(
          `  - id: short
    profile: orders-integration
    to: { pipeline: github, repository_id: "186853002", ref: refs/heads/main }
    duration: 10m
  - id: wide
    profile: orders-integration
    to: { pipeline: github, repository_id: "186853002", ref: refs/heads/wide }
`,
          "{ default: 20m, max: 40m }",
        ),
      });
      const seconds = async (claims: object, body: object = {}) => {
        const answer = await own.call("POST", "/v1/grants", {
          token: await own.jobToken({ ...claims }),
          body: { profile: PROFILE, ...body },
          headers: { "idempotency-key": JSON.stringify([claims, body]).replaceAll(" ", "") },
        });
        if (answer.status !== 201) return answer.body.explanation?.failed;
        return (Date.parse(grantIn(answer).endsAt) - own.aws.clock.now()) / 1000;
      };
      const wide = { ref: "refs/heads/wide" };
      expect(await seconds({})).toBe(600);
      expect(await seconds(wide)).toBe(1200);
      expect(await seconds(wide, { duration: "40m" })).toBe(2400);
      expect(await seconds(wide, { duration: "41m" })).toEqual([
        { claim: "duration", expected: "at most 40m", actual: "41m" },
      ]);
    },
  );
});

describe("a profile that one may not have", () => {
  const ask = async (profile: string, as: string) => {
    const { answer, left } = await leaving(world, () =>
      world.call("POST", "/v1/grants", { token: as, body: { profile } }),
    );
    expectProblem(answer, 403, "refused");
    // One refusal is one record, and nothing else.
    expect(left).toEqual({ DECISION: 1 });
    return answer;
  };

  test.each(["nothing-of-that-name", "__proto__", "constructor", "toString", "*", "../x"])(
    "answers a stranger as %s does, which does not exist",
    async (profile) => {
      const stranger = await world.jobToken({
        repository_id: "1",
        repository: "evil/fork",
        sub: "repo:evil/fork:ref:refs/heads/main",
      });
      const forbidden = await ask(PROFILE, stranger);
      const missing = await ask(profile, stranger);
      expect(missing).toEqual(forbidden);
      expect(missing.body.explanation).toEqual({ failed: [], considered: 0 });
      // Also for somebody who has a profile: it tells only of that one.
      expect((await ask(profile, token)).body).toEqual(forbidden.body);
    },
  );

  test("tells its own repository which rule failed, and what it expected", async () => {
    const branch = await world.jobToken({ ref: "refs/heads/feature" });
    const { body } = await ask(PROFILE, branch);
    expect(body.explanation).toEqual({
      rule: "orders-main",
      failed: [{ claim: "ref", expected: "refs/heads/main", actual: "refs/heads/feature" }],
      considered: 2,
    });
  });

  test("keeps the full explanation of a stranger's refusal in the record", async () => {
    const stranger = await world.jobToken({ repository_id: "2", run_id: "22" });
    await ask(PROFILE, stranger);
    const records = (await world.items()).flatMap(({ pk, audit }) =>
      String(pk).startsWith("DECISION#") ? [JSON.stringify(audit)] : [],
    );
    const own = records.filter((record) => record.includes(":2:22:"));
    expect(own).toHaveLength(1);
    expect(own[0]).toContain('"rule":"orders-main"');
    expect(own[0]).toContain('"expected":"186853002"');
  });

  test("tries a decision out with the same words, as one record", async () => {
    const stranger = await world.jobToken({ repository_id: "3" });
    const answers = [];
    for (const profile of [PROFILE, "nothing-of-that-name"]) {
      const { answer, left } = await leaving(world, () =>
        world.call("POST", "/v1/decisions", { token: stranger, body: { profile } }),
      );
      expect(left).toEqual({ DECISION: 1 });
      answers.push(answer);
    }
    expect(answers[0]).toEqual(answers[1]);
    expect(answers[0]).toMatchObject({ status: 200, body: { allowed: false } });
  });
});

test("nothing went wrong inside, and nobody was alarmed", () => {
  expect(world.aws.errors).toEqual([]);
  expect(world.logged.filter(({ level }) => level === "error")).toEqual([]);
});
