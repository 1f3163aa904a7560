/** A load: a system of its own, its traffic, what came of it, and whether all of it holds. */
import { setImmediate } from "node:timers/promises";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import { deadBy, type Grant } from "@stint/core/grant";
import { createVirtualClock } from "@stint/local/clock";
import { NAMES } from "@stint/local/roles";
import type { SdkRequestHandler } from "@stint/local/transport";
import { seededRandom } from "@stint/local/world";
import { type Credential, works } from "../bench/credential.ts";
import { iamWrites } from "../bench/iam-writes.ts";
import { rounded } from "../bench/row.ts";
import { createSystem, type System } from "../bench/system.ts";
import { type Check, check, type Seen } from "./checks.ts";
import { BUCKET, loadConfig, profileName } from "./configuration.ts";
import { type Evidence, gather } from "./evidence.ts";
import { type Kind, plans, type Told } from "./story.ts";
import { play, type Traffic } from "./traffic.ts";

export interface LoadOptions {
  readonly grants: number;
  readonly roles: number;
  readonly inFlight: number;
}

interface Spread {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

export interface Load {
  readonly options: LoadOptions;
  readonly seen: Seen;
  readonly found: Evidence;
  readonly checks: readonly Check[];
  readonly told: {
    /** Real time of the traffic, and of all with what came after it. */
    readonly seconds: number;
    readonly secondsInAll: number;
    /** Per second of real time. */
    readonly rates: { readonly opens: number; readonly refreshes: number; readonly ends: number };
    /** Real ms of the handler. */
    readonly callMs: Readonly<Record<Kind, Spread>>;
    /** Virtual ms from a webhook's answer to the end of its job's grant, which follows by the table's stream. */
    readonly webhookToEndMs: Spread;
    /** Grants that somebody ended early, and whose leases were all over when it came to that. */
    readonly overBefore: number;
    /** Virtual ms from the moment at which a grant began to end. */
    readonly timeToDeniedMs: Spread;
    readonly timeToDeadMs: Spread;
    /** Grants that were left to lapse for want of room. */
    readonly lapsed: number;
    readonly iamWrites: Spread & { readonly all: number };
    readonly megabytes: number;
  };
}

const START = Date.parse("2026-11-22T12:00:00Z");
const IAM_DELAY_MS = 1_000;
const READ_LAG_MS = 2_000;
/** Long enough for what waits for IAM, and shorter than most leases. */
const PROOF_MS = 20_000;
/** What retries has had its time, and what fires late has fired. */
const AFTER_MS = 11 * 60_000;
/** A full list is no fault where there are few roles: what lapses says so by its deadBy. */
const EXPECTED = "deny_list_full";

export async function load(options: LoadOptions): Promise<Load> {
  const { grants, roles, inFlight } = options;
  const begun = performance.now();
  const clock = createVirtualClock(START);
  const writes = iamWrites();
  const errors: string[] = [];
  const timesToDead: number[] = [];
  const system = await createSystem({
    clock,
    config: loadConfig(roles),
    iamDelayMs: IAM_DELAY_MS,
    through: (inner) => yielding(writes.through(inner)),
    log: {
      info: (message, { metric, value }) => {
        if (message === "measured" && metric === "timeToDeadMs") timesToDead.push(Number(value));
      },
      error: (message, details) => {
        if (message !== EXPECTED) errors.push(`${message} ${JSON.stringify(details)}`);
      },
    },
  });
  const { aws } = system;
  // As in the journeys: indexes and default reads are late, schedules fire within their minute, and shards are several.
  aws.services.dynamodb.setReadLag(READ_LAG_MS);
  aws.services.scheduler.configure({ fireLateMs: "random" });
  aws.services.dynamodb.splitShards(NAMES.table);
  const s3 = new S3Client({ ...system.client(), forcePathStyle: true });
  await s3.send(new CreateBucketCommand({ Bucket: BUCKET }));

  const traffic = await play(system, clock, plans(grants, roles, seededRandom(1)), inFlight);
  await aws.advance(PROOF_MS);
  const undead = await deadThatWork(system, traffic.told);
  const last = Math.max(
    ...traffic.told.flatMap(({ credentials }) => credentials.map(({ until }) => until)),
  );
  await aws.advance(Math.max(0, last - clock.now()) + AFTER_MS);
  for (const { plan, credentials } of traffic.told)
    for (const one of plan.sampled ? credentials : [])
      if (await works(system, BUCKET, one)) undead.push(one.accessKeyId);
  errors.push(...aws.errors.map((error) => `inside local AWS: ${String(error)}`));

  const names = Array.from({ length: roles }, (_, number) => profileName(number));
  const found = await gather(system, names);
  const { told, failures } = traffic;
  const seen = { told, failures, errors, longestList: writes.longest, undead };
  const perRole = names.map((name) => writes.lists.get(name) ?? 0);
  return {
    options,
    seen,
    found,
    checks: check(seen, found),
    told: {
      ...rates(traffic),
      secondsInAll: rounded((performance.now() - begun) / 1000),
      webhookToEndMs: spread(webhookToEnd(told, found.grants)),
      overBefore: found.grants.filter(isOverBefore).length,
      timeToDeniedMs: spread(found.grants.flatMap(timeToDenied)),
      timeToDeadMs: spread(timesToDead),
      lapsed: found.grants.filter(isLapsed).length,
      iamWrites: { ...spread(perRole), all: perRole.reduce((sum, count) => sum + count, 0) },
      megabytes: Math.round(process.memoryUsage().rss / 2 ** 20),
    },
  };
}

/**
 * As a network does, each call lets others have their turn: in one process nothing else would, and what is worked on
 * by other threads, such as a token's signature, would not be heard of for seconds.
 */
const yielding = (inner: SdkRequestHandler): SdkRequestHandler => ({
  ...inner,
  handle: async (...args) => {
    await setImmediate();
    return inner.handle(...args);
  },
});

/** Sampled credentials whose grants say that they are dead before their own end has come, and that work. */
async function deadThatWork(system: System, told: readonly Told[]): Promise<string[]> {
  const { store } = system.stint.app("api").deps;
  const working: Credential[] = [];
  for (const { id, plan, credentials } of told) {
    if (!plan.sampled || id === "") continue;
    const grant = (await store.find(id))?.grant;
    const at = grant === undefined ? undefined : deadBy(grant);
    if (at === undefined || at > system.aws.clock.now()) continue;
    for (const one of credentials) if (await works(system, BUCKET, one)) working.push(one);
  }
  return working.map(({ accessKeyId }) => accessKeyId);
}

function rates({ seconds, times }: Traffic) {
  const { open, refresh, release, revoke, webhook } = times;
  const ends = release.length + revoke.length + webhook.length;
  return {
    seconds: rounded(seconds),
    rates: {
      opens: rounded(open.length / seconds),
      refreshes: rounded(refresh.length / seconds),
      ends: rounded(ends / seconds),
    },
    callMs: {
      open: spread(open),
      refresh: spread(refresh),
      release: spread(release),
      webhook: spread(webhook),
      revoke: spread(revoke),
    },
  };
}

const timeToDenied = (grant: Grant): number[] =>
  grant.state === "ended" && grant.deniedAt !== undefined ? [grant.deniedAt - grant.endedAt] : [];

function webhookToEnd(told: readonly Told[], grants: readonly Grant[]): number[] {
  const ends = new Map(grants.map((grant) => [grant.id, grant]));
  return told.flatMap(({ id, plan, endAskedAt }) => {
    const grant = ends.get(id);
    const known = endAskedAt !== undefined && grant?.state === "ended";
    return plan.ending === "webhook" && known ? [Math.max(0, grant.endedAt - endAskedAt)] : [];
  });
}

const isOverBefore = (grant: Grant): boolean =>
  grant.state === "ended" &&
  grant.why !== "expired" &&
  Object.values(grant.leases).every(({ until }) => until <= grant.endedAt);

/** It was ended while a lease ran, and nothing denied it. */
const isLapsed = (grant: Grant): boolean =>
  grant.state === "ended" &&
  grant.deniedAt === undefined &&
  Object.values(grant.leases).some(({ until }) => until > grant.endedAt);

function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number) => rounded(sorted[Math.ceil(share * sorted.length) - 1] ?? 0);
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) };
}
