/** The inputs of EventBridge's operations. */
import { z } from "zod";

const busName = z.string().min(1).max(1600);
const ruleName = z.string().regex(/^[.\-_A-Za-z0-9]{1,64}$/, "must match [\\.\\-_A-Za-z0-9]+");
const roleArn = z.string().min(1).max(1600);
const limit = z.int().min(1).max(100).optional();
const NextToken = z.string().min(1).max(2048).optional();
const ofRule = { Name: ruleName, EventBusName: busName.optional() };

const target = z.strictObject({
  Id: z.string().regex(/^[.\-_A-Za-z0-9]{1,64}$/, "must match [\\.\\-_A-Za-z0-9]+"),
  Arn: z.string().min(1).max(1600),
  RoleArn: roleArn.optional(),
  Input: z.string().max(8192).optional(),
  InputPath: z.string().max(256).optional(),
  InputTransformer: z
    .strictObject({
      InputPathsMap: z.record(z.string(), z.string()).optional(),
      InputTemplate: z.string().min(1).max(8192),
    })
    .optional(),
  SqsParameters: z.strictObject({ MessageGroupId: z.string().min(1).optional() }).optional(),
  DeadLetterConfig: z.strictObject({ Arn: z.string().min(1).max(1600).optional() }).optional(),
  RetryPolicy: z
    .strictObject({
      MaximumRetryAttempts: z.int().min(0).max(185).optional(),
      MaximumEventAgeInSeconds: z.int().min(60).max(86_400).optional(),
    })
    .optional(),
});

export type Target = z.infer<typeof target>;

export const shapes = {
  CreateEventBus: z.strictObject({
    Name: z.string().regex(/^[/.\-_A-Za-z0-9]{1,256}$/, "must match [/\\.\\-_A-Za-z0-9]+"),
    Description: z.string().max(512).optional(),
  }),
  DeleteEventBus: z.strictObject({ Name: z.string().min(1).max(256) }),
  DescribeEventBus: z.strictObject({ Name: busName.optional() }),
  ListEventBuses: z.strictObject({
    NamePrefix: z.string().min(1).max(256).optional(),
    NextToken,
    Limit: limit,
  }),
  PutEvents: z.strictObject({
    Entries: z
      .array(
        z.strictObject({
          /** Epoch seconds, as AWS's JSON has dates. */
          Time: z.number().optional(),
          Source: z.string().optional(),
          Resources: z.array(z.string().max(2048)).optional(),
          DetailType: z.string().optional(),
          Detail: z.string().optional(),
          EventBusName: busName.optional(),
          TraceHeader: z.string().min(1).max(500).optional(),
        }),
      )
      .min(1)
      .max(10),
  }),
  PutRule: z.strictObject({
    ...ofRule,
    ScheduleExpression: z.string().max(256).optional(),
    EventPattern: z.string().max(4096).optional(),
    State: z.enum(["ENABLED", "DISABLED"]).optional(),
    Description: z.string().max(512).optional(),
    RoleArn: roleArn.optional(),
  }),
  DescribeRule: z.strictObject(ofRule),
  EnableRule: z.strictObject(ofRule),
  DisableRule: z.strictObject(ofRule),
  DeleteRule: z.strictObject({ ...ofRule, Force: z.boolean().optional() }),
  ListRules: z.strictObject({
    NamePrefix: ruleName.optional(),
    EventBusName: busName.optional(),
    NextToken,
    Limit: limit,
  }),
  PutTargets: z.strictObject({
    Rule: ruleName,
    EventBusName: busName.optional(),
    Targets: z.array(target).min(1).max(100),
  }),
  ListTargetsByRule: z.strictObject({
    Rule: ruleName,
    EventBusName: busName.optional(),
    NextToken,
    Limit: limit,
  }),
  RemoveTargets: z.strictObject({
    Rule: ruleName,
    EventBusName: busName.optional(),
    Ids: z.array(z.string().min(1).max(64)).min(1).max(100),
    Force: z.boolean().optional(),
  }),
  TestEventPattern: z.strictObject({ EventPattern: z.string().max(4096), Event: z.string() }),
};

export type Shape<N extends keyof typeof shapes> = z.infer<(typeof shapes)[N]>;
export type PutEventsEntry = Shape<"PutEvents">["Entries"][number];
