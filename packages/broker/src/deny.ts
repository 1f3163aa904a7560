import type { Actor } from "@stint/core/audit";
import { covers, exceeds, type ListPlan, planList } from "@stint/core/deny-list";
import { isRunning } from "@stint/core/grant";
import { type Deps, type Keeping, RECONCILER, roleRecord } from "./deps.ts";
import { endDenied, endGrant, inTurns, stickEnd } from "./ending.ts";
import type { Denial, Denials, Grants, LiveGrants, Look, RoleState, Roles } from "./ports.ts";

const REVOKER: Actor = { kind: "revoker", id: "revoker" };
/** Rounds after which a role that changes all the time is left to the next message. */
const ROUNDS = 5;

/** Nobody has said yet what becomes of it. */
const isNew = ({ deniedAt, spared }: Denial): boolean =>
  deniedAt === undefined && spared === undefined;

export type Denying = Keeping<Grants & Denials & Roles & LiveGrants> &
  Pick<Deps, "denyList" | "proofs">;

/**
 * Makes a role's deny list say what its denial items say, then ends the grants that waited for it. One worker at a
 * time per role (the queue's message group sees to that). After each write both are read again, until a round finds
 * nothing to do: a message only says "this role is dirty", one that came meanwhile may be about something that this
 * round did not see, and a worker that was believed dead may have written an older list.
 */
export async function writeDenials(deps: Denying, role: string, look: Look): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) {
    const now = deps.ambient.now();
    const denials = (await deps.store.denials(role)).filter(
      ({ until, spared }) => until > now && spared !== "gone",
    );
    const state = await deps.store.role(role);
    if (look === "new" && round === 0 && !denials.some(isNew)) return;

    const plan = await planOf(deps, role, denials, state, now);
    const found = await deps.denyList.read(role);
    const rests = found === "gone" ? undefined : found;
    const tidies = look === "tidy" && exceeds(rests, plan.listed);
    // IAM may say of a role that was just made that there is none: then the write is taken, and otherwise agrees.
    const done = found !== "gone" && covers(rests, plan.listed) && !tidies;
    const until = Math.max(
      state.until ?? 0,
      state.hard?.until ?? 0,
      plan.watermark?.until ?? 0,
      ...untils(plan.denied),
    );
    const marked = plan.watermark !== undefined && plan.watermark.at !== state.watermark?.at;
    // Noted ahead of the write: who stops after it leaves a role that the sweeper looks at each minute.
    if (until > (state.until ?? 0) || marked)
      await deps.store.noteRole(
        role,
        { until, ...(plan.watermark === undefined ? {} : { watermark: plan.watermark }) },
        marked ? roleRecord(deps, "role.watermarked", role, REVOKER, now) : undefined,
      );
    // Told ahead as well; once, however often the list must be written until it is seen to be short.
    if (tidies && round === 0)
      await deps.store.noteRole(
        role,
        { until: Math.max(until, now) },
        roleRecord(deps, "drift.ids_removed", role, RECONCILER, now),
      );
    if (!done) {
      if (!(await deps.denyList.write(role, plan.listed)))
        return targetGone(deps, role, denials, Math.max(until, now));
      // One that was ordered is noted already: what is told is that it rests on the role.
      const { watermark } = plan.listed;
      if (watermark !== undefined && watermark === state.hard?.at && rests?.watermark !== watermark)
        await deps.store.noteRole(
          role,
          { until },
          roleRecord(deps, "role.watermarked", role, REVOKER, deps.ambient.now()),
        );
      await tellIfRestored(deps, role, plan, rests?.ids ?? [], until);
    }
    await deniedNow(deps, role, plan.denied.filter(isNew), plan.listed.ids);
    await lapsing(deps, role, plan.lapsing.filter(isNew));
    if (done) return;
  }
}

const untils = (denials: readonly Denial[]): number[] => denials.map(({ until }) => until);

async function planOf(
  deps: Denying,
  role: string,
  denials: readonly Denial[],
  state: RoleState,
  now: number,
): Promise<ListPlan<Denial>> {
  const { watermark, hard } = state;
  const room = { capacity: deps.denyList.capacity, now, watermark, hard };
  const plan = planList(denials, room);
  if (plan.lapsing.length === 0) return plan;
  // Read after the denials: who lives is asked only where it would be hit, and the cost of it is one query.
  for await (const _ of deps.store.liveOf(role)) return plan;
  return planList(denials, { ...room, nobodyLives: true });
}

/** The list names them now: they are asked to be proved, marked, and their grants ended. */
async function deniedNow(
  deps: Denying,
  role: string,
  fresh: readonly Denial[],
  ids: readonly string[],
): Promise<void> {
  if (fresh.length === 0) return;
  const deniedAt = deps.ambient.now();
  const named = new Set(ids);
  // A session that is opened now says nothing of those that only a watermark denies: it is younger.
  const provable = fresh.filter(({ grant }) => named.has(grant));
  const grants = provable.map(({ grant }) => grant);
  // First, so that who stops here has asked; but whoever cannot ask must not hold up an end.
  if (grants.length > 0)
    await deps.proofs
      .ask({ role, deniedAt, until: Math.max(...untils(provable)), grants })
      .catch((error: unknown) => deps.ambient.alarm("proof_lost", { role, error: String(error) }));
  await inTurns(fresh, 8, async (denial) => {
    await deps.store.markDenied(denial, deniedAt);
    await settled(deps, denial.grant);
  });
}

async function lapsing(deps: Denying, role: string, fresh: readonly Denial[]): Promise<void> {
  if (fresh.length === 0) return;
  deps.ambient.alarm("deny_list_full", { role, left: fresh.length });
  await spare(deps, fresh, "full");
}

async function spare(
  deps: Denying,
  denials: readonly Denial[],
  why: "full" | "gone",
): Promise<void> {
  await inTurns(denials, 8, async (denial) => {
    await deps.store.spare(denial, why);
    await settled(deps, denial.grant);
  });
}

async function settled(deps: Denying, grant: string): Promise<void> {
  const stored = await deps.store.find(grant);
  if (stored !== undefined) await endDenied(deps, stored, REVOKER);
}

/** What was in the list once and is not any more, somebody else has taken out. */
async function tellIfRestored(
  deps: Denying,
  role: string,
  plan: ListPlan<Denial>,
  rested: readonly string[],
  until: number,
): Promise<void> {
  const wanted = new Set(plan.listed.ids);
  const known = new Set(rested);
  const lost = plan.denied.filter(
    ({ grant, deniedAt }) => deniedAt !== undefined && wanted.has(grant) && !known.has(grant),
  );
  if (lost.length === 0) return;
  deps.ambient.alarm("deny_list_changed", { role, grants: lost.map(({ grant }) => grant) });
  const now = deps.ambient.now();
  await deps.store.noteRole(
    role,
    { until, ...(plan.watermark === undefined ? {} : { watermark: plan.watermark }) },
    roleRecord(deps, "role.restored", role, REVOKER, now),
  );
}

/**
 * There is no role to write on, and so no session of it that could be denied: what still lives ends because of it, and
 * what ends is ended. deadBy stays what it was; nobody has seen these sessions die. It is said once: whoever looks again
 * finds nothing that this could be said of. What was denied before stays so, should the role be made again.
 */
async function targetGone(
  deps: Denying,
  role: string,
  denials: readonly Denial[],
  until: number,
): Promise<void> {
  const live = await livingOn(deps, role);
  if (live.length === 0 && !denials.some(isNew)) return;
  deps.ambient.alarm("target_gone", { role, live: live.length });
  const now = deps.ambient.now();
  await deps.store.noteRole(role, { until }, roleRecord(deps, "role.gone", role, REVOKER, now));
  await inTurns(live, 8, (id) => endGrant(deps, id, "target_gone", REVOKER, { targetGone: true }));
  // Read again: those that have just ended left denials, of which nobody else need be told.
  const left = await deps.store.denials(role);
  await spare(
    deps,
    left.filter((denial) => denial.until > now && isNew(denial)),
    "gone",
  );
}

/** Grants that have sessions of the role, by their own word: a note of a life may have outlived it. */
async function livingOn(deps: Keeping<Grants & LiveGrants>, role: string): Promise<string[]> {
  const ids: string[] = [];
  for await (const id of deps.store.liveOf(role)) ids.push(id);
  const living: string[] = [];
  await inTurns(ids, 8, async (id) => {
    const grant = (await deps.store.find(id))?.grant;
    if (grant !== undefined && isRunning(grant)) living.push(id);
  });
  return living;
}

/** The list could not be written, and nobody will try soon: each grant that waits for it says so. */
export async function giveUp(deps: Denying, role: string, error: string): Promise<void> {
  const now = deps.ambient.now();
  const waiting = (await deps.store.denials(role)).filter(
    ({ until, deniedAt, spared }) => until > now && deniedAt === undefined && spared === undefined,
  );
  await inTurns(waiting, 8, ({ grant }) => stickEnd(deps, grant, error, REVOKER));
}
