import type { AuditLog } from "@stint/aws/audit/log";
import type { Received } from "@stint/aws/dirty-roles";
import type { Examined, Rehearsed } from "@stint/aws/rehearsal";
import type { Secrets } from "@stint/aws/secrets";
import type { Deps, Issuing, Revoking } from "@stint/broker/deps";
import type { Bus } from "@stint/broker/ports";
import type { Profile } from "@stint/core/profile";
import type { TrustedIssuer } from "@stint/pipelines/issuers";
import type { Verifier } from "@stint/pipelines/verify";

/** What operators read. Never a token, a credential or a body. */
export interface Log {
  info(message: string, details: Readonly<Record<string, unknown>>): void;
  error(message: string, details: Readonly<Record<string, unknown>>): void;
}

/** Everything that doors use. Each door says what it needs of it, so that its bundle has no other door's clients. */
export interface App {
  readonly deps: Deps;
  readonly verifier: Verifier;
  readonly issuers: readonly TrustedIssuer[];
  readonly secrets: Secrets;
  readonly bus: Bus;
  readonly auditLog: AuditLog;
  readonly postpone: (message: Received) => Promise<void>;
  readonly postponeClear: (message: Received) => Promise<void>;
  readonly rehearse: (profile: Profile) => Promise<readonly Rehearsed[]>;
  /** Databases, as their admins see them. */
  readonly examine: (profile: Profile) => Promise<readonly Examined[]>;
  readonly log: Log;
}

/** What the API's routes use. */
export type ApiApp = Pick<App, "verifier" | "log"> & { readonly deps: Issuing & Revoking };
