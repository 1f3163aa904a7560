import { credentials } from "@stint/broker/holder";
import { decideApproval, get, list, remove } from "@stint/broker/people";
import { considered, leaseSeconds, request, tryOut } from "@stint/broker/request";
import { credentialsView, viewOf } from "@stint/broker/view";
import { GrantError } from "@stint/core/error";
import { STATES } from "@stint/core/grant";
import { GRANT_ID } from "@stint/core/id";
import * as z from "zod";
import openapi from "../openapi.json" with { type: "json" };
import type { ApiApp } from "./app.ts";
import { bodyOf, callerOf, checked, type HttpRequest, principalOf, type Route } from "./edge.ts";
import { type Reply, reply } from "./problem.ts";

const label = z.string().min(1).max(200);

export const grantRequest = z.strictObject({
  profile: z.string().min(1).max(100),
  duration: z.string().max(20).exactOptional(),
  lease: z.string().max(20).exactOptional(),
  name: label.exactOptional(),
  reason: z.string().min(1).max(1000).exactOptional(),
});

export const credentialsRequest = z.strictObject({ lease: z.string().max(20).exactOptional() });

export const approvalRequest = z.strictObject({
  decision: z.enum(["approve", "refuse"]),
  reason: z.string().min(1).max(1000),
});

export const listQuery = z.strictObject({
  state: z.enum(STATES).exactOptional(),
  profile: z.string().min(1).max(100).exactOptional(),
  principal: z.string().min(1).max(500).exactOptional(),
  job: z.string().min(1).max(200).exactOptional(),
  stuck: z
    .enum(["true", "false"])
    .transform((text) => text === "true")
    .exactOptional(),
  limit: z
    .string()
    .regex(/^[1-9][0-9]{0,2}$/, "is a number from 1 to 100")
    .transform(Number)
    .refine((n) => n <= 100, "is a number from 1 to 100")
    .default(50),
  cursor: z.string().max(500).exactOptional(),
});

export const idempotencyKey = z
  .string()
  .regex(/^[\x21-\x7e]{1,200}$/, "is 1 to 200 printable characters without spaces");

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
