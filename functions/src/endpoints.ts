import { credentials } from "@stint/broker/holder";
import { decideApproval, get, list, remove, retry } from "@stint/broker/people";
import { considered, leaseSeconds, request, tryOut } from "@stint/broker/request";
import { revokeAll } from "@stint/broker/revocations";
import { credentialsView, revocationView, viewOf } from "@stint/broker/view";
import { GrantError } from "@stint/core/error";
import { STATES } from "@stint/core/grant";
import { GRANT_ID } from "@stint/core/id";
import * as z from "zod/mini";
import openapi from "../openapi.json" with { type: "json" };
import type { ApiApp } from "./app.ts";
import { bodyOf, callerOf, checked, type HttpRequest, principalOf, type Route } from "./edge.ts";
import { type Reply, reply } from "./problem.ts";

const text = (most: number) => z.string().check(z.minLength(1), z.maxLength(most));
const duration = z.string().check(z.maxLength(20));

export const grantRequest = z.strictObject({
  profile: text(100),
  duration: z.exactOptional(duration),
  lease: z.exactOptional(duration),
  name: z.exactOptional(text(200)),
  reason: z.exactOptional(text(1000)),
});

export const credentialsRequest = z.strictObject({ lease: z.exactOptional(duration) });

export const approvalRequest = z.strictObject({
  decision: z.enum(["approve", "refuse"]),
  reason: text(1000),
});

export const revocationRequest = z.strictObject({
  profile: z.exactOptional(text(100)),
  principal: z.exactOptional(text(500)),
  role: z.exactOptional(
    z
      .string()
      .check(
        z.regex(
          /^arn:aws[-a-z]{0,20}:iam::[0-9]{12}:role\/stint\/[\w+=,.@-]{1,64}$/,
          "is not the ARN of a role under /stint/",
        ),
      ),
  ),
  hard: z.exactOptional(z.boolean()),
  dryRun: z.exactOptional(z.boolean()),
  reason: z.exactOptional(text(1000)),
});

const UP_TO_100 = "is a number from 1 to 100";

export const listQuery = z.strictObject({
  state: z.exactOptional(z.enum(STATES)),
  profile: z.exactOptional(text(100)),
  principal: z.exactOptional(text(500)),
  job: z.exactOptional(text(200)),
  stuck: z.exactOptional(
    z.pipe(
      z.enum(["true", "false"]),
      z.transform((word) => word === "true"),
    ),
  ),
  limit: z._default(
    z.pipe(
      z.string().check(z.regex(/^[1-9][0-9]{0,2}$/, UP_TO_100)),
      z.pipe(z.transform(Number), z.number().check(z.refine((n) => n <= 100, UP_TO_100))),
    ),
    50,
  ),
  cursor: z.exactOptional(z.string().check(z.maxLength(500))),
});

export const idempotencyKey = z
  .string()
  .check(z.regex(/^[\x21-\x7e]{1,200}$/, "is 1 to 200 printable characters without spaces"));

/** The path's grant. What is no id is no grant either. */
function grantIn({ path }: HttpRequest): string {
  const id = path.id ?? "";
  if (!GRANT_ID.test(id)) throw new GrantError("grant_not_found", "that is no grant id");
  return id;
}

/** Everything of the API, once: the router, the OpenAPI document and the tests read this table. */
export const routes: readonly Route<ApiApp>[] = [
  {
    method: "POST",
    path: "/v1/grants",
    endpoint: async (req, app) => {
      const caller = await principalOf(req, app);
      const body = bodyOf(req, grantRequest);
      const header = req.headers["idempotency-key"];
      const key =
        header === undefined ? undefined : checked(idempotencyKey, header, "Idempotency-Key");
      const {
        status,
        grant,
        token,
        credentials: made,
      } = await request(app.deps, caller, body, key);
      return reply(status, {
        grant: viewOf(grant),
        ...(made === undefined ? {} : { credentials: credentialsView(made) }),
        token,
      });
    },
  },
  {
    method: "POST",
    path: "/v1/grants/{id}/credentials",
    endpoint: async (req, app) => {
      const caller = await callerOf(req, app);
      const { lease } = req.body.length === 0 ? {} : bodyOf(req, credentialsRequest);
      const seconds = lease === undefined ? undefined : leaseSeconds(lease);
      const issued = await credentials(app.deps, caller, grantIn(req), seconds);
      return reply(200, {
        grant: viewOf(issued.grant),
        credentials: credentialsView(issued.credentials),
      });
    },
  },
  {
    method: "GET",
    path: "/v1/grants/{id}",
    endpoint: async (req, app) => {
      const caller = await callerOf(req, app);
      return reply(200, { grant: viewOf(await get(app.deps, caller, grantIn(req))) });
    },
  },
  {
    method: "GET",
    path: "/v1/grants",
    endpoint: async (req, app) => {
      const caller = await callerOf(req, app);
      const page = await list(app.deps, caller, checked(listQuery, req.query, "the query"));
      return reply(200, {
        grants: page.grants.map(viewOf),
        ...(page.next === undefined ? {} : { cursor: page.next }),
      });
    },
  },
  {
    method: "DELETE",
    path: "/v1/grants/{id}",
    endpoint: async (req, app) => {
      const caller = await callerOf(req, app);
      return reply(202, { grant: viewOf(await remove(app.deps, caller, grantIn(req))) });
    },
  },
  {
    method: "POST",
    path: "/v1/grants/{id}/approval",
    endpoint: async (req, app) => {
      const caller = await callerOf(req, app);
      const body = bodyOf(req, approvalRequest);
      return reply(200, {
        grant: viewOf(await decideApproval(app.deps, caller, grantIn(req), body)),
      });
    },
  },
  {
    method: "POST",
    path: "/v1/grants/{id}/retry",
    endpoint: async (req, app) => {
      const caller = await principalOf(req, app);
      return reply(202, { grant: viewOf(await retry(app.deps, caller, grantIn(req))) });
    },
  },
  {
    method: "POST",
    path: "/v1/revocations",
    endpoint: async (req, app) => {
      const caller = await principalOf(req, app);
      const order = bodyOf(req, revocationRequest);
      return reply(202, revocationView(await revokeAll(app.deps, caller, order)));
    },
  },
  {
    method: "POST",
    path: "/v1/decisions",
    endpoint: async (req, app) => {
      const caller = await principalOf(req, app);
      const body = bodyOf(req, grantRequest);
      const decision = await tryOut(app.deps, caller, body);
      return reply(
        200,
        decision.allowed
          ? {
              allowed: true,
              rule: decision.rule,
              explanation: { failed: [], considered: considered(app.deps, body.profile) },
            }
          : { allowed: false, explanation: decision.told },
      );
    },
  },
  {
    method: "GET",
    path: "/healthz",
    endpoint: async (_, { deps }) =>
      reply(200, { status: "ok", audience: deps.config.audience, policyVersion: deps.config.hash }),
  },
  {
    method: "GET",
    path: "/openapi.json",
    endpoint: async (): Promise<Reply> => reply(200, openapi),
  },
];
