/** 1, for proofs: what is called proved is dead at that moment, everywhere, whoever has it. */
import { accepts } from "../shared.ts";
import type { Invariant } from "./invariant.ts";

export const proved: Invariant = {
  name: "proved",
  watch({ seen, aws, now }, broken) {
    seen.on("grant", ({ before, after }) => {
      if (after.state !== "ended" || after.provedAt === undefined) return;
      if (before?.state === "ended" && before.provedAt !== undefined) {
        if (before.provedAt !== after.provedAt) broken(`the proof of ${after.id} moved`);
        return;
      }
      if (after.provedAt > now()) broken(`${after.id} will be proved dead, and says that it is`);
      const cleared = Object.values(after.targets).some(({ kind }) => kind === "postgres");
      if (after.deniedAt === undefined && !cleared)
        broken(`${after.id} is proved dead, and nobody denied it`);
      for (const session of seen.sessions)
        if (session.grant === after.id)
          aws.clock.schedule(now(), async () => {
            if (await accepts(session)) broken(`a session of ${after.id} works after its proof`);
          });
    });
    return {};
  },
};
