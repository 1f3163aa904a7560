import { errorOf, StintError } from "./error.ts";
import { type Retry, retryAfterMs, retrying, type Try } from "./retry.ts";

/** As much of `fetch` as is used. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export interface SendOptions {
  readonly body?: Readonly<Record<string, unknown>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly token?: string;
  readonly signal?: AbortSignal;
  /** Sends no token at all. */
  readonly anonymous?: true;
}

/** One operation: its answer's JSON object. @throws StintError */
export type Send = (
  method: string,
  path: string,
  options?: SendOptions,
) => Promise<Readonly<Record<string, unknown>>>;

interface SenderOptions {
  readonly url: string;
  readonly token: string | (() => Promise<string> | string);
  readonly fetch?: Fetch;
  readonly retry?: Retry;
  readonly timeoutMs?: number;
}

export function sender(options: SenderOptions): Send {
  const { retry = {}, timeoutMs = 30_000 } = options;
  const fetch: Fetch = options.fetch ?? ((url, init) => globalThis.fetch(url, init));
  const base = baseOf(options.url);

  return async (method, path, { body, headers, token, signal, anonymous } = {}) => {
    const bearer = anonymous ? undefined : usable(token ?? (await tokenOf(options.token)));
    const init: RequestInit = {
      method,
      // A redirect would take the token somewhere that nobody named.
      redirect: "manual",
      // Made here, so that a value that no header can have is not taken for a server that does not answer.
      headers: new Headers({
        accept: "application/json",
        ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      }),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    };
    return retrying(() => once(fetch, `${base}${path}`, init, timeoutMs), retry, signal);
  };
}

const tokenOf = async (source: SenderOptions["token"]): Promise<string> =>
  typeof source === "string" ? source : await source();

/** Checked by us, since `fetch` quotes a value that it cannot send, and this one is secret. */
function usable(token: string): string {
  const trimmed = token.trim();
  if (/^[!-~]*$/.test(trimmed)) return trimmed;
  throw new StintError({
    code: "no_token",
    detail: "the token has characters that no token has",
    hint: "check that STINT_TOKEN holds the token alone, on one line",
  });
}

function baseOf(url: string): string {
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw new StintError({
      code: "bad_url",
      detail: `${JSON.stringify(url)} is not an address`,
      hint: "give the API's address with its scheme, such as https://stint.acme.dev",
    });
  return url.replace(/\/+$/, "");
}

/** One try. The time limit covers the body too: a server that stops in the middle is one that does not answer. */
async function once(
  fetch: Fetch,
  url: string,
  init: RequestInit,
  timeoutMs: number,
): Promise<Try<Readonly<Record<string, unknown>>>> {
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, { ...init, signal: AbortSignal.timeout(timeoutMs) });
    text = await response.text();
  } catch (cause) {
    return { again: unreachable(url, cause), afterMs: undefined };
  }
  const body = parse(text);
  if (response.ok && isObject(body)) return { ok: body };
  const requestId = response.headers.get("x-request-id") ?? undefined;
  const error = errorOf(response.status, body, requestId);
  // Everything else is an answer: repeating it would only ask the same question louder.
  if (response.status === 503)
    return { again: error, afterMs: retryAfterMs(response.headers.get("retry-after")) };
  throw error;
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // a proxy's HTML page, or an answer cut short
  }
}

function unreachable(url: string, cause: unknown): StintError {
  const inner = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause;
  const why =
    inner instanceof Error ? ("code" in inner ? String(inner.code) : inner.message) : "unknown";
  return new StintError({
    code: "network",
    detail: `no answer from ${new URL(url).origin} (${why})`,
    hint: "check STINT_URL and that this machine can reach it",
    cause,
  });
}
