/** `npm start` and `stint dev`: the servers, the story, and what to try next. */
import { fileURLToPath } from "node:url";
import { DEMO_CONFIG, type Dev, startDev } from "./dev.ts";
import { tell } from "./story.ts";
import { tryNext } from "./try-next.ts";

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
      ...(env.STINT_CONFIG ? { config: env.STINT_CONFIG } : {}),
      warn: (line) => print(`! ${line}`),
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
  const ownConfig = Boolean(env.STINT_CONFIG) && env.STINT_CONFIG !== DEMO_CONFIG;
  if (story && !ownConfig) {
    held = await tell(dev, { print, stint: [process.execPath, cli] });
    print(held ? "\nEvery step held." : "\nA step did not hold.");
  }
  if (once) {
    await dev.close();
    return held ? 0 : 1;
  }
  print(tryNext(dev, story && !ownConfig));
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
