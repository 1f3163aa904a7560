/** 1. No credential is accepted after its lease's end, nor after the `deadBy` that its grant shows. */
import { deadBy, type Grant } from "@stint/core/grant";
import type { Session } from "../seen.ts";
import { accepts } from "../shared.ts";
import type { Invariant } from "./invariant.ts";

/** The end that was written ahead for a session that has just been minted, or undefined where none was. */
export const plannedEnd = (grant: Grant | undefined, session: Session): number | undefined => {
  if (grant === undefined || !("leases" in grant)) return undefined;
  const ends = Object.values(grant.leases)
    .filter((lease) => lease.mintedAt === undefined)
    .filter((lease) => roleOf(grant, lease.target) === session.role)
    .map((lease) => lease.until);
  return ends.length === 0 ? undefined : Math.max(...ends);
};

export const roleOf = (grant: Grant, target: string): string | undefined => {
  const of = grant.targets[target];
  return of?.kind === "aws" ? of.role : undefined;
};

const shown = (time: string | undefined): number | undefined =>
  time === undefined ? undefined : Date.parse(time);

export const dead: Invariant = {
  name: "dead",
  watch({ seen, aws, now }, broken) {
    const tryAt = (time: number, session: Session, after: string) =>
      aws.clock.schedule(Math.max(time, now()), async () => {
        if (await accepts(session))
          broken(`a credential of ${session.grant} is accepted after ${after}`);
      });
    const held = new Map<Session, { readonly until: number; readonly since: number }>();
    seen.on("session", (session) => {
      const end = plannedEnd(seen.grants.get(session.grant), session);
      if (end !== undefined) tryAt(end, session, "its planned end");
    });
    seen.on("handed", ({ session, until, view }) => {
      held.set(session, { until, since: now() });
      tryAt(until, session, "its lease's end");
      const last = shown(view.deadBy);
      const cleared = Object.values(view.revocability).includes("immediate");
      if (last === undefined) {
        if (!cleared) broken(`${view.id} has a credential and shows no deadBy`);
      } else if (until > last)
        broken(`a credential of ${view.id} lives longer than its deadBy says`);
      if (until > Date.parse(view.endsAt)) broken(`a credential outlives its grant ${view.id}`);
    });
    seen.on("view", ({ view, askedAt }) => {
      const dies = shown(view.deadBy);
      if (dies === undefined) return;
      // A login is dead when it was seen to be, which may be after the end of a grant whose server was away.
      const cleared = Object.values(view.revocability).includes("immediate");
      if (!cleared && dies > Date.parse(view.endsAt))
        broken(`${view.id} shows a deadBy after its end`);
      // Lives that end before are tried at their own ends. What was handed out while somebody asked may be unknown to
      // the answer: a refresh does not see the other that it runs beside.
      for (const [session, { until, since }] of held)
        if (session.grant === view.id && until > dies && since < askedAt)
          tryAt(dies, session, "the deadBy shown");
    });
    seen.on("grant", ({ before, after }) => {
      const [was, is] = [before === undefined ? undefined : deadBy(before), deadBy(after)];
      const over = after.state === "ending" || after.state === "ended";
      if (over && was !== undefined && is !== undefined && is > was)
        broken(`${after.id} is ${after.state}, and its deadBy moved from ${was} to ${is}`);
    });
    return {
      async end() {
        for (const session of seen.sessions)
          if (await accepts(session)) broken(`a credential of ${session.grant} outlives the story`);
      },
    };
  },
};
