/** The stream of the table, read for the audit records that its changes carry. */
import type { AttributeValue } from "@aws-sdk/client-dynamodb";
import { unmarshall } from "@aws-sdk/util-dynamodb";
import { type AuditRecord, FACTS } from "@stint/core/audit";
import type { AuditRow } from "@stint/core/audit-columns";
import type { Code } from "@stint/core/error";
import { STATES } from "@stint/core/grant";
import * as z from "zod/mini";

/** Keys, because only an object's keys can be held to a union in full: a new code does not compile until it is here. */
const CODES = {
  invalid_request: "invalid_request",
  unauthenticated: "unauthenticated",
  refused: "refused",
  grant_not_found: "grant_not_found",
  route_not_found: "route_not_found",
  grant_ended: "grant_ended",
  wrong_state: "wrong_state",
  grant_changed: "grant_changed",
  job_ended: "job_ended",
  too_large: "too_large",
  idempotency_mismatch: "idempotency_mismatch",
  policy_too_large: "policy_too_large",
  limit_reached: "limit_reached",
  target_refused: "target_refused",
  unavailable: "unavailable",
  internal: "internal",
} as const satisfies { [C in Code]: C };

const PRINCIPAL_KINDS = {
  job: "job",
  person: "person",
} as const satisfies { [K in NonNullable<AuditRecord["principal"]>["kind"]]: K };

const ACTOR_KINDS = {
  ...PRINCIPAL_KINDS,
  schedule: "schedule",
  sweeper: "sweeper",
  webhook: "webhook",
  revoker: "revoker",
  prover: "prover",
  clearer: "clearer",
  reconciler: "reconciler",
  stint: "stint",
} as const satisfies { [K in AuditRecord["actor"]["kind"]]: K };

const text = z.string();
const texts = z.record(text, text);
/** Epoch ms, up to the last one that a day of four-digit years holds. */
const time = z.int().check(z.gte(0), z.lte(Date.UTC(9999, 11, 31, 23, 59, 59, 999)));

const explanation = z.strictObject({
  rule: z.exactOptional(text),
  failed: z.array(
    z.strictObject({ claim: text, expected: z.exactOptional(text), actual: z.nullable(text) }),
  ),
  considered: z.int().check(z.gte(0)),
});

/** An audit record as it is read back from the table: nothing unknown, nothing of another type. */
export const auditRecordSchema = z.strictObject({
  id: z.string().check(z.minLength(1)),
  time,
  fact: z.enum(FACTS),
  actor: z.strictObject({
    kind: z.enum(ACTOR_KINDS),
    id: text,
    personal: z.exactOptional(texts),
  }),
  policyVersion: text,
  grant: z.exactOptional(text),
  profile: z.exactOptional(text),
  state: z.exactOptional(z.enum(STATES)),
  principal: z.exactOptional(z.strictObject({ kind: z.enum(PRINCIPAL_KINDS), id: text })),
  claims: z.exactOptional(texts),
  job: z.exactOptional(
    z.strictObject({
      pipeline: z.exactOptional(text),
      issuer: z.exactOptional(text),
      run: z.exactOptional(text),
      attempt: z.exactOptional(text),
      job: z.exactOptional(text),
    }),
  ),
  rule: z.exactOptional(text),
  why: z.exactOptional(text),
  code: z.exactOptional(z.enum(CODES)),
  reason: z.exactOptional(text),
  endsAt: z.exactOptional(time),
  deadBy: z.exactOptional(time),
  leases: z.exactOptional(
    z.array(
      z.strictObject({
        target: text,
        until: time,
        accessKeyId: z.exactOptional(text),
        user: z.exactOptional(text),
        hash: z.exactOptional(text),
      }),
    ),
  ),
  explanation: z.exactOptional(explanation),
  policyErrors: z.exactOptional(z.array(text)),
  tokenHash: z.exactOptional(text),
  role: z.exactOptional(text),
  error: z.exactOptional(text),
  targetGone: z.exactOptional(z.literal(true)),
  timeToDeadMs: z.exactOptional(z.int()),
  count: z.exactOptional(z.int().check(z.gte(0))),
  // The first half: no field of the type is missing here. The second: what parses is a record.
} satisfies Record<keyof AuditRecord, z.ZodMiniType>) satisfies z.ZodMiniType<AuditRecord>;

/** What is read of a DynamoDB stream event, as Lambda delivers it. */
export interface StreamEvent {
  readonly Records: ReadonlyArray<{
    readonly eventName?: string | undefined;
    readonly dynamodb?:
      | {
          readonly SequenceNumber?: string | undefined;
          readonly NewImage?: Readonly<Record<string, unknown>> | undefined;
          readonly OldImage?: Readonly<Record<string, unknown>> | undefined;
        }
      | undefined;
  }>;
}

const image = z.object({ audit: z.optional(z.unknown()) });
const streamRecord = z.object({
  eventName: z.enum(["INSERT", "MODIFY", "REMOVE"]),
  dynamodb: z.object({
    SequenceNumber: z.string().check(z.regex(/^[0-9]{1,40}$/)),
    NewImage: z.optional(image),
    OldImage: z.optional(image),
  }),
});

const auditIdOf = (attribute: unknown): string | undefined =>
  z.object({ M: z.object({ id: z.object({ S: text }) }) }).safeParse(attribute).data?.M.id.S;

/**
 * The audit records that a batch of changes brings, in its order. An item keeps its last record, so that a change
 * brings one only where it is not the one that was there before. A record that does not parse is our fault: the error
 * names its sequence number and field, never what is in it.
 */
export function auditRecords(event: StreamEvent): AuditRow[] {
  const rows: AuditRow[] = [];
  for (const raw of event.Records) {
    const parsed = streamRecord.safeParse(raw);
    const sequenceNumber = raw.dynamodb?.SequenceNumber;
    if (!parsed.success) throw new Error(`stream record ${digits(sequenceNumber)} does not parse`);
    const { eventName, dynamodb } = parsed.data;
    const image = dynamodb.NewImage?.audit;
    if (eventName === "REMOVE" || image === undefined) continue;
    const before = auditIdOf(dynamodb.OldImage?.audit);
    if (before !== undefined && before === auditIdOf(image)) continue;
    const record = parseRecord(image, dynamodb.SequenceNumber);
    rows.push({ sequenceNumber: dynamodb.SequenceNumber, record });
  }
  return rows;
}

const digits = (sequenceNumber: unknown): string =>
  typeof sequenceNumber === "string" && /^[0-9]{1,40}$/.test(sequenceNumber)
    ? sequenceNumber
    : "without a sequence number";

function parseRecord(image: unknown, sequenceNumber: string): AuditRecord {
  let value: unknown;
  try {
    // A cast because unmarshall checks at run time what its parameter promises, and throws.
    value = unmarshall({ audit: image as AttributeValue }).audit;
  } catch {
    // Without the cause: its message may quote the value.
    throw new Error(`audit record ${sequenceNumber} is not an attribute value`);
  }
  const parsed = auditRecordSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  // Of the path only its first step, a field's name: further ones may be claims.
  const fields = new Set(parsed.error.issues.map(({ path }) => String(path[0] ?? "(itself)")));
  throw new Error(`audit record ${sequenceNumber} does not parse: ${[...fields].join(", ")}`);
}
