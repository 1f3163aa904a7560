/** The bus on which facts are told, its archive, and rules. */
import { kept, named } from "./stage.ts";

export function events() {
  const bus = new sst.aws.Bus("Bus", { transform: { bus: { name: named("facts") } } });
  new aws.cloudwatch.EventArchive("Archive", {
    name: named("facts"),
    eventSourceArn: bus.arn,
    retentionDays: kept().days,
    description: "What happened, to be read again",
  });
  return { bus };
}

/** Invokes a function on a schedule. What could not be delivered goes to a queue. */
export function every(
  name: string,
  of: {
    readonly part: string;
    readonly rate: string;
    readonly function: sst.aws.Function;
    readonly dead: sst.aws.Queue;
    /** How long and how often its event is delivered again. */
    readonly again: { readonly seconds: number; readonly times: number };
  },
) {
  const rule = new aws.cloudwatch.EventRule(name, {
    name: named(of.part),
    scheduleExpression: of.rate,
  });
  new aws.lambda.Permission(`${name}Permission`, {
    action: "lambda:InvokeFunction",
    function: of.function.name,
    principal: "events.amazonaws.com",
    sourceArn: rule.arn,
  });
  new aws.cloudwatch.EventTarget(`${name}Target`, {
    rule: rule.name,
    arn: of.function.arn,
    deadLetterConfig: { arn: of.dead.arn },
    retryPolicy: {
      maximumEventAgeInSeconds: of.again.seconds,
      maximumRetryAttempts: of.again.times,
    },
  });
  new aws.sqs.QueuePolicy(`${name}DeadPolicy`, {
    queueUrl: of.dead.url,
    policy: aws.iam.getPolicyDocumentOutput({
      statements: [
        {
          principals: [{ type: "Service", identifiers: ["events.amazonaws.com"] }],
          actions: ["sqs:SendMessage"],
          resources: [of.dead.arn],
          conditions: [{ test: "ArnEquals", variable: "aws:SourceArn", values: [rule.arn] }],
        },
      ],
    }).json,
  });
  return rule;
}
