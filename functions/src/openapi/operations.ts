/** What each route is for, what it takes and what it may answer. A test holds this table to the routes themselves. */
import type { Code } from "@stint/core/error";
import type * as z from "zod";
import type {
  approvalRequest,
  credentialsRequest,
  grantRequest,
  listQuery,
  revocationRequest,
} from "../endpoints.ts";
import type { SchemaName } from "./schemas.ts";

/** Who may come: with the identity's own token, the grant's token, or a signed delivery. */
type Door = "identity" | "grantToken" | "signature";

interface Success {
  readonly description: string;
  readonly schema?: SchemaName;
}

export interface Operation {
  readonly id: string;
  readonly tag: "grants" | "decisions" | "webhooks" | "service";
  readonly summary: string;
  readonly description?: string;
  readonly doors: readonly Door[];
  readonly idempotencyKey?: true;
  readonly query?: true;
  readonly body?: { readonly schema?: SchemaName; readonly optional?: true };
  readonly success: Readonly<Record<number, Success>>;
  /** Beside those that every route has. */
  readonly codes: readonly Code[];
}

/** A repeated query parameter, a body that is too large, a fault of ours. */
export const EVERYWHERE: readonly Code[] = ["invalid_request", "too_large", "internal"];

const ISSUING: readonly Code[] = [
  "job_ended",
  "limit_reached",
  "policy_too_large",
  "target_refused",
];
const CALLER: readonly Code[] = ["unauthenticated", "unavailable"];

/** By `METHOD /path`, as in the route table. */
export const operations: Readonly<Record<string, Operation>> = {
  "POST /v1/grants": {
    id: "requestGrant",
    tag: "grants",
    summary: "Request a grant",
    description:
      "The same principal with the same key is the same grant: a repeat answers 200 with a new lease, or 202 while " +
      "it waits for approval, and with the same token each time. A profile that does not exist and one that the " +
      "caller may not have are refused alike.",
    doors: ["identity"],
    idempotencyKey: true,
    body: { schema: "GrantRequest" },
    success: {
      200: { description: "A repeat: the same grant with a new lease", schema: "IssuedGrant" },
      201: { description: "Active, with credentials", schema: "IssuedGrant" },
      202: { description: "Waits for approval", schema: "WaitingGrant" },
    },
    codes: [...CALLER, ...ISSUING, "refused", "grant_ended", "idempotency_mismatch"],
  },
  "GET /v1/grants": {
    id: "listGrants",
    tag: "grants",
    summary: "List grants, newest first",
    description:
      "Of the profiles that the caller may read; without such a profile, the caller's own.",
    doors: ["identity"],
    query: true,
    success: { 200: { description: "One page", schema: "GrantPage" } },
    codes: [...CALLER, "refused"],
  },
  "GET /v1/grants/{id}": {
    id: "getGrant",
    tag: "grants",
    summary: "Read a grant",
    description: "A grant that the caller may not read looks like one that does not exist.",
    doors: ["identity", "grantToken"],
    success: { 200: { description: "The grant as it is now", schema: "GrantAnswer" } },
    codes: [...CALLER, "grant_not_found"],
  },
  "DELETE /v1/grants/{id}": {
    id: "endGrant",
    tag: "grants",
    summary: "Release or revoke a grant",
    description:
      "Its holder releases it; somebody whom a rule allows revokes it. A second time changes nothing and answers " +
      "the same. `deadBy` says until when a session that was handed out may still work.",
    doors: ["identity", "grantToken"],
    success: { 202: { description: "Ending, or ended already", schema: "GrantAnswer" } },
    codes: [...CALLER, "refused", "grant_not_found"],
  },
  "POST /v1/grants/{id}/credentials": {
    id: "issueCredentials",
    tag: "grants",
    summary: "Claim a ready grant, or refresh an active one",
    doors: ["identity", "grantToken"],
    body: { schema: "CredentialsRequest", optional: true },
    success: { 200: { description: "A new lease", schema: "IssuedCredentials" } },
    codes: [...CALLER, ...ISSUING, "refused", "grant_not_found", "grant_ended", "wrong_state"],
  },
  "POST /v1/grants/{id}/approval": {
    id: "decideApproval",
    tag: "grants",
    summary: "Approve or refuse a request",
    description: "Only a person, allowed at this moment, and never the requester.",
    doors: ["identity"],
    body: { schema: "ApprovalRequest" },
    success: { 200: { description: "The decision counts", schema: "GrantAnswer" } },
    codes: [...CALLER, "refused", "grant_not_found", "wrong_state", "grant_changed"],
  },
  "POST /v1/grants/{id}/retry": {
    id: "retryEnd",
    tag: "grants",
    summary: "Have an end that is not done tried again now",
    description:
      "For a grant that is `ending`, `stuck` or not; its own principal may, and who may revoke it. Its token may not.",
    doors: ["identity"],
    success: { 202: { description: "Being tried, or done already", schema: "GrantAnswer" } },
    codes: [...CALLER, "refused", "grant_not_found", "wrong_state"],
  },
  "POST /v1/revocations": {
    id: "revokeAll",
    tag: "grants",
    summary: "End everything that matches",
    description:
      "Of the grants that the caller may revoke by a rule: those of one profile, principal or role, or all. Others " +
      "are neither ended nor counted. It looks again after a few seconds, since lists learn of a grant late. `hard` " +
      "also denies every session of the role that was issued until now, whoever issued it. Where it takes too long " +
      "the answer is 503 and says in `ended` how many did: a repeat goes on with the rest.",
    doors: ["identity"],
    body: { schema: "RevocationRequest" },
    success: { 202: { description: "Ending, or what would be", schema: "RevocationAnswer" } },
    codes: [...CALLER, "refused"],
  },
  "POST /v1/decisions": {
    id: "tryRequest",
    tag: "decisions",
    summary: "Ask whether a request would be allowed",
    description:
      "The body of a request, decided as one; nothing is opened. A refusal is an answer here: 200.",
    doors: ["identity"],
    body: { schema: "GrantRequest" },
    success: { 200: { description: "The decision and why", schema: "DecisionAnswer" } },
    codes: CALLER,
  },
  "POST /v1/webhooks/{pipeline}": {
    id: "reportJobs",
    tag: "webhooks",
    summary: "What a pipeline reports about its jobs",
    description:
      "The delivery as the pipeline sends it, up to 5 MB. The end of a job or run ends its grants, shortly after " +
      "the answer; every other event changes nothing. A delivery that was here before is accepted and does nothing.",
    doors: ["signature"],
    body: {},
    success: { 202: { description: "Written down", schema: "DeliveryAnswer" } },
    codes: [...CALLER, "route_not_found"],
  },
  "GET /healthz": {
    id: "health",
    tag: "service",
    summary: "Whether requests are served",
    doors: [],
    success: { 200: { description: "They are", schema: "Health" } },
    codes: [],
  },
  "GET /openapi.json": {
    id: "openapi",
    tag: "service",
    summary: "This document",
    doors: [],
    success: { 200: { description: "OpenAPI 3.1" } },
    codes: [],
  },
};

const DURATION = {
  pattern: "^[1-9][0-9]{0,8}[smh]$",
  examples: ["90s", "20m", "2h"],
} as const;
const REASON = { description: "For the approvers and the audit log" } as const;

type Notes<S extends z.core.$ZodType> = Readonly<
  Record<keyof z.input<S>, Readonly<Record<string, unknown>>>
>;

/** What the request schemas do not say of their fields, because the door leaves it to the use case. */
export const notes = {
  GrantRequest: {
    profile: { description: "What is asked for", examples: ["orders-integration"] },
    duration: {
      description: "How long the grant lasts, at least 60s; the profile's default otherwise",
      ...DURATION,
    },
    lease: {
      description:
        "How long one credential lasts, 60s to 1h; never longer than what is left of the grant",
      ...DURATION,
    },
    name: { description: "A label, nothing more" },
    reason: REASON,
  } satisfies Notes<typeof grantRequest>,
  CredentialsRequest: {
    lease: { description: "How long this credential lasts, 60s to 1h", ...DURATION },
  } satisfies Notes<typeof credentialsRequest>,
  ApprovalRequest: {
    decision: {},
    reason: { description: "For the requester and the audit log" },
  } satisfies Notes<typeof approvalRequest>,
  RevocationRequest: {
    profile: {
      description: "Only grants of this profile. At most one of `profile`, `principal`, `role`",
    },
    principal: { description: "Only grants of the principal with this id" },
    role: { description: "Only grants that have a target of this role" },
    hard: {
      description:
        "With `role`, for who may revoke on each profile that has it: denies every session of the role, also those " +
        "that Stint knows nothing of",
    },
    dryRun: { description: "Only count, and tell whom `hard` would hit: nothing ends" },
    reason: { description: "For the audit log" },
  } satisfies Notes<typeof revocationRequest>,
} satisfies Partial<Record<SchemaName, object>>;

/** The list's parameters. In a query everything is text; `schema` says what the text stands for. */
export const queryNotes: Readonly<
  Record<
    keyof z.input<typeof listQuery>,
    { readonly description?: string; readonly schema?: object }
  >
> = {
  state: {},
  profile: { description: "Only grants of this profile" },
  principal: { description: "Only grants of the principal with this id" },
  job: { description: "Only grants of the job with this id at its pipeline" },
  stuck: {
    description: "Only grants whose ending is stuck, or is not",
    schema: { type: "boolean" },
  },
  limit: {
    description: "Grants on one page",
    schema: { type: "integer", minimum: 1, maximum: 100, default: 50 },
  },
  cursor: { description: "The `cursor` of the page before" },
};
