/**
 * 6. Nothing is left behind: no schedule without a live grant, nothing in the sweeper's index, no note of a life that is
 * over and, after the next reconcile, no deny id without a lease that runs.
 */
import { isLive } from "@stint/core/grant";
import { MINUTE, START } from "../story.ts";
import type { Invariant } from "./invariant.ts";

/** From its grant's end until a schedule is gone: the stream's reader tries again within a minute. */
const UNSCHEDULED_MS = 3 * MINUTE;
/**
 * What a slow issuer creates after its grant has ended stays until it fires, within a minute after the end that was
 * planned, and is gone. A reconcile may make this sooner.
 */
const FIRED_MS = 2 * MINUTE;

export const leftovers: Invariant = {
  name: "leftovers",
  watch({ seen, aws, story, now, reconcile }, broken) {
    const lists = new Map<string, readonly string[]>();
    seen.on("denyList", ({ role, ids }) => lists.set(role, ids));
    const runs = (id: string): boolean =>
      [...seen.items.values()].some(
        ({ sk, until }) => sk === `DENY#${id}` && Number(until) > now(),
      );
    const calm = START + story.calmAt;
    const overAt = new Map<string, number>();
    const lateOnes = new Set<string>();
    seen.on("grant", ({ after }) => {
      const over = after.state === "ended" || after.state === "refused";
      if (over && !overAt.has(after.id)) overAt.set(after.id, now());
    });
    seen.on("schedule", ({ name }) => {
      if (!seen.grants.has(name))
        broken(`a schedule was made for ${name}, which nobody wrote down`);
      if (overAt.has(name)) lateOnes.add(name);
    });
    const list = aws.services.scheduler.operations.ListSchedules;
    const names = (): string[] => {
      const page = list?.run({ GroupName: "stint" }, undefined as never); // reads its input alone
      return (page as { Schedules: Array<{ Name: string }> }).Schedules.map(({ Name }) => Name); // its answer
    };
    const told = new Set<string>();
    return {
      look() {
        if (now() < calm) return;
        for (const name of names()) {
          const grant = seen.grants.get(name);
          if (grant === undefined || isLive(grant) || told.has(name)) continue;
          const since = overAt.get(name);
          if (since === undefined) continue;
          const planned = "endsAt" in grant ? (grant.endsAt ?? since) : since;
          const gone = lateOnes.has(name)
            ? Math.max(calm, planned) + FIRED_MS
            : Math.max(calm, since) + UNSCHEDULED_MS;
          if (now() <= gone) continue;
          told.add(name);
          broken(`the schedule of ${name} is there, and its grant has ended`);
        }
      },
      async end() {
        for (const name of names()) broken(`the schedule of ${name} outlives the story`);
        for (const { sk, due, pk } of seen.items.values())
          if (sk === "GRANT" && due !== undefined) broken(`${pk} is still due`);
        for (const { sk, grantId } of seen.items.values()) {
          const grant = seen.grants.get(String(grantId));
          if (String(sk).startsWith("LIVE#") && (grant === undefined || !isLive(grant)))
            broken(`${grantId} is noted as living`);
        }
        await reconcile();
        for (const [role, ids] of lists)
          for (const id of ids)
            if (!runs(id)) broken(`the list of ${role} still names ${id} after the reconcile`);
      },
    };
  },
};
