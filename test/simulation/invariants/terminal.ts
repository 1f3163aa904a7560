/** 3. Everything comes to its end in time once faults have stopped: `docs/simulation.md` states these bounds. */
import { endsAt, isLive, jobOf } from "@stint/core/grant";
import { MINUTE, START } from "../story.ts";
import type { Invariant } from "./invariant.ts";

/** From its end until a grant is no longer live: a minute's sweep that came just before, an index that lags, and some. */
const LIVE_MS = 3 * MINUTE;
/** From `ending` to `ended`: a message that failed is invisible for two minutes, and the sweeper marks again each minute. */
const ENDING_MS = 7 * MINUTE;
/** And where it was stuck: the sweeper comes by every three minutes, and a message waits a minute at most. */
const STUCK_MS = 12 * MINUTE;
/** From a tombstone until none of its job's grants is live: the stream's reader tries again within a minute. */
const JOB_MS = 3 * MINUTE;

export const terminal: Invariant = {
  name: "terminal",
  watch({ seen, story, now }, broken) {
    const calm = START + story.calmAt;
    const told = new Set<string>();
    const once = (id: string, what: string) => {
      if (told.has(id)) return;
      told.add(id);
      broken(`${id} ${what}`);
    };
    const late = (since: number, boundMs: number) => now() > Math.max(calm, since) + boundMs;
    const tombs = () => {
      const at = new Map<string, number>();
      for (const { pk, sk, endedAt } of seen.items.values())
        if (typeof endedAt === "number") at.set(`${pk} ${sk}`, endedAt);
      return at;
    };
    return {
      look() {
        if (now() < calm) return;
        const ends = tombs();
        for (const grant of seen.grants.values()) {
          if (grant.state === "ending" && grant.stuck !== true && late(grant.endedAt, ENDING_MS))
            once(grant.id, `has been ending since ${grant.endedAt - START}, and nobody says stuck`);
          if (grant.state === "ending" && late(grant.endedAt, STUCK_MS))
            once(grant.id, `is stuck since ${grant.endedAt - START}, and nothing is in the way`);
          if (!isLive(grant)) continue;
          const end = grant.state === "opening" ? grant.openBy : endsOf(grant);
          if (late(end, LIVE_MS)) once(grant.id, `is ${grant.state} long after its end`);
          const job = jobOf(grant);
          if (job === undefined) continue;
          const pk = `RUN#${job.issuer}#${job.run}#${job.attempt}`;
          for (const sk of ["RUN", `JOB#${job.job}`]) {
            const ended = ends.get(`${pk} ${sk}`);
            if (ended !== undefined && late(ended, JOB_MS))
              once(grant.id, `is ${grant.state} long after its job`);
          }
        }
      },
    };
  },
};

const endsOf = (grant: Parameters<typeof endsAt>[0]): number =>
  grant.state === "pending"
    ? grant.decideBy
    : grant.state === "ready"
      ? grant.claimBy
      : endsAt(grant);
