/** The `stint` command as a function: arguments and a world in, an exit code out. */
import { Command, CommanderError } from "commander";
import manifest from "../package.json" with { type: "json" };
import { registerApprovals } from "./commands/approvals.ts";
import { registerAudit } from "./commands/audit.ts";
import type { Context } from "./commands/context.ts";
import { registerDev } from "./commands/dev.ts";
import { registerDoctor } from "./commands/doctor.ts";
import { registerExec } from "./commands/exec.ts";
import { registerGrants } from "./commands/grants.ts";
import { registerPolicy } from "./commands/policy.ts";
import { registerRevocations } from "./commands/revocations.ts";
import { registerWhoami } from "./commands/whoami.ts";
import { EXIT } from "./failure.ts";
import { wantsJson } from "./format.ts";
import type { Io } from "./io.ts";
import { tell } from "./tell.ts";

/**
 * Runs one command.
 * @param argv what follows the program's name
 * @returns 0 well, 1 usage or local fault, 2 remote fault, 3 refused, 4 not authenticated, 5 not approved in time,
 *   130 interrupted; of `exec` the command's own; of `doctor` 1 with findings, 2 where it could not look
 */
export async function run(argv: readonly string[], io: Io): Promise<number> {
  const [own, verbatim] = splitVerbatim(argv);
  const json = wantsJson(argv, io);
  const context: Context = { io, json, verbatim, code: EXIT.ok };
  const stint = program(context);
  try {
    await stint.parseAsync(own, { from: "user" });
    return context.code;
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return EXIT.ok; // help or version
      if (error.code === "commander.help") return EXIT.local; // no command: it has been shown what there is
    }
    return tell(io, error, json, helpFor(stint, own));
  }
}

/** Where the command that was meant explains itself. */
function helpFor(stint: Command, argv: readonly string[]): string {
  let meant = stint;
  for (const word of argv) {
    const next = meant.commands.find((command) => command.name() === word);
    if (next === undefined) break;
    meant = next;
  }
  if (meant === stint) return "stint help shows every command";
  const words = [meant.name()];
  for (let at = meant.parent; at !== null && at !== stint; at = at.parent) words.unshift(at.name());
  return `stint ${words.join(" ")} --help shows how`;
}

/**
 * Takes what follows the first `--` away before anything parses it, so that no flag of the command that is to run is
 * ever taken for one of ours.
 */
function splitVerbatim(argv: readonly string[]): [string[], readonly string[] | undefined] {
  const command = argv.find((arg) => !arg.startsWith("-"));
  const end = argv.indexOf("--");
  if (command !== "exec" || end === -1) return [[...argv], undefined];
  return [argv.slice(0, end), argv.slice(end + 1)];
}

function program(context: Context): Command {
  const { io } = context;
  const stint = new Command("stint")
    .description("Access for exactly as long as the test runs.")
    .version(manifest.version)
    .exitOverride()
    .showSuggestionAfterError()
    .configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => void io.stderr.write(text),
      // Errors are told in one place, for they may have to be JSON.
      outputError: () => {},
    })
    .addHelpText(
      "after",
      `
Environment:
  STINT_URL     the API's address
  STINT_TOKEN   who is asking; on GitHub Actions the job's own token is used without it
  STINT_FORMAT  table, json, env, dotenv or credential-process
  STINT_CONFIG  the configuration that policy, doctor and dev look at (first two: stint.yaml here)
  STINT_GRANT_ID, STINT_GRANT_TOKEN
                the grant that get, claim and release mean; exec and --format env set them
  STINT_AUDIT_BUCKET, AWS_…
                where the audit log is, and who reads it; whose roles doctor looks at
  NO_COLOR      plain text on terminals too

Exit codes:
  0 well   1 usage or local fault   2 remote fault   3 refused   4 not authenticated
  5 not approved in time   130 interrupted   exec: the command's own
  doctor: 1 with findings, 2 where it could not look`,
    );
  registerExec(stint, context);
  registerGrants(stint, context);
  registerRevocations(stint, context);
  registerApprovals(stint, context);
  registerPolicy(stint, context);
  registerAudit(stint, context);
  registerWhoami(stint, context);
  registerDoctor(stint, context);
  registerDev(stint, context);
  return stint;
}
