/**
 * What all runs of a process share, because making it costs more than a run: the configuration with its prepared policies,
 * the issuer with its keys, and SDK clients. What of it must be a run's own is looked up in the run that asks.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { GetQueueUrlCommand, SQSClient } from "@aws-sdk/client-sqs";
import { clearCredentialCache } from "@smithy/signature-v4";
import { parseConfig } from "@stint/core/config/load";
import type { Door } from "@stint/functions/deployment";
import type { ClientSettings } from "@stint/functions/live";
import { createLocalIssuer, type LocalIssuer } from "@stint/local/issuer";
import type { StandardAws } from "@stint/local/local-aws";
import { pipelineClaims, pipelines } from "@stint/pipelines/registry";
import { stayOnThisThread } from "./in-thread.ts";
import type { Session } from "./seen.ts";

export const ISSUER = "http://127.0.0.1:4012";
const ROLE = "arn:aws:iam::000000000000:role/stint";

const PROFILES = ["orders", "guarded", "both", "data", "mixed"];

/** Approval of some, none of others; one target or two. */
const CONFIG = `version: 1
audience: https://stint.local.test
issuers:
  - { login: local, url: https://login.local.test }
profiles:
${PROFILES.map((name) => {
  const roles = name === "both" ? ["orders", "guarded"] : name === "mixed" ? ["orders"] : [name];
  const targets = roles
    .map(
      (role) => `      ${role}:
        kind: aws
        role: ${ROLE}/${role}
        allow:
          - actions: [sqs:GetQueueUrl]
            resources: ["arn:aws:sqs:us-east-1:000000000000:\${namespace}-*"]`,
    )
    .join("\n");
  const database = `      db:
        kind: postgres
        host: db.example
        database: shop
        admin: { user: stint, iam: true }
        roles: [app]`;
  const all = name === "data" ? database : name === "mixed" ? `${targets}\n${database}` : targets;
  return `  ${name}:
    duration: { default: 20m, max: 2h }
    lease: 5m
    claim: 10m
    targets:
${all}`;
}).join("\n")}
rules:
${PROFILES.map(
  (name) => `  - id: ${name}-main
    profile: ${name}
    to: { pipeline: github, repository_id: "186853002", ref: refs/heads/main }
    ${name === "guarded" ? "approval: { from: { person: { group: owners } }, count: 1, within: 20m }" : ""}
  - id: ${name}-people
    profile: ${name}
    to: { person: { group: developers } }
    approval: { from: { person: { group: owners } }, count: ${name === "both" ? 2 : 1}, within: 20m }
  - id: ${name}-owners
    profile: ${name}
    to: { person: { group: owners } }
    may: [read, revoke]`,
).join("\n")}
`;

/** What a run brings. */
export interface Here {
  readonly aws: StandardAws;
  /** Each function's own settings. */
  readonly settings: Map<Door, ClientSettings>;
  /** The issuer's clock and chance. */
  readonly issuerNow: () => number;
  readonly issuerRandom: () => number;
  /** Whose credentials are tried at this moment. */
  trying: Session | undefined;
}

const runs = new AsyncLocalStorage<Here>();

const here = (): Here => {
  const found = runs.getStore();
  if (found === undefined) throw new Error("this happens in no run");
  return found;
};

export function within<T>(run: Here, work: () => Promise<T>): Promise<T> {
  // Whether a signing key is known already decides how soon a call goes out.
  clearCredentialCache();
  return runs.run(run, work);
}

const ofDoor = (door: Door): ClientSettings => {
  const found = here().settings.get(door);
  if (found === undefined) throw new Error(`no settings of ${door}`);
  return found;
};

const requestHandler = {
  ...{ metadata: { handlerProtocol: "http/1.1" } },
  handle: (...of: Parameters<StandardAws["requestHandler"]["handle"]>) =>
    here().aws.requestHandler.handle(...of),
  updateHttpClientConfig() {},
  httpHandlerConfigs: () => ({}),
  destroy() {},
};

const kept = new Map<Door, ClientSettings>();

/** Settings of a function that stay the same from run to run, and lead to the run that uses them. */
export function clientsOf(door: Door, own: ClientSettings): ClientSettings {
  here().settings.set(door, own);
  const known = kept.get(door);
  if (known !== undefined) return known;
  const made: ClientSettings = {
    ...own,
    requestHandler,
    credentials: async (...asked) => {
      const { credentials } = ofDoor(door);
      if (typeof credentials !== "function") throw new Error(`${door} has no role`);
      return credentials(...asked);
    },
  };
  kept.set(door, made);
  return made;
}

const probe = () =>
  new SQSClient({
    region: "us-east-1",
    endpoint: "http://127.0.0.1:4011",
    maxAttempts: 1,
    requestHandler,
    credentials: async () => {
      const { trying } = here();
      if (trying === undefined) throw new Error("nobody's credentials are tried");
      const { accessKeyId, secretAccessKey, sessionToken } = trying;
      // Over at once, or the SDK would keep them for the next one.
      return { accessKeyId, secretAccessKey, sessionToken, expiration: new Date(0) };
    },
  });

const REFUSED: ReadonlySet<string> = new Set([
  "AccessDenied",
  "AccessDeniedException",
  "ExpiredToken",
  "ExpiredTokenException",
]);

let client: SQSClient | undefined;
let trials: Promise<unknown> = Promise.resolve();

/** Whether AWS accepts a credential for what its grant is for, at this moment. */
export function accepts(session: Session): Promise<boolean> {
  const attempt = async () => {
    client ??= probe();
    here().trying = session;
    try {
      await client.send(new GetQueueUrlCommand({ QueueName: `it-${session.grant}-q` }));
      return true;
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      if (REFUSED.has(error.name)) return false;
      // Allowed to ask, and told that there is none.
      if (error.name.includes("QueueDoesNotExist") || error.name.includes("NonExistentQueue"))
        return true;
      throw error;
    } finally {
      here().trying = undefined;
    }
  };
  // One at a time: they share a client.
  const mine = trials.then(attempt, attempt);
  trials = mine.catch(() => {});
  return mine;
}

export interface Shared {
  readonly config: Extract<ReturnType<typeof parseConfig>, { ok: true }>["config"];
  readonly issuer: LocalIssuer;
}

let shared: Promise<Shared> | undefined;

export function share(): Promise<Shared> {
  shared ??= (async () => {
    stayOnThisThread();
    const parsed = parseConfig(CONFIG, {}, pipelineClaims());
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
    const issuer = await createLocalIssuer({
      now: () => here().issuerNow(),
      random: () => here().issuerRandom(),
      audience: parsed.config.audience,
      baseUrl: () => ISSUER,
      pipelines,
      logins: ["local"],
    });
    return { config: parsed.config, issuer };
  })();
  return shared;
}
