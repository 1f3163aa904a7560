/**
 * 1, 2 and 6 for databases: a login is recorded before it leaves and ends with its lease; a grant is ended when the server
 * has nothing of it, not before, and shows no `deadBy` until then; nothing is left behind.
 */
import { sha256 } from "@stint/core/id";
import type { Invariant } from "./invariant.ts";

export const logins: Invariant = {
  name: "logins",
  watch({ seen, aws, now, database }, broken) {
    const handed: Array<{ readonly user: string; readonly password: string }> = [];
    seen.on("login", ({ grant: id, user, password, until, view }) => {
      handed.push({ user, password });
      if (view.deadBy !== undefined && view.state !== "ended")
        broken(`${id} says when its logins are dead, and nobody has seen that`);
      const hash = sha256(password);
      const told = seen.records.some(
        ({ grant, leases }) =>
          grant === id && leases?.some((lease) => lease.user === user && lease.hash === hash),
      );
      if (!told) broken(`no record says who got ${user}`);
      aws.clock.schedule(Math.max(until, now()), () => {
        if (database.accepts(user, password)) broken(`${user} logs in after its lease's end`);
      });
    });
    seen.on("grant", ({ before, after }) => {
      if (after.state !== "ended" || before?.state === "ended") return;
      const left = database.roles(after.id);
      if (left.length > 0) broken(`${after.id} is ended, and ${left.join(" ")} is there`);
    });
    return {
      end() {
        for (const { user, password } of handed)
          if (database.accepts(user, password)) broken(`${user} outlives the story`);
        for (const role of database.roles()) broken(`the role ${role} outlives the story`);
      },
    };
  },
};
