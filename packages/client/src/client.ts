import { StintError } from "./error.ts";
import { type Retry, sleepFor } from "./retry.ts";
import { type Fetch, type Send, sender } from "./send.ts";
import type {
  Credentials,
  CredentialsAnswer,
  DecisionAnswer,
  GrantAnswer,
  GrantFilters,
  GrantPage,
  GrantRequest,
  GrantView,
  Health,
  RevocationAnswer,
  RevocationRequest,
} from "./types.ts";

/** Where a caller's token comes from: the token, or a function asked anew for each operation. */
export type TokenSource = string | (() => Promise<string> | string);

export interface ClientOptions {
  /** The API's address, such as `https://stint.acme.dev` or `http://127.0.0.1:4010`. */
  readonly url: string;
  /** Who is asking: a pipeline's OIDC token, a person's, or a grant token. */
  readonly token: TokenSource;
  /** The global `fetch` unless given. */
  readonly fetch?: Fetch;
  readonly retry?: Retry;
  /** How long one try may take, ms. 30,000 unless given. */
  readonly timeoutMs?: number;
  /** Makes idempotency keys; random UUIDs unless given. */
  readonly newKey?: () => string;
}

/** What every call may be given. */
export interface CallOptions {
  /** Instead of the client's own: the grant's token, for calls about one grant. */
  readonly token?: string;
  /** Stops the retries. A call in flight is let finish, so that no grant is opened that nobody knows of. */
  readonly signal?: AbortSignal;
}

export interface RequestOptions extends Omit<GrantRequest, "profile">, CallOptions {
  /** Requests under one key are one grant. A fresh one for each call unless given; retries keep it. */
  readonly idempotencyKey?: string;
}

export interface WaitOptions extends CallOptions {
  /** First wait between two looks, ms; it grows to five times that. 2,000 unless given. */
  readonly intervalMs?: number;
}

export interface StintClient {
  /**
   * Asks for a grant. The answer has `credentials`, unless somebody must approve it first.
   * @throws StintError `refused`, `unauthenticated`, `invalid_request`, `job_ended`, `idempotency_mismatch` …
   */
  request(profile: string, options?: RequestOptions): Promise<GrantAnswer>;
  /**
   * Claims a grant that is ready, or refreshes one that is active: mints new credentials.
   * @throws StintError `grant_ended`, `wrong_state`, `grant_not_found`
   */
  credentials(
    grant: string,
    options?: CallOptions & { readonly lease?: string },
  ): Promise<CredentialsAnswer>;
  /** @throws StintError `grant_not_found`, also for grants that the caller may not read */
  get(grant: string, options?: CallOptions): Promise<GrantView>;
  /** One page; its `cursor` leads to the next. */
  list(
    filters?: GrantFilters,
    options?: CallOptions & { readonly cursor?: string },
  ): Promise<GrantPage>;
  /** Every grant that the filters let through, page by page as it is read. */
  all(filters?: GrantFilters, options?: CallOptions): AsyncIterableIterator<GrantView>;
  /** Ends a grant of one's own. Safe to repeat. */
  release(grant: string, options?: CallOptions): Promise<GrantView>;
  /** Ends somebody else's grant, where a rule allows it. Safe to repeat. */
  revoke(grant: string, options?: CallOptions): Promise<GrantView>;
  /**
   * Ends everything that matches and that the caller may revoke. One that cannot be finished at once is repeated as
   * every call is that is answered 503, and goes on with the rest: what is answered is about the last try.
   * @throws StintError `refused`, `invalid_request`; `unavailable`, whose `ended` says how many grants did
   */
  revokeAll(order: RevocationRequest, options?: CallOptions): Promise<RevocationAnswer>;
  /** Has an end that is not done tried again now. @throws StintError `wrong_state`, `grant_not_found` */
  retry(grant: string, options?: CallOptions): Promise<GrantView>;
  /** @throws StintError `refused` for one's own grants, `grant_changed`, `wrong_state` */
  approve(grant: string, reason: string, options?: CallOptions): Promise<GrantView>;
  /** Refuses a grant that waits for approval. */
  refuse(grant: string, reason: string, options?: CallOptions): Promise<GrantView>;
  /** Looks again and again until the grant no longer waits for approval; the answer says what became of it. */
  wait(grant: string, options?: WaitOptions): Promise<GrantView>;
  /** Would this request be granted? Nothing is opened. */
  decide(request: GrantRequest, options?: CallOptions): Promise<DecisionAnswer>;
  health(options?: CallOptions): Promise<Health>;
}

/**
 * The HTTP API's client. Calls that get no answer, or 503, are repeated with jittered waits; a request for a grant
 * keeps its idempotency key over them, so that a lost answer never leads to a second grant.
 *
 * @example
 * const stint = createClient({ url: "https://stint.acme.dev", token: process.env.STINT_TOKEN ?? "" });
 * const { grant, token, credentials } = await stint.request("orders-integration", { duration: "20m" });
 * try {
 *   await runTests(credentials?.aws, grant.namespace);
 * } finally {
 *   await stint.release(grant.id, { token });
 * }
 */
export function createClient(options: ClientOptions): StintClient {
  const send = sender(options);
  const newKey = options.newKey ?? (() => crypto.randomUUID());
  const sleep = options.retry?.sleep ?? sleepFor;

  return {
    async request(profile, { idempotencyKey = newKey(), token, signal, ...body } = {}) {
      const answer = await send("POST", "/v1/grants", {
        body: { profile, ...body },
        headers: { "idempotency-key": idempotencyKey },
        ...call(token, signal),
      });
      return {
        grant: grantIn(answer),
        token: tokenIn(answer),
        ...("credentials" in answer ? { credentials: credentialsIn(answer) } : {}),
      };
    },
    async credentials(grant, { token, signal, ...body } = {}) {
      const answer = await send("POST", path(grant, "/credentials"), {
        body,
        ...call(token, signal),
      });
      return { grant: grantIn(answer), credentials: credentialsIn(answer) };
    },
    get: async (grant, options) => grantIn(await send("GET", path(grant), { ...options })),
    list: (filters, options) => page(send, filters, options),
    async *all(filters, options) {
      let cursor: string | undefined;
      do {
        const answer = await page(send, filters, {
          ...options,
          ...(cursor === undefined ? {} : { cursor }),
        });
        yield* answer.grants;
        cursor = answer.cursor;
      } while (cursor !== undefined);
    },
    release: async (grant, options) => grantIn(await send("DELETE", path(grant), { ...options })),
    revoke: async (grant, options) => grantIn(await send("DELETE", path(grant), { ...options })),
    async revokeAll(order, options) {
      const answer = await send("POST", "/v1/revocations", { body: { ...order }, ...options });
      if (typeof answer.count !== "number") throw badAnswer("count");
      if (!Array.isArray(answer.lapsing)) throw badAnswer("lapsing");
      return answer as unknown as RevocationAnswer; // checked as far as grantIn checks
    },
    retry: async (grant, options) =>
      grantIn(await send("POST", path(grant, "/retry"), { ...options })),
    approve: (grant, reason, options) => approval(send, grant, "approve", reason, options),
    refuse: (grant, reason, options) => approval(send, grant, "refuse", reason, options),
    async wait(grant, { intervalMs = 2_000, ...options } = {}) {
      for (let wait = intervalMs; ; wait = Math.min(wait * 1.5, intervalMs * 5)) {
        const now = grantIn(await send("GET", path(grant), { ...options }));
        if (now.state !== "pending") return now;
        await sleep(wait, options.signal);
      }
    },
    // The server decides what it says; the shape is the contract's.
    decide: async (request, options) =>
      (await send("POST", "/v1/decisions", {
        body: { ...request },
        ...options,
      })) as unknown as DecisionAnswer,
    health: async (options) =>
      (await send("GET", "/healthz", { ...options, anonymous: true })) as unknown as Health,
  };
}

const call = (token: string | undefined, signal: AbortSignal | undefined): CallOptions => ({
  ...(token === undefined ? {} : { token }),
  ...(signal === undefined ? {} : { signal }),
});

const path = (grant: string, rest = ""): string => `/v1/grants/${encodeURIComponent(grant)}${rest}`;

async function approval(
  send: Send,
  grant: string,
  decision: "approve" | "refuse",
  reason: string,
  options: CallOptions = {},
): Promise<GrantView> {
  return grantIn(
    await send("POST", path(grant, "/approval"), { body: { decision, reason }, ...options }),
  );
}

async function page(
  send: Send,
  filters: GrantFilters = {},
  { cursor, ...options }: CallOptions & { readonly cursor?: string } = {},
): Promise<GrantPage> {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...filters, cursor }))
    if (value !== undefined) query.set(name, String(value));
  const text = query.toString();
  const answer = await send("GET", `/v1/grants${text === "" ? "" : `?${text}`}`, options);
  if (!Array.isArray(answer.grants)) throw badAnswer("grants");
  const next = answer.cursor;
  return { grants: answer.grants, ...(typeof next === "string" ? { cursor: next } : {}) };
}

/** Enough of a check to fail here, with a name, and not three calls later: the rest is the server's contract. */
function grantIn(answer: Readonly<Record<string, unknown>>): GrantView {
  const grant = answer.grant;
  if (typeof grant !== "object" || grant === null || !("id" in grant) || !("state" in grant))
    throw badAnswer("grant");
  return grant as GrantView; // checked as far as the comment above says
}

function tokenIn(answer: Readonly<Record<string, unknown>>): string {
  const token = answer.token;
  if (typeof token !== "string") throw badAnswer("token");
  return token;
}

function credentialsIn(answer: Readonly<Record<string, unknown>>): Credentials {
  const credentials = answer.credentials;
  if (typeof credentials !== "object" || credentials === null) throw badAnswer("credentials");
  return credentials as Credentials; // as in grantIn
}

const badAnswer = (field: string): StintError =>
  new StintError({
    code: "bad_answer",
    detail: `the server's answer has no ${field}`,
    hint: "check that STINT_URL is the address of a Stint API",
  });
