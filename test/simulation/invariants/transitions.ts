/** 4. One end and one reason for each grant, a reason that has a cause, and no transition out of order. */
import { type Grant, jobOf, type State } from "@stint/core/grant";
import type { Invariant } from "./invariant.ts";

const NEXT: Readonly<Record<State | "none", readonly State[]>> = {
  none: ["pending", "opening"],
  pending: ["pending", "ready", "ended", "refused"],
  ready: ["opening", "ended"],
  opening: ["opening", "active", "ending", "ended"],
  active: ["active", "ending", "ended"],
  ending: ["ending", "ended"],
  ended: ["ended"],
  refused: [],
};

const minted = (grant: Grant | undefined): Set<string> =>
  new Set(
    grant !== undefined && "leases" in grant
      ? Object.values(grant.leases).flatMap((lease) => lease.accessKeyId ?? [])
      : [],
  );
const planned = (grant: Grant | undefined): Set<string> =>
  new Set(grant !== undefined && "leases" in grant ? Object.keys(grant.leases) : []);

export const transitions: Invariant = {
  name: "transitions",
  watch({ seen, now }, broken) {
    const asked = new Set<string>();
    seen.on("asked", ({ grant, what }) => asked.add(`${what} ${grant}`));
    const tombed = (grant: Grant): boolean => {
      const job = jobOf(grant);
      if (job === undefined) return false;
      const pk = `RUN#${job.issuer}#${job.run}#${job.attempt}`;
      for (const { pk: at, sk, endedAt } of seen.items.values())
        if (endedAt !== undefined && at === pk && (sk === "RUN" || sk === `JOB#${job.job}`))
          return true;
      return false;
    };
    /** Whether what is said to have ended a grant has happened. */
    const hasCause = (before: Grant, why: string): boolean => {
      switch (why) {
        case "expired":
          return before.state === "active" && now() >= before.endsAt;
        case "job_ended":
          return tombed(before);
        case "released":
        case "withdrawn":
          return asked.has(`release ${before.id}`);
        case "revoked":
          return asked.has(`revoke ${before.id}`);
        case "unclaimed":
          return before.state === "ready" && now() >= before.claimBy;
        case "failed":
          return before.state === "opening";
        case "approval_expired":
          return before.state === "pending" && now() >= before.decideBy;
        case "approver":
          return before.state === "pending";
        default:
          return false;
      }
    };
    seen.on("grant", ({ before, after }) => {
      const { id, state } = after;
      const from = before?.state ?? "none";
      if (!NEXT[from].includes(state)) broken(`${id} went from ${from} to ${state}`);
      if ("why" in after) {
        if (before !== undefined && "why" in before) {
          if (before.why !== after.why || before.endedAt !== after.endedAt)
            broken(`${id} ended twice: ${before.why}, then ${after.why}`);
        } else if (before !== undefined && !hasCause(before, after.why))
          broken(`${id} ended from ${from} as ${after.why}, which did not happen`);
      }
      const had = minted(before);
      const fresh = [...minted(after)].filter((key) => !had.has(key));
      if (fresh.length > 0) {
        if (state !== "active") broken(`${id} is ${state} and got a lease`);
        if (tombed(after)) broken(`${id} got a lease after its job's end`);
      }
      const plans = planned(before);
      if ([...planned(after)].some((key) => !plans.has(key))) {
        if (state !== "opening" && state !== "active")
          broken(`${id} is ${state} and plans a lease`);
        if (from !== "active" && tombed(after)) broken(`${id} opened after its job's end`);
      }
    });
    seen.on("item", ({ before, after }) => {
      if (before?.endedAt !== undefined && before.endedAt !== after?.endedAt)
        broken(`the tombstone ${before.pk} ${before.sk} moved`);
    });
    return {};
  },
};
