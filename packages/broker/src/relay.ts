import type { AuditRecord } from "@stint/core/audit";
import type { Deps } from "./deps.ts";
import { endJob } from "./ending.ts";
import type { Bus, Denial, JobEnd } from "./ports.ts";

/** What one change of the table means to everybody else. */
export interface Change {
  /** Names the change: a repeat of it has the same. */
  readonly id: string;
  /** A new fact. */
  readonly record?: AuditRecord;
  /** A denial that has just been written. */
  readonly denial?: Pick<Denial, "role">;
  /** A tombstone that has just been written. */
  readonly end?: JobEnd;
}

/** Safe to repeat: consumers of the bus see the record's id, a role is only marked, an end is one end. */
export async function relay(deps: Deps, bus: Bus, change: Change): Promise<void> {
  const { record, denial, end } = change;
  // First what takes access away, then what tells of it.
  if (denial !== undefined) await deps.dirty.mark(denial.role, change.id);
  if (end !== undefined)
    await endJob(deps, end, record?.actor ?? { kind: "webhook", id: "unknown" });
  if (record === undefined) return;
  await bus.publish([record]);
  if (record.fact === "grant.ended" && record.grant !== undefined)
    await deps.schedules.remove(record.grant);
}
