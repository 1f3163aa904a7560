import {
  ConflictException,
  CreateScheduleCommand,
  DeleteScheduleCommand,
  GetScheduleCommand,
  type GetScheduleCommandOutput,
  ListSchedulesCommand,
  ResourceNotFoundException,
  type SchedulerClient,
} from "@aws-sdk/client-scheduler";
import type { Schedules, Timetable, Unscheduling } from "@stint/broker/ports";

export interface ScheduleSettings {
  readonly group: string;
  /** ARN of the function that ends what is due, of the role that may invoke it, and of the queue for what failed. */
  readonly target: string;
  readonly role: string;
  readonly deadLetters: string;
}

/** One-time schedules, each named by its grant, deleted by Scheduler once they have fired. */
export const createSchedules = (
  scheduler: SchedulerClient,
  settings: ScheduleSettings,
): Schedules => ({
  async create(grantId, at) {
    const expression = atExpression(at);
    try {
      await scheduler.send(
        new CreateScheduleCommand({
          Name: grantId,
          GroupName: settings.group,
          ScheduleExpression: expression,
          ScheduleExpressionTimezone: "UTC",
          FlexibleTimeWindow: { Mode: "OFF" },
          ActionAfterCompletion: "DELETE",
          Target: {
            Arn: settings.target,
            RoleArn: settings.role,
            Input: JSON.stringify({ grant: grantId }),
            RetryPolicy: { MaximumRetryAttempts: 185, MaximumEventAgeInSeconds: 86_400 },
            // A schedule whose retries are used up is deleted with its timer: this is what remains of it.
            DeadLetterConfig: { Arn: settings.deadLetters },
          },
        }),
      );
    } catch (error) {
      if (!(error instanceof ConflictException)) throw error;
      const existing = await scheduler.send(
        new GetScheduleCommand({ Name: grantId, GroupName: settings.group }),
      );
      // Our own earlier attempt, or a schedule that would end the grant at another time.
      if (!fires(existing, at)) throw error;
    }
  },
});

const fires = (existing: GetScheduleCommandOutput, at: number): boolean =>
  existing.ScheduleExpression === atExpression(at) && existing.State !== "DISABLED";

/** What there is, for who looks through all of it. */
export const createTimetable = (scheduler: SchedulerClient, group: string): Timetable => ({
  async *all() {
    let from: string | undefined;
    do {
      const page = await scheduler.send(
        new ListSchedulesCommand({
          GroupName: group,
          MaxResults: 100,
          ...(from === undefined ? {} : { NextToken: from }),
        }),
      );
      for (const { Name } of page.Schedules ?? []) if (Name !== undefined) yield Name;
      from = page.NextToken;
    } while (from !== undefined);
  },

  async check(grantId, at) {
    try {
      const existing = await scheduler.send(
        new GetScheduleCommand({ Name: grantId, GroupName: group }),
      );
      return fires(existing, at) ? "right" : "wrong";
    } catch (error) {
      if (error instanceof ResourceNotFoundException) return "missing";
      throw error;
    }
  },
});

/** Takes away those whose grants have ended before their time. */
export const createUnscheduling = (scheduler: SchedulerClient, group: string): Unscheduling => ({
  async remove(grantId) {
    try {
      await scheduler.send(new DeleteScheduleCommand({ Name: grantId, GroupName: group }));
    } catch (error) {
      if (!(error instanceof ResourceNotFoundException)) throw error;
    }
  },
});

/** Never early: a part of a second is rounded up. */
const atExpression = (ms: number): string =>
  `at(${new Date(Math.ceil(ms / 1000) * 1000).toISOString().slice(0, 19)})`;
