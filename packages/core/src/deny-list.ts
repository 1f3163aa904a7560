/** What a role's deny list must say. Pure: the worker reads, asks here, and writes. */

/** One grant's sessions of the role, to be denied until the last of them is over. */
export interface Listable {
  readonly grant: string;
  readonly until: number;
  /** The last moment at which one of them may have been issued. */
  readonly issuedBy: number;
}

/** Denies every session of the role that was issued in this second or before, for as long as one may run. */
export interface Watermark {
  readonly at: number;
  readonly until: number;
}

/** What rests on the role: ids of grants, and the second of issue up to which every session is denied. */
export interface Listed {
  readonly ids: readonly string[];
  readonly watermark?: number;
}

export interface ListPlan<D extends Listable> {
  readonly listed: Listed;
  /** Those that the list denies, by id or by the watermark. */
  readonly denied: readonly D[];
  /** Those for which there is no room: they lapse. */
  readonly lapsing: readonly D[];
  /** The one that stands for ids; not the one that somebody ordered. */
  readonly watermark?: Watermark;
}

interface Room {
  readonly capacity: number;
  readonly now: number;
  readonly watermark?: Watermark | undefined;
  /** As somebody ordered it, whomever it hits. */
  readonly hard?: Watermark | undefined;
  /** No grant of the role may have a session that must go on working: a watermark harms nobody. */
  readonly nobodyLives?: boolean;
}

/**
 * A session that is issued after the read that found nobody living is newer than this by STS's clock, which may be a
 * little behind ours.
 */
const SKEW_MS = 2_000;

const second = (ms: number): number => Math.floor(ms / 1000) * 1000;

/**
 * Every denial that fits, by id; when they do not fit and nobody lives, a watermark instead of the ids that it
 * covers; when they do not fit and somebody lives, those with the least time left lapse. One that was ordered stands
 * beside the ids, so that each of them can still be proved by a session of its own; but nothing that it covers lapses.
 */
export function planList<D extends Listable>(denials: readonly D[], room: Room): ListPlan<D> {
  const { capacity, now, nobodyLives = false } = room;
  const hard = inForce(room.hard, now);
  let mark = inForce(room.watermark, now);
  const past = (mark: Watermark | undefined) => (denial: D) =>
    mark === undefined || second(denial.issuedBy) > mark.at;
  const crowded = denials.filter(past(mark)).filter(past(hard));
  if (nobodyLives && crowded.length > capacity) {
    const old = crowded.filter(({ issuedBy }) => second(issuedBy) < second(now - SKEW_MS));
    if (old.length > 0)
      mark = {
        at: Math.max(...old.map(({ issuedBy }) => second(issuedBy))),
        until: Math.max(mark?.until ?? 0, ...old.map(({ until }) => until)),
      };
  }
  const longest = denials.filter(past(mark)).toSorted((a, b) => b.until - a.until);
  const byId = [
    ...longest.filter(past(hard)),
    ...longest.filter((denial) => !past(hard)(denial)), // the first for whom there need be no room
  ];
  const lapsing = byId.slice(capacity).filter(past(hard));
  const left = new Set(lapsing);
  const watermark = Math.max(mark?.at ?? -1, hard?.at ?? -1);
  return {
    listed: {
      ids: byId.slice(0, capacity).map(({ grant }) => grant),
      ...(watermark < 0 ? {} : { watermark }),
    },
    denied: denials.filter((denial) => !left.has(denial)),
    lapsing,
    ...(mark === undefined ? {} : { watermark: mark }),
  };
}

const inForce = (mark: Watermark | undefined, now: number): Watermark | undefined =>
  mark !== undefined && mark.until > now ? mark : undefined;

/** The longest session that it may hit. */
const HARD_MS = 60 * 60_000;

/** Every session of a role that was issued in this second or before, also one that nobody has written down. */
export const hardWatermark = (now: number): Watermark => ({
  at: second(now),
  until: second(now) + 1_000 + HARD_MS,
});

/** Whether what rests on the role denies what nothing is wanted of any more: sessions that are over. */
export const exceeds = (rests: Listed | undefined, wanted: Listed): boolean =>
  rests !== undefined &&
  ((rests.watermark !== undefined && wanted.watermark === undefined) ||
    rests.ids.some((id) => !wanted.ids.includes(id)));

/** Whether what rests on the role denies all that is wanted. More than is wanted does no harm until the next write. */
export const covers = (rests: Listed | undefined, wanted: Listed): boolean => {
  if (wanted.ids.length === 0 && wanted.watermark === undefined) return true;
  if (rests === undefined) return false;
  if (wanted.watermark !== undefined && (rests.watermark ?? -1) < wanted.watermark) return false;
  const ids = new Set(rests.ids);
  return wanted.ids.every((id) => ids.has(id));
};
