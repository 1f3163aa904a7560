import { createHash } from "node:crypto";
import type { JobEnd } from "@stint/broker/ports";
import type { JobKey } from "@stint/core/principal";

/** Every key of the table, and nowhere else. `docs/storage.md` has the access patterns. */

export interface Key {
  readonly pk: string;
  readonly sk: string;
}

type Run = Omit<JobKey, "job">;

/**
 * Partitions of the `due` index. Each takes 1,000 writes a second; STS mints 600 sessions a second in an account, and
 * a grant writes the index two or three times in its life.
 */
export const DUE_SHARDS = 4;

const run = (of: Run): string => `RUN#${of.issuer}#${of.run}#${of.attempt}`;

export const grantKey = (id: string): Key => ({ pk: `GRANT#${id}`, sk: "GRANT" });
export const runKey = (of: Run): Key => ({ pk: run(of), sk: "RUN" });
export const jobKey = (of: JobKey): Key => ({ pk: run(of), sk: `JOB#${of.job}` });
/** Issuers number their tokens each for itself; hashed, because a `jti` may be of any length and alphabet. */
export const tokenKey = (issuer: string, jti: string): Key => ({
  pk: `TOKEN#${createHash("sha256").update(`${issuer}\n${jti}`).digest("hex")}`,
  sk: "TOKEN",
});
export const denialKey = (role: string, grant: string): Key => ({
  pk: `ROLE#${role}`,
  sk: `DENY#${grant}`,
});
export const liveKey = (role: string, grant: string): Key => ({
  pk: `ROLE#${role}`,
  sk: `LIVE#${grant}`,
});
export const roleKey = (role: string): Key => ({ pk: `ROLE#${role}`, sk: ROLE_ITEM });
export const deliveryKey = (pipeline: string, id: string): Key => ({
  pk: `DELIVERY#${pipeline}#${id}`,
  sk: "DELIVERY",
});
export const decisionKey = (id: string): Key => ({ pk: `DECISION#${id}`, sk: "DECISION" });

export const endKey = (end: JobEnd): Key =>
  end.kind === "job.ended" ? jobKey(end.job) : runKey(end);

export const ROLE_ITEM = "ROLE";
export const DENIAL_PREFIX = "DENY#";
export const LIVE_PREFIX = "LIVE#";
/** The partition of the `due` index that holds roles, by when their last denial is over. */
export const DENIED_ROLES = "ROLES";
export const JOB_PREFIX = "JOB#";

/** The grant's shard of the `due` index. */
export const dueShard = (id: string): string =>
  `DUE#${(createHash("sha256").update(id).digest()[0] ?? 0) % DUE_SHARDS}`;

export const dueShards = (): string[] =>
  Array.from({ length: DUE_SHARDS }, (_, shard) => `DUE#${shard}`);
