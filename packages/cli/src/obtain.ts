/** From asking to holding: a request, the wait for its approval, the claim. Nothing is left behind on the way. */
import type { RequestOptions, StintClient } from "@stint/client/client";
import { StintError } from "@stint/client/error";
import type { Credentials, GrantView } from "@stint/client/types";
import { EXIT, Failure } from "./failure.ts";
import { clean } from "./format.ts";
import type { Io } from "./io.ts";
import { type Caught, codeOf } from "./signals.ts";

export interface Obtained {
  readonly grant: GrantView;
  /** The grant's own. Secret. */
  readonly token: string;
  readonly credentials?: Credentials;
}

/** Lines on stderr beside the result. Never a secret. Where stderr carries JSON, only warnings, as JSON. */
export interface Progress {
  readonly info: (text: string) => void;
  readonly warn: (text: string) => void;
}

export function progress(io: Io, json: boolean): Progress {
  const say = (text: string) => void io.stderr.write(`stint: ${clean(text)}\n`);
  return {
    info: (text) => json || say(text),
    warn: (text) =>
      json
        ? void io.stderr.write(`${JSON.stringify({ code: "warning", message: text })}\n`)
        : say(`warning: ${text}`),
  };
}

export async function obtain(
  client: StintClient,
  patient: StintClient,
  caught: Caught,
  say: Progress,
  profile: string,
  { wait, ...options }: Omit<RequestOptions, "signal" | "token"> & { readonly wait: boolean },
): Promise<Obtained> {
  const answer = await client
    .request(profile, { ...options, signal: caught.abort })
    .catch((error: unknown) => {
      throw failedMeanwhile(error);
    });
  const { grant, token } = answer;
  try {
    if (caught.abort.aborted) throw aborted();
    if (answer.credentials !== undefined || !wait) return answer;
    say.info(`${grant.id} waits for approval`);
    decided(await client.wait(grant.id, { token, signal: caught.abort }));
    const { lease } = options;
    const claimed = await client.credentials(grant.id, {
      token,
      signal: caught.abort,
      ...(lease === undefined ? {} : { lease }),
    });
    return { ...claimed, token };
  } catch (error) {
    // Nobody will ever use it: this process held its only token.
    if (!(error instanceof Failure)) await letGo(patient, grant, token, say);
    throw error;
  }
}

/** The key is this invocation's own, so what has ended under it is what its earlier tries began. */
function failedMeanwhile(error: unknown): unknown {
  if (!(error instanceof StintError) || error.code !== "grant_ended") return error;
  return new Failure({
    code: "grant_ended",
    message: `the grant could not be issued (${error.detail})`,
    hint: "nothing of it is left; try again, with a fresh token where the pipeline gives one for each grant",
    exit: EXIT.remote,
  });
}

const aborted = (): StintError => new StintError({ code: "aborted", detail: "interrupted" });

/** @throws Failure unless the grant may be claimed now */
function decided(grant: GrantView): void {
  if (grant.state === "refused") {
    const late = grant.why === "approval_expired";
    throw new Failure({
      code: late ? "approval_expired" : "refused",
      message: late ? "nobody approved the request in time" : "the request was refused",
      hint: late ? "ask again, and tell an approver" : "the audit log has the approver's reason",
      exit: late ? EXIT.notApproved : EXIT.refused,
      grantId: grant.id,
    });
  }
  if (grant.state === "ending" || grant.state === "ended")
    throw new Failure({
      code: "grant_ended",
      message: `the grant ended before it was claimed (${grant.why ?? "no reason given"})`,
      exit: EXIT.remote,
      grantId: grant.id,
    });
}

/** Releases, and where that fails only says so: the grant has its own end, and the job's result is not ours to change. */
export async function letGo(
  client: StintClient,
  grant: GrantView,
  token: string,
  say: Progress,
): Promise<void> {
  try {
    await client.release(grant.id, { token });
  } catch (error) {
    const why = error instanceof StintError ? `${error.code}: ${error.detail}` : String(error);
    say.warn(`${grant.id} was not released (${why}); it ends by itself by ${grant.endsAt}`);
  }
}

/** The exit code for a signal that came before there was a child to pass it on to. */
export function interruptedBy(caught: Caught, error: unknown): unknown {
  const signal = caught.first();
  if (signal === undefined || !(error instanceof StintError) || error.code !== "aborted")
    return error;
  return new Failure({
    code: "interrupted",
    message: `interrupted by ${signal}`,
    exit: codeOf(signal),
  });
}
