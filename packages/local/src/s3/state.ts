/** The buckets of the account, and what the operations need to know and to ask about them. */
import { createHash } from "node:crypto";
import { z } from "zod";
import { AwsError, type Check, type World } from "../service.ts";
import { S3Error } from "./answers.ts";
import { type Bucket, current, findVersion, type StoredObject } from "./buckets.ts";
import { isVersionId } from "./listing.ts";

export interface State {
  readonly world: World;
  readonly buckets: Map<string, Bucket>;
}

const OWNER = "x-amz-expected-bucket-owner";

/** Members that every operation on a bucket has; a key may have any form that fits. */
export const onBucket = { Bucket: z.string(), [OWNER]: z.string().optional() };
export const onObject = { ...onBucket, Key: z.string() };
export const onVersion = { ...onObject, versionId: z.string().optional() };

export interface OnBucket {
  readonly Bucket: string;
  readonly "x-amz-expected-bucket-owner"?: string | undefined;
}
export interface OnVersion extends OnBucket {
  readonly Key: string;
  readonly versionId?: string | undefined;
}

/** @throws {AwsError} NoSuchBucket; AccessDenied where somebody else was expected to own it. */
export function bucketOf({ buckets, world }: State, input: OnBucket): Bucket {
  const bucket = buckets.get(input.Bucket);
  if (bucket === undefined)
    throw new AwsError("NoSuchBucket", "The specified bucket does not exist", 404, {
      BucketName: input.Bucket,
    });
  const owner = input[OWNER];
  if (owner !== undefined && owner !== world.account)
    throw new AwsError("AccessDenied", "Access Denied", 403);
  return bucket;
}

/** The canonical id that XML names an owner by. */
export const ownerId = (account: string): string =>
  createHash("sha256").update(`owner:${account}`).digest("hex");

export const bucketArn = (bucket: Pick<Bucket, "name">): string => `arn:aws:s3:::${bucket.name}`;
export const objectArn = (bucket: Bucket, key: string): string => `${bucketArn(bucket)}/${key}`;

type Context = Readonly<Record<string, string | undefined>>;

const settle = (context: Context): Record<string, string> =>
  Object.fromEntries(
    Object.entries(context).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])),
  );

/** One permission on a bucket, or on a key of it. What is `undefined` in the context is not in the request. */
export const permission = (
  state: State,
  action: string,
  bucket: Bucket,
  key?: string,
  context: Context = {},
): Check => ({
  action,
  resource: key === undefined ? bucketArn(bucket) : objectArn(bucket, key),
  context: settle({ ...context, "s3:ResourceAccount": state.world.account }),
  ...(bucket.policy === undefined ? {} : { resourcePolicy: bucket.policy }),
});

/** `GetObject`, or `GetObjectVersion` where one is named. */
export const versioned = (action: string, { versionId }: OnVersion): string =>
  versionId === undefined ? `s3:${action}` : `s3:${action}Version`;

/**
 * The permissions to read something of an object. Who may not list the bucket is not told that a key is missing,
 * so that for a missing key the permission to list is needed as well.
 */
export function readChecks(state: State, action: string, input: OnVersion): readonly Check[] {
  const bucket = bucketOf(state, input);
  const context = { "s3:VersionId": input.versionId };
  const read = permission(state, action, bucket, input.Key, context);
  const present =
    input.versionId === undefined
      ? current(bucket, input.Key)?.kind === "object"
      : findVersion(bucket, input.Key, input.versionId) !== undefined;
  return present ? [read] : [read, permission(state, "s3:ListBucket", bucket)];
}

/** Which version an answer was about; unversioned buckets say nothing. */
export const versionHeader = (bucket: Bucket, versionId: string | undefined) => ({
  "x-amz-version-id": bucket.versioning === undefined ? undefined : versionId,
});

const noSuchKey = (Key: string, headers = {}) =>
  new S3Error("NoSuchKey", "The specified key does not exist.", 404, { Key }, headers);

/** @throws {AwsError} InvalidArgument for what cannot be a version's id. */
export function checkVersionId(versionId: string | undefined): void {
  if (versionId !== undefined && !isVersionId(versionId))
    throw new AwsError("InvalidArgument", "Invalid version id specified", 400, {
      ArgumentName: "versionId",
      ArgumentValue: versionId,
    });
}

/** @throws {AwsError} NoSuchKey, NoSuchVersion, or MethodNotAllowed for a delete marker that was asked for. */
export function objectOf(bucket: Bucket, { Key, versionId }: OnVersion): StoredObject {
  checkVersionId(versionId);
  if (versionId === undefined) {
    const version = current(bucket, Key);
    if (version?.kind === "object") return version;
    if (version === undefined) throw noSuchKey(Key);
    throw noSuchKey(Key, {
      "x-amz-delete-marker": "true",
      "x-amz-version-id": version.versionId,
    });
  }
  const version = findVersion(bucket, Key, versionId);
  if (version?.kind === "object") return version;
  if (version === undefined)
    throw new AwsError("NoSuchVersion", "The specified version does not exist.", 404, {
      Key,
      VersionId: versionId,
    });
  throw new S3Error(
    "MethodNotAllowed",
    "The specified method is not allowed against this resource.",
    405,
    { Method: "GET", ResourceType: "DeleteMarker" },
    {
      "x-amz-delete-marker": "true",
      "x-amz-version-id": versionId,
      "last-modified": httpDate(version.modifiedAt),
      allow: "DELETE",
    },
  );
}

export const httpDate = (ms: number): string => new Date(ms).toUTCString();
export const isoDate = (ms: number): string => new Date(ms).toISOString();

/** Reads ISO 8601, which S3 takes with or without milliseconds. */
export function parseDate(text: string): number {
  const at = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/.test(text)
    ? Date.parse(text)
    : Number.NaN;
  if (Number.isNaN(at))
    throw new AwsError("InvalidArgument", `The date ${text} is not valid ISO 8601`);
  return at;
}
