/** Stint deployed into local AWS: its table, queues, bus, schedules and roles, and its functions under these roles. */
import {
  CreateTableCommand,
  DynamoDBClient,
  UpdateTimeToLiveCommand,
} from "@aws-sdk/client-dynamodb";
import {
  CreateEventBusCommand,
  EventBridgeClient,
  PutRuleCommand,
  PutTargetsCommand,
} from "@aws-sdk/client-eventbridge";
import {
  AttachRolePolicyCommand,
  CreatePolicyCommand,
  CreateRoleCommand,
  IAMClient,
  PutRolePolicyCommand,
} from "@aws-sdk/client-iam";
import {
  CreateBucketCommand,
  PutObjectLockConfigurationCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { CreateScheduleGroupCommand, SchedulerClient } from "@aws-sdk/client-scheduler";
import { CreateQueueCommand, SQSClient } from "@aws-sdk/client-sqs";
import { PutParameterCommand, SSMClient } from "@aws-sdk/client-ssm";
import { TABLE } from "@stint/aws/store/table";
import {
  boundaryDocument,
  SESSION_SECONDS,
  TARGET_PATH,
  trustDocument,
} from "@stint/aws/target-role";
import { type Config, rolesOf } from "@stint/core/profile";
import { api } from "@stint/functions/api";
import type { App, Log } from "@stint/functions/app";
import { audit } from "@stint/functions/audit";
import { clear } from "@stint/functions/clear";
import {
  CLEAR_TRIES,
  CLEAR_VISIBILITY_SECONDS,
  DIRTY_TRIES,
  DIRTY_VISIBILITY_SECONDS,
  DOORS,
  type Door,
  FUNCTION_PATH,
  PROOF_TRIES,
  PROOF_VISIBILITY_SECONDS,
  permissions,
  ROLES,
  SIZES,
  schedulerPermissions,
} from "@stint/functions/deployment";
import { doctor } from "@stint/functions/doctor";
import { expire } from "@stint/functions/expire";
import { type ClientSettings, compose, type Settings } from "@stint/functions/live";
import type { PostgresDriver } from "@stint/functions/postgres";
import { prove } from "@stint/functions/prove";
import { reconcile } from "@stint/functions/reconcile";
import { relay } from "@stint/functions/relay";
import { revoke } from "@stint/functions/revoke";
import { sweep } from "@stint/functions/sweep";
import { webhook } from "@stint/functions/webhook";
import type { TrustedIssuer } from "@stint/pipelines/issuers";
import type { VerifierOptions } from "@stint/pipelines/verify";
import { directClient } from "./direct.ts";
import type { FunctionHandler } from "./functions.ts";
import type { LocalIssuer } from "./issuer.ts";
import type { StandardAws } from "./local-aws.ts";
import { arns, functionName, letsRulesIn, NAMES, policyOf, resources } from "./roles.ts";
import type { Service } from "./service.ts";
import type { SessionCredentials } from "./sessions.ts";
import { standIns } from "./stand-ins.ts";

export interface LocalStintOptions {
  readonly aws: StandardAws;
  readonly config: Config;
  readonly issuer: LocalIssuer;
  /** How functions reach the issuer. */
  readonly fetch: VerifierOptions["fetch"];
  readonly log: Log;
  /** How often the functions' AWS clients try each call; the SDK's own default when left out. */
  readonly maxAttempts?: number;
  /** Sets the account up without the wire: for who sets up many. */
  readonly direct?: boolean;
  /** Servers of databases that are not there. */
  readonly postgres?: PostgresDriver;
  /** Has a function's clients made from settings that the caller keeps: those made from them before serve again. */
  readonly clients?: (door: Door, settings: ClientSettings) => ClientSettings;
  /** Runs the functions somewhere else than in this process; told once, before anything is invoked. */
  readonly elsewhere?: (run: Elsewhere) => (door: Door) => FunctionHandler;
}

/** What a function is given in an account: its settings, and its role's credentials, which end. */
export interface Elsewhere {
  readonly settings: Settings;
  readonly credentials: (door: Door) => SessionCredentials;
}

export interface LocalStint {
  /** Invokes a function as AWS does. */
  invoke(door: Door, event: unknown): Promise<unknown>;
  /** A function's app: for tests that look inside or change its parts. */
  app(door: Door): App;
  readonly settings: Settings;
}

/** The secret that signs a pipeline's webhooks on a laptop, by the name of its stand-in. */
export const webhookSecret = (name: string): string => `local-${name}-webhook-secret`;

const webhookParameter = (name: string): string => `${NAMES.webhookSecrets}${name}`;

/** Creates everything as the account's administrator, then starts the functions. */
export async function deployStint(options: LocalStintOptions): Promise<LocalStint> {
  const { aws, config, issuer, fetch, log, maxAttempts } = options;
  const { clients = (_, settings) => settings } = options;
  const place = { account: aws.world.account, region: aws.world.region };
  const arn = arns(place);
  const admin: ClientSettings = {
    region: place.region,
    endpoint: ENDPOINT,
    credentials: aws.administrator,
    requestHandler: aws.requestHandler,
  };
  const { dynamodb, events, scheduler, sqs, ssm } = aws.services;
  const by = <C extends { send(...args: never): unknown }>(client: () => C, service: Service): C =>
    options.direct === true ? directClient<C>(aws, service) : client();
  await createTable(by(() => new DynamoDBClient(admin), dynamodb));
  const { dirtyQueueUrl, proofQueueUrl, clearQueueUrl } = await createQueues(
    by(() => new SQSClient(admin), sqs),
    arn.queue,
  );
  const bridge = by(() => new EventBridgeClient(admin), events);
  await bridge.send(new CreateEventBusCommand({ Name: NAMES.bus }));
  await by(() => new SchedulerClient(admin), scheduler).send(
    new CreateScheduleGroupCommand({ Name: NAMES.scheduleGroup }),
  );
  await createAuditBucket(new S3Client({ ...admin, forcePathStyle: true }));
  await putSecrets(
    by(() => new SSMClient(admin), ssm),
    aws.world.hex,
    config,
  );
  await createRoles(
    by(() => new IAMClient(admin), aws.iam),
    place,
    config,
  );
  // Nobody waits for a deployment's own roles to spread.
  aws.iam.spread();

  const settings: Settings = {
    STINT_TABLE: NAMES.table,
    STINT_BUS: NAMES.bus,
    STINT_SCHEDULE_GROUP: NAMES.scheduleGroup,
    STINT_EXPIRE_ARN: arn.function("expire"),
    STINT_SCHEDULER_ROLE_ARN: arn.schedulerRole,
    STINT_SCHEDULE_DLQ_ARN: arn.queue(NAMES.scheduleDeadLetters),
    STINT_DIRTY_QUEUE_URL: dirtyQueueUrl,
    STINT_PROOF_QUEUE_URL: proofQueueUrl,
    STINT_CLEAR_QUEUE_URL: clearQueueUrl,
    STINT_ACCOUNT: place.account,
    STINT_AUDIT_BUCKET: NAMES.auditBucket,
    STINT_TOKEN_KEYS: NAMES.tokenKeys,
    STINT_WEBHOOK_SECRETS: NAMES.webhookSecrets,
  };
  const issuers = localIssuers(config, issuer);
  const composed = (door: Door): App =>
    compose({
      settings,
      config,
      issuers,
      fetch,
      log,
      aws: clients(door, {
        ...admin,
        ...(maxAttempts === undefined ? {} : { maxAttempts }),
        credentials: executionCredentials(aws, arn.role(door), door),
      }),
      now: aws.clock.now,
      sleep: (ms) => aws.clock.sleep(ms),
      random: aws.world.random,
      ...(options.postgres === undefined ? {} : { postgres: options.postgres }),
    });
  const apps = new Map(DOORS.map((door) => [door, composed(door)]));
  const app = (door: Door): App => {
    const made = apps.get(door);
    if (made === undefined) throw new Error(`no function ${door}`);
    return made;
  };
  const make = {
    api,
    webhook,
    expire,
    sweep,
    relay,
    audit,
    revoke,
    prove,
    reconcile,
    clear,
    doctor,
  } satisfies Record<Door, unknown>;
  const outside = options.elsewhere?.({
    settings,
    credentials: (door) => aws.credentialsFor(arn.role(door), functionName(door)),
  });
  for (const door of DOORS) {
    if (outside !== undefined) {
      aws.functions.set(functionName(door), outside(door));
      continue;
    }
    const begin = (): FunctionHandler => {
      const handler = make[door](app(door)) as (event: never, context: never) => Promise<unknown>; // each takes its own event
      return (event, context) => handler(event, context as never);
    };
    aws.functions.set(functionName(door), begin(), {
      timeoutMs: SIZES[door].seconds * 1000,
      restart() {
        apps.set(door, composed(door));
        return begin();
      },
    });
  }
  const invoke = (door: Door, event: unknown) => aws.functions.invoke(functionName(door), event);

  // Two readers of the stream, each with its own position: what ends access must not wait for what tells of it.
  aws.services.dynamodb.connect({
    table: NAMES.table,
    function: (event) => invoke("audit", event),
  });
  aws.services.dynamodb.connect({
    table: NAMES.table,
    function: (event) => invoke("relay", event),
    reportBatchItemFailures: true,
  });
  aws.services.sqs.connect({
    queue: NAMES.dirtyQueue,
    function: (event) => invoke("revoke", event),
    reportBatchItemFailures: true,
  });
  for (const [queue, door] of [
    [NAMES.proofQueue, "prove"],
    [NAMES.clearQueue, "clear"],
  ] as const)
    aws.services.sqs.connect({
      queue,
      // As they are deployed: one that waits must not hold up the next within its function's time.
      batchSize: 1,
      function: (event) => invoke(door, event),
      reportBatchItemFailures: true,
    });
  const every = async (rate: string, rule: string, door: Door) => {
    const target = arn.function(door);
    const ruleArn = await putRule(bridge, { rate, rule, target });
    aws.functions.setPolicy(functionName(door), letsRulesIn(target, ruleArn));
  };
  await every("rate(1 minute)", NAMES.sweepRule, "sweep");
  await every("rate(1 day)", NAMES.reconcileRule, "reconcile");
  return { invoke, app, settings };
}

/** Never connected to: the request handler answers in this process. */
const ENDPOINT = "http://127.0.0.1:4011";

/**
 * The local issuer stands in for each trusted one. Rules, job keys and principal ids name the one that is stood for, so
 * that a rule means the same on a laptop.
 */
export const localIssuers = (config: Config, issuer: LocalIssuer): readonly TrustedIssuer[] =>
  standIns(config).map(({ name, trusted }) => ({
    ...trusted,
    standIn: issuer.url(name),
    // The account's parameters are not on this machine.
    ...(trusted.kind === "pipeline" ? { webhookSecret: webhookParameter(name) } : {}),
  }));

/**
 * A function's own session, made anew when the local clock has passed its end. It calls itself expired towards the
 * SDK, which knows real time only and would keep it otherwise.
 */
function executionCredentials(aws: StandardAws, role: string, door: Door) {
  let current = aws.credentialsFor(role, functionName(door));
  return async () => {
    if (current.expiration.getTime() - 60_000 <= aws.clock.now())
      current = aws.credentialsFor(role, functionName(door));
    return { ...current, expiration: new Date(Date.now() - 1) };
  };
}

/** Nobody deletes what it holds before its time, this account's administrator included. */
async function createAuditBucket(client: S3Client): Promise<void> {
  const Bucket = NAMES.auditBucket;
  await client.send(new CreateBucketCommand({ Bucket, ObjectLockEnabledForBucket: true }));
  await client.send(
    new PutObjectLockConfigurationCommand({
      Bucket,
      ObjectLockConfiguration: {
        ObjectLockEnabled: "Enabled",
        Rule: { DefaultRetention: { Mode: "COMPLIANCE", Days: 365 } },
      },
    }),
  );
}

async function createTable(db: DynamoDBClient): Promise<void> {
  const keys = ({ hashKey, rangeKey }: { hashKey: string; rangeKey: string }) => [
    { AttributeName: hashKey, KeyType: "HASH" as const },
    { AttributeName: rangeKey, KeyType: "RANGE" as const },
  ];
  await db.send(
    new CreateTableCommand({
      TableName: NAMES.table,
      BillingMode: "PAY_PER_REQUEST",
      AttributeDefinitions: Object.entries(TABLE.fields).map(([AttributeName, type]) => ({
        AttributeName,
        AttributeType: type === "string" ? "S" : "N",
      })),
      KeySchema: keys(TABLE.primaryIndex),
      GlobalSecondaryIndexes: Object.entries(TABLE.globalIndexes).map(
        ([IndexName, { projection, ...index }]) => ({
          IndexName,
          KeySchema: keys(index),
          Projection:
            projection.length === 0
              ? { ProjectionType: "KEYS_ONLY" }
              : { ProjectionType: "INCLUDE", NonKeyAttributes: [...projection] },
        }),
      ),
      StreamSpecification: { StreamEnabled: true, StreamViewType: TABLE.stream },
    }),
  );
  await db.send(
    new UpdateTimeToLiveCommand({
      TableName: NAMES.table,
      TimeToLiveSpecification: { AttributeName: TABLE.ttl, Enabled: true },
    }),
  );
}

async function createQueues(sqs: SQSClient, arnOf: (name: string) => string) {
  const create = async (QueueName: string, Attributes: Record<string, string> = {}) => {
    const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName, Attributes }));
    if (QueueUrl === undefined) throw new Error(`queue ${QueueName} has no URL`);
    return QueueUrl;
  };
  await create(NAMES.scheduleDeadLetters);
  await create(NAMES.dirtyDeadLetters, { FifoQueue: "true" });
  const dirtyQueueUrl = await create(NAMES.dirtyQueue, {
    FifoQueue: "true",
    VisibilityTimeout: String(DIRTY_VISIBILITY_SECONDS),
    RedrivePolicy: JSON.stringify({
      deadLetterTargetArn: arnOf(NAMES.dirtyDeadLetters),
      maxReceiveCount: DIRTY_TRIES,
    }),
  });
  const work = async (name: string, dead: string, tries: number, visibilitySeconds: number) => {
    await create(dead);
    return create(name, {
      VisibilityTimeout: String(visibilitySeconds),
      RedrivePolicy: JSON.stringify({ deadLetterTargetArn: arnOf(dead), maxReceiveCount: tries }),
    });
  };
  return {
    dirtyQueueUrl,
    proofQueueUrl: await work(
      NAMES.proofQueue,
      NAMES.proofDeadLetters,
      PROOF_TRIES,
      PROOF_VISIBILITY_SECONDS,
    ),
    clearQueueUrl: await work(
      NAMES.clearQueue,
      NAMES.clearDeadLetters,
      CLEAR_TRIES,
      CLEAR_VISIBILITY_SECONDS,
    ),
  };
}

async function putSecrets(
  ssm: SSMClient,
  hex: (bytes: number) => string,
  config: Config,
): Promise<void> {
  const put = (Name: string, Value: string) =>
    ssm.send(new PutParameterCommand({ Name, Value, Type: "SecureString" }));
  const key = Buffer.from(hex(32), "hex").toString("base64");
  await put(NAMES.tokenKeys, JSON.stringify({ keys: [{ version: "1", key }] }));
  for (const { name, trusted } of standIns(config))
    if (trusted.kind === "pipeline") await put(webhookParameter(name), webhookSecret(name));
}

async function createRoles(
  iam: IAMClient,
  place: { account: string; region: string },
  config: Config,
): Promise<void> {
  const arn = arns(place);
  const trust = (Service: string) =>
    JSON.stringify({
      Version: "2012-10-17",
      Statement: [{ Effect: "Allow", Principal: { Service }, Action: "sts:AssumeRole" }],
    });
  const allowed = permissions(resources(place));
  for (const role of ROLES) {
    const RoleName = functionName(role);
    await iam.send(
      new CreateRoleCommand({
        RoleName,
        Path: FUNCTION_PATH,
        AssumeRolePolicyDocument: trust("lambda.amazonaws.com"),
      }),
    );
    await iam.send(
      new PutRolePolicyCommand({
        RoleName,
        PolicyName: "own",
        PolicyDocument: policyOf(allowed[role]),
      }),
    );
  }
  await iam.send(
    new CreateRoleCommand({
      RoleName: "stint-scheduler",
      Path: FUNCTION_PATH,
      AssumeRolePolicyDocument: trust("scheduler.amazonaws.com"),
    }),
  );
  await iam.send(
    new PutRolePolicyCommand({
      RoleName: "stint-scheduler",
      PolicyName: "own",
      PolicyDocument: policyOf(
        schedulerPermissions({
          expire: arn.function("expire"),
          deadLetters: arn.queue(NAMES.scheduleDeadLetters),
        }),
      ),
    }),
  );
  await createTargetRoles(iam, arn.boundary, arn.role("api"), config, place.account);
}

/**
 * The local account has each `/stint/` role that the configuration names in it. Locally such a role may do anything
 * that its boundary allows: what a grant gets is what its session policy says.
 */
async function createTargetRoles(
  iam: IAMClient,
  boundary: string,
  broker: string,
  config: Config,
  account: string,
): Promise<void> {
  await iam.send(
    new CreatePolicyCommand({
      PolicyName: NAMES.boundary,
      PolicyDocument: JSON.stringify(boundaryDocument()),
    }),
  );
  const everything = `arn:aws:iam::${account}:policy/stint-local-target`;
  await iam.send(
    new CreatePolicyCommand({
      PolicyName: "stint-local-target",
      PolicyDocument: policyOf([{ actions: ["*"], resources: ["*"] }]),
    }),
  );
  for (const name of targetRoles(config, account)) {
    await iam.send(
      new CreateRoleCommand({
        RoleName: name,
        Path: TARGET_PATH,
        MaxSessionDuration: SESSION_SECONDS,
        PermissionsBoundary: boundary,
        AssumeRolePolicyDocument: JSON.stringify(trustDocument(broker)),
      }),
    );
    await iam.send(new AttachRolePolicyCommand({ RoleName: name, PolicyArn: everything }));
  }
}

function targetRoles(config: Config, account: string): ReadonlySet<string> {
  const prefix = `arn:aws:iam::${account}:role/stint/`;
  const roles = Object.values(config.profiles).flatMap(rolesOf);
  return new Set(
    roles.filter((role) => role.startsWith(prefix)).map((role) => role.slice(prefix.length)),
  );
}

/** @returns the rule's ARN */
async function putRule(
  bridge: EventBridgeClient,
  of: { readonly rule: string; readonly rate: string; readonly target: string },
): Promise<string> {
  const { RuleArn = "" } = await bridge.send(
    new PutRuleCommand({ Name: of.rule, ScheduleExpression: of.rate }),
  );
  await bridge.send(
    new PutTargetsCommand({ Rule: of.rule, Targets: [{ Id: "function", Arn: of.target }] }),
  );
  return RuleArn;
}
