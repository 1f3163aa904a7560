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
  readonly watermark?: Watermark;
}

interface Room {
  readonly capacity: number;
  readonly now: number;
  readonly watermark?: Watermark | undefined;
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
 * covers; when they do not fit and somebody lives, those with the least time left lapse.
 */
export function planList<D extends Listable>(denials: readonly D[], room: Room): ListPlan<D> {
  const { capacity, now, nobodyLives = false } = room;
  let mark =
    room.watermark !== undefined && room.watermark.until > now ? room.watermark : undefined;
  const uncovered = () =>
    denials.filter((denial) => mark === undefined || second(denial.issuedBy) > mark.at);
  if (nobodyLives && uncovered().length > capacity) {
    const old = uncovered().filter(({ issuedBy }) => second(issuedBy) < second(now - SKEW_MS));
    if (old.length > 0)
      mark = {
        at: Math.max(...old.map(({ issuedBy }) => second(issuedBy))),
        until: Math.max(mark?.until ?? 0, ...old.map(({ until }) => until)),
      };
  }
  const byId = uncovered().toSorted((a, b) => b.until - a.until);
  const lapsing = byId.slice(capacity);
  const left = new Set(lapsing);
  return {
    listed: {
      ids: byId.slice(0, capacity).map(({ grant }) => grant),
      ...(mark === undefined ? {} : { watermark: mark.at }),
    },
    denied: denials.filter((denial) => !left.has(denial)),
    lapsing,
    ...(mark === undefined ? {} : { watermark: mark }),
  };
}

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
