import type { Explanation } from "./decision.ts";

/** Every reason for which a caller is turned away. A new code does not compile until edge.ts maps it to a status. */
export type Code =
  | "invalid_request"
  | "unauthenticated"
  | "refused"
  | "grant_not_found"
  | "route_not_found"
  | "grant_ended"
  | "wrong_state"
  | "grant_changed"
  | "job_ended"
  | "too_large"
  | "idempotency_mismatch"
  | "policy_too_large"
  | "limit_reached"
  | "target_refused"
  | "unavailable"
  | "internal";

export interface Extras {
  /** What the caller can do about it. */
  readonly hint?: string;
  readonly explanation?: Explanation;
  /** Of many grants that were to end, how many did before it stopped. */
  readonly ended?: number;
  readonly cause?: unknown;
}

/** A broken rule, told to the caller. Everything that is not a GrantError is a fault: it retries or pages. */
export class GrantError extends Error {
  readonly code: Code;
  readonly hint: string | undefined;
  readonly explanation: Explanation | undefined;
  readonly ended: number | undefined;

  constructor(code: Code, detail: string, extras: Extras = {}) {
    super(detail, extras.cause === undefined ? undefined : { cause: extras.cause });
    this.name = "GrantError";
    this.code = code;
    this.hint = extras.hint;
    this.explanation = extras.explanation;
    this.ended = extras.ended;
  }
}
