/** Schemas of every event on the bus, in one file: facts in the past tense, with ids in them and nothing personal. */
import * as z from "zod/mini";
import { type AuditRecord, FACTS } from "./audit.ts";
import { iso } from "./time.ts";

const time = z.iso.datetime();

const jobRef = z.strictObject({
  pipeline: z.string(),
  issuer: z.string(),
  run: z.string(),
  attempt: z.string(),
  job: z.optional(z.string()),
});

/** `detail` of an event whose `source` is `stint` and whose `detail-type` is its fact. */
export const eventDetail = z.strictObject({
  /** Id of the audit record: an event that comes twice has the same. */
  id: z.string(),
  fact: z.enum(FACTS),
  time,
  actor: z.strictObject({ kind: z.string(), id: z.string() }),
  policyVersion: z.string(),
  grant: z.optional(z.string()),
  profile: z.optional(z.string()),
  state: z.optional(z.string()),
  principal: z.optional(z.strictObject({ kind: z.string(), id: z.string() })),
  job: z.optional(z.partial(jobRef)),
  rule: z.optional(z.string()),
  role: z.optional(z.string()),
  why: z.optional(z.string()),
  code: z.optional(z.string()),
  endsAt: z.optional(time),
  deadBy: z.optional(time),
  count: z.optional(z.int()),
  leases: z.optional(
    z.array(
      z.strictObject({
        target: z.string(),
        until: time,
        accessKeyId: z.optional(z.string()),
        user: z.optional(z.string()),
      }),
    ),
  ),
});

export type EventDetail = z.output<typeof eventDetail>;

/** The event that tells of an audit record. */
export function eventOf(record: AuditRecord): { detailType: string; detail: EventDetail } {
  const { id, fact, actor, policyVersion, grant, profile, state, principal, job, rule, role } =
    record;
  const { why, code, count } = record;
  return {
    detailType: fact,
    detail: {
      id,
      fact,
      time: iso(record.time),
      actor: { kind: actor.kind, id: actor.id },
      policyVersion,
      grant,
      profile,
      state,
      principal,
      job,
      rule,
      role,
      why,
      code,
      endsAt: record.endsAt === undefined ? undefined : iso(record.endsAt),
      deadBy: record.deadBy === undefined ? undefined : iso(record.deadBy),
      count,
      leases: record.leases?.map(({ target, until, accessKeyId }) => ({
        target,
        until: iso(until),
        accessKeyId,
      })),
    },
  };
}
