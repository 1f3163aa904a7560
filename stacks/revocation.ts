/** What ends access: schedules, the sweeper, the stream's first reader, and the worker that writes deny lists. */
import { boundaryDocument } from "@stint/aws/target-role";
import {
  CLEAR_TRIES,
  CLEAR_VISIBILITY_SECONDS,
  DIRTY_TRIES,
  DIRTY_VISIBILITY_SECONDS,
  FUNCTION_PATH,
  PROOF_TRIES,
  PROOF_VISIBILITY_SECONDS,
  schedulerPermissions,
} from "@stint/functions/deployment";
import { every } from "./events.ts";
import { type Declare, policyOf, serviceTrust } from "./functions.ts";
import { deadLetters, workQueue } from "./queues.ts";
import { named, place } from "./stage.ts";
import type { Storage } from "./storage.ts";

/** Seconds. */
const MINUTE = 60;

/** Queues, the Scheduler's group and role, and the boundary: what permissions are about, before there are functions. */
export function revocationParts() {
  const dirtyDead = deadLetters("DirtyDead", "dirty-dead", true);
  const dirty = workQueue(
    "Dirty",
    "dirty",
    { dead: dirtyDead, tries: DIRTY_TRIES, visibilitySeconds: DIRTY_VISIBILITY_SECONDS },
    true,
  );
  const proofsDead = deadLetters("ProofsDead", "proofs-dead");
  const proofs = workQueue("Proofs", "proofs", {
    dead: proofsDead,
    tries: PROOF_TRIES,
    visibilitySeconds: PROOF_VISIBILITY_SECONDS,
  });
  const clearsDead = deadLetters("ClearsDead", "clears-dead");
  const clears = workQueue("Clears", "clears", {
    dead: clearsDead,
    tries: CLEAR_TRIES,
    visibilitySeconds: CLEAR_VISIBILITY_SECONDS,
  });
  const schedulesDead = deadLetters("SchedulesDead", "schedules-dead");
  const sweepDead = deadLetters("SweepDead", "sweep-dead");
  const reconcileDead = deadLetters("ReconcileDead", "reconcile-dead");
  const relayDead = deadLetters("RelayDead", "relay-dead");
  const group = new aws.scheduler.ScheduleGroup("Schedules", { name: named("grants") });
  const schedulerRole = new aws.iam.Role("SchedulerRole", {
    name: named("scheduler"),
    path: FUNCTION_PATH,
    assumeRolePolicy: serviceTrust("scheduler.amazonaws.com", [
      // Nobody else's schedule can use the role.
      { test: "StringEquals", variable: "aws:SourceAccount", values: [place().account] },
      { test: "ArnEquals", variable: "aws:SourceArn", values: [group.arn] },
    ]),
  });
  const boundary = new aws.iam.Policy("Boundary", {
    name: named("target"),
    description: "What no target role can do, whatever its policies say",
    policy: JSON.stringify(boundaryDocument()),
  });
  return {
    dirty,
    dirtyDead,
    proofs,
    proofsDead,
    clears,
    clearsDead,
    schedulesDead,
    sweepDead,
    reconcileDead,
    relayDead,
    group,
    schedulerRole,
    boundary,
  };
}

export type RevocationParts = ReturnType<typeof revocationParts>;

export function revocation(declare: Declare, { table }: Storage, parts: RevocationParts) {
  const { dirty, schedulesDead, sweepDead, relayDead, schedulerRole } = parts;
  const settings = {
    STINT_TABLE: table.name,
    STINT_DIRTY_QUEUE_URL: dirty.url,
    STINT_CLEAR_QUEUE_URL: parts.clears.url,
  };

  const expire = declare("expire", { settings, failures: schedulesDead.arn });
  new aws.iam.RolePolicy("SchedulerPolicy", {
    name: "own",
    role: schedulerRole.name,
    policy: policyOf(schedulerPermissions({ expire: expire.arn, deadLetters: schedulesDead.arn })),
  });

  const sweep = declare("sweep", { settings, failures: sweepDead.arn });
  every("Sweeper", {
    part: "sweep",
    rate: "rate(1 minute)",
    function: sweep,
    dead: sweepDead,
    // The next run looks at all that this one would have: an old one is of no use.
    again: { seconds: MINUTE, times: 1 },
  });

  const reconcile = declare("reconcile", {
    settings: {
      ...settings,
      STINT_SCHEDULE_GROUP: parts.group.name,
      STINT_EXPIRE_ARN: expire.arn,
      STINT_SCHEDULER_ROLE_ARN: schedulerRole.arn,
      STINT_SCHEDULE_DLQ_ARN: schedulesDead.arn,
    },
    failures: parts.reconcileDead.arn,
  });
  every("Reconcile", {
    part: "reconcile",
    rate: "rate(1 day)",
    function: reconcile,
    dead: parts.reconcileDead,
    again: { seconds: 60 * MINUTE, times: 10 },
  });

  const stream = table.nodes.table.streamArn;
  const relay = declare("relay", {
    settings: { ...settings, STINT_SCHEDULE_GROUP: parts.group.name },
    source: { kind: "stream", arn: stream },
    failures: relayDead.arn,
  });
  streamReader("RelayStream", {
    stream,
    function: relay,
    failures: relayDead.arn,
    reports: true,
    // What ends access is safe in any order, and must not wait in a row: a burst is many small pieces of work.
    atOnce: 10,
  });

  const revoke = declare("revoke", {
    settings: {
      ...settings,
      STINT_PROOF_QUEUE_URL: parts.proofs.url,
      STINT_ACCOUNT: place().account,
    },
    source: { kind: "queue", arn: dirty.arn },
  });
  new aws.lambda.EventSourceMapping("RevokeQueue", {
    eventSourceArn: dirty.arn,
    functionName: revoke.name,
    batchSize: 10,
    functionResponseTypes: ["ReportBatchItemFailures"],
    // IAM takes few writes a second; roles wait for their turn rather than for its throttling.
    scalingConfig: { maximumConcurrency: 10 },
  });
  const clear = declare("clear", {
    settings,
    source: { kind: "queue", arn: parts.clears.arn },
  });
  // Each has sessions on a server of somebody's.
  oneAtATime("ClearQueue", parts.clears, clear);
  return { expire, sweep, reconcile, relay, revoke, clear };
}

/** What sees that deny lists hold. */
export function proofs(declare: Declare, { table }: Storage, parts: RevocationParts) {
  const prove = declare("prove", {
    settings: { STINT_TABLE: table.name },
    source: { kind: "queue", arn: parts.proofs.arn },
  });
  oneAtATime("ProofQueue", parts.proofs, prove);
  return prove;
}

/** For messages that take long, each by itself: a run for each of them, and few at once. */
const oneAtATime = (name: string, queue: sst.aws.Queue, worker: sst.aws.Function) =>
  new aws.lambda.EventSourceMapping(name, {
    eventSourceArn: queue.arn,
    functionName: worker.name,
    batchSize: 1,
    functionResponseTypes: ["ReportBatchItemFailures"],
    scalingConfig: { maximumConcurrency: 10 },
  });

/** A reader of the table's stream: in order, one batch at a time, for as long as the stream holds a record. */
export const streamReader = (
  name: string,
  of: {
    readonly stream: $util.Input<string>;
    readonly function: sst.aws.Function;
    readonly failures: $util.Input<string>;
    /** It says from which record on it failed. */
    readonly reports: boolean;
    /** Batches of a shard at a time, each item's changes in order; one unless said. */
    readonly atOnce?: number;
  },
) =>
  new aws.lambda.EventSourceMapping(name, {
    eventSourceArn: of.stream,
    functionName: of.function.name,
    startingPosition: "TRIM_HORIZON",
    batchSize: 100,
    parallelizationFactor: of.atOnce ?? 1,
    maximumRetryAttempts: -1,
    maximumRecordAgeInSeconds: -1,
    destinationConfig: { onFailure: { destinationArn: of.failures } },
    ...(of.reports ? { functionResponseTypes: ["ReportBatchItemFailures"] } : {}),
  });
