/** Credentials in the forms that other programs take them in. */
import { devNull } from "node:os";
import { awsOnly, isAws } from "@stint/client/kinds";
import type {
  AwsCredentials,
  Credentials,
  GrantView,
  PostgresCredentials,
} from "@stint/client/types";
import { EXIT, Failure, usage } from "./failure.ts";

/** A target's name as a part of a variable's. */
const asVariable = (target: string): string => target.toUpperCase().replaceAll(/[^A-Z0-9]/g, "_");

/** Variables by name. */
type Values = Readonly<Record<string, string>>;

const staticVariables = (credentials: AwsCredentials): Values => ({
  AWS_ACCESS_KEY_ID: credentials.accessKeyId,
  AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
  AWS_SESSION_TOKEN: credentials.sessionToken,
  AWS_CREDENTIAL_EXPIRATION: credentials.expiration,
});

/** As libpq and everything that is built like it reads them. The authority is a text, since a variable is no file. */
const postgresVariables = (credentials: PostgresCredentials): Values => ({
  PGHOST: credentials.host,
  PGPORT: String(credentials.port),
  PGDATABASE: credentials.database,
  PGUSER: credentials.user,
  PGPASSWORD: credentials.password,
  ...(credentials.ca === undefined ? {} : { STINT_PG_CA: credentials.ca }),
});

/**
 * The variables that a grant's holder needs: of each kind the first target's under the names that every client reads, the
 * others' as `STINT_<TARGET>_AWS_ACCESS_KEY_ID`, `STINT_<TARGET>_PGHOST`, `STINT_<TARGET>_PG_CA` and so on.
 */
export const variables = (grant: GrantView, credentials: Credentials): Record<string, string> => {
  const all = Object.entries(credentials);
  return {
    ...named(
      grant,
      all.flatMap(([target, of]) => (isAws(of) ? [[target, staticVariables(of)]] : [])),
    ),
    ...named(
      grant,
      all.flatMap(([target, of]) => (isAws(of) ? [] : [[target, postgresVariables(of)]])),
    ),
  };
};

/** Those that nothing renews: a client of a database has no place to ask. */
export const loginVariables = (grant: GrantView, credentials: Credentials) =>
  variables(grant, Object.fromEntries(Object.entries(credentials).filter(([, of]) => !isAws(of))));

/** The same for credentials that an SDK fetches: where each target's are, and what opens the place. */
export const containerVariables = (
  grant: GrantView,
  urls: Values,
  secret: string,
): Record<string, string> => ({
  ...named(
    grant,
    Object.entries(urls).map(([target, url]) => [
      target,
      { AWS_CONTAINER_CREDENTIALS_FULL_URI: url, AWS_CONTAINER_AUTHORIZATION_TOKEN: secret },
    ]),
  ),
  // SDKs look into these before they ask a container: whoever's keys are in there would be used instead.
  AWS_SHARED_CREDENTIALS_FILE: devNull,
  AWS_CONFIG_FILE: devNull,
});

function named(
  grant: GrantView,
  byTarget: ReadonlyArray<readonly [string, Values]>,
): Record<string, string> {
  const result: Record<string, string> = {
    STINT_GRANT_ID: grant.id,
    STINT_NAMESPACE: grant.namespace,
  };
  for (const [index, [target, values]] of byTarget.entries()) {
    const prefix = index === 0 ? "" : `STINT_${asVariable(target)}_`;
    for (const [suffix, value] of Object.entries(values)) {
      const name = prefix === "" ? suffix : `${prefix}${suffix.replace(/^STINT_/, "")}`;
      // Silently giving one target's credentials to the other would be a puzzle for hours.
      if (Object.hasOwn(result, name))
        throw new Failure({
          code: "name_clash",
          message: `two targets of ${grant.profile} would both set ${name}`,
          hint: "rename one of them in the configuration, or take the credentials as JSON",
          exit: EXIT.local,
          grantId: grant.id,
        });
      result[name] = value;
    }
  }
  return result;
}

/** Single quotes take everything literally in every POSIX shell; a quote itself has to step outside. */
const shellQuoted = (value: string): string => `'${value.replaceAll("'", "'\\''")}'`;

export const asExports = (values: Values): string =>
  Object.entries(values)
    .map(([name, value]) => `export ${name}=${shellQuoted(value)}\n`)
    .join("");

/** Unquoted where that is safe, since `docker --env-file` takes quotes for a part of the value. */
const dotenvValue = (value: string): string =>
  /^[A-Za-z0-9_./:@%+=,-]*$/.test(value)
    ? value
    : `"${value.replaceAll(/["\\$`]/g, "\\$&").replaceAll("\n", "\\n")}"`;

export const asDotenv = (values: Values): string =>
  Object.entries(values)
    .map(([name, value]) => `${name}=${dotenvValue(value)}\n`)
    .join("");

/** What the AWS SDKs expect of a `credential_process`, exactly. */
export function asCredentialProcess(all: Credentials, target: string | undefined): string {
  const credentials = awsOnly(all);
  const name = target ?? Object.keys(credentials)[0];
  const found =
    name !== undefined && Object.hasOwn(credentials, name) ? credentials[name] : undefined;
  if (found === undefined)
    throw usage(
      `there is no AWS target ${name ?? ""}`.trimEnd(),
      `targets: ${Object.keys(credentials).join(", ")}`,
    );
  return `${JSON.stringify({
    Version: 1,
    AccessKeyId: found.accessKeyId,
    SecretAccessKey: found.secretAccessKey,
    SessionToken: found.sessionToken,
    Expiration: found.expiration,
  })}\n`;
}
