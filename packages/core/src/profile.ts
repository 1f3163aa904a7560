import type { AdminSecret, PostgresPlace } from "./postgres.ts";

/** The longest that a configuration may let a grant run, be claimed, and wait for its approvers. */
export const LONGEST = {
  // Longer than a working day is not "as long as the test runs".
  grantSeconds: 12 * 3600,
  claimSeconds: 24 * 3600,
  approvalSeconds: 168 * 3600,
} as const;

/** One statement that a profile allows inside an AWS account. `${namespace}` stands for the grant's own prefix. */
export interface AllowStatement {
  readonly actions: readonly string[];
  readonly resources: readonly string[];
  /** IAM condition block: operator → key → values. */
  readonly condition?: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
}

export interface AwsTarget {
  readonly kind: "aws";
  /** ARN of a role under the path `/stint/`. */
  readonly role: string;
  readonly allow: readonly AllowStatement[];
}

export interface PostgresTarget {
  readonly kind: "postgres";
  readonly place: PostgresPlace;
  readonly secret: AdminSecret;
}

export type TargetConfig = AwsTarget | PostgresTarget;

/** Roles of AWS that a profile's targets are of. */
export const rolesOf = ({ targets }: Pick<Profile, "targets">): string[] =>
  Object.values(targets).flatMap((target) => (target.kind === "aws" ? [target.role] : []));

/**
 * `immediate`: the provider kills it; `next-request`: denied from the next call on, once the denial has spread;
 * `lapse`: dies at the end of its lease and nothing sooner.
 */
export type Revocability = "immediate" | "next-request" | "lapse";

/** What may be granted. */
export interface Profile {
  readonly name: string;
  readonly description?: string;
  readonly defaultSeconds: number;
  readonly maxSeconds: number;
  /** The lease that a request gets when it asks for none: 60 s to 1 h. */
  readonly leaseSeconds: number;
  /** How long a `ready` grant waits to be claimed. */
  readonly claimSeconds: number;
  /** Where its AWS sessions are used, and so where it is proved that they are dead. Stint's own region, if not said. */
  readonly regions?: readonly string[];
  readonly targets: Readonly<Record<string, TargetConfig>>;
}

/** Whom a rule is for: exactly one of these. Values are exact, or globs with `*`. */
export type To =
  | {
      readonly kind: "pipeline";
      readonly pipeline: string;
      /** Exact. There wherever the pipeline has more than one trusted issuer, since ids collide between them. */
      readonly issuer?: string;
      readonly claims: Readonly<Record<string, string>>;
    }
  | { readonly kind: "person"; readonly group: string }
  | { readonly kind: "person"; readonly subject: string }
  | { readonly kind: "slack"; readonly group: string };

export interface RuleApproval {
  readonly from: To;
  readonly count: number;
  readonly withinSeconds: number;
}

/** Who may have a profile, how long, and who must approve. */
export interface Rule {
  readonly id: string;
  readonly profile: string;
  readonly to: To;
  readonly may: ReadonlyArray<"request" | "approve" | "read" | "revoke" | "readAudit">;
  /** Caps the profile's longest duration. */
  readonly capSeconds?: number;
  readonly approval?: RuleApproval;
}

/** Where tokens may come from, beside the built-in public issuers. */
export interface Issuer {
  readonly url: string;
  /** Exactly one of these two. */
  readonly pipeline?: string;
  readonly login?: string;
  /** Name of the SSM parameter that holds the webhook's secret. */
  readonly webhookSecret?: string;
}

export interface Config {
  readonly version: 1;
  readonly audience: string;
  readonly issuers: readonly Issuer[];
  readonly profiles: Readonly<Record<string, Profile>>;
  readonly rules: readonly Rule[];
  /** Hand-written Cedar beside the configuration, by file name. */
  readonly cedar: Readonly<Record<string, string>>;
  /** SHA-256 over all of it: the policy version in every decision. */
  readonly hash: string;
}
