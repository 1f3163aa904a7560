/** What people are woken for, and the page that they then look at. `docs/operations.md` says what to do about each. */
import { TABLE } from "@stint/aws/store/table";
import { ALARMS, METRICS } from "@stint/broker/alarms";
import type { api } from "./api.ts";
import type { audit } from "./audit.ts";
import type { RevocationParts, revocation } from "./revocation.ts";
import { logGroup, named, option } from "./stage.ts";
import { ALARMS_TOPIC, type Storage } from "./storage.ts";

const NAMESPACE = "Stint";
const MINUTE = 60;

interface Watched {
  readonly parts: RevocationParts;
  readonly ends: ReturnType<typeof revocation> & { readonly prove: sst.aws.Function };
  readonly told: ReturnType<typeof audit>;
  readonly doors: ReturnType<typeof api>;
  readonly stored: Storage;
}

interface Metric {
  readonly namespace: string;
  readonly metric: string;
  readonly dimensions?: Readonly<Record<string, $util.Input<string>>>;
}

/** When it is too much: more than `above` in one period, or, for what must not fall silent, fewer than `below`. */
type Limit =
  | { readonly above: number; readonly below?: never }
  | { readonly below: number; readonly above?: never };

export function alarms(watched: Watched) {
  const topic = new aws.sns.Topic("Alarms", {
    name: named(ALARMS_TOPIC),
    kmsMasterKeyId: watched.stored.key.arn,
  });
  const email = option("STINT_ALARM_EMAIL");
  if (email !== undefined)
    new aws.sns.TopicSubscription("AlarmEmail", {
      topic: topic.arn,
      protocol: "email",
      endpoint: email,
    });

  const shown: Array<{ title: string; metric: Metric; statistic: string }> = [];
  const alarm = (
    name: string,
    description: string,
    metric: Metric,
    limit: Limit,
    of: { statistic?: string; minutes?: number; periods?: number } = {},
  ) => {
    const { statistic = "Sum", minutes = 5, periods = 1 } = of;
    shown.push({ title: name, metric, statistic });
    new aws.cloudwatch.MetricAlarm(`Alarm-${name}`, {
      name: named(name),
      alarmDescription: description,
      namespace: metric.namespace,
      metricName: metric.metric,
      dimensions: { ...metric.dimensions },
      statistic,
      period: minutes * MINUTE,
      evaluationPeriods: periods,
      ...(limit.above === undefined
        ? { comparisonOperator: "LessThanThreshold", threshold: limit.below }
        : { comparisonOperator: "GreaterThanThreshold", threshold: limit.above }),
      // Silence is the fault where something must be heard, and no news everywhere else.
      treatMissingData: limit.above === undefined ? "breaching" : "notBreaching",
      alarmActions: [topic.arn],
      okActions: [topic.arn],
    });
  };

  const { parts, ends, told, doors, stored } = watched;
  const all = { ...ends, audit: told.writer, api: doors.broker, webhook: doors.webhook };

  // What the functions themselves call an alarm: a word in a line of their logs.
  const counted = (name: string, pattern: string, metric: string, value = "1") =>
    Object.entries(all).map(
      ([door]) =>
        new aws.cloudwatch.LogMetricFilter(
          `Count-${name}-${door}`,
          {
            name: named(`${name}-${door}`),
            logGroupName: logGroup(door),
            pattern,
            metricTransformation: {
              namespace: NAMESPACE,
              name: metric,
              value,
              unit: value === "1" ? "Count" : "Milliseconds",
            },
          },
          { dependsOn: [all[door as keyof typeof all]] },
        ), // the key is one of its own
    );
  for (const [event, description] of Object.entries(ALARMS)) {
    const metric = named(event);
    counted(event, `{ $.alarm = "${event}" }`, metric);
    alarm(event, description, { namespace: NAMESPACE, metric }, { above: 0 });
  }
  for (const name of Object.keys(METRICS)) {
    const metric = named(name);
    counted(name, `{ $.metric = "${name}" }`, metric, "$.value");
    shown.push({ title: name, metric: { namespace: NAMESPACE, metric }, statistic: "p99" });
  }
  const refusals = named("refused");
  counted("refused", '{ $.message = "request" && $.code = "refused" }', refusals);
  alarm(
    "refused",
    "Many refusals: a rule that is wrong, or somebody who tries",
    { namespace: NAMESPACE, metric: refusals },
    { above: 50 },
  );

  for (const [name, queue] of Object.entries({
    "dirty-dead": parts.dirtyDead,
    "proofs-dead": parts.proofsDead,
    "clears-dead": parts.clearsDead,
    "schedules-dead": parts.schedulesDead,
    "sweep-dead": parts.sweepDead,
    "reconcile-dead": parts.reconcileDead,
    "relay-dead": parts.relayDead,
    "audit-dead": told.dead,
  }))
    alarm(
      name,
      "Something was given up, and lies in this queue for people to look at",
      {
        namespace: "AWS/SQS",
        metric: "ApproximateNumberOfMessagesVisible",
        dimensions: { QueueName: queue.nodes.queue.name },
      },
      { above: 0 },
      { statistic: "Maximum" },
    );
  alarm(
    "dirty-age",
    "A role's deny list waits to be written",
    {
      namespace: "AWS/SQS",
      metric: "ApproximateAgeOfOldestMessage",
      dimensions: { QueueName: parts.dirty.nodes.queue.name },
    },
    { above: 5 * MINUTE },
    { statistic: "Maximum" },
  );

  const ofFunction = (metric: string, made: sst.aws.Function): Metric => ({
    namespace: "AWS/Lambda",
    metric,
    dimensions: { FunctionName: made.name },
  });
  alarm(
    "sweeper-silent",
    "The sweeper has not run for five minutes: grants end by their schedules alone",
    ofFunction("Invocations", ends.sweep),
    { below: 3 },
  );
  alarm(
    "reconcile-silent",
    "The reconcile has not run for a day and a half: what has drifted apart stays so",
    ofFunction("Invocations", ends.reconcile),
    { below: 1 },
    { minutes: 12 * 60, periods: 3 },
  );
  for (const [door, made] of Object.entries(all)) {
    alarm(`${door}-errors`, `The function ${door} failed`, ofFunction("Errors", made), {
      above: 0,
    });
    alarm(
      `${door}-throttles`,
      `The function ${door} was not let run`,
      ofFunction("Throttles", made),
      { above: 0 },
    );
  }
  for (const [door, made] of Object.entries({ relay: ends.relay, audit: told.writer }))
    alarm(
      `${door}-lag`,
      `The function ${door} reads the table's changes late`,
      ofFunction("IteratorAge", made),
      { above: 5 * MINUTE * 1000 },
      { statistic: "Maximum" },
    );

  // CloudWatch counts throttling by table and by index, and adds neither up. Requests are counted by operation besides:
  // a metric of the table's name alone would be one that nobody writes.
  for (const index of [undefined, ...Object.keys(TABLE.globalIndexes)])
    for (const [kind, metric] of [
      ["read", "ReadThrottleEvents"],
      ["write", "WriteThrottleEvents"],
    ] as const)
      alarm(
        ["table", ...(index === undefined ? [] : [index]), kind, "throttles"].join("-"),
        `The table${index === undefined ? "" : `'s index ${index}`} did not take a ${kind}`,
        {
          namespace: "AWS/DynamoDB",
          metric,
          dimensions: {
            TableName: stored.table.name,
            ...(index === undefined ? {} : { GlobalSecondaryIndexName: index }),
          },
        },
        { above: 0 },
      );
  alarm(
    "bus-failures",
    "EventBridge did not take an entry (FailedEntryCount)",
    { namespace: "AWS/Events", metric: "PutEventsFailedEntriesCount" },
    { above: 0 },
  );
  const group = { ScheduleGroup: parts.group.name };
  alarm(
    "schedule-failures",
    "A schedule could not call its function: the sweeper ends its grant",
    { namespace: "AWS/Scheduler", metric: "TargetErrorCount", dimensions: group },
    { above: 0 },
  );
  alarm(
    "schedule-throttles",
    "Schedules are fired late",
    { namespace: "AWS/Scheduler", metric: "InvocationThrottleCount", dimensions: group },
    { above: 0 },
  );
  alarm(
    "api-faults",
    "The API answered with a fault of its own",
    {
      namespace: "AWS/ApiGateway",
      metric: "5xx",
      dimensions: { ApiId: doors.gateway.nodes.api.id },
    },
    { above: 5 },
  );

  new aws.cloudwatch.Dashboard("Dashboard", {
    dashboardName: named("overview"),
    dashboardBody: aws.getRegionOutput().region.apply((region) =>
      $jsonStringify({
        widgets: shown.map(({ title, metric, statistic }, at) => ({
          type: "metric",
          x: (at % 4) * 6,
          y: Math.floor(at / 4) * 5,
          width: 6,
          height: 5,
          properties: {
            title,
            region,
            stat: statistic,
            period: 5 * MINUTE,
            metrics: [
              [metric.namespace, metric.metric, ...Object.entries(metric.dimensions ?? {}).flat()],
            ],
          },
        })),
      }),
    ),
  });
  return { topic };
}
