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
import { createAdminSecrets } from "@stint/aws/admin-secrets";
import { createAuditLog } from "@stint/aws/audit/log";
import { createBus } from "@stint/aws/bus";
import { createClearRequests } from "@stint/aws/clear-requests";
import { createDenyList } from "@stint/aws/deny-list";
import { createDirtyRoles, createPostponing } from "@stint/aws/dirty-roles";
import { createProber, createProofRequests } from "@stint/aws/proofs";
import { createRehearsal } from "@stint/aws/rehearsal";
import { createRevokers } from "@stint/aws/revokers";
import { createSchedules, createTimetable, createUnscheduling } from "@stint/aws/schedules";
import { createSecrets, createTokenKeys } from "@stint/aws/secrets";
import type { Context } from "@stint/aws/store/context";
import { denial, proofs, roleDenials } from "@stint/aws/store/denials";
import { finder, grants, replacer } from "@stint/aws/store/grants";
import { due, lists } from "@stint/aws/store/indexes";
import { jobGrants, tombstones } from "@stint/aws/store/jobs";
import { notes } from "@stint/aws/store/notes";
import { openings } from "@stint/aws/store/openings";
import {
  deniedRoles,
  hardOrders,
  knownRoles,
  liveGrants,
  lives,
  roles,
} from "@stint/aws/store/roles";
import { createStore } from "@stint/aws/store/store";
import { stsTarget } from "@stint/aws/sts-target";
import type { Issuing, Keeping, Revoking } from "@stint/broker/deps";
import type { Target } from "@stint/broker/ports";
import { type Problem, parseConfig } from "@stint/core/config/load";
import { readPrepared } from "@stint/core/config/prepared";
import { once } from "@stint/core/once";
import { warmCedar } from "@stint/core/policy/cedar";
import { type Policy, preparePolicy } from "@stint/core/policy/decide";
import type { Config, Profile } from "@stint/core/profile";
import { type TrustedIssuer, trustedIssuers } from "@stint/pipelines/issuers";
import { pipelineClaims, pipelines } from "@stint/pipelines/registry";
import { createVerifier, type VerifierOptions } from "@stint/pipelines/verify";
import { monotonicFactory } from "ulid";
import type { App, Log } from "./app.ts";
import { jsonLog } from "./log.ts";
import { clearPostgres, examinePostgres, mintPostgres, type PostgresDriver } from "./postgres.ts";

/** What a deployment sets. A function gets those that its bundle names. */
export type Setting =
  | "STINT_TABLE"
  | "STINT_BUS"
  | "STINT_SCHEDULE_GROUP"
  | "STINT_EXPIRE_ARN"
  | "STINT_SCHEDULER_ROLE_ARN"
  | "STINT_SCHEDULE_DLQ_ARN"
  | "STINT_DIRTY_QUEUE_URL"
  | "STINT_PROOF_QUEUE_URL"
  | "STINT_CLEAR_QUEUE_URL"
  | "STINT_ACCOUNT"
  | "STINT_AUDIT_BUCKET"
  | "STINT_TOKEN_KEYS"
  | "STINT_WEBHOOK_SECRETS";

export type Settings = Readonly<Record<Setting, string>>;

/** What differs between Lambda, a laptop and a simulation. */
export interface Outside {
  readonly settings: Readonly<Partial<Settings>>;
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
  /** Instead of servers over the network. */
  readonly postgres?: PostgresDriver;
}

export type ClientSettings = Pick<
  STSClientConfig,
  "region" | "endpoint" | "credentials" | "requestHandler" | "maxAttempts"
>;

/** Two parts that talk to one service share its client, and so do apps that are made from the same settings. */
const made = new WeakMap<ClientSettings, Map<unknown, unknown>>();

function clientOf<C>(settings: ClientSettings, Client: new (settings: ClientSettings) => C): C {
  const clients = made.get(settings) ?? new Map<unknown, unknown>();
  made.set(settings, clients);
  const known = clients.get(Client) ?? new Client(settings);
  clients.set(Client, known);
  return known as C; // what is kept under a class is one of it
}

/**
 * Asked for by name where it is used, so that a bundle names those that it needs and no others.
 * @throws Error where it is not set: nothing works around a deployment that lacks a part
 */
function setting({ settings }: Outside, name: Setting): string {
  const value = settings[name];
  if (value === undefined || value === "") throw new Error(`${name} is not set`);
  return value;
}

/**
 * The parts of an app. A function takes those that it needs and no others: what it does not name is not in its bundle,
 * and is neither loaded nor connected when it starts.
 */
function keeping<S>(outside: Outside, store: (table: Context) => S): Keeping<S> {
  const { config, aws, now, sleep, log, random = Math.random } = outside;
  const ulid = monotonicFactory(random);
  return {
    config,
    store: store({
      db: clientOf(aws, DynamoDBClient),
      table: setting(outside, "STINT_TABLE"),
      // Full jitter up to 1.6 s.
      pause: (attempt) => sleep(random() * Math.min(1_600, 25 * 2 ** attempt)),
    }),
    ambient: {
      now,
      sleep,
      id: () => ulid(now()),
      alarm: (event, details) => log.error(event, { ...details, alarm: event }),
      measure: (metric, value, details) => log.info("measured", { ...details, metric, value }),
    },
  };
}

/** For what ends a grant, and needs no more than to find it. */
export const ending = (outside: Outside) => keeping(outside, grants);

/** For what looks for grants to end. */
export const sweeping = (outside: Outside) =>
  keeping(outside, (table) => ({
    ...grants(table),
    ...denial(table),
    ...due(table),
    ...deniedRoles(table),
  }));

/** For what follows from changes. */
export const relaying = (outside: Outside) =>
  keeping(outside, (table) => ({ ...grants(table), ...jobGrants(table) }));

/** For what writes deny lists. */
export const denying = (outside: Outside) =>
  keeping(outside, (table) => ({
    ...grants(table),
    ...denial(table),
    ...roleDenials(table),
    ...roles(table),
    ...liveGrants(table),
  }));

/** For what sees that deny lists hold. */
export const proving = (outside: Outside) =>
  keeping(outside, (table) => ({
    ...finder(table),
    ...replacer(table),
    ...denial(table),
    ...proofs(table),
  }));

/** For what looks for drift. */
export const reconciling = (outside: Outside) =>
  keeping(outside, (table) => ({
    ...finder(table),
    ...notes(table),
    ...due(table),
    ...liveGrants(table),
    ...knownRoles(table),
    ...lives(table),
  }));

/** For what pipelines report. */
export const reporting = (outside: Outside) => keeping(outside, tombstones);

/** For what callers ask. Who asks is found out over the network first; the engine of decisions is made ready meanwhile. */
export function issuing(outside: Outside): Issuing & Revoking {
  warmCedar();
  return {
    ...keeping(outside, (table) => ({
      ...grants(table),
      ...openings(table),
      ...notes(table),
      ...lists(table),
      ...denial(table),
      ...liveGrants(table),
      ...hardOrders(table),
    })),
    policy: policyOf(outside.config),
    target: targetsOf(outside),
    schedules: schedulesOf(outside),
    keys: createTokenKeys(secretsOf(outside), setting(outside, "STINT_TOKEN_KEYS")),
  };
}

/** Prepared once for each configuration, however many apps are made from it. */
const prepared = new WeakMap<Config, Policy>();

function policyOf(config: Config): Policy {
  const policy = prepared.get(config) ?? preparePolicy(config, pipelineClaims());
  prepared.set(config, policy);
  return policy;
}

/** Every kind of target behind one port. */
function targetsOf(outside: Outside): Target {
  const sts = stsTarget(clientOf(outside.aws, STSClient));
  const postgres = mintPostgres(adminPasswordOf(outside), outside.postgres);
  return {
    planned: (target) =>
      target.kind === "postgres" ? { ...target, revocability: "immediate" } : sts.planned(target),
    mint: (of) => (of.target.kind === "postgres" ? postgres(of, of.target) : sts.mint(of)),
  };
}

/** Passwords of the roles that Stint acts as on servers. Signed, where RDS asks for it, as this function. */
function adminPasswordOf(outside: Outside) {
  const sts = clientOf(outside.aws, STSClient);
  return createAdminSecrets({
    secrets: secretsOf(outside),
    region: async () => sts.config.region(),
    credentials: async () => sts.config.credentials(),
    now: outside.now,
  });
}

/** For what takes away what ended grants could do. */
export const clearing = (outside: Outside) =>
  keeping(outside, (table) => ({ ...grants(table), ...denial(table) }));

export const clearingOf = (outside: Outside) =>
  clearPostgres(adminPasswordOf(outside), outside.postgres);

export const clearsOf = (outside: Outside) =>
  createClearRequests(clientOf(outside.aws, SQSClient), setting(outside, "STINT_CLEAR_QUEUE_URL"));

export const postponingClearsOf = (outside: Outside) =>
  createPostponing(
    clientOf(outside.aws, SQSClient),
    setting(outside, "STINT_CLEAR_QUEUE_URL"),
    outside.random ?? Math.random,
  );

export const schedulesOf = (outside: Outside) =>
  createSchedules(clientOf(outside.aws, SchedulerClient), {
    group: setting(outside, "STINT_SCHEDULE_GROUP"),
    target: setting(outside, "STINT_EXPIRE_ARN"),
    role: setting(outside, "STINT_SCHEDULER_ROLE_ARN"),
    deadLetters: setting(outside, "STINT_SCHEDULE_DLQ_ARN"),
  });

export const unschedulingOf = (outside: Outside) =>
  createUnscheduling(
    clientOf(outside.aws, SchedulerClient),
    setting(outside, "STINT_SCHEDULE_GROUP"),
  );

export const timetableOf = (outside: Outside) =>
  createTimetable(clientOf(outside.aws, SchedulerClient), setting(outside, "STINT_SCHEDULE_GROUP"));

const issuersOf = ({ issuers, config }: Outside): readonly TrustedIssuer[] =>
  issuers ?? trustedIssuers(config.issuers);

/** The same, with the parameters of this deployment for their webhooks' secrets. */
export const signersOf = (outside: Outside): readonly TrustedIssuer[] =>
  outside.issuers ??
  trustedIssuers(outside.config.issuers, pipelines, setting(outside, "STINT_WEBHOOK_SECRETS"));

export const verifierOf = (outside: Outside) =>
  createVerifier({
    issuers: issuersOf(outside),
    audience: outside.config.audience,
    fetch: outside.fetch,
    now: outside.now,
  });

export const secretsOf = ({ aws, now }: Outside) => createSecrets(clientOf(aws, SSMClient), now);

export const dirtyOf = (outside: Outside) =>
  createDirtyRoles(clientOf(outside.aws, SQSClient), setting(outside, "STINT_DIRTY_QUEUE_URL"));

/** Puts a role's message off that could not be dealt with. */
export const postponingOf = (outside: Outside) =>
  createPostponing(
    clientOf(outside.aws, SQSClient),
    setting(outside, "STINT_DIRTY_QUEUE_URL"),
    outside.random ?? Math.random,
  );

export const denyListOf = (outside: Outside) => {
  const { aws } = outside;
  return createDenyList(
    createRevokers({
      account: setting(outside, "STINT_ACCOUNT"),
      sts: clientOf(aws, STSClient),
      iam: (session) =>
        session === undefined
          ? clientOf(aws, IAMClient)
          : new IAMClient({ ...aws, credentials: session }),
    }),
  );
};

export const proofsOf = (outside: Outside) =>
  createProofRequests(clientOf(outside.aws, SQSClient), setting(outside, "STINT_PROOF_QUEUE_URL"));

export const proberOf = ({ aws }: Outside) =>
  createProber(
    clientOf(aws, STSClient),
    (credentials, region) =>
      new SSMClient({ ...aws, ...(region === undefined ? {} : { region }), credentials }),
  );

export const busOf = (outside: Outside) =>
  createBus(clientOf(outside.aws, EventBridgeClient), setting(outside, "STINT_BUS"));

export const auditLogOf = (outside: Outside) =>
  createAuditLog({
    s3: clientOf(outside.aws, S3Client),
    bucket: setting(outside, "STINT_AUDIT_BUCKET"),
  });

export const rehearsalOf = ({ aws, now }: Outside) =>
  createRehearsal(clientOf(aws, STSClient), now);

/** Passwords are fetched anew each time: who has just mended one asks again. */
export const examinationOf = (outside: Outside) => (profile: Profile) =>
  examinePostgres(adminPasswordOf(outside))(profile);

/** All parts at once, for the local server and for tests, which look inside. */
export const compose = (outside: Outside): App => ({
  deps: {
    ...issuing(outside),
    ...keeping(outside, createStore),
    schedules: { ...schedulesOf(outside), ...unschedulingOf(outside), ...timetableOf(outside) },
    denyList: denyListOf(outside),
    dirty: dirtyOf(outside),
    proofs: proofsOf(outside),
    prober: proberOf(outside),
    clears: clearsOf(outside),
    clearing: clearingOf(outside),
  },
  postponeClear: postponingClearsOf(outside),
  postpone: postponingOf(outside),
  issuers: signersOf(outside),
  secrets: secretsOf(outside),
  verifier: verifierOf(outside),
  bus: busOf(outside),
  auditLog: auditLogOf(outside),
  rehearse: rehearsalOf(outside),
  examine: examinationOf(outside),
  log: outside.log,
});

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
    settings: env as Partial<Settings>, // whatever it has is text, and what it lacks is found when it is asked for
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
