/** The audit log in S3: immutable objects, one for each batch of changes and day. */
import { createHash } from "node:crypto";
import {
  HeadObjectCommand,
  PutObjectCommand,
  type PutObjectCommandInput,
  type S3Client,
  S3ServiceException,
} from "@aws-sdk/client-s3";
import { type AuditRow, padSequence } from "@stint/core/audit-columns";
import { toParquet } from "./parquet.ts";

interface Place {
  readonly s3: S3Client;
  readonly bucket: string;
  /** Ends with a slash unless it is empty. */
  readonly prefix?: string;
}

/** With Object Lock: until when nobody may delete an object that is written now. */
export type AuditLogOptions = Place &
  (
    | { readonly retainUntil?: never; readonly now?: () => number }
    | { readonly retainUntil: (now: number) => Date; readonly now: () => number }
  );

export interface AuditLog {
  /**
   * Returns once every record of the batch is in S3. A batch may come again, whole or cut otherwise, after any
   * failure; batches of one shard must come one after the other.
   */
  append(shard: string, batch: readonly AuditRow[]): Promise<void>;
}

/**
 * An object is named by the sequence number of its first record and put on condition that it does not exist. Where it
 * does, this batch came before: what the object holds is skipped and the rest goes into one of its own. A batch that
 * comes again *shorter* is skipped in full, and the next one begins inside the object: those records are then in two
 * objects, and readers see them once by their event id.
 */
export function createAuditLog(options: AuditLogOptions): AuditLog {
  const { s3, bucket, prefix = "audit/" } = options;

  /** True if it was written now, false if there is such an object. */
  async function put(Key: string, shard: string, rows: readonly AuditRow[]): Promise<boolean> {
    try {
      await s3.send(
        new PutObjectCommand({
          Bucket: bucket,
          Key,
          Body: toParquet(rows),
          ContentType: "application/vnd.apache.parquet",
          IfNoneMatch: "*",
          Metadata: metadataOf(shard, rows),
          ...retention(options),
        }),
      );
      return true;
    } catch (error) {
      if (error instanceof S3ServiceException && error.name === "PreconditionFailed") return false;
      throw error;
    }
  }

  async function appendDay(day: string, shard: string, rows: readonly AuditRow[]): Promise<void> {
    let rest = rows;
    let distinct = "";
    while (rest.length > 0) {
      const first = firstOf(rest);
      const name = `${padSequence(first.sequenceNumber)}${distinct}`;
      const key = `${prefix}day=${day}/${name}.parquet`;
      if (await put(key, shard, rest)) return;
      const { Metadata } = await s3.send(new HeadObjectCommand({ Bucket: bucket, Key: key }));
      const last = lastOf(Metadata);
      if (last === undefined || last < BigInt(first.sequenceNumber)) {
        throw new Error(`${key} in ${bucket} is not an object of the audit log`);
      }
      if (Metadata?.["first-event"] !== encodeURIComponent(first.record.id)) {
        // Another shard's: sequence numbers are unique in a shard only, and taking this object for ours loses records.
        if (distinct !== "") throw new Error(`${key} in ${bucket} begins with another record`);
        distinct = `-${sha256(first.record.id).slice(0, 16)}`;
        continue;
      }
      rest = rest.filter((row) => BigInt(row.sequenceNumber) > last);
      distinct = "";
    }
  }

  return {
    async append(shard, batch) {
      for (const [day, rows] of byDay(batch)) await appendDay(day, shard, rows);
    },
  };
}

function retention(options: AuditLogOptions): Partial<PutObjectCommandInput> {
  if (options.retainUntil === undefined) return {};
  return {
    ObjectLockMode: "COMPLIANCE",
    ObjectLockRetainUntilDate: options.retainUntil(options.now()),
  };
}

/** Header values: what could be more than ASCII is percent-encoded. */
function metadataOf(shard: string, rows: readonly AuditRow[]): Record<string, string> {
  const first = firstOf(rows);
  return {
    "first-sequence": first.sequenceNumber,
    "last-sequence": (rows.at(-1) ?? first).sequenceNumber,
    "first-event": encodeURIComponent(first.record.id),
    records: String(rows.length),
    shard: encodeURIComponent(shard),
  };
}

/** The sequence number up to which an object goes; nothing where it does not say. */
function lastOf(metadata: Record<string, string> | undefined): bigint | undefined {
  const last = metadata?.["last-sequence"];
  return last !== undefined && /^[0-9]+$/.test(last) ? BigInt(last) : undefined;
}

/** The records of each UTC day, in the order of the stream. */
function byDay(batch: readonly AuditRow[]): Map<string, AuditRow[]> {
  const days = new Map<string, AuditRow[]>();
  for (const row of batch.toSorted(bySequence)) {
    const day = new Date(row.record.time).toISOString().slice(0, 10);
    const rows = days.get(day);
    if (rows === undefined) days.set(day, [row]);
    else rows.push(row);
  }
  return days;
}

function bySequence(a: AuditRow, b: AuditRow): number {
  const difference = BigInt(a.sequenceNumber) - BigInt(b.sequenceNumber);
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

function firstOf(rows: readonly AuditRow[]): AuditRow {
  const [first] = rows;
  if (first === undefined) throw new RangeError("an object of the audit log holds a record");
  return first;
}

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
