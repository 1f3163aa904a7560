import { StintError } from "./error.ts";

/** How calls are repeated that got no answer, or 503. */
export interface Retry {
  /** Tries in all. 5 unless given. */
  readonly attempts?: number;
  /** Longest first wait, ms; it doubles with each try. 200 unless given. */
  readonly baseMs?: number;
  /** Longest wait, ms. 5,000 unless given. */
  readonly maxMs?: number;
  /** Waits, in ms; it may end early when the signal aborts. */
  readonly sleep?: (ms: number, signal?: AbortSignal) => Promise<void>;
  /** Draws the jitter: at least 0, less than 1. */
  readonly random?: () => number;
}

/** Waits for real, or until the signal aborts. */
export const sleepFor = (ms: number, signal?: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done);
  });

export const aborted = (): StintError =>
  new StintError({ code: "aborted", detail: "interrupted before there was an answer" });

/** One try: an answer, or the error with the server's own wish for how long to wait. */
export type Try<T> =
  | { readonly ok: T }
  | { readonly again: StintError; readonly afterMs: number | undefined };

/**
 * Repeats `attempt` until it answers. The wait is drawn from the whole range ("full jitter"): when a server comes
 * back, two hundred jobs that all failed in the same second must not return in the same second.
 */
export async function retrying<T>(
  attempt: () => Promise<Try<T>>,
  retry: Retry,
  signal?: AbortSignal,
): Promise<T> {
  const { attempts = 5, baseMs = 200, maxMs = 5_000 } = retry;
  const sleep = retry.sleep ?? sleepFor;
  const random = retry.random ?? Math.random;
  for (let tried = 1; ; tried++) {
    if (signal?.aborted) throw aborted();
    const result = await attempt();
    if ("ok" in result) return result.ok;
    if (tried >= attempts) throw result.again;
    const jittered = random() * Math.min(maxMs, baseMs * 2 ** (tried - 1));
    // A server may ask for more patience than ours, but not for an hour of a CI job's time.
    await sleep(Math.max(jittered, Math.min(result.afterMs ?? 0, 30_000)), signal);
  }
}

/** Milliseconds of a `Retry-After` that is in seconds; its date form is not used by the API. */
export function retryAfterMs(header: string | null): number | undefined {
  return header !== null && /^[0-9]{1,6}$/.test(header.trim()) ? Number(header) * 1000 : undefined;
}
