/** From flags and environment to a client. */
import { createClient, type StintClient } from "@stint/client/client";
import type { Retry } from "@stint/client/retry";
import { type FoundToken, findToken, grantIdOf } from "@stint/client/token";
import type { Command } from "commander";
import { usage } from "./failure.ts";
import type { Io } from "./io.ts";

export interface ConnectOptions {
  readonly url?: string;
  readonly token?: string;
  readonly audience?: string;
}

/** The flags of every command that talks to the API. */
export const connecting = (command: Command): Command =>
  command
    .option("--url <url>", "the API's address (STINT_URL)")
    .option("--token <token>", "who is asking (STINT_TOKEN, or the pipeline's own way)")
    .option("--audience <audience>", "audience of the pipeline's token (the API's own)");

const retryOf = (io: Io): Retry => ({ sleep: io.sleep, random: io.random });

export function urlOf(io: Io, options: ConnectOptions): string {
  const url = options.url ?? io.env.STINT_URL;
  if (!url) throw usage("there is no address of a Stint API", "set STINT_URL, or give --url");
  return url;
}

/** Who is asking: the flag, else what the environment offers. */
export async function callerToken(
  io: Io,
  options: ConnectOptions,
): Promise<FoundToken | { readonly token: string; readonly source: "--token" }> {
  if (options.token) return { token: options.token, source: "--token" };
  const url = options.url ?? io.env.STINT_URL;
  return findToken({
    env: io.env,
    fetch: io.fetch,
    readText: io.readText,
    retry: retryOf(io),
    ...(url ? { url } : {}),
    ...(options.audience === undefined ? {} : { audience: options.audience }),
  });
}

/** A client that asks as the caller. `patience` says how long it bears with a server that does not answer. */
export function connect(
  io: Io,
  options: ConnectOptions,
  patience: { readonly attempts?: number; readonly timeoutMs?: number } = {},
): StintClient {
  const { attempts, timeoutMs } = patience;
  let asked: Promise<string> | undefined;
  return createClient({
    url: urlOf(io, options),
    // Once for each invocation: GitHub mints a new token each time, and one is enough.
    token: () => {
      asked ??= callerToken(io, options).then(({ token }) => token);
      return asked;
    },
    fetch: io.fetch,
    newKey: io.newKey,
    retry: { ...retryOf(io), ...(attempts === undefined ? {} : { attempts }) },
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  });
}

/** For calls about one grant: the grant's own token where there is one, else nothing and the caller's is used. */
export function grantToken(io: Io, options: ConnectOptions, grant: string): { token?: string } {
  if (options.token) return { token: options.token };
  const token = io.env.STINT_GRANT_TOKEN;
  return token && grantIdOf(token) === grant ? { token } : {};
}

/** The grant meant where none is named: the one that this environment is about. */
export function grantFrom(io: Io, named: string | undefined, options: ConnectOptions): string {
  const grant =
    named ||
    grantIdOf(options.token ?? "") ||
    io.env.STINT_GRANT_ID ||
    grantIdOf(io.env.STINT_GRANT_TOKEN ?? "");
  if (!grant) throw usage("which grant?", "name it, or set STINT_GRANT_ID");
  return grant;
}
