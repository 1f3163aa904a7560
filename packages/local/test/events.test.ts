import {
  CreateEventBusCommand,
  DeleteEventBusCommand,
  DeleteRuleCommand,
  DescribeEventBusCommand,
  DescribeRuleCommand,
  DisableRuleCommand,
  EnableRuleCommand,
  ListEventBusesCommand,
  ListRulesCommand,
  ListTargetsByRuleCommand,
  PutEventsCommand,
  type PutEventsRequestEntry,
  PutRuleCommand,
  PutTargetsCommand,
  RemoveTargetsCommand,
  type Target,
  TestEventPatternCommand,
} from "@aws-sdk/client-eventbridge";
import { SetQueueAttributesCommand } from "@aws-sdk/client-sqs";
import { describe, expect, test } from "vitest";
import { nextTime, parseExpression } from "../src/events/expression.ts";
import { compilePattern } from "../src/events/pattern.ts";
import { letsRulesIn } from "../src/roles.ts";
import { events as createEvents } from "../src/services/events.ts";
import { failure, messaging, RULES } from "./messaging.ts";

const event = {
  version: "0",
  id: "e1",
  "detail-type": "grant.ended",
  source: "stint",
  account: "000000000000",
  time: "2026-01-05T12:00:00Z",
  region: "us-east-1",
  resources: ["arn:a", "arn:b"],
  detail: {
    state: "Running",
    path: "dir/file.png",
    count: 7,
    price: 3.5,
    live: true,
    nothing: null,
    empty: "",
    ip: "10.0.0.77",
    ip6: "2001:db8::1",
    star: "a*b",
    tags: ["red", "green"],
    nums: [1, 20],
    none: [],
    nested: { deep: { name: "x" } },
    users: [
      { name: "ann", role: "admin" },
      { name: "bob", role: "guest" },
    ],
  },
};

const detail = (pattern: unknown) => JSON.stringify({ detail: pattern });

describe("patterns", () => {
  test.each([
    ["exact", { state: ["Running"] }, true],
    ["exact is case-sensitive", { state: ["running"] }, false],
    ["any of several", { state: ["Stopped", "Running"] }, true],
    ["every field", { state: ["Running"], count: [8] }, false],
    ["number", { count: [7] }, true],
    ["a number is not its text", { count: ["7"] }, false],
    ["boolean", { live: [true] }, true],
    ["null is a value", { nothing: [null] }, true],
    ["null is not absence", { absent: [null] }, false],
    ["the empty text", { empty: [""] }, true],
    ["nested", { nested: { deep: { name: ["x"] } } }, true],
    ["an object is no leaf", { nested: ["x"] }, false],
    ["an array stands for its elements", { tags: ["green"] }, true],
    ["no element", { tags: ["blue"] }, false],
    ["array of objects", { users: { name: ["bob"], role: ["guest"] } }, true],
    ["not by fields of two elements", { users: { name: ["bob"], role: ["admin"] } }, false],
    ["prefix", { state: [{ prefix: "Run" }] }, true],
    ["prefix of another", { state: [{ prefix: "run" }] }, false],
    ["prefix, ignoring case", { state: [{ prefix: { "equals-ignore-case": "rUN" } }] }, true],
    ["suffix", { path: [{ suffix: ".png" }] }, true],
    ["suffix, ignoring case", { path: [{ suffix: { "equals-ignore-case": ".PNG" } }] }, true],
    ["equals-ignore-case", { state: [{ "equals-ignore-case": "RUNNING" }] }, true],
    ["equals-ignore-case is the whole", { state: [{ "equals-ignore-case": "RUN" }] }, false],
    ["wildcard", { path: [{ wildcard: "dir/*.png" }] }, true],
    ["wildcard in several places", { path: [{ wildcard: "*i*f*l*.p*" }] }, true],
    ["wildcard is the whole", { path: [{ wildcard: "dir/*.p" }] }, false],
    ["wildcard does not overlap", { state: [{ wildcard: "Runn*nning" }] }, false],
    ["an escaped star is a star", { star: [{ wildcard: "a\\*b" }] }, true],
    ["an escaped star is nothing else", { path: [{ wildcard: "dir\\*" }] }, false],
    ["anything-but a text", { state: [{ "anything-but": "Stopped" }] }, true],
    ["anything-but itself", { state: [{ "anything-but": "Running" }] }, false],
    ["anything-but a list", { state: [{ "anything-but": ["Running", "x"] }] }, false],
    ["anything-but numbers", { count: [{ "anything-but": [1, 2] }] }, true],
    ["anything-but needs a value", { absent: [{ "anything-but": "x" }] }, false],
    ["anything-but of one element", { tags: [{ "anything-but": "red" }] }, true],
    ["anything-but prefix", { state: [{ "anything-but": { prefix: "Run" } }] }, false],
    ["anything-but prefixes", { state: [{ "anything-but": { prefix: ["a", "b"] } }] }, true],
    ["anything-but suffixes", { path: [{ "anything-but": { suffix: [".gif", ".png"] } }] }, false],
    [
      "anything-but ignoring case",
      { state: [{ "anything-but": { "equals-ignore-case": ["RUNNING"] } }] },
      false,
    ],
    ["anything-but wildcards", { path: [{ "anything-but": { wildcard: ["*.gif"] } }] }, true],
    ["numeric =", { count: [{ numeric: ["=", 7] }] }, true],
    ["numeric range", { price: [{ numeric: [">", 3, "<=", 3.5] }] }, true],
    ["numeric range, outside", { price: [{ numeric: [">", 3.5, "<", 4] }] }, false],
    ["numeric of an element", { nums: [{ numeric: [">=", 20] }] }, true],
    ["numeric of a text", { state: [{ numeric: [">", 0] }] }, false],
    ["exists", { state: [{ exists: true }] }, true],
    ["exists, null is there", { nothing: [{ exists: true }] }, true],
    ["exists is about leaves", { nested: [{ exists: true }] }, false],
    ["an empty array is nothing", { none: [{ exists: false }] }, true],
    ["exists not", { absent: [{ exists: false }] }, true],
    ["exists not, below something absent", { absent: { deep: [{ exists: false }] } }, true],
    ["exists not, but it does", { state: [{ exists: false }] }, false],
    ["exists not, or a value", { state: [{ exists: false }, "Running"] }, true],
    ["cidr", { ip: [{ cidr: "10.0.0.0/24" }] }, true],
    ["cidr, outside", { ip: [{ cidr: "10.0.0.0/26" }] }, false],
    ["cidr of version 6", { ip6: [{ cidr: "2001:db8::/32" }] }, true],
    ["cidr of a text", { state: [{ cidr: "10.0.0.0/24" }] }, false],
    ["$or, one holds", { $or: [{ state: ["x"] }, { count: [{ numeric: [">", 5] }] }] }, true],
    ["$or, none holds", { $or: [{ state: ["x"] }, { count: [8] }] }, false],
    ["$or beside others", { live: [false], $or: [{ state: ["Running"] }, { count: [7] }] }, false],
    ["$or within $or", { $or: [{ x: ["y"] }, { $or: [{ count: [8] }, { count: [7] }] }] }, true],
    ["a name of Object.prototype is no field", { constructor: [{ exists: true }] }, false],
  ])("%s", (_, pattern, expected) => {
    expect(compilePattern(detail(pattern))(event)).toBe(expected);
  });

  test("the envelope is matched as the detail is", () => {
    const matches = compilePattern(
      JSON.stringify({
        source: ["stint"],
        "detail-type": [{ prefix: "grant." }],
        resources: ["arn:b"],
      }),
    );
    expect(matches(event)).toBe(true);
  });

  test.each([
    ["no JSON", "{"],
    ["an array", "[]"],
    ["a text", '"x"'],
    ["an empty pattern", "{}"],
    ["a bare value", detail({ state: "Running" })],
    ["an empty array", detail({ state: [] })],
    ["an empty object", detail({})],
    ["an array in an array", detail({ state: [["x"]] })],
    ["an unknown operator", detail({ state: [{ matches: ".*" }] })],
    ["two operators in one", detail({ state: [{ prefix: "a", suffix: "b" }] })],
    ["a prefix that is no text", detail({ state: [{ prefix: 1 }] })],
    ["exists that is no boolean", detail({ state: [{ exists: "true" }] })],
    ["anything-but nothing", detail({ state: [{ "anything-but": [] }] })],
    ["anything-but mixed", detail({ state: [{ "anything-but": ["a", 1] }] })],
    ["anything-but an empty prefix", detail({ state: [{ "anything-but": { prefix: "" } }] })],
    ["anything-but numeric", detail({ state: [{ "anything-but": { numeric: ["=", 1] } }] })],
    ["numeric of text", detail({ count: [{ numeric: ["=", "1"] }] })],
    ["numeric of an unknown sign", detail({ count: [{ numeric: ["!=", 1] }] })],
    ["numeric half open", detail({ count: [{ numeric: [">", 1, "<"] }] })],
    ["numeric upside down", detail({ count: [{ numeric: ["<", 1, ">", 2] }] })],
    ["numeric without room", detail({ count: [{ numeric: [">", 2, "<", 1] }] })],
    ["numeric too large", detail({ count: [{ numeric: [">", 5e9 + 1] }] })],
    ["cidr malformed", detail({ ip: [{ cidr: "10.0.0.0" }] })],
    ["cidr too long", detail({ ip: [{ cidr: "10.0.0.0/33" }] })],
    ["two stars in a row", detail({ path: [{ wildcard: "a**b" }] })],
    ["a stray escape", detail({ path: [{ wildcard: "a\\b" }] })],
  ])("refused: %s", async (_, EventPattern) => {
    const { events } = messaging();
    const call = events.send(new PutRuleCommand({ Name: "r", EventPattern }));
    expect((await failure(call)).name).toBe("InvalidEventPatternException");
  });

  test("a pattern can be tried out against an event", async () => {
    const { events } = messaging();
    const attempt = (EventPattern: string) =>
      events.send(new TestEventPatternCommand({ EventPattern, Event: JSON.stringify(event) }));
    expect((await attempt(detail({ count: [7] }))).Result).toBe(true);
    expect((await attempt(detail({ count: [8] }))).Result).toBe(false);
    const bad = events.send(
      new TestEventPatternCommand({ EventPattern: detail({ count: [7] }), Event: "{}" }),
    );
    expect((await failure(bad)).name).toBe("ValidationException");
  });
});

/** A bus `stint` with one rule whose targets are given, over queues `in` and `dead`. */
const bus = async (targets: (arns: { in: string; dead: string }) => Partial<Target>[]) => {
  const world = messaging();
  const { events, aws } = world;
  const queue = await world.createTarget("in");
  const dead = await world.createTarget("dead");
  await events.send(new CreateEventBusCommand({ Name: "stint" }));
  await events.send(
    new PutRuleCommand({
      Name: "ended",
      EventBusName: "stint",
      EventPattern: JSON.stringify({ source: ["stint"] }),
    }),
  );
  const put = (Targets: Partial<Target>[]) =>
    events.send(
      new PutTargetsCommand({
        Rule: "ended",
        EventBusName: "stint",
        Targets: Targets.map((each, index) => ({ Id: `t${index}`, Arn: queue.arn, ...each })),
      }),
    );
  const given = targets({ in: queue.arn, dead: dead.arn });
  if (given.length > 0) await put(given);
  const emit = async (entry: Partial<PutEventsRequestEntry> = {}) => {
    const answer = await events.send(
      new PutEventsCommand({
        Entries: [
          {
            EventBusName: "stint",
            Source: "stint",
            DetailType: "grant.ended",
            Detail: JSON.stringify({ id: "g1", why: 'so "it" is', list: [1, 2] }),
            ...entry,
          },
        ],
      }),
    );
    await aws.settle();
    return answer;
  };
  const bodies = async () => (await world.receive(queue.url)).map(({ Body = "" }) => Body);
  return { ...world, queue, dead, put, emit, bodies };
};

describe("events", () => {
  test("a matching event reaches its targets in AWS's envelope", async () => {
    const { emit, bodies } = await bus(() => [{}]);
    const answer = await emit({ Resources: ["arn:x"] });
    const [body = ""] = await bodies();
    expect(JSON.parse(body)).toEqual({
      version: "0",
      id: answer.Entries?.[0]?.EventId,
      "detail-type": "grant.ended",
      source: "stint",
      account: "000000000000",
      time: "2026-01-05T12:00:00Z",
      region: "us-east-1",
      resources: ["arn:x"],
      detail: { id: "g1", why: 'so "it" is', list: [1, 2] },
    });
  });

  test("the time is the sender's when it gives one", async () => {
    const { emit, bodies } = await bus(() => [{}]);
    await emit({ Time: new Date("2020-02-29T01:02:03Z") });
    expect(JSON.parse((await bodies())[0] ?? "").time).toBe("2020-02-29T01:02:03Z");
  });

  test("other sources, other buses and disabled rules deliver nothing", async () => {
    const { emit, bodies, events } = await bus(() => [{}]);
    await emit({ Source: "other" });
    await emit({ EventBusName: "default" });
    expect((await emit({ EventBusName: "none" })).FailedEntryCount).toBe(0);
    await events.send(new DisableRuleCommand({ Name: "ended", EventBusName: "stint" }));
    await emit();
    expect(await bodies()).toEqual([]);
    await events.send(new EnableRuleCommand({ Name: "ended", EventBusName: "stint" }));
    await emit({ EventBusName: "arn:aws:events:us-east-1:000000000000:event-bus/stint" });
    expect(await bodies()).toHaveLength(1);
  });

  test("a function is a target", async () => {
    const { aws, put, emit } = await bus(() => [{}]);
    const seen: unknown[] = [];
    const arn = aws.functions.set("handler", async (given: unknown) => {
      seen.push(given);
    });
    aws.functions.setPolicy("handler", letsRulesIn(arn, RULES));
    await put([{ Arn: arn, InputPath: "$.detail.id" }]);
    await emit();
    expect(seen).toEqual(["g1"]);
  });

  test.each([
    ["a constant", { Input: '{"fixed":1}' }, '{"fixed":1}'],
    ["a part", { InputPath: "$.detail.list[1]" }, "2"],
    ["a part that is not there", { InputPath: "$.detail.other" }, "null"],
    [
      "a template, values as JSON",
      {
        InputTransformer: {
          InputPathsMap: { id: "$.detail.id", all: "$.detail.list", why: "$.detail['why']" },
          InputTemplate: '{"id": <id>, "all": <all>, "why": <why>, "text": "<id>: <why>"}',
        },
      },
      '{"id": "g1", "all": [1,2], "why": "so \\"it\\" is", "text": "g1: so \\"it\\" is"}',
    ],
    [
      "a template with AWS's own variables",
      { InputTransformer: { InputTemplate: '{"rule": "<aws.events.rule-name>"}' } },
      '{"rule": "ended"}',
    ],
    [
      "a template over what is not there",
      {
        InputTransformer: {
          InputPathsMap: { x: "$.detail.other" },
          InputTemplate: '{"x": <x>, "y": "<x>"}',
        },
      },
      '{"x": "", "y": ""}',
    ],
  ])("input: %s", async (_, target, expected) => {
    const { emit, bodies } = await bus(() => [target]);
    await emit();
    expect(await bodies()).toEqual([expected]);
  });

  test.each([
    [{ Source: "aws.ec2" }, "NotAuthorizedForSourceException"],
    [{ Detail: "{" }, "MalformedDetail"],
    [{ Detail: "[1]" }, "MalformedDetail"],
    [{ Detail: '"x"' }, "MalformedDetail"],
    [{ Detail: undefined }, "InvalidArgument"],
    [{ Source: "" }, "InvalidArgument"],
    [{ DetailType: undefined }, "InvalidArgument"],
    [{ Detail: JSON.stringify({ x: "y".repeat(1_048_576) }) }, "InvalidArgument"],
  ])("an entry that fails, fails alone (case %#)", async (entry, code) => {
    const { events } = await bus(() => [{}]);
    const good = { Source: "stint", DetailType: "t", Detail: "{}" };
    const answer = await events.send(
      new PutEventsCommand({ Entries: [{ ...good, ...entry }, good] }),
    );
    expect(answer.FailedEntryCount).toBe(1);
    expect(answer.Entries).toMatchObject([{ ErrorCode: code }, { EventId: expect.any(String) }]);
  });

  test("no entries, eleven entries and unknown parameters fail the request", async () => {
    const { events } = messaging();
    const put = (input: PutEventsCommand["input"]) =>
      failure(events.send(new PutEventsCommand(input)));
    const entry = { Source: "s", DetailType: "t", Detail: "{}" };
    expect((await put({ Entries: [] })).name).toBe("ValidationException");
    expect((await put({ Entries: Array(11).fill(entry) })).name).toBe("ValidationException");
    expect((await put({ Entries: [entry], EndpointId: "a.veo" })).name).not.toBe("none");
  });

  test("permission is asked for every entry, with its source and type", () => {
    const { world } = messaging().aws;
    const { operations } = createEvents(world);
    const call = {
      caller: { arn: "", account: "", userId: "", accessKeyId: "" },
      request: { method: "POST", path: "/", query: [], headers: {}, body: new Uint8Array() },
      requestId: "",
    };
    const input = { Entries: [{ Source: "s", DetailType: "t", EventBusName: "stint" }] };
    expect(operations.PutEvents?.authorize(input, call)).toEqual([
      {
        action: "events:PutEvents",
        resource: "arn:aws:events:us-east-1:000000000000:event-bus/stint",
        context: {
          "events:source": "s",
          "events:detail-type": "t",
          "events:eventBusInvocation": "false",
        },
      },
    ]);
  });
});

describe("a target without a role", () => {
  const ARN = "arn:aws:sqs:us-east-1:000000000000:in";
  const rule = (name: string) => `arn:aws:events:us-east-1:000000000000:rule/${name}`;
  test.each([
    ["nothing where it lets no one in", "", 0],
    ["what a rule sends that it lets in", letsRulesIn(ARN, rule("stint/ended")), 1],
    ["nothing where it lets another rule in", letsRulesIn(ARN, rule("stint/other")), 0],
    [
      "nothing where it lets another service in",
      letsRulesIn(ARN, RULES).replace("events.", "sns."),
      0,
    ],
    [
      "nothing where it denies it",
      letsRulesIn(ARN, RULES).replace(
        '"Statement":[',
        '"Statement":[{"Effect":"Deny","Principal":"*","Action":"sqs:SendMessage","Resource":"*"},',
      ),
      0,
    ],
  ])("gets %s", async (_, Policy, count) => {
    const { emit, bodies, dead, receive, queue, sqs } = await bus(({ dead: letters }) => [
      { DeadLetterConfig: { Arn: letters } },
    ]);
    await sqs.send(new SetQueueAttributesCommand({ QueueUrl: queue.url, Attributes: { Policy } }));
    await emit();
    expect(await bodies()).toHaveLength(count);
    const [letter] = await receive(dead.url);
    expect(letter?.MessageAttributes?.ERROR_CODE?.StringValue).toBe(
      count === 1 ? undefined : "AccessDeniedException",
    );
  });

  test("is a function only where its own policy says so", async () => {
    const { aws, put, emit } = await bus(() => []);
    const seen: unknown[] = [];
    const arn = aws.functions.set("handler", async (given: unknown) => void seen.push(given));
    await put([{ Arn: arn }]);
    await emit();
    expect(seen).toEqual([]);
    aws.functions.setPolicy("handler", letsRulesIn(arn, RULES));
    await emit();
    expect(seen).toHaveLength(1);
  });
});

describe("failed deliveries", () => {
  test("what a retry cannot mend goes to the dead letters at once", async () => {
    const { emit, receive, dead, queue } = await bus((arns) => [
      { Arn: `${arns.in}-gone`, DeadLetterConfig: { Arn: arns.dead } },
    ]);
    await emit();
    const [letter] = await receive(dead.url);
    expect(JSON.parse(letter?.Body ?? "")).toMatchObject({ source: "stint" });
    expect(letter?.MessageAttributes).toEqual({
      RULE_ARN: {
        DataType: "String",
        StringValue: "arn:aws:events:us-east-1:000000000000:rule/stint/ended",
      },
      TARGET_ARN: { DataType: "String", StringValue: `${queue.arn}-gone` },
      ERROR_CODE: { DataType: "String", StringValue: "QueueDoesNotExist" },
      ERROR_MESSAGE: { DataType: "String", StringValue: "The specified queue does not exist." },
      RETRY_ATTEMPTS: { DataType: "String", StringValue: "0" },
    });
  });

  /** The queue takes a kibibyte; the rule sends two. */
  const overfull = async (RetryPolicy: Target["RetryPolicy"]) => {
    const world = await bus((arns) => [
      {
        Input: JSON.stringify("x".repeat(2_000)),
        RetryPolicy,
        DeadLetterConfig: { Arn: arns.dead },
      },
    ]);
    const allow = (MaximumMessageSize: string) =>
      world.sqs.send(
        new SetQueueAttributesCommand({
          QueueUrl: world.queue.url,
          Attributes: { MaximumMessageSize },
        }),
      );
    await allow("1024");
    const letters = () => world.receive(world.dead.url, { VisibilityTimeout: 0 });
    return { ...world, allow, letters };
  };

  test("other failures are retried, each after twice the wait, and then given up", async () => {
    const { aws, emit, letters } = await overfull({ MaximumRetryAttempts: 3 });
    await emit();
    await aws.advance(6_999);
    expect(await letters()).toEqual([]);
    await aws.advance(1);
    const [letter] = await letters();
    expect(letter?.MessageAttributes).toMatchObject({
      ERROR_CODE: { StringValue: "InvalidParameterValue" },
      RETRY_ATTEMPTS: { StringValue: "3" },
      EXHAUSTED_RETRY_CONDITION: { StringValue: "MaximumRetryAttempts" },
    });
  });

  test("an event that would be too old for its next attempt is given up", async () => {
    const { aws, emit, letters } = await overfull({ MaximumEventAgeInSeconds: 60 });
    await emit();
    await aws.advance(60_000);
    const [letter] = await letters();
    expect(letter?.MessageAttributes).toMatchObject({
      EXHAUSTED_RETRY_CONDITION: { StringValue: "MaximumEventAgeInSeconds" },
      RETRY_ATTEMPTS: { StringValue: "5" },
    });
  });

  test("a retry that succeeds leaves no dead letter", async () => {
    const { aws, emit, letters, allow, bodies } = await overfull({ MaximumRetryAttempts: 3 });
    await emit();
    await allow("4096");
    await aws.advance(60_000);
    expect(await bodies()).toHaveLength(1);
    expect(await letters()).toEqual([]);
  });
});

describe("rules and targets", () => {
  test("a rule shows what was put, and putting it again replaces all but its targets", async () => {
    const { events } = await bus(() => [{}]);
    const EventPattern = JSON.stringify({ source: ["other"] });
    await events.send(
      new PutRuleCommand({ Name: "ended", EventBusName: "stint", EventPattern, State: "DISABLED" }),
    );
    const rule = await events.send(
      new DescribeRuleCommand({ Name: "ended", EventBusName: "stint" }),
    );
    expect(rule).toMatchObject({
      Name: "ended",
      Arn: "arn:aws:events:us-east-1:000000000000:rule/stint/ended",
      EventBusName: "stint",
      State: "DISABLED",
      EventPattern,
    });
    const { Targets } = await events.send(
      new ListTargetsByRuleCommand({ Rule: "ended", EventBusName: "stint" }),
    );
    expect(Targets?.map(({ Id }) => Id)).toEqual(["t0"]);
  });

  test("a bus with rules and a rule with targets are not deleted", async () => {
    const { events } = await bus(() => [{}]);
    const ofRule = { EventBusName: "stint" };
    const deleteBus = () => failure(events.send(new DeleteEventBusCommand({ Name: "stint" })));
    const deleteRule = () =>
      failure(events.send(new DeleteRuleCommand({ Name: "ended", ...ofRule })));
    expect((await deleteBus()).name).toBe("ValidationException");
    expect((await deleteRule()).name).toBe("ValidationException");
    await events.send(new RemoveTargetsCommand({ Rule: "ended", Ids: ["t0"], ...ofRule }));
    expect((await deleteRule()).name).toBe("none");
    expect((await deleteBus()).name).toBe("none");
    const gone = events.send(new DescribeEventBusCommand({ Name: "stint" }));
    expect((await failure(gone)).name).toBe("ResourceNotFoundException");
    const own = events.send(new DeleteEventBusCommand({ Name: "default" }));
    expect((await failure(own)).name).toBe("ValidationException");
  });

  test("buses and rules are listed page by page", async () => {
    const { events } = await bus(() => []);
    const { EventBuses } = await events.send(new ListEventBusesCommand({}));
    expect(EventBuses?.map(({ Name }) => Name)).toEqual(["default", "stint"]);
    for (const Name of ["a1", "a2", "a3", "b"]) {
      await events.send(new PutRuleCommand({ Name, ScheduleExpression: "rate(1 day)" }));
    }
    const first = await events.send(new ListRulesCommand({ NamePrefix: "a", Limit: 2 }));
    const second = await events.send(
      new ListRulesCommand({ NamePrefix: "a", Limit: 2, NextToken: first.NextToken }),
    );
    const names = [...(first.Rules ?? []), ...(second.Rules ?? [])].map(({ Name }) => Name);
    expect(names).toEqual(["a1", "a2", "a3"]);
    expect(second.NextToken).toBeUndefined();
    const forged = events.send(new ListRulesCommand({ NextToken: "***" }));
    expect((await failure(forged)).name).toBe("ValidationException");
  });

  test("a bus cannot be made twice", async () => {
    const { events } = await bus(() => [{}]);
    const again = events.send(new CreateEventBusCommand({ Name: "stint" }));
    expect((await failure(again)).name).toBe("ResourceAlreadyExistsException");
  });

  test.each([
    [{}, "ValidationException"],
    [{ ScheduleExpression: "rate(1 minutes)" }, "ValidationException"],
    [{ ScheduleExpression: "rate(5 minute)" }, "ValidationException"],
    [{ ScheduleExpression: "rate(0 minutes)" }, "ValidationException"],
    [{ ScheduleExpression: "at(2030-01-01T00:00:00)" }, "ValidationException"],
    [{ ScheduleExpression: "cron(* * * * * *)" }, "ValidationException"],
    [{ ScheduleExpression: "rate(1 minute)", EventBusName: "stint" }, "ValidationException"],
    [{ ScheduleExpression: "rate(1 minute)", EventBusName: "none" }, "ResourceNotFoundException"],
    [{ ScheduleExpression: "rate(1 minute)", Name: "no spaces" }, "ValidationException"],
    [
      { ScheduleExpression: "rate(1 minute)", Tags: [{ Key: "a", Value: "b" }] },
      "ValidationException",
    ],
  ])("a rule that EventBridge would refuse is refused: %j", async (input, code) => {
    const { events } = await bus(() => [{}]);
    const call = events.send(new PutRuleCommand({ Name: "r", ...input }));
    expect((await failure(call)).name).toBe(code);
  });

  test.each([
    [{ Arn: "queue" }],
    [{ Arn: "arn:aws:kinesis:us-east-1:000000000000:stream/x" }],
    [{ Arn: "arn:aws:sqs:us-east-1:000000000000:x.fifo" }],
    [{ Input: "{" }],
    [{ Input: "{}", InputPath: "$" }],
    [{ InputPath: "detail" }],
    [{ InputPath: "$.a[*]" }],
    [{ InputTransformer: { InputTemplate: '{"a": <unknown>}' } }],
    [{ InputTransformer: { InputPathsMap: { a: "x" }, InputTemplate: "<a>" } }],
    [{ RetryPolicy: { MaximumRetryAttempts: 186 } }],
    [{ RetryPolicy: { MaximumEventAgeInSeconds: 59 } }],
    [{ DeadLetterConfig: { Arn: "arn:aws:sqs:us-east-1:000000000000:x.fifo" } }],
    [{ KinesisParameters: { PartitionKeyPath: "$.id" } }],
  ])(
    "a target that EventBridge would refuse, or that nothing here does, is refused: %j",
    async (target) => {
      const { put } = await bus(() => [{}]);
      expect((await failure(put([target]))).name).toBe("ValidationException");
    },
  );

  test("a sixth target is over the limit", async () => {
    const { put } = await bus(() => [{}]);
    expect((await failure(put(Array(6).fill({})))).name).toBe("LimitExceededException");
  });
});

describe("schedules", () => {
  test("a rate fires on the clock with AWS's scheduled event, until it is disabled", async () => {
    const { aws, events, createTarget, receive } = messaging();
    const { arn, url } = await createTarget("ticks");
    const { RuleArn } = await events.send(
      new PutRuleCommand({ Name: "sweep", ScheduleExpression: "rate(1 minute)" }),
    );
    await events.send(new PutTargetsCommand({ Rule: "sweep", Targets: [{ Id: "q", Arn: arn }] }));
    await aws.advance(59_999);
    expect(await receive(url)).toEqual([]);
    await aws.advance(120_001);
    const ticks = (await receive(url)).map(({ Body = "" }) => JSON.parse(Body));
    expect(ticks.map(({ time }) => time)).toEqual([
      "2026-01-05T12:01:00Z",
      "2026-01-05T12:02:00Z",
      "2026-01-05T12:03:00Z",
    ]);
    expect(ticks[0]).toEqual({
      version: "0",
      id: expect.any(String),
      "detail-type": "Scheduled Event",
      source: "aws.events",
      account: "000000000000",
      time: "2026-01-05T12:01:00Z",
      region: "us-east-1",
      resources: [RuleArn],
      detail: {},
    });
    await events.send(new DisableRuleCommand({ Name: "sweep" }));
    await aws.advance(600_000);
    expect(await receive(url, { VisibilityTimeout: 0 })).toHaveLength(3); // the same, again
  });

  const next = (expression: string, after: string, zone?: string) => {
    const parsed = parseExpression(expression, zone);
    const at = parsed && nextTime(parsed, Date.parse(after), Date.parse(after));
    return at === undefined ? undefined : new Date(at).toISOString();
  };

  test.each([
    ["cron(0 10 * * ? *)", "2026-01-05T12:00:00Z", undefined, "2026-01-06T10:00:00.000Z"],
    ["cron(*/15 * ? * * *)", "2026-01-05T12:00:00Z", undefined, "2026-01-05T12:15:00.000Z"],
    ["cron(0 18 ? * MON-FRI *)", "2026-01-09T18:00:00Z", undefined, "2026-01-12T18:00:00.000Z"],
    ["cron(0 8 1 * ? *)", "2026-01-05T12:00:00Z", undefined, "2026-02-01T08:00:00.000Z"],
    ["cron(0 0 L * ? *)", "2026-02-05T12:00:00Z", undefined, "2026-02-28T00:00:00.000Z"],
    ["cron(0 0 3W * ? *)", "2026-01-05T12:00:00Z", undefined, "2026-02-03T00:00:00.000Z"],
    ["cron(0 0 1W * ? *)", "2026-01-31T12:00:00Z", undefined, "2026-02-02T00:00:00.000Z"],
    ["cron(0 0 ? * 2#1 *)", "2026-01-05T12:00:00Z", undefined, "2026-02-02T00:00:00.000Z"],
    ["cron(0 0 ? * 6L *)", "2026-01-05T12:00:00Z", undefined, "2026-01-30T00:00:00.000Z"],
    ["cron(0 0 29 FEB ? *)", "2026-01-05T12:00:00Z", undefined, "2028-02-29T00:00:00.000Z"],
    ["cron(0 0 1 1 ? 2025)", "2026-01-05T12:00:00Z", undefined, undefined],
    ["cron(30 2 * * ? *)", "2026-03-28T12:00:00Z", "Europe/Berlin", "2026-03-30T00:30:00.000Z"],
    ["cron(0 9 * * ? *)", "2026-07-01T13:00:00Z", "America/New_York", "2026-07-02T13:00:00.000Z"],
    [
      "at(2026-07-01T09:00:00)",
      "2026-01-05T12:00:00Z",
      "Europe/Berlin",
      "2026-07-01T07:00:00.000Z",
    ],
    ["at(2026-02-30T09:00:00)", "2026-01-05T12:00:00Z", undefined, undefined],
    ["at(2026-07-01T09:00:00Z)", "2026-01-05T12:00:00Z", undefined, undefined],
    ["rate(2 hours)", "2026-01-05T12:00:00Z", undefined, "2026-01-05T14:00:00.000Z"],
    ["cron(0 0 * * ? *)", "2026-01-05T12:00:00Z", "Mars/Olympus", undefined],
  ])("%s after %s in %s", (expression, after, zone, expected) => {
    expect(next(expression, after, zone)).toBe(expected);
  });
});
