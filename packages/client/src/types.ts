/**
 * What the HTTP API sends, written by hand because others install it: a change here is a change for them.
 * Every time is an ISO 8601 string in UTC, every duration one whole number and one unit (`90s`, `20m`, `2h`).
 */

/** Where a grant is in its life. `refused` and `ended` are final. */
export type GrantState =
  | "pending"
  | "ready"
  | "opening"
  | "active"
  | "ending"
  | "ended"
  | "refused";

/** Why a grant ended, or why it was refused. */
export type GrantWhy =
  | "expired"
  | "job_ended"
  | "released"
  | "revoked"
  | "withdrawn"
  | "unclaimed"
  | "failed"
  | "target_gone"
  | "rule"
  | "approver"
  | "approval_expired";

/**
 * How soon a target can take a credential back: `immediate`, the provider kills it; `next-request`, it is denied from
 * the next call on, once the denial has spread; `lapse`, it dies at the end of its lease and nothing sooner.
 */
export type Revocability = "immediate" | "next-request" | "lapse";

/** Whose grant it is. `personal` is there only for callers who may read the grant. */
export interface PrincipalView {
  readonly kind: "job" | "person" | "workload";
  readonly id: string;
  readonly claims: Readonly<Record<string, string>>;
  readonly personal?: Readonly<Record<string, string>>;
}

/** The CI job that a grant is bound to: when it ends, so does the grant. */
export interface JobView {
  readonly pipeline: string;
  readonly issuer: string;
  readonly run: string;
  readonly attempt: string;
  readonly job: string;
}

/** The life of one credential that was handed out. */
export interface LeaseView {
  readonly target: string;
  /** ISO 8601. */
  readonly until: string;
  readonly accessKeyId?: string;
  /** Of a login of a database. */
  readonly user?: string;
}

/** A grant as the API shows it. Never a secret. */
export interface GrantView {
  readonly id: string;
  readonly profile: string;
  readonly state: GrantState;
  readonly principal: PrincipalView;
  /** The prefix that is this grant's own: `it-<grant id>`. */
  readonly namespace: string;
  /** The label and the reason that the request gave. */
  readonly name?: string;
  readonly reason?: string;
  readonly job?: JobView;
  /** The rule that allowed it. */
  readonly rule: string;
  readonly createdAt: string;
  /** Absent until it is claimed. */
  readonly startsAt?: string;
  /** The latest time at which it ends by itself. */
  readonly endsAt: string;
  /** Only while `ready`: until when it may be claimed. */
  readonly claimBy?: string;
  /** When its ending began. */
  readonly endedAt?: string;
  readonly why?: GrantWhy;
  /** After this no credential of the grant works. There from the first lease on. */
  readonly deadBy?: string;
  /** When the denial of its sessions was written. */
  readonly deniedAt?: string;
  /** When a probe proved the denial. */
  readonly provedAt?: string;
  readonly stuck?: boolean;
  /** What fails, where its ending is stuck. */
  readonly error?: string;
  /** Where the rule asks for it: how many must approve, and how many have. */
  readonly approval?: { readonly count: number; readonly given: number };
  /** By target. */
  readonly revocability: Readonly<Record<string, Revocability>>;
  readonly leases: readonly LeaseView[];
}

/** Credentials of one AWS target. Secret: keep them out of logs. */
export interface AwsCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
  /** The lease's end, ISO 8601. */
  readonly expiration: string;
}

/** A login of one Postgres target. Secret: keep it out of logs. */
export interface PostgresCredentials {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password: string;
  /** The grant's own schema, first in the login's `search_path`. */
  readonly schema?: string;
  /** PEM of the authority of the server's certificate, where it is not a public one. */
  readonly ca?: string;
  /** The lease's end, ISO 8601: no new login after it. */
  readonly expiration: string;
}

export type TargetCredentials = AwsCredentials | PostgresCredentials;

/** What was minted, by the target's name in the profile. */
export type Credentials = Readonly<Record<string, TargetCredentials>>;

/** One condition of a rule that did not hold. */
export interface FailedClaim {
  readonly claim: string;
  /** Told only to callers that match the rule's ids. */
  readonly expected?: string;
  /** `null` where the caller has no such claim. */
  readonly actual: string | null;
}

/** Why a request was refused, by the rule that came nearest to allowing it. */
export interface Explanation {
  readonly rule?: string;
  readonly failed: readonly FailedClaim[];
  /** How many rules were looked at. */
  readonly considered: number;
}

/** An error as the API sends it: an RFC 9457 problem document. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  readonly hint?: string;
  /** Of an order of revocation that could not be finished: how many grants ended. */
  readonly ended?: number;
  readonly requestId: string;
  readonly explanation?: Explanation;
}

/** The body of a request for a grant. */
export interface GrantRequest {
  readonly profile: string;
  /** How long the grant lasts; the profile's default otherwise. */
  readonly duration?: string;
  /** How long one credential lasts, `60s` to `1h`; never longer than what is left of the grant. */
  readonly lease?: string;
  /** A label, nothing more. */
  readonly name?: string;
  /** For the approvers and the audit log. */
  readonly reason?: string;
}

/** The answer to a request. No `credentials` means that it waits for approval. */
export interface GrantAnswer {
  readonly grant: GrantView;
  /** Opens claim, refresh, read and release of this grant alone. Secret. */
  readonly token: string;
  readonly credentials?: Credentials;
}

/** The answer to a claim or a refresh. */
export interface CredentialsAnswer {
  readonly grant: GrantView;
  readonly credentials: Credentials;
}

/** Which grants to list. */
export interface GrantFilters {
  readonly state?: GrantState;
  readonly profile?: string;
  /** A principal's id. */
  readonly principal?: string;
  readonly job?: string;
  /** Only those whose ending is stuck. */
  readonly stuck?: boolean;
  /** Where the rule asks for it: how many must approve, and how many have. */
  readonly approval?: { readonly count: number; readonly given: number };
  /** Grants on one page. */
  readonly limit?: number;
}

/** One page of grants; `cursor` is there when more follow. */
export interface GrantPage {
  readonly grants: readonly GrantView[];
  readonly cursor?: string;
}

/** What an order of revocation is about: at most one of `profile`, `principal`, `role`; without any, everything. */
export interface RevocationRequest {
  readonly profile?: string;
  /** A principal's id. */
  readonly principal?: string;
  /** ARN of a target role. */
  readonly role?: string;
  /** With `role`: every session of it that was issued until now, also those that Stint knows nothing of. */
  readonly hard?: boolean;
  /** Only count: nothing ends. */
  readonly dryRun?: boolean;
  /** For the audit log. */
  readonly reason?: string;
}

/** A lease that nobody can end early. */
export interface LapsingLease {
  readonly grant: string;
  readonly target: string;
  /** When it is over, ISO 8601. */
  readonly until: string;
}

/** The answer to an order of revocation. */
export interface RevocationAnswer {
  /** How many grants it ended, or would have. */
  readonly count: number;
  readonly lapsing: readonly LapsingLease[];
  /** Of a hard one: every grant with sessions of the role. */
  readonly hits?: ReadonlyArray<{
    readonly grant: string;
    readonly profile: string;
    readonly principal: string;
  }>;
}

/** The answer to a dry run. */
export interface DecisionAnswer {
  readonly allowed: boolean;
  readonly rule?: string;
  readonly explanation?: Explanation;
}

/** What `GET /healthz` says. */
export interface Health {
  readonly status: string;
  /** The audience that tokens for this server must name. */
  readonly audience?: string;
}
