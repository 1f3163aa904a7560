/** EventBridge Scheduler: groups, and schedules that fire on the local clock. */
import { parseExpression } from "../events/expression.ts";
import { isTimeZone } from "../events/zone.ts";
import { pageOf } from "../page.ts";
import { schedulerProtocol } from "../scheduler/protocol.ts";
import { type Schedule, startSchedule } from "../scheduler/schedule.ts";
import { type ScheduleInput, type Shape, shapes } from "../scheduler/shapes.ts";
import { createTokens } from "../scheduler/tokens.ts";
import { AwsError, type Check, operation, type Service, type World } from "../service.ts";

/** Where AWS's behaviour is uncertain or random, tests say which they want. */
export interface SchedulerSettings {
  /** What becomes of a one-time schedule whose time is past. Reports about AWS differ; default `refuse`. */
  readonly past: "refuse" | "fire";
  /**
   * How long after its time a schedule fires, 0 to 59,000 ms, or `random` for any of these each time: AWS promises the
   * minute, not the second. Default 0.
   */
  readonly fireLateMs: number | "random";
}

export interface Scheduler extends Service {
  /** Changes settings; those left out stay. @throws {RangeError} for a lateness outside its range */
  readonly configure: (settings: Partial<SchedulerSettings>) => void;
}

interface Group {
  readonly name: string;
  readonly createdAt: number;
  readonly schedules: Map<string, Schedule>;
}

const defaultLimit = 100;
const LATEST_MS = 59_000;

/** Scheduler in `world`, with the group `default`. */
export const scheduler = (world: World): Scheduler => {
  let settings: SchedulerSettings = { past: "refuse", fireLateMs: 0 };
  const groups = new Map<string, Group>();
  const once = createTokens(world.clock);
  const createGroup = (name: string): Group => {
    const made = { name, createdAt: world.clock.now(), schedules: new Map() };
    groups.set(name, made);
    return made;
  };
  createGroup("default");

  const arnOf = (rest: string) => `arn:aws:scheduler:${world.region}:${world.account}:${rest}`;
  const groupArn = (name: string) => arnOf(`schedule-group/${name}`);
  const groupNamed = (name = "default"): Group => {
    const found = groups.get(name);
    if (found === undefined) throw missing(`Schedule group ${name}`);
    return found;
  };

  type OfSchedule = { readonly Name: string; readonly GroupName?: string | undefined };
  const scheduleArn = ({ Name, GroupName = "default" }: OfSchedule) =>
    arnOf(`schedule/${GroupName}/${Name}`);
  const find = (input: OfSchedule): Schedule => {
    const found = groupNamed(input.GroupName).schedules.get(input.Name);
    if (found === undefined) throw missing(`Schedule ${input.Name}`);
    return found;
  };
  const onSchedule =
    (action: string) =>
    (input: OfSchedule): Check[] => [
      { action: `scheduler:${action}`, resource: scheduleArn(input) },
    ];
  const onGroup =
    (action: string) =>
    ({ Name }: { readonly Name: string }): Check[] => [
      { action: `scheduler:${action}`, resource: groupArn(Name) },
    ];
  // Whoever may schedule must not thereby gain what the role may do.
  const writing = (action: string) => (input: ScheduleInput) => [
    ...onSchedule(action)(input),
    {
      action: "iam:PassRole",
      resource: input.Target.RoleArn,
      context: { "iam:PassedToService": "scheduler.amazonaws.com" },
    },
  ];

  const start = (given: ScheduleInput, createdAt: number) => {
    const { ClientToken: _, ...input } = given;
    const expression = checkSchedule(input, world.clock.now(), settings.past);
    if (!world.trusts(input.Target.RoleArn, "scheduler.amazonaws.com"))
      throw invalid(
        "The execution role you provide must allow AWS EventBridge Scheduler to assume the role.",
      );
    const { schedules, name: group } = groupNamed(input.GroupName);
    const old = schedules.get(input.Name);
    old?.stop();
    const arn = scheduleArn(input);
    const made = startSchedule(
      world,
      { arn, group, input, expression, createdAt, modifiedAt: world.clock.now() },
      {
        lateMs: () =>
          settings.fireLateMs === "random"
            ? Math.floor(world.random() * (LATEST_MS + 1))
            : settings.fireLateMs,
        onCompleted: () => {
          if (input.ActionAfterCompletion !== "DELETE") return;
          // By then a schedule of the same name may be another.
          if (schedules.get(input.Name) === made) schedules.delete(input.Name);
        },
      },
    );
    schedules.set(input.Name, made);
    return { ScheduleArn: arn };
  };

  const operations: Service["operations"] = {
    CreateSchedule: operation<Shape<"CreateSchedule">, unknown>({
      input: shapes.CreateSchedule,
      authorize: writing("CreateSchedule"),
      run: (input) =>
        once("CreateSchedule", input, () => {
          if (groupNamed(input.GroupName).schedules.has(input.Name)) {
            throw conflict(`Schedule ${input.Name} already exists.`);
          }
          return start(input, world.clock.now());
        }),
    }),

    UpdateSchedule: operation<Shape<"UpdateSchedule">, unknown>({
      input: shapes.UpdateSchedule,
      authorize: writing("UpdateSchedule"),
      // All of it is replaced: what is left out falls back to its default.
      run: (input) => once("UpdateSchedule", input, () => start(input, find(input).createdAt)),
    }),

    GetSchedule: operation<Shape<"GetSchedule">, unknown>({
      input: shapes.GetSchedule,
      authorize: onSchedule("GetSchedule"),
      run: (input) => show(find(input)),
    }),

    DeleteSchedule: operation<Shape<"DeleteSchedule">, unknown>({
      input: shapes.DeleteSchedule,
      authorize: onSchedule("DeleteSchedule"),
      run: (input) =>
        once("DeleteSchedule", input, () => {
          find(input).stop();
          groupNamed(input.GroupName).schedules.delete(input.Name);
          return {};
        }),
    }),

    ListSchedules: operation<Shape<"ListSchedules">, unknown>({
      input: shapes.ListSchedules,
      authorize: () => [{ action: "scheduler:ListSchedules", resource: "*" }],
      run({ GroupName, NamePrefix = "", State, NextToken, MaxResults = defaultLimit }) {
        const among = GroupName === undefined ? [...groups.values()] : [groupNamed(GroupName)];
        const all = among
          .flatMap(({ schedules }) => [...schedules.values()])
          .filter(({ input }) => input.Name.startsWith(NamePrefix))
          .filter(({ input }) => State === undefined || (input.State ?? "ENABLED") === State);
        const { page, nextToken } = pageOf(all, ({ arn }) => arn, NextToken, MaxResults);
        return {
          Schedules: page.map((each) => {
            const { Target, ...shown } = summary(each);
            return { ...shown, Target: { Arn: Target.Arn } };
          }),
          NextToken: nextToken,
        };
      },
    }),

    CreateScheduleGroup: operation<Shape<"CreateScheduleGroup">, unknown>({
      input: shapes.CreateScheduleGroup,
      authorize: onGroup("CreateScheduleGroup"),
      run: (input) =>
        once("CreateScheduleGroup", input, () => {
          if (groups.has(input.Name)) {
            throw conflict(`Schedule group ${input.Name} already exists.`);
          }
          createGroup(input.Name);
          return { ScheduleGroupArn: groupArn(input.Name) };
        }),
    }),

    GetScheduleGroup: operation<Shape<"GetScheduleGroup">, unknown>({
      input: shapes.GetScheduleGroup,
      authorize: onGroup("GetScheduleGroup"),
      run: ({ Name }) => showGroup(groupNamed(Name), groupArn(Name)),
    }),

    DeleteScheduleGroup: operation<Shape<"DeleteScheduleGroup">, unknown>({
      input: shapes.DeleteScheduleGroup,
      authorize: onGroup("DeleteScheduleGroup"),
      run: (input) =>
        once("DeleteScheduleGroup", input, () => {
          if (input.Name === "default")
            throw invalid("The default schedule group can't be deleted.");
          // Its schedules go with it; AWS takes a while for that and shows DELETING.
          for (const schedule of groupNamed(input.Name).schedules.values()) schedule.stop();
          groups.delete(input.Name);
          return {};
        }),
    }),

    ListScheduleGroups: operation<Shape<"ListScheduleGroups">, unknown>({
      input: shapes.ListScheduleGroups,
      authorize: () => [{ action: "scheduler:ListScheduleGroups", resource: "*" }],
      run({ NamePrefix = "", NextToken, MaxResults = defaultLimit }) {
        const all = [...groups.values()].filter(({ name }) => name.startsWith(NamePrefix));
        const { page, nextToken } = pageOf(all, ({ name }) => name, NextToken, MaxResults);
        return {
          ScheduleGroups: page.map((each) => showGroup(each, groupArn(each.name))),
          NextToken: nextToken,
        };
      },
    }),
  };

  return {
    name: "scheduler",
    protocol: schedulerProtocol,
    operations,
    configure(changes) {
      const next = { ...settings, ...changes };
      const { fireLateMs: late } = next;
      if (late !== "random" && !(late >= 0 && late <= LATEST_MS)) {
        throw new RangeError(`fireLateMs is 0 to ${LATEST_MS} or random, not ${late}`);
      }
      settings = next;
    },
  };
};

function missing(what: string): AwsError {
  return new AwsError("ResourceNotFoundException", `${what} does not exist.`, 404);
}

function conflict(message: string): AwsError {
  return new AwsError("ConflictException", message, 409);
}

function invalid(message: string): AwsError {
  return new AwsError("ValidationException", message);
}

/** What the shape alone cannot say. */
function checkSchedule(input: ScheduleInput, now: number, past: SchedulerSettings["past"]) {
  const { ScheduleExpression: text, ScheduleExpressionTimezone: zone = "UTC", Target } = input;
  if (!isTimeZone(zone)) throw invalid(`Invalid Schedule Expression Timezone ${zone}.`);
  const expression = parseExpression(text, zone);
  if (expression === undefined) throw invalid(`Invalid Schedule Expression ${text}.`);
  if (expression.kind === "at" && expression.at < now && past === "refuse") {
    throw invalid(`Invalid Schedule Expression ${text}. It lies in the past.`);
  }
  const { StartDate: start, EndDate: end } = input;
  if (start !== undefined && end !== undefined && start >= end) {
    throw invalid("The EndDate you specify must come after the StartDate.");
  }
  if (expression.kind !== "at" && end !== undefined && end * 1000 <= now) {
    throw invalid("The EndDate you specify cannot be in the past.");
  }
  const [arn, partition, service, region, account, ...rest] = Target.Arn.split(":");
  // Other services, and universal targets (aws-sdk:…), have nothing here that would receive.
  if (arn !== "arn" || partition !== "aws" || !region || !account || rest.length === 0) {
    throw invalid(`Provided Arn is not in correct format: ${Target.Arn}`);
  }
  if (service !== "lambda" && service !== "sqs") {
    throw invalid(`Targets of ${service} are not supported here: ${Target.Arn}`);
  }
  if (service !== "sqs" && Target.SqsParameters !== undefined) {
    throw invalid("SqsParameters are for queues only.");
  }
  if (Target.Arn.endsWith(".fifo") && Target.SqsParameters?.MessageGroupId === undefined) {
    throw invalid("A FIFO queue needs SqsParameters with a MessageGroupId.");
  }
  return expression;
}

function summary({ arn, group, input, createdAt, modifiedAt }: Schedule) {
  return {
    Arn: arn,
    Name: input.Name,
    GroupName: group,
    State: input.State ?? "ENABLED",
    CreationDate: createdAt / 1000,
    LastModificationDate: modifiedAt / 1000,
    Target: input.Target,
  };
}

function show(schedule: Schedule) {
  const { Target, ...input } = schedule.input;
  return {
    ...input,
    ...summary(schedule),
    ScheduleExpressionTimezone: input.ScheduleExpressionTimezone ?? "UTC",
    ActionAfterCompletion: input.ActionAfterCompletion ?? "NONE",
    Target: {
      ...Target,
      RetryPolicy: {
        MaximumEventAgeInSeconds: 86_400,
        MaximumRetryAttempts: 185,
        ...Target.RetryPolicy,
      },
    },
  };
}

function showGroup({ name, createdAt }: Group, arn: string) {
  return {
    Arn: arn,
    Name: name,
    State: "ACTIVE",
    CreationDate: createdAt / 1000,
    LastModificationDate: createdAt / 1000,
  };
}
