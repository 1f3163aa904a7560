/** What only the local server has: tokens for anybody, a clock to move, calls to look at and faults to plan. */
import { GrantError } from "@stint/core/error";
import { durationSeconds, iso } from "@stint/core/time";
import { checked, jsonOf } from "@stint/functions/edge";
import { asGrantError, problem } from "@stint/functions/problem";
import * as z from "zod";
import type { DevReply, DevRequest } from "./dev.ts";
import { LOSABLE } from "./faults.ts";
import type { LocalIssuer } from "./issuer.ts";
import type { StandardAws } from "./local-aws.ts";
import type { StandIn } from "./stand-ins.ts";
import { uuid } from "./uuid.ts";

const tokenRequest = z.strictObject({
  /** A pipeline's name, or a login's of the configuration. */
  pipeline: z.string().min(1),
  /** Where the pipeline has several: the URL of the one that the token is to be of. The first by default. */
  issuer: z.string().exactOptional(),
  claims: z.record(z.string(), z.unknown()).default({}),
});

const clockRequest = z.strictObject({ advance: z.string() });

const clearRequest = z.strictObject({ clear: z.literal(true) });

const faultRequest = z
  .strictObject({
    service: z.string().exactOptional(),
    operation: z.string().exactOptional(),
    kind: z.enum(["refuse", "fail-after", "delay", "duplicate", "lose"]),
    times: z.int().min(1).exactOptional(),
    skip: z.int().min(0).exactOptional(),
    delayMs: z.int().min(0).max(600_000).exactOptional(),
    error: z
      .union([
        z.literal("timeout"),
        z.strictObject({
          code: z.string().min(1),
          status: z.int().min(400).max(599).exactOptional(),
          message: z.string().exactOptional(),
        }),
      ])
      .exactOptional(),
  })
  .refine(({ kind, delayMs }) => (kind === "delay") === (delayMs !== undefined), {
    path: ["delayMs"],
    message: "goes with the kind delay and with no other",
  })
  .refine(({ kind, operation = "" }) => kind !== "lose" || LOSABLE.test(operation), {
    path: ["operation"],
    message:
      "is to be Deliver or a deletion where it is lost: nothing else answers without a result",
  });

/** As in the scope of a signature; `lambda` for what functions run. */
const SERVICES = [
  "dynamodb",
  "events",
  "iam",
  "kms",
  "lambda",
  "s3",
  "scheduler",
  "sqs",
  "ssm",
  "sts",
];

/** A month takes about a minute to live through; ten thousand years would never answer. */
const LONGEST_STEP_SECONDS = 720 * 3600;

interface Local {
  readonly aws: StandardAws;
  readonly issuer: LocalIssuer;
  readonly standIns: readonly StandIn[];
}

const ROUTES: Readonly<Record<string, (local: Local, body: Buffer) => Promise<unknown>>> = {
  "POST /_local/token": async ({ issuer, standIns }, body) => {
    const { pipeline, issuer: url, claims } = checked(tokenRequest, jsonOf(body), "the body");
    const name = url === undefined ? pipeline : standInFor(standIns, pipeline, url);
    return { token: await issuer.mint(name, claims) };
  },
  "POST /_local/clock": async ({ aws }, body) => {
    const { advance } = checked(clockRequest, jsonOf(body), "the body");
    const seconds = durationSeconds(advance);
    if (seconds === undefined)
      throw new GrantError("invalid_request", "advance is not a duration", {
        hint: "90s, 15m, 2h",
      });
    if (seconds > LONGEST_STEP_SECONDS)
      throw new GrantError("invalid_request", "advance is longer than 720h", {
        hint: "go there in several steps: every minute's sweep on the way is run",
      });
    await aws.advance(seconds * 1000);
    return { now: iso(aws.clock.now()) };
  },
  "GET /_local/calls": async ({ aws }) => ({ calls: aws.calls() }),
  "POST /_local/faults": async ({ aws }, body) => {
    const asked = jsonOf(body);
    if (typeof asked === "object" && asked !== null && "clear" in asked) {
      checked(clearRequest, asked, "the body");
      aws.faults.clear();
      return { faults: [] };
    }
    const fault = checked(faultRequest, asked, "the body");
    // A misspelt one would strike nothing, and a test would pass for the wrong reason.
    if (fault.service !== undefined && !SERVICES.includes(fault.service))
      throw new GrantError("invalid_request", `there is no service ${fault.service}`, {
        hint: `there are ${SERVICES.join(", ")}`,
      });
    aws.faults.add(fault);
    return { faults: aws.faults.list() };
  },
};

function standInFor(standIns: readonly StandIn[], pipeline: string, url: string): string {
  const of = standIns.filter(({ trusted }) =>
    trusted.kind === "login" ? trusted.login === pipeline : trusted.pipeline.name === pipeline,
  );
  const found = of.find(({ trusted }) => trusted.url === url);
  if (found !== undefined) return found.name;
  throw new GrantError("invalid_request", `issuer is no trusted issuer of ${pipeline}`, {
    hint: `trusted are ${of.map(({ trusted }) => trusted.url).join(", ") || "none"}`,
  });
}

function isLoopback(url: string): boolean {
  if (!URL.canParse(url)) return false;
  return ["127.0.0.1", "[::1]", "localhost"].includes(new URL(url).hostname);
}

/** Answers `/_local/*`; undefined for every other path. */
export const localApi =
  (local: Local) =>
  async ({ method, url, headers, body }: DevRequest): Promise<DevReply | undefined> => {
    const [path = ""] = url.split("?");
    if (!path.startsWith("/_local/")) return undefined;
    try {
      // A web page that this machine's owner looks at reaches loopback too, and here anybody is minted an identity.
      if (
        !isLoopback(`http://${headers.host}`) ||
        !isLoopback(headers.origin ?? "http://localhost")
      )
        throw new GrantError("refused", "this is for programs on this machine, not for web pages");
      const route = ROUTES[`${method} ${path}`];
      if (route === undefined)
        throw new GrantError("route_not_found", `there is no ${method} ${path}`, {
          hint: `there are ${Object.keys(ROUTES).join(", ")}`,
        });
      return {
        status: 200,
        headers: { "content-type": "application/json" },
        body: JSON.stringify(await route(local, body)),
      };
    } catch (error) {
      const told = problem(asGrantError(error), uuid(local.aws.world));
      return { status: told.statusCode, headers: told.headers, body: told.body };
    }
  };
