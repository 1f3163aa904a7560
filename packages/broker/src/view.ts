import {
  deadBy,
  type EndReason,
  endsAt,
  type Grant,
  jobOf,
  type RefusalReason,
} from "@stint/core/grant";
import type { JobKey, Personal } from "@stint/core/principal";
import type { Revocability } from "@stint/core/profile";
import { iso } from "@stint/core/time";
import type { Credentials } from "./ports.ts";
import type { Hit, Revocation } from "./revocations.ts";

/** A grant as the API tells it: times in ISO 8601, no secret. */
export interface GrantView {
  readonly id: string;
  readonly profile: string;
  readonly state: Grant["state"];
  readonly principal: {
    readonly kind: "job" | "person";
    readonly id: string;
    readonly claims: Readonly<Record<string, string>>;
    readonly personal?: Personal;
  };
  readonly namespace: string;
  readonly name?: string;
  readonly reason?: string;
  readonly job?: JobKey;
  readonly rule: string;
  readonly createdAt: string;
  readonly startsAt?: string;
  readonly endsAt: string;
  readonly claimBy?: string;
  readonly endedAt?: string;
  readonly why?: EndReason | RefusalReason;
  readonly deadBy?: string;
  readonly deniedAt?: string;
  readonly provedAt?: string;
  readonly stuck?: true;
  /** What failed, where it is stuck. */
  readonly error?: string;
  readonly approval?: { readonly count: number; readonly given: number };
  readonly revocability: Readonly<Record<string, Revocability>>;
  readonly leases: ReadonlyArray<{
    readonly target: string;
    readonly until: string;
    readonly accessKeyId?: string;
    readonly user?: string;
  }>;
}

type Shown<C> = C extends unknown ? Omit<C, "expiration"> & { readonly expiration: string } : never;

export type CredentialsView = Readonly<Record<string, Shown<Credentials>>>;

/** Only for callers who may read the grant: it tells the personal fields too. */
export function viewOf(grant: Grant): GrantView {
  const { principal } = grant;
  const job = jobOf(grant);
  const dead = deadBy(grant);
  const at = <K extends string>(key: K, ms: number | undefined) =>
    ms === undefined ? {} : ({ [key]: iso(ms) } as Record<K, string>); // one key, by construction
  return {
    id: grant.id,
    profile: grant.profile,
    state: grant.state,
    principal: {
      kind: principal.kind,
      id: principal.id,
      claims: principal.claims,
      ...(principal.personal === undefined ? {} : { personal: principal.personal }),
    },
    namespace: grant.namespace,
    ...(grant.name === undefined ? {} : { name: grant.name }),
    ...(grant.reason === undefined ? {} : { reason: grant.reason }),
    ...(job === undefined ? {} : { job }),
    rule: grant.rule,
    createdAt: iso(grant.createdAt),
    ...at("startsAt", "startsAt" in grant ? grant.startsAt : undefined),
    endsAt: iso(endsAt(grant)),
    ...at("claimBy", grant.state === "ready" ? grant.claimBy : undefined),
    ...at("endedAt", "endedAt" in grant ? grant.endedAt : undefined),
    ...("why" in grant ? { why: grant.why } : {}),
    ...at("deadBy", dead),
    ...at("deniedAt", grant.state === "ended" ? grant.deniedAt : undefined),
    ...at("provedAt", grant.state === "ended" ? grant.provedAt : undefined),
    ...(grant.state === "ending" && grant.stuck === true ? { stuck: true } : {}),
    ...(grant.state === "ending" && grant.error !== undefined ? { error: grant.error } : {}),
    ...(grant.approval === undefined
      ? {}
      : { approval: { count: grant.approval.count, given: grant.approval.given.length } }),
    revocability: Object.fromEntries(
      Object.entries(grant.targets).map(([name, target]) => [name, target.revocability]),
    ),
    leases:
      "leases" in grant
        ? Object.values(grant.leases).map((lease) => ({
            target: lease.target,
            until: iso(lease.until),
            ...(lease.accessKeyId === undefined ? {} : { accessKeyId: lease.accessKeyId }),
            ...(lease.user === undefined ? {} : { user: lease.user }),
          }))
        : [],
  };
}

export const credentialsView = (
  credentials: Readonly<Record<string, Credentials>>,
): CredentialsView =>
  Object.fromEntries(
    Object.entries(credentials).map(([target, of]) => [
      target,
      { ...of, expiration: iso(of.expiration) },
    ]),
  );

/** What became of an order of revocation, or would. */
export interface RevocationView {
  readonly count: number;
  readonly lapsing: ReadonlyArray<{
    readonly grant: string;
    readonly target: string;
    readonly until: string;
  }>;
  readonly hits?: readonly Hit[];
}

export const revocationView = ({ count, lapsing, hits }: Revocation): RevocationView => ({
  count,
  lapsing: lapsing.map((one) => ({ ...one, until: iso(one.until) })),
  ...(hits === undefined ? {} : { hits }),
});
