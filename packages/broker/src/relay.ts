import type { Actor } from "@stint/core/audit";
import type { Deps, Keeping } from "./deps.ts";
import { endJob } from "./ending.ts";
import type { Denial, Grants, JobEnd, JobGrants, Unscheduling } from "./ports.ts";

/** What one change of the table asks for. */
export interface Change {
  /** Names the change: a repeat of it has the same. */
  readonly id: string;
  /** A denial that has just been written. */
  readonly denial?: Pick<Denial, "role">;
  /** Roles whose lists somebody wants looked at now. */
  readonly check?: readonly string[];
  /** A tombstone that has just been written, and who reported it. */
  readonly end?: { readonly of: JobEnd; readonly actor: Actor };
  /** A grant that has just begun to end, or whose end somebody wants tried, with something that must be taken away. */
  readonly clear?: string;
  /** A grant that has just ended: what its schedule was for is done. */
  readonly ended?: string;
}

export type Relaying = Keeping<Grants & JobGrants> &
  Pick<Deps, "dirty" | "clears"> & { readonly schedules: Unscheduling };

/** Safe to repeat: a role is only marked, an end is one end, a schedule that is gone is gone. */
export async function relay(deps: Relaying, change: Change): Promise<void> {
  const { id, denial, check = [], end, clear, ended } = change;
  if (denial !== undefined) await deps.dirty.mark(denial.role, id, "new");
  for (const role of check) await deps.dirty.mark(role, id, "check");
  if (end !== undefined) await endJob(deps, end.of, end.actor);
  if (clear !== undefined) await deps.clears.ask(clear);
  if (ended !== undefined) await deps.schedules.remove(ended);
}
