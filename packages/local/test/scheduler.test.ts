import {
  CreateScheduleCommand,
  CreateScheduleGroupCommand,
  DeleteScheduleCommand,
  DeleteScheduleGroupCommand,
  GetScheduleCommand,
  GetScheduleGroupCommand,
  ListScheduleGroupsCommand,
  ListSchedulesCommand,
  UpdateScheduleCommand,
} from "@aws-sdk/client-scheduler";
import { DeleteQueueCommand, SetQueueAttributesCommand } from "@aws-sdk/client-sqs";
import { describe, expect, test } from "vitest";
import { scheduler as createScheduler } from "../src/services/scheduler.ts";
import { failure, messaging } from "./messaging.ts";

type Input = CreateScheduleCommand["input"];

const setUp = async () => {
  const world = messaging();
  const { scheduler } = world;
  const queue = await world.createQueue("fired");
  const dead = await world.createQueue("dead");
  const roleArn = await world.createRole("scheduler", "scheduler.amazonaws.com");
  const input = (more: Partial<Input> = {}): Input => ({
    Name: "g1",
    ScheduleExpression: "at(2026-01-05T12:10:00)",
    FlexibleTimeWindow: { Mode: "OFF" },
    ...more,
    Target: { Arn: queue.arn, RoleArn: roleArn, Input: "{}", ...more.Target },
  });
  const create = (more: Partial<Input> = {}) =>
    scheduler.send(new CreateScheduleCommand(input(more)));
  const update = (more: Partial<Input> = {}) =>
    scheduler.send(new UpdateScheduleCommand(input(more)));
  const get = (Name = "g1", GroupName?: string) =>
    scheduler.send(new GetScheduleCommand({ Name, GroupName }));
  /** How many messages have arrived; each is counted once. */
  const fired = async () => (await world.receive(queue.url, { VisibilityTimeout: 43_200 })).length;
  return { ...world, queue, dead, roleArn, input, create, update, get, fired };
};

const target = (more: Partial<NonNullable<Input["Target"]>>) =>
  // The cast leaves out what setUp fills in.
  more as NonNullable<Input["Target"]>;

const minutes = 60_000;

describe("one-time schedules", () => {
  test("a schedule fires once, at its time", async () => {
    const { create, aws, fired } = await setUp();
    await create();
    await aws.advance(10 * minutes - 1);
    expect(await fired()).toBe(0);
    await aws.advance(1);
    expect(await fired()).toBe(1);
    await aws.advance(600 * minutes);
    expect(await fired()).toBe(0);
  });

  test("the wall time is that of its time zone", async () => {
    const { create, aws, fired } = await setUp();
    await create({
      ScheduleExpression: "at(2026-01-05T13:10:00)",
      ScheduleExpressionTimezone: "Europe/Berlin",
    });
    await aws.advance(10 * minutes - 1);
    expect(await fired()).toBe(0);
    await aws.advance(1);
    expect(await fired()).toBe(1);
  });

  test("its input tells the schedule, the time and the attempt", async () => {
    const { create, aws, receive, queue } = await setUp();
    const Input =
      '{"arn":"<aws.scheduler.schedule-arn>","time":"<aws.scheduler.scheduled-time>","attempt":<aws.scheduler.attempt-number>,"id":"g1"}';
    const { ScheduleArn } = await create({ Target: target({ Input }) });
    expect(ScheduleArn).toBe("arn:aws:scheduler:us-east-1:000000000000:schedule/default/g1");
    await aws.advance(10 * minutes);
    const [message] = await receive(queue.url);
    expect(JSON.parse(message?.Body ?? "")).toEqual({
      arn: ScheduleArn,
      time: "2026-01-05T12:10:00Z",
      attempt: 1,
      id: "g1",
    });
  });

  test("a function is a target, and gets AWS's event when there is no input", async () => {
    const { create, aws } = await setUp();
    const seen: unknown[] = [];
    const Arn = aws.functions.set("end", async (event: unknown) => {
      seen.push(event);
    });
    await create({ Target: target({ Arn, Input: undefined }) });
    await aws.advance(10 * minutes);
    expect(seen).toMatchObject([
      {
        "detail-type": "Scheduled Event",
        source: "aws.scheduler",
        resources: ["arn:aws:scheduler:us-east-1:000000000000:schedule/default/g1"],
      },
    ]);
  });

  test("with DELETE it is gone once it has fired, otherwise it stays", async () => {
    const { create, aws, get } = await setUp();
    await create({ ActionAfterCompletion: "DELETE" });
    await create({ Name: "kept" });
    expect((await get()).ActionAfterCompletion).toBe("DELETE");
    await aws.advance(10 * minutes);
    expect((await failure(get())).name).toBe("ResourceNotFoundException");
    expect((await get("kept")).State).toBe("ENABLED");
  });

  test("a deleted or disabled schedule does not fire", async () => {
    const { create, update, aws, fired, scheduler } = await setUp();
    await create();
    await create({ Name: "g2" });
    await scheduler.send(new DeleteScheduleCommand({ Name: "g1" }));
    await update({ Name: "g2", State: "DISABLED" });
    await aws.advance(60 * minutes);
    expect(await fired()).toBe(0);
  });

  test("an update moves the time", async () => {
    const { create, update, aws, fired, get } = await setUp();
    await create({ Description: "first", ActionAfterCompletion: "DELETE" });
    await update({ ScheduleExpression: "at(2026-01-05T12:20:00)" });
    expect(await get()).toMatchObject({ ScheduleExpression: "at(2026-01-05T12:20:00)" });
    expect((await get()).Description).toBeUndefined(); // replaced as a whole
    await aws.advance(19 * minutes);
    expect(await fired()).toBe(0);
    await aws.advance(1 * minutes);
    expect(await fired()).toBe(1);
  });

  test("a time in the past is refused, or fires at once where that is set", async () => {
    const { create, aws, fired } = await setUp();
    const past = { ScheduleExpression: "at(2026-01-05T11:59:59)" };
    expect(await failure(create(past))).toMatchObject({
      name: "ValidationException",
      message: expect.stringContaining("past"),
    });
    aws.services.scheduler.configure({ past: "fire" });
    await create({ ...past, ActionAfterCompletion: "DELETE" });
    await aws.advance(0);
    expect(await fired()).toBe(1);
  });

  test("lateness can be set, up to 59 seconds", async () => {
    const { create, aws, fired } = await setUp();
    aws.services.scheduler.configure({ fireLateMs: 59_000 });
    await create();
    await aws.advance(10 * minutes + 58_999);
    expect(await fired()).toBe(0);
    await aws.advance(1);
    expect(await fired()).toBe(1);
    expect(() => aws.services.scheduler.configure({ fireLateMs: 60_000 })).toThrow(RangeError);
  });

  test("at random it is late by up to 59 seconds, each time anew", async () => {
    const { create, aws, fired } = await setUp();
    aws.services.scheduler.configure({ fireLateMs: "random" });
    for (let at = 0; at < 20; at++) await create({ Name: `s${at}` });
    await aws.advance(10 * minutes - 1);
    expect(await fired()).toBe(0);
    await aws.advance(20_000);
    const early = (await fired()) + (await fired());
    expect(early).toBeGreaterThan(0);
    expect(early).toBeLessThan(20);
    await aws.advance(39_001);
    expect((await fired()) + (await fired())).toBe(20 - early);
  });

  test("a role that Scheduler may not assume is refused, as one that is not there", async () => {
    const { create, update, createRole } = await setUp();
    const stranger = await createRole("stranger", "lambda.amazonaws.com");
    await create();
    for (const RoleArn of [stranger, `${stranger}2`])
      for (const call of [
        create({ Name: "g2", Target: target({ RoleArn }) }),
        update({ Target: target({ RoleArn }) }),
      ])
        expect(await failure(call)).toMatchObject({
          name: "ValidationException",
          message: expect.stringContaining("must allow AWS EventBridge Scheduler to assume"),
        });
  });

  test.each([
    ["lost", "lose", 0],
    ["made twice", "duplicate", 2],
    ["made again when its answer was lost", "fail-after", 2],
    ["made again when it was refused", "refuse", 1],
  ] as const)("a delivery can be %s", async (_, kind, times) => {
    const { create, aws, fired } = await setUp();
    aws.faults.add({ service: "scheduler", operation: "Deliver", kind, times: 1 });
    await create();
    await create({ Name: "g2", ScheduleExpression: "at(2026-01-05T12:30:00)" });
    await aws.advance(20 * minutes);
    expect(await fired()).toBe(times);
    await aws.advance(20 * minutes);
    expect(await fired()).toBe(1);
  });

  test("in a flexible window it fires within the window, once", async () => {
    const { create, aws, fired } = await setUp();
    await create({ FlexibleTimeWindow: { Mode: "FLEXIBLE", MaximumWindowInMinutes: 5 } });
    await aws.advance(10 * minutes - 1);
    expect(await fired()).toBe(0);
    await aws.advance(5 * minutes + 1);
    expect(await fired()).toBe(1);
  });
});

describe("recurring schedules", () => {
  test("a rate fires from its start to its end, and is then over", async () => {
    const { create, aws, receive, queue, get } = await setUp();
    await create({
      ScheduleExpression: "rate(5 minutes)",
      StartDate: new Date("2026-01-05T12:02:00Z"),
      EndDate: new Date("2026-01-05T12:12:30Z"),
      ActionAfterCompletion: "DELETE",
      Target: target({ Input: '"<aws.scheduler.scheduled-time>"' }),
    });
    await aws.advance(60 * minutes);
    expect((await receive(queue.url)).map(({ Body }) => Body)).toEqual([
      '"2026-01-05T12:02:00Z"',
      '"2026-01-05T12:07:00Z"',
      '"2026-01-05T12:12:00Z"',
    ]);
    expect((await failure(get())).name).toBe("ResourceNotFoundException");
  });

  test("a cron fires at its wall time", async () => {
    const { create, aws, fired } = await setUp();
    await create({ ScheduleExpression: "cron(30 * * * ? *)" });
    await aws.advance(29 * minutes);
    expect(await fired()).toBe(0);
    await aws.advance(61 * minutes);
    expect(await fired()).toBe(2);
  });
});

describe("schedules that are over before they begin", () => {
  test("an end in the past is refused", async () => {
    const { create } = await setUp();
    const call = create({
      ScheduleExpression: "rate(1 minute)",
      EndDate: new Date("2026-01-05T11:00:00Z"),
    });
    expect((await failure(call)).name).toBe("ValidationException");
  });

  test("a cron without any turn left completes at once", async () => {
    const { create, aws, get, fired } = await setUp();
    await create({
      ScheduleExpression: "cron(0 0 1 1 ? 2025)",
      ActionAfterCompletion: "DELETE",
    });
    await aws.advance(0);
    expect((await failure(get())).name).toBe("ResourceNotFoundException");
    expect(await fired()).toBe(0);
  });
});

describe("failed targets", () => {
  const overfull = async (more: Partial<Input> = {}) => {
    const world = await setUp();
    const allow = (MaximumMessageSize: string) =>
      world.sqs.send(
        new SetQueueAttributesCommand({
          QueueUrl: world.queue.url,
          Attributes: { MaximumMessageSize },
        }),
      );
    await allow("1024");
    await world.create({
      ActionAfterCompletion: "DELETE",
      ...more,
      Target: target({
        Input: JSON.stringify("x".repeat(2_000)),
        DeadLetterConfig: { Arn: world.dead.arn },
        RetryPolicy: { MaximumRetryAttempts: 2 },
        ...more.Target,
      }),
    });
    const letters = () => world.receive(world.dead.url, { VisibilityTimeout: 0 });
    return { ...world, allow, letters };
  };

  test("they are retried with growing waits, then there is a dead letter and the schedule is gone", async () => {
    const { aws, letters, get, queue } = await overfull();
    await aws.advance(10 * minutes + 2_999);
    expect(await letters()).toEqual([]);
    expect((await get()).Name).toBe("g1");
    await aws.advance(1);
    const [letter] = await letters();
    const attributes = Object.entries(letter?.MessageAttributes ?? {});
    expect(
      Object.fromEntries(attributes.map(([name, value]) => [name, value.StringValue])),
    ).toEqual({
      SCHEDULE_ARN: "arn:aws:scheduler:us-east-1:000000000000:schedule/default/g1",
      SCHEDULED_TIME: "2026-01-05T12:10:00Z",
      TARGET_ARN: queue.arn,
      ERROR_CODE: "InvalidParameterValue",
      ERROR_MESSAGE: expect.stringContaining("1024"),
      RETRY_ATTEMPTS: "2",
      EXHAUSTED_RETRY_CONDITION: "MaximumRetryAttempts",
      EXECUTION_ID: expect.any(String),
      IS_PAYLOAD_TRUNCATED: "false",
    });
    expect((await failure(get())).name).toBe("ResourceNotFoundException");
  });

  test("a retry that succeeds delivers once", async () => {
    const { aws, letters, allow, fired, get } = await overfull();
    await aws.advance(10 * minutes);
    await allow("4096");
    await aws.advance(60 * minutes);
    expect(await fired()).toBe(1);
    expect(await letters()).toEqual([]);
    expect((await failure(get())).name).toBe("ResourceNotFoundException");
  });

  test("an event ends with its age too", async () => {
    const { aws, letters } = await overfull({
      Target: target({ RetryPolicy: { MaximumEventAgeInSeconds: 60 } }),
    });
    await aws.advance(11 * minutes);
    expect((await letters())[0]?.MessageAttributes).toMatchObject({
      EXHAUSTED_RETRY_CONDITION: { StringValue: "MaximumEventAgeInSeconds" },
    });
  });

  test("deleting the schedule ends its retries", async () => {
    const { aws, letters, scheduler, allow, fired } = await overfull();
    await aws.advance(10 * minutes);
    await scheduler.send(new DeleteScheduleCommand({ Name: "g1" }));
    await allow("4096");
    await aws.advance(60 * minutes);
    expect(await fired()).toBe(0);
    expect(await letters()).toEqual([]);
  });

  test("what the role may not do is not done", async () => {
    const { create, createRole, dead, aws, fired, receive, queue } = await setUp();
    const RoleArn = await createRole("weak", "scheduler.amazonaws.com", dead.arn);
    const DeadLetterConfig = { Arn: dead.arn };
    const RetryPolicy = { MaximumRetryAttempts: 0 };
    await create({ Target: target({ RoleArn, DeadLetterConfig, RetryPolicy }) });
    await aws.advance(10 * minutes);
    expect(await fired()).toBe(0);
    const [letter] = await receive(dead.url);
    expect(letter?.MessageAttributes).toMatchObject({
      ERROR_CODE: { StringValue: "AccessDeniedException" },
      ERROR_MESSAGE: {
        StringValue: expect.stringContaining(`sqs:SendMessage on resource: ${queue.arn}`),
      },
    });
  });

  test("without a dead-letter queue, or with one that is gone, the event is dropped", async () => {
    const { aws, sqs, dead, get } = await overfull();
    await sqs.send(new DeleteQueueCommand({ QueueUrl: dead.url }));
    await aws.advance(60 * minutes);
    expect((await failure(get())).name).toBe("ResourceNotFoundException");
    expect(aws.errors).toEqual([]);
  });
});

describe("the API", () => {
  test("a schedule shows what was created, with AWS's defaults", async () => {
    const { create, get, queue, roleArn } = await setUp();
    await create();
    expect(await get()).toMatchObject({
      Arn: "arn:aws:scheduler:us-east-1:000000000000:schedule/default/g1",
      Name: "g1",
      GroupName: "default",
      ScheduleExpression: "at(2026-01-05T12:10:00)",
      ScheduleExpressionTimezone: "UTC",
      State: "ENABLED",
      ActionAfterCompletion: "NONE",
      CreationDate: new Date("2026-01-05T12:00:00Z"),
      FlexibleTimeWindow: { Mode: "OFF" },
      Target: {
        Arn: queue.arn,
        RoleArn: roleArn,
        Input: "{}",
        RetryPolicy: { MaximumRetryAttempts: 185, MaximumEventAgeInSeconds: 86_400 },
      },
    });
  });

  test("a name is taken once in a group", async () => {
    const { create, scheduler } = await setUp();
    await create();
    expect(await failure(create())).toMatchObject({ name: "ConflictException" });
    await scheduler.send(new CreateScheduleGroupCommand({ Name: "other" }));
    expect((await failure(create({ GroupName: "other" }))).name).toBe("none");
  });

  test("a repeat with the same client token is the first again, other parameters a conflict", async () => {
    const { create, aws, fired } = await setUp();
    const first = await create({ ClientToken: "t1" });
    const repeat = await create({ ClientToken: "t1" });
    expect(repeat.ScheduleArn).toBe(first.ScheduleArn);
    const other = create({ ClientToken: "t1", Description: "other" });
    expect((await failure(other)).name).toBe("ConflictException");
    await aws.advance(10 * minutes);
    expect(await fired()).toBe(1);
  });

  test("a create that failed after its effect succeeds when its token is sent again", async () => {
    const { create, aws } = await setUp();
    aws.faults.add({ operation: "CreateSchedule", kind: "fail-after", times: 1 });
    expect((await failure(create({ ClientToken: "t1" }))).name).toBe("InternalFailure");
    expect((await failure(create({ ClientToken: "t2" }))).name).toBe("ConflictException");
    expect((await failure(create({ ClientToken: "t1" }))).name).toBe("none");
  });

  test("a delete that is repeated with its token succeeds, another one finds nothing", async () => {
    const { create, scheduler } = await setUp();
    await create();
    const remove = (ClientToken: string) =>
      failure(scheduler.send(new DeleteScheduleCommand({ Name: "g1", ClientToken })));
    expect((await remove("t1")).name).toBe("none");
    expect((await remove("t1")).name).toBe("none");
    expect((await remove("t2")).name).toBe("ResourceNotFoundException");
  });

  test("schedules are listed by group, prefix and state, page by page", async () => {
    const { create, scheduler } = await setUp();
    for (const Name of ["a1", "a2", "a3", "b1"]) await create({ Name });
    await create({ Name: "a4", State: "DISABLED" });
    const list = async (more: ListSchedulesCommand["input"]) =>
      scheduler.send(new ListSchedulesCommand({ GroupName: "default", ...more }));
    const names = async (more: ListSchedulesCommand["input"]) =>
      (await list(more)).Schedules?.map(({ Name }) => Name);
    expect(await names({ NamePrefix: "a", State: "ENABLED" })).toEqual(["a1", "a2", "a3"]);
    expect(await names({ State: "DISABLED" })).toEqual(["a4"]);
    const { NextToken } = await list({ NamePrefix: "a", MaxResults: 3 });
    expect(await names({ NamePrefix: "a", MaxResults: 3, NextToken })).toEqual(["a4"]);
    expect((await failure(list({ MaxResults: 101 }))).name).toBe("ValidationException");
    expect((await failure(list({ GroupName: "none" }))).name).toBe("ResourceNotFoundException");
  });

  test("deleting a group deletes its schedules, and the default group stays", async () => {
    const { create, scheduler, aws, fired, get } = await setUp();
    await scheduler.send(new CreateScheduleGroupCommand({ Name: "it" }));
    await create({ GroupName: "it" });
    const group = await scheduler.send(new GetScheduleGroupCommand({ Name: "it" }));
    expect(group).toMatchObject({ Name: "it", State: "ACTIVE" });
    const { ScheduleGroups } = await scheduler.send(new ListScheduleGroupsCommand({}));
    expect(ScheduleGroups?.map(({ Name }) => Name)).toEqual(["default", "it"]);
    await scheduler.send(new DeleteScheduleGroupCommand({ Name: "it" }));
    await aws.advance(60 * minutes);
    expect(await fired()).toBe(0);
    expect((await failure(get("g1", "it"))).name).toBe("ResourceNotFoundException");
    const own = scheduler.send(new DeleteScheduleGroupCommand({ Name: "default" }));
    expect((await failure(own)).name).toBe("ValidationException");
  });

  test.each<[Partial<Input>]>([
    [{ Name: "x".repeat(65) }],
    [{ Name: "no spaces" }],
    [{ ScheduleExpression: "at(2026-01-05T12:10)" }],
    [{ ScheduleExpression: "at(2026-13-05T12:10:00)" }],
    [{ ScheduleExpression: "at(2026-01-05T12:10:00Z)" }],
    [{ ScheduleExpression: "every minute" }],
    [{ ScheduleExpression: "rate(1 second)" }],
    [{ ScheduleExpressionTimezone: "Mars/Olympus" }],
    [{ FlexibleTimeWindow: { Mode: "FLEXIBLE" } }],
    [{ FlexibleTimeWindow: { Mode: "OFF", MaximumWindowInMinutes: 5 } }],
    [{ FlexibleTimeWindow: { Mode: "FLEXIBLE", MaximumWindowInMinutes: 1441 } }],
    [{ ClientToken: "not a token" }],
    [{ KmsKeyArn: "arn:aws:kms:us-east-1:000000000000:key/x" }],
    [{ StartDate: new Date(2_000), EndDate: new Date(1_000) }],
    [{ Target: target({ Arn: "queue" }) }],
    [{ Target: target({ Arn: "arn:aws:scheduler:::aws-sdk:sqs:sendMessage" }) }],
    [{ Target: target({ Arn: "arn:aws:sqs:us-east-1:000000000000:x.fifo" }) }],
    [{ Target: target({ RoleArn: "role" }) }],
    [{ Target: target({ RetryPolicy: { MaximumRetryAttempts: 186 } }) }],
    [{ Target: target({ EventBridgeParameters: { DetailType: "a", Source: "b" } }) }],
    [
      {
        Target: target({ DeadLetterConfig: { Arn: "arn:aws:sqs:us-east-1:000000000000:x.fifo" } }),
      },
    ],
  ])(
    "a schedule that Scheduler would refuse, or that nothing here does, is refused: %j",
    async (more) => {
      const { create } = await setUp();
      expect((await failure(create(more))).name).toBe("ValidationException");
    },
  );

  test("what is not there is not found", async () => {
    const { update, get, create, scheduler } = await setUp();
    const group = scheduler.send(new GetScheduleGroupCommand({ Name: "none" }));
    for (const call of [update(), get(), create({ GroupName: "none" }), group]) {
      expect((await failure(call)).name).toBe("ResourceNotFoundException");
    }
  });

  test("paths, members and parameters that Scheduler does not know are errors", () => {
    const { protocol } = createScheduler(messaging().aws.world);
    const parse = (method: string, path: string, body = "", query: [string, string][] = []) =>
      protocol.parse({ method, path, query, headers: {}, body: Buffer.from(body) });
    expect(parse("POST", "/schedules/a%20b", '{"State":"ENABLED"}')).toEqual({
      operation: "CreateSchedule",
      input: { Name: "a b", State: "ENABLED" },
    });
    expect(() => parse("PATCH", "/schedules/a")).toThrow("Unknown operation");
    expect(() => parse("GET", "/schedules/a/b")).toThrow("Unknown operation");
    expect(() => parse("GET", "/tags/a")).toThrow("Unknown operation");
    expect(() => parse("POST", "/schedules/a", "[]")).toThrow("not a JSON object");
    expect(() => parse("POST", "/schedules/a", "{")).toThrow("not valid JSON");
    expect(() => parse("POST", "/schedules/a", '{"Name":"b"}')).toThrow("Unknown parameter");
    expect(() => parse("GET", "/schedules/a", "", [["group", "b"]])).toThrow("Unknown parameter");
    expect(() => parse("DELETE", "/schedules/a", '{"x":1}')).toThrow("Unknown parameter");
    expect(() => parse("GET", "/schedules/%zz")).toThrow("path");
  });

  test("creating and updating need the permission and the right to pass the role", () => {
    const { operations } = createScheduler(messaging().aws.world);
    const input = {
      Name: "g1",
      GroupName: "it",
      Target: { RoleArn: "arn:aws:iam::000000000000:role/x" },
    };
    const call = {
      caller: { arn: "", account: "", userId: "", accessKeyId: "" },
      request: { method: "POST", path: "/", query: [], headers: {}, body: new Uint8Array() },
      requestId: "",
    };
    for (const name of ["CreateSchedule", "UpdateSchedule"]) {
      expect(operations[name]?.authorize(input, call)).toEqual([
        {
          action: `scheduler:${name}`,
          resource: "arn:aws:scheduler:us-east-1:000000000000:schedule/it/g1",
        },
        {
          action: "iam:PassRole",
          resource: "arn:aws:iam::000000000000:role/x",
          context: { "iam:PassedToService": "scheduler.amazonaws.com" },
        },
      ]);
    }
  });
});
