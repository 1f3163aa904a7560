/**
 * What the use cases need from outside, named by the domain. `packages/aws` implements these; the simulation and the
 * tests drive the same implementations against local AWS.
 */
import type { KeyObject } from "node:crypto";
import type { AuditRecord } from "@stint/core/audit";
import type { Listed, Watermark } from "@stint/core/deny-list";
import { GrantError } from "@stint/core/error";
import type { Grant, GrantTarget, Lease } from "@stint/core/grant";
import type { PostgresCredentials } from "@stint/core/postgres";
import type { JobKey, TokenProof } from "@stint/core/principal";
import type { TargetConfig } from "@stint/core/profile";
import type { Alarm, Metric } from "./alarms.ts";

/** A grant as it was read, with the version on which the next write is conditioned. */
export interface Stored {
  readonly grant: Grant;
  readonly version: number;
}

/** One role's sessions of one grant, to be denied until their last end. */
export interface Denial {
  readonly role: string;
  readonly grant: string;
  readonly until: number;
  /** The last moment at which one of its sessions may have been issued. */
  readonly issuedBy: number;
  /** When a deny list that names it was written. */
  readonly deniedAt?: number;
  /** When a session of the grant was asked, and refused. */
  readonly provedAt?: number;
  /** Why its sessions are left to lapse: there was no room for it, or the role is gone. */
  readonly spared?: "full" | "gone";
}

/** What is known of a role beside its denials. */
export interface RoleState {
  /** When the last of the denials that its list was written for is over. */
  readonly until?: number;
  /** As the worker has written it. */
  readonly watermark?: Watermark;
  /** As somebody wants it, whomever it hits. */
  readonly hard?: Watermark;
}

/** What a pipeline reported: the end of one job, or of all jobs of one attempt of a run. */
export type JobEnd =
  | { readonly kind: "job.ended"; readonly job: JobKey }
  | ({ readonly kind: "run.ended" } & Omit<JobKey, "job">);

export interface Delivery {
  readonly pipeline: string;
  readonly id: string;
}

export type Opened =
  | { readonly kind: "opened"; readonly stored: Stored }
  | { readonly kind: "exists"; readonly stored: Stored }
  | { readonly kind: "job_ended" }
  | { readonly kind: "token_used" };

export type Replaced =
  | { readonly kind: "written"; readonly stored: Stored }
  /** Somebody was faster: this is the grant now. */
  | { readonly kind: "changed"; readonly stored: Stored }
  | { readonly kind: "job_ended" };

export interface Page {
  readonly grants: readonly Grant[];
  /** Where to go on, opaque to callers. */
  readonly next?: string;
}

/** Grants that exist. Ending one takes no more. */
export interface Grants {
  /** Strongly consistent. */
  find(id: string): Promise<Stored | undefined>;
  replace(
    before: Stored,
    after: Grant,
    record: AuditRecord | undefined,
    denials?: readonly Denial[],
  ): Promise<Replaced>;
  /** No lease can be planned or written from now on. */
  close(id: string): Promise<void>;
}

export interface Openings {
  open(grant: Grant, proof: TokenProof, record: AuditRecord): Promise<Opened>;
  /** A ready grant starts: as `replace`, and only while its job runs. */
  start(before: Stored, after: Grant, record: AuditRecord): Promise<Replaced>;
  /** Undefined when it was written; otherwise the grant as it is. */
  plan(
    grant: Grant,
    planned: Readonly<Record<string, Lease>>,
    /** Keys of leases that are over and go. */
    over: readonly string[],
  ): Promise<Stored | undefined>;
  lease(
    grant: Grant,
    minted: Readonly<Record<string, Lease>>,
    record: AuditRecord,
  ): Promise<Replaced>;
}

export interface Notes {
  note(record: AuditRecord): Promise<void>;
}

export interface Lists {
  byProfile(profile: string, query: ListQuery): Promise<Page>;
  byPrincipal(principal: string, query: ListQuery): Promise<Page>;
}

export interface Tombstones {
  /** Writes the tombstone once for each delivery. */
  tombstone(end: JobEnd, delivery: Delivery, record: AuditRecord): Promise<"written" | "replayed">;
}

export interface JobGrants {
  grantsOf(end: JobEnd): Promise<readonly string[]>;
}

export interface Due {
  /** Ids of grants whose `dueAt` has come, as the index knows them. */
  due(now: number): AsyncIterable<string>;
}

export interface Denials {
  /** Strongly consistent. */
  denials(role: string): Promise<readonly Denial[]>;
  denial(role: string, grant: string): Promise<Denial | undefined>;
  markDenied(denial: Denial, at: number): Promise<void>;
  /** It will not be denied: its sessions lapse. */
  spare(denial: Denial, why: "full" | "gone"): Promise<void>;
}

export interface Proofs {
  /** A list that was written at `deniedAt` names the grant, and at `provedAt` it was seen to hold. */
  markProved(role: string, grant: string, deniedAt: number, provedAt: number): Promise<void>;
}

/** Roles, each looked after by one worker at a time. */
export interface Roles {
  role(role: string): Promise<RoleState>;
  /** The worker's own note of what it writes. `record` tells of it. */
  noteRole(
    role: string,
    state: Pick<RoleState, "until" | "watermark">,
    record?: AuditRecord,
  ): Promise<void>;
}

export interface HardOrders {
  /** Never moved back: where a later one stands, that one does. */
  orderHard(role: string, hard: Watermark, record: AuditRecord): Promise<void>;
}

export interface LiveGrants {
  /** Ids of grants that have sessions of the role, or may have them any moment. Strongly consistent. */
  liveOf(role: string): AsyncIterable<string>;
}

export interface Denied {
  /** Roles with denials that run, as the index knows them. */
  deniedRoles(now: number): AsyncIterable<string>;
}

export interface KnownRoles {
  /** Roles that have a list, or had one until a day ago, as the index knows them. */
  knownRoles(): AsyncIterable<string>;
}

export interface Lives {
  /** Takes away the note that a grant lives on a role. False where it does live, or the note is gone already. */
  removeLife(role: string, grant: string, record: AuditRecord): Promise<boolean>;
}

/** Everything that the table is asked. */
export type Store = Grants &
  Openings &
  Notes &
  Lists &
  Tombstones &
  JobGrants &
  Due &
  Denials &
  Proofs &
  Roles &
  HardOrders &
  LiveGrants &
  Denied &
  KnownRoles &
  Lives;

export interface ListQuery {
  readonly state?: Grant["state"];
  /** Only those that may still be claimed, minted or used. */
  readonly live?: true;
  /** Only those that were created then or later, epoch ms. */
  readonly since?: number;
  readonly stuck?: boolean;
  readonly job?: string;
  readonly limit: number;
  readonly from?: string;
}

/** What a caller gets of an AWS target, once. */
export interface AwsCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
  /** The lease's end, epoch ms. */
  readonly expiration: number;
}

export type Credentials = AwsCredentials | PostgresCredentials;

export interface Minted {
  readonly credentials: Credentials;
  /** What the lease is known by, and the SHA-256 of its secret, hex. */
  readonly lease: Pick<Lease, "issuedAt" | "accessKeyId" | "user" | "hash">;
}

/** What the grant was of does not exist any more: nobody will mint it again, and what lives of it has ended. */
export class TargetGone extends GrantError {}

export interface Target {
  /** What ending it takes, for the grant's record. */
  planned(target: TargetConfig): GrantTarget;
  /** @throws GrantError target_refused, policy_too_large; everything else is a fault. */
  mint(of: {
    readonly grant: Grant;
    readonly target: TargetConfig;
    /** Names this mint of this target, and no other. */
    readonly key: string;
    readonly until: number;
    readonly now: number;
  }): Promise<Minted>;
}

export interface Schedules {
  /** One schedule per grant, named by it. One that exists already counts only if its time is right. */
  create(grantId: string, at: number): Promise<void>;
}

export interface Unscheduling {
  /** Succeeds also where there is none. */
  remove(grantId: string): Promise<void>;
}

export interface Timetable {
  /** Names of all schedules, whether they are grants' or somebody else's. */
  all(): AsyncIterable<string>;
  /** Whether the grant's schedule ends it at this time. */
  check(grantId: string, at: number): Promise<"right" | "wrong" | "missing">;
}

/** The keys under which grant tokens are made: the newest first, at most two. */
export interface TokenKeys {
  current(): Promise<ReadonlyArray<{ readonly version: string; readonly key: KeyObject }>>;
}

/** The deny list that rests on a role. */
export interface DenyList {
  /** The list as IAM has it, or undefined where there is none or it is not as we write it; `gone` where the role is. */
  read(role: string): Promise<Listed | "gone" | undefined>;
  /** False where the role itself is gone. */
  write(role: string, list: Listed): Promise<boolean>;
  /** How many ids fit. */
  readonly capacity: number;
}

export interface Bus {
  publish(records: readonly AuditRecord[]): Promise<void>;
}

export interface DirtyRoles {
  /** Says that a role's list needs a look. `cause` makes a repeat of the same message one. */
  mark(role: string, cause: string, look: Look): Promise<void>;
}

/**
 * Why a role is looked at: `new`, a denial may be; `check`, IAM's list may not be what was written; `tidy`, it may hold
 * what is over.
 */
export type Look = "new" | "check" | "tidy";

/** Takes away what a target's credentials can do. */
export interface Clearing {
  /**
   * Safe to repeat, at any point and by several at once. `cleared` is a proof: the target itself says that nothing of
   * the grant is left. `gone`: so says the target of itself. Everything else throws.
   */
  clear(grantId: string, target: GrantTarget): Promise<"cleared" | "gone">;
}

/** What targets have of grants, whatever the table knows of these. */
export interface Inventory {
  /**
   * Ids of grants of which the target's server has something that Stint made. Whoever asks must look the grants up after
   * the answer, not before: one that was opened in between would look like nobody's.
   */
  strays(target: GrantTarget): Promise<readonly string[]>;
}

/** Says that a grant that has ended has something to be cleared. */
export interface ClearRequests {
  ask(grantId: string): Promise<void>;
}

/** A list was written and named these grants for the first time. */
export interface ProofRequest {
  readonly role: string;
  readonly deniedAt: number;
  /** When the last of their leases is over: then there is nothing left to prove. */
  readonly until: number;
  readonly grants: readonly string[];
}

export interface ProofRequests {
  ask(request: ProofRequest): Promise<void>;
}

export interface Prober {
  /** A session with the grant's source identity that may do one harmless thing. True when it is explicitly denied. */
  open(role: string, grant: string, regions: readonly string[]): Promise<() => Promise<boolean>>;
}

/** Where the time, waiting and new ids come from. */
export interface Ambient {
  now(): number;
  sleep(ms: number): Promise<void>;
  /** A new id: sorts by time, never repeats. */
  id(): string;
  /** What operators must see. Never a secret. */
  alarm(event: Alarm, details: Readonly<Record<string, unknown>>): void;
  /** What operators look at over time. */
  measure(metric: Metric, value: number, details: Readonly<Record<string, unknown>>): void;
}
