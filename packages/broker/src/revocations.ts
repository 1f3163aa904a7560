/** The red button: one order that ends everything of a kind. */
import { type Actor, actorOf } from "@stint/core/audit";
import { hardWatermark } from "@stint/core/deny-list";
import { GrantError } from "@stint/core/error";
import { type Grant, isLive, running } from "@stint/core/grant";
import { decide, eligible } from "@stint/core/policy/decide";
import { type Config, LONGEST } from "@stint/core/profile";
import { decisionRecord, type Revoking, roleRecord } from "./deps.ts";
import { batches, endLive } from "./ending.ts";
import type { ListQuery } from "./ports.ts";
import { alarmOf, type Verified } from "./refusal.ts";

export interface RevocationOrder {
  /** At most one of these three; none is everything. */
  readonly profile?: string;
  readonly principal?: string;
  readonly role?: string;
  /** Every session of the role, also those that Stint knows nothing of. */
  readonly hard?: boolean;
  readonly dryRun?: boolean;
  readonly reason?: string;
}

/** A lease that nobody can end early. */
export interface Lapsing {
  readonly grant: string;
  readonly target: string;
  readonly until: number;
}

/** A grant that has sessions of the role, whoever may revoke it. */
export interface Hit {
  readonly grant: string;
  readonly profile: string;
  readonly principal: string;
}

export interface Revocation {
  /** How many grants this call ended, or would have. */
  readonly count: number;
  readonly lapsing: readonly Lapsing[];
  /** Only of a hard one. */
  readonly hits?: readonly Hit[];
}

/** How long one call goes on. Shorter than its function's time-out by what a slow write may take. */
const PATIENCE_MS = 15_000;
/** How late an index may be; usually it is milliseconds. */
const LAG_MS = 3_000;
/** How far clocks of two functions may be apart. */
const SKEW_MS = 2_000;
/** No live grant is older, by the bounds of every configuration; and a day for ends that were held up. */
const OLDEST_MS =
  (LONGEST.approvalSeconds + LONGEST.claimSeconds + LONGEST.grantSeconds + 24 * 3600) * 1000;

/**
 * Ends every live grant that matches and that the caller may revoke. Indexes learn of a grant late, so it looks again
 * until a pass finds none that was there when the order came. One that is met and came later ends with the others.
 *
 * @throws GrantError refused; unavailable where it could not be done in time: a repeat goes on with the rest
 */
export async function revokeAll(
  deps: Revoking,
  caller: Verified,
  order: RevocationOrder,
): Promise<Revocation> {
  if ([order.profile, order.principal, order.role].filter((one) => one !== undefined).length > 1)
    throw new GrantError("invalid_request", "profile, principal and role exclude each other");
  if (order.hard === true && order.role === undefined)
    throw new GrantError("invalid_request", "hard is about all sessions of one role: name it");
  const at = deps.ambient.now();
  const profiles = await allowedProfiles(deps, caller, order, at);
  const actor = actorOf(caller.principal);
  // First, so that what happens to take long is the rest.
  if (order.hard === true && order.role !== undefined && order.dryRun !== true)
    await deps.store.orderHard(
      order.role,
      hardWatermark(at),
      roleRecord(deps, "role.hard_revoked", order.role, actor, at, {
        tokenHash: caller.token.hash,
        ...(order.reason === undefined ? {} : { reason: order.reason }),
      }),
    );
  const { fault, ...done } = await passes(deps, order, profiles, actor, at);
  const { count } = done;
  const error = fault === undefined ? {} : { error: "not done: others may be left" };
  await note(deps, caller, order, { count, ...error });
  if (fault === undefined) return done;
  if (order.dryRun === true)
    throw new GrantError("unavailable", `at least ${count} match: not all could be counted`, {
      hint: "repeat it, or give the order: that ends as many as it can each time",
      cause: fault,
    });
  throw new GrantError("unavailable", `${count} ended, and others may be left`, {
    hint: "repeat the request: it goes on with the rest",
    ended: count,
    cause: fault,
  });
}

interface Passes extends Revocation {
  /** Why it stopped before it was done. */
  readonly fault?: unknown;
}

async function passes(
  deps: Revoking,
  order: RevocationOrder,
  profiles: readonly string[],
  actor: Actor,
  at: number,
): Promise<Passes> {
  const done = new Map<string, Grant>();
  const hits = new Map<string, Hit>();
  const failures: unknown[] = [];
  const details = order.reason === undefined ? {} : { reason: order.reason };
  const late = (ms = 0) => deps.ambient.now() + ms >= at + PATIENCE_MS;
  let fresh = 0;

  const visit = async ({ id, known }: Found) => {
    if (done.has(id) || late()) return;
    const grant = known ?? (await deps.store.find(id))?.grant;
    if (grant === undefined || !isLive(grant)) return;
    if (known === undefined) hits.set(id, hitOf(grant));
    if (!profiles.includes(grant.profile) || !isOf(grant, order.role)) return;
    const after =
      order.dryRun === true ? grant : await endLive(deps, id, "revoked", actor, details);
    if (after === undefined) return;
    done.set(id, after);
    if (grant.createdAt <= at + SKEW_MS) fresh++;
  };
  const result = () => ({
    count: done.size,
    lapsing: [...done.values()].flatMap((grant) => lapsingOf(grant, at)),
    ...(order.hard === true ? { hits: [...hits.values()] } : {}),
  });

  for (let pass = 1; ; pass++) {
    fresh = 0;
    await batches(256, failures)(found(deps, order, profiles, at, late), visit).catch(
      (error: unknown) => failures.push(error),
    );
    if (failures.length > 0)
      return { ...result(), fault: new AggregateError(failures, String(failures[0])) };
    const over = !late() && (order.dryRun === true || (pass > 1 && fresh === 0));
    if (over) return result();
    if (late(LAG_MS)) return { ...result(), fault: new Error("the time was over") };
    await deps.ambient.sleep(LAG_MS);
  }
}

interface Found {
  readonly id: string;
  /** As an index has it; undefined where the grant is only known to have sessions of the role. */
  readonly known?: Grant;
}

/** What may match, some of it twice: what the role is known to have sessions of, then what the indexes have. */
async function* found(
  deps: Revoking,
  { role, principal }: RevocationOrder,
  profiles: readonly string[],
  at: number,
  late: () => boolean,
): AsyncGenerator<Found> {
  if (role !== undefined)
    for await (const id of deps.store.liveOf(role)) {
      if (late()) return;
      yield { id };
    }
  const { byPrincipal, byProfile } = deps.store;
  const pages =
    principal !== undefined
      ? [(query: ListQuery) => byPrincipal(principal, query)]
      : profiles.map((profile) => (query: ListQuery) => byProfile(profile, query));
  for (const page of pages) {
    let from: string | undefined;
    do {
      if (late()) return;
      const { grants, next } = await page({
        live: true,
        since: at - OLDEST_MS,
        limit: 1_000,
        ...(from === undefined ? {} : { from }),
      });
      for (const known of grants) yield { id: known.id, known };
      from = next;
    } while (from !== undefined);
  }
}

const isOf = (grant: Grant, role: string | undefined): boolean =>
  role === undefined ||
  Object.values(grant.targets).some((target) => target.kind === "aws" && target.role === role);

const hitOf = ({ id, profile, principal }: Grant): Hit => ({
  grant: id,
  profile,
  principal: principal.id,
});

/** Of several leases of one target the last one says when. */
function lapsingOf(grant: Grant, now: number): Lapsing[] {
  if (!("leases" in grant)) return [];
  const last = new Map<string, number>();
  for (const { target, until } of running(grant.leases, now))
    if (grant.targets[target]?.revocability === "lapse")
      last.set(target, Math.max(until, last.get(target) ?? 0));
  return [...last].map(([target, until]) => ({ grant: grant.id, target, until }));
}

/** The profiles that the order is about, of those on which the caller may revoke. @throws GrantError refused */
async function allowedProfiles(
  deps: Revoking,
  caller: Verified,
  order: RevocationOrder,
  now: number,
): Promise<readonly string[]> {
  const { principal } = caller;
  const { profile, role } = order;
  if (profile !== undefined) {
    const decision = decide(deps.policy, { action: "revoke", principal, profile, now });
    alarmOf(deps, profile, decision);
    if (decision.allowed) return [profile];
    await note(deps, caller, order, { code: "refused", decision });
    // The same of one that there is not.
    throw new GrantError("refused", "no rule lets you revoke grants of this profile");
  }
  const profiles = eligible(deps.policy, principal, "revoke", now);
  if (profiles.length === 0) {
    await note(deps, caller, order, { code: "refused" });
    throw new GrantError("refused", "no rule lets you revoke grants of any profile", {
      hint: "your own grants: DELETE /v1/grants/{id}",
    });
  }
  if (order.hard === true && role !== undefined) {
    const having = profilesOf(deps.config, role);
    if (having.length === 0 || !having.every((name) => profiles.includes(name))) {
      await note(deps, caller, order, { code: "refused" });
      throw new GrantError("refused", "no rule lets you revoke on every profile of this role", {
        hint: "without hard, the grants that you may revoke end",
      });
    }
  }
  return profiles;
}

const profilesOf = ({ profiles }: Config, role: string): string[] =>
  Object.values(profiles)
    .filter(({ targets }) =>
      Object.values(targets).some((target) => target.kind === "aws" && target.role === role),
    )
    .map(({ name }) => name);

type Details = Parameters<typeof decisionRecord>[4];

/** One record of the order, whatever became of it; each grant that it ends has its own besides. */
async function note(
  deps: Revoking,
  { principal, token }: Verified,
  { profile, principal: of, role, hard, dryRun, reason }: RevocationOrder,
  details: Details,
): Promise<void> {
  const allowed = dryRun === true ? "decision.made" : "revocation.ordered";
  const fact = details.code === undefined ? allowed : "grant.refused";
  const record = decisionRecord(deps, fact, principal, deps.ambient.now(), {
    token,
    why: hard === true ? "revoke_hard" : "revoke",
    ...(profile === undefined ? {} : { profile }),
    ...(role === undefined ? {} : { role }),
    ...(reason === undefined ? {} : { reason }),
    ...details,
  });
  await deps.store.note({
    ...record,
    // Whose grants are meant: an id as it was given, which is nobody's proof of anything.
    ...(of === undefined
      ? {}
      : { principal: { kind: of.startsWith("person:") ? "person" : "job", id: of } }),
  });
}
