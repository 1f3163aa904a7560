/** Walks through a bucket's keys as lists show them: in order, by prefix, folded at a delimiter, page by page. */
import { AwsError } from "../service.ts";
import {
  type Bucket,
  compareKeys,
  NULL_VERSION,
  type StoredObject,
  type Version,
} from "./buckets.ts";

export interface Filter {
  readonly prefix: string;
  readonly delimiter: string;
}

type Entry =
  | { readonly folded: string }
  | { readonly key: string; readonly versions: readonly Version[] };

/** Above every key that begins with the prefix, but for keys that hold the very last code point. */
const LAST = "\u{10ffff}";

/** Where a list goes on: after a key (or after all that a folded prefix stands for), or at a key. */
interface Start {
  readonly key: string;
  readonly after: boolean;
}

function* entries(
  { keys }: Bucket,
  { prefix, delimiter }: Filter,
  start: Start,
  visible: (versions: readonly Version[]) => boolean,
): Generator<Entry> {
  const beforePrefix = compareKeys(start.key, prefix) < 0;
  let key = beforePrefix ? keys.seek(prefix) : keys.seek(start.key, start.after);
  let last: string | undefined;
  while (key?.startsWith(prefix)) {
    const versions = keys.get(key) ?? [];
    const fold = delimiter === "" ? -1 : key.indexOf(delimiter, prefix.length);
    if (!visible(versions)) key = keys.seek(key, true);
    else if (fold === -1) {
      yield { key, versions };
      key = keys.seek(key, true);
    } else {
      const folded: string = key.slice(0, fold + delimiter.length);
      if (folded !== last) yield { folded };
      last = folded;
      const next = keys.seek(folded + LAST);
      key = next === key ? keys.seek(key, true) : next;
    }
  }
}

export interface ObjectPage {
  readonly objects: ReadonlyArray<{ readonly key: string; readonly object: StoredObject }>;
  readonly folded: readonly string[];
  /** Opaque to callers; absent on the last page. */
  readonly next?: string;
}

const currentObject = (versions: readonly Version[]): StoredObject | undefined =>
  versions[0]?.kind === "object" ? versions[0] : undefined;

const writeToken = (entry: { key: string } | { folded: string }): string =>
  Buffer.from(JSON.stringify("key" in entry ? ["k", entry.key] : ["p", entry.folded])).toString(
    "base64url",
  );

const readToken = (token: string): Start => {
  try {
    const read: unknown = JSON.parse(Buffer.from(token, "base64url").toString());
    if (Array.isArray(read) && read.length === 2 && typeof read[1] === "string") {
      if (read[0] === "k") return { key: read[1], after: true };
      if (read[0] === "p") return { key: read[1] + LAST, after: true };
    }
  } catch {
    // Falls through: whatever is no token of ours is refused alike.
  }
  throw new AwsError("InvalidArgument", "The continuation token provided is incorrect");
};

/** One page of a bucket's current objects. Keys and folded prefixes count alike towards `limit`. */
export function listObjects(
  bucket: Bucket,
  filter: Filter,
  page: {
    readonly token?: string | undefined;
    readonly startAfter: string;
    readonly limit: number;
  },
): ObjectPage {
  const objects: Array<{ key: string; object: StoredObject }> = [];
  const folded: string[] = [];
  if (page.limit === 0) return { objects, folded };
  const start =
    page.token === undefined ? { key: page.startAfter, after: true } : readToken(page.token);
  let last: { key: string } | { folded: string } | undefined;
  const visible = (versions: readonly Version[]) => currentObject(versions) !== undefined;
  for (const entry of entries(bucket, filter, start, visible)) {
    if (objects.length + folded.length === page.limit)
      return { objects, folded, ...(last === undefined ? {} : { next: writeToken(last) }) };
    last = entry;
    if ("folded" in entry) {
      folded.push(entry.folded);
      continue;
    }
    const object = currentObject(entry.versions);
    if (object !== undefined) objects.push({ key: entry.key, object });
  }
  return { objects, folded };
}

export interface ListedVersion {
  readonly key: string;
  readonly version: Version;
  readonly latest: boolean;
}

export interface VersionPage {
  readonly versions: readonly ListedVersion[];
  readonly folded: readonly string[];
  readonly next?: { readonly key: string; readonly versionId?: string };
}

/** Those of a key's versions that come after the marker. */
const remaining = (
  versions: readonly Version[],
  key: string,
  marker: { readonly key: string; readonly versionId?: string | undefined },
): readonly Version[] => {
  if (key !== marker.key || marker.versionId === undefined) return versions;
  const at = versions.findIndex((version) => version.versionId === marker.versionId);
  return versions.slice(at + 1);
};

/** One page of all versions and delete markers, by key and then newest first. */
export function listVersions(
  bucket: Bucket,
  filter: Filter,
  page: {
    readonly marker: { readonly key: string; readonly versionId?: string | undefined };
    readonly limit: number;
  },
): VersionPage {
  const found: ListedVersion[] = [];
  const folded: string[] = [];
  if (page.limit === 0) return { versions: found, folded };
  const { marker } = page;
  let next: { key: string; versionId?: string } | undefined;
  const full = () => found.length + folded.length === page.limit;
  const answer = () => ({ versions: found, folded, ...(next === undefined ? {} : { next }) });
  // With a version to go on from, the marker's own key still has versions to show.
  const start = { key: marker.key, after: marker.versionId === undefined };
  for (const entry of entries(bucket, filter, start, () => true)) {
    if ("folded" in entry) {
      // A folded prefix as marker stands for all under it.
      if (entry.folded === marker.key) continue;
      if (full()) return answer();
      folded.push(entry.folded);
      next = { key: entry.folded };
      continue;
    }
    for (const version of remaining(entry.versions, entry.key, marker)) {
      if (full()) return answer();
      found.push({ key: entry.key, version, latest: version === entry.versions[0] });
      next = { key: entry.key, versionId: version.versionId };
    }
  }
  return { versions: found, folded };
}

/** Whether `id` can be a version's id at all: S3 refuses others before it looks. */
export const isVersionId = (id: string): boolean =>
  id === NULL_VERSION || /^[0-9a-f]{32}$/.test(id);
