/**
 * A grant and its life. Pure: every transition takes the grant and the time, and returns the grant as it is then,
 * or the very same object where nothing changes. Races are decided by the store, which writes a transition only on
 * condition that the grant is still the one that it was computed from.
 */
import type { AdminSecret, PostgresPlace } from "./postgres.ts";
import type { JobKey, Principal } from "./principal.ts";
import type { Revocability } from "./profile.ts";

export type EndReason =
  | "expired"
  | "job_ended"
  | "released"
  | "revoked"
  | "withdrawn"
  | "unclaimed"
  | "failed"
  | "target_gone";

export type RefusalReason = "rule" | "approver" | "approval_expired";

/** What revoking a target needs to know, written down before anything is minted. */
export type GrantTarget =
  | { readonly kind: "aws"; readonly role: string; readonly revocability: Revocability }
  | {
      readonly kind: "postgres";
      readonly place: PostgresPlace;
      readonly secret: AdminSecret;
      readonly revocability: "immediate";
    };

/**
 * The life of one minted credential. Planned (written ahead) until `mintedAt` is there: a mint whose answer was lost
 * may have made a credential all the same, so a planned lease counts as one that runs.
 */
export interface Lease {
  readonly target: string;
  readonly plannedAt: number;
  readonly until: number;
  readonly mintedAt?: number;
  /** When the provider says that it made it, by its own clock. */
  readonly issuedAt?: number;
  /** What the provider and the audit log know an AWS session by. */
  readonly accessKeyId?: string;
  /** The same of a login of a database. */
  readonly user?: string;
  /** SHA-256 of the credential's secret, hex. */
  readonly hash?: string;
}

export interface ApprovalState {
  readonly count: number;
  readonly given: ReadonlyArray<{
    readonly by: string;
    readonly at: number;
    readonly reason: string;
  }>;
}

export interface GrantFacts {
  readonly id: string;
  readonly profile: string;
  readonly principal: Principal;
  readonly namespace: string;
  readonly rule: string;
  /** Hash of the configuration that decided it. */
  readonly policyVersion: string;
  readonly createdAt: number;
  /** Granted length. */
  readonly seconds: number;
  readonly leaseSeconds: number;
  /** How long it may be claimed once it is ready. */
  readonly claimSeconds: number;
  readonly targets: Readonly<Record<string, GrantTarget>>;
  /** Hash of the request's body: the same key with another body is another request. */
  readonly requestHash: string;
  /** Version of the key under which the grant token was made. */
  readonly tokenKey: string;
  readonly name?: string;
  readonly reason?: string;
  readonly approval?: ApprovalState;
}

type Leases = Readonly<Record<string, Lease>>;

export interface Pending extends GrantFacts {
  readonly state: "pending";
  readonly approval: ApprovalState;
  readonly decideBy: number;
}
export interface Ready extends GrantFacts {
  readonly state: "ready";
  readonly claimBy: number;
}
interface Running extends GrantFacts {
  readonly startsAt: number;
  readonly endsAt: number;
  readonly leases: Leases;
}
export interface Opening extends Running {
  readonly state: "opening";
  /** The issuing deadline: after it, whoever still issues is too late. */
  readonly openBy: number;
}
export interface Active extends Running {
  readonly state: "active";
}
export interface Ending extends Running {
  readonly state: "ending";
  readonly why: EndReason;
  readonly endedAt: number;
  /** When the sweeper looks after it again. */
  readonly retryAt: number;
  /** The end keeps failing, and the last error says how. */
  readonly stuck?: true;
  readonly error?: string;
  /** Targets of kind `immediate` whose credentials were taken away, and when the proof of it was had. */
  readonly cleared?: Readonly<Record<string, number>>;
  /** How often somebody has asked to try again at once. */
  readonly retries?: number;
}
export interface Ended extends GrantFacts {
  readonly state: "ended";
  readonly why: EndReason;
  readonly endedAt: number;
  /** Absent where nothing was ever live. */
  readonly startsAt?: number;
  readonly endsAt?: number;
  readonly leases: Leases;
  readonly cleared?: Readonly<Record<string, number>>;
  readonly deniedAt?: number;
  readonly provedAt?: number;
}
export interface Refused extends GrantFacts {
  readonly state: "refused";
  readonly why: RefusalReason;
  readonly endedAt: number;
}

export type Grant = Pending | Ready | Opening | Active | Ending | Ended | Refused;
export type State = Grant["state"];

export const STATES = [
  "pending",
  "ready",
  "opening",
  "active",
  "ending",
  "ended",
  "refused",
] as const satisfies readonly State[];

/** How long an issuer may take from `open` to `lease`; longer than a function's time-out. */
export const ISSUING_MS = 60_000;
/**
 * Leases of one grant that may run at a time: a grant must fit into an item of the table whatever its holder does, or
 * it could not be ended. Counted before a mint is planned, so mints at the same moment may pass it by their number.
 */
export const MAX_RUNNING_LEASES = 256;
/** How often an ending that is not done is tried again, and how often one that is stuck: for ever. */
export const RETRY_MS = 60_000;
export const STUCK_RETRY_MS = 3 * 60_000;

export const jobOf = (grant: GrantFacts): JobKey | undefined =>
  grant.principal.kind === "job" ? grant.principal.job : undefined;

/** True while something may still be minted or used: not ending, ended or refused. */
export const isLive = (grant: Grant): grant is Pending | Ready | Opening | Active =>
  grant.state === "pending" ||
  grant.state === "ready" ||
  grant.state === "opening" ||
  grant.state === "active";

/** True while a session of it may have to go on working. */
export const isRunning = (grant: Grant): grant is Opening | Active =>
  grant.state === "opening" || grant.state === "active";

/** Leases, planned ones included, that have not reached their end. */
export const running = (leases: Leases, now: number): Lease[] =>
  Object.values(leases).filter((lease) => lease.until > now);

/**
 * The time after which no credential of the grant works: the end of its last lease. Undefined while nothing was
 * minted. A proof may move it earlier, never later. A target that is cleared has no such end inside its credentials:
 * what was opened with them goes on until it is, so nothing is said before.
 */
export function deadBy(grant: Grant): number | undefined {
  if (!("leases" in grant)) return undefined;
  const leases = Object.values(grant.leases);
  if (leases.length === 0) return undefined;
  const ends: number[] = [];
  for (const { target, until } of leases) {
    if (grant.targets[target]?.revocability !== "immediate") ends.push(until);
    else {
      const cleared = grant.state === "ended" ? grant.cleared?.[target] : undefined;
      if (cleared === undefined) return undefined;
      ends.push(cleared);
    }
  }
  const last = Math.max(...ends);
  return grant.state === "ended" && grant.provedAt !== undefined
    ? Math.min(last, grant.provedAt)
    : last;
}

/** When somebody has to look after the grant, whatever else happens. Undefined once it is terminal. */
export function dueAt(grant: Grant): number | undefined {
  switch (grant.state) {
    case "pending":
      return grant.decideBy;
    case "ready":
      return grant.claimBy;
    case "opening":
      return grant.openBy;
    case "active":
      return grant.endsAt;
    case "ending":
      return grant.retryAt;
    default:
      return undefined;
  }
}

/** The latest time at which the grant can end by itself. */
export function endsAt(grant: Grant): number {
  switch (grant.state) {
    case "pending":
      return grant.decideBy + (grant.claimSeconds + grant.seconds) * 1000;
    case "ready":
      return grant.claimBy + grant.seconds * 1000;
    case "refused":
      return grant.endedAt;
    case "ended":
      return grant.endsAt ?? grant.endedAt;
    default:
      return grant.endsAt;
  }
}

/** Length of one lease: what was asked for, never longer than what is left of the grant. */
export const leaseUntil = (now: number, leaseSeconds: number, endsAt: number): number =>
  Math.min(floorSecond(now + leaseSeconds * 1000), endsAt);

/** Ends are whole seconds, because that is what IAM compares and Scheduler fires at. */
const floorSecond = (ms: number): number => Math.floor(ms / 1000) * 1000;

/** One planned lease for each target, under keys that no other mint uses. */
export function planLeases(
  targets: GrantFacts["targets"],
  mint: string,
  now: number,
  until: number,
): Record<string, Lease> {
  return Object.fromEntries(
    Object.keys(targets).map((target) => [`${mint}.${target}`, { target, plannedAt: now, until }]),
  );
}

export function toPending(
  facts: GrantFacts,
  count: number,
  withinSeconds: number,
  now: number,
): Pending {
  return {
    ...facts,
    state: "pending",
    approval: { count, given: [] },
    decideBy: now + withinSeconds * 1000,
  };
}

/** Written ahead of every mint: what may soon exist, and until when. */
export function toOpening(
  facts: GrantFacts,
  mint: string,
  leaseSeconds: number,
  now: number,
): Opening {
  const endsAt = floorSecond(now + facts.seconds * 1000);
  const leases = planLeases(facts.targets, mint, now, leaseUntil(now, leaseSeconds, endsAt));
  return { ...facts, state: "opening", startsAt: now, endsAt, openBy: now + ISSUING_MS, leases };
}

/** A further approval; the last one that is needed makes the grant ready. The same approver counts once. */
export function approve(grant: Grant, by: string, reason: string, now: number): Grant {
  if (grant.state !== "pending" || now >= grant.decideBy) return grant;
  if (grant.approval.given.some((one) => one.by === by)) return grant;
  const approval = { ...grant.approval, given: [...grant.approval.given, { by, at: now, reason }] };
  if (approval.given.length < approval.count) return { ...grant, approval };
  const { decideBy: _, state: __, ...facts } = grant;
  return { ...facts, approval, state: "ready", claimBy: now + grant.claimSeconds * 1000 };
}

export function refuse(grant: Grant, why: RefusalReason, now: number): Grant {
  if (grant.state !== "pending") return grant;
  const { decideBy: _, state: __, ...facts } = grant;
  return { ...facts, state: "refused", why, endedAt: now };
}

/** A ready grant starts: its time runs from here. */
export function claim(grant: Grant, mint: string, leaseSeconds: number, now: number): Grant {
  if (grant.state !== "ready" || now >= grant.claimBy) return grant;
  const { claimBy: _, state: __, ...facts } = grant;
  return toOpening(facts, mint, leaseSeconds, now);
}

/** Writes a further mint of an active grant ahead. */
export function plan(grant: Grant, mint: string, leaseSeconds: number, now: number): Grant {
  if (grant.state !== "active" || now >= grant.endsAt) return grant;
  const until = leaseUntil(now, leaseSeconds, grant.endsAt);
  // Leases that are over make room: nothing is left to do about them, and the audit log has them.
  const kept = Object.entries(grant.leases).filter(([, one]) => one.until > now);
  const leases = { ...Object.fromEntries(kept), ...planLeases(grant.targets, mint, now, until) };
  return { ...grant, leases };
}

/** The mint's answer is written down; only after that may it be handed out. */
export function lease(grant: Grant, minted: Leases): Grant {
  if (grant.state !== "opening" && grant.state !== "active") return grant;
  const { state: _, ...rest } = grant;
  const leases = { ...grant.leases, ...minted };
  if (grant.state === "active") return { ...grant, leases };
  const { openBy: __, ...facts } = rest as Omit<Opening, "state">; // narrowed by the line above
  return { ...facts, state: "active", leases };
}

/**
 * Ends a grant, whoever asks and however often: the schedule, the sweeper, a webhook and a person can race. What
 * never had a lease is ended at once; what may still have a running one is `ending` until that is dealt with.
 */
export function end(grant: Grant, why: EndReason, now: number): Grant {
  if (!isLive(grant)) return grant;
  // A schedule left with a wrong time must not cut the grant short.
  if (why === "expired" && grant.state === "active" && now < grant.endsAt) return grant;
  if (grant.state === "pending") {
    const { state: _, decideBy: __, ...facts } = grant;
    return { ...facts, state: "ended", why, endedAt: now, leases: {} };
  }
  if (grant.state === "ready") {
    const { state: _, claimBy: __, ...facts } = grant;
    return { ...facts, state: "ended", why, endedAt: now, leases: {} };
  }
  const { state: _, ...rest } = grant;
  const { openBy: __, ...facts } = rest as typeof rest & { openBy?: number }; // active has none
  return finish({ ...facts, state: "ending", why, endedAt: now, retryAt: now + RETRY_MS }, now);
}

/** Ended once nothing remains to be done: every lease is over or left to lapse, and what must be cleared is. */
export function finish(grant: Grant, now: number): Grant {
  if (grant.state !== "ending" || uncleared(grant).length > 0) return grant;
  const waiting = running(grant.leases, now).filter(
    ({ target }) => grant.targets[target]?.revocability === "next-request",
  );
  if (waiting.length > 0) return grant;
  return toEnded(grant, undefined);
}

/** Targets whose credentials must be taken away and are not yet, whether or not their leases are over. */
export const uncleared = (grant: Ending): string[] =>
  Object.entries(grant.targets)
    .filter(
      ([name, { revocability }]) =>
        revocability === "immediate" && grant.cleared?.[name] === undefined,
    )
    .map(([name]) => name);

/** What a target's credentials could do is over: seen, not assumed. */
export function clear(grant: Grant, target: string, at: number, now: number): Grant {
  if (grant.state !== "ending" || grant.cleared?.[target] !== undefined) return grant;
  return finish({ ...grant, cleared: { ...grant.cleared, [target]: at } }, now);
}

/** The denial of every session of the grant is written, or its lease was left to lapse. */
export function denied(grant: Grant, at: number | undefined): Grant {
  return grant.state === "ending" && uncleared(grant).length === 0 ? toEnded(grant, at) : grant;
}

function toEnded(grant: Ending, deniedAt: number | undefined): Ended {
  const { retryAt: _, stuck: __, error: ___, retries: ____, state: _____, ...facts } = grant;
  const allCleared = Object.values(grant.targets).every(
    ({ revocability }) => revocability === "immediate",
  );
  return {
    ...facts,
    state: "ended",
    ...(deniedAt === undefined ? {} : { deniedAt }),
    ...(allCleared ? { provedAt: lastOf(grant.cleared) } : {}),
  };
}

const lastOf = (cleared: Ending["cleared"] = {}): number => Math.max(0, ...Object.values(cleared));

/** No session of the grant works any more: somebody asked, and was refused. */
export function proved(grant: Grant, at: number): Grant {
  if (grant.state !== "ended" || grant.deniedAt === undefined || grant.provedAt !== undefined)
    return grant;
  return { ...grant, provedAt: Math.max(at, lastOf(grant.cleared)) };
}

/**
 * From when on nobody can be minting for the target any more: what a slow issuer makes after its grant has ended is
 * taken away as well, once its deadline is past.
 */
export const quietAt = (grant: Ending, target: string): number =>
  Math.max(
    0,
    ...Object.values(grant.leases)
      .filter((lease) => lease.target === target && lease.mintedAt === undefined)
      .map(({ plannedAt }) => plannedAt + ISSUING_MS),
  );

/** After a while, or when its last lease is over, since then little remains to be done. */
function nextTry(grant: Ending, waitMs: number, now: number): number {
  const ends = running(grant.leases, now).map(({ until }) => until);
  return ends.length === 0 ? now + waitMs : Math.min(now + waitMs, Math.max(...ends));
}

/** Its end keeps failing. It is said once, with the first error that was not over by itself. */
export function stick(grant: Grant, error: string, now: number): Grant {
  if (grant.state !== "ending" || grant.stuck === true) return grant;
  const retryAt = nextTry(grant, STUCK_RETRY_MS, now);
  return { ...grant, stuck: true, error: error.slice(0, 500), retryAt };
}

/** Somebody asks for the end to be tried at once. */
export function retry(grant: Grant, now: number): Grant {
  if (grant.state !== "ending") return grant;
  return { ...grant, retryAt: now, retries: (grant.retries ?? 0) + 1 };
}

/**
 * The last moment at which a session that the lease stands for may have been issued: what a watermark must reach to
 * cover it. An issuer that was never heard of again may still have minted until its deadline.
 */
export const issuedBy = ({ plannedAt, mintedAt, issuedAt }: Lease): number =>
  mintedAt === undefined ? plannedAt + ISSUING_MS : (issuedAt ?? mintedAt + ISSUING_MS);

/** What the table alone says about a grant whose time has come, whatever its schedule did. */
export function due(grant: Grant, now: number): Grant {
  const at = dueAt(grant);
  if (at === undefined || now < at) return grant;
  switch (grant.state) {
    case "pending":
      return refuse(grant, "approval_expired", now);
    case "ready":
      return end(grant, "unclaimed", now);
    case "opening":
      return end(grant, "failed", now);
    case "active":
      return end(grant, "expired", now);
    case "ending": {
      const finished = finish(grant, now);
      const wait = grant.stuck === true ? STUCK_RETRY_MS : RETRY_MS;
      return finished === grant ? { ...grant, retryAt: nextTry(grant, wait, now) } : finished;
    }
    default:
      return grant;
  }
}
