/** The composition root: the only reader of the environment, the only maker of clients. Importing it does nothing. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { EventBridgeClient } from "@aws-sdk/client-eventbridge";
import { IAMClient } from "@aws-sdk/client-iam";
import { S3Client } from "@aws-sdk/client-s3";
import { SchedulerClient } from "@aws-sdk/client-scheduler";
import { SQSClient } from "@aws-sdk/client-sqs";
import { SSMClient } from "@aws-sdk/client-ssm";
import { STSClient, type STSClientConfig } from "@aws-sdk/client-sts";
import { createAuditLog } from "@stint/aws/audit/log";
import { createBus } from "@stint/aws/bus";
import { createDenyList } from "@stint/aws/deny-list";
import { createDirtyRoles } from "@stint/aws/dirty-roles";
import { createSchedules } from "@stint/aws/schedules";
import { createSecrets, createTokenKeys } from "@stint/aws/secrets";
import { createStore } from "@stint/aws/store/store";
import { stsTarget } from "@stint/aws/sts-target";
import type { Issuing, Keeping } from "@stint/broker/deps";
import { type Problem, parseConfig } from "@stint/core/config/load";
import { readPrepared } from "@stint/core/config/prepared";
import { once } from "@stint/core/once";
import { preparePolicy } from "@stint/core/policy/decide";
import type { Config } from "@stint/core/profile";
import { type TrustedIssuer, trustedIssuers } from "@stint/pipelines/issuers";
import { pipelineClaims } from "@stint/pipelines/registry";
import { createVerifier, type VerifierOptions } from "@stint/pipelines/verify";
import { monotonicFactory } from "ulid";
import * as z from "zod";
import type { App, Log } from "./app.ts";
import { jsonLog } from "./log.ts";

/** What a deployment sets. Each function gets the whole set; its permissions say what it can use. */
const settings = z.object({
  STINT_TABLE: z.string().min(1),
  STINT_BUS: z.string().min(1),
  STINT_SCHEDULE_GROUP: z.string().min(1),
  STINT_EXPIRE_ARN: z.string().min(1),
  STINT_SCHEDULER_ROLE_ARN: z.string().min(1),
  STINT_SCHEDULE_DLQ_ARN: z.string().min(1),
  STINT_DIRTY_QUEUE_URL: z.url(),
  STINT_AUDIT_BUCKET: z.string().min(1),
  STINT_TOKEN_KEYS: z.string().min(1),
});

export type Settings = z.output<typeof settings>;

/** What differs between Lambda, a laptop and a simulation. */
export interface Outside {
  readonly settings: Settings;
  readonly config: Config;
  /** Passed to every AWS client: region, endpoint, credentials, request handler. */
  readonly aws: ClientSettings;
  readonly fetch: VerifierOptions["fetch"];
  readonly now: () => number;
  readonly sleep: (ms: number) => Promise<void>;
  readonly log: Log;
  /** Instead of the configuration's own: locally the local issuer stands for each. */
  readonly issuers?: readonly TrustedIssuer[];
  readonly random?: () => number;
}

export type ClientSettings = Pick<
  STSClientConfig,
  "region" | "endpoint" | "credentials" | "requestHandler" | "maxAttempts"
>;

/**
 * The parts of an app. A function takes those that it needs and no others: what it does not name is not in its bundle,
 * and is neither loaded nor connected when it starts.
 */
export function keeping(outside: Outside): Keeping {
  const { settings: set, config, aws, now, sleep, log, random = Math.random } = outside;
  const ulid = monotonicFactory(random);
  return {
    config,
    store: createStore(new DynamoDBClient(aws), set.STINT_TABLE, (attempt) =>
      // Full jitter up to 1.6 s.
      sleep(random() * Math.min(1_600, 25 * 2 ** attempt)),
    ),
    ambient: {
      now,
      sleep,
      id: () => ulid(now()),
      alarm: (event, details) => log.error(event, { ...details, alarm: event }),
    },
  };
}

export const issuing = (outside: Outside): Issuing => ({
  ...keeping(outside),
  policy: preparePolicy(outside.config, pipelineClaims()),
  target: stsTarget(new STSClient(outside.aws), accountOf(outside.settings.STINT_EXPIRE_ARN)),
  schedules: schedulesOf(outside),
  keys: createTokenKeys(secretsOf(outside), outside.settings.STINT_TOKEN_KEYS),
});

export const schedulesOf = ({ aws, settings: set }: Outside) =>
  createSchedules(new SchedulerClient(aws), {
    group: set.STINT_SCHEDULE_GROUP,
    target: set.STINT_EXPIRE_ARN,
    role: set.STINT_SCHEDULER_ROLE_ARN,
    deadLetters: set.STINT_SCHEDULE_DLQ_ARN,
  });

export const issuersOf = ({ issuers, config }: Outside): readonly TrustedIssuer[] =>
  issuers ?? trustedIssuers(config.issuers);

export const verifierOf = (outside: Outside) =>
  createVerifier({
    issuers: issuersOf(outside),
    audience: outside.config.audience,
    fetch: outside.fetch,
    now: outside.now,
  });

export const secretsOf = ({ aws, now }: Outside) => createSecrets(new SSMClient(aws), now);

export const dirtyOf = ({ aws, settings: set }: Outside) =>
  createDirtyRoles(new SQSClient(aws), set.STINT_DIRTY_QUEUE_URL);

export const denyListOf = ({ aws }: Outside) => createDenyList(new IAMClient(aws));

export const busOf = ({ aws, settings: set }: Outside) =>
  createBus(new EventBridgeClient(aws), set.STINT_BUS);

export const auditLogOf = ({ aws, settings: set }: Outside) =>
  createAuditLog({ s3: new S3Client(aws), bucket: set.STINT_AUDIT_BUCKET });

/** All parts at once, for the local server and for tests, which look inside. */
export const compose = (outside: Outside): App => ({
  deps: { ...issuing(outside), denyList: denyListOf(outside), dirty: dirtyOf(outside) },
  issuers: issuersOf(outside),
  secrets: secretsOf(outside),
  verifier: verifierOf(outside),
  bus: busOf(outside),
  auditLog: auditLogOf(outside),
  log: outside.log,
});

/** The account that an ARN is of. */
const accountOf = (arn: string): string => arn.split(":")[4] ?? "";

/**
 * A stint.yaml with the Cedar files beside it, for who develops and who deploys. `warn` is told what loads but is surely not
 * meant. @throws Error naming every problem
 */
export function readConfig(file: string, warn: (line: string) => void = () => {}): Config {
  const directory = dirname(file);
  const cedar = Object.fromEntries(
    readdirSync(directory)
      .filter((name) => name.endsWith(".cedar"))
      .map((name) => [name, readFileSync(join(directory, name), "utf8")]),
  );
  const parsed = parseConfig(readFileSync(file, "utf8"), cedar, pipelineClaims());
  const told = ({ path, message, hint, line }: Problem) =>
    `${placeOf(path)}${line === undefined ? "" : `:${line}`} ${path}: ${message}${hint === undefined ? "" : ` (${hint})`}`;
  // A policy's path begins with its own file.
  const placeOf = (path: string) => {
    const own = Object.keys(cedar).find((name) => path.startsWith(name));
    return own === undefined ? file : join(directory, own);
  };
  if (!parsed.ok)
    throw new Error(`the configuration is not valid\n${parsed.problems.map(told).join("\n")}`);
  for (const warning of parsed.warnings) warn(told(warning));
  return parsed.config;
}

/** The surroundings of this process. A start that fails is tried again with the next event. */
export const live = once((): Outside => {
  const { env } = process;
  return {
    settings: settings.parse(env),
    // Checked, and its warnings told, when it was deployed.
    config: readPrepared(readFileSync(env.STINT_CONFIG ?? "stint.json", "utf8")),
    // A call that hangs must not take the whole function's time with it.
    aws: { requestHandler: { connectionTimeout: 1_000, requestTimeout: 5_000 } },
    fetch,
    now: Date.now,
    sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    // Not the console: Lambda's puts a time and a request id before each line, and then it is no JSON.
    log: jsonLog((line) => process.stdout.write(line), Date.now),
  };
});
