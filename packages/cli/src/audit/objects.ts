/** The audit log's objects, found by day and copied to where DuckDB may read them. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { GetObjectCommand, ListObjectsV2Command, type S3Client } from "@aws-sdk/client-s3";

export interface AuditBucket {
  readonly s3: S3Client;
  readonly bucket: string;
  /** Default `audit/`. */
  readonly prefix?: string;
}

/** Epoch ms; from `since` on, before `until`. */
export interface TimeRange {
  readonly since?: number;
  readonly until?: number;
}

const PARALLEL = 8;

interface Listing {
  readonly folders: string[];
  readonly keys: string[];
}

async function list(
  { s3, bucket }: AuditBucket,
  Prefix: string,
  signal: AbortSignal,
): Promise<Listing> {
  const found: Listing = { folders: [], keys: [] };
  let next: string | undefined;
  do {
    const page = await s3.send(
      new ListObjectsV2Command({
        Bucket: bucket,
        Prefix,
        Delimiter: "/",
        ...(next === undefined ? {} : { ContinuationToken: next }),
      }),
      { abortSignal: signal },
    );
    for (const { Prefix: folder } of page.CommonPrefixes ?? []) {
      if (folder !== undefined) found.folders.push(folder);
    }
    for (const { Key } of page.Contents ?? []) if (Key !== undefined) found.keys.push(Key);
    next = page.IsTruncated === true ? page.NextContinuationToken : undefined;
  } while (next !== undefined);
  return found;
}

const dayOf = (time: number): string => new Date(time).toISOString().slice(0, 10);

/** A record's day is its own time's, so that the days of a range hold every record of the range. */
const within = (day: string, { since, until }: TimeRange): boolean =>
  (since === undefined || day >= dayOf(since)) && (until === undefined || day <= dayOf(until));

/** Keys of the objects that may hold records of the range. */
export async function auditKeys(
  from: AuditBucket,
  range: TimeRange,
  signal: AbortSignal,
): Promise<string[]> {
  const prefix = from.prefix ?? "audit/";
  const { folders } = await list(from, prefix, signal);
  const days = folders.filter((folder) => {
    const day = /^day=(\d{4}-\d{2}-\d{2})\/$/.exec(folder.slice(prefix.length))?.[1];
    return day !== undefined && within(day, range);
  });
  const listings = await parallel(days, (day) => list(from, day, signal));
  return listings.flatMap(({ keys }) => keys.filter((key) => key.endsWith(".parquet")));
}

/** Copies the objects into a directory, under names of our own: a key may hold anything. */
export async function download(
  { s3, bucket }: AuditBucket,
  keys: readonly string[],
  directory: string,
  signal: AbortSignal,
): Promise<string[]> {
  return await parallel(keys, async (Key, index) => {
    const { Body } = await s3.send(new GetObjectCommand({ Bucket: bucket, Key }), {
      abortSignal: signal,
    });
    if (Body === undefined) throw new Error(`${Key} in ${bucket} came without a body`);
    const file = join(directory, `${index}.parquet`);
    await writeFile(file, await Body.transformToByteArray());
    return file;
  });
}

/** As `Promise.all` over a `map`, a few at a time. After a failure nothing new is begun. */
async function parallel<T, R>(
  items: readonly T[],
  run: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  const queue = items.entries();
  let failed = false;
  const worker = async () => {
    // The workers share one iterator: each item goes to the first that is free.
    for (const [index, item] of queue) {
      if (failed) return;
      try {
        results[index] = await run(item, index);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  // All settled, so that nobody still writes into the directory when it is deleted.
  const ends = await Promise.allSettled(Array.from({ length: PARALLEL }, worker));
  for (const end of ends) if (end.status === "rejected") throw end.reason;
  return results;
}
