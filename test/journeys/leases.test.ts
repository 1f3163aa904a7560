import { MAX_RUNNING_LEASES } from "@stint/core/grant";
import { expect, test } from "vitest";
import { createWorld, grantIn, type World } from "./world.ts";

const open = async (world: World, body = {}) => {
  const answer = await world.call("POST", "/v1/grants", {
    token: await world.jobToken(),
    body: { profile: "orders-integration", ...body },
  });
  return { grant: grantIn(answer), token: String(answer.body.token) };
};

const refresh = (world: World, id: string, token: string, lease = "60s") =>
  world.call("POST", `/v1/grants/${id}/credentials`, { token, body: { lease } });

test("leases that are over make room for new ones, and deadBy stays the last one's end", async () => {
  const world = await createWorld();
  const { grant, token } = await open(world, { lease: "60s" });
  for (let i = 0; i < 4; i++) {
    await world.advance(61_000);
    const answer = await refresh(world, grant.id, token);
    expect(answer.status).toBe(200);
    const [only, ...others] = grantIn(answer).leases;
    expect(others).toEqual([]);
    expect(only?.until).toBe(grantIn(answer).deadBy);
  }
  expect(world.aws.errors).toEqual([]);
});

test("a grant has no more leases at a time than fit into it, and can still be ended", async () => {
  const world = await createWorld();
  const { grant, token } = await open(world);
  const { store } = world.stint.app("api").deps;
  const stored = await store.find(grant.id);
  if (stored?.grant.state !== "active") throw new Error("not active");
  const [one] = Object.values(stored.grant.leases);
  if (one === undefined) throw new Error("no lease");
  const many = Array.from({ length: MAX_RUNNING_LEASES - 2 }, (_, i) => [`many${i}.aws`, one]);
  while (many.length > 0)
    expect(
      await store.plan(stored.grant, Object.fromEntries(many.splice(0, 50)), []),
    ).toBeUndefined();

  expect(await refresh(world, grant.id, token)).toMatchObject({ status: 200 });
  expect(await refresh(world, grant.id, token)).toMatchObject({
    status: 429,
    body: { code: "limit_reached" },
  });
  // All of them over at once are still not too many for one write.
  await world.advance(15 * 60_000);
  expect(await refresh(world, grant.id, token)).toMatchObject({ status: 200 });
  const ended = await world.call("DELETE", `/v1/grants/${grant.id}`, { token });
  expect(ended).toMatchObject({ status: 202, body: { grant: { why: "released" } } });
});

test("a denial is out of the table a few hours after its lease, so that the role's worker reads no old ones", async () => {
  const world = await createWorld();
  const { grant, token } = await open(world, { lease: "60s" });
  await world.call("DELETE", `/v1/grants/${grant.id}`, { token });
  const denials = async () =>
    (await world.items()).filter(({ sk }) => String(sk).startsWith("DENY#")).length;
  expect(await denials()).toBe(1);
  // An hour after its end it may go; when it does is DynamoDB's, which takes its time.
  await world.advance(3 * 3_600_000);
  expect(await denials()).toBe(0);
});
