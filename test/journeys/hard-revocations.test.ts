/** Watermarks that somebody orders, and orders that cannot be finished at once. */
import { DeleteRolePolicyCommand, IAMClient } from "@aws-sdk/client-iam";
import { AssumeRoleCommand, STSClient } from "@aws-sdk/client-sts";
import { hardWatermark } from "@stint/core/deny-list";
import { arns } from "@stint/local/roles";
import { beforeEach, describe, expect, test } from "vitest";
import { type Revoking, revoking, sessionOf } from "./revoking.ts";
import { deniedIds, denyList, drive, ROLE, type Session, works } from "./witness.ts";
import { type Answer, grantIn, inside } from "./world.ts";

const MINUTE = 60_000;
const HARD = { role: ROLE, hard: true };

let at: Revoking;
let world: Revoking["world"];
let witness: Revoking["witness"];
beforeEach(async () => {
  at = await revoking();
  ({ world, witness } = at);
});

/** A session that Stint's table knows nothing of, made by who got hold of the broker's own credentials. */
async function behindStint(name: string): Promise<Session> {
  const { account, region } = world.aws.world;
  const broker = world.aws.credentialsFor(arns({ account, region }).role("api"), "somebody");
  const { Credentials: made } = await new STSClient({
    ...world.administrator,
    credentials: broker,
  }).send(
    new AssumeRoleCommand({
      RoleArn: ROLE,
      RoleSessionName: name,
      SourceIdentity: name,
      DurationSeconds: 3600,
    }),
  );
  return {
    grant: name,
    role: ROLE,
    accessKeyId: made?.AccessKeyId ?? "",
    secretAccessKey: made?.SecretAccessKey ?? "",
    sessionToken: made?.SessionToken ?? "",
  };
}

const watermark = async (): Promise<string | undefined> =>
  /"aws:TokenIssueTime":"([^"]+)"/.exec((await denyList(world)) ?? "")?.[1];

describe("a hard order", () => {
  test("kills sessions that nobody knows of, and none that is issued later", async () => {
    const stray = await behindStint("ghost");
    const known = await at.job();
    expect(await works(world, stray)).toBe(true);
    expect(await at.order(await at.owner(), { role: ROLE })).toMatchObject({ body: { count: 1 } });
    await world.advance(2_000);
    // By id it is nobody's.
    expect(await works(world, stray)).toBe(true);

    const answer = await at.order(await at.owner(), { ...HARD, reason: "the broker leaked" });
    expect(answer).toMatchObject({ status: 202, body: { count: 0, hits: [] } });
    await world.advance(1_000);
    expect(await works(world, stray)).toBe(false);
    expect(await works(world, sessionOf(known))).toBe(false);
    const later = await at.job();
    expect(await works(world, sessionOf(later))).toBe(true);
    expect(witness.records.filter(({ fact }) => fact.startsWith("role."))).toMatchObject([
      {
        fact: "role.hard_revoked",
        role: ROLE,
        reason: "the broker leaked",
        actor: { kind: "person", id: "person:local:olga" },
      },
      { fact: "role.watermarked", role: ROLE, actor: { kind: "revoker" } },
    ]);
    expect(at.orders()).toMatchObject([
      { why: "revoke", role: ROLE, count: 1 },
      { fact: "revocation.ordered", why: "revoke_hard", role: ROLE, count: 0 },
    ]);
  });

  test("stands beside the ids, so that each end is proved all the same", async () => {
    const known = await at.job();
    const answer = await at.order(await at.owner(), HARD);
    const { id, principal } = grantIn(known);
    expect(answer.body).toEqual({
      count: 1,
      lapsing: [],
      hits: [{ grant: id, profile: "orders-integration", principal: principal.id }],
    });
    expect(await deniedIds(world)).toEqual([id]);
    expect(await watermark()).toBeDefined();
    await world.advance(5_000);
    const told = await world.call("GET", `/v1/grants/${id}`, { token: await at.owner() });
    expect(grantIn(told)).toMatchObject({ state: "ended", provedAt: expect.any(String) });
  });

  test("leaves the list when its hour is over, at the next write", async () => {
    await at.order(await at.owner(), HARD);
    const first = await watermark();
    expect(first).toBeDefined();
    await world.advance(59 * MINUTE);
    const one = await at.job();
    await at.order(await at.owner(), { role: ROLE });
    expect(await watermark()).toBe(first);
    await world.advance(2 * MINUTE);
    const other = await at.job();
    await at.order(await at.owner(), { role: ROLE });
    expect(await watermark()).toBeUndefined();
    expect((await deniedIds(world)).toSorted()).toEqual(
      [grantIn(one).id, grantIn(other).id].toSorted(),
    );
  });

  test("is written again where somebody takes it away", async () => {
    await at.order(await at.owner(), HARD);
    const before = await watermark();
    await new IAMClient(world.administrator).send(
      new DeleteRolePolicyCommand({
        RoleName: "orders-integration",
        PolicyName: "StintRevoked",
      }),
    );
    await world.advance(MINUTE);
    expect(await watermark()).toBe(before);
  });

  inside("moves on, and is never moved back", async () => {
    await at.order(await at.owner(), HARD);
    const first = await watermark();
    await world.advance(MINUTE);
    await at.order(await at.owner(), HARD);
    const second = await watermark();
    expect(Date.parse(second ?? "")).toBeGreaterThan(Date.parse(first ?? ""));
    const { store } = world.stint.app("api").deps;
    const [record] = witness.records.filter(({ fact }) => fact === "role.hard_revoked");
    if (record === undefined) throw new Error("no order was told");
    const before = await store.role(ROLE);
    await store.orderHard(ROLE, hardWatermark(Date.parse(first ?? "")), { ...record, id: "late" });
    expect(await store.role(ROLE)).toEqual(before);
  });

  test("is for who may revoke on each profile that has the role", async () => {
    const stray = await behindStint("ghost");
    for (const body of [HARD, { ...HARD, dryRun: true }])
      expect(await at.order(await at.person("hal", "half"), body)).toMatchObject({
        status: 403,
        body: { code: "refused" },
      });
    // Of a role that no profile has, nobody may revoke on all; a stranger hears the same.
    const unknown = { role: "arn:aws:iam::000000000000:role/stint/unknown", hard: true };
    expect(await at.order(await at.owner(), unknown)).toMatchObject({ status: 403 });
    await world.advance(MINUTE);
    expect(await watermark()).toBeUndefined();
    expect(await works(world, stray)).toBe(true);
    expect(at.orders().map(({ fact, code, role }) => [fact, code, role])).toEqual([
      ["grant.refused", "refused", ROLE],
      ["grant.refused", "refused", ROLE],
      ["grant.refused", "refused", unknown.role],
    ]);
  });
});

describe("an order that cannot be finished", () => {
  const MANY = 6;
  const many = async (): Promise<Answer[]> => {
    const answers: Answer[] = [];
    for (let i = 0; i < MANY; i++) answers.push(await at.job());
    await world.advance(3_000);
    return answers;
  };

  inside(
    "because one grant cannot be ended says how many were, and goes on when repeated",
    async () => {
      const answers = await many();
      const { id } = grantIn(answers[2] as Answer); // there are more
      const down = world.aws.faults.add({
        service: "dynamodb",
        operation: "TransactWriteItems",
        kind: "refuse",
        when: (input) => JSON.stringify(input).includes(`GRANT#${id}`),
      });
      const first = await at.order(await at.owner());
      expect(first).toMatchObject({
        status: 503,
        body: { code: "unavailable", ended: MANY - 1, hint: expect.stringContaining("repeat") },
      });
      world.aws.faults.remove(down);
      expect(await at.order(await at.owner())).toMatchObject({ status: 202, body: { count: 1 } });
      for (const one of answers) expect(await at.whyOf(one)).toBe("revoked");
      expect(at.orders()).toMatchObject([
        { fact: "revocation.ordered", count: MANY - 1, error: expect.any(String) },
        { fact: "revocation.ordered", count: 1 },
      ]);
    },
  );

  inside("in time stops before its function does, and loses nothing", async () => {
    const answers = await many();
    const slow = world.aws.faults.add({
      service: "dynamodb",
      operation: "TransactWriteItems",
      kind: "delay",
      delayMs: 16_000,
    });
    const began = world.aws.clock.now();
    const first = await drive(
      world,
      world.call("POST", "/v1/revocations", { token: await at.owner(), body: {} }),
    );
    expect(first).toMatchObject({ status: 503, body: { code: "unavailable" } });
    expect(world.aws.clock.now() - began).toBeLessThan(20_000);
    world.aws.faults.remove(slow);
    const second = await at.order(await at.owner());
    expect(second.status).toBe(202);
    expect(first.body.ended + second.body.count).toBe(MANY);
    for (const one of answers) expect(await at.whyOf(one)).toBe("revoked");
  });
});
