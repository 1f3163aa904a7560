import { EventBridgeClient } from "@aws-sdk/client-eventbridge";
import { CreateRoleCommand, IAMClient, PutRolePolicyCommand } from "@aws-sdk/client-iam";
import { SchedulerClient } from "@aws-sdk/client-scheduler";
import { CreateQueueCommand, ReceiveMessageCommand, SQSClient } from "@aws-sdk/client-sqs";
import { createLocalAws } from "../src/aws.ts";
import { createVirtualClock } from "../src/clock.ts";
import { letsRulesIn } from "../src/roles.ts";
import { events } from "../src/services/events.ts";
import { scheduler } from "../src/services/scheduler.ts";
import { sqs } from "../src/services/sqs.ts";

/** Where the virtual clock begins: a full minute. */
export const start = Date.UTC(2026, 0, 5, 12, 0, 0);

/** Every rule of the account. */
export const RULES = "arn:aws:events:us-east-1:000000000000:rule/*";

/** Local AWS with the three services and real SDK clients of the administrator. */
export function messaging() {
  const aws = createLocalAws({
    clock: createVirtualClock(start),
    iamDelayMs: 0,
    services: { sqs, events, scheduler },
  });
  const config = {
    region: "us-east-1",
    credentials: aws.administrator,
    requestHandler: aws.requestHandler,
    maxAttempts: 1,
  };
  const clients = {
    sqs: new SQSClient(config),
    events: new EventBridgeClient(config),
    scheduler: new SchedulerClient(config),
    iam: new IAMClient(config),
  };

  const createQueue = async (QueueName: string, Attributes: Record<string, string> = {}) => {
    const { QueueUrl = "" } = await clients.sqs.send(
      new CreateQueueCommand({ QueueName, Attributes }),
    );
    return { url: QueueUrl, arn: `arn:aws:sqs:us-east-1:000000000000:${QueueName}` };
  };

  /** A queue that takes what rules send. */
  const createTarget = (name: string) =>
    createQueue(name, { Policy: letsRulesIn(`arn:aws:sqs:us-east-1:000000000000:${name}`, RULES) });

  /** What can be received right now; it stays in the queue, invisible. */
  const receive = async (url: string, options: Partial<ReceiveMessageCommand["input"]> = {}) => {
    const { Messages = [] } = await clients.sqs.send(
      new ReceiveMessageCommand({
        QueueUrl: url,
        MaxNumberOfMessages: 10,
        MessageAttributeNames: ["All"],
        MessageSystemAttributeNames: ["All"],
        ...options,
      }),
    );
    return Messages;
  };

  /** A role that a service may take on, and that may send to `resource`. */
  const createRole = async (RoleName: string, service: string, resource = "*") => {
    await clients.iam.send(
      new CreateRoleCommand({
        RoleName,
        AssumeRolePolicyDocument: JSON.stringify({
          Version: "2012-10-17",
          Statement: [
            { Effect: "Allow", Principal: { Service: service }, Action: "sts:AssumeRole" },
          ],
        }),
      }),
    );
    await clients.iam.send(
      new PutRolePolicyCommand({
        RoleName,
        PolicyName: "deliver",
        PolicyDocument: JSON.stringify({
          Version: "2012-10-17",
          Statement: [
            {
              Effect: "Allow",
              Action: ["sqs:SendMessage", "lambda:InvokeFunction"],
              Resource: resource,
            },
          ],
        }),
      }),
    );
    return `arn:aws:iam::000000000000:role/${RoleName}`;
  };

  return { aws, ...clients, createQueue, createTarget, receive, createRole };
}

/** What an SDK call fails with: the name and message that a caller sees. */
export async function failure(call: Promise<unknown>): Promise<{ name: string; message: string }> {
  try {
    await call;
  } catch (error) {
    if (error instanceof Error) return { name: error.name, message: error.message };
  }
  return { name: "none", message: "" };
}
