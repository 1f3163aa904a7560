/** 6, for deny lists: a role's list, when it is written, names nobody whose leases are over. */
import type { Invariant } from "./invariant.ts";

/** From the reading of the denials to the list in IAM: one call that hangs, and some. */
const WRITING_MS = 30_000;

export const pruned: Invariant = {
  name: "pruned",
  watch({ seen, now }, broken) {
    seen.on("denyList", ({ role, ids }) => {
      const untils = new Map<unknown, number>();
      for (const { sk, grantId, role: arn, until } of seen.items.values())
        if (typeof sk === "string" && sk.startsWith("DENY#") && String(arn).endsWith(`/${role}`))
          untils.set(grantId, Number(until));
      for (const id of ids) {
        const until = untils.get(id);
        if (until === undefined) broken(`the list of ${role} names ${id}, which nobody denied`);
        else if (until < now() - WRITING_MS)
          broken(`the list of ${role} names ${id}, whose leases are over`);
      }
    });
    return {};
  },
};
