/** What only the local server has: tokens for anybody, a clock to move, calls to look at and faults to plan. */
import { GrantError } from "@stint/core/error";
import { durationSeconds, iso } from "@stint/core/time";
import { checked, jsonOf } from "@stint/functions/edge";
import { asGrantError, problem } from "@stint/functions/problem";
import * as z from "zod";
import type { DevReply, DevRequest } from "./dev.ts";
import type { LocalIssuer } from "./issuer.ts";
import type { StintAws } from "./stint.ts";
import { uuid } from "./uuid.ts";

const tokenRequest = z.strictObject({
  /** A pipeline's name, or a login's of the configuration. */
  pipeline: z.string().min(1),
  claims: z.record(z.string(), z.unknown()).default({}),
});

const clockRequest = z.strictObject({ advance: z.string() });

const faultRequest = z.union([
  z.strictObject({ clear: z.literal(true) }),
  z.strictObject({
    service: z.string().exactOptional(),
    operation: z.string().exactOptional(),
    kind: z.enum(["refuse", "fail-after", "delay", "duplicate"]),
    times: z.int().min(1).exactOptional(),
    skip: z.int().min(0).exactOptional(),
    delayMs: z.int().min(0).max(600_000).exactOptional(),
    error: z
      .union([
        z.literal("timeout"),
        z.strictObject({
          code: z.string(),
          status: z.int().exactOptional(),
          message: z.string().exactOptional(),
        }),
      ])
      .exactOptional(),
  }),
]);

type Local = { readonly aws: StintAws; readonly issuer: LocalIssuer };

const ROUTES: Readonly<Record<string, (local: Local, body: Buffer) => Promise<unknown>>> = {
  "POST /_local/token": async ({ issuer }, body) => {
    const { pipeline, claims } = checked(tokenRequest, jsonOf(body), "the body");
    return { token: await issuer.mint(pipeline, claims) };
  },
  "POST /_local/clock": async ({ aws }, body) => {
    const { advance } = checked(clockRequest, jsonOf(body), "the body");
    const seconds = durationSeconds(advance);
    if (seconds === undefined)
      throw new GrantError("invalid_request", "advance is not a duration", {
        hint: "90s, 15m, 2h",
      });
    await aws.advance(seconds * 1000);
    return { now: iso(aws.clock.now()) };
  },
  "GET /_local/calls": async ({ aws }) => ({ calls: aws.calls() }),
  "POST /_local/faults": async ({ aws }, body) => {
    const fault = checked(faultRequest, jsonOf(body), "the body");
    if ("clear" in fault) {
      aws.faults.clear();
      return { faults: [] };
    }
    aws.faults.add(fault);
    return { faults: aws.faults.list() };
  },
};

/** Answers `/_local/*`; undefined for every other path. */
export const localApi =
  (local: Local) =>
  async ({ method, url, body }: DevRequest): Promise<DevReply | undefined> => {
    const [path = ""] = url.split("?");
    if (!path.startsWith("/_local/")) return undefined;
    try {
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
