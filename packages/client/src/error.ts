import type { Explanation, Problem } from "./types.ts";

/** What a StintError carries beside its message. */
export interface StintErrorFields {
  readonly code: string;
  readonly detail: string;
  readonly status?: number;
  readonly title?: string;
  readonly hint?: string;
  readonly explanation?: Explanation;
  readonly ended?: number;
  readonly requestId?: string;
  readonly cause?: unknown;
}

/**
 * Something that was refused or went wrong, as the server told it, or one of these that the client finds itself:
 * `network` (no answer, after every retry), `bad_answer` (an answer that is not the API's), `no_token` (nothing to
 * prove who we are with), `no_target` (the grant has none of that name), `aborted` (the caller's signal).
 *
 * @example
 * try {
 *   await stint.request("orders-integration");
 * } catch (error) {
 *   if (error instanceof StintError && error.code === "refused") console.error(error.explanation);
 *   throw error;
 * }
 */
export class StintError extends Error {
  /** What went wrong, for programs: `refused`, `unauthenticated`, `grant_ended`, `network` … */
  readonly code: string;
  /** HTTP status; 0 where there was no answer. */
  readonly status: number;
  /** One sentence for this case; the same for every case is `title`. */
  readonly detail: string;
  readonly title: string | undefined;
  /** What can be done about it. */
  readonly hint: string | undefined;
  /** For `refused`: the nearest rule and what of it did not hold. */
  readonly explanation: Explanation | undefined;
  /** For `unavailable`, of an order of revocation that could not be finished: how many grants it ended. */
  readonly ended: number | undefined;
  /** Names the request in the server's logs. */
  readonly requestId: string | undefined;

  constructor(fields: StintErrorFields) {
    super(fields.detail, fields.cause === undefined ? undefined : { cause: fields.cause });
    this.name = "StintError";
    this.code = fields.code;
    this.status = fields.status ?? 0;
    this.detail = fields.detail;
    this.title = fields.title;
    this.hint = fields.hint;
    this.explanation = fields.explanation;
    this.ended = fields.ended;
    this.requestId = fields.requestId;
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isProblem = (body: unknown): body is Problem =>
  isRecord(body) && typeof body.code === "string" && typeof body.detail === "string";

/** The error in an answer: its problem document, or what can be said where a proxy answered in the API's stead. */
export function errorOf(status: number, body: unknown, requestId: string | undefined): StintError {
  if (!isProblem(body))
    return new StintError({
      code: status === 503 ? "unavailable" : "bad_answer",
      status,
      detail: `the server answered ${status} without saying why`,
      hint: "check that STINT_URL is the address of a Stint API",
      ...(requestId === undefined ? {} : { requestId }),
    });
  const id = typeof body.requestId === "string" ? body.requestId : requestId;
  return new StintError({
    code: body.code,
    status,
    detail: body.detail,
    title: body.title,
    ...(typeof body.hint === "string" ? { hint: body.hint } : {}),
    ...(isRecord(body.explanation) ? { explanation: body.explanation } : {}),
    ...(typeof body.ended === "number" ? { ended: body.ended } : {}),
    ...(id === undefined ? {} : { requestId: id }),
  });
}
