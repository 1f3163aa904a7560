import { type Code, GrantError } from "@stint/core/error";

/** Every code's status and title: a new one does not compile until it is here. */
export const PROBLEMS = {
  invalid_request: { status: 400, title: "The request is not valid" },
  unauthenticated: { status: 401, title: "The caller is not known" },
  refused: { status: 403, title: "Refused by the rules" },
  grant_not_found: { status: 404, title: "No such grant" },
  route_not_found: { status: 404, title: "No such path" },
  grant_ended: { status: 409, title: "The grant has ended" },
  wrong_state: { status: 409, title: "The grant is in another state" },
  grant_changed: { status: 409, title: "The grant was decided otherwise" },
  job_ended: { status: 409, title: "The job has ended" },
  too_large: { status: 413, title: "The request is too large" },
  idempotency_mismatch: { status: 422, title: "The key was used for another request" },
  policy_too_large: { status: 422, title: "The session policy is too large" },
  limit_reached: { status: 429, title: "A limit is reached" },
  internal: { status: 500, title: "Something went wrong here" },
  target_refused: { status: 502, title: "The target refused" },
  unavailable: { status: 503, title: "Something that this needs is not available" },
} as const satisfies Record<Code, { status: number; title: string }>;

export interface Reply {
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export const reply = (statusCode: number, body: unknown): Reply => ({
  statusCode,
  headers: { "content-type": "application/json", "cache-control": "no-store" },
  body: JSON.stringify(body),
});

/** RFC 9457. Of a fault the caller learns only the request's id; the log has the rest. */
export function problem(error: GrantError, requestId: string): Reply {
  const { status, title } = PROBLEMS[error.code];
  return {
    statusCode: status,
    headers: {
      "content-type": "application/problem+json",
      "cache-control": "no-store",
      ...(status === 401 ? { "www-authenticate": 'Bearer realm="stint"' } : {}),
      ...(status === 503 || status === 429 ? { "retry-after": "1" } : {}),
    },
    body: JSON.stringify({
      type: `urn:stint:problem:${error.code}`,
      title,
      status,
      code: error.code,
      detail: error.message,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      ...(error.explanation === undefined ? {} : { explanation: error.explanation }),
      ...(error.ended === undefined ? {} : { ended: error.ended }),
      requestId,
    }),
  };
}

/** What went wrong, as a caller may know it. A fault of something that we depend on may pass; ours does not. */
export function asGrantError(error: unknown): GrantError {
  if (error instanceof GrantError) return error;
  if (isOutage(error))
    return new GrantError("unavailable", "something that this needs did not answer", {
      hint: "repeat the request with the same Idempotency-Key",
      cause: error,
    });
  return new GrantError("internal", "an unexpected error", { cause: error });
}

const NETWORK = /^(ECONN|EAI_|ETIMEDOUT|EPIPE|TimeoutError|AbortError|RequestTimeout)/;

function isOutage(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  // Every error that the SDK made of an AWS answer carries this; AWS refusing us is an outage to our caller.
  return "$metadata" in error || NETWORK.test(error.name) || NETWORK.test(code);
}
