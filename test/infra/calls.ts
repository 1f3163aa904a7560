/**
 * Which permissions a bundle needs, derived from the bundle: esbuild leaves out every SDK command that no code of the
 * function can reach, so those that are in it are the calls that it can make.
 */
import type { Metafile } from "esbuild";
import { partsOf } from "../../scripts/bundle.ts";

/**
 * The actions that each command takes, by AWS's Service Authorization Reference. A transaction's follow from what is in it:
 * see `TRANSACTED`.
 */
const ACTIONS: Readonly<Record<string, readonly string[]>> = {
  "dynamodb/GetItem": ["dynamodb:GetItem"],
  "dynamodb/PutItem": ["dynamodb:PutItem"],
  "dynamodb/Query": ["dynamodb:Query"],
  "dynamodb/UpdateItem": ["dynamodb:UpdateItem"],
  "dynamodb/TransactWriteItems": [],
  "eventbridge/PutEvents": ["events:PutEvents"],
  "iam/GetRole": ["iam:GetRole"],
  "iam/GetRolePolicy": ["iam:GetRolePolicy"],
  "iam/PutRolePolicy": ["iam:PutRolePolicy"],
  "s3/HeadObject": ["s3:GetObject"],
  "s3/PutObject": ["s3:PutObject"],
  "scheduler/CreateSchedule": ["iam:PassRole", "scheduler:CreateSchedule"],
  "scheduler/DeleteSchedule": ["scheduler:DeleteSchedule"],
  "scheduler/GetSchedule": ["scheduler:GetSchedule"],
  "scheduler/ListSchedules": ["scheduler:ListSchedules"],
  "sqs/ChangeMessageVisibility": ["sqs:ChangeMessageVisibility"],
  "sqs/SendMessage": ["sqs:SendMessage"],
  "ssm/GetParameter": ["ssm:GetParameter"],
  "sts/AssumeRole": ["sts:AssumeRole"],
};

/** In every bundle of the client, and never called as we use it. */
const INERT: Readonly<Record<string, string>> = {
  "dynamodb/DescribeEndpoints": "endpoint discovery, off unless it is configured",
  "s3/CreateSession": "directory buckets only",
};

/** What a transaction's items take. Property names outlive minification. */
const TRANSACTED = {
  ConditionCheck: "dynamodb:ConditionCheckItem",
  Delete: "dynamodb:DeleteItem",
  Put: "dynamodb:PutItem",
  Update: "dynamodb:UpdateItem",
} as const;

/** What a session takes that has one or the other. */
const ASSUMED = { SourceIdentity: "sts:SetSourceIdentity", Tags: "sts:TagSession" } as const;

const COMMAND = /@aws-sdk\/client-([a-z0-9-]+)\/.*\/commands\/(\w+)Command\.js$/;

/** The commands in a bundle, as `service/Name`. */
const commandsOf = (metafile: Metafile): string[] =>
  partsOf(metafile)
    .flatMap((file) => {
      const [, service, name] = COMMAND.exec(file) ?? [];
      return service === undefined ? [] : [`${service}/${name}`];
    })
    .filter((command) => !(command in INERT))
    .toSorted();

/** @throws Error for a command that nobody has written down the actions of. */
export function actionsOf(metafile: Metafile, code: string): string[] {
  const commands = commandsOf(metafile);
  const actions = commands.flatMap((command) => {
    const known = ACTIONS[command];
    if (known === undefined)
      throw new Error(`${command}: write into test/infra/calls.ts which actions it takes`);
    return known;
  });
  if (commands.includes("dynamodb/TransactWriteItems"))
    for (const [item, action] of Object.entries(TRANSACTED))
      if (code.includes(`{${item}:{`)) actions.push(action);
  if (commands.includes("sts/AssumeRole"))
    for (const [property, action] of Object.entries(ASSUMED))
      if (new RegExp(`[{,]${property}:`).test(code)) actions.push(action);
  return [...new Set(actions)].toSorted();
}
