/** One schedule: when it fires, what it sends, and when it is over. */
import { deliverWithRetries } from "../events/delivery.ts";
import { type Expression, nextTime } from "../events/expression.ts";
import type { World } from "../service.ts";
import { uuid } from "../uuid.ts";
import type { ScheduleInput } from "./shapes.ts";

export interface Schedule {
  readonly arn: string;
  readonly group: string;
  readonly input: ScheduleInput;
  readonly expression: Expression;
  readonly createdAt: number;
  readonly modifiedAt: number;
  /** Ends waiting, and retries that are under way. */
  readonly stop: () => void;
}

const sender = "scheduler.amazonaws.com";

/** Starts a schedule. `onCompleted` is called once, when it will never send anything again. */
export function startSchedule(
  world: World,
  of: Omit<Schedule, "stop">,
  options: { readonly lateMs: () => number; readonly onCompleted: () => void },
): Schedule {
  const { input, expression } = of;
  const stops = new Set<() => void>();
  const now = world.clock.now();
  const oneTime = expression.kind === "at";
  // Start and end do not apply to one-time schedules.
  const start =
    oneTime || input.StartDate === undefined ? now : Math.max(now, input.StartDate * 1000);
  const end =
    oneTime || input.EndDate === undefined ? Number.POSITIVE_INFINITY : input.EndDate * 1000;

  const send = (scheduledAt: number, last: boolean) => {
    const stop = deliverWithRetries(world, {
      ...attemptsOf(world, of, scheduledAt),
      onDone: () => {
        stops.delete(stop);
        if (last) options.onCompleted();
      },
    });
    stops.add(stop);
  };

  const later = (at: number, task: () => void) => {
    const cancel = world.clock.schedule(at, () => {
      stops.delete(cancel);
      task();
    });
    stops.add(cancel);
  };

  const wait = (at: number) => {
    const next = nextTime(expression, at, start);
    const last = next === undefined || next > end;
    const { FlexibleTimeWindow: window } = input;
    const windowMs = window.Mode === "OFF" ? 0 : window.MaximumWindowInMinutes * 60_000;
    const fireAt = at + options.lateMs() + Math.floor(world.random() * windowMs);
    later(fireAt, () => send(at, last));
    if (!last) later(at, () => wait(next));
  };

  if (input.State !== "DISABLED") {
    // A rate's first turn is its start; a one-time schedule fires even when its time is past, if it may exist.
    const first = oneTime ? expression.at : nextTime(expression, start - 1, start);
    if (first !== undefined && first <= end) wait(first);
    else later(now, options.onCompleted); // not before the caller has the schedule
  }
  return {
    ...of,
    stop: () => {
      for (const stop of stops) stop();
      stops.clear();
    },
  };
}

function attemptsOf(world: World, { arn, input }: Omit<Schedule, "stop">, scheduledAt: number) {
  const { Target: target } = input;
  const executionId = uuid(world);
  const scheduledTime = isoSeconds(scheduledAt);
  const group = target.SqsParameters?.MessageGroupId;
  const text = target.Input ?? defaultInput(world, arn, scheduledTime);
  const deadLetterArn = target.DeadLetterConfig?.Arn;
  return {
    delivery: (attempt: number) => ({
      arn: target.Arn,
      payload: text
        .replaceAll("<aws.scheduler.schedule-arn>", arn)
        .replaceAll("<aws.scheduler.scheduled-time>", scheduledTime)
        .replaceAll("<aws.scheduler.execution-id>", executionId)
        .replaceAll("<aws.scheduler.attempt-number>", String(attempt)),
      roleArn: target.RoleArn,
      sender,
      ...(group !== undefined && { messageGroupId: group }),
    }),
    maxRetries: target.RetryPolicy?.MaximumRetryAttempts ?? 185,
    maxAgeMs: (target.RetryPolicy?.MaximumEventAgeInSeconds ?? 86_400) * 1000,
    since: world.clock.now(),
    ...(deadLetterArn !== undefined && {
      deadLetter: {
        arn: deadLetterArn,
        roleArn: target.RoleArn,
        attributes: {
          SCHEDULE_ARN: arn,
          SCHEDULED_TIME: scheduledTime,
          EXECUTION_ID: executionId,
          IS_PAYLOAD_TRUNCATED: "false",
        },
      },
    }),
  };
}

/** What a target gets from a schedule without Input. */
function defaultInput(world: World, arn: string, time: string): string {
  return JSON.stringify({
    version: "0",
    id: uuid(world),
    "detail-type": "Scheduled Event",
    source: "aws.scheduler",
    account: world.account,
    time,
    region: world.region,
    resources: [arn],
    detail: "{}",
  });
}

function isoSeconds(at: number): string {
  return new Date(at).toISOString().replace(/\.\d{3}Z$/, "Z");
}
