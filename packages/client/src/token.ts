import { readFile } from "node:fs/promises";
import { createClient } from "./client.ts";
import { StintError } from "./error.ts";
import { type Retry, retrying, type Try } from "./retry.ts";
import type { Fetch } from "./send.ts";

/** The process's environment, or one like it. */
export type Env = Readonly<Record<string, string | undefined>>;

export interface FindTokenOptions {
  readonly env: Env;
  /** The audience to ask the pipeline for. The server's own (`GET /healthz`) unless given. */
  readonly audience?: string;
  /** The API's address; `STINT_URL` unless given. Only asked for the audience. */
  readonly url?: string;
  readonly fetch?: Fetch;
  readonly retry?: Retry;
  /** Reads the event's payload, for the explanation why there is no token. */
  readonly readText?: (path: string) => Promise<string>;
}

/** A caller's token and where it was found. */
export interface FoundToken {
  /** Secret. */
  readonly token: string;
  readonly source: "STINT_TOKEN" | "github";
}

/**
 * Finds the caller's own identity: `STINT_TOKEN`, else the token that GitHub Actions mints for the job.
 * @throws StintError `no_token`, with what to do about it; `network` where the pipeline's issuer does not answer
 *
 * @example
 * const { token } = await findToken({ env: process.env, url: "https://stint.acme.dev" });
 * const stint = createClient({ url: "https://stint.acme.dev", token });
 */
export async function findToken(options: FindTokenOptions): Promise<FoundToken> {
  const { env } = options;
  if (env.STINT_TOKEN) return { token: env.STINT_TOKEN, source: "STINT_TOKEN" };
  const url = env.ACTIONS_ID_TOKEN_REQUEST_URL;
  const bearer = env.ACTIONS_ID_TOKEN_REQUEST_TOKEN;
  if (url && bearer) return { token: await fromGitHub(url, bearer, options), source: "github" };
  if (env.GITHUB_ACTIONS === "true") throw await noGitHubToken(options);
  throw new StintError({
    code: "no_token",
    detail: "there is no token to say who is asking",
    hint: "set STINT_TOKEN, or run this in a pipeline that gives its jobs an identity",
  });
}

/** The grant that a grant token opens; undefined for any other token. */
export function grantIdOf(token: string): string | undefined {
  return /^stint_(g[0-9a-hjkmnp-tv-z]{15})_/.exec(token)?.[1];
}

async function fromGitHub(url: string, bearer: string, options: FindTokenOptions): Promise<string> {
  const address = new URL(url);
  address.searchParams.set("audience", options.audience ?? (await audienceOf(options)));
  const fetch: Fetch = options.fetch ?? ((to, init) => globalThis.fetch(to, init));
  return retrying(() => askGitHub(fetch, address, bearer), options.retry ?? {});
}

async function askGitHub(fetch: Fetch, address: URL, bearer: string): Promise<Try<string>> {
  const failed = (what: string, cause?: unknown): StintError =>
    new StintError({ code: "network", detail: `GitHub's token service ${what}`, cause });
  let response: Response;
  try {
    response = await fetch(address.href, {
      headers: { authorization: `Bearer ${bearer}`, accept: "application/json" },
      redirect: "manual",
      signal: AbortSignal.timeout(10_000),
    });
  } catch (cause) {
    return { again: failed("did not answer", cause), afterMs: undefined };
  }
  if (response.status >= 500 || response.status === 429)
    return { again: failed(`answered ${response.status}`), afterMs: undefined };
  if (!response.ok)
    throw new StintError({
      code: "no_token",
      detail: `GitHub's token service answered ${response.status}`,
      hint: "the job's permission to ask for a token may have run out; run the job again",
    });
  const body: unknown = await response.json().catch(() => undefined);
  const value =
    typeof body === "object" && body !== null && "value" in body ? body.value : undefined;
  if (typeof value !== "string") throw failed("answered without a token");
  return { ok: value };
}

/** Asked of the server, so that no workflow has to repeat it and get it wrong. */
async function audienceOf(options: FindTokenOptions): Promise<string> {
  const url = options.url ?? options.env.STINT_URL;
  if (!url)
    throw new StintError({
      code: "no_url",
      detail: "there is neither an audience nor the API's address to ask for it",
      hint: "set STINT_URL",
    });
  const client = createClient({
    url,
    token: "",
    ...(options.fetch === undefined ? {} : { fetch: options.fetch }),
    ...(options.retry === undefined ? {} : { retry: options.retry }),
  });
  const { audience } = await client.health();
  if (typeof audience === "string" && audience !== "") return audience;
  throw new StintError({
    code: "bad_answer",
    detail: `${url} does not say which audience its tokens need`,
    hint: "give the audience yourself, or check that STINT_URL is the address of a Stint API",
  });
}

async function noGitHubToken(options: FindTokenOptions): Promise<StintError> {
  if (await isForkPullRequest(options))
    return new StintError({
      code: "no_token",
      detail:
        "this run is for a pull request from a fork. GitHub gives such a run no identity, because its code is not " +
        "trusted yet, and without an identity Stint gives it nothing",
      hint:
        "a maintainer who has reviewed the change can push it to a branch of this repository and run the tests " +
        "there, or merge it and let them run on the target branch; do not switch to pull_request_target, which " +
        "would hand an identity to unreviewed code",
    });
  return new StintError({
    code: "no_token",
    detail: "this GitHub Actions job may not ask for a token",
    hint: "give the job the permission, in its workflow:\n  permissions:\n    id-token: write\n    contents: read",
  });
}

/** Only these events carry a pull request of which the run itself is made; `pull_request_target` runs the base. */
const FROM_A_FORK = new Set(["pull_request", "pull_request_review", "pull_request_review_comment"]);

async function isForkPullRequest({ env, readText }: FindTokenOptions): Promise<boolean> {
  const path = env.GITHUB_EVENT_PATH;
  if (!path || !FROM_A_FORK.has(env.GITHUB_EVENT_NAME ?? "")) return false;
  const read = readText ?? ((file) => readFile(file, "utf8"));
  let event: unknown;
  try {
    event = JSON.parse(await read(path));
  } catch {
    return false; // only an explanation depends on it
  }
  const pull = field(event, "pull_request");
  const base = field(field(field(pull, "base"), "repo"), "id");
  if (base === undefined) return false;
  // The head has no repository when the fork was deleted meanwhile.
  return field(field(field(pull, "head"), "repo"), "id") !== base;
}

const field = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null && name in value
    ? (value as Record<string, unknown>)[name] // it is there: see the line above
    : undefined;
