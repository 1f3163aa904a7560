/** Where nothing fails, an end is an end at once: nobody waits for the sweeper, or for leases to lapse. */
import { deadBy, uncleared } from "@stint/core/grant";
import type { Invariant } from "./invariant.ts";

/** From `ending` to `ended`, and from a job's tombstone to the ends of its grants: some dozens of slow calls. */
const PROMPT_MS = 30_000;

export const prompt: Invariant = {
  name: "prompt",
  watch({ seen, story, now }, broken) {
    if (story.troubles.length > 0) return {};
    const tombs = new Map<string, number>();
    seen.on("item", ({ after }) => {
      const { pk, sk, endedAt } = after ?? {};
      if (typeof endedAt === "number") tombs.set(`${pk} ${sk}`, endedAt);
    });
    seen.on("grant", ({ before, after }) => {
      if (before?.state === "ending" && after.state === "ended") {
        const bound = after.endedAt + PROMPT_MS;
        // Where the last lease ends meanwhile, nothing is to be denied, and the sweeper says so with its next round.
        // And where a login may still be being made, its server is asked once more when that is over.
        const databases = uncleared(before).length > 0;
        const made = Object.values(before.leases).every(({ mintedAt }) => mintedAt !== undefined);
        if (now() > bound && ((deadBy(before) ?? 0) > bound || (databases && made)))
          broken(`${after.id} took ${now() - after.endedAt} ms from its end to its denial`);
      }
      const ends = before !== undefined && !("why" in before) && "why" in after;
      const { principal } = after;
      if (!ends || principal.kind !== "job") return;
      const { issuer, run, attempt, job } = principal.job;
      for (const sk of ["RUN", `JOB#${job}`]) {
        const ended = tombs.get(`RUN#${issuer}#${run}#${attempt} ${sk}`);
        if (ended !== undefined && now() - ended > PROMPT_MS)
          broken(`${after.id} ended ${now() - ended} ms after its job`);
      }
    });
    return {};
  },
};
