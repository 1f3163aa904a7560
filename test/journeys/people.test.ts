import { beforeAll, describe, expect, test } from "vitest";
import { createWorld, grantIn, type World } from "./world.ts";

let world: World;
let runs = 1000;
beforeAll(async () => {
  world = await createWorld();
});

const developer = (name = "dev") => world.personToken(name, ["developers"]);
const owner = (name = "owner") => world.personToken(name, ["orders-owners"]);
const stranger = () => world.personToken("stranger", ["somebody"]);

const ask = async (token: string, key: string, body = {}) =>
  world.call("POST", "/v1/grants", {
    token,
    body: { profile: "orders-integration", reason: "looking into a failure", ...body },
    headers: { "idempotency-key": key },
  });

/** A job of its own run, so that jobs don't share a token or a tombstone. */
const jobGrant = async () => {
  runs += 1;
  const answer = await world.call("POST", "/v1/grants", {
    token: await world.jobToken({ run_id: String(runs) }),
    body: { profile: "orders-integration" },
  });
  return { grant: grantIn(answer), token: String(answer.body.token), run: String(runs) };
};

const decide = async (id: string, token: string, decision: string, reason = "seen") =>
  world.call("POST", `/v1/grants/${id}/approval`, { token, body: { decision, reason } });

describe("a request that needs approval", () => {
  test("waits, is approved, is claimed by its own person, and works", async () => {
    const asked = await ask(await developer("ann"), "a1");
    expect(asked.status).toBe(202);
    expect(asked.body.credentials).toBeUndefined();
    const { id } = grantIn(asked);
    expect(grantIn(asked)).toMatchObject({ state: "pending", approval: { count: 1, given: 0 } });
    const early = await world.call("POST", `/v1/grants/${id}/credentials`, {
      token: asked.body.token,
    });
    expect(early).toMatchObject({ status: 409, body: { code: "wrong_state" } });

    const approved = await decide(id, await owner(), "approve");
    expect(approved).toMatchObject({ status: 200, body: { grant: { state: "ready" } } });
    expect(grantIn(approved).claimBy).toBeDefined();

    const claimed = await world.call("POST", `/v1/grants/${id}/credentials`, {
      token: asked.body.token,
    });
    expect(claimed.status).toBe(200);
    expect(grantIn(claimed)).toMatchObject({ state: "active" });
    expect(claimed.body.credentials.aws.accessKeyId).toMatch(/^ASIA/);
  });

  test("gives the same token and 202 to a repeat, and credentials once it is ready", async () => {
    const token = await developer("bob");
    const first = await ask(token, "b1");
    const again = await ask(token, "b1");
    expect(again.status).toBe(202);
    expect(again.body.token).toBe(first.body.token);
    await decide(grantIn(first).id, await owner(), "approve");
    const third = await ask(token, "b1");
    expect(third.status).toBe(200);
    expect(third.body.credentials.aws).toBeDefined();
    expect(third.body.token).toBe(first.body.token);
  });

  test("nobody approves their own", async () => {
    const both = await world.personToken("both", ["developers", "orders-owners"]);
    const asked = await ask(both, "c1");
    const own = await decide(grantIn(asked).id, both, "approve");
    expect(own).toMatchObject({ status: 403, body: { code: "refused" } });
    expect(own.body.detail).toContain("their own");
  });

  test("an approver must be allowed at that moment", async () => {
    const { id } = grantIn(await ask(await developer("cid"), "d1"));
    // Who may neither approve nor read learns nothing, not even that it exists.
    expect(await decide(id, await stranger(), "approve")).toMatchObject({
      status: 404,
      body: { code: "grant_not_found" },
    });
    expect(await decide(id, await developer("other"), "approve")).toMatchObject({ status: 404 });
    expect(await decide(id, await world.jobToken(), "approve")).toMatchObject({ status: 403 });
    expect(await decide(id, await owner(), "approve")).toMatchObject({ status: 200 });
  });

  test("a second click changes nothing, another's decision after it is too late", async () => {
    const { id } = grantIn(await ask(await developer("dan"), "e1"));
    await decide(id, await owner(), "approve");
    expect(await decide(id, await owner(), "approve")).toMatchObject({ status: 200 });
    expect(await decide(id, await owner("second"), "refuse")).toMatchObject({
      status: 409,
      body: { code: "grant_changed" },
    });
  });

  test("once refused it stays refused, and its token only reads", async () => {
    const token = await developer("eve");
    const asked = await ask(token, "f1");
    const { id } = grantIn(asked);
    const refused = await decide(id, await owner(), "refuse", "not today");
    expect(refused).toMatchObject({
      status: 200,
      body: { grant: { state: "refused", why: "approver" } },
    });
    expect(await ask(token, "f1")).toMatchObject({ status: 409, body: { code: "grant_ended" } });
    expect(
      await world.call("POST", `/v1/grants/${id}/credentials`, { token: asked.body.token }),
    ).toMatchObject({ status: 409, body: { code: "grant_ended" } });
    expect(await world.call("GET", `/v1/grants/${id}`, { token: asked.body.token })).toMatchObject({
      status: 200,
      body: { grant: { state: "refused" } },
    });
  });

  test("a grant that needed no approval cannot be approved", async () => {
    const { grant } = await jobGrant();
    const answer = await decide(grant.id, await owner(), "approve");
    // The owner's approval is for requests of the people's rule, so for this one it is nobody's to give.
    expect(answer).toMatchObject({ status: 403, body: { code: "refused" } });
  });

  test("runs out when nobody decides, and unclaimed when nobody claims", async () => {
    const own = await createWorld();
    const token = await own.personToken("fay", ["developers"]);
    const body = { profile: "orders-integration" };
    const undecided = await own.call("POST", "/v1/grants", {
      token,
      body,
      headers: { "idempotency-key": "g1" },
    });
    const unclaimed = await own.call("POST", "/v1/grants", {
      token,
      body,
      headers: { "idempotency-key": "g2" },
    });
    await own.call("POST", `/v1/grants/${grantIn(unclaimed).id}/approval`, {
      token: await own.personToken("owner", ["orders-owners"]),
      body: { decision: "approve", reason: "fine" },
    });
    await own.advance(16 * 60_000);
    const get = async (id: string, bearer: string) =>
      grantIn(await own.call("GET", `/v1/grants/${id}`, { token: bearer }));
    expect(await get(grantIn(unclaimed).id, unclaimed.body.token)).toMatchObject({
      state: "ended",
      why: "unclaimed",
    });
    await own.advance(8 * 3_600_000);
    expect(await get(grantIn(undecided).id, undecided.body.token)).toMatchObject({
      state: "refused",
      why: "approval_expired",
    });
    expect(own.aws.errors).toEqual([]);
  });
});

describe("reading", () => {
  test("the holder's token reads its own grant and no other", async () => {
    const mine = await jobGrant();
    const other = await jobGrant();
    expect(
      await world.call("GET", `/v1/grants/${mine.grant.id}`, { token: mine.token }),
    ).toMatchObject({ status: 200 });
    expect(
      await world.call("GET", `/v1/grants/${other.grant.id}`, { token: mine.token }),
    ).toMatchObject({ status: 404, body: { code: "grant_not_found" } });
  });

  test("a person reads what a rule lets them read; to others it does not exist", async () => {
    const { grant } = await jobGrant();
    expect(
      await world.call("GET", `/v1/grants/${grant.id}`, { token: await owner() }),
    ).toMatchObject({ status: 200, body: { grant: { id: grant.id, state: "active" } } });
    const hidden = await world.call("GET", `/v1/grants/${grant.id}`, { token: await stranger() });
    const missing = await world.call("GET", "/v1/grants/g000000000000000", {
      token: await stranger(),
    });
    expect(hidden.status).toBe(404);
    expect(hidden.body.title).toBe(missing.body.title);
  });

  test("lists newest first, page by page, each grant once", async () => {
    const own = await createWorld();
    const ids: string[] = [];
    for (let i = 0; i < 7; i++) {
      const token = await own.jobToken({ run_id: String(i + 1) });
      ids.push(
        grantIn(
          await own.call("POST", "/v1/grants", { token, body: { profile: "orders-integration" } }),
        ).id,
      );
      await own.advance(1_000);
    }
    // Lists are read from an index, which lags.
    await own.advance(2_000);
    const token = await own.personToken("owner", ["orders-owners"]);
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page: { body: { grants: Array<{ id: string }>; cursor?: string } } = await own.call(
        "GET",
        `/v1/grants?profile=orders-integration&limit=3${cursor === undefined ? "" : `&cursor=${cursor}`}`,
        { token },
      );
      expect(page.body.grants.length).toBeLessThanOrEqual(3);
      seen.push(...page.body.grants.map(({ id }) => id));
      cursor = page.body.cursor;
    } while (cursor !== undefined);
    expect(seen).toEqual(ids.toReversed());

    const byState = await own.call("GET", "/v1/grants?state=ended", { token });
    expect(byState.body.grants).toEqual([]);
    const [first] = ids;
    const job = await own.call("GET", "/v1/grants?job=1291536064&limit=100", { token });
    expect(job.body.grants).toHaveLength(7);
    const principal = `github:token.actions.githubusercontent.com:186853002:1:1:1291536064`;
    const one = await own.call("GET", `/v1/grants?principal=${encodeURIComponent(principal)}`, {
      token,
    });
    expect(one.body.grants.map(({ id }: { id: string }) => id)).toEqual([first]);
  });

  test("who may read no profile lists their own grants", async () => {
    const token = await developer("gil");
    const asked = await ask(token, "h1");
    await world.advance(2_000);
    const listed = await world.call("GET", "/v1/grants", { token });
    expect(listed.body.grants.map(({ id }: { id: string }) => id)).toEqual([grantIn(asked).id]);
    expect(
      await world.call("GET", "/v1/grants?profile=orders-integration", { token }),
    ).toMatchObject({ status: 403, body: { code: "refused" } });
    const others = await world.call("GET", "/v1/grants?principal=person:local:ann", { token });
    expect(others.body.grants).toEqual([]);
  });

  test("a grant token lists nothing", async () => {
    const { token } = await jobGrant();
    expect(await world.call("GET", "/v1/grants", { token })).toMatchObject({ status: 403 });
  });
});

describe("ending by hand", () => {
  test("the holder releases, twice changes nothing", async () => {
    const { grant, token } = await jobGrant();
    const first = await world.call("DELETE", `/v1/grants/${grant.id}`, { token });
    expect(first).toMatchObject({
      status: 202,
      body: { grant: { state: "ending", why: "released" } },
    });
    await world.aws.settle();
    const second = await world.call("DELETE", `/v1/grants/${grant.id}`, { token });
    expect(second).toMatchObject({
      status: 202,
      body: { grant: { state: "ended", why: "released" } },
    });
    expect(grantIn(second).endedAt).toBe(grantIn(first).endedAt);
    expect(await world.call("POST", `/v1/grants/${grant.id}/credentials`, { token })).toMatchObject(
      { status: 409, body: { code: "grant_ended" } },
    );
  });

  test("the job's own identity releases it too", async () => {
    const { grant, run } = await jobGrant();
    const token = await world.jobToken({ run_id: run });
    expect(await world.call("DELETE", `/v1/grants/${grant.id}`, { token })).toMatchObject({
      status: 202,
      body: { grant: { why: "released" } },
    });
  });

  test("a person whom a rule allows revokes; others cannot, and cannot tell that it exists", async () => {
    const { grant } = await jobGrant();
    expect(
      await world.call("DELETE", `/v1/grants/${grant.id}`, { token: await stranger() }),
    ).toMatchObject({ status: 404 });
    const other = await jobGrant();
    expect(
      await world.call("DELETE", `/v1/grants/${grant.id}`, { token: other.token }),
    ).toMatchObject({ status: 404 });
    expect(
      await world.call("DELETE", `/v1/grants/${grant.id}`, { token: await owner() }),
    ).toMatchObject({ status: 202, body: { grant: { why: "revoked" } } });
  });

  test("a request that waits is withdrawn by its person", async () => {
    const token = await developer("hal");
    const asked = await ask(token, "i1");
    const answer = await world.call("DELETE", `/v1/grants/${grantIn(asked).id}`, { token });
    expect(answer).toMatchObject({
      status: 202,
      body: { grant: { state: "ended", why: "withdrawn" } },
    });
    expect(grantIn(answer).deadBy).toBeUndefined();
  });
});

describe("a dry run", () => {
  test("tells what a request would get and opens nothing", async () => {
    const before = (await world.items()).filter(({ sk }) => sk === "GRANT").length;
    const body = { profile: "orders-integration" };
    expect(
      await world.call("POST", "/v1/decisions", { token: await world.jobToken(), body }),
    ).toMatchObject({ status: 200, body: { allowed: true, rule: "orders-main" } });
    const refused = await world.call("POST", "/v1/decisions", {
      token: await world.jobToken({ ref: "refs/heads/other" }),
      body,
    });
    expect(refused).toMatchObject({
      status: 200,
      body: {
        allowed: false,
        explanation: {
          rule: "orders-main",
          failed: [{ claim: "ref", expected: "refs/heads/main", actual: "refs/heads/other" }],
        },
      },
    });
    expect((await world.items()).filter(({ sk }) => sk === "GRANT")).toHaveLength(before);
  });
});
