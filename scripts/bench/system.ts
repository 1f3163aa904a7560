/** Stint deployed into local AWS, with functions of the bench's own over a transport of its choice. */

import type { Config } from "@stint/core/profile";
import type { Log } from "@stint/functions/app";
import type { Door } from "@stint/functions/deployment";
import { readConfig } from "@stint/functions/live";
import type { AdvancingClock } from "@stint/local/clock";
import { DEMO_CONFIG } from "@stint/local/dev";
import { createLocalIssuer } from "@stint/local/issuer";
import { localAws } from "@stint/local/local-aws";
import { arns, functionName } from "@stint/local/roles";
import type { Credentials } from "@stint/local/sessions";
import { deployStint, localIssuers } from "@stint/local/stint";
import type { SdkRequestHandler } from "@stint/local/transport";
import { pipelines } from "@stint/pipelines/registry";

const ISSUER = "http://127.0.0.1:4012";
/** Never connected to: a request handler answers in this process. */
const ENDPOINT = "http://127.0.0.1:4011";

export type System = Awaited<ReturnType<typeof createSystem>>;

export interface SystemOptions {
  /** Real time, unless another is given. */
  readonly clock?: AdvancingClock;
  /** The demo's, unless another is given. */
  readonly config?: Config;
  readonly log?: Log;
  readonly iamDelayMs?: number;
  /** Stands between Stint's functions and AWS. */
  readonly through?: (inner: SdkRequestHandler) => SdkRequestHandler;
}

/** A request as a caller makes it. */
export interface CallOptions {
  readonly token?: string;
  /** JSON. */
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export async function createSystem(options: SystemOptions = {}) {
  const { clock, iamDelayMs, through, log = { info: () => {}, error: () => {} } } = options;
  const config = options.config ?? readConfig(DEMO_CONFIG);
  const own = localAws({
    ...(clock === undefined ? {} : { clock }),
    ...(iamDelayMs === undefined ? {} : { iamDelayMs }),
  });
  const aws = through === undefined ? own : { ...own, requestHandler: through(own.requestHandler) };
  const { now } = aws.clock;
  const issuer = await createLocalIssuer({
    now,
    audience: config.audience,
    baseUrl: () => ISSUER,
    pipelines,
    logins: config.issuers.flatMap(({ login }) => login ?? []),
  });
  const fetch = async (url: string) => {
    const path = url.slice(ISSUER.length);
    const { status, body, headers } = issuer.handle({ method: "GET", path });
    return new Response(body, { status, headers: { ...headers } });
  };
  const stint = await deployStint({ aws, config, issuer, fetch, log });
  const { role } = arns(aws.world);

  return {
    aws,
    config,
    stint,
    issuer,
    /** Settings of clients that are no function's: the account's administrator by itself, or who holds a credential. */
    client: (credentials: Credentials = aws.administrator) => ({
      region: aws.world.region,
      endpoint: ENDPOINT,
      credentials,
      requestHandler: own.requestHandler,
      maxAttempts: 1,
    }),
    /** What a function is made of, with every call of it going through `requestHandler`. */
    outside: (requestHandler: SdkRequestHandler, door: Door = "api") => ({
      settings: stint.settings,
      config,
      issuers: localIssuers(config, issuer),
      fetch,
      log,
      aws: {
        region: aws.world.region,
        endpoint: ENDPOINT,
        credentials: aws.credentialsFor(role(door), functionName(door)),
        requestHandler,
      },
      now,
      sleep: (ms: number) => aws.clock.sleep(ms),
    }),
    /** A job's request as API Gateway would hand it over: its token is fresh, its grant its own. */
    requestEvent: async () =>
      event("POST", "/v1/grants", { token: await issuer.mint("github"), body: BODY }),
    /** Invokes the function behind a route as AWS does, and tells its answer. */
    async call(method: string, path: string, options: CallOptions = {}): Promise<Answer> {
      const door: Door = path.startsWith("/v1/webhooks/") ? "webhook" : "api";
      const answer = await stint.invoke(door, event(method, path, options));
      const { statusCode, body } = answer as { statusCode: number; body: string }; // the doors' form
      return { status: statusCode, body: body === "" ? undefined : JSON.parse(body) };
    },
  };
}

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

const BODY = JSON.stringify({ profile: "orders-integration" });

const event = (method: string, path: string, { token, body = "", headers = {} }: CallOptions) => ({
  version: "2.0",
  rawPath: path,
  rawQueryString: "",
  headers: {
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    "content-type": "application/json",
    ...headers,
  },
  requestContext: { requestId: "bench", http: { method, path } },
  body,
  isBase64Encoded: false,
});

/** What a function gets beside its event. */
export const CONTEXT = { getRemainingTimeInMillis: () => 30_000 };

/** An answer that is no grant would make every number after it meaningless. */
export function assertIssued(answer: unknown): void {
  const { statusCode, body } = answer as { statusCode: number; body: string }; // the doors' form
  if (statusCode !== 201) throw new Error(`the API answered ${statusCode} ${body}`);
}
