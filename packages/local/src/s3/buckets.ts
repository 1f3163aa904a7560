/** What a bucket holds: versions by key, newest first, and the rules about putting and removing them. */
import { AwsError, type World } from "../service.ts";
import type { Checksum } from "./checksums.ts";
import { type Bypass, checkDeletable, type DefaultRetention, type Retention } from "./lock.ts";

export interface StoredObject {
  readonly kind: "object";
  readonly versionId: string;
  readonly modifiedAt: number;
  readonly bytes: Uint8Array;
  /** MD5 in hex, without the quotes that the wire has. */
  readonly etag: string;
  /** `content-type` and the other headers that come back as they were sent. */
  readonly headers: Readonly<Record<string, string>>;
  /** By the name after `x-amz-meta-`. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly checksum?: Checksum;
  readonly retention?: Retention;
  readonly legalHold: boolean;
}

export interface DeleteMarker {
  readonly kind: "marker";
  readonly versionId: string;
  readonly modifiedAt: number;
}

export type Version = StoredObject | DeleteMarker;

export interface Bucket {
  readonly name: string;
  readonly createdAt: number;
  readonly keys: SortedKeys<readonly Version[]>;
  /** Absent until it was first set. */
  versioning?: "Enabled" | "Suspended";
  objectLock: boolean;
  defaultRetention?: DefaultRetention;
  /** JSON text. */
  policy?: string;
}

/** The id of versions that were put while versioning was off. */
export const NULL_VERSION = "null";

/** UTF-8 order, in which S3 lists; JavaScript's own differs where surrogates meet U+E000 and above. */
export const compareKeys = (a: string, b: string): number => {
  const length = Math.min(a.length, b.length);
  for (let index = 0; index < length; index += 1) {
    const x = a.charCodeAt(index);
    const y = b.charCodeAt(index);
    if (x === y) continue;
    const surrogates = Number(x >= 0xd800 && x < 0xe000) - Number(y >= 0xd800 && y < 0xe000);
    if (surrogates !== 0 && x >= 0xd800 && y >= 0xd800) return surrogates;
    return x - y;
  }
  return a.length - b.length;
};

/** A map that can be walked in order from any key on. */
export interface SortedKeys<T> {
  readonly size: number;
  get(key: string): T | undefined;
  set(key: string, value: T): void;
  delete(key: string): void;
  /** The first key that is `from` or comes after it; `after` leaves `from` itself out. */
  seek(from: string, after?: boolean): string | undefined;
}

export const sortedKeys = <T>(): SortedKeys<T> => {
  const values = new Map<string, T>();
  const order: string[] = [];
  const place = (key: string): number => {
    let low = 0;
    let high = order.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareKeys(order[middle] ?? "", key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  return {
    get size() {
      return values.size;
    },
    get: (key) => values.get(key),
    set(key, value) {
      if (!values.has(key)) order.splice(place(key), 0, key);
      values.set(key, value);
    },
    delete(key) {
      if (values.delete(key)) order.splice(place(key), 1);
    },
    seek(from, after = false) {
      const index = place(from);
      return order[after && order[index] === from ? index + 1 : index];
    },
  };
};

/** S3 tells times by the second. */
export const toSeconds = (ms: number): number => Math.floor(ms / 1000) * 1000;

export const current = (bucket: Bucket, key: string): Version | undefined =>
  bucket.keys.get(key)?.[0];

export const findVersion = (bucket: Bucket, key: string, versionId: string): Version | undefined =>
  bucket.keys.get(key)?.find((version) => version.versionId === versionId);

const keep = (bucket: Bucket, key: string, versions: readonly Version[]): void => {
  if (versions.length === 0) bucket.keys.delete(key);
  else bucket.keys.set(key, versions);
};

/** Replaces one version in place, as a new retention does. */
export const replace = (bucket: Bucket, key: string, version: Version): void =>
  keep(
    bucket,
    key,
    (bucket.keys.get(key) ?? []).map((of) => (of.versionId === version.versionId ? version : of)),
  );

const newVersionId = (bucket: Bucket, world: World): string =>
  bucket.versioning === "Enabled" ? world.hex(16) : NULL_VERSION;

const push = <V extends Version>(bucket: Bucket, key: string, version: V): V => {
  const older = (bucket.keys.get(key) ?? []).filter((of) => of.versionId !== version.versionId);
  keep(bucket, key, [version, ...older]);
  return version;
};

/** Makes an object the current version. Without versioning it takes the place of the one before. */
export const put = (
  bucket: Bucket,
  key: string,
  object: Omit<StoredObject, "kind" | "versionId" | "modifiedAt">,
  world: World,
): StoredObject =>
  push(bucket, key, {
    ...object,
    kind: "object",
    versionId: newVersionId(bucket, world),
    modifiedAt: toSeconds(world.clock.now()),
  });

export interface Deletion {
  /** Set where the deletion concerned or made a version that can be named. */
  readonly versionId?: string;
  /** A marker was made, or the version removed was one. */
  readonly marker: boolean;
}

/**
 * Removes one version for good, or the key: with versioning by a marker on top.
 * @throws {AwsError} AccessDenied when Object Lock keeps the version.
 */
export function remove(
  bucket: Bucket,
  key: string,
  versionId: string | undefined,
  bypass: Bypass,
  world: World,
): Deletion {
  const versions = bucket.keys.get(key) ?? [];
  if (versionId !== undefined) {
    const version = versions.find((of) => of.versionId === versionId);
    if (version?.kind === "object") checkDeletable(version, bypass, world.clock.now());
    keep(
      bucket,
      key,
      versions.filter((of) => of !== version),
    );
    return { versionId, marker: version?.kind === "marker" };
  }
  if (bucket.versioning === undefined) {
    bucket.keys.delete(key);
    return { marker: false };
  }
  const marker = push(bucket, key, {
    kind: "marker",
    versionId: newVersionId(bucket, world),
    modifiedAt: toSeconds(world.clock.now()),
  });
  return { versionId: marker.versionId, marker: true };
}

/** `i.am.valid-1`: what S3 accepts as the name of a new bucket. */
export const checkBucketName = (name: string): void => {
  const valid =
    /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(name) &&
    !name.includes("..") &&
    !/^\d{1,3}(\.\d{1,3}){3}$/.test(name) &&
    !/^(xn--|sthree-|amzn-s3-demo-)/.test(name) &&
    !/(-s3alias|--ol-s3|--x-s3|\.mrap)$/.test(name);
  if (!valid)
    throw new AwsError("InvalidBucketName", "The specified bucket is not valid.", 400, {
      BucketName: name,
    });
};
