/** 2. Every credential that a caller ever saw has its grant, its end, its lease and its record, before it leaves. */
import { sha256 } from "@stint/core/id";
import { plannedEnd } from "./dead.ts";
import type { Invariant } from "./invariant.ts";

export const recorded: Invariant = {
  name: "recorded",
  watch({ seen, aws, now }, broken) {
    seen.on("session", (session) => {
      const grant = seen.grants.get(session.grant);
      if (grant === undefined)
        broken(`STS was asked for ${session.grant}, which nobody wrote down`);
      // What is minted late, for a grant that is over, was planned when it was not.
      else if (plannedEnd(grant, session) === undefined)
        broken(`a session of ${session.grant} was not written ahead`);
    });
    const schedules = aws.services.scheduler.operations.GetSchedule;
    const scheduled = (name: string): boolean => {
      try {
        schedules?.run({ Name: name, GroupName: "stint" }, undefined as never); // reads its input alone
        return true;
      } catch {
        return false;
      }
    };
    seen.on("handed", ({ session }) => {
      const { grant: id, accessKeyId } = session;
      const grant = seen.grants.get(id);
      if (grant === undefined || !("leases" in grant)) {
        broken(`a credential was handed out for ${id}, which has no leases`);
        return;
      }
      const hash = sha256(session.secretAccessKey);
      const record = seen.records.some(
        (one) =>
          one.grant === id &&
          one.leases?.some((lease) => lease.accessKeyId === accessKeyId && lease.hash === hash),
      );
      if (!record) broken(`no record says who got ${accessKeyId} of ${id}`);
      const leased = Object.values(grant.leases).some((one) => one.accessKeyId === accessKeyId);
      if (!leased && grant.state === "active" && session.mintedAt === now())
        broken(`no lease of ${id} has ${accessKeyId}`);
      if (grant.state === "active" && now() < grant.endsAt && !scheduled(id))
        broken(`a credential of ${id} was handed out without its scheduled end`);
    });
    return {};
  },
};
