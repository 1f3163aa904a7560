import type { Actor } from "@stint/core/audit";
import type { Deps, Keeping } from "./deps.ts";
import { endJob, inTurns } from "./ending.ts";
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

/** As many changes are followed at a time. */
const WIDTH = 8;

/**
 * Follows a batch of changes, in their order; what takes access away comes first. Safe to repeat, and none waits for
 * another: a role is only marked, a message only asked for, an end is one end, a schedule that is gone is gone.
 *
 * @returns what failed, by the id of the change from which on the batch must come again
 */
export async function relay(
  deps: Relaying,
  changes: readonly Change[],
): Promise<ReadonlyMap<string, unknown>> {
  const failed = new Map<string, unknown>();
  const follow = (id: string, work: Promise<unknown>) =>
    work.catch((error: unknown) => failed.set(id, error));
  const ends = changes.flatMap(({ id, end }) => (end === undefined ? [] : [{ id, end }]));
  const checks = changes.flatMap(({ id, check = [] }) => check.map((role) => ({ id, role })));
  const clears = changes.flatMap(({ id, clear }) => (clear === undefined ? [] : [{ id, clear }]));
  const over = changes.flatMap(({ id, ended }) => (ended === undefined ? [] : [{ id, ended }]));

  await inTurns([...denied(changes)], WIDTH, ([role, { first, last }]) =>
    follow(first, deps.dirty.mark(role, last, "new")),
  );
  await inTurns(checks, WIDTH, ({ id, role }) => follow(id, deps.dirty.mark(role, id, "check")));
  await inTurns(clears, WIDTH, ({ id, clear }) => follow(id, deps.clears.ask(clear)));
  await inTurns(ends, WIDTH, ({ id, end }) => follow(id, endJob(deps, end.of, end.actor)));
  await inTurns(over, WIDTH, ({ id, ended }) => follow(id, deps.schedules.remove(ended)));
  return failed;
}

/**
 * The roles of the batch's denials, each with the first and the last of them. One message is enough for all: whoever
 * gets it reads the denials from the table, where they all are. It is named by the last: a batch that comes again with
 * more behind must not be taken for the message that was sent without it.
 */
function denied(changes: readonly Change[]) {
  const roles = new Map<string, { readonly first: string; readonly last: string }>();
  for (const { id, denial } of changes)
    if (denial !== undefined)
      roles.set(denial.role, { first: roles.get(denial.role)?.first ?? id, last: id });
  return roles;
}
