/** What must hold when a load is over: nothing is lost, and nothing is left. */
import { deadBy, type EndReason, type Grant } from "@stint/core/grant";
import type { Evidence } from "./evidence.ts";
import type { Ending, Told } from "./story.ts";

/** IAM's, for all inline policies of a role. */
const INLINE_LIMIT = 10_240;

/** What was seen while the load went on. */
export interface Seen {
  readonly told: readonly Told[];
  /** Calls that were not answered as they should be. */
  readonly failures: readonly string[];
  /** Alarms and errors that the functions told, and what went wrong inside local AWS. */
  readonly errors: readonly string[];
  readonly longestList: number;
  /** Access key ids of the sample that still worked when their grants said that they are dead, or at the end. */
  readonly undead: readonly string[];
}

export interface Check {
  readonly name: string;
  /** What speaks against it. Empty where it holds. */
  readonly against: readonly string[];
  /** How many things were looked at. */
  readonly of: number;
}

const WHY: Readonly<Record<Ending, EndReason>> = {
  release: "released",
  webhook: "job_ended",
  revoke: "revoked",
  expiry: "expired",
};

export function check(seen: Seen, found: Evidence): Check[] {
  const { told } = seen;
  const answered = told.filter(({ id }) => id !== "");
  const credentials = answered.flatMap((one) => one.credentials);
  const sampled = answered.filter(({ plan }) => plan.sampled);
  const grants = new Map(found.grants.map((grant) => [grant.id, grant]));
  const ids = new Set(answered.map(({ id }) => id));
  const { ends, keys } = logged(found);
  return [
    {
      name: "every call was answered as it should be",
      of: told.length,
      against: [...seen.failures, ...(answered.length === 0 ? ["no grant was answered"] : [])],
    },
    {
      name: "every grant is in the table, ended for its reason",
      of: answered.length,
      against: [
        ...answered.flatMap(({ id, plan }) => notEnded(id, grants.get(id), WHY[plan.ending])),
        ...found.grants.flatMap(({ id }) => (ids.has(id) ? [] : [`${id} was never answered`])),
      ],
    },
    {
      name: "every grant has one end in the log, and one reason",
      of: answered.length,
      against: answered.flatMap(({ id }) => {
        const { ended = 0, ending = 0, reasons = new Set() } = ends.get(id) ?? {};
        const one = ended === 1 && ending <= 1 && reasons.size === 1;
        return one ? [] : [`${id}: ${ended} ended, ${ending} ending, ${[...reasons]}`];
      }),
    },
    {
      name: "every credential has its lease in the table",
      of: credentials.length,
      against: answered.flatMap((one) => leaseless(one, grants.get(one.id))),
    },
    {
      name: "every credential has its record in the log",
      of: credentials.length,
      against: credentials.flatMap(({ grant, accessKeyId }) =>
        keys.get(accessKeyId) === grant ? [] : [`${accessKeyId} of ${grant}`],
      ),
    },
    {
      name: "deadBy is no later than the last lease's end",
      of: answered.length,
      against: answered.flatMap(({ id, credentials: own }) => {
        const grant = grants.get(id);
        const at = grant === undefined ? undefined : deadBy(grant);
        const last = Math.max(...own.map(({ until }) => until));
        return at !== undefined && at <= last ? [] : [`${id} says ${at}, its last lease ${last}`];
      }),
    },
    {
      name: "sampled credentials worked, and do no more",
      of: sampled.length,
      against: [
        ...(sampled.length === 0 ? ["none was tried"] : []),
        ...sampled.flatMap(({ id, worked }) => (worked === true ? [] : [`${id} never worked`])),
        ...seen.undead.map((key) => `${key} still works`),
      ],
    },
    { name: "no schedule is left", of: answered.length, against: found.schedules },
    {
      name: "no message was given up",
      of: Object.keys(found.deadLetters).length,
      against: Object.entries(found.deadLetters).flatMap(([queue, count]) =>
        count === 0 ? [] : [`${count} in ${queue}`],
      ),
    },
    {
      name: "deny lists stayed within IAM's size",
      of: Object.keys(found.lists).length,
      against: [
        ["longest ever", seen.longestList] as const,
        ...Object.entries(found.lists),
      ].flatMap(([role, size]) => (size <= INLINE_LIMIT ? [] : [`${role}: ${size} characters`])),
    },
    { name: "nothing failed on the way", of: told.length, against: seen.errors },
  ];
}

function notEnded(id: string, grant: Grant | undefined, why: EndReason): string[] {
  if (grant === undefined) return [`${id} is lost`];
  if (grant.state !== "ended") return [`${id} is ${grant.state}`];
  return grant.why === why ? [] : [`${id} ended as ${grant.why}, not as ${why}`];
}

/** Leases that were over make room when a later one is planned; all others stay. */
function leaseless({ askedAt, credentials }: Told, grant: Grant | undefined): string[] {
  const leases = grant !== undefined && "leases" in grant ? Object.values(grant.leases) : [];
  const there = new Map(leases.map(({ accessKeyId, until }) => [accessKeyId, until]));
  return credentials.flatMap(({ accessKeyId, until }) => {
    const gone = until <= askedAt && !there.has(accessKeyId);
    return gone || there.get(accessKeyId) === until ? [] : [accessKeyId];
  });
}

function logged({ log }: Evidence) {
  const ends = new Map<string, { ended: number; ending: number; reasons: Set<string> }>();
  const keys = new Map<string, string>();
  for (const { fact, grant, why, key } of log) {
    if (grant === null) continue;
    if (key !== null && (fact === "grant.activated" || fact === "grant.refreshed"))
      keys.set(key, grant);
    if (fact !== "grant.ended" && fact !== "grant.ending") continue;
    const of = ends.get(grant) ?? { ended: 0, ending: 0, reasons: new Set() };
    if (fact === "grant.ended") of.ended++;
    else of.ending++;
    if (why !== null) of.reasons.add(why);
    ends.set(grant, of);
  }
  return { ends, keys };
}
