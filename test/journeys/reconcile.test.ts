import { DynamoDBClient, PutItemCommand } from "@aws-sdk/client-dynamodb";
import { DisableRuleCommand, EventBridgeClient } from "@aws-sdk/client-eventbridge";
import {
  AttachRolePolicyCommand,
  CreateRoleCommand,
  DeleteRoleCommand,
  DeleteRolePolicyCommand,
  DetachRolePolicyCommand,
  IAMClient,
  PutRolePolicyCommand,
} from "@aws-sdk/client-iam";
import {
  CreateScheduleCommand,
  DeleteScheduleCommand,
  SchedulerClient,
  UpdateScheduleCommand,
} from "@aws-sdk/client-scheduler";
import { marshall } from "@aws-sdk/util-dynamodb";
import { document } from "@stint/aws/deny-list";
import { trustDocument } from "@stint/aws/target-role";
import type { Fact } from "@stint/core/audit";
import { beforeEach, describe, expect, test } from "vitest";
import {
  assertNothingLives,
  deniedIds,
  denyList,
  drive,
  expectOneEnd,
  intercept,
  LATEST_FIRING_MS,
  ROLE,
  scheduleOf,
  schedules,
  storedOf,
  type Witness,
  watch,
} from "./witness.ts";
import {
  type Answer,
  createWorld,
  grantIn,
  inside,
  insideSuite,
  type World,
  type WorldOptions,
} from "./world.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const NAME = "orders-integration";
const BOUNDARY = "arn:aws:iam::000000000000:policy/stint-target";
const BROKER = "arn:aws:iam::000000000000:role/stint-functions/stint-api";

let world: World;
let witness: Witness;
let runs = 8000;
const begin = async (options: WorldOptions = {}) => {
  world = await createWorld(options);
  witness = await watch(world);
};
beforeEach(() => begin());

const ask = async (body = {}) => {
  runs += 1;
  return witness.take(
    await world.call("POST", "/v1/grants", {
      token: await world.jobToken({ run_id: String(runs) }),
      body: { profile: NAME, ...body },
    }),
  );
};
const idOf = (answer: Answer) => grantIn(answer).id;
const open = async (body = {}) => idOf(await ask(body));

const release = async (answer: Answer) => {
  await world.call("DELETE", `/v1/grants/${idOf(answer)}`, { token: answer.body.token });
  await world.aws.settle();
};

/** Longer than indexes lag. */
const SEEN_MS = 5_000;

/** The night's run, and all that follows from it. */
const reconcile = async () => {
  await world.advance(SEEN_MS);
  await world.stint.invoke("reconcile", {});
  await world.advance(SEEN_MS);
};

const noSweeper = () =>
  new EventBridgeClient(world.administrator).send(new DisableRuleCommand({ Name: "stint-sweep" }));

const scheduler = () => new SchedulerClient(world.administrator);
const at = (ms: number) => `at(${new Date(ms).toISOString().slice(0, 19)})`;
const scheduleInput = (Name: string, ms: number) => ({
  Name,
  GroupName: "stint",
  ScheduleExpression: at(ms),
  FlexibleTimeWindow: { Mode: "OFF" as const },
  ActionAfterCompletion: "DELETE" as const,
  Target: {
    Arn: world.stint.settings.STINT_EXPIRE_ARN,
    RoleArn: world.stint.settings.STINT_SCHEDULER_ROLE_ARN,
    Input: JSON.stringify({ grant: Name }),
  },
});
const putSchedule = (name: string, inMs = 48 * HOUR) =>
  scheduler().send(new CreateScheduleCommand(scheduleInput(name, world.aws.clock.now() + inMs)));
const loseSchedule = (id: string) =>
  scheduler().send(new DeleteScheduleCommand({ Name: id, GroupName: "stint" }));

/** Ids that grants could have, and none has. */
const nobodys = (n: number) => `g${String(n).padStart(15, "0")}`;

const put = (item: Record<string, unknown>) =>
  new DynamoDBClient(world.administrator).send(
    new PutItemCommand({ TableName: "stint", Item: marshall(item) }),
  );
const putLife = (grantId: string, role = ROLE) =>
  put({
    pk: `ROLE#${role}`,
    sk: `LIVE#${grantId}`,
    role,
    grantId,
    until: world.aws.clock.now() + HOUR,
  });
const livesOn = async (role = ROLE) =>
  (await world.items())
    .filter(({ pk, sk }) => pk === `ROLE#${role}` && String(sk).startsWith("LIVE#"))
    .map(({ grantId }) => grantId);

const iam = () => new IAMClient(world.administrator);
const stuff = (ids: readonly string[], RoleName = NAME) =>
  iam().send(
    new PutRolePolicyCommand({
      RoleName,
      PolicyName: "StintRevoked",
      PolicyDocument: document({ ids }),
    }),
  );
const EVERYTHING = "arn:aws:iam::000000000000:policy/stint-local-target";
const deleteRole = async () => {
  await iam()
    .send(new DeleteRolePolicyCommand({ RoleName: NAME, PolicyName: "StintRevoked" }))
    .catch(() => {}); // it may have none
  await iam().send(new DetachRolePolicyCommand({ RoleName: NAME, PolicyArn: EVERYTHING }));
  await iam().send(new DeleteRoleCommand({ RoleName: NAME }));
  world.aws.iam.spread();
};
const makeRole = async (RoleName = NAME) => {
  await iam().send(
    new CreateRoleCommand({
      RoleName,
      Path: "/stint/",
      PermissionsBoundary: BOUNDARY,
      AssumeRolePolicyDocument: JSON.stringify(trustDocument(BROKER)),
    }),
  );
  await iam().send(new AttachRolePolicyCommand({ RoleName, PolicyArn: EVERYTHING }));
  world.aws.iam.spread();
};

const told = (fact: Fact) => witness.records.filter((record) => record.fact === fact);
const drifts = () => witness.records.filter(({ fact }) => fact.startsWith("drift."));
const alarms = (name: string) => world.logged.filter(({ message }) => message === name);
const calls = (service: string, operation: string) =>
  world.aws.calls().filter((call) => call.service === service && call.operation === operation)
    .length;

describe("a night in which nothing has drifted", () => {
  test("writes nothing, and touches no grant, schedule or list", async () => {
    const [live, over] = [await ask({ duration: "30m" }), await ask()];
    await release(over);
    await world.advance(3 * MINUTE);
    const before = { changes: witness.images.length, schedules: await schedules(world) };
    await reconcile();
    expect(witness.images).toHaveLength(before.changes);
    expect(await schedules(world)).toEqual(before.schedules);
    expect(await schedules(world)).toEqual([idOf(live)]);
    expect(await deniedIds(world)).toEqual([idOf(over)]);
    expect(alarms("drift")).toEqual([]);
  });

  test("is the same when it is all put right already", async () => {
    await open();
    await putSchedule(nobodys(1));
    await putLife(nobodys(1));
    await stuff([nobodys(1)]);
    await reconcile();
    expect(drifts()).toHaveLength(3);
    const before = witness.images.length;
    await reconcile();
    expect(witness.images).toHaveLength(before);
  });

  test("comes by its rule once a day", async () => {
    await putSchedule(nobodys(1));
    await world.advance(23 * HOUR);
    expect(await schedules(world)).toEqual([nobodys(1)]);
    await world.advance(2 * HOUR);
    expect(await schedules(world)).toEqual([]);
  });
});

describe("a schedule", () => {
  test("of no grant is removed, with one record and an alarm", async () => {
    await putSchedule(nobodys(1));
    await reconcile();
    expect(await schedules(world)).toEqual([]);
    expect(drifts()).toMatchObject([
      { fact: "drift.schedule_removed", grant: nobodys(1), actor: { kind: "reconciler" } },
    ]);
  });

  test("of a grant that ended long ago is removed, and the record says whose it was", async () => {
    const answer = await ask({ lease: "5m" });
    await release(answer);
    await world.advance(20 * MINUTE);
    await putSchedule(idOf(answer));
    await reconcile();
    expect(await schedules(world)).toEqual([]);
    expect(drifts().filter(({ grant }) => grant !== undefined)).toMatchObject([
      { fact: "drift.schedule_removed", grant: idOf(answer), profile: NAME, state: "ended" },
    ]);
    await expectOneEnd(witness, idOf(answer));
  });

  test("of a grant that has just ended is left to the stream's reader", async () => {
    const answer = await ask();
    world.aws.faults.add({ service: "scheduler", operation: "DeleteSchedule", kind: "refuse" });
    await release(answer);
    await reconcile();
    expect(await storedOf(world, idOf(answer))).toMatchObject({ grant: { state: "ended" } });
    expect(drifts()).toEqual([]);
    world.aws.faults.clear();
    await world.advance(5 * MINUTE);
    expect(await schedules(world)).toEqual([]);
  });

  test("of a grant that is ending is left, and goes with its end", async () => {
    const answer = await ask({ duration: "30m", lease: "1h" });
    world.aws.faults.add({ service: "iam", operation: "PutRolePolicy", kind: "refuse" });
    await release(answer);
    await world.advance(20 * MINUTE);
    await reconcile();
    expect(await storedOf(world, idOf(answer))).toMatchObject({ grant: { state: "ending" } });
    expect(await schedules(world)).toEqual([idOf(answer)]);
    world.aws.faults.clear();
    await world.advance(10 * MINUTE);
    expect(await schedules(world)).toEqual([]);
    expect(drifts()).toEqual([]);
  });

  inside("whose name is no grant's is left alone, and told in the log", async () => {
    await putSchedule("somebody-elses");
    await reconcile();
    expect(await schedules(world)).toEqual(["somebody-elses"]);
    expect(drifts()).toEqual([]);
    expect(world.logged.find(({ message }) => message === "reconcile")?.details).toMatchObject({
      strayedSchedules: { looked: 1, corrected: 0, failed: 0, strange: ["somebody-elses"] },
    });
  });

  test("is found on whatever page it is listed", async () => {
    for (let n = 0; n < 250; n++) await putSchedule(nobodys(n));
    const live = await open({ duration: "30m" });
    await reconcile();
    expect(await schedules(world)).toEqual([live]);
    expect(new Set(drifts().map(({ grant }) => grant)).size).toBe(250);
  });
});

describe("a live grant", () => {
  test("without a schedule gets one, which ends it with nobody's help", async () => {
    const answer = await ask({ duration: "30m" });
    const id = idOf(answer);
    await loseSchedule(id);
    await reconcile();
    const { endsAt } = (await storedOf(world, id)).grant as { endsAt: number }; // it is active
    expect(await scheduleOf(world, id)).toBe(endsAt);
    expect(drifts()).toMatchObject([
      { fact: "drift.schedule_made", grant: id, state: "active", endsAt },
    ]);
    await noSweeper();
    await world.advance(endsAt - world.aws.clock.now() + LATEST_FIRING_MS);
    expect(await storedOf(world, id)).toMatchObject({ grant: { state: "ended", why: "expired" } });
    await assertNothingLives(witness);
  });

  test.each([
    ["too late", { later: 10 * MINUTE }],
    ["too early", { later: -10 * MINUTE }],
    ["never", { later: 0, State: "DISABLED" as const }],
  ])("whose schedule fires %s gets the right one", async (_, { later, ...rest }) => {
    const id = await open({ duration: "30m" });
    const { endsAt } = (await storedOf(world, id)).grant as { endsAt: number }; // it is active
    await scheduler().send(
      new UpdateScheduleCommand({ ...scheduleInput(id, endsAt + later), ...rest }),
    );
    await reconcile();
    expect(await scheduleOf(world, id)).toBe(endsAt);
    expect(drifts()).toMatchObject([{ fact: "drift.schedule_moved", grant: id }]);
    await reconcile();
    expect(drifts()).toHaveLength(1);
    await world.advance(30 * MINUTE);
    await assertNothingLives(witness);
  });

  test("that ends within the minute is the sweeper's", async () => {
    const id = await open({ duration: "5m" });
    await loseSchedule(id);
    await world.advance(5 * MINUTE - 30_000);
    await noSweeper();
    await reconcile();
    await world.advance(MINUTE);
    await reconcile();
    expect(await storedOf(world, id)).toMatchObject({ grant: { state: "active" } });
    expect(await schedules(world)).toEqual([]);
    expect(drifts()).toEqual([]);
  });
});

describe("races", () => {
  test("a grant that is opened while the night looks is left as its issuer makes it", async () => {
    let opened = "";
    intercept(world.aws.services.scheduler.operations, "ListSchedules", async (next) => {
      const listed = await next();
      if (opened === "") opened = await open({ duration: "30m" });
      return listed;
    });
    await putSchedule(nobodys(1));
    await reconcile();
    expect(await storedOf(world, opened)).toMatchObject({ grant: { state: "active" } });
    expect(await schedules(world)).toEqual([opened]);
    expect(drifts()).toHaveLength(1);
  });

  inside("a grant that is still being opened has its issuer's time", async () => {
    await begin({ readLagMs: 0 });
    witness.onMint = async () => {
      await world.stint.invoke("reconcile", {});
    };
    world.aws.faults.add({ service: "scheduler", operation: "CreateSchedule", kind: "refuse" });
    await ask({ duration: "30m" });
    expect(calls("scheduler", "GetSchedule")).toBe(0);
    expect(drifts()).toEqual([]);
  });

  test("a grant that ends while its schedule is asked for gets none", async () => {
    const answer = await ask({ duration: "30m" });
    await loseSchedule(idOf(answer));
    intercept(world.aws.services.scheduler.operations, "GetSchedule", async (next) => {
      await world.call("DELETE", `/v1/grants/${idOf(answer)}`, { token: answer.body.token });
      return next();
    });
    await reconcile();
    expect(await schedules(world)).toEqual([]);
    expect(drifts()).toEqual([]);
  });

  test("a grant that ends while its schedule is made keeps none", async () => {
    const answer = await ask({ duration: "30m" });
    const id = idOf(answer);
    await loseSchedule(id);
    let times = 0;
    intercept(world.aws.services.scheduler.operations, "CreateSchedule", async (next) => {
      times += 1;
      await world.call("DELETE", `/v1/grants/${id}`, { token: answer.body.token });
      // Whoever removes its schedule comes, and finds none.
      await world.aws.settle();
      expect(calls("scheduler", "DeleteSchedule")).toBe(2);
      return next();
    });
    await reconcile();
    expect(times).toBe(1);
    expect(await storedOf(world, id)).toMatchObject({ grant: { state: "ended" } });
    expect(await schedules(world)).toEqual([]);
  });

  test("two nights at once put it right, and nothing else", async () => {
    const id = await open({ duration: "30m" });
    await loseSchedule(id);
    await putSchedule(nobodys(1));
    await putLife(nobodys(1));
    await world.advance(SEEN_MS);
    await Promise.allSettled([
      world.stint.invoke("reconcile", {}),
      world.stint.invoke("reconcile", {}),
    ]);
    await world.aws.settle();
    expect(await schedules(world)).toEqual([id]);
    expect(await livesOn()).toEqual([id]);
    expect(told("drift.life_removed")).toHaveLength(1);
  });
});

describe("a note that a grant lives on a role", () => {
  test("goes when the grant does not, in one write with its record", async () => {
    const [live, over] = [await open({ duration: "30m" }), await ask()];
    await release(over);
    await putLife(idOf(over));
    await putLife(nobodys(1));
    expect(await livesOn()).toHaveLength(3);
    await reconcile();
    expect(await livesOn()).toEqual([live]);
    expect(drifts().map(({ fact, grant, role }) => ({ fact, grant, role }))).toEqual(
      expect.arrayContaining([
        { fact: "drift.life_removed", grant: idOf(over), role: ROLE },
        { fact: "drift.life_removed", grant: nobodys(1), role: ROLE },
      ]),
    );
    expect(drifts()).toHaveLength(2);
  });

  inside("stays when the grant has come to live since it was read", async () => {
    const id = await open();
    const { store } = world.stint.app("reconcile").deps;
    const record = {
      id: "01J",
      time: world.aws.clock.now(),
      fact: "drift.life_removed",
      actor: { kind: "reconciler", id: "reconciler" },
      policyVersion: "x",
    } as const;
    await expect(store.removeLife(ROLE, id, record)).resolves.toBe(false);
    await expect(store.removeLife(ROLE, nobodys(1), record)).resolves.toBe(false);
    expect(await livesOn()).toEqual([id]);
    expect(drifts()).toEqual([]);
  });

  test("goes also from a role that no profile names any more", async () => {
    const role = "arn:aws:iam::000000000000:role/stint/old";
    await makeRole("old");
    await put({ pk: `ROLE#${role}`, sk: "ROLE", role, until: 1, due: "ROLES", dueAt: 1 });
    await putLife(nobodys(1), role);
    await stuff([nobodys(2)], "old");
    await reconcile();
    expect(await livesOn(role)).toEqual([]);
    expect(await deniedIds(world, role)).toEqual([nobodys(0)]);
  });
});

describe("a deny list", () => {
  test("loses what is over and keeps what runs, in one write with one record", async () => {
    const [short, long] = [await ask({ lease: "2m" }), await ask({ duration: "30m", lease: "1h" })];
    await release(short);
    await release(long);
    await stuff([nobodys(7), idOf(short), idOf(long)]);
    await world.advance(5 * MINUTE);
    expect(await deniedIds(world)).toHaveLength(3);
    const before = calls("iam", "PutRolePolicy");
    await reconcile();
    expect(await deniedIds(world)).toEqual([idOf(long)]);
    expect(calls("iam", "PutRolePolicy")).toBe(before + 1);
    expect(drifts()).toMatchObject([
      { fact: "drift.ids_removed", role: ROLE, actor: { kind: "reconciler" } },
    ]);
    // Everything that ends early leaves such ids behind: nobody is woken for them.
    expect(alarms("drift")).toEqual([]);
  });

  test("loses a watermark that is over, which is told as a removal and nothing else", async () => {
    await iam().send(
      new PutRolePolicyCommand({
        RoleName: NAME,
        PolicyName: "StintRevoked",
        PolicyDocument: document({ ids: [], watermark: world.aws.clock.now() - HOUR }),
      }),
    );
    await reconcile();
    expect(await denyList(world)).toBe(document({ ids: [] }));
    expect(witness.records.map(({ fact }) => fact)).toEqual(["drift.ids_removed"]);
  });

  test("of which nothing runs any more denies nobody", async () => {
    const answer = await ask({ lease: "2m" });
    await release(answer);
    await world.advance(2 * HOUR);
    expect(await deniedIds(world)).toEqual([idOf(answer)]);
    await reconcile();
    expect(await deniedIds(world)).toEqual([nobodys(0)]);
    expect(told("drift.ids_removed")).toHaveLength(1);
  });
});

describe("a role that is gone", () => {
  test("ends its live grants, which say so, and is told once", async () => {
    const ids = [await open({ duration: "30m", lease: "1h" }), await open({ duration: "30m" })];
    await deleteRole();
    await world.advance(10 * MINUTE);
    for (const id of ids)
      expect(await storedOf(world, id)).toMatchObject({ grant: { state: "active" } });
    await reconcile();
    await world.advance(10 * MINUTE);
    for (const id of ids) {
      expect(await storedOf(world, id)).toMatchObject({
        grant: { state: "ended", why: "target_gone" },
      });
      expect(told("grant.ended").filter(({ grant }) => grant === id)).toMatchObject([
        { why: "target_gone", targetGone: true },
      ]);
    }
    expect(told("role.gone")).toMatchObject([{ role: ROLE }]);
    await reconcile();
    await world.advance(10 * MINUTE);
    expect(told("role.gone")).toHaveLength(1);
    expect(await schedules(world)).toEqual([]);
    await assertNothingLives(witness);
  });

  test("ends what was ending, whose reason stays", async () => {
    const answer = await ask({ duration: "30m", lease: "1h" });
    world.aws.faults.add({ service: "iam", operation: "PutRolePolicy", kind: "refuse" });
    await release(answer);
    await world.advance(12 * MINUTE);
    expect(await storedOf(world, idOf(answer))).toMatchObject({
      grant: { state: "ending", why: "released", stuck: true },
    });
    await deleteRole();
    world.aws.faults.clear();
    await world.advance(5 * MINUTE);
    expect(await storedOf(world, idOf(answer))).toMatchObject({
      grant: { state: "ended", why: "released" },
    });
    expect(told("grant.ended")).toMatchObject([{ why: "released", targetGone: true }]);
    expect(told("role.gone")).toHaveLength(1);
    await assertNothingLives(witness);
  });

  inside("is an alarm once, not each minute", async () => {
    await open({ duration: "30m", lease: "1h" });
    await release(await ask({ duration: "30m", lease: "1h" }));
    await deleteRole();
    await reconcile();
    await world.advance(30 * MINUTE);
    expect(alarms("target_gone")).toHaveLength(1);
    await reconcile();
    expect(alarms("target_gone")).toHaveLength(1);
    expect(alarms("revoke_failed")).toEqual([]);
  });

  test("and of which no grant is says nothing", async () => {
    await deleteRole();
    await reconcile();
    await world.advance(5 * MINUTE);
    expect(witness.records).toEqual([]);
    expect(witness.images).toEqual([]);
  });

  test("and is made again serves new grants, whose ends are denied as ever", async () => {
    const before = await ask({ duration: "30m", lease: "1h" });
    await deleteRole();
    await reconcile();
    await makeRole();
    const after = await ask({ duration: "30m", lease: "1h" });
    expect(after.status).toBe(201);
    await reconcile();
    expect(await storedOf(world, idOf(after))).toMatchObject({ grant: { state: "active" } });
    await release(after);
    expect(await deniedIds(world)).toContain(idOf(after));
    await world.advance(MINUTE);
    const { grant } = await storedOf(world, idOf(after));
    expect(grant).toMatchObject({ state: "ended", why: "released" });
    expect(grant).toHaveProperty("provedAt");
    expect(await storedOf(world, idOf(before))).toMatchObject({ grant: { why: "target_gone" } });
    expect(told("role.gone")).toHaveLength(1);
    await assertNothingLives(witness);
  });

  test("and is made again before anybody looked ends nothing, and has its list again", async () => {
    const [live, over] = [
      await ask({ duration: "30m", lease: "1h" }),
      await ask({ duration: "30m", lease: "1h" }),
    ];
    await release(over);
    await deleteRole();
    await makeRole();
    await world.advance(2 * MINUTE);
    await reconcile();
    expect(await deniedIds(world)).toEqual([idOf(over)]);
    expect(await storedOf(world, idOf(live))).toMatchObject({ grant: { state: "active" } });
    expect(told("role.gone")).toEqual([]);
    await assertNothingLives(witness);
  });

  inside("is not believed to be where the write is taken", async () => {
    const answer = await ask({ duration: "30m", lease: "1h" });
    await release(await ask({ duration: "30m", lease: "1h" }));
    world.aws.faults.add({
      service: "iam",
      operation: "GetRolePolicy",
      times: 1,
      kind: "refuse",
      error: {
        code: "NoSuchEntity",
        status: 404,
        message: `The role with name ${NAME} cannot be found.`,
      },
    });
    await reconcile();
    expect(await storedOf(world, idOf(answer))).toMatchObject({ grant: { state: "active" } });
    expect(told("role.gone")).toEqual([]);
    expect(await deniedIds(world)).toHaveLength(1);
  });
});

insideSuite("whatever fails", () => {
  const FACTS = [
    "drift.schedule_removed",
    "drift.schedule_made",
    "drift.schedule_moved",
    "drift.life_removed",
    "drift.ids_removed",
  ] as const satisfies readonly Fact[];

  /** One of each drift. */
  const drifted = async () => {
    const [lost, moved] = [await open({ duration: "30m" }), await open({ duration: "30m" })];
    await loseSchedule(lost);
    const { endsAt } = (await storedOf(world, moved)).grant as { endsAt: number }; // it is active
    await scheduler().send(new UpdateScheduleCommand(scheduleInput(moved, endsAt + MINUTE)));
    await putSchedule(nobodys(1));
    await putSchedule(nobodys(2));
    await putLife(nobodys(1));
    await putLife(nobodys(2));
    await stuff([nobodys(1)]);
    await world.advance(SEEN_MS);
    return { lost, moved };
  };
  const expectRight = async ({ lost, moved }: Awaited<ReturnType<typeof drifted>>) => {
    expect((await schedules(world)).toSorted()).toEqual([lost, moved].toSorted());
    for (const id of [lost, moved]) {
      const { endsAt } = (await storedOf(world, id)).grant as { endsAt: number }; // it is active
      expect(await scheduleOf(world, id)).toBe(endsAt);
    }
    expect((await livesOn()).toSorted()).toEqual([lost, moved].toSorted());
    expect(await deniedIds(world)).toEqual([nobodys(0)]);
    for (const fact of FACTS) expect(told(fact), fact).not.toEqual([]);
    const removed = told("drift.schedule_removed").map(({ grant }) => grant);
    expect(new Set(removed)).toEqual(new Set([nobodys(1), nobodys(2)]));
    expect(told("drift.life_removed")).toHaveLength(2);
  };

  const CALLS = [
    ["dynamodb", "Query"],
    ["dynamodb", "GetItem"],
    ["dynamodb", "PutItem"],
    ["dynamodb", "TransactWriteItems"],
    ["scheduler", "ListSchedules"],
    ["scheduler", "GetSchedule"],
    ["scheduler", "CreateSchedule"],
    ["scheduler", "DeleteSchedule"],
    ["sqs", "SendMessage"],
  ] as const;

  test.each(
    CALLS.flatMap((call) =>
      (["refuse", "fail-after"] as const).map((kind) => [...call, kind] as const),
    ),
  )(
    "%s %s, which once is %s, is told, and the next run puts right what is left",
    async (service, operation, kind) => {
      await begin({ maxAttempts: 1 });
      const grants = await drifted();
      // Of the two that are asked for one is not there, and that is said before anything else.
      const times = operation === "GetSchedule" ? 2 : 1;
      world.aws.faults.add({ service, operation, kind, times });
      await expect(world.stint.invoke("reconcile", {})).rejects.toThrow(
        "not all could be looked at",
      );
      world.aws.faults.clear();
      await world.aws.settle();
      // One call failed, and one thing of one kind at most was not put right for it.
      expect(new Set(drifts().map(({ fact }) => fact)).size).toBeGreaterThanOrEqual(3);
      await reconcile();
      await expectRight(grants);
      await world.advance(30 * MINUTE);
      await assertNothingLives(witness);
    },
  );

  test("a run that is cut off anywhere is continued by the next", async () => {
    const grants = await drifted();
    for (const operation of ["GetSchedule", "DeleteSchedule", "CreateSchedule"])
      world.aws.faults.add({
        service: "scheduler",
        operation,
        kind: "delay",
        delayMs: HOUR,
        times: 1,
      });
    await expect(drive(world, world.stint.invoke("reconcile", {}), 5_000)).rejects.toThrow(
      "timed out",
    );
    world.aws.faults.clear();
    await reconcile();
    await expectRight(grants);
  });

  test("a grant that cannot be read keeps no other from being looked at", async () => {
    const grants = await drifted();
    await put({
      pk: `GRANT#${nobodys(9)}`,
      sk: "GRANT",
      due: "DUE#0",
      dueAt: 1,
      version: 1,
      grant: { state: "strange" },
    });
    await world.advance(SEEN_MS);
    await expect(world.stint.invoke("reconcile", {})).rejects.toThrow("not all could be looked at");
    await world.advance(SEEN_MS);
    await expectRight(grants);
  });

  test("one thing that fails keeps nothing on the pages after it from being looked at", async () => {
    await begin({ maxAttempts: 1 });
    for (let n = 0; n < 300; n++) await putSchedule(nobodys(n));
    world.aws.faults.add({
      service: "scheduler",
      operation: "DeleteSchedule",
      kind: "refuse",
      times: 1,
    });
    await expect(world.stint.invoke("reconcile", {})).rejects.toThrow("not all could be looked at");
    expect(await schedules(world)).toHaveLength(1);
  });

  test("a list that breaks off has what was had of it put right", async () => {
    await begin({ maxAttempts: 1 });
    for (let n = 0; n < 150; n++) await putSchedule(nobodys(n));
    world.aws.faults.add({
      service: "scheduler",
      operation: "ListSchedules",
      kind: "refuse",
      skip: 1,
      times: 1,
    });
    await expect(world.stint.invoke("reconcile", {})).rejects.toThrow("not all could be looked at");
    expect(await schedules(world)).toHaveLength(50);
  });

  test("an alarm is raised for each thing that was put right, which names it", async () => {
    const { lost, moved } = await drifted();
    await reconcile();
    expect(alarms("drift").map(({ details }) => details)).toEqual(
      expect.arrayContaining(
        [
          { fact: "drift.schedule_removed", grant: nobodys(1) },
          { fact: "drift.schedule_made", grant: lost },
          { fact: "drift.schedule_moved", grant: moved },
          { fact: "drift.life_removed", grant: nobodys(2), role: ROLE },
        ].map((one) => expect.objectContaining(one)),
      ),
    );
    expect(alarms("drift")).toHaveLength(6);
    expect(world.logged.find(({ message }) => message === "reconcile")?.details).toMatchObject({
      strayedSchedules: { looked: expect.any(Number), corrected: 2, failed: 0 },
      missingSchedules: { looked: 2, corrected: 2, failed: 0 },
      strayedLives: { looked: 4, corrected: 2, failed: 0 },
      exceedingLists: { looked: 1, failed: 0 },
    });
  });
});
