import { childEnvironment, runChild } from "../child.ts";
import { type ConnectOptions, connect, connecting } from "../connect.ts";
import { variables } from "../credentials.ts";
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
        `how long the credentials last (${LONGEST_LEASE}, or the grant)`,
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
  const { duration, lease = LONGEST_LEASE, name, reason } = options;
  const client = connect(io, options);
  const leaving = connect(io, options, LEAVING);
  using caught = catchSignals(io);
  let obtained: Obtained;
  try {
    obtained = await obtain(client, leaving, caught, say, profile, {
      wait: true,
      lease,
      // One key for this invocation, whatever has to be tried again.
      idempotencyKey: io.newKey(),
      ...(duration === undefined ? {} : { duration }),
      ...(name === undefined ? {} : { name }),
      ...(reason === undefined ? {} : { reason }),
    });
  } catch (error) {
    throw interruptedBy(caught, error);
  }
  try {
    return await underGrant(io, caught, obtained, say, command);
  } finally {
    await letGo(leaving, obtained.grant, obtained.token, say);
  }
}

async function underGrant(
  io: Io,
  caught: Caught,
  { grant, credentials = {} }: Obtained,
  say: Progress,
  command: readonly string[],
): Promise<number> {
  const env = childEnvironment(io.env, variables(grant, credentials));
  say.info(`${grant.id}: ${grant.profile} until ${grant.endsAt}`);
  for (const [target, { expiration }] of Object.entries(credentials))
    if (Date.parse(expiration) < Date.parse(grant.endsAt) - 1000)
      say.warn(`the credentials for ${target} end at ${expiration}, before the grant does`);
  return runChild(io, caught, command, env);
}
