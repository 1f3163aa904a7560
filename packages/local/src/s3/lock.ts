/** Object Lock: what keeps a version from being removed, and how that may change. */
import { AwsError } from "../service.ts";

export type LockMode = "GOVERNANCE" | "COMPLIANCE";

export interface Retention {
  readonly mode: LockMode;
  /** Epoch ms on the local clock. */
  readonly until: number;
}

export interface DefaultRetention {
  readonly mode: LockMode;
  readonly length: { readonly days: number } | { readonly years: number };
}

/** Whether the caller asked to pass over governance; the permission is the kernel's to check. */
export type Bypass = boolean;

interface Lockable {
  readonly retention?: Retention;
  readonly legalHold: boolean;
}

const DAY = 86_400_000;

export const retentionFrom = (rule: DefaultRetention, now: number): Retention => {
  if ("days" in rule.length) return { mode: rule.mode, until: now + rule.length.days * DAY };
  const until = new Date(now);
  until.setUTCFullYear(until.getUTCFullYear() + rule.length.years);
  return { mode: rule.mode, until: until.getTime() };
};

const held = (retention: Retention | undefined, now: number): Retention | undefined =>
  retention !== undefined && retention.until > now ? retention : undefined;

const kept = () =>
  new AwsError("AccessDenied", "Access Denied because object protected by object lock.", 403);

/** Whether governance is what keeps this version, so that bypassing it is what the caller asks for. */
export const underGovernance = (of: Lockable, now: number): boolean =>
  held(of.retention, now)?.mode === "GOVERNANCE";

/** @throws {AwsError} AccessDenied until the version's date has come on the clock. */
export function checkDeletable(of: Lockable, bypass: Bypass, now: number): void {
  if (of.legalHold) throw kept();
  const retention = held(of.retention, now);
  if (retention === undefined) return;
  if (retention.mode === "GOVERNANCE" && bypass) return;
  throw kept();
}

/** Whether `next` takes something away from `now`'s retention, which governance allows with a bypass only. */
export const weakens = (from: Retention, next: Retention | undefined): boolean =>
  next === undefined || next.until < from.until || next.mode !== from.mode;

/** @throws {AwsError} AccessDenied where the change would loosen what compliance, or governance, holds. */
export function checkRetentionChange(
  of: Lockable,
  next: Retention | undefined,
  bypass: Bypass,
  now: number,
): void {
  const before = held(of.retention, now);
  if (before === undefined || !weakens(before, next)) return;
  if (before.mode === "GOVERNANCE" && bypass) return;
  throw kept();
}

/** @throws {AwsError} InvalidArgument for a date that has passed. */
export function checkFuture(until: number, now: number): void {
  if (until <= now)
    throw new AwsError("InvalidArgument", "The retain until date must be in the future!");
}
