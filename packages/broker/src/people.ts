import { actorOf } from "@stint/core/audit";
import type { Action } from "@stint/core/decision";
import { GrantError } from "@stint/core/error";
import { approve as approved, type Grant, isLive, refuse } from "@stint/core/grant";
import { decide, eligible } from "@stint/core/policy/decide";
import type { Caller, Principal } from "@stint/core/principal";
import { changeRecord, decisionRecord, type Issuing, type Judging, type Revoking } from "./deps.ts";
import { endDenied, endGrant, endIfDue, retryEnd } from "./ending.ts";
import { actingAs, holds, notFound } from "./holder.ts";
import type { ListQuery, Page, Stored } from "./ports.ts";
import { alarmOf, type Verified } from "./refusal.ts";

/** One grant, for its holder or for somebody whom a rule lets read its profile. */
export async function get(deps: Issuing, caller: Caller, id: string): Promise<Grant> {
  return (await readable(deps, caller, id)).grant;
}

async function readable(deps: Issuing, caller: Caller, id: string): Promise<Stored> {
  const stored = await deps.store.find(id);
  if (stored === undefined) throw notFound(id);
  if (holds(caller, stored.grant)) return stored;
  if (caller.kind === "holder") throw notFound(id);
  const allowed = await judged(deps, caller.principal, "read", stored.grant);
  // A grant that one may not see and one that does not exist look the same from outside.
  if (!allowed) throw notFound(id);
  await deps.store.note(
    decisionRecord(deps, "grant.read", caller.principal, deps.ambient.now(), {
      grant: stored.grant,
      token: caller.token,
    }),
  );
  return stored;
}

/** The holder releases; somebody whom a rule allows revokes. A second time changes nothing. */
export async function remove(deps: Issuing, caller: Caller, id: string): Promise<Grant> {
  const stored = await deps.store.find(id);
  if (stored === undefined) throw notFound(id);
  const { grant } = stored;
  if (holds(caller, grant)) {
    const why = grant.state === "pending" || grant.state === "ready" ? "withdrawn" : "released";
    const after = await endGrant(deps, id, why, actingAs(caller, grant));
    return (after ?? stored).grant;
  }
  if (caller.kind === "holder") throw notFound(id);
  await mustRevoke(deps, caller.principal, grant);
  const after = await endGrant(deps, id, "revoked", actorOf(caller.principal));
  return (after ?? stored).grant;
}

/** @throws GrantError refused, or grant_not_found where the caller may not even know of it */
async function mustRevoke(deps: Judging, principal: Principal, grant: Grant): Promise<void> {
  if (await judged(deps, principal, "revoke", grant)) return;
  const may = decide(deps.policy, asking("read", principal, grant, deps.ambient.now()));
  if (!may.allowed) throw notFound(grant.id);
  throw new GrantError("refused", "no rule lets you revoke grants of this profile");
}

/** An end that is not done is tried again now, for the grant's principal or somebody whom a rule lets revoke. */
export async function retry(deps: Revoking, caller: Verified, id: string): Promise<Grant> {
  const stored = await deps.store.find(id);
  if (stored === undefined) throw notFound(id);
  if (!holds(caller, stored.grant)) await mustRevoke(deps, caller.principal, stored.grant);
  if (stored.grant.state !== "ending")
    throw new GrantError("wrong_state", `grant ${id} is ${stored.grant.state}, not ending`, {
      hint: isLive(stored.grant) ? "to end it: DELETE /v1/grants/{id}" : "there is nothing to do",
    });
  const actor = actorOf(caller.principal);
  const after = (await retryEnd(deps, id, actor)) ?? stored;
  // Where all of it is denied and only nobody said so, no worker would find anything to do.
  if (!(await endDenied(deps, after, actor))) return after.grant;
  return ((await deps.store.find(id)) ?? after).grant;
}

export interface ApprovalRequest {
  readonly decision: "approve" | "refuse";
  readonly reason: string;
}

/** A person's decision on a request. The approver must be allowed at this moment, and is never its requester. */
export async function decideApproval(
  deps: Issuing,
  caller: Caller,
  id: string,
  { decision, reason }: ApprovalRequest,
): Promise<Grant> {
  let stored = await deps.store.find(id);
  if (caller.kind !== "principal" || caller.principal.kind !== "person") {
    if (caller.kind === "principal" && stored !== undefined)
      await noteRefused(deps, caller.principal, stored.grant, "approve");
    throw new GrantError("refused", "only a person can approve or refuse");
  }
  const { principal } = caller;
  if (stored === undefined) throw notFound(id);
  if (stored.grant.principal.id === principal.id) {
    await noteRefused(deps, principal, stored.grant, "nobody approves their own");
    throw new GrantError("refused", "nobody approves their own request");
  }
  if (!(await judged(deps, principal, "approve", stored.grant))) {
    if (!decide(deps.policy, asking("read", principal, stored.grant, deps.ambient.now())).allowed)
      throw notFound(id);
    throw new GrantError("refused", "no rule makes you an approver of this request");
  }
  for (;;) {
    const { grant } = stored;
    if (grant.approval === undefined)
      throw new GrantError("wrong_state", `grant ${id} needed no approval`);
    const mine = grant.approval.given.some((one) => one.by === principal.id);
    if (grant.state !== "pending") {
      if (mine && decision === "approve") return grant; // a second click
      throw new GrantError("grant_changed", `grant ${id} is ${grant.state} already`);
    }
    const now = deps.ambient.now();
    if (now >= grant.decideBy) {
      await endIfDue(deps, id, { kind: "stint", id: "approval" });
      throw new GrantError("grant_changed", "the time to decide on this request is over");
    }
    const after =
      decision === "approve"
        ? approved(grant, principal.id, reason, now)
        : refuse(grant, "approver", now);
    if (after === grant) return grant;
    const record = changeRecord(deps, after, actorOf(principal), now, {
      reason,
      ...(after.state === "pending" ? { fact: "grant.approved" as const } : {}),
    });
    const result = await deps.store.replace(stored, after, record);
    if (result.kind === "written") return result.stored.grant;
    if (result.kind === "changed") stored = result.stored;
  }
}

const asking = (action: Action, principal: Principal, grant: Grant, now: number) => ({
  action,
  principal,
  profile: grant.profile,
  rule: grant.rule,
  now,
});

/** Decides, and records a refusal. */
async function judged(
  deps: Judging,
  principal: Principal,
  action: Action,
  grant: Grant,
): Promise<boolean> {
  const now = deps.ambient.now();
  const decision = decide(deps.policy, asking(action, principal, grant, now));
  alarmOf(deps, grant.profile, decision);
  if (decision.allowed) return true;
  await deps.store.note(
    decisionRecord(deps, "grant.refused", principal, now, {
      grant,
      decision,
      code: "refused",
      why: action,
    }),
  );
  return false;
}

async function noteRefused(
  deps: Issuing,
  principal: Principal,
  grant: Grant,
  why: string,
): Promise<void> {
  await deps.store.note(
    decisionRecord(deps, "grant.refused", principal, deps.ambient.now(), {
      grant,
      code: "refused",
      why,
    }),
  );
}

export interface ListRequest extends Omit<ListQuery, "from"> {
  readonly profile?: string;
  readonly principal?: string;
  readonly cursor?: string;
}

/** How many short pages one request reads before it hands out a cursor. */
const PAGES = 20;

/** Grants of the profiles that the caller may read, newest first; without such a profile, its own. */
export async function list(deps: Issuing, caller: Caller, query: ListRequest): Promise<Page> {
  if (caller.kind === "holder")
    throw new GrantError("refused", "a grant token reads its own grant only", {
      hint: `GET /v1/grants/${caller.grantId}`,
    });
  const { principal } = caller;
  const profiles = eligible(deps.policy, principal, "read", deps.ambient.now());
  const { profile, principal: of, cursor, ...rest } = query;
  if (profile !== undefined && of === undefined && !profiles.includes(profile)) {
    await deps.store.note(
      decisionRecord(deps, "grant.refused", principal, deps.ambient.now(), {
        token: caller.token,
        profile,
        code: "refused",
        why: "list",
      }),
    );
    throw new GrantError("refused", "no rule lets you read grants of this profile");
  }
  const own = principal.id;
  // A cursor names its index partition by position, so it cannot name another's.
  const partitions =
    of !== undefined || profiles.length === 0
      ? [{ kind: "principal" as const, key: of ?? own }]
      : (profile === undefined ? profiles : [profile]).map((key) => ({
          kind: "profile" as const,
          key,
        }));
  const visible = (grant: Grant) =>
    (grant.principal.id === own || profiles.includes(grant.profile)) &&
    (profile === undefined || grant.profile === profile);

  const page = await pageOf(deps, partitions, visible, rest, cursor);
  if (profiles.length > 0)
    await deps.store.note(
      decisionRecord(deps, "grant.read", principal, deps.ambient.now(), {
        token: caller.token,
        why: "list",
        ...(profile === undefined ? {} : { profile }),
      }),
    );
  return page;
}

interface Partition {
  readonly kind: "profile" | "principal";
  readonly key: string;
}

async function pageOf(
  deps: Issuing,
  partitions: readonly Partition[],
  visible: (grant: Grant) => boolean,
  query: Omit<ListQuery, "from">,
  cursor: string | undefined,
): Promise<Page> {
  let [at, from] = readCursor(cursor);
  const grants: Grant[] = [];
  for (let pages = 0; pages < PAGES && grants.length < query.limit; pages++) {
    const source = partitions[at];
    if (source === undefined) return { grants };
    const page: Page = await (source.kind === "profile"
      ? deps.store.byProfile
      : deps.store.byPrincipal)(source.key, {
      ...query,
      limit: query.limit - grants.length,
      ...(from === undefined ? {} : { from }),
    });
    grants.push(...page.grants.filter(visible));
    from = page.next;
    if (from === undefined) at++;
  }
  return at < partitions.length ? { grants, next: writeCursor(at, from) } : { grants };
}

const writeCursor = (at: number, from: string | undefined): string =>
  Buffer.from(JSON.stringify([at, from ?? null])).toString("base64url");

function readCursor(cursor: string | undefined): [number, string | undefined] {
  if (cursor === undefined) return [0, undefined];
  try {
    const parsed: unknown = JSON.parse(Buffer.from(cursor, "base64url").toString());
    if (Array.isArray(parsed) && parsed.length === 2) {
      const [at, from]: unknown[] = parsed;
      if (typeof at === "number" && Number.isInteger(at) && at >= 0)
        if (from === null || typeof from === "string") return [at, from ?? undefined];
    }
  } catch {
    // Falls through: whatever it was, it is no cursor of ours.
  }
  throw new GrantError("invalid_request", "cursor is not one that this API gave out");
}
