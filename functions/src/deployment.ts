/**
 * What a deployment gives each function, in an account as on a laptop: one list of functions, of what each may do, and
 * of how large it is. The stacks declare it, local AWS holds every call to it.
 */

import type { Setting } from "./live.ts";

export const DOORS = [
  "api",
  "webhook",
  "expire",
  "sweep",
  "relay",
  "audit",
  "revoke",
  "prove",
  "reconcile",
  "clear",
  "doctor",
] as const;
export type Door = (typeof DOORS)[number];

/** Roles are called by the function that each is of. */
export type Role = Exclude<Door, "prove" | "doctor">;

/**
 * Whose role a function runs under: its own. But target roles let in the broker alone, and who proves that a session is
 * dead, or tries a role before there are grants, must have one.
 */
export const roleOf = (door: Door): Role => (door === "doctor" || door === "prove" ? "api" : door);

export const ROLES: readonly Role[] = [...new Set(DOORS.map(roleOf))];

/** Functions lie outside `/stint/`, so that none of them can assume or change another's role. */
export const FUNCTION_PATH = "/stint-functions/";

/** `A` is an ARN: text on a laptop, a promise of one while a deployment is being planned. */
export interface Permission<A> {
  readonly actions: readonly string[];
  readonly resources: readonly A[];
  readonly condition?: Readonly<Record<string, Readonly<Record<string, A>>>>;
}

/** The ARNs that permissions are about. */
export interface Resources<A> {
  readonly table: A;
  readonly index: (name: "due" | "byProfile" | "byPrincipal") => A;
  readonly bus: A;
  readonly dirtyQueue: A;
  readonly proofQueue: A;
  readonly clearQueue: A;
  /** What holds the passwords of the roles that Stint acts as on servers: none without such targets. */
  readonly adminSecrets: readonly Permission<A>[];
  readonly schedulerRole: A;
  /** All schedules of the group. */
  readonly schedules: A;
  /** Where AWS knows no narrower resource. */
  readonly anything: A;
  /** All roles under `/stint/` in this account. */
  readonly targets: A;
  /** The same in any account: which of them let the broker in is said by their trust. */
  readonly targetsAnywhere: A;
  /** All roles of this account: one that is gone has no path by which to tell that it was a target. */
  readonly roles: A;
  /** The role by which another account lets its target roles be written on, in any account. */
  readonly revokersAnywhere: A;
  /** The boundary that a target role of this account carries. */
  readonly boundary: A;
  readonly auditObjects: A;
  readonly tokenKeys: A;
  /** All parameters that hold a webhook's secret. */
  readonly webhookSecrets: readonly A[];
}

/** What each function may do, by its role: exactly the calls that it makes. */
export function permissions<A>(of: Resources<A>): Readonly<Record<Role, readonly Permission<A>[]>> {
  const endGrant = {
    actions: ["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"],
    resources: [of.table],
  };
  const markDirty = { actions: ["sqs:SendMessage"], resources: [of.dirtyQueue, of.clearQueue] };
  return {
    api: [
      {
        actions: [
          "dynamodb:ConditionCheckItem",
          "dynamodb:DeleteItem",
          "dynamodb:GetItem",
          "dynamodb:PutItem",
          "dynamodb:UpdateItem",
        ],
        resources: [of.table],
      },
      {
        actions: ["dynamodb:Query"],
        // Of the table for who has sessions of a role, which no index may be late to tell.
        resources: [of.table, of.index("byProfile"), of.index("byPrincipal")],
      },
      {
        actions: ["sts:AssumeRole", "sts:SetSourceIdentity", "sts:TagSession"],
        resources: [of.targetsAnywhere],
      },
      {
        actions: ["scheduler:CreateSchedule", "scheduler:GetSchedule"],
        resources: [of.schedules],
      },
      { actions: ["iam:PassRole"], resources: [of.schedulerRole] },
      { actions: ["ssm:GetParameter"], resources: [of.tokenKeys] },
      ...of.adminSecrets,
    ],
    webhook: [
      { actions: ["dynamodb:PutItem", "dynamodb:UpdateItem"], resources: [of.table] },
      { actions: ["ssm:GetParameter"], resources: of.webhookSecrets },
    ],
    expire: [endGrant],
    sweep: [endGrant, { actions: ["dynamodb:Query"], resources: [of.index("due")] }, markDirty],
    relay: [
      endGrant,
      { actions: ["dynamodb:Query"], resources: [of.table] },
      markDirty,
      { actions: ["scheduler:DeleteSchedule"], resources: [of.schedules] },
    ],
    audit: [
      { actions: ["s3:GetObject", "s3:PutObject"], resources: [of.auditObjects] },
      { actions: ["events:PutEvents"], resources: [of.bus] },
    ],
    clear: [
      endGrant,
      { actions: ["sqs:ChangeMessageVisibility"], resources: [of.clearQueue] },
      ...of.adminSecrets,
    ],
    revoke: [
      endGrant,
      { actions: ["dynamodb:Query"], resources: [of.table] },
      { actions: ["sqs:ChangeMessageVisibility"], resources: [of.dirtyQueue] },
      { actions: ["sqs:SendMessage"], resources: [of.proofQueue] },
      { actions: ["sts:AssumeRole"], resources: [of.revokersAnywhere] },
      { actions: ["iam:GetRolePolicy"], resources: [of.targets] },
      { actions: ["iam:GetRole"], resources: [of.roles] },
      {
        actions: ["iam:PutRolePolicy"],
        resources: [of.targets],
        // Without it this function could write itself a way out of any role that lies under the path.
        condition: { StringEquals: { "iam:PermissionsBoundary": of.boundary } },
      },
    ],
    reconcile: [
      {
        actions: [
          "dynamodb:ConditionCheckItem",
          "dynamodb:DeleteItem",
          "dynamodb:GetItem",
          "dynamodb:PutItem",
        ],
        resources: [of.table],
      },
      { actions: ["dynamodb:Query"], resources: [of.table, of.index("due")] },
      {
        actions: ["scheduler:CreateSchedule", "scheduler:DeleteSchedule", "scheduler:GetSchedule"],
        resources: [of.schedules],
      },
      { actions: ["scheduler:ListSchedules"], resources: [of.anything] },
      { actions: ["iam:PassRole"], resources: [of.schedulerRole] },
      markDirty,
      ...of.adminSecrets,
    ],
  };
}

/** What the Scheduler's role may do: call the one function, and leave what it could not deliver. */
export const schedulerPermissions = <A>(of: {
  readonly expire: A;
  readonly deadLetters: A;
}): readonly Permission<A>[] => [
  { actions: ["lambda:InvokeFunction"], resources: [of.expire] },
  { actions: ["sqs:SendMessage"], resources: [of.deadLetters] },
];

/** What each function is told of the deployment: the names that its bundle asks for. */
export const SETTINGS: Readonly<Record<Door, readonly Setting[]>> = {
  api: [
    "STINT_TABLE",
    "STINT_SCHEDULE_GROUP",
    "STINT_EXPIRE_ARN",
    "STINT_SCHEDULER_ROLE_ARN",
    "STINT_SCHEDULE_DLQ_ARN",
    "STINT_TOKEN_KEYS",
  ],
  webhook: ["STINT_TABLE", "STINT_WEBHOOK_SECRETS"],
  expire: ["STINT_TABLE"],
  sweep: ["STINT_TABLE", "STINT_DIRTY_QUEUE_URL", "STINT_CLEAR_QUEUE_URL"],
  relay: ["STINT_TABLE", "STINT_DIRTY_QUEUE_URL", "STINT_CLEAR_QUEUE_URL", "STINT_SCHEDULE_GROUP"],
  audit: ["STINT_AUDIT_BUCKET", "STINT_BUS"],
  revoke: ["STINT_TABLE", "STINT_DIRTY_QUEUE_URL", "STINT_PROOF_QUEUE_URL", "STINT_ACCOUNT"],
  prove: ["STINT_TABLE"],
  reconcile: [
    "STINT_TABLE",
    "STINT_DIRTY_QUEUE_URL",
    "STINT_SCHEDULE_GROUP",
    "STINT_EXPIRE_ARN",
    "STINT_SCHEDULER_ROLE_ARN",
    "STINT_SCHEDULE_DLQ_ARN",
  ],
  clear: ["STINT_TABLE", "STINT_CLEAR_QUEUE_URL"],
  doctor: [],
};

interface Size {
  /** Time-out. Shorter than the issuing deadline, and, for what a queue invokes, than the queue's visibility. */
  readonly seconds: number;
  readonly megabytes: number;
  /** So many at once and no more, where a burst at this door would take what the others need. */
  readonly atOnce?: number;
}

/** CPU comes with memory: what a caller waits for, or what must keep up with a stream, gets more of it. */
export const SIZES: Readonly<Record<Door, Size>> = {
  api: { seconds: 25, megabytes: 1024 },
  webhook: { seconds: 10, megabytes: 512, atOnce: 50 },
  expire: { seconds: 20, megabytes: 512 },
  sweep: { seconds: 55, megabytes: 512 },
  relay: { seconds: 50, megabytes: 512 },
  audit: { seconds: 50, megabytes: 512 },
  revoke: { seconds: 20, megabytes: 512 },
  prove: { seconds: 60, megabytes: 512 },
  // It mints nothing, so the issuing deadline is none of its business: as long as Lambda lets it.
  reconcile: { seconds: 900, megabytes: 512 },
  clear: { seconds: 120, megabytes: 512 },
  doctor: { seconds: 60, megabytes: 512 },
};

/** Six times the worker's time-out, so that a role's message is never at two workers. */
export const DIRTY_VISIBILITY_SECONDS = 6 * SIZES.revoke.seconds;

/**
 * How often a role's message is tried, within about three minutes, before it is set aside for people to look at and its
 * grants are stuck. The sweeper goes on marking the role.
 */
export const DIRTY_TRIES = 8;

/** Longer than the time-out of what clears: two at one grant do no harm, and wait for each other. */
export const CLEAR_VISIBILITY_SECONDS = 2 * SIZES.clear.seconds;

export const CLEAR_TRIES = 8;

/** Longer than the prover's time-out; what it could not prove it asks about again after this. */
export const PROOF_VISIBILITY_SECONDS = 2 * SIZES.prove.seconds;

/** For as long as the longest lease may run. */
export const PROOF_TRIES = 60;
