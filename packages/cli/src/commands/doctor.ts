import { CommanderError } from "commander";
import { awsSettings } from "../aws.ts";
import type { Examined } from "../doctor/examine.ts";
import { Failure } from "../failure.ts";
import { clean, type FormatOptions, formatOf, printJson } from "../format.ts";
import type { Io } from "../io.ts";
import { type Progress, progress } from "../obtain.ts";
import { formatted, type Register } from "./context.ts";

interface DoctorOptions extends FormatOptions {
  readonly config?: string;
  readonly profile?: string;
  readonly broker?: string;
  readonly revoker?: string;
  readonly function?: string;
}

/** `findings` says that something is wrong over there; `blind` that nobody could look. */
const CODES = { well: 0, findings: 1, blind: 2 } as const;

export const registerDoctor: Register = (program, context) => {
  const { io, json } = context;
  const command = formatted(
    program
      .command("doctor")
      .description(
        "check the roles and databases that a configuration names, and say what to change. Exit code 1 with findings, 2 where it could not look",
      )
      .option("--config <file>", "the configuration (STINT_CONFIG, or stint.yaml)")
      .option("--profile <profile>", "this one alone")
      .option("--broker <arn>", "the deployment's broker, as `sst deploy` prints it")
      .option("--revoker <arn>", "the deployment's revoker; without it nobody's writing is checked")
      .option(
        "--function <name>",
        "the deployment's doctor; without it no session and no database is tried",
      ),
    "table or json",
  );
  command
    .exitOverride((error) => {
      if (error.exitCode === 0) throw error; // help
      throw blind(error);
    })
    .action(async (options: DoctorOptions) => {
      try {
        context.code = await doctor(io, progress(io, json), options);
      } catch (error) {
        throw blind(error);
      }
    });
};

async function doctor(io: Io, say: Progress, options: DoctorOptions): Promise<number> {
  const format = formatOf(io, options, ["table", "json"]);
  const { profile, broker, revoker } = options;
  const asked = {
    broker: arnOf("--broker", broker),
    revoker: revoker && arnOf("--revoker", revoker),
  };
  // Loaded late, with four SDK clients.
  const { configFile, loadConfiguration, located } = await import("../configuration.ts");
  const { file, parsed } = await loadConfiguration(io, configFile(io, options.config));
  if (!parsed.ok)
    throw usage(
      `${file} is not a configuration yet:\n${parsed.problems
        .map((one) => located(file, one))
        .join("")
        .trimEnd()}`,
    );
  const { config } = parsed;
  if (profile !== undefined && !Object.hasOwn(config.profiles, profile))
    throw usage(
      `${file} has no profile ${profile}`,
      `it has ${Object.keys(config.profiles).join(", ")}`,
    );

  const { GetCallerIdentityCommand, STSClient } = await import("@aws-sdk/client-sts");
  const { IAMClient } = await import("@aws-sdk/client-iam");
  const { LambdaClient } = await import("@aws-sdk/client-lambda");
  const { accountOf } = await import("../doctor/account.ts");
  const { examine } = await import("../doctor/examine.ts");
  const { Account: accountId = "" } = await new STSClient(awsSettings(io, "STS")).send(
    new GetCallerIdentityCommand({}),
  );
  const examined = await examine({
    config,
    accountId,
    account: accountOf(new IAMClient(awsSettings(io, "IAM"))),
    broker: asked.broker,
    ...(profile === undefined ? {} : { profile }),
    ...(asked.revoker ? { revoker: asked.revoker } : {}),
    ...(options.function === undefined
      ? {}
      : {
          doctor: {
            lambda: new LambdaClient(awsSettings(io, "LAMBDA")),
            name: options.function,
          },
        }),
  });
  const ok = examined.findings.length === 0;
  if (format === "json") printJson(io, { ok, ...examined });
  else print(io, say, examined);
  return ok ? CODES.well : CODES.findings;
}

function print(io: Io, say: Progress, examined: Examined): void {
  const { findings, warnings, roles, sessions, databases, skipped } = examined;
  const line = (text: string) =>
    void io.stdout.write(`${clean(text.replaceAll(/[\r\n]+/g, " "))}\n`);
  for (const { subject, message, fix } of findings) line(`${subject}: ${message}. To do: ${fix}`);
  for (const { profile, target, packedPercent } of sessions)
    say.info(
      `${profile}.${target}: a session takes ${packedPercent ?? "an untold number of"} % of what STS has for its policy and tags`,
    );
  for (const { subject, message, fix } of warnings)
    say.warn(`${subject}: ${message}. To do: ${fix}`);
  for (const what of skipped) say.warn(`not checked: ${what}`);
  const counted = {
    "roles read": roles,
    "sessions opened": sessions,
    "databases examined": databases,
  };
  const looked = Object.entries(counted)
    // Of what a configuration has none of, there is nothing to say.
    .filter(([what, { length }]) => length > 0 || what !== "databases examined")
    .map(([what, { length }]) => `${what}: ${length}`)
    .join(", ");
  const found = findings.length === 0 ? "nothing wrong" : `to do: ${findings.length}`;
  line(`${looked}, ${found}`);
}

const ARN = /^arn:aws[-a-z]*:iam::[0-9]{12}:role\/[!-~]+$/;

function arnOf(flag: string, given: string | undefined): string {
  if (given !== undefined && ARN.test(given)) return given;
  throw usage(
    given === undefined ? `${flag} is missing` : `${flag} is ${given}, which is no role's ARN`,
    "the deployment prints it: arn:aws:iam::111122223333:role/stint-functions/stint-production-…",
  );
}

const usage = (message: string, hint?: string): Failure =>
  new Failure({
    code: "usage",
    message,
    exit: CODES.blind,
    ...(hint === undefined ? {} : { hint }),
  });

/** Whatever kept the doctor from looking has one exit code, so that nobody takes it for a finding. */
function blind(error: unknown): Failure {
  if (error instanceof Failure) {
    const { code, message, hint } = error;
    return new Failure({
      code,
      message,
      exit: CODES.blind,
      ...(hint === undefined ? {} : { hint }),
    });
  }
  if (error instanceof CommanderError)
    return usage(error.message.replace(/^error: /, ""), "stint doctor --help shows how");
  const { name, message } =
    error instanceof Error ? error : { name: "Error", message: String(error) };
  if (name === "CredentialsProviderError")
    return usage(
      "there are no AWS credentials",
      "use those of somebody who may read the account's roles (iam:Get*, iam:List*, iam:SimulatePrincipalPolicy) and invoke the doctor (lambda:InvokeFunction)",
    );
  if (message === "Region is missing") return usage("there is no AWS region", "set AWS_REGION");
  return new Failure({
    code: "aws_fault",
    message: `AWS did not answer as it should (${name}: ${message})`,
    exit: CODES.blind,
  });
}
