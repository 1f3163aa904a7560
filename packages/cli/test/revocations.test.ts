import { describe, expect, test } from "vitest";
import { run } from "../src/main.ts";
import { type Answer, type Answers, type Api, GRANT, grant, ID, problem, serve } from "./api.ts";
import { world } from "./world.ts";

const ROLE = "arn:aws:iam::111122223333:role/stint/orders";

interface Given {
  readonly answers?: Answers;
  readonly env?: Readonly<Record<string, string>>;
  readonly tty?: boolean;
  readonly answer?: string;
}

async function stint(argv: readonly string[], given: Given = {}) {
  await using api: Api = await serve(given.answers);
  const { io, out, err, waits } = world({
    tty: given.tty ?? false,
    env: { STINT_URL: api.url, STINT_TOKEN: "oidc-token", ...given.env },
    ...(given.answer === undefined ? {} : { answer: given.answer }),
  });
  const code = await run(argv, io);
  const bodies = api.calls.map(({ body }) => body);
  return { code, out: out(), err: err(), api, bodies, waits };
}

const counts = (count: number, more = {}): Answer => ({
  status: 202,
  body: { count, lapsing: [], ...more },
});

/** The dry run says the first, and the orders after it the others, one by one. */
const answering = (dry: Answer, ...others: Answer[]): Answers => ({
  "POST /v1/revocations": ({ body }) =>
    typeof body === "object" && body !== null && "dryRun" in body
      ? dry
      : (others.shift() ?? counts(0)),
});

describe("revoke --all", () => {
  test("says how many first, asks, and then ends them", async () => {
    const { code, out, err, bodies } = await stint(
      ["revoke", "--all", "--profile", "orders-integration", "--reason", "a key leaked"],
      { answers: answering(counts(12), counts(12)), tty: true, answer: "y" },
    );
    expect(code).toBe(0);
    expect(err).toContain("12 grants would end now");
    expect(err.indexOf("12 grants")).toBeLessThan(err.indexOf("end them? [y/N]"));
    expect(out).toBe("12 grants end\n");
    const order = { profile: "orders-integration", reason: "a key leaked" };
    expect(bodies).toEqual([{ ...order, dryRun: true }, order]);
  });

  test.each(["", "n", "no", "yess", "all"])(
    "ends nothing where the answer is %j",
    async (answer) => {
      const { code, err, bodies } = await stint(["revoke", "--all"], {
        answers: answering(counts(3)),
        tty: true,
        answer,
      });
      expect(code).toBe(1);
      expect(err).toContain("not confirmed, so nothing was revoked");
      expect(bodies).toEqual([{ dryRun: true }]);
    },
  );

  test.each<[string, Given, string[]]>([
    ["without a terminal", {}, []],
    ["in CI, terminal or not", { tty: true, env: { CI: "true" } }, []],
    ["as JSON", { tty: true }, ["--json"]],
  ])("asks nobody %s, and does nothing without --yes", async (_, given, more) => {
    const { code, err, bodies } = await stint(["revoke", "--all", ...more], given);
    expect(code).toBe(1);
    expect(err).toContain("nobody is here to confirm it");
    expect(err).toContain("--yes");
    expect(bodies).toEqual([]);
  });

  test("with --yes ends them unasked, as JSON too", async () => {
    const lapsing = [{ grant: ID, target: "aws", until: "2026-11-22T10:20:00.000Z" }];
    const { code, out, bodies } = await stint(["revoke", "--all", "--yes", "--json"], {
      answers: answering(counts(1, { lapsing }), counts(1, { lapsing })),
      env: { CI: "true" },
    });
    expect(code).toBe(0);
    expect(JSON.parse(out)).toEqual({ count: 1, lapsing });
    expect(bodies).toEqual([{ dryRun: true }, {}]);
  });

  test("says whom a hard one hits before it asks, and which leases lapse and when", async () => {
    const hits = [{ grant: ID, profile: "orders", principal: "person:acme:ann" }];
    const lapsing = [{ grant: ID, target: "db", until: "2026-11-22T10:20:00.000Z" }];
    const { code, out, err, bodies } = await stint(["revoke", "--all", "--role", ROLE, "--hard"], {
      answers: answering(counts(1, { hits, lapsing }), counts(1, { hits, lapsing })),
      tty: true,
      answer: "yes",
    });
    expect(code).toBe(0);
    const before = err.slice(0, err.indexOf("[y/N]"));
    expect(before).toContain("person:acme:ann");
    expect(before).toContain(`every session of ${ROLE}`);
    expect(before).toContain("2026-11-22T10:20:00.000Z");
    expect(out).toMatch(new RegExp(`${ID} +db +2026-11-22T10:20:00.000Z`));
    expect(bodies[1]).toEqual({ role: ROLE, hard: true });
  });

  test("goes on while the server says that others are left, and adds up", async () => {
    const left = (ended: number) => problem(503, "unavailable", { ended });
    const lapsing = [{ grant: ID, target: "db", until: "2026-11-22T10:20:00.000Z" }];
    const { code, out, err } = await stint(["revoke", "--all", "--yes"], {
      answers: answering(counts(900, { lapsing }), left(500), left(300), counts(100)),
    });
    expect(code).toBe(0);
    expect(err).toContain("500 grants ended so far");
    expect(err).toContain("800 grants ended so far");
    expect(out).toContain("900 grants end");
    // A try that did not get done could not say it.
    expect(out).toContain("2026-11-22T10:20:00.000Z");
  });

  test("gives up where no try brings it further, and says what was done", async () => {
    const { code, err, bodies } = await stint(["revoke", "--all", "--yes"], {
      answers: {
        "POST /v1/revocations": ({ body }) =>
          JSON.stringify(body).includes("dryRun")
            ? counts(9)
            : problem(503, "unavailable", { ended: 0 }),
      },
    });
    expect(code).toBe(2);
    expect(bodies).toHaveLength(6);
    expect(err).toContain("0 grants ended, others may be left");
  });

  test("is not kept from ending what could not be counted", async () => {
    const { code, out, err } = await stint(["revoke", "--all", "--yes"], {
      answers: answering(problem(503, "unavailable"), counts(5)),
    });
    expect(code).toBe(0);
    expect(err).toContain("warning: it is unavailable");
    expect(out).toBe("5 grants end\n");
  });

  test("with --dry-run only says what would end, and asks nobody", async () => {
    const { code, out, bodies } = await stint(["revoke", "--all", "--dry-run"], {
      answers: answering(counts(1)),
    });
    expect(code).toBe(0);
    expect(out).toBe("1 grant would end\n");
    expect(bodies).toEqual([{ dryRun: true }]);
  });

  test("that the rules refuse is exit 3, before anybody is asked", async () => {
    const { code, bodies } = await stint(["revoke", "--all"], {
      answers: answering(problem(403, "refused")),
      tty: true,
    });
    expect(code).toBe(3);
    expect(bodies).toEqual([{ dryRun: true }]);
  });
});

describe("a command line that cannot be meant", () => {
  test.each([
    [["revoke"], "which grant?"],
    [["revoke", "--profile", "orders"], "which grant?"],
    [["revoke", ID, "--all"], "--all is not for a single grant"],
    [["revoke", ID, "--hard"], "--hard is not for a single grant"],
    [["revoke", ID, "--dry-run"], "--dry-run is not for a single grant"],
    [["revoke", "--all", "--yes", "--profile", "a", "--role", ROLE], "exclude each other"],
    [["revoke", "--all", "--yes", "--profile", ""], "a filter is empty"],
    [["revoke", "--all", "--yes", "--hard"], "--hard is about one role"],
  ])("%j revokes nothing", async (argv, says) => {
    const { code, err, bodies } = await stint(argv);
    expect(code).toBe(1);
    expect(err).toContain(says);
    expect(bodies).toEqual([]);
  });
});

describe("one grant", () => {
  test("is revoked by its id", async () => {
    const { code, api } = await stint(["revoke", ID]);
    expect(code).toBe(0);
    expect(api.asked()).toEqual([`DELETE ${GRANT}`]);
  });

  test("is retried as the caller, not by its own token", async () => {
    const { code, out, api } = await stint(["retry", ID, "--json"], {
      answers: {
        [`POST ${GRANT}/retry`]: { status: 202, body: { grant: grant({ state: "ending" }) } },
      },
      env: { STINT_GRANT_TOKEN: `stint_${ID}_c2lnbmF0dXJl` },
    });
    expect(code).toBe(0);
    expect(JSON.parse(out).grant).toMatchObject({ id: ID, state: "ending" });
    expect(api.calls[0]?.headers.authorization).toBe("Bearer oidc-token");
  });

  test("that has no end to be tried again is a remote fault that says so", async () => {
    const { code, err } = await stint(["retry", ID], {
      answers: { [`POST ${GRANT}/retry`]: problem(409, "wrong_state") },
    });
    expect(code).toBe(2);
    expect(err).toContain("it is wrong_state");
  });
});

describe("what is stuck", () => {
  const stuck = grant({ state: "ending", stuck: true, error: "AccessDenied: no boundary" });
  const answers: Answers = {
    [`GET ${GRANT}`]: { status: 200, body: { grant: stuck } },
    "GET /v1/grants": { status: 200, body: { grants: [stuck] } },
  };

  test("says so with its error, alone and in a list", async () => {
    const one = await stint(["get", ID], { answers });
    expect(one.out).toMatch(/^state +ending \(stuck\)$/m);
    expect(one.out).toMatch(/^error +AccessDenied: no boundary$/m);
    const list = await stint(["list", "--stuck"], { answers });
    expect(list.api.asked()[0]).toContain("stuck=true");
    expect(list.out).toContain("ending (stuck)");
    expect(list.out).toContain("AccessDenied: no boundary");
    const json = await stint(["list", "--stuck", "--json"], { answers });
    expect(JSON.parse(json.out).grants[0]).toMatchObject({ stuck: true, error: stuck.error });
  });

  test("is a column only where something is", async () => {
    const { out } = await stint(["list"], {
      answers: { "GET /v1/grants": { status: 200, body: { grants: [grant()] } } },
    });
    expect(out).not.toContain("ERROR");
  });
});
