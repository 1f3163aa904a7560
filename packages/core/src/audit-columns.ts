/**
 * The audit log as a table. Its one list of columns: the writer, DuckDB, Athena and the documentation go by it.
 * Columns are only ever added, at the end: objects that are written stay as they are.
 */
import type { Actor, AuditRecord, Fact } from "./audit.ts";
import type { Principal } from "./principal.ts";

/** A record, and where it stands in the stream of changes that it came by. */
export interface AuditRow {
  /** Decimal digits; larger than a number holds. */
  readonly sequenceNumber: string;
  readonly record: AuditRecord;
}

export interface AuditColumn {
  /** Usable in SQL as it is, without quotes. */
  readonly name: string;
  /** `json` is text that holds JSON; a `timestamp` is UTC, in milliseconds; a `number` is a whole one. */
  readonly type: "text" | "json" | "timestamp" | "number";
  readonly description: string;
  /** The cell: text, epoch ms, or nothing. */
  readonly from: (row: AuditRow) => string | number | undefined;
}

export const OUTCOMES = ["allowed", "refused", "change"] as const;
/** What became of a caller's wish, or that something changed without one being decided. */
export type Outcome = (typeof OUTCOMES)[number];

/** What a fact is where nothing in its record says that it was refused. */
const OUTCOME_OF: Record<Fact, Outcome> = {
  "grant.requested": "allowed",
  "grant.opened": "allowed",
  "grant.approved": "allowed",
  "grant.refreshed": "allowed",
  "grant.read": "allowed",
  "decision.made": "allowed",
  "grant.refused": "refused",
  "grant.ready": "change",
  "grant.activated": "change",
  "grant.ending": "change",
  "grant.ended": "change",
  "job.ended": "change",
  "run.ended": "change",
  "revocation.ordered": "allowed",
  "role.hard_revoked": "allowed",
  "grant.stuck": "change",
  "grant.retried": "allowed",
  "grant.proved": "change",
  "role.restored": "change",
  "role.watermarked": "change",
  "role.gone": "change",
  "drift.schedule_removed": "change",
  "drift.schedule_made": "change",
  "drift.schedule_moved": "change",
  "drift.life_removed": "change",
  "drift.ids_removed": "change",
  "drift.login_removed": "change",
};

/** An error code or an explanation is there only where a caller was turned away. */
export const outcomeOf = (record: AuditRecord): Outcome =>
  record.code !== undefined || record.explanation !== undefined
    ? "refused"
    : OUTCOME_OF[record.fact];

const OWN_PARTS: Record<Exclude<Actor["kind"], Principal["kind"]>, true> = {
  schedule: true,
  sweeper: true,
  webhook: true,
  revoker: true,
  prover: true,
  clearer: true,
  reconciler: true,
  stint: true,
};

/** Records leave the principal out where it is the actor; a table is easier to ask when it is always there. */
function principalOf(record: AuditRecord): { kind: string; id: string } | undefined {
  if (record.principal !== undefined) return record.principal;
  return record.actor.kind in OWN_PARTS ? undefined : record.actor;
}

/** The lease that the flat columns tell of: of several, the first with an access key, which CloudTrail joins to. */
const leaseOf = ({ leases }: AuditRecord) =>
  leases?.find((lease) => lease.accessKeyId !== undefined) ?? leases?.[0];

/** Sequence numbers have at most 40 digits; of one length, they sort as text as they do as numbers. */
const SEQUENCE_DIGITS = 40;
export const padSequence = (sequenceNumber: string): string =>
  sequenceNumber.padStart(SEQUENCE_DIGITS, "0");

const json = (value: unknown): string | undefined =>
  value === undefined ? undefined : JSON.stringify(value);

type Type = AuditColumn["type"];
/** What DuckDB and Athena call each type. */
export const SQL_TYPES = {
  text: { duckdb: "VARCHAR", glue: "string" },
  json: { duckdb: "VARCHAR", glue: "string" },
  timestamp: { duckdb: "TIMESTAMP", glue: "timestamp" },
  number: { duckdb: "BIGINT", glue: "bigint" },
} as const satisfies Record<Type, unknown>;

const column = (
  name: string,
  type: Type,
  description: string,
  from: (record: AuditRecord) => string | number | undefined,
): AuditColumn => ({ name, type, description, from: (row) => from(row.record) });

/** Every column of the audit log, in order. */
export const AUDIT_COLUMNS: readonly AuditColumn[] = [
  column("event_id", "text", "Names the event; readers see each once", (r) => r.id),
  {
    name: "sequence",
    type: "text",
    description: "Place in the stream of changes, 40 digits; orders the records of one grant",
    from: (row) => padSequence(row.sequenceNumber),
  },
  column("time", "timestamp", "When it happened", (r) => r.time),
  column("fact", "text", "What happened, in the past tense, such as grant.opened", (r) => r.fact),
  column(
    "outcome",
    "text",
    "allowed or refused where a caller asked for something, else change",
    outcomeOf,
  ),
  column(
    "actor_kind",
    "text",
    "Kind of who did it: job, person, or the part of Stint that acted on its own",
    (r) => r.actor.kind,
  ),
  column("actor_id", "text", "Who did it", (r) => r.actor.id),
  column("actor_personal", "json", "What names the actor as a human being", (r) =>
    json(r.actor.personal),
  ),
  column(
    "grant_id",
    "text",
    "The grant that it is about; also the AWS session's name",
    (r) => r.grant,
  ),
  column("profile", "text", "What was granted, or asked for", (r) => r.profile),
  column("state", "text", "The grant's state afterwards", (r) => r.state),
  column("principal_kind", "text", "Kind of whose grant it is", (r) => principalOf(r)?.kind),
  column(
    "principal_id",
    "text",
    "Whose grant it is: the actor unless the record says otherwise",
    (r) => principalOf(r)?.id,
  ),
  column("claims", "json", "The principal's verified claims", (r) => json(r.claims)),
  column("pipeline", "text", "The job's CI system", (r) => r.job?.pipeline),
  column("issuer", "text", "The job's token issuer", (r) => r.job?.issuer),
  column("run", "text", "The job's run", (r) => r.job?.run),
  column(
    "attempt",
    "text",
    "The run's attempt; empty where every attempt is meant",
    (r) => r.job?.attempt,
  ),
  column("job", "text", "The job; empty where the whole run is meant", (r) => r.job?.job),
  column(
    "rule",
    "text",
    "Rule that decided; of a refusal, the one that came nearest",
    (r) => r.rule ?? r.explanation?.rule,
  ),
  column(
    "policy_version",
    "text",
    "Hash of the configuration that decided",
    (r) => r.policyVersion,
  ),
  column("why", "text", "Why it ended or was refused", (r) => r.why),
  column("code", "text", "Error code that the caller was answered", (r) => r.code),
  column("reason", "text", "What the caller or approver gave as reason", (r) => r.reason),
  column(
    "ends_at",
    "timestamp",
    "The latest time at which the grant ends by itself",
    (r) => r.endsAt,
  ),
  column("dead_by", "timestamp", "After it no credential of the grant works", (r) => r.deadBy),
  column("lease_target", "text", "Target of the credential handed out", (r) => leaseOf(r)?.target),
  column(
    "lease_until",
    "timestamp",
    "When that credential dies by itself",
    (r) => leaseOf(r)?.until,
  ),
  column(
    "access_key_id",
    "text",
    "AWS access key id of that credential",
    (r) => leaseOf(r)?.accessKeyId,
  ),
  column("lease_hash", "text", "SHA-256 of that credential's secret, hex", (r) => leaseOf(r)?.hash),
  column("leases", "json", "All credentials handed out at once, one for each target", (r) =>
    json(r.leases),
  ),
  column("explanation", "json", "Why no rule allowed it: nearest rule and failed claims", (r) =>
    json(r.explanation),
  ),
  column("policy_errors", "json", "Errors inside policies: they deny", (r) => json(r.policyErrors)),
  column(
    "token_hash",
    "text",
    "SHA-256 of the token by which the actor came in",
    (r) => r.tokenHash,
  ),
  column(
    "role",
    "text",
    "The role that it is about, where it is about no grant alone",
    (r) => r.role,
  ),
  column("error", "text", "What failed, where an end is stuck", (r) => r.error),
  column("target_gone", "text", "true where what the grant was of is no longer there", (r) =>
    r.targetGone === true ? "true" : undefined,
  ),
  column(
    "time_to_dead_ms",
    "number",
    "From the fact that ended the grant to the proof that its credentials are dead, ms",
    (r) => r.timeToDeadMs,
  ),
  column(
    "grant_count",
    "number",
    "How many grants an order of revocation ended, or would end",
    (r) => r.count,
  ),
];
