/** A story from a seed. */
import type { Plot } from "./actors/actor.ts";
import { planAll } from "./actors/all.ts";
import { msOf } from "./actors/holders.ts";
import { type Draw, drawFrom } from "./draw.ts";
import { MINUTE, SECOND, type Story, type Surroundings } from "./story.ts";
import { planTroubles } from "./troubles.ts";

const LENGTHS_MS: readonly [number, ...number[]] = [
  4 * MINUTE,
  12 * MINUTE,
  30 * MINUTE,
  70 * MINUTE,
];
/** After the last thing that happens; then faults stop. In the longer ones grants come to their ends under faults. */
const TROUBLED_MS: readonly [number, ...number[]] = [5 * MINUTE, 5 * MINUTE, 45 * MINUTE];

const surroundings = (draw: Draw): Surroundings => ({
  iamDelayMs: draw.pick([0, SECOND, SECOND, 5 * SECOND, MINUTE, 4 * MINUTE]),
  readLagMs: draw.pick([0, 2 * SECOND, 2 * SECOND, 15 * SECOND]),
  streamLagMs: draw.pick([0, 250, 250, SECOND]),
  splitShards: draw.chance(0.5),
  fireLateMs: draw.pick(["random", "random", 0]),
  redeliver: draw.pick([0, 0, 0.3]),
  latencyMs: draw.pick([0, 20, 150, 150]),
  skewMs: draw.pick([0, 0, -50 * SECOND, 50 * SECOND]),
  everySweep: draw.chance(0.03),
});

function cast(draw: Draw, lengthMs: number): Pick<Plot, "jobs" | "wanted"> {
  const count = draw.pick([1, 2, 2, 3, 4]);
  const jobs = Array.from({ length: count }, (_, i) => {
    const startsAt = draw.int(0, Math.floor(lengthMs / 2));
    return {
      // Jobs of one run share its end.
      run: 100 + (draw.chance(0.5) ? 0 : i),
      attempt: draw.pick([1, 1, 1, 2]),
      job: 500 + i,
      startsAt,
      endsAt: startsAt + draw.int(SECOND, lengthMs),
    };
  });
  const grants = draw.pick([1, 1, 2, 2, 3, 3, 4, 6]);
  const wanted = Array.from({ length: grants }, (_, i) => {
    const job = draw.int(0, jobs.length - 1);
    const person = draw.chance(0.2);
    const from = person ? 0 : (jobs[job]?.startsAt ?? 0);
    const until = person ? Math.floor(lengthMs / 2) : (jobs[job]?.endsAt ?? 0);
    const duration = draw.pick([undefined, "1m", "2m", "3m", "7m", "20m", "40m", "2h"]);
    const lease = draw.pick([undefined, undefined, "1m", "2m", "15m", "1h"]);
    return {
      owner: person ? { person: draw.int(0, 1) } : { job },
      profile: draw.pick(["orders", "orders", "orders", "guarded", "both", "data", "mixed"]),
      key: `key-${i}`,
      ...(duration === undefined ? {} : { duration }),
      ...(lease === undefined ? {} : { lease }),
      askedAt: draw.chance(0.7)
        ? from + draw.int(0, Math.min(20 * SECOND, until - from))
        : draw.int(from, until),
    };
  });
  return { jobs, wanted };
}

export function storyOf(seed: number): Story {
  const draw = drawFrom(seed);
  const lengthMs = draw.pick(LENGTHS_MS);
  const { jobs, wanted } = cast(draw, lengthMs);
  // What happens at the same moment is what races: most of all with a request that is on its way.
  const hot = Array.from({ length: draw.int(1, 3) }, () => {
    const { askedAt } = wanted[draw.int(0, wanted.length - 1)] ?? { askedAt: 0 };
    return draw.chance(0.6) ? askedAt + draw.int(0, 400) : draw.int(0, lengthMs);
  });
  const ends = wanted.map(({ askedAt, duration }) => askedAt + msOf(duration ?? "20m"));
  const near = (at: number): number => {
    if (draw.chance(0.55)) return at;
    const to = draw.chance(0.7) ? hot : [...hot, ...ends];
    const moment = to[draw.int(0, to.length - 1)] ?? at;
    return Math.max(0, moment + draw.pick([0, 0, 0, 1, -1, 30, 400, -400, 3 * SECOND]));
  };
  const events = planAll({ draw, lengthMs, jobs, wanted, near });
  const last = events.at(-1)?.at ?? 0;
  return {
    seed,
    surroundings: surroundings(draw),
    jobs: jobs.map(({ run, attempt, job }) => ({ run, attempt, job })),
    wanted: wanted.map(({ askedAt: _, ...one }) => one),
    events,
    troubles: planTroubles(draw, [...events.map(({ at }) => at), ...ends]),
    calmAt: last + draw.pick(TROUBLED_MS),
  };
}
