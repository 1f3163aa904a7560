import type { StintClient } from "@stint/client/client";
import { StintError } from "@stint/client/error";
import { awsOnly, isAws } from "@stint/client/kinds";
import { grantLeases } from "@stint/client/leases";
import { aborted } from "@stint/client/retry";
import { childEnvironment, runChild } from "../child.ts";
import { type ConnectOptions, connect, connecting } from "../connect.ts";
import { serveContainer } from "../container.ts";
import { containerVariables, loginVariables, variables } from "../credentials.ts";
import { Failure, usage } from "../failure.ts";
import type { Io } from "../io.ts";
import { interruptedBy, letGo, type Obtained, obtain, type Progress, progress } from "../obtain.ts";
import { type Caught, catchSignals } from "../signals.ts";
import type { Register } from "./context.ts";

interface ExecOptions extends ConnectOptions {
  readonly duration?: string;
  readonly lease?: string;
  readonly name?: string;
  readonly reason?: string;
  readonly nested?: boolean;
  readonly refresh?: boolean;
}

/** The longest lease there is: a plain environment cannot be refreshed, and the grant's end bounds it anyway. */
const LONGEST_LEASE = "1h";

/** Bears with the API for seconds, not minutes: a CI system that cancels a job gives us about ten. */
export const LEAVING = { attempts: 4, timeoutMs: 3_000 };

export const registerExec: Register = (program, context) => {
  connecting(
    program
      .command("exec")
      .summary("run a command under a grant, and release it afterwards")
      .description(
        "Runs a command under a grant: its credentials are in the command's environment, signals are passed on, and " +
          "the grant is released when the command ends, however it ends. The exit code is the command's.",
      )
      .usage("PROFILE [options] -- COMMAND [arguments]")
      .argument("<profile>", "what to be granted")
      .option("--duration <duration>", "how long at most: 90s, 20m, 2h (the profile's default)")
      .option(
        "--lease <duration>",
        `how long the credentials last (${LONGEST_LEASE}, or the grant; with --refresh the profile's)`,
      )
      .option(
        "--refresh",
        "short credentials that AWS SDKs renew by themselves until the grant ends, also after an hour; AWS's " +
          "configuration files are hidden from them, so set AWS_REGION (for boto3 AWS_DEFAULT_REGION)",
      )
      .option("--name <name>", "a label")
      .option("--reason <reason>", "why, for approvers and the audit log")
      .option("--nested", "also within another stint exec"),
  ).action(async (profile: string, options: ExecOptions) => {
    const { io, json, verbatim } = context;
    if (verbatim === undefined || verbatim.length === 0)
      throw usage(
        "there is no command to run",
        `write it after --: stint exec ${profile} -- npm test`,
      );
    const outer = io.env.STINT_GRANT_ID;
    if (outer && !options.nested)
      throw new Failure({
        code: "nested",
        message: "this already runs under a grant",
        hint: "a second one inside it needs --nested",
        exit: 1,
        grantId: outer,
      });
    context.code = await exec(io, progress(io, json), profile, options, verbatim);
  });
};

async function exec(
  io: Io,
  say: Progress,
  profile: string,
  options: ExecOptions,
  command: readonly string[],
): Promise<number> {
  const { duration, name, reason, refresh = false } = options;
  const lease = options.lease ?? (refresh ? undefined : LONGEST_LEASE);
  const client = connect(io, options);
  const leaving = connect(io, options, LEAVING);
  using caught = catchSignals(io);
  let obtained: Obtained;
  try {
    obtained = await obtain(client, leaving, caught, say, profile, {
      wait: true,
      // One key for this invocation, whatever has to be tried again.
      idempotencyKey: io.newKey(),
      ...(duration === undefined ? {} : { duration }),
      ...(lease === undefined ? {} : { lease }),
      ...(name === undefined ? {} : { name }),
      ...(reason === undefined ? {} : { reason }),
    });
  } catch (error) {
    throw interruptedBy(caught, error);
  }
  const { grant, token } = obtained;
  const run = { io, caught, say, obtained, command };
  try {
    say.info(`${grant.id}: ${grant.profile} until ${grant.endsAt}`);
    return await (refresh ? withRenewed(run, client, lease) : withFixed(run));
  } finally {
    await letGo(leaving, grant, token, say);
  }
}

interface Run {
  readonly io: Io;
  readonly caught: Caught;
  readonly say: Progress;
  readonly obtained: Obtained;
  readonly command: readonly string[];
}

/** The credentials are in the environment, where nothing can renew them. */
function withFixed({ io, caught, say, obtained, command }: Run): Promise<number> {
  const { grant, credentials = {} } = obtained;
  const env = childEnvironment(io.env, variables(grant, credentials));
  for (const [target, { expiration }] of Object.entries(credentials))
    if (Date.parse(expiration) < Date.parse(grant.endsAt) - 1000)
      say.warn(
        `the credentials for ${target} end at ${expiration}, before the grant does; --refresh renews them`,
      );
  return runChild(io, caught, command, env);
}

/** The environment says where the credentials are, and SDKs come back for more. */
async function withRenewed(
  { io, caught, say, obtained, command }: Run,
  client: StintClient,
  lease: string | undefined,
): Promise<number> {
  const { grant, token, credentials = {} } = obtained;
  const left = new AbortController();
  const leases = grantLeases({
    client,
    grant: grant.id,
    token,
    held: obtained,
    now: io.now,
    signal: left.signal,
    ...(lease === undefined ? {} : { lease }),
  });
  const told = new Set<string>();
  const failed = (error: unknown) => {
    const code = error instanceof StintError ? error.code : "internal";
    if (left.signal.aborted || told.has(code)) return;
    told.add(code); // once: an SDK that is refused asks again for each call that it makes
    const why = error instanceof StintError ? `: ${error.detail}` : "";
    say.warn(`there are no new credentials of ${grant.id} (${code}${why})`);
  };
  const secret = io.newSecret();
  const targets = Object.keys(awsOnly(credentials));
  for (const [target, of] of Object.entries(credentials))
    if (!isAws(of)) say.warn(`the login for ${target} is not renewed: it ends at ${of.expiration}`);
  await using container = await serveContainer({ leases, targets, secret, failed });
  try {
    // While the port was opened nobody passed signals on.
    if (caught.abort.aborted) throw interruptedBy(caught, aborted());
    const env = childEnvironment(io.env, {
      ...loginVariables(grant, credentials),
      ...containerVariables(grant, container.urls, secret),
    });
    return await runChild(io, caught, command, env);
  } finally {
    left.abort();
  }
}
