/** EventBridge and its Scheduler, without waiting for either: what they take, what they refuse, what a pattern means. */
import {
  CreateEventBusCommand,
  DeleteEventBusCommand,
  DeleteRuleCommand,
  DescribeEventBusCommand,
  EventBridgeClient,
  PutEventsCommand,
  PutRuleCommand,
  PutTargetsCommand,
  RemoveTargetsCommand,
  TestEventPatternCommand,
} from "@aws-sdk/client-eventbridge";
import { CreateRoleCommand, DeleteRoleCommand, IAMClient } from "@aws-sdk/client-iam";
import {
  CreateScheduleCommand,
  CreateScheduleGroupCommand,
  DeleteScheduleCommand,
  DeleteScheduleGroupCommand,
  GetScheduleCommand,
  SchedulerClient,
} from "@aws-sdk/client-scheduler";
import {
  CreateQueueCommand,
  DeleteQueueCommand,
  ReceiveMessageCommand,
  SetQueueAttributesCommand,
  SQSClient,
} from "@aws-sdk/client-sqs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Endpoint, endpoint, eventually, refusal } from "./endpoint.ts";

let at: Endpoint;
let events: EventBridgeClient;
let scheduler: SchedulerClient;
let sqs: SQSClient;
let iam: IAMClient;
beforeAll(async () => {
  at = await endpoint();
  events = new EventBridgeClient(at.client);
  scheduler = new SchedulerClient(at.client);
  sqs = new SQSClient({ ...at.client, useQueueUrlAsEndpoint: false });
  iam = new IAMClient(at.client);
});
afterAll(() => at.close());

describe("a pattern", () => {
  const event = {
    id: "1",
    version: "0",
    account: "111122223333",
    time: "2026-01-01T00:00:00Z",
    region: "us-east-1",
    resources: [],
    source: "stint",
    "detail-type": "grant.ended",
    detail: {
      why: "job_ended",
      seconds: 30,
      ip: "10.1.2.3",
      list: ["a", "b"],
      deep: { x: "y" },
      nothing: null,
    },
  };
  const matches = async (pattern: object) =>
    (
      await events.send(
        new TestEventPatternCommand({
          Event: JSON.stringify(event),
          EventPattern: JSON.stringify(pattern),
        }),
      )
    ).Result;

  test.each<[object, boolean]>([
    [{ source: ["stint"] }, true],
    [{ source: ["other", "stint"] }, true],
    [{ source: ["STINT"] }, false],
    [{ source: ["stint"], "detail-type": ["grant.opened"] }, false],
    [{ detail: { why: [{ prefix: "job" }] } }, true],
    [{ detail: { why: [{ suffix: "ended" }] } }, true],
    [{ detail: { why: [{ "equals-ignore-case": "JOB_ENDED" }] } }, true],
    [{ detail: { why: [{ "anything-but": ["expired"] }] } }, true],
    [{ detail: { why: [{ "anything-but": { prefix: "job" } }] } }, false],
    [{ detail: { why: [{ wildcard: "job*ed" }] } }, true],
    [{ detail: { seconds: [{ numeric: [">", 10, "<=", 30] }] } }, true],
    [{ detail: { seconds: [{ numeric: ["<", 30] }] } }, false],
    [{ detail: { ip: [{ cidr: "10.0.0.0/8" }] } }, true],
    [{ detail: { list: ["b"] } }, true],
    [{ detail: { deep: { x: ["y"] } } }, true],
    [{ detail: { missing: [{ exists: false }] } }, true],
    [{ detail: { why: [{ exists: false }] } }, false],
    [{ "replay-name": [{ exists: false }] }, true],
    [{ $or: [{ source: ["other"] }, { detail: { why: ["job_ended"] } }] }, true],
    [{ detail: { nothing: [null] } }, true],
  ])("%j: %s", async (pattern, expected) => {
    expect(await matches(pattern)).toBe(expected);
  });

  test.each<[string, object]>([
    ["a value that is no list", { source: "stint" }],
    ["an operator that is unknown", { source: [{ like: "s*" }] }],
    ["nothing", {}],
  ])("that has %s is refused", async (_, pattern) => {
    expect(await refusal(matches(pattern))).toBe("InvalidEventPatternException 400");
  });
});

describe("a bus", () => {
  test("brings to a rule's target what matches, and nothing else", async () => {
    const [bus, rule, QueueName] = [at.unique("bus"), at.unique("rule"), at.unique("queue")];
    await events.send(new CreateEventBusCommand({ Name: bus }));
    const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName }));
    const queueArn = `arn:aws:sqs:${at.place.region}:${at.place.account}:${QueueName}`;
    const { RuleArn } = await events.send(
      new PutRuleCommand({ Name: rule, EventBusName: bus, EventPattern: '{"detail":{"n":[1]}}' }),
    );
    await sqs.send(
      new SetQueueAttributesCommand({
        QueueUrl,
        Attributes: {
          Policy: JSON.stringify({
            Version: "2012-10-17",
            Statement: {
              Effect: "Allow",
              Principal: { Service: "events.amazonaws.com" },
              Action: "sqs:SendMessage",
              Resource: queueArn,
              Condition: { ArnEquals: { "aws:SourceArn": RuleArn } },
            },
          }),
        },
      }),
    );
    await events.send(
      new PutTargetsCommand({
        Rule: rule,
        EventBusName: bus,
        Targets: [{ Id: "queue", Arn: queueArn }],
      }),
    );
    const { FailedEntryCount } = await events.send(
      new PutEventsCommand({
        Entries: [1, 2].map((n) => ({
          EventBusName: bus,
          Source: "conformance",
          DetailType: "test",
          Detail: JSON.stringify({ n }),
        })),
      }),
    );
    expect(FailedEntryCount).toBe(0);
    const got: unknown[] = [];
    await eventually(async () => {
      const { Messages = [] } = await sqs.send(
        new ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds: 1 }),
      );
      got.push(...Messages.map(({ Body = "" }) => JSON.parse(Body).detail));
      return String(got.length > 0);
    }, "true");
    expect(got).toEqual([{ n: 1 }]);
    await events.send(new RemoveTargetsCommand({ Rule: rule, EventBusName: bus, Ids: ["queue"] }));
    await events.send(new DeleteRuleCommand({ Name: rule, EventBusName: bus }));
    await events.send(new DeleteEventBusCommand({ Name: bus }));
    await sqs.send(new DeleteQueueCommand({ QueueUrl }));
  });

  test("fails an entry alone, and the others pass", async () => {
    const good = { Source: "conformance", DetailType: "test", Detail: "{}" };
    const { FailedEntryCount, Entries } = await events.send(
      new PutEventsCommand({ Entries: [good, { ...good, Detail: "not json" }] }),
    );
    expect(FailedEntryCount).toBe(1);
    expect(Entries?.map(({ ErrorCode }) => ErrorCode)).toEqual([undefined, "MalformedDetail"]);
    const many = new PutEventsCommand({ Entries: Array.from({ length: 11 }, () => good) });
    expect(await refusal(events.send(many))).toMatch(/ValidationException 400$/);
  });

  test("that is not there is told", async () => {
    const call = events.send(new DescribeEventBusCommand({ Name: at.unique("none") }));
    expect(await refusal(call)).toBe("ResourceNotFoundException 400");
  });
});

describe("a schedule", () => {
  let GroupName = "";
  let RoleName = "";
  let target = { Arn: "", RoleArn: "" };
  beforeAll(async () => {
    GroupName = at.unique("group");
    RoleName = at.unique("role");
    await scheduler.send(new CreateScheduleGroupCommand({ Name: GroupName }));
    const { Role } = await iam.send(
      new CreateRoleCommand({
        RoleName,
        AssumeRolePolicyDocument: JSON.stringify({
          Version: "2012-10-17",
          Statement: {
            Effect: "Allow",
            Principal: { Service: "scheduler.amazonaws.com" },
            Action: "sts:AssumeRole",
          },
        }),
      }),
    );
    target = {
      Arn: `arn:aws:sqs:${at.place.region}:${at.place.account}:nobody`,
      RoleArn: Role?.Arn ?? "",
    };
    const probe = at.unique("probe");
    await eventually(async () => refusal(create({ Name: probe })), "none");
  }, 90_000);
  afterAll(async () => {
    await scheduler.send(new DeleteScheduleGroupCommand({ Name: GroupName }));
    await iam.send(new DeleteRoleCommand({ RoleName }));
  });

  const inAnHour = () => `at(${new Date(Date.now() + 3_600_000).toISOString().slice(0, 19)})`;
  const create = (more: object) =>
    scheduler.send(
      new CreateScheduleCommand({
        Name: at.unique("schedule"),
        GroupName,
        ScheduleExpression: inAnHour(),
        FlexibleTimeWindow: { Mode: "OFF" },
        ActionAfterCompletion: "DELETE",
        Target: target,
        ...more,
      }),
    );

  test("is there once by its name, and gone when it is deleted", async () => {
    const Name = at.unique("schedule");
    const ScheduleExpression = inAnHour();
    await create({ Name, ScheduleExpression });
    const get = () => scheduler.send(new GetScheduleCommand({ Name, GroupName }));
    expect(await get()).toMatchObject({
      ScheduleExpression,
      State: "ENABLED",
      ScheduleExpressionTimezone: "UTC",
    });
    expect(await refusal(create({ Name }))).toBe("ConflictException 409");
    await scheduler.send(new DeleteScheduleCommand({ Name, GroupName }));
    expect(await refusal(get())).toBe("ResourceNotFoundException 404");
    const again = scheduler.send(new DeleteScheduleCommand({ Name, GroupName }));
    expect(await refusal(again)).toBe("ResourceNotFoundException 404");
  });

  test.each<[string, object]>([
    ["a time that is none", { ScheduleExpression: "at(tomorrow)" }],
    ["a rate of nothing", { ScheduleExpression: "rate(0 minutes)" }],
    ["a name with other characters", { Name: "a/b" }],
    ["a name of 65 characters", { Name: "x".repeat(65) }],
    ["a time zone that is none", { ScheduleExpressionTimezone: "Mars/Olympus" }],
  ])("of %s is refused", async (_, more) => {
    expect(await refusal(create(more))).toBe("ValidationException 400");
  });

  test("in a group that is not there is refused", async () => {
    expect(await refusal(create({ GroupName: at.unique("none") }))).toBe(
      "ResourceNotFoundException 404",
    );
  });
});
