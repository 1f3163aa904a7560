import type { GrantFilters, GrantState, GrantView } from "@stint/client/types";
import type { Command } from "commander";
import { type ConnectOptions, connect, connecting, grantFrom, grantToken } from "../connect.ts";
import { usage } from "../failure.ts";
import { FORMATS, type FormatOptions, formatOf, printJson } from "../format.ts";
import type { Io } from "../io.ts";
import { interruptedBy, letGo, obtain, type Progress, progress } from "../obtain.ts";
import { grantFacts, grantTable, printHolding } from "../show.ts";
import { catchSignals } from "../signals.ts";
import { formatted, type Register } from "./context.ts";
import { LEAVING } from "./exec.ts";

type Options = ConnectOptions & FormatOptions;

interface RequestFlags extends Options {
  readonly duration?: string;
  readonly lease?: string;
  readonly name?: string;
  readonly reason?: string;
  readonly wait?: boolean;
  readonly target?: string;
}

interface ListFlags extends Options {
  readonly state?: string;
  readonly profile?: string;
  readonly principal?: string;
  readonly job?: string;
  readonly stuck?: boolean;
  readonly limit: string;
}

const ALL = "table, json, env, dotenv or credential-process";
export const LISTED = "table or json";
const plain = ["table", "json"] as const;

/** An SDK runs its `credential_process` again and again: which of the two commands it runs makes the difference. */
const RENEWED = `
As an AWS profile it renews itself until the grant ends; STINT_URL and STINT_GRANT_TOKEN (from stint request --json)
have to be in the environment:
  [profile orders]
  credential_process = stint claim --format credential-process`;
const EACH_TIME = `
As a credential_process this opens a new grant each time that an SDK runs it, and nobody releases it. To go on with one
grant: stint claim --help`;

const STATES: readonly GrantState[] = [
  "pending",
  "ready",
  "opening",
  "active",
  "ending",
  "ended",
  "refused",
];

const isState = (text: string): text is GrantState => (STATES as readonly string[]).includes(text);

const holding = (command: Command): Command =>
  formatted(connecting(command), ALL).option(
    "--target <name>",
    "for credential-process: of several AWS targets, this one (the first)",
  );

export const printGrant = (io: Io, options: Options, grant: GrantView): void =>
  formatOf(io, options, plain) === "json"
    ? printJson(io, { grant })
    : void io.stdout.write(grantFacts(grant));

export const registerGrants: Register = (program, { io, json }) => {
  holding(
    program
      .command("request")
      .description("ask for a grant and print what came of it")
      .argument("<profile>", "what to be granted")
      .option("--duration <duration>", "how long at most: 90s, 20m, 2h (the profile's default)")
      .option("--lease <duration>", "how long the credentials last, 60s to 1h (the profile's)")
      .option("--name <name>", "a label")
      .option("--reason <reason>", "why, for approvers and the audit log")
      .option("--wait", "until somebody has approved, where that is needed")
      .addHelpText("after", EACH_TIME),
  ).action((profile: string, options: RequestFlags) =>
    request(io, progress(io, json), profile, options),
  );

  holding(
    program
      .command("claim")
      .description("take credentials for a grant that is ready, or fresh ones for an active one")
      .argument("[grant]", "its id (this job's)")
      .option("--lease <duration>", "how long they last, 60s to 1h (the profile's)")
      .addHelpText("after", RENEWED),
  ).action(async (named: string | undefined, options: RequestFlags) => {
    const grant = grantFrom(io, named, options);
    const format = formatOf(io, options, FORMATS);
    // Before anything is minted: credentials that nobody sees would only live on.
    if (format === "table")
      throw usage(
        "a table shows no secrets, so there would be nothing to see",
        "say how you want them: --format env, dotenv, json or credential-process",
      );
    const held = await connect(io, options).credentials(grant, {
      ...grantToken(io, options, grant),
      ...(options.lease === undefined ? {} : { lease: options.lease }),
    });
    printHolding(io, format, held, options.target);
  });

  formatted(
    connecting(
      program.command("get").description("show a grant").argument("[grant]", "its id (this job's)"),
    ),
    LISTED,
  ).action(async (named: string | undefined, options: Options) => {
    const grant = grantFrom(io, named, options);
    printGrant(io, options, await connect(io, options).get(grant, grantToken(io, options, grant)));
  });

  formatted(
    connecting(
      program
        .command("list")
        .description("list grants that one may read")
        .option("--state <state>", STATES.join(", "))
        .option("--profile <profile>")
        .option("--principal <id>", "whose they are")
        .option("--job <job>")
        .option("--stuck", "those whose ending does not get done")
        .option("--limit <number>", "at most so many", "50"),
    ),
    LISTED,
  ).action((options: ListFlags) => list(io, progress(io, json), options));

  formatted(
    connecting(
      program
        .command("release")
        .description("end a grant of one's own")
        .argument("[grant]", "its id (this job's)"),
    ),
    LISTED,
  ).action(async (named: string | undefined, options: Options) => {
    const grant = grantFrom(io, named, options);
    const client = connect(io, options);
    printGrant(io, options, await client.release(grant, grantToken(io, options, grant)));
  });
};

async function request(
  io: Io,
  say: Progress,
  profile: string,
  options: RequestFlags,
): Promise<void> {
  const format = formatOf(io, options, FORMATS);
  const { duration, lease, name, reason, target } = options;
  const leaving = connect(io, options, LEAVING);
  using caught = catchSignals(io);
  let held: Awaited<ReturnType<typeof obtain>>;
  try {
    held = await obtain(connect(io, options), leaving, caught, say, profile, {
      wait: options.wait === true,
      idempotencyKey: io.newKey(),
      ...(duration === undefined ? {} : { duration }),
      ...(lease === undefined ? {} : { lease }),
      ...(name === undefined ? {} : { name }),
      ...(reason === undefined ? {} : { reason }),
    });
  } catch (error) {
    throw interruptedBy(caught, error);
  }
  try {
    printHolding(io, format, held, target);
  } catch (error) {
    // What could not be printed is live all the same, and nobody knows of it. A pending one can still be claimed.
    if (held.credentials !== undefined) await letGo(leaving, held.grant, held.token, say);
    throw error;
  }
}

async function list(io: Io, say: Progress, options: ListFlags): Promise<void> {
  const format = formatOf(io, options, plain);
  const limit = countOf("--limit", options.limit);
  const { state, profile, principal, job, stuck } = options;
  if (state !== undefined && !isState(state))
    throw usage(`there is no state ${state}`, `states: ${STATES.join(", ")}`);
  const filters: GrantFilters = {
    ...(state === undefined ? {} : { state }),
    ...(profile === undefined ? {} : { profile }),
    ...(principal === undefined ? {} : { principal }),
    ...(job === undefined ? {} : { job }),
    ...(stuck === undefined ? {} : { stuck }),
    // The API bounds its pages; what is above that comes from the next ones.
    limit: Math.min(limit, 100),
  };
  const grants: GrantView[] = [];
  let more = false;
  for await (const grant of connect(io, options).all(filters)) {
    more = grants.length === limit;
    if (more) break;
    grants.push(grant);
  }
  if (format === "json") printJson(io, { grants });
  else io.stdout.write(grantTable(io, grants));
  if (more) say.info(`there are more than these ${limit}; --limit shows more`);
}

/** A whole number above zero. */
export function countOf(flag: string, text: string): number {
  if (/^[1-9][0-9]{0,6}$/.test(text)) return Number(text);
  throw usage(`${flag} is ${text}, which is not a whole number above zero`);
}
