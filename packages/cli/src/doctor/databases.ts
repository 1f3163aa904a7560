/** What the deployment's own doctor tells of databases: their admins' passwords are read by it alone. */
import type { Examined } from "@stint/aws/rehearsal";
import type { Finding } from "./finding.ts";

type Found = Examined["findings"][number];

/** Where no statement mends it. By what was found; the rest says enough by itself. */
const TO_DO: Readonly<Record<string, string>> = {
  unreachable:
    "see that the server runs, and that the functions reach it: in a VPC deploy with STINT_VPC_SUBNETS and STINT_VPC_SECURITY_GROUPS",
  tls_refused:
    "name the authority of its certificate in PLACE.tls.ca, or a host that it is good for; then deploy",
  admin_refused:
    "put the admin's password where PLACE.admin says, or correct that; then look at the server's pg_hba.conf",
  secret_unreadable:
    "let the functions read it: the configuration that was deployed must name it, and its key must let them decrypt",
  server_too_old: "PostgreSQL 15 or newer is needed",
  database_gone: "create it, or correct PLACE.database; then deploy",
  group_is_strong: "grant leases a role that has no more than they need",
};

/** Errors are to be mended, warnings to be known. */
export function judgeDatabase(
  profile: string,
  { target, server, findings }: Examined,
): { readonly errors: readonly Finding[]; readonly warnings: readonly Finding[] } {
  const place = `profiles.${profile}.targets.${target}`;
  const told = (severity: Found["severity"]) =>
    findings
      .filter((one) => one.severity === severity)
      .map(({ id, says, remedy }) => ({
        code: `postgres.${id}`,
        subject: server,
        message: says.replace(/\.$/, ""),
        fix:
          remedy ??
          TO_DO[id]?.replace("PLACE", place) ??
          `mend it on the server, or change ${place} and deploy`,
      }));
  return { errors: told("error"), warnings: told("warning") };
}
