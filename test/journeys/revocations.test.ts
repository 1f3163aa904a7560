/** One order that ends everything of a kind. */
import { beforeEach, describe, expect, test } from "vitest";
import { type Revoking, revoking, sessionOf } from "./revoking.ts";
import { assertNothingLives, deniedIds, drive, ROLE, storedOf, works } from "./witness.ts";
import { type Answer, grantIn, inside } from "./world.ts";

const PERSON = "person:local:ann";

let at: Revoking;
let world: Revoking["world"];
let witness: Revoking["witness"];
beforeEach(async () => {
  at = await revoking();
  ({ world, witness } = at);
});

describe("an order", () => {
  test("ends everything live, whatever state it is in, and says how many", async () => {
    const dev = await at.person("dev", "developers");
    const pending = await at.asked(dev, "pending");
    const ready = await at.asked(dev, "ready");
    const approval = { decision: "approve", reason: "fine" };
    await world.call("POST", `/v1/grants/${grantIn(ready).id}/approval`, {
      token: await at.person("amy", "approvers"),
      body: approval,
    });
    const active = [await at.job(), await at.job("reports"), await at.job("billing")];
    const over = await at.job();
    await world.call("DELETE", `/v1/grants/${grantIn(over).id}`, { token: over.body.token });
    expect(await at.stateOf(ready)).toBe("ready");

    const answer = await at.order(await at.owner(), { reason: "a key leaked" });
    expect(answer).toMatchObject({ status: 202, body: { count: 5, lapsing: [] } });
    expect(answer.body).not.toHaveProperty("hits");
    for (const one of [pending, ready, ...active]) expect(await at.whyOf(one)).toBe("revoked");
    expect(await at.whyOf(over)).toBe("released");
    await world.advance(1_000);
    for (const one of active) expect(await works(world, sessionOf(one))).toBe(false);
    const ended = witness.records.filter(({ why }) => why === "revoked");
    expect(ended.length).toBeGreaterThanOrEqual(5);
    for (const { fact, actor, reason } of ended) {
      if (fact !== "grant.ending") continue;
      expect(actor).toMatchObject({ kind: "person", id: "person:local:olga" });
      expect(reason).toBe("a key leaked");
    }
    expect(at.orders()).toMatchObject([
      { fact: "revocation.ordered", count: 5, reason: "a key leaked", actor: { kind: "person" } },
    ]);
    await assertNothingLives(witness);
  });

  test("finds also what the indexes have not heard of when it comes", async () => {
    const answer = await at.job();
    const dry = await at.order(await at.owner(), { dryRun: true });
    expect(dry).toMatchObject({ status: 202, body: { count: 0 } });
    expect(await at.stateOf(answer)).toBe("active");
    expect(await at.order(await at.owner())).toMatchObject({ body: { count: 1 } });
    expect(await at.whyOf(answer)).toBe("revoked");
  });

  inside("takes the session from an issuer who is still at work", async () => {
    const token = await at.owner();
    const body = { role: ROLE };
    let pressed: Promise<Answer> | undefined;
    witness.onMint = async ({ grant }) => {
      pressed = world.call("POST", "/v1/revocations", { token, body });
      while ((await storedOf(world, grant)).grant.state === "opening")
        await new Promise(setImmediate);
    };
    expect(await drive(world, at.job())).toMatchObject({
      status: 409,
      body: { code: "grant_ended" },
    });
    expect(await drive(world, Promise.resolve(pressed))).toMatchObject({ body: { count: 1 } });
    await assertNothingLives(witness);
  });

  test("that finds nothing is told all the same, as one record", async () => {
    const answer = await at.order(await at.owner(), { principal: PERSON, reason: "she left" });
    expect(answer).toMatchObject({ status: 202, body: { count: 0, lapsing: [] } });
    expect(at.orders()).toMatchObject([
      {
        fact: "revocation.ordered",
        count: 0,
        reason: "she left",
        principal: { kind: "person", id: PERSON },
      },
    ]);
  });

  test("about one profile, principal or role ends what is of it and no more", async () => {
    const ann = await at.person("ann", "staff");
    const hers = [await at.asked(ann, "1"), await at.asked(ann, "2", "billing")];
    const orders = await at.job();
    const reports = await at.job("reports");
    const billing = await at.job("billing");
    expect(await at.order(await at.owner(), { principal: PERSON })).toMatchObject({
      body: { count: 2 },
    });
    for (const one of hers) expect(await at.whyOf(one)).toBe("revoked");
    expect(await at.order(await at.owner(), { profile: "reports" })).toMatchObject({
      body: { count: 1 },
    });
    expect(await at.whyOf(reports)).toBe("revoked");
    expect(await at.whyOf(orders)).toBe("active");
    const again = await at.job("reports");
    expect(await at.order(await at.owner(), { role: ROLE })).toMatchObject({ body: { count: 2 } });
    for (const one of [orders, again]) expect(await at.whyOf(one)).toBe("revoked");
    expect(await at.stateOf(billing)).toBe("active");
    expect(await works(world, sessionOf(billing))).toBe(true);
  });

  test("as a dry run changes nothing but the log", async () => {
    const answers = [await at.job(), await at.job("billing")];
    await world.advance(3_000);
    const changing = async () => (await world.items()).filter(({ sk }) => sk !== "DECISION");
    const before = await changing();
    const answer = await at.order(await at.owner(), { role: ROLE, hard: true, dryRun: true });
    expect(answer).toMatchObject({ status: 202, body: { count: 1, lapsing: [] } });
    expect(answer.body.hits).toEqual([
      {
        grant: grantIn(answers[0] as Answer).id,
        profile: "orders-integration",
        principal: expect.stringContaining("github:"),
      },
    ]);
    await world.advance(2_000);
    expect(await changing()).toEqual(before);
    expect(await deniedIds(world)).toEqual([]);
    expect(at.orders()).toMatchObject([{ fact: "decision.made", why: "revoke_hard", count: 1 }]);
  });

  inside("says which leases nobody can end early, and when they are over", async () => {
    Object.assign(world.stint.app("api").deps.target, { revocability: () => "lapse" });
    const answer = await at.job("billing");
    await world.advance(60_000);
    const again = await world.call("POST", `/v1/grants/${grantIn(answer).id}/credentials`, {
      token: answer.body.token,
    });
    const { body } = await at.order(await at.owner(), { profile: "billing" });
    expect(body).toEqual({
      count: 1,
      lapsing: [
        {
          grant: grantIn(answer).id,
          target: "aws",
          until: again.body.credentials.aws.expiration,
        },
      ],
    });
    expect(await works(world, sessionOf(answer))).toBe(true);
    await world.advance(Date.parse(body.lapsing[0].until) - world.aws.clock.now());
    expect(await works(world, sessionOf(answer))).toBe(false);
  });
});

describe("who may give it", () => {
  test("is whom a rule lets revoke, each within their own profiles", async () => {
    const mine = await at.job();
    const others = [await at.job("reports"), await at.job("billing")];
    const half = await at.person("hal", "half");
    // Of one role, and of the same principal: still not theirs.
    for (const body of [{ role: ROLE, dryRun: true }, { dryRun: true }]) {
      await world.advance(3_000);
      expect(await at.order(half, body)).toMatchObject({ status: 202, body: { count: 1 } });
    }
    expect(await at.order(half)).toMatchObject({ status: 202, body: { count: 1, lapsing: [] } });
    expect(await at.whyOf(mine)).toBe("revoked");
    for (const one of others) expect(await at.stateOf(one)).toBe("active");
    const principal = grantIn(others[1] as Answer).principal.id;
    expect(await at.order(half, { principal })).toMatchObject({ body: { count: 0 } });
    expect(await at.stateOf(others[1] as Answer)).toBe("active");
  });

  test("may be a job, where a rule says so", async () => {
    const answer = await at.job();
    const guard = await world.jobToken({ repository_id: "1" });
    expect(await at.order(guard, { profile: "orders-integration" })).toMatchObject({
      status: 202,
      body: { count: 1 },
    });
    expect(await at.whyOf(answer)).toBe("revoked");
  });

  test.each([
    ["somebody who may request", "staff", {}],
    ["somebody who may read", "readers", {}],
    ["a stranger", "nobody", { principal: "person:local:stranger" }],
    ["a stranger, about a role", "nobody", { role: ROLE }],
    ["a stranger, trying it out", "nobody", { dryRun: true }],
  ])("is not %s, and the try is one record", async (_, group, body) => {
    const answer = await at.job();
    const refused = await at.order(await at.person("stranger", group), body);
    expect(refused).toMatchObject({ status: 403, body: { code: "refused" } });
    expect(await at.stateOf(answer)).toBe("active");
    expect(at.orders()).toMatchObject([
      { fact: "grant.refused", code: "refused", actor: { id: "person:local:stranger" } },
    ]);
  });

  test("learns nothing of a profile that is not theirs, not even that it exists", async () => {
    const half = await at.person("hal", "half");
    const hidden = await at.order(half, { profile: "billing" });
    const missing = await at.order(half, { profile: "nonsense" });
    expect(hidden).toMatchObject({ status: 403, body: { code: "refused" } });
    expect(hidden.body).toEqual(missing.body);
    expect(at.orders()).toMatchObject([{ profile: "billing" }, { profile: "nonsense" }]);
  });

  test("is never who has a grant's token alone, and nobody unknown", async () => {
    const answer = await at.job();
    for (const token of [String(answer.body.token), "nonsense", `${answer.body.token}x`])
      expect(await at.order(token, { dryRun: true })).toMatchObject({
        status: 401,
        body: { code: "unauthenticated" },
      });
    expect(await at.stateOf(answer)).toBe("active");
    expect(at.orders()).toEqual([]);
  });
});

describe("an order that is not one", () => {
  test.each([
    ["two kinds", { profile: "billing", role: ROLE }, /exclude each other/],
    ["all kinds", { profile: "billing", role: ROLE, principal: PERSON }, /exclude each other/],
    ["hard without a role", { hard: true }, /name it/],
    ["hard about a profile", { hard: true, profile: "billing" }, /name it/],
    ["an unknown field", { profil: "billing" }, /profil is no field/],
    ["a role that is none", { role: "orders" }, /not the ARN/],
    ["a role elsewhere", { role: "arn:aws:iam::000000000000:role/admin" }, /not the ARN/],
    ["a word for yes", { role: ROLE, hard: "true" }, /hard: must be boolean/],
    ["null", { profile: null }, /profile/],
    ["an empty profile", { profile: "" }, /profile/],
    ["a list", ["billing"], /object/],
  ])("%s is a bad request and ends nothing", async (_, body, says) => {
    const answer = await at.job();
    const told = await at.order(await at.owner(), body);
    expect(told).toMatchObject({ status: 400, body: { code: "invalid_request" } });
    expect(told.body.detail).toMatch(says);
    expect(await at.stateOf(answer)).toBe("active");
  });

  test("no body is not everything", async () => {
    const answer = await at.job();
    expect(await world.call("POST", "/v1/revocations", { token: await at.owner() })).toMatchObject({
      status: 400,
    });
    expect(await at.stateOf(answer)).toBe("active");
  });
});
