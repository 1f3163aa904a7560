/**
 * The shapes that the API answers with, described once. Nothing that runs in AWS imports this folder: it is read by
 * `scripts/openapi.ts` and by tests. Each shape is held to its type from both sides: no field of it is missing, and
 * what parses is of the type.
 */

import type { AwsCredentials } from "@stint/broker/ports";
import type { CredentialsView, GrantView, RevocationView } from "@stint/broker/view";
import type { Explanation } from "@stint/core/decision";
import type { Code } from "@stint/core/error";
import { type EndReason, type RefusalReason, STATES } from "@stint/core/grant";
import { GRANT_ID } from "@stint/core/id";
import type { PostgresCredentials } from "@stint/core/postgres";
import type { JobKey } from "@stint/core/principal";
import type { Revocability } from "@stint/core/profile";
import * as z from "zod";
import {
  approvalRequest,
  credentialsRequest,
  grantRequest,
  revocationRequest,
} from "../endpoints.ts";
import { PROBLEMS } from "../problem.ts";

type Shape<T> = Record<keyof T, z.ZodType>;

const text = z.string();
const texts = z.record(text, text);
const time = z.iso.datetime();

export const codes = Object.keys(PROBLEMS) as [Code, ...Code[]]; // the keys of a record over Code

const WHY = {
  expired: "expired",
  job_ended: "job_ended",
  released: "released",
  revoked: "revoked",
  withdrawn: "withdrawn",
  unclaimed: "unclaimed",
  failed: "failed",
  target_gone: "target_gone",
  rule: "rule",
  approver: "approver",
  approval_expired: "approval_expired",
} as const satisfies { [W in EndReason | RefusalReason]: W };

const REVOCABILITY = {
  immediate: "immediate",
  "next-request": "next-request",
  lapse: "lapse",
} as const satisfies { [R in Revocability]: R };

const job = z
  .object({
    pipeline: text,
    issuer: text.describe("The token issuer's URL"),
    run: text,
    attempt: text,
    job: text,
  } satisfies Shape<JobKey>)
  .describe("The CI job that the grant is bound to: when it ends, so does the grant");

const principal = z
  .object({
    kind: z.enum(["job", "person"]),
    id: text,
    claims: texts,
    personal: texts.describe("Only for callers who may read the grant").exactOptional(),
  } satisfies Shape<GrantView["principal"]>)
  .describe("Whose grant it is: an identity that was verified");

const lease = z
  .object({
    target: text,
    until: time,
    accessKeyId: text.exactOptional(),
    user: text.describe("Of a login of a database").exactOptional(),
  } satisfies Shape<GrantView["leases"][number]>)
  .describe("The life of one credential, or of one that is about to be minted");

const grant = z
  .object({
    id: z.string().regex(GRANT_ID),
    profile: text,
    state: z.enum(STATES),
    principal,
    namespace: text.describe("The prefix that is this grant's own: `it-<id>`"),
    name: text.describe("The label of the request").exactOptional(),
    reason: text.exactOptional(),
    job: job.exactOptional(),
    rule: text.describe("The rule that allowed it"),
    createdAt: time,
    startsAt: time.describe("Absent until the grant is claimed").exactOptional(),
    endsAt: time.describe("The latest time at which it ends by itself"),
    claimBy: time.describe("While `ready`: until when it may be claimed").exactOptional(),
    endedAt: time.describe("When its ending began").exactOptional(),
    why: z.enum(WHY).describe("Why it ended, or why it was refused").exactOptional(),
    deadBy: time
      .describe("After this no credential of the grant works. There from the first lease on")
      .exactOptional(),
    deniedAt: time.describe("When the denial of its sessions was written").exactOptional(),
    provedAt: time.describe("When a probe proved the denial").exactOptional(),
    stuck: z.literal(true).describe("Its ending fails and somebody must look").exactOptional(),
    error: text.describe("What fails, where it is stuck").exactOptional(),
    approval: z
      .object({ count: z.int().min(1), given: z.int().min(0) })
      .describe("How many approvals it needs, and has")
      .exactOptional(),
    revocability: z
      .record(text, z.enum(REVOCABILITY))
      .describe(
        "By target, how soon it can take a credential back: `immediate`, the provider kills it; `next-request`, " +
          "it is denied from the next call on, once the denial has spread; `lapse`, it dies at its lease's end",
      ),
    leases: z.array(lease),
  } satisfies Shape<GrantView>)
  .describe(
    "One profile, for one principal, for one stretch of time. It holds no secret",
  ) satisfies z.ZodType<GrantView>;

const awsCredentials = z
  .object({
    accessKeyId: text,
    secretAccessKey: text,
    sessionToken: text,
    expiration: time.describe("The lease's end"),
  } satisfies Shape<AwsCredentials>)
  .describe("Credentials of one AWS target: secret, told once, stored nowhere");

const postgresCredentials = z
  .object({
    host: text,
    port: z.int(),
    database: text,
    user: text,
    password: text,
    schema: text.describe("The grant's own, first in the login's search_path").exactOptional(),
    ca: text.describe("PEM of the authority of the server's certificate").exactOptional(),
    expiration: time.describe("The lease's end: no new login after it"),
  } satisfies Shape<PostgresCredentials>)
  .describe("A login of one Postgres target: secret, told once, stored nowhere");

const credentials = z
  .record(text, z.union([awsCredentials, postgresCredentials]))
  .describe(
    "What was minted, by the target's name in the profile",
  ) satisfies z.ZodType<CredentialsView>;

const explanation = z
  .object({
    rule: text.describe("Told only to callers that match the rule's ids").exactOptional(),
    failed: z.array(
      z.object({
        claim: text,
        expected: text.describe("Told only to callers that match the rule's ids").exactOptional(),
        actual: text.nullable().describe("`null` where the caller has no such claim"),
      } satisfies Shape<Explanation["failed"][number]>),
    ),
    considered: z.int().min(0).describe("How many rules were looked at"),
  } satisfies Shape<Explanation>)
  .describe(
    "Why a request was refused, by the rule that came nearest to allowing it",
  ) satisfies z.ZodType<Explanation>;

const problem = z
  .object({
    type: text.describe("`urn:stint:problem:<code>`"),
    title: text,
    status: z.int(),
    code: z.enum(codes).describe("What a program should look at"),
    detail: text,
    hint: text.describe("What the caller can do about it").exactOptional(),
    explanation: explanation.exactOptional(),
    ended: z
      .int()
      .min(0)
      .describe("Of an order of revocation that could not be finished: how many grants ended")
      .exactOptional(),
    requestId: text,
  })
  .describe("RFC 9457 problem document");

const token = text.describe("Opens claim, refresh, read and release of this grant alone: secret");

const revocation = z.object({
  count: z.int().min(0).describe("How many grants this call ended, or would have"),
  lapsing: z
    .array(
      z.object({
        grant: text,
        target: text,
        until: time,
      } satisfies Shape<RevocationView["lapsing"][number]>),
    )
    .describe("Leases that nobody can end early, and when they are over"),
  hits: z
    .array(
      z.object({
        grant: text,
        profile: text,
        principal: text,
      } satisfies Shape<NonNullable<RevocationView["hits"]>[number]>),
    )
    .describe("Of a `hard` one: every grant with sessions of the role")
    .exactOptional(),
} satisfies Shape<RevocationView>) satisfies z.ZodType<RevocationView>;

/** The document's named schemas, requests among them. */
export const components = {
  GrantRequest: grantRequest,
  CredentialsRequest: credentialsRequest,
  ApprovalRequest: approvalRequest,
  RevocationRequest: revocationRequest,
  Grant: grant,
  Job: job,
  Lease: lease,
  Principal: principal,
  AwsCredentials: awsCredentials,
  PostgresCredentials: postgresCredentials,
  Credentials: credentials,
  Explanation: explanation,
  Problem: problem,
  IssuedGrant: z
    .object({ grant, credentials, token })
    .describe("A grant that is active, and what was minted for this very request"),
  WaitingGrant: z
    .object({ grant, token })
    .describe("A grant that waits for approval. Its token claims it afterwards"),
  IssuedCredentials: z.object({ grant, credentials }).describe("A new lease of the grant"),
  GrantAnswer: z.object({ grant }),
  GrantPage: z.object({
    grants: z.array(grant),
    cursor: text.describe("There when more may follow").exactOptional(),
  }),
  RevocationAnswer: revocation,
  DecisionAnswer: z.object({
    allowed: z.boolean(),
    rule: text.describe("The rule that allows it").exactOptional(),
    explanation,
  }),
  DeliveryAnswer: z.object({ accepted: z.literal(true) }),
  Health: z.object({
    status: z.literal("ok"),
    audience: text.describe("What tokens for this server must name as their audience"),
    policyVersion: text.describe("Hash of the configuration that decides"),
  }),
} as const satisfies Record<string, z.core.$ZodType>;

export type SchemaName = keyof typeof components;
