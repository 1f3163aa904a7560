import type { Actor } from "@stint/core/audit";
import type { Deps, Keeping } from "./deps.ts";
import { endDenied, inTurns } from "./ending.ts";
import type { Denial, Denials, Grants } from "./ports.ts";

const REVOKER: Actor = { kind: "revoker", id: "revoker" };
/** Rounds after which a role that changes all the time is left to the next message. */
const ROUNDS = 5;

export type Denying = Keeping<Pick<Grants, "find" | "replace"> & Denials> & Pick<Deps, "denyList">;

/**
 * Makes a role's deny list say what its denial items say, then ends the grants that waited for it. One worker at a
 * time per role (the queue's message group sees to that); the list is read again after the write, because a message
 * only says "this role is dirty" and one that came meanwhile may be about something this round did not see.
 */
export async function writeDenials(deps: Denying, role: string): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) {
    const now = deps.ambient.now();
    const wanted = fitting(deps, role, await runningDenials(deps, role, now));
    const listed = await deps.denyList.read(role);
    // Ids whose leases are over leave with the next write; they cause none.
    const covered = listed !== undefined && wanted.every((denial) => listed.includes(denial.grant));
    if (!covered && (wanted.length > 0 || listed !== undefined))
      await deps.denyList.write(
        role,
        wanted.map((denial) => denial.grant),
      );
    const at = deps.ambient.now();
    const fresh = wanted.filter((denial) => denial.deniedAt === undefined);
    await inTurns(fresh, 8, (denial) => settled(deps, denial, at));
    const again = await runningDenials(deps, role, deps.ambient.now());
    const known = new Set(wanted.map((denial) => denial.grant));
    const missing = again.some(
      (denial) => denial.deniedAt === undefined && !known.has(denial.grant),
    );
    if (!missing || wanted.length === deps.denyList.capacity) return;
  }
}

async function runningDenials(deps: Denying, role: string, now: number): Promise<Denial[]> {
  return (await deps.store.denials(role)).filter((denial) => denial.until > now);
}

/** When the list is full, the leases with the least time left lapse. */
function fitting(deps: Denying, role: string, denials: Denial[]): Denial[] {
  if (denials.length <= deps.denyList.capacity) return denials;
  const left = denials.length - deps.denyList.capacity;
  deps.ambient.alarm("deny_list_full", { role, left });
  return [...denials].sort((a, b) => b.until - a.until).slice(0, deps.denyList.capacity);
}

/** The denial is in IAM: the grant is ended once that is so in each of its roles. */
async function settled(deps: Denying, denial: Denial, at: number): Promise<void> {
  await deps.store.markDenied(denial, at);
  const stored = await deps.store.find(denial.grant);
  if (stored !== undefined) await endDenied(deps, stored, REVOKER);
}
