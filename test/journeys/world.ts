/** One world for a journey: Stint deployed into local AWS under a clock that only the test moves. */
import { createHmac } from "node:crypto";
import { DynamoDBClient, paginateScan } from "@aws-sdk/client-dynamodb";
import { S3Client } from "@aws-sdk/client-s3";
import { unmarshall } from "@aws-sdk/util-dynamodb";
import type { GrantView } from "@stint/broker/view";
import type { Config } from "@stint/core/profile";
import type { Door } from "@stint/functions/deployment";
import { readConfig } from "@stint/functions/live";
import { createVirtualClock } from "@stint/local/clock";
import { DEMO_CONFIG } from "@stint/local/dev";
import { createLocalIssuer, type LocalIssuer } from "@stint/local/issuer";
import { localAws, type StandardAws } from "@stint/local/local-aws";
import { NAMES } from "@stint/local/roles";
import { deployStint, type LocalStint, webhookSecret } from "@stint/local/stint";
import { pipelines } from "@stint/pipelines/registry";
import { describe, test } from "vitest";
import { onBundles } from "../bundles/functions.ts";

/** The functions as they are deployed, each in a process of its own: `npm run bundles` says where they are. */
const { STINT_TEST_BUNDLES: BUNDLES } = process.env;

/** For suites and tests that look inside the functions, or give them what no deployment has: not for those elsewhere. */
const here = <F extends typeof test | typeof describe>(define: F): F =>
  BUNDLES === undefined ? define : ((() => {}) as unknown as F); // called with a name and a body, and nothing more
export const inside = here(test);
export const insideSuite = here(describe);

const START = Date.parse("2026-11-22T12:00:00Z");
/** Longer than AWS's usual milliseconds, so that nothing in a journey works by luck. */
const READ_LAG_MS = 2_000;
const ISSUER = "http://127.0.0.1:4012";

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  // Whatever the API said: each test looks at the fields that it is about.
  // biome-ignore lint/suspicious/noExplicitAny: tests read fields of many shapes
  readonly body: any;
}

export interface CallOptions {
  readonly token?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as it is, instead of `body` as JSON. */
  readonly raw?: string | Uint8Array;
}

export interface World {
  readonly aws: StandardAws;
  readonly stint: LocalStint;
  readonly issuer: LocalIssuer;
  readonly config: Config;
  /** What operators would read. */
  readonly logged: Array<{
    readonly level: string;
    readonly message: string;
    readonly details: unknown;
  }>;
  call(method: string, path: string, options?: CallOptions): Promise<Answer>;
  /** A token of the demo's job; `claims` replace its own. */
  jobToken(claims?: Readonly<Record<string, unknown>>): Promise<string>;
  personToken(subject: string, groups: readonly string[]): Promise<string>;
  /** Posts a signed GitHub webhook and lets everything that follows from it happen. */
  github(event: string, payload: unknown, delivery?: string): Promise<Answer>;
  advance(ms: number): Promise<void>;
  /** Every item in Stint's table. */
  items(): Promise<Array<Record<string, unknown>>>;
  readonly administrator: ReturnType<typeof clientSettings>;
}

const clientSettings = (aws: StandardAws) => ({
  region: aws.world.region,
  endpoint: "http://127.0.0.1:4011",
  credentials: aws.administrator,
  requestHandler: aws.requestHandler,
});

/** SDK settings for somebody who was handed these credentials. */
export const holding = (
  world: World,
  of: { accessKeyId: string; secretAccessKey: string; sessionToken: string },
) => ({
  ...world.administrator,
  credentials: {
    accessKeyId: of.accessKeyId,
    secretAccessKey: of.secretAccessKey,
    sessionToken: of.sessionToken,
  },
  maxAttempts: 1,
});

export const s3Of = (world: World, of: Parameters<typeof holding>[1]): S3Client =>
  new S3Client({ ...holding(world, of), forcePathStyle: true });

export interface WorldOptions {
  readonly config?: Config;
  readonly iamDelayMs?: number;
  /** What the clock shows at first, epoch ms. */
  readonly start?: number;
  /** How late indexes and default reads of the table are. */
  readonly readLagMs?: number;
  /** 1: no call is repeated by the SDK, whose waiting between attempts is in real time. */
  readonly maxAttempts?: number;
  /** Where the functions as they are deployed lie, if not where the environment says. */
  readonly bundles?: string;
  /** Stands between Stint and the issuer: sees what is fetched, and may answer otherwise or fail. */
  readonly onFetch?: (url: string, next: () => Response) => Response;
}

export async function createWorld(options: WorldOptions = {}): Promise<World> {
  const config = options.config ?? readConfig(DEMO_CONFIG);
  const clock = createVirtualClock(options.start ?? START);
  const aws = localAws({
    clock,
    ...(options.iamDelayMs === undefined ? {} : { iamDelayMs: options.iamDelayMs }),
  });
  const issuer = await createLocalIssuer({
    now: clock.now,
    audience: config.audience,
    baseUrl: () => ISSUER,
    pipelines,
    logins: config.issuers.flatMap(({ login }) => login ?? []),
  });
  const logged: World["logged"] = [];
  const bundles = options.bundles ?? BUNDLES;
  const bundled =
    bundles === undefined ? undefined : await onBundles(bundles, aws, issuer, options.config);
  const stint = await deployStint({
    aws,
    config,
    issuer,
    ...(bundled === undefined ? {} : { elsewhere: bundled.elsewhere }),
    ...(options.maxAttempts === undefined ? {} : { maxAttempts: options.maxAttempts }),
    fetch: async (url) => {
      const next = () => {
        const { status, body, headers } = issuer.handle({
          method: "GET",
          path: url.slice(ISSUER.length),
        });
        return new Response(body, { status, headers: { ...headers } });
      };
      return options.onFetch === undefined ? next() : options.onFetch(url, next);
    },
    log: {
      info: (message, details) => logged.push({ level: "info", message, details }),
      error: (message, details) => logged.push({ level: "error", message, details }),
    },
  });
  // Whatever reads without asking for consistency, or from an index, learns of a write only after a while.
  aws.services.dynamodb.setReadLag(options.readLagMs ?? READ_LAG_MS);
  aws.services.scheduler.configure({ fireLateMs: "random" });
  // Nothing may count on an order between grants: two shards are read at once, as in any busy table.
  aws.services.dynamodb.splitShards(NAMES.table);
  const db = new DynamoDBClient(clientSettings(aws));

  const call = async (method: string, path: string, options: CallOptions = {}): Promise<Answer> => {
    const { token, body, headers = {}, raw } = options;
    const bytes = raw ?? (body === undefined ? "" : JSON.stringify(body));
    const [rawPath = "", rawQueryString = ""] = path.split("?");
    const door: Door = rawPath.startsWith("/v1/webhooks/") ? "webhook" : "api";
    const answer = (await stint.invoke(door, {
      version: "2.0",
      rawPath,
      rawQueryString,
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...headers,
      },
      requestContext: { requestId: "test", http: { method, path: rawPath } },
      body: Buffer.from(bytes).toString("base64"),
      isBase64Encoded: true,
    })) as { statusCode: number; headers: Record<string, string>; body: string };
    return {
      status: answer.statusCode,
      headers: answer.headers,
      body: answer.body === "" ? undefined : JSON.parse(answer.body),
    };
  };

  let deliveries = 0;
  return {
    aws,
    stint,
    issuer,
    config,
    logged,
    call,
    administrator: clientSettings(aws),
    jobToken: (claims = {}) => issuer.mint("github", { ...bundled?.claims("github"), ...claims }),
    personToken: (subject, groups) =>
      issuer.mint("local", { sub: subject, groups, ...bundled?.claims("local") }),
    github: async (event, payload, delivery = `delivery-${++deliveries}`) => {
      const raw = typeof payload === "string" ? payload : JSON.stringify(payload);
      const answer = await call("POST", "/v1/webhooks/github", {
        raw,
        headers: {
          "x-github-event": event,
          "x-github-delivery": delivery,
          "x-hub-signature-256": sign(raw),
        },
      });
      await aws.settle();
      return answer;
    },
    advance: (ms) => aws.advance(ms),
    items: async () => {
      const all: Array<Record<string, unknown>> = [];
      for await (const { Items = [] } of paginateScan(
        { client: db },
        { TableName: "stint", ConsistentRead: true },
      ))
        all.push(...Items.map((item) => unmarshall(item)));
      return all;
    },
  };
}

export const sign = (raw: string | Uint8Array, secret = webhookSecret("github")): string =>
  `sha256=${createHmac("sha256", secret).update(raw).digest("hex")}`;

/** The grant of an answer that must have one. */
export const grantIn = (answer: Answer): GrantView => {
  if (answer.body?.grant === undefined)
    throw new Error(`no grant in ${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body.grant;
};
