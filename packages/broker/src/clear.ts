import type { Actor } from "@stint/core/audit";
import { clear, quietAt, uncleared } from "@stint/core/grant";
import type { Deps, Keeping } from "./deps.ts";
import { endDenied, settle, stickEnd } from "./ending.ts";
import type { Denials, Grants } from "./ports.ts";

const CLEARER: Actor = { kind: "clearer", id: "clearer" };

/** How long a target must have been gone before that is believed. */
const GONE_AFTER_MS = 15 * 60_000;

export type ClearingUp = Keeping<Grants & Pick<Denials, "denial">> & Pick<Deps, "clearing">;

/**
 * Takes away what an ended grant's credentials could do, target by target, and ends the grant when the last of them says
 * that nothing is left. Safe to repeat.
 *
 * @throws Error where something is left, or may still be made by an issuer that is slow
 */
export async function clearTargets(deps: ClearingUp, id: string): Promise<void> {
  const first = await deps.store.find(id);
  if (first?.grant.state !== "ending") return;
  const failures: unknown[] = [];
  for (const name of uncleared(first.grant)) {
    const target = first.grant.targets[name];
    if (target === undefined) continue;
    try {
      const done = await deps.clearing.clear(id, target);
      // Taken after the answer. What was cleared may be made again by whoever is still minting: it is looked at once more.
      const at = deps.ambient.now();
      if (done === "cleared" && at < quietAt(first.grant, name))
        throw new Error(`${name} may still be minted for`);
      // A server that is starting again, or somebody else's at its address, says so too: logins may outlive such a word.
      if (done === "gone" && at - first.grant.endedAt < GONE_AFTER_MS)
        throw new Error(`${name} says that it is gone`);
      const stored = await settle(
        deps,
        id,
        (grant, now) => clear(grant, name, at, now),
        CLEARER,
        done === "gone" ? { targetGone: true } : {},
      );
      if (done === "gone") deps.ambient.alarm("target_gone", { grant: id, target: name });
      if (stored?.grant.state === "ended" && stored.grant.provedAt !== undefined)
        deps.ambient.measure("timeToDeadMs", stored.grant.provedAt - stored.grant.endedAt, {
          grant: id,
        });
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
  // Another of its targets may have been denied before this one was cleared.
  const stored = await deps.store.find(id);
  if (stored?.grant.state === "ending") await endDenied(deps, stored, CLEARER);
}

/** Nobody will try soon: the grant says so. */
export const giveUpClearing = (deps: ClearingUp, id: string, error: string): Promise<void> =>
  stickEnd(deps, id, error, CLEARER);
