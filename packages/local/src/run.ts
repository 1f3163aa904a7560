/** `npm start` and `stint dev`: the servers, the story, and what to try next. */
import { fileURLToPath } from "node:url";
import { DEMO_CONFIG, type Dev, startDev } from "./dev.ts";
import { tell } from "./story.ts";

export interface RunOptions {
  /** Play the demo before staying up. */
  readonly story: boolean;
  /** End after the story: 0 when every step held, else 1. */
  readonly once: boolean;
}

const cli = fileURLToPath(new URL("../../cli/bin/stint.ts", import.meta.url));

/** Resolves with the exit code; without `once` only when it is interrupted. */
export async function runDev(
  { story, once }: RunOptions,
  env: NodeJS.ProcessEnv,
  print: (line: string) => void,
): Promise<number> {
  let dev: Dev;
  try {
    dev = await startDev({
      ports: {
        api: port(env, "STINT_PORT", 4010),
        aws: port(env, "STINT_AWS_PORT", 4011),
        oidc: port(env, "STINT_OIDC_PORT", 4012),
      },
      ...(env.STINT_CONFIG === undefined ? {} : { config: env.STINT_CONFIG }),
      log: {
        info: () => {},
        error: (message, details) => print(`! ${message} ${JSON.stringify(details)}`),
      },
    });
  } catch (error) {
    print(`stint: ${error instanceof Error ? error.message : String(error)}`);
    return 1;
  }
  print(`Stint   ${dev.url}   local AWS ${dev.awsUrl}   OIDC issuer ${dev.oidcUrl}\n`);
  let held = true;
  // The story is about the demo's profile and repository; with a configuration of one's own there is nothing to tell.
  const ownConfig = env.STINT_CONFIG !== undefined && env.STINT_CONFIG !== DEMO_CONFIG;
  if (story && !ownConfig) {
    held = await tell(dev, { print, stint: [process.execPath, cli] });
    print(held ? "\nEvery step held." : "\nA step did not hold.");
  }
  if (once) {
    await dev.close();
    return held ? 0 : 1;
  }
  print(next(dev));
  await interrupted();
  await dev.close();
  return 0;
}

function port(env: NodeJS.ProcessEnv, name: string, otherwise: number): number {
  const text = env[name];
  if (text === undefined || text === "") return otherwise;
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65_535)
    throw new Error(`${name} is no port: ${text}`);
  return Number(text);
}

const interrupted = (): Promise<void> =>
  new Promise((resolve) => {
    process.once("SIGINT", () => resolve());
    process.once("SIGTERM", () => resolve());
  });

function next(dev: Dev): string {
  const [profile = "orders-integration"] = Object.keys(dev.config.profiles);
  return `
Try next (Ctrl-C ends it):

# a token for another job of the same run, and a grant for it
TOKEN=$(curl -s ${dev.url}/_local/token -d '{"pipeline":"github","claims":{"check_run_id":"2"}}' | sed 's/.*"token":"\\([^"]*\\)".*/\\1/')
curl -s ${dev.url}/v1/grants -H "authorization: Bearer $TOKEN" -d '{"profile":"${profile}"}'

# the same with the command line, around any command
STINT_URL=${dev.url} STINT_TOKEN=$(curl -s ${dev.url}/_local/token -d '{"pipeline":"github","claims":{"check_run_id":"3"}}' | sed 's/.*"token":"\\([^"]*\\)".*/\\1/') npx stint exec ${profile} -- env

# let an hour pass
curl -s ${dev.url}/_local/clock -d '{"advance":"1h"}'
`;
}
