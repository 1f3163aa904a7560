/** The program under `stint exec`: what it sees of our environment, its signals and its exit code. */
import { Failure } from "./failure.ts";
import type { Io } from "./io.ts";
import { type Caught, codeOf } from "./signals.ts";

/**
 * What a test must not inherit. With our own tokens, or the means to get them, it could ask for more than the grant
 * that it runs under, and code under test is just what a grant is meant to confine. The AWS variables would lead an
 * SDK past the grant's credentials, or back to the runner's own, and a test would pass for the wrong reason.
 */
const WITHHELD: ReadonlySet<string> = new Set([
  "STINT_TOKEN",
  "STINT_GRANT_TOKEN",
  "ACTIONS_ID_TOKEN_REQUEST_URL",
  "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
  "AWS_PROFILE",
  "AWS_DEFAULT_PROFILE",
  "AWS_ACCESS_KEY_ID",
  "AWS_SECRET_ACCESS_KEY",
  "AWS_SESSION_TOKEN",
  "AWS_SECURITY_TOKEN",
  "AWS_CREDENTIAL_EXPIRATION",
  "AWS_ROLE_ARN",
  "AWS_ROLE_SESSION_NAME",
  "AWS_WEB_IDENTITY_TOKEN_FILE",
  "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
  "AWS_CONTAINER_CREDENTIALS_FULL_URI",
  "AWS_CONTAINER_AUTHORIZATION_TOKEN",
  "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
]);

/**
 * What leads a client of Postgres elsewhere than to PGHOST as PGUSER: libpq takes an address and a service's settings
 * before these. Withheld with a login of our own alone, since without one they are of a server of the test's.
 */
const WITHHELD_WITH_LOGIN: ReadonlySet<string> = new Set([
  "PGHOST",
  "PGHOSTADDR",
  "PGPORT",
  "PGDATABASE",
  "PGUSER",
  "PGPASSWORD",
  "PGPASSFILE",
  "PGSERVICE",
  "PGSERVICEFILE",
  "PGSSLCERT",
  "PGSSLKEY",
  "STINT_PG_CA",
]);

export function childEnvironment(
  own: Io["env"],
  granted: Readonly<Record<string, string>>,
): NodeJS.ProcessEnv {
  // Windows takes names in any case.
  const withheld = (name: string) =>
    WITHHELD.has(name) || (Object.hasOwn(granted, "PGHOST") && WITHHELD_WITH_LOGIN.has(name));
  const kept = Object.entries(own).filter(([name]) => !withheld(name.toUpperCase()));
  return { ...Object.fromEntries(kept), ...granted };
}

/** Sent by the terminal to everyone in its foreground, so the child has it already. */
const FROM_KEYBOARD: ReadonlySet<NodeJS.Signals> = new Set(["SIGINT", "SIGQUIT"]);

/**
 * Runs it to its end and returns the exit code that a shell would: its own, or 128 + n when a signal ended it.
 * @throws Failure with exit code 127 where there is no such command, 126 where it cannot be run
 */
export function runChild(
  io: Io,
  caught: Caught,
  [command = "", ...args]: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<number> {
  return new Promise<number>((resolve, reject) => {
    const cannot = (error: unknown) => {
      const code = error instanceof Error && "code" in error ? error.code : undefined;
      const missing = code === "ENOENT";
      const why = missing ? "command not found" : `cannot be run (${String(code ?? error)})`;
      reject(
        new Failure({
          code: missing ? "command_not_found" : "command_not_run",
          message: `${command}: ${why}`,
          exit: missing ? 127 : 126,
        }),
      );
    };
    try {
      const child = io.spawn(command, args, { env, stdio: "inherit" });
      // Forwarding a Ctrl-C twice would make test runners give up without cleaning up.
      caught.forward((signal) => {
        if (!(io.stdin.isTTY && FROM_KEYBOARD.has(signal))) child.kill(signal);
      });
      child.once("error", (error) => {
        // Afterwards also told of signals that could not be sent; those are not the end of it.
        if (child.pid === undefined) cannot(error);
      });
      child.on("error", () => {});
      child.once("close", (code, signal) =>
        resolve(signal === null ? (code ?? 1) : codeOf(signal)),
      );
    } catch (error) {
      cannot(error); // an argument that no program can be given, such as one with a zero byte
    }
  }).finally(() => caught.forward(undefined));
}
