import type { AuditLog } from "@stint/aws/audit/log";
import type { Secrets } from "@stint/aws/secrets";
import type { Deps } from "@stint/broker/deps";
import type { Bus } from "@stint/broker/ports";
import type { TrustedIssuer } from "@stint/pipelines/issuers";
import type { Verifier } from "@stint/pipelines/verify";

/** What operators read. Never a token, a credential or a body. */
export interface Log {
  info(message: string, details: Readonly<Record<string, unknown>>): void;
  error(message: string, details: Readonly<Record<string, unknown>>): void;
}

/** Everything that a door may use. `live.ts` makes it; tests and the local server make it of other parts. */
export interface App {
  readonly deps: Deps;
  readonly verifier: Verifier;
  readonly issuers: readonly TrustedIssuer[];
  readonly secrets: Secrets;
  readonly bus: Bus;
  readonly auditLog: AuditLog;
  readonly log: Log;
}
