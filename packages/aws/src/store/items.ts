import type { Grant, STATES } from "@stint/core/grant";
import * as z from "zod/mini";

/**
 * The grant as it lies in the table. A grant that does not parse was written by a bug of ours, or by somebody else:
 * it is a fault, never a refusal.
 */
const ms = z.int().check(z.gte(0));
const text = z.string();
const texts = z.record(z.string(), z.string());

const job = z.strictObject({ pipeline: text, issuer: text, run: text, attempt: text, job: text });

const principal = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("job"),
    id: text,
    claims: texts,
    personal: z.exactOptional(texts),
    job,
  }),
  z.strictObject({
    kind: z.literal("person"),
    id: text,
    claims: texts,
    groups: z.array(text),
    personal: z.exactOptional(texts),
  }),
]);

const lease = z.strictObject({
  target: text,
  plannedAt: ms,
  until: ms,
  mintedAt: z.exactOptional(ms),
  issuedAt: z.exactOptional(ms),
  accessKeyId: z.exactOptional(text),
  user: z.exactOptional(text),
  hash: z.exactOptional(text),
});

const approval = z.strictObject({
  count: z.int().check(z.gte(1)),
  given: z.array(z.strictObject({ by: text, at: ms, reason: text })),
});

const awsTarget = z.strictObject({
  kind: z.literal("aws"),
  role: text,
  revocability: z.enum(["immediate", "next-request", "lapse"]),
});
const postgresTarget = z.strictObject({
  kind: z.literal("postgres"),
  place: z.strictObject({
    host: text,
    port: z.int(),
    database: text,
    user: text,
    tls: z.discriminatedUnion("kind", [
      z.strictObject({ kind: z.literal("verify"), ca: z.exactOptional(text) }),
      z.strictObject({ kind: z.literal("off") }),
    ]),
    groups: z.array(text),
    connectionLimit: z.int(),
    own: z.discriminatedUnion("kind", [
      z.strictObject({ kind: z.enum(["nothing", "schema"]) }),
      z.strictObject({ kind: z.literal("database"), template: text }),
    ]),
    leavings: z.discriminatedUnion("kind", [
      z.strictObject({ kind: z.literal("drop") }),
      z.strictObject({ kind: z.literal("reassign"), to: text }),
    ]),
  }),
  secret: z.discriminatedUnion("kind", [
    z.strictObject({ kind: z.enum(["parameter", "secret"]), name: text }),
    z.strictObject({ kind: z.literal("iam") }),
  ]),
  revocability: z.literal("immediate"),
});

const facts = {
  id: text,
  profile: text,
  principal,
  namespace: text,
  rule: text,
  policyVersion: text,
  createdAt: ms,
  seconds: z.int().check(z.gte(1)),
  leaseSeconds: z.int().check(z.gte(1)),
  claimSeconds: z.int().check(z.gte(1)),
  targets: z.record(text, z.discriminatedUnion("kind", [awsTarget, postgresTarget])),
  requestHash: text,
  tokenKey: text,
  name: z.exactOptional(text),
  reason: z.exactOptional(text),
};
const decided = { ...facts, approval: z.exactOptional(approval) };
const leases = z.record(text, lease);
const live = { ...decided, startsAt: ms, endsAt: ms, leases };
const endReason = z.enum([
  "expired",
  "job_ended",
  "released",
  "revoked",
  "withdrawn",
  "unclaimed",
  "failed",
  "target_gone",
]);

const state = <S extends (typeof STATES)[number]>(name: S) => z.literal(name);

export const grantSchema = z.discriminatedUnion("state", [
  z.strictObject({ ...facts, approval, state: state("pending"), decideBy: ms }),
  z.strictObject({ ...decided, state: state("ready"), claimBy: ms }),
  z.strictObject({ ...live, state: state("opening"), openBy: ms }),
  z.strictObject({ ...live, state: state("active") }),
  z.strictObject({
    ...live,
    state: state("ending"),
    why: endReason,
    endedAt: ms,
    retryAt: ms,
    stuck: z.exactOptional(z.literal(true)),
    error: z.exactOptional(text),
    cleared: z.exactOptional(z.record(text, ms)),
    retries: z.exactOptional(z.int().check(z.gte(1))),
  }),
  z.strictObject({
    ...decided,
    state: state("ended"),
    why: endReason,
    endedAt: ms,
    startsAt: z.exactOptional(ms),
    endsAt: z.exactOptional(ms),
    leases,
    cleared: z.exactOptional(z.record(text, ms)),
    deniedAt: z.exactOptional(ms),
    provedAt: z.exactOptional(ms),
  }),
  z.strictObject({
    ...decided,
    state: state("refused"),
    why: z.enum(["rule", "approver", "approval_expired"]),
    endedAt: ms,
  }),
]) satisfies z.ZodMiniType<Grant>;

/** The attributes of a grant's item that its readers look at. */
export const grantItem = z.object({ grant: grantSchema, version: z.int().check(z.gte(1)) });

export const denialItem = z.object({
  role: text,
  grantId: text,
  until: ms,
  issuedBy: ms,
  deniedAt: z.exactOptional(ms),
  provedAt: z.exactOptional(ms),
  spared: z.exactOptional(z.enum(["full", "gone"])),
});

/** What the worker wrote on a role, and what somebody wants written beside it. */
export const roleItem = z.object({
  role: text,
  until: z.exactOptional(ms),
  watermark: z.exactOptional(z.strictObject({ at: ms, until: ms })),
  hard: z.exactOptional(z.strictObject({ at: ms, until: ms })),
});

/** A grant that has sessions of a role, or may have them any moment. */
export const liveItem = z.object({ role: text, grantId: text, until: ms });

/** A job's or run's item: which grants it opened, and its tombstone once it has ended. */
export const jobItem = z.object({
  pk: text,
  sk: text,
  grants: z.optional(z.set(text)),
  endedAt: z.optional(ms),
});
