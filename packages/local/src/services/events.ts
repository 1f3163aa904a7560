/** EventBridge: buses, rules with patterns and schedules, targets, events. */
import { arm, type Bus, envelopeOf, patternOf, publish, type Rule } from "../events/bus.ts";
import { parseExpression } from "../events/expression.ts";
import { inputProblem } from "../events/input.ts";
import { compilePattern, exactValues } from "../events/pattern.ts";
import { type Shape, shapes, type Target } from "../events/shapes.ts";
import { pageOf } from "../page.ts";
import { jsonProtocol } from "../protocols.ts";
import { AwsError, type Check, operation, type Service, type World } from "../service.ts";

const targetLimit = 5;
const ruleLimit = 300;
const defaultLimit = 100;

/** EventBridge in `world`, with the bus `default`. */
export const events = (world: World): Service => {
  const arnOf = (rest: string) => `arn:aws:events:${world.region}:${world.account}:${rest}`;
  const ruleArn = (bus: string, rule: string) =>
    arnOf(bus === "default" ? `rule/${rule}` : `rule/${bus}/${rule}`);
  const busArn = (name: string) => arnOf(`event-bus/${name}`);
  const createBus = (name: string, description?: string): Bus => ({
    name,
    arn: busArn(name),
    ...(description !== undefined && { description }),
    createdAt: world.clock.now(),
    rules: new Map(),
  });
  const buses = new Map([["default", createBus("default")]]);

  /** A bus is named by its name or its ARN; another account's or region's stays an ARN, which nothing here has. */
  const busNamed = (given = "default") =>
    given.startsWith(busArn("")) ? given.slice(busArn("").length) : given;
  const missing = (what: string) =>
    new AwsError("ResourceNotFoundException", `${what} does not exist.`);
  const bus = (given: string | undefined): Bus => {
    const name = busNamed(given);
    const found = buses.get(name);
    if (found === undefined) throw missing(`Event bus ${name}`);
    return found;
  };
  const rule = (input: { readonly Name: string; readonly EventBusName?: string | undefined }) => {
    const { name, rules } = bus(input.EventBusName);
    const found = rules.get(input.Name);
    if (found === undefined) throw missing(`Rule ${input.Name} on EventBus ${name}`);
    return found;
  };

  type OfRule = { readonly Name: string; readonly EventBusName?: string | undefined };
  const onRule =
    (action: string) =>
    (input: OfRule): Check[] => [
      { action: `events:${action}`, resource: ruleArn(busNamed(input.EventBusName), input.Name) },
    ];
  const onBus =
    (action: string) =>
    (input: { readonly Name?: string | undefined }): Check[] => [
      { action: `events:${action}`, resource: busArn(busNamed(input.Name)) },
    ];
  const passRole = (roleArn: string): Check => ({
    action: "iam:PassRole",
    resource: roleArn,
    context: { "iam:PassedToService": "events.amazonaws.com" },
  });

  const setEnabled = (input: OfRule, enabled: boolean) => {
    const found = rule(input);
    found.enabled = enabled;
    arm(world, found);
    return {};
  };

  const operations: Service["operations"] = {
    CreateEventBus: operation<Shape<"CreateEventBus">, unknown>({
      input: shapes.CreateEventBus,
      authorize: onBus("CreateEventBus"),
      run({ Name, Description }) {
        if (buses.has(Name)) {
          throw new AwsError("ResourceAlreadyExistsException", `Event bus ${Name} already exists.`);
        }
        if (Name.includes("/")) {
          throw invalid("Event bus name must not contain '/'.");
        }
        const made = createBus(Name, Description);
        buses.set(Name, made);
        return { EventBusArn: made.arn, ...(Description !== undefined && { Description }) };
      },
    }),

    DeleteEventBus: operation<Shape<"DeleteEventBus">, unknown>({
      input: shapes.DeleteEventBus,
      authorize: onBus("DeleteEventBus"),
      run({ Name }) {
        const name = busNamed(Name);
        if (name === "default") throw invalid("Cannot delete event bus default.");
        if ((buses.get(name)?.rules.size ?? 0) > 0) {
          throw invalid("Event bus can't be deleted since it has rules.");
        }
        buses.delete(name); // deleting what is not there is success
        return {};
      },
    }),

    DescribeEventBus: operation<Shape<"DescribeEventBus">, unknown>({
      input: shapes.DescribeEventBus,
      authorize: onBus("DescribeEventBus"),
      run: ({ Name }) => showBus(bus(Name)),
    }),

    ListEventBuses: operation<Shape<"ListEventBuses">, unknown>({
      input: shapes.ListEventBuses,
      authorize: () => [{ action: "events:ListEventBuses", resource: "*" }],
      run({ NamePrefix = "", NextToken, Limit = defaultLimit }) {
        const all = [...buses.values()].filter(({ name }) => name.startsWith(NamePrefix));
        const { page, nextToken } = pageOf(all, ({ name }) => name, NextToken, Limit);
        return { EventBuses: page.map(showBus), NextToken: nextToken };
      },
    }),

    PutEvents: operation<Shape<"PutEvents">, unknown>({
      input: shapes.PutEvents,
      authorize: ({ Entries }) =>
        Entries.map(({ EventBusName, Source, DetailType }) => ({
          action: "events:PutEvents",
          resource: busArn(busNamed(EventBusName)),
          context: {
            ...(Source !== undefined && { "events:source": Source }),
            ...(DetailType !== undefined && { "events:detail-type": DetailType }),
            "events:eventBusInvocation": "false",
          },
        })),
      run({ Entries }) {
        let failedEntryCount = 0;
        const results = Entries.map((entry) => {
          const event = envelopeOf(world, entry);
          if ("ErrorCode" in event) {
            failedEntryCount += 1;
            return event;
          }
          // AWS takes events for a bus that does not exist, and drops them.
          const found = buses.get(busNamed(entry.EventBusName));
          if (found !== undefined) publish(world, found, event);
          return { EventId: event.id };
        });
        return { FailedEntryCount: failedEntryCount, Entries: results };
      },
    }),

    PutRule: operation<Shape<"PutRule">, unknown>({
      input: shapes.PutRule,
      authorize: ({ Name, EventBusName, EventPattern, RoleArn }) => {
        // An unreadable pattern has no values; run() refuses it.
        const values = (field: string) => {
          try {
            return exactValues(EventPattern, field);
          } catch {
            return [];
          }
        };
        const sources = values("source");
        const types = values("detail-type");
        return [
          {
            action: "events:PutRule",
            resource: ruleArn(busNamed(EventBusName), Name),
            context: {
              ...(sources.length > 0 && { "events:source": sources }),
              ...(types.length > 0 && { "events:detail-type": types }),
            },
          },
          ...(RoleArn === undefined ? [] : [passRole(RoleArn)]),
        ];
      },
      run(input) {
        const { name, rules } = bus(input.EventBusName);
        if (input.EventPattern === undefined && input.ScheduleExpression === undefined) {
          throw invalid("Parameter(s) EventPattern or ScheduleExpression must be specified.");
        }
        const pattern =
          input.EventPattern === undefined ? undefined : patternOf(input.EventPattern);
        const schedule = scheduleOf(input.ScheduleExpression, name);
        const existing = rules.get(input.Name);
        if (existing === undefined && rules.size >= ruleLimit) {
          throw new AwsError(
            "LimitExceededException",
            `The requested resource exceeds the maximum number allowed.`,
          );
        }
        existing?.disarm();
        // All of it is replaced, as in AWS: what is left out is gone. Targets stay.
        const made: Rule = {
          name: input.Name,
          arn: ruleArn(name, input.Name),
          busName: name,
          createdAt: existing?.createdAt ?? world.clock.now(),
          enabled: input.State !== "DISABLED",
          targets: existing?.targets ?? new Map(),
          disarm: () => {},
          ...(pattern && { pattern }),
          ...(schedule && { schedule }),
          ...(input.Description !== undefined && { description: input.Description }),
          ...(input.RoleArn !== undefined && { roleArn: input.RoleArn }),
        };
        rules.set(made.name, made);
        arm(world, made);
        return { RuleArn: made.arn };
      },
    }),

    DescribeRule: operation<Shape<"DescribeRule">, unknown>({
      input: shapes.DescribeRule,
      authorize: onRule("DescribeRule"),
      run: (input) => ({ ...showRule(rule(input)), CreatedBy: world.account }),
    }),

    EnableRule: operation<Shape<"EnableRule">, unknown>({
      input: shapes.EnableRule,
      authorize: onRule("EnableRule"),
      run: (input) => setEnabled(input, true),
    }),

    DisableRule: operation<Shape<"DisableRule">, unknown>({
      input: shapes.DisableRule,
      authorize: onRule("DisableRule"),
      run: (input) => setEnabled(input, false),
    }),

    DeleteRule: operation<Shape<"DeleteRule">, unknown>({
      input: shapes.DeleteRule,
      authorize: onRule("DeleteRule"),
      run(input) {
        const { rules } = bus(input.EventBusName);
        const found = rules.get(input.Name);
        if (found === undefined) return {}; // deleting what is not there is success
        if (found.targets.size > 0) {
          throw invalid("Rule can't be deleted since it has targets.");
        }
        found.disarm();
        rules.delete(input.Name);
        return {};
      },
    }),

    ListRules: operation<Shape<"ListRules">, unknown>({
      input: shapes.ListRules,
      authorize: () => [{ action: "events:ListRules", resource: "*" }],
      run({ NamePrefix = "", EventBusName, NextToken, Limit = defaultLimit }) {
        const all = [...bus(EventBusName).rules.values()].filter(({ name }) =>
          name.startsWith(NamePrefix),
        );
        const { page, nextToken } = pageOf(all, ({ name }) => name, NextToken, Limit);
        return { Rules: page.map(showRule), NextToken: nextToken };
      },
    }),

    PutTargets: operation<Shape<"PutTargets">, unknown>({
      input: shapes.PutTargets,
      authorize: ({ Rule: Name, EventBusName, Targets }) => [
        ...onRule("PutTargets")({ Name, EventBusName }).map((check) => ({
          ...check,
          context: { "events:TargetArn": Targets.map(({ Arn }) => Arn) },
        })),
        ...Targets.flatMap(({ RoleArn }) => (RoleArn === undefined ? [] : [passRole(RoleArn)])),
      ],
      run({ Rule: Name, EventBusName, Targets }) {
        const { targets } = rule({ Name, EventBusName });
        const ids = new Set([...targets.keys(), ...Targets.map(({ Id }) => Id)]);
        if (ids.size > targetLimit) {
          throw new AwsError(
            "LimitExceededException",
            "The requested resource exceeds the maximum number allowed.",
          );
        }
        for (const target of Targets) {
          const problem = targetProblem(target);
          if (problem !== undefined) throw invalid(problem);
        }
        for (const target of Targets) targets.set(target.Id, target);
        return { FailedEntryCount: 0, FailedEntries: [] };
      },
    }),

    ListTargetsByRule: operation<Shape<"ListTargetsByRule">, unknown>({
      input: shapes.ListTargetsByRule,
      authorize: ({ Rule: Name, EventBusName }) =>
        onRule("ListTargetsByRule")({ Name, EventBusName }),
      run({ Rule: Name, EventBusName, NextToken, Limit = defaultLimit }) {
        const all = [...rule({ Name, EventBusName }).targets.values()];
        const { page, nextToken } = pageOf(all, ({ Id }) => Id, NextToken, Limit);
        return { Targets: page, NextToken: nextToken };
      },
    }),

    RemoveTargets: operation<Shape<"RemoveTargets">, unknown>({
      input: shapes.RemoveTargets,
      authorize: ({ Rule: Name, EventBusName }) => onRule("RemoveTargets")({ Name, EventBusName }),
      run({ Rule: Name, EventBusName, Ids }) {
        const { targets } = rule({ Name, EventBusName });
        for (const id of Ids) targets.delete(id);
        return { FailedEntryCount: 0, FailedEntries: [] };
      },
    }),

    TestEventPattern: operation<Shape<"TestEventPattern">, unknown>({
      input: shapes.TestEventPattern,
      authorize: () => [{ action: "events:TestEventPattern", resource: "*" }],
      run({ EventPattern, Event }) {
        const matches = compilePattern(EventPattern);
        return { Result: matches(testEvent(Event)) };
      },
    }),
  };

  return {
    name: "events",
    protocol: jsonProtocol({
      version: "1.1",
      target: "AWSEvents",
      errorNamespace: "com.amazonaws.eventbridge",
    }),
    operations,
  };
};

function invalid(message: string): AwsError {
  return new AwsError("ValidationException", message);
}

function scheduleOf(text: string | undefined, bus: string): Rule["schedule"] {
  if (text === undefined || text === "") return undefined;
  if (bus !== "default") {
    throw invalid("ScheduleExpression is supported only on the default event bus.");
  }
  const expression = parseExpression(text);
  // One-time schedules are EventBridge Scheduler's alone.
  if (expression === undefined || expression.kind === "at") {
    throw invalid("Parameter ScheduleExpression is not valid.");
  }
  return { text, expression };
}

/** Why a target would be refused. Only queues and functions receive anything here, so others are refused too. */
function targetProblem(target: Target): string | undefined {
  const [arn, partition, service, region, account, ...rest] = target.Arn.split(":");
  if (arn !== "arn" || partition !== "aws" || !region || !account || rest.length === 0) {
    return `Parameter ${target.Arn} is not valid. Reason: Provided Arn is not in correct format.`;
  }
  if (service !== "sqs" && service !== "lambda") {
    return `Parameter ${target.Arn} is not valid. Reason: Provided Arn's service is not supported here.`;
  }
  const fifo = service === "sqs" && target.Arn.endsWith(".fifo");
  if (fifo && target.SqsParameters?.MessageGroupId === undefined) {
    return `Parameter(s) SqsParameters must be specified for target: ${target.Id}.`;
  }
  if (service !== "sqs" && target.SqsParameters !== undefined) {
    return `Parameter(s) SqsParameters not valid for target: ${target.Id}.`;
  }
  const letters = target.DeadLetterConfig?.Arn;
  if (letters !== undefined && !/^arn:aws:sqs:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]+$/.test(letters)) {
    return `Parameter DeadLetterConfig.Arn is not valid for target: ${target.Id}.`;
  }
  return inputProblem(target, target.Id);
}

function testEvent(text: string): unknown {
  try {
    const event: unknown = JSON.parse(text);
    const required = ["id", "account", "source", "time", "region", "resources", "detail-type"];
    if (
      typeof event === "object" &&
      event !== null &&
      required.every((name) => Object.hasOwn(event, name))
    ) {
      return event;
    }
  } catch {
    // Said below.
  }
  throw invalid("Parameter Event is not valid.");
}

function showBus({ name, arn, description, createdAt }: Bus) {
  const at = new Date(createdAt);
  return { Name: name, Arn: arn, Description: description, CreationTime: at, LastModifiedTime: at };
}

function showRule(rule: Rule) {
  return {
    Name: rule.name,
    Arn: rule.arn,
    EventBusName: rule.busName,
    EventPattern: rule.pattern?.text,
    ScheduleExpression: rule.schedule?.text,
    State: rule.enabled ? "ENABLED" : "DISABLED",
    Description: rule.description,
    RoleArn: rule.roleArn,
  };
}
