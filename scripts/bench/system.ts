/** Stint deployed into local AWS, with functions of the bench's own over a transport of its choice. */

import type { Door } from "@stint/functions/deployment";
import { readConfig } from "@stint/functions/live";
import type { AdvancingClock } from "@stint/local/clock";
import { DEMO_CONFIG } from "@stint/local/dev";
import { createLocalIssuer } from "@stint/local/issuer";
import { localAws } from "@stint/local/local-aws";
import { arns, functionName } from "@stint/local/roles";
import { deployStint, localIssuers } from "@stint/local/stint";
import type { SdkRequestHandler } from "@stint/local/transport";
import { pipelines } from "@stint/pipelines/registry";

const ISSUER = "http://127.0.0.1:4012";
/** Never connected to: a request handler answers in this process. */
const ENDPOINT = "http://127.0.0.1:4011";

export type System = Awaited<ReturnType<typeof createSystem>>;

/** On a real clock, unless another is given. */
export async function createSystem(clock?: AdvancingClock) {
  const config = readConfig(DEMO_CONFIG);
  const aws = localAws(clock === undefined ? {} : { clock });
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
  const log = { info: () => {}, error: () => {} };
  const stint = await deployStint({ aws, config, issuer, fetch, log });
  const { role } = arns(aws.world);

  return {
    aws,
    config,
    stint,
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
    requestEvent: async () => event("POST", "/v1/grants", await issuer.mint("github")),
  };
}

const BODY = JSON.stringify({ profile: "orders-integration" });

const event = (method: string, path: string, token: string) => ({
  version: "2.0",
  rawPath: path,
  rawQueryString: "",
  headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
  requestContext: { requestId: "bench", http: { method, path } },
  body: BODY,
  isBase64Encoded: false,
});

/** What a function gets beside its event. */
export const CONTEXT = { getRemainingTimeInMillis: () => 30_000 };

/** An answer that is no grant would make every number after it meaningless. */
export function assertIssued(answer: unknown): void {
  const { statusCode, body } = answer as { statusCode: number; body: string }; // the doors' form
  if (statusCode !== 201) throw new Error(`the API answered ${statusCode} ${body}`);
}
