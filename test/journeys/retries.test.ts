/** An end that fails, and somebody who wants it tried again now. */
import { DisableRuleCommand, EventBridgeClient } from "@aws-sdk/client-eventbridge";
import { beforeEach, describe, expect, test } from "vitest";
import { type Revoking, revoking } from "./revoking.ts";
import { expectOver } from "./witness.ts";
import { type Answer, grantIn, inside, insideSuite } from "./world.ts";

const MINUTE = 60_000;

let at: Revoking;
let world: Revoking["world"];
let heal: () => void;
beforeEach(async () => {
  at = await revoking();
  ({ world } = at);
  await new EventBridgeClient(world.administrator).send(
    new DisableRuleCommand({ Name: "stint-sweep" }),
  );
});

const retry = async (id: string, token: string | undefined): Promise<Answer> => {
  const answer = await world.call("POST", `/v1/grants/${id}/retry`, {
    ...(token === undefined ? {} : { token }),
  });
  await world.aws.settle();
  return answer;
};

/** A grant whose end cannot be done, as long as IAM is not healed. */
async function failing(key = "1"): Promise<Answer & { readonly owner: string }> {
  const owner = await at.person("ann", "staff");
  const answer = await at.asked(owner, key);
  const down = world.aws.faults.add({ service: "iam", operation: "PutRolePolicy", kind: "refuse" });
  heal = () => world.aws.faults.remove(down);
  await world.call("DELETE", `/v1/grants/${grantIn(answer).id}`, { token: owner });
  await world.aws.settle();
  expect(await at.stateOf(answer)).toBe("ending");
  return { ...answer, owner };
}

const retried = () => at.witness.records.filter(({ fact }) => fact === "grant.retried");

insideSuite("a retry", () => {
  test("of a stuck grant ends it at once when IAM is healed, without the sweeper", async () => {
    const answer = await failing();
    const { id } = grantIn(answer);
    await world.advance(4 * MINUTE);
    const stuck = await world.call("GET", `/v1/grants/${id}`, { token: answer.owner });
    expect(grantIn(stuck)).toMatchObject({ state: "ending", stuck: true });
    expect(grantIn(stuck).error).toEqual(expect.any(String));
    heal();
    // Nobody looks at it by themselves.
    await world.advance(2 * MINUTE);
    expect(await at.stateOf(answer)).toBe("ending");
    expect(await retry(id, answer.owner)).toMatchObject({
      status: 202,
      body: { grant: { id, state: "ending" } },
    });
    await expectOver(at.witness, id, "released");
    expect(retried()).toMatchObject([{ grant: id, actor: { id: "person:local:ann" } }]);
  });

  test("while it still fails changes nothing, and may be repeated", async () => {
    const answer = await failing();
    const { id } = grantIn(answer);
    for (const times of [1, 2, 3]) {
      expect(await retry(id, answer.owner)).toMatchObject({ status: 202 });
      expect(await at.stateOf(answer)).toBe("ending");
      expect(retried()).toHaveLength(times);
    }
    heal();
    await world.advance(2 * MINUTE);
    await retry(id, answer.owner);
    await expectOver(at.witness, id, "released");
  });

  test("of a grant that is denied already, and whose worker never said so, says it", async () => {
    const owner = await at.person("ann", "staff");
    const answer = await at.asked(owner, "1");
    const { id } = grantIn(answer);
    world.aws.faults.add({
      service: "dynamodb",
      operation: "TransactWriteItems",
      kind: "refuse",
      times: 1,
      when: (input) => JSON.stringify(input).includes('"state":{"S":"ended"}'),
    });
    await world.call("DELETE", `/v1/grants/${id}`, { token: owner });
    await world.aws.settle();
    expect(await at.stateOf(answer)).toBe("ending");
    const told = await retry(id, owner);
    expect(told).toMatchObject({ status: 202, body: { grant: { state: "ended" } } });
    await expectOver(at.witness, id, "released");
  });

  test("of a grant whose leases are over ends it there and then", async () => {
    const answer = await failing();
    await world.advance(Date.parse(grantIn(answer).endsAt) - world.aws.clock.now());
    expect(await at.stateOf(answer)).toBe("ending");
    const told = await retry(grantIn(answer).id, answer.owner);
    expect(told).toMatchObject({ status: 202, body: { grant: { state: "ended" } } });
    expect(grantIn(told).deniedAt).toBeUndefined();
  });
});

insideSuite("who may have an end tried again", () => {
  test("is its own principal, and whoever may revoke it", async () => {
    const answer = await failing();
    const { id } = grantIn(answer);
    for (const token of [answer.owner, await at.owner(), await at.person("hal", "half")])
      expect(await retry(id, token)).toMatchObject({ status: 202, body: { grant: { id } } });
    expect(retried().map(({ actor }) => actor.id)).toEqual([
      "person:local:ann",
      "person:local:olga",
      "person:local:hal",
    ]);
  });

  test("is not its token, which from the end on only reads", async () => {
    const answer = await failing();
    const { id } = grantIn(answer);
    expect(await retry(id, String(answer.body.token))).toMatchObject({
      status: 401,
      body: { code: "unauthenticated" },
    });
    expect(await retry(id, undefined)).toMatchObject({ status: 401 });
    expect(retried()).toEqual([]);
  });

  test("is no stranger, to whom it does not exist, and whose try is one record", async () => {
    const answer = await failing();
    const { id } = grantIn(answer);
    const stranger = await at.person("stranger", "nobody");
    const hidden = await retry(id, stranger);
    const missing = await retry("g000000000000000", stranger);
    expect(hidden).toMatchObject({ status: 404, body: { code: "grant_not_found" } });
    expect(missing.body).toEqual({
      ...hidden.body,
      detail: hidden.body.detail.replace(id, "g000000000000000"),
    });
    const refusals = at.orders();
    expect(refusals).toMatchObject([
      { fact: "grant.refused", grant: id, code: "refused", actor: { id: "person:local:stranger" } },
    ]);
    expect(retried()).toEqual([]);
  });

  test("is not who may only read it", async () => {
    const answer = await failing();
    expect(await retry(grantIn(answer).id, await at.person("rita", "readers"))).toMatchObject({
      status: 403,
      body: { code: "refused" },
    });
    expect(retried()).toEqual([]);
  });
});

describe("what is not ending", () => {
  inside("has no end to be tried again", async () => {
    const token = await at.person("ann", "staff");
    const answer = await at.asked(token, "1");
    const { id } = grantIn(answer);
    expect(await retry(id, token)).toMatchObject({ status: 409, body: { code: "wrong_state" } });
    expect(await at.stateOf(answer)).toBe("active");
    await world.call("DELETE", `/v1/grants/${id}`, { token });
    await world.aws.settle();
    expect(await at.stateOf(answer)).toBe("ended");
    expect(await retry(id, token)).toMatchObject({ status: 409, body: { code: "wrong_state" } });
    expect(retried()).toEqual([]);
  });
});
