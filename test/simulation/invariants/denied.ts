/**
 * What is called denied is denied: from `deniedAt` on, and the time that IAM takes, no session of the grant is accepted,
 * also none that nobody was given. And what is ended without a denial had nothing left to deny.
 */
import { type Ended, running } from "@stint/core/grant";
import type { Session } from "../seen.ts";
import { accepts } from "../shared.ts";
import { roleOf } from "./dead.ts";
import type { Invariant } from "./invariant.ts";

const nameOf = (role: string): string => role.split("/").at(-1) ?? "";

export const denied: Invariant = {
  name: "denied",
  watch({ seen, aws, now, story }, broken) {
    const spreadMs = story.surroundings.iamDelayMs;
    const tryAt = (time: number, session: Session) =>
      aws.clock.schedule(time, async () => {
        if (await accepts(session)) broken(`a session of ${session.grant} works after its denial`);
      });
    const ended = new Map<string, Ended>();
    const toDeny = (grant: Ended) =>
      running(grant.leases, now()).filter(
        (lease) => grant.targets[lease.target]?.revocability === "next-request",
      );
    seen.on("grant", ({ before, after }) => {
      if (after.state !== "ended" || before?.state === "ended") return;
      ended.set(after.id, after);
      if (after.deniedAt === undefined) {
        if (toDeny(after).length > 0) broken(`${after.id} is ended while a lease of it runs`);
        return;
      }
      if (after.deniedAt > now()) broken(`${after.id} will be denied, and says that it is`);
      for (const session of seen.sessions)
        if (session.grant === after.id) tryAt(now() + spreadMs, session);
    });
    // Who issued too slowly: born dead.
    seen.on("session", (session) => {
      const grant = ended.get(session.grant);
      if (grant?.deniedAt !== undefined) tryAt(now() + spreadMs, session);
    });
    // A later list must not forget.
    seen.on("denyList", ({ role, ids }) => {
      for (const [id, grant] of ended)
        for (const lease of grant.deniedAt === undefined ? [] : toDeny(grant))
          if (nameOf(roleOf(grant, lease.target) ?? "") === role && !ids.includes(id))
            broken(`the list of ${role} leaves ${id} out, which is called denied`);
    });
    return {};
  },
};
