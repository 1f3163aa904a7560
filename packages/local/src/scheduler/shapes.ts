/** The inputs of Scheduler's operations. */
import { z } from "zod";

const name = z
  .string()
  .regex(/^[0-9a-zA-Z\-_.]{1,64}$/, "must satisfy regular expression pattern: [0-9a-zA-Z-_.]+");
const token = z
  .string()
  .regex(/^[a-zA-Z0-9-_]{1,64}$/, "must satisfy regular expression pattern: [a-zA-Z0-9-_]+");
const seconds = z.number();
const NextToken = z.string().min(1).max(2048).optional();
const MaxResults = z.int().min(1).max(100).optional();
const NamePrefix = name.optional();
const State = z.enum(["ENABLED", "DISABLED"]);

const target = z.strictObject({
  Arn: z.string().min(1).max(1600),
  RoleArn: z
    .string()
    .max(1600)
    .regex(/^arn:aws:iam::\d{12}:role\/[\w+=,.@\-/]+$/, "must be the ARN of a role"),
  Input: z.string().min(1).max(262_144).optional(),
  DeadLetterConfig: z
    .strictObject({
      Arn: z
        .string()
        .regex(/^arn:aws:sqs:[a-z0-9-]+:\d{12}:[a-zA-Z0-9\-_]+$/, "must be a standard queue's ARN")
        .optional(),
    })
    .optional(),
  RetryPolicy: z
    .strictObject({
      MaximumEventAgeInSeconds: z.int().min(60).max(86_400).optional(),
      MaximumRetryAttempts: z.int().min(0).max(185).optional(),
    })
    .optional(),
  SqsParameters: z
    .strictObject({ MessageGroupId: z.string().min(1).max(128).optional() })
    .optional(),
});

const schedule = z.strictObject({
  Name: name,
  GroupName: name.optional(),
  ScheduleExpression: z.string().min(1).max(256),
  ScheduleExpressionTimezone: z.string().min(1).max(50).optional(),
  /** Epoch seconds. */
  StartDate: seconds.optional(),
  EndDate: seconds.optional(),
  Description: z.string().max(512).optional(),
  State: State.optional(),
  Target: target,
  FlexibleTimeWindow: z.discriminatedUnion("Mode", [
    z.strictObject({ Mode: z.literal("OFF") }),
    z.strictObject({
      Mode: z.literal("FLEXIBLE"),
      MaximumWindowInMinutes: z.int().min(1).max(1440),
    }),
  ]),
  ActionAfterCompletion: z.enum(["NONE", "DELETE"]).optional(),
  ClientToken: token.optional(),
});

const ofSchedule = { Name: name, GroupName: name.optional() };

export const shapes = {
  CreateSchedule: schedule,
  UpdateSchedule: schedule,
  GetSchedule: z.strictObject(ofSchedule),
  DeleteSchedule: z.strictObject({ ...ofSchedule, ClientToken: token.optional() }),
  ListSchedules: z.strictObject({
    GroupName: name.optional(),
    NamePrefix,
    State: State.optional(),
    NextToken,
    MaxResults,
  }),
  CreateScheduleGroup: z.strictObject({ Name: name, ClientToken: token.optional() }),
  GetScheduleGroup: z.strictObject({ Name: name }),
  DeleteScheduleGroup: z.strictObject({ Name: name, ClientToken: token.optional() }),
  ListScheduleGroups: z.strictObject({ NamePrefix, NextToken, MaxResults }),
};

export type Shape<N extends keyof typeof shapes> = z.infer<(typeof shapes)[N]>;
export type ScheduleInput = z.infer<typeof schedule>;
