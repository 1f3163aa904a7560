/** Ends that somebody else than the holder wants: of one grant, of many, and of those that fail. */
import type { StintClient } from "@stint/client/client";
import { StintError } from "@stint/client/error";
import type { LapsingLease, RevocationAnswer, RevocationRequest } from "@stint/client/types";
import { type ConnectOptions, connect, connecting } from "../connect.ts";
import { EXIT, Failure, usage } from "../failure.ts";
import { type FormatOptions, formatOf, printJson, table } from "../format.ts";
import type { Io } from "../io.ts";
import { type Progress, progress } from "../obtain.ts";
import { formatted, type Register } from "./context.ts";
import { LISTED, printGrant } from "./grants.ts";

type Options = ConnectOptions & FormatOptions;

interface RevokeFlags extends Options {
  readonly all?: boolean;
  readonly profile?: string;
  readonly principal?: string;
  readonly role?: string;
  readonly hard?: boolean;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly reason?: string;
}

const RED_BUTTON = `
With --all it first says how many grants match, and asks. Where nobody can be asked, in CI and in scripts, say --yes.
  stint revoke --all --profile orders-integration --reason "a key leaked"
  stint revoke --all --role arn:aws:iam::111122223333:role/stint/orders --hard`;

export const registerRevocations: Register = (program, { io, json }) => {
  formatted(
    connecting(
      program
        .command("revoke")
        .description("end somebody's grant, or all of a kind, where a rule allows it")
        .argument("[grant]", "its id")
        .option("--all", "all that one may revoke, or those of")
        .option("--profile <profile>", "with --all: one profile")
        .option("--principal <id>", "with --all: one principal")
        .option("--role <arn>", "with --all: one target role")
        .option("--hard", "with --role: deny every session of it, whoever issued it")
        .option("--dry-run", "with --all: only say what would end")
        .option("--yes", "with --all: don't ask")
        .option("--reason <reason>", "with --all: why, for the audit log")
        .addHelpText("after", RED_BUTTON),
    ),
    LISTED,
  ).action(async (grant: string | undefined, options: RevokeFlags) => {
    if (grant === undefined) return revokeAll(io, progress(io, json), orderOf(options), options);
    const odd = Object.keys(WITH_ALL).find((name) => options[name as keyof RevokeFlags]); // a key of both
    if (odd !== undefined) throw usage(`--${WITH_ALL[odd]} is not for a single grant`);
    printGrant(io, options, await connect(io, options).revoke(grant));
  });

  formatted(
    connecting(
      program
        .command("retry")
        .description("have the end of a grant that does not get done tried again now")
        .argument("<grant>", "its id"),
    ),
    LISTED,
  ).action(async (grant: string, options: Options) =>
    printGrant(io, options, await connect(io, options).retry(grant)),
  );
};

/** Options that only an order about many has, as they are written. */
const WITH_ALL: Readonly<Record<string, string>> = {
  all: "all",
  profile: "profile",
  principal: "principal",
  role: "role",
  hard: "hard",
  dryRun: "dry-run",
  yes: "yes",
  reason: "reason",
};

/** What is meant, said twice on purpose: no filter that was forgotten may become everything. */
function orderOf(options: RevokeFlags): RevocationRequest {
  const { all, profile, principal, role, hard, reason } = options;
  if (all !== true) throw usage("which grant?", "name it, or say --all");
  if ([profile, principal, role].filter((one) => one !== undefined).length > 1)
    throw usage("--profile, --principal and --role exclude each other");
  if ([profile, principal, role].includes(""))
    throw usage("a filter is empty", "leave it out to mean everything that you may revoke");
  if (hard === true && role === undefined) throw usage("--hard is about one role", "give --role");
  return {
    ...(profile === undefined ? {} : { profile }),
    ...(principal === undefined ? {} : { principal }),
    ...(role === undefined ? {} : { role }),
    ...(hard === true ? { hard } : {}),
    ...(reason === undefined ? {} : { reason }),
  };
}

async function revokeAll(
  io: Io,
  say: Progress,
  order: RevocationRequest,
  options: RevokeFlags,
): Promise<void> {
  const format = formatOf(io, options, ["table", "json"]);
  const someone = io.stdin.isTTY === true && !inCi(io) && format !== "json";
  if (options.yes !== true && options.dryRun !== true && !someone)
    throw usage(
      "nobody is here to confirm it, so nothing was revoked",
      "say --yes, or see first what would end: --dry-run",
    );
  const dry = connect(io, options, { attempts: 2 }).revokeAll({ ...order, dryRun: true });
  if (options.dryRun === true) return print(io, format, await dry, "would end");
  const would = await dry.catch((error: unknown) => {
    // More than can be counted in time is the last thing that must keep anybody from ending it.
    if (!(error instanceof StintError && error.code === "unavailable")) throw error;
    say.warn(error.detail);
  });
  if (format !== "json") {
    if (would !== undefined)
      io.stderr.write(`stint: ${grants(would.count)} would end now\n${details(io, would)}`);
    if (order.hard === true)
      io.stderr.write(`stint: and every session of ${order.role} that was issued until now\n`);
  }
  if (options.yes !== true && !/^y(es)?$/i.test((await io.ask("stint: end them? [y/N] ")).trim()))
    throw new Failure({
      code: "not_confirmed",
      message: "it was not confirmed, so nothing was revoked",
      exit: EXIT.local,
    });
  // Tried once at a time, so that each try's part is known.
  const answer = await untilDone(io, say, connect(io, options, { attempts: 1 }), order);
  // What lapses and was ended by a try that did not get done is known from before.
  const lapsing = merged(would?.lapsing ?? [], answer.lapsing);
  print(io, format, { ...answer, lapsing }, "end");
}

/** Repeats the order for as long as that brings it further. */
async function untilDone(
  io: Io,
  say: Progress,
  client: StintClient,
  order: RevocationRequest,
): Promise<RevocationAnswer> {
  let ended = 0;
  for (let idle = 0; ; ) {
    try {
      const answer = await client.revokeAll(order);
      return { ...answer, count: ended + answer.count };
    } catch (error) {
      if (!(error instanceof StintError && AGAIN.has(error.code))) throw error;
      const more = error.ended ?? 0;
      ended += more;
      idle = more > 0 ? 0 : idle + 1;
      if (idle >= PATIENCE) {
        say.warn(`${grants(ended)} ended, others may be left: give the order again`);
        throw error;
      }
      say.info(`${grants(ended)} ended so far; it goes on`);
      await io.sleep(1_000 * 2 ** idle * (0.5 + io.random() / 2));
    }
  }
}

const AGAIN = new Set(["unavailable", "network"]);
/** Tries one after the other that ended nothing. */
const PATIENCE = 5;

const inCi = ({ env }: Io): boolean => ![undefined, "", "false", "0"].includes(env.CI);

const grants = (count: number): string => (count === 1 ? "1 grant" : `${count} grants`);

function merged(...lists: ReadonlyArray<readonly LapsingLease[]>): LapsingLease[] {
  const all = new Map<string, LapsingLease>();
  for (const one of lists.flat()) all.set(`${one.grant} ${one.target}`, one);
  return [...all.values()];
}

function print(
  io: Io,
  format: "table" | "json",
  answer: RevocationAnswer,
  verb: "end" | "would end",
): void {
  const ends = verb === "end" && answer.count === 1 ? "ends" : verb;
  if (format === "json") printJson(io, answer);
  else io.stdout.write(`${grants(answer.count)} ${ends}\n${details(io, answer)}`);
}

/** Whom it hits beside, and what goes on working for a while. */
function details(io: Io, { lapsing, hits = [] }: RevocationAnswer): string {
  const parts: string[] = [];
  if (hits.length > 0)
    parts.push(
      "\nsessions of these grants are hit:\n",
      table(
        io,
        io.stdout,
        ["grant", "profile", "principal"],
        hits.map(({ grant, profile, principal }) => [grant, profile, principal]),
      ),
    );
  if (lapsing.length > 0)
    parts.push(
      "\nnobody can end these leases early, they lapse:\n",
      table(
        io,
        io.stdout,
        ["grant", "target", "until"],
        lapsing.map(({ grant, target, until }) => [grant, target, until]),
      ),
    );
  return parts.join("");
}
