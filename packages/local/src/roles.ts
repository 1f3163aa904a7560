/** Names and ARNs of what a local deployment consists of. */
import { REVOKER_NAME } from "@stint/aws/target-role";
import {
  type Door,
  FUNCTION_PATH,
  type Permission,
  type Resources,
  roleOf,
} from "@stint/functions/deployment";

export interface Place {
  readonly account: string;
  readonly region: string;
}

export const NAMES = {
  table: "stint",
  bus: "stint",
  scheduleGroup: "stint",
  auditBucket: "stint-audit",
  dirtyQueue: "stint-dirty-roles.fifo",
  dirtyDeadLetters: "stint-dirty-roles-dead.fifo",
  proofQueue: "stint-proofs",
  clearQueue: "stint-clears",
  clearDeadLetters: "stint-clears-dead",
  adminSecrets: "/stint/postgres/",
  proofDeadLetters: "stint-proofs-dead",
  scheduleDeadLetters: "stint-schedules-dead",
  tokenKeys: "/stint/token-keys",
  webhookSecrets: "/stint/webhooks/",
  sweepRule: "stint-sweep",
  reconcileRule: "stint-reconcile",
  boundary: "stint-target",
} as const;

export const functionName = (door: Door): string => `stint-${door}`;

export const arns = ({ account, region }: Place) => {
  const table = `arn:aws:dynamodb:${region}:${account}:table/${NAMES.table}`;
  return {
    table,
    index: (name: string) => `${table}/index/${name}`,
    bus: `arn:aws:events:${region}:${account}:event-bus/${NAMES.bus}`,
    queue: (name: string) => `arn:aws:sqs:${region}:${account}:${name}`,
    function: (door: Door) => `arn:aws:lambda:${region}:${account}:function:${functionName(door)}`,
    role: (door: Door) =>
      `arn:aws:iam::${account}:role${FUNCTION_PATH}${functionName(roleOf(door))}`,
    schedulerRole: `arn:aws:iam::${account}:role${FUNCTION_PATH}stint-scheduler`,
    schedules: `arn:aws:scheduler:${region}:${account}:schedule/${NAMES.scheduleGroup}/*`,
    targets: `arn:aws:iam::${account}:role/stint/*`,
    roles: `arn:aws:iam::${account}:role/*`,
    auditObjects: `arn:aws:s3:::${NAMES.auditBucket}/audit/*`,
    parameter: (name: string) => `arn:aws:ssm:${region}:${account}:parameter${name}`,
    boundary: `arn:aws:iam::${account}:policy/${NAMES.boundary}`,
  };
};

/** What permissions are about, here. */
export function resources(place: Place): Resources<string> {
  const arn = arns(place);
  return {
    ...arn,
    anything: "*",
    dirtyQueue: arn.queue(NAMES.dirtyQueue),
    proofQueue: arn.queue(NAMES.proofQueue),
    clearQueue: arn.queue(NAMES.clearQueue),
    adminSecrets: [
      { actions: ["ssm:GetParameter"], resources: [arn.parameter(`${NAMES.adminSecrets}*`)] },
    ],
    revokersAnywhere: `arn:aws:iam::*:role/${REVOKER_NAME}`,
    targetsAnywhere: "arn:aws:iam::*:role/stint/*",
    tokenKeys: arn.parameter(NAMES.tokenKeys),
    webhookSecrets: [arn.parameter(`${NAMES.webhookSecrets}*`)],
  };
}

export const policyOf = (allowed: readonly Permission<string>[]): string =>
  JSON.stringify({
    Version: "2012-10-17",
    Statement: allowed.map(({ actions, resources, condition }) => ({
      Effect: "Allow",
      Action: actions,
      Resource: resources,
      ...(condition === undefined ? {} : { Condition: condition }),
    })),
  });

/**
 * A policy for a queue or function that lets in what EventBridge's rules send.
 * @param rules ARN of the rule, or a pattern for several
 */
export const letsRulesIn = (target: string, rules: string): string =>
  JSON.stringify({
    Version: "2012-10-17",
    Statement: [
      {
        Effect: "Allow",
        Principal: { Service: "events.amazonaws.com" },
        Action: target.startsWith("arn:aws:lambda:") ? "lambda:InvokeFunction" : "sqs:SendMessage",
        Resource: target,
        Condition: { ArnLike: { "aws:SourceArn": rules } },
      },
    ],
  });
