/**
 * What each function may do, as its execution role says. Every call that a function makes on a laptop is judged by
 * these, so a call that nobody wrote a permission for fails here and not in an account.
 */
export interface Permission {
  readonly actions: readonly string[];
  readonly resources: readonly string[];
  readonly condition?: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

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
  scheduleDeadLetters: "stint-schedules-dead",
  tokenKeys: "/stint/token-keys",
  sweepRule: "stint-sweep",
  boundary: "stint-target",
} as const;

export const DOORS = ["api", "webhook", "expire", "sweep", "relay", "audit", "revoke"] as const;
export type Door = (typeof DOORS)[number];

export const functionName = (door: Door): string => `stint-${door}`;

export const arns = ({ account, region }: Place) => {
  const table = `arn:aws:dynamodb:${region}:${account}:table/${NAMES.table}`;
  return {
    table,
    index: (name: string) => `${table}/index/${name}`,
    bus: `arn:aws:events:${region}:${account}:event-bus/${NAMES.bus}`,
    queue: (name: string) => `arn:aws:sqs:${region}:${account}:${name}`,
    function: (door: Door) => `arn:aws:lambda:${region}:${account}:function:${functionName(door)}`,
    /** Execution roles lie outside `/stint/`, so that no function can assume or change another's. */
    role: (door: Door) => `arn:aws:iam::${account}:role/stint-functions/${functionName(door)}`,
    schedulerRole: `arn:aws:iam::${account}:role/stint-functions/stint-scheduler`,
    schedules: `arn:aws:scheduler:${region}:${account}:schedule/${NAMES.scheduleGroup}/*`,
    targets: `arn:aws:iam::${account}:role/stint/*`,
    auditObjects: `arn:aws:s3:::${NAMES.auditBucket}/audit/*`,
    parameter: (name: string) => `arn:aws:ssm:${region}:${account}:parameter${name}`,
    boundary: `arn:aws:iam::${account}:policy/${NAMES.boundary}`,
  };
};

export function permissions(place: Place): Readonly<Record<Door, readonly Permission[]>> {
  const arn = arns(place);
  const readGrant = { actions: ["dynamodb:GetItem"], resources: [arn.table] };
  const endGrant = {
    actions: ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"],
    resources: [arn.table],
  };
  const markDirty = { actions: ["sqs:SendMessage"], resources: [arn.queue(NAMES.dirtyQueue)] };
  return {
    api: [
      {
        actions: [
          "dynamodb:ConditionCheckItem",
          "dynamodb:GetItem",
          "dynamodb:PutItem",
          "dynamodb:UpdateItem",
        ],
        resources: [arn.table],
      },
      {
        actions: ["dynamodb:Query"],
        resources: [arn.index("byProfile"), arn.index("byPrincipal")],
      },
      {
        actions: ["sts:AssumeRole", "sts:SetSourceIdentity", "sts:TagSession"],
        resources: [arn.targets],
      },
      {
        actions: ["scheduler:CreateSchedule", "scheduler:GetSchedule"],
        resources: [arn.schedules],
      },
      { actions: ["iam:PassRole"], resources: [arn.schedulerRole] },
      { actions: ["ssm:GetParameter"], resources: [arn.parameter(NAMES.tokenKeys)] },
    ],
    webhook: [
      { actions: ["dynamodb:PutItem", "dynamodb:UpdateItem"], resources: [arn.table] },
      { actions: ["ssm:GetParameter"], resources: [arn.parameter("/stint/webhooks/*")] },
    ],
    expire: [endGrant],
    sweep: [endGrant, { actions: ["dynamodb:Query"], resources: [arn.index("due")] }, markDirty],
    relay: [
      endGrant,
      { actions: ["dynamodb:Query"], resources: [arn.table] },
      markDirty,
      { actions: ["scheduler:DeleteSchedule"], resources: [arn.schedules] },
    ],
    audit: [
      { actions: ["s3:GetObject", "s3:PutObject"], resources: [arn.auditObjects] },
      { actions: ["events:PutEvents"], resources: [arn.bus] },
    ],
    revoke: [
      readGrant,
      {
        actions: ["dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem"],
        resources: [arn.table],
      },
      { actions: ["iam:GetRolePolicy"], resources: [arn.targets] },
      {
        actions: ["iam:PutRolePolicy"],
        resources: [arn.targets],
        // Without it this function could write itself a way out of any role that lies under the path.
        condition: { StringEquals: { "iam:PermissionsBoundary": arn.boundary } },
      },
    ],
  };
}

export const policyOf = (allowed: readonly Permission[]): string =>
  JSON.stringify({
    Version: "2012-10-17",
    Statement: allowed.map(({ actions, resources, condition }) => ({
      Effect: "Allow",
      Action: actions,
      Resource: resources,
      ...(condition === undefined ? {} : { Condition: condition }),
    })),
  });
