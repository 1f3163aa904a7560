/** Those for whom grants are: they ask, ask again, refresh, look and release. */
import { MINUTE, SECOND } from "../story.ts";
import type { Actors } from "./actor.ts";

export type HolderEvent =
  /** Without `fresh` with the same token as the time before. */
  | { readonly kind: "ask"; readonly at: number; readonly grant: number; readonly fresh: boolean }
  | { readonly kind: "renew"; readonly at: number; readonly grant: number; readonly lease?: string }
  | { readonly kind: "look"; readonly at: number; readonly grant: number }
  | { readonly kind: "release"; readonly at: number; readonly grant: number };

export const holders: Actors<HolderEvent> = {
  plan({ draw, wanted, jobs, near }) {
    return wanted.flatMap(({ askedAt, owner, profile, duration }, grant): HolderEvent[] => {
      const events: HolderEvent[] = [{ kind: "ask", at: askedAt, grant, fresh: true }];
      const lengthMs = msOf(duration ?? "20m");
      const within = () => near(askedAt + draw.int(0, lengthMs + MINUTE));
      // Impatient at first, and later because its answer was lost.
      for (let more = draw.pick([0, 0, 0, 1, 1, 2]); more > 0; more--)
        events.push({
          kind: "ask",
          at: draw.chance(0.5) ? askedAt + draw.int(0, 5 * SECOND) : within(),
          grant,
          fresh: draw.chance(0.6),
        });
      for (let more = draw.pick([0, 0, 1, 2]); more > 0; more--)
        events.push({
          kind: "renew",
          at: within(),
          grant,
          ...(draw.chance(0.4) ? { lease: draw.pick(["1m", "2m", "15m"]) } : {}),
        });
      // A burst against which an end has to win.
      if (draw.chance(0.12)) {
        const from = within();
        const every = draw.pick([0, 1, 7, 40]);
        for (let i = 0; i < draw.int(6, 14); i++)
          events.push({ kind: "renew", at: from + i * every, grant });
        if (draw.chance(0.7)) events.push({ kind: "release", at: from + draw.int(0, 5), grant });
      }
      // While its job's end is being told.
      const jobEnd = "job" in owner ? jobs[owner.job]?.endsAt : undefined;
      if (jobEnd !== undefined && draw.chance(0.4)) {
        const at = jobEnd + draw.pick([0, 1, 120, 400]);
        events.push(
          profile === "guarded"
            ? { kind: "renew", at, grant }
            : { kind: "ask", at, grant, fresh: true },
        );
      }
      if ("person" in owner) events.push({ kind: "renew", at: near(askedAt + 2 * MINUTE), grant });
      if (draw.chance(0.35)) events.push({ kind: "release", at: within(), grant });
      if (draw.chance(0.15)) events.push({ kind: "release", at: within(), grant });
      if (draw.chance(0.3)) events.push({ kind: "look", at: within(), grant });
      return events;
    });
  },
  acts: {
    async ask({ grant, fresh }, stage) {
      const wanted = stage.wantedBy(grant);
      const { profile, key, duration, lease } = wanted;
      const token = await stage.tokenFor(grant, fresh);
      const answer = await stage.call("POST", "/v1/grants", {
        token,
        headers: { "idempotency-key": key },
        body: {
          profile,
          ...(duration === undefined ? {} : { duration }),
          ...(lease === undefined ? {} : { lease }),
        },
      });
      return stage.take(grant, answer);
    },
    async renew({ grant, lease }, stage) {
      const { id, token } = stage.known(grant);
      if (id === undefined || token === undefined) return "knows no grant";
      const answer = await stage.call("POST", `/v1/grants/${id}/credentials`, {
        token,
        ...(lease === undefined ? {} : { body: { lease } }),
      });
      return stage.take(grant, answer);
    },
    async look({ grant }, stage) {
      const { id, token } = stage.known(grant);
      if (id === undefined || token === undefined) return "knows no grant";
      return stage.take(grant, await stage.call("GET", `/v1/grants/${id}`, { token }));
    },
    async release({ grant }, stage) {
      const { id, token } = stage.known(grant);
      if (id === undefined || token === undefined) return "knows no grant";
      stage.asked(id, "release");
      return stage.take(grant, await stage.call("DELETE", `/v1/grants/${id}`, { token }));
    },
  },
};

const UNITS: Readonly<Record<string, number>> = { s: SECOND, m: MINUTE, h: 60 * MINUTE };

export const msOf = (duration: string): number =>
  Number.parseInt(duration, 10) * (UNITS[duration.slice(-1)] ?? Number.NaN);
