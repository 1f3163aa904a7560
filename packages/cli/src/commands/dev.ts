import { usage } from "../failure.ts";
import type { Register } from "./context.ts";

interface DevFlags {
  readonly port?: string;
  readonly awsPort?: string;
  readonly oidcPort?: string;
  readonly config?: string;
}

/** What the local server's module offers. It reads its ports and its configuration from the environment. */
interface Local {
  readonly runDev: (
    options: { readonly story: boolean; readonly once: boolean },
    env: NodeJS.ProcessEnv,
    print: (line: string) => void,
  ) => Promise<number>;
}

export const registerDev: Register = (program, context) => {
  program
    .command("dev")
    .description("serve the API, an AWS and a token issuer on this machine, until interrupted")
    .option("--port <port>", "of the API (STINT_PORT, 4010)")
    .option("--aws-port <port>", "of the local AWS (STINT_AWS_PORT, 4011)")
    .option("--oidc-port <port>", "of the issuer (STINT_OIDC_PORT, 4012)")
    .option("--config <file>", "the configuration (STINT_CONFIG, or the demo's)")
    .action(async ({ port, awsPort, oidcPort, config }: DevFlags) => {
      const { env, stdout } = context.io;
      const asked = {
        ...env,
        ...setting("STINT_PORT", portOf("--port", port)),
        ...setting("STINT_AWS_PORT", portOf("--aws-port", awsPort)),
        ...setting("STINT_OIDC_PORT", portOf("--oidc-port", oidcPort)),
        ...setting("STINT_CONFIG", config),
      };
      // Not a dependency: it is for development, and an installed command may do without it.
      const local: string = "@stint/local/run";
      const { runDev } = (await import(local)) as Local; // the module's own contract
      const print = (line: string) => void stdout.write(`${line}\n`);
      context.code = await runDev({ story: false, once: false }, asked, print);
    });
};

const setting = (name: string, value: string | undefined): Readonly<Record<string, string>> =>
  value === undefined ? {} : { [name]: value };

function portOf(flag: string, text: string | undefined): string | undefined {
  if (text === undefined || (/^[0-9]{1,5}$/.test(text) && Number(text) <= 65_535)) return text;
  throw usage(`${flag} is ${text}, which is no port`);
}
