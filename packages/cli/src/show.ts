import type { Credentials, GrantView } from "@stint/client/types";
import { asCredentialProcess, asDotenv, asExports, variables } from "./credentials.ts";
import { EXIT, Failure } from "./failure.ts";
import { type Format, facts, printJson, table } from "./format.ts";
import type { Io } from "./io.ts";

const deadlines = (grant: GrantView): string =>
  grant.leases
    .map((lease) => `${lease.target} ${lease.accessKeyId ?? lease.user ?? ""} until ${lease.until}`)
    .join(", ");

/** A grant as a list of facts. */
export const grantFacts = (grant: GrantView): string =>
  facts([
    ["grant", grant.id],
    ["profile", grant.profile],
    ["state", grant.stuck ? `${grant.state} (stuck)` : grant.state],
    ["error", grant.error],
    ["why", grant.why],
    ["principal", grant.principal.id],
    ["rule", grant.rule],
    ["namespace", grant.namespace],
    ["created", grant.createdAt],
    ["starts", grant.startsAt],
    ["claim by", grant.claimBy],
    ["ends", grant.endsAt],
    ["ended", grant.endedAt],
    ["dead by", grant.deadBy],
    ["denied", grant.deniedAt],
    ["proved", grant.provedAt],
    ["credentials", deadlines(grant)],
    [
      "revocable",
      Object.entries(grant.revocability)
        .map(([target, how]) => `${target}: ${how}`)
        .join(", "),
    ],
  ]);

/** Errors have a column only where there are some. */
export function grantTable(io: Io, grants: readonly GrantView[]): string {
  const fail = grants.some(({ error }) => error !== undefined);
  return table(
    io,
    io.stdout,
    [
      "grant",
      "profile",
      "state",
      "principal",
      "ends",
      "dead by",
      "why",
      ...(fail ? ["error"] : []),
    ],
    grants.map((grant) => [
      grant.id,
      grant.profile,
      grant.stuck ? `${grant.state} (stuck)` : grant.state,
      grant.principal.id,
      grant.endsAt,
      grant.deadBy,
      grant.why,
      ...(fail ? [grant.error] : []),
    ]),
  );
}

interface Holding {
  readonly grant: GrantView;
  readonly credentials?: Credentials;
  readonly token?: string;
}

/** What a request or a claim brought, in the format asked for. */
export function printHolding(
  io: Io,
  format: Format,
  { grant, credentials, token }: Holding,
  target: string | undefined,
): void {
  if (format === "json") {
    printJson(io, {
      grant,
      ...(credentials === undefined ? {} : { credentials }),
      ...(token === undefined ? {} : { token }),
    });
    return;
  }
  if (format === "table") {
    io.stdout.write(grantFacts(grant));
    if (grant.state === "pending")
      io.stderr.write(
        `stint: it waits for approval; then: stint claim ${grant.id} --format env (or ask with --wait)\n`,
      );
    // A table is what people look at and what logs keep, so the secrets stay out of it.
    if (credentials !== undefined)
      io.stderr.write(
        `stint: a table shows no secrets; for the credentials: stint claim ${grant.id} --format env\n`,
      );
    return;
  }
  if (credentials === undefined)
    throw new Failure({
      code: "approval_needed",
      message: "the request waits for approval, so there are no credentials yet",
      hint: `add --wait, or later: stint claim ${grant.id} --format ${format}`,
      exit: EXIT.notApproved,
      grantId: grant.id,
    });
  if (format === "credential-process") {
    io.stdout.write(asCredentialProcess(credentials, target));
    return;
  }
  const values = variables(grant, credentials);
  // With the grant's own token, a later `stint release` needs nothing else.
  const all = token === undefined ? values : { ...values, STINT_GRANT_TOKEN: token };
  io.stdout.write(format === "env" ? asExports(all) : asDotenv(all));
}
