/** People who decide on what others ask for, and who revoke what others hold. */
import { MINUTE, SECOND } from "../story.ts";
import type { Actors } from "./actor.ts";

export type PeopleEvent =
  | {
      readonly kind: "decide";
      readonly at: number;
      readonly grant: number;
      readonly by: number;
      readonly decision: "approve" | "refuse";
    }
  | { readonly kind: "revoke"; readonly at: number; readonly grant: number; readonly by: number };

/** How many people own the profiles. */
const OWNERS = 2;

export const people: Actors<PeopleEvent> = {
  plan({ draw, wanted, near }) {
    return wanted.flatMap(({ profile, owner, askedAt }, grant): PeopleEvent[] => {
      const events: PeopleEvent[] = [];
      const waits = profile === "guarded" || "person" in owner;
      if (waits && draw.chance(0.9)) {
        const at = near(askedAt + draw.int(2 * SECOND, 5 * MINUTE));
        const decision = draw.chance(0.85) ? "approve" : "refuse";
        events.push({ kind: "decide", at, grant, by: 0, decision });
        if (draw.chance(0.4))
          events.push({
            kind: "decide",
            at: at + draw.pick([0, 0, 1, 900, MINUTE]),
            grant,
            by: draw.int(0, OWNERS - 1),
            decision: draw.pick(["approve", "refuse"]),
          });
      }
      for (let more = draw.pick([0, 0, 0, 1, 1, 2]); more > 0; more--)
        events.push({
          kind: "revoke",
          at: near(askedAt + draw.int(0, 20 * MINUTE)),
          grant,
          by: draw.int(0, OWNERS - 1),
        });
      return events;
    });
  },
  acts: {
    async decide({ grant, by, decision }, stage) {
      const { id } = stage.known(grant);
      if (id === undefined) return "knows no grant";
      const answer = await stage.call("POST", `/v1/grants/${id}/approval`, {
        token: await stage.ownerToken(by),
        body: { decision, reason: "as the simulation has it" },
      });
      return stage.take(grant, answer);
    },
    async revoke({ grant, by }, stage) {
      const { id } = stage.known(grant);
      if (id === undefined) return "knows no grant";
      stage.asked(id, "revoke");
      const token = await stage.ownerToken(by);
      return stage.take(grant, await stage.call("DELETE", `/v1/grants/${id}`, { token }));
    },
  },
};
