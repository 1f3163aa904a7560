import type { DecisionAnswer, Explanation } from "@stint/client/types";
import type { Decision } from "@stint/core/decision";
import { type ConnectOptions, callerToken, connect, connecting } from "../connect.ts";
import { EXIT, Failure, usage } from "../failure.ts";
import { clean, type FormatOptions, facts, formatOf, printJson } from "../format.ts";
import type { Io } from "../io.ts";
import { type Progress, progress } from "../obtain.ts";
import { explained } from "../tell.ts";
import { formatted, type Register } from "./context.ts";

interface ExplainOptions extends ConnectOptions, FormatOptions {
  readonly claims?: string;
  readonly duration?: string;
  readonly config?: string;
  readonly remote?: boolean;
}

/** A decision as it is printed, whoever made it. */
interface Outcome {
  readonly allowed: boolean;
  readonly rule?: string;
  readonly seconds?: number;
  readonly approval?: { readonly count: number; readonly withinSeconds: number };
  readonly explanation?: Explanation;
  readonly errors?: readonly string[];
}

const plain = ["table", "json"] as const;

export const registerPolicy: Register = (program, context) => {
  const { io, json } = context;
  const policy = program.command("policy").description("look at the configuration");

  formatted(
    policy
      .command("check")
      .description(
        "tell everything that is wrong with a configuration and the .cedar files beside it",
      )
      .argument("[file]", "the configuration (STINT_CONFIG, or stint.yaml)"),
    "table or json",
  ).action(async (named: string | undefined, options: FormatOptions) => {
    context.code = await check(io, named, options);
  });

  formatted(
    connecting(
      policy
        .command("explain")
        .description("would this be granted, and by which rule? Exit code 3 where it would not")
        .argument("<profile>", "what to be granted")
        .option("--claims <file>", "claims of a token as JSON, instead of a token")
        .option("--duration <duration>", "the length to ask for (the profile's default)")
        .option("--config <file>", "the configuration (STINT_CONFIG, or stint.yaml)")
        .option("--remote", "ask the server, which opens nothing"),
    ),
    "table or json",
  ).action(async (profile: string, options: ExplainOptions) => {
    const format = formatOf(io, options, plain);
    const outcome = options.remote
      ? toOutcome(await askServer(io, profile, options))
      : await decideHere(io, progress(io, json), profile, options);
    if (format === "json") printJson(io, outcome);
    else printOutcome(io, profile, outcome);
    context.code = outcome.allowed ? EXIT.ok : EXIT.refused;
  });
};

async function check(io: Io, named: string | undefined, options: FormatOptions): Promise<number> {
  const format = formatOf(io, options, plain);
  const { configFile, loadConfiguration, located } = await import("../configuration.ts");
  const { file, parsed } = await loadConfiguration(io, configFile(io, named));
  const problems = parsed.ok ? [] : parsed.problems;
  const warnings = parsed.ok ? parsed.warnings : [];
  if (format === "json") printJson(io, { ok: parsed.ok, file, problems, warnings });
  else {
    for (const problem of problems) io.stdout.write(located(file, problem));
    for (const problem of warnings)
      io.stdout.write(located(file, { ...problem, message: `warning: ${problem.message}` }));
    if (parsed.ok) {
      const { profiles, rules } = parsed.config;
      const counts = `profiles: ${Object.keys(profiles).length}, rules: ${rules.length}`;
      const found = warnings.length === 0 ? "nothing wrong" : `warnings: ${warnings.length}`;
      io.stdout.write(`${file}: ${counts}, ${found}\n`);
    }
  }
  return parsed.ok ? EXIT.ok : EXIT.local;
}

const askServer = (io: Io, profile: string, options: ExplainOptions): Promise<DecisionAnswer> => {
  if (options.claims !== undefined)
    throw usage("the server believes tokens only, not --claims", "leave one of the two out");
  const { duration } = options;
  return connect(io, options).decide({ profile, ...(duration === undefined ? {} : { duration }) });
};

const toOutcome = ({ allowed, rule, explanation }: DecisionAnswer): Outcome => ({
  allowed,
  ...(rule === undefined ? {} : { rule }),
  ...(explanation === undefined ? {} : { explanation }),
});

/** With the server's own code, on claims that nobody has verified. Loaded late: it is a policy engine. */
async function decideHere(
  io: Io,
  say: Progress,
  profile: string,
  options: ExplainOptions,
): Promise<Outcome> {
  const { configFile, loadConfiguration, located } = await import("../configuration.ts");
  const { suppose } = await import("../identity.ts");
  const { decide, preparePolicy } = await import("@stint/core/policy/decide");
  const { pipelineClaims } = await import("@stint/pipelines/registry");
  const { requestedSeconds } = await import("@stint/core/time");

  const { file, parsed } = await loadConfiguration(io, configFile(io, options.config));
  if (!parsed.ok) {
    const list = parsed.problems.map((problem) => located(file, problem)).join("");
    throw new Failure({
      code: "bad_configuration",
      message: `${file} is not a configuration yet:\n${list.trimEnd()}`,
      exit: EXIT.local,
    });
  }
  const { principal, flaw } = suppose(await claimsOf(io, options), parsed.config);
  if (flaw !== undefined) say.warn(`a token like this would be turned away: ${flaw}`);
  const { duration } = options;
  const seconds = duration === undefined ? undefined : requestedSeconds("duration", duration, 60);
  const asked = { action: "request", principal, profile, seconds, now: io.now() } as const;
  return told(decide(preparePolicy(parsed.config, pipelineClaims()), asked));
}

/** Everything: who has the configuration may know all of it. */
const told = (decision: Decision): Outcome =>
  decision.allowed
    ? {
        allowed: true,
        rule: decision.rule,
        seconds: decision.seconds,
        ...(decision.approval === undefined ? {} : { approval: decision.approval }),
      }
    : {
        allowed: false,
        explanation: decision.explanation,
        ...(decision.errors === undefined ? {} : { errors: decision.errors }),
      };

async function claimsOf(
  io: Io,
  options: ExplainOptions,
): Promise<Readonly<Record<string, unknown>>> {
  if (options.claims === undefined) {
    const { readClaims } = await import("../identity.ts");
    const claims = readClaims((await callerToken(io, options)).token);
    if (claims === undefined) throw usage("the token is no JWT, so it has no claims");
    return claims;
  }
  const { read } = await import("../configuration.ts");
  const text = await read(io, options.claims);
  try {
    const claims: unknown = JSON.parse(text);
    if (typeof claims === "object" && claims !== null && !Array.isArray(claims))
      return { ...claims };
  } catch {} // told below
  throw usage(`${options.claims} does not hold one JSON object`);
}

function printOutcome(io: Io, profile: string, outcome: Outcome): void {
  const { allowed, rule, seconds, approval, explanation, errors = [] } = outcome;
  io.stdout.write(
    facts([
      ["profile", profile],
      ["allowed", allowed ? "yes" : "no"],
      ["rule", rule],
      ["length", seconds === undefined ? undefined : `${seconds} s`],
      [
        "approval",
        approval && `${approval.count} needed, within ${approval.withinSeconds} s of the request`,
      ],
    ]),
  );
  if (explanation !== undefined)
    for (const line of explained(io, io.stdout, explanation)) io.stdout.write(`${line}\n`);
  for (const error of errors) io.stdout.write(`  policy error: ${clean(error)}\n`);
}
