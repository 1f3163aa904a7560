/** The operations that list a bucket. */
import { z } from "zod";
import { AwsError, operation } from "../service.ts";
import type { Answer } from "./answers.ts";
import { listObjects, listVersions } from "./listing.ts";
import { bucketOf, isoDate, onBucket, ownerId, permission, type State } from "./state.ts";

const text = z.string().optional();

const listInput = {
  ...onBucket,
  prefix: text,
  delimiter: text,
  "max-keys": text,
  "encoding-type": text,
};

const MAX_KEYS = 1000;

const limitOf = (value: string | undefined): number => {
  if (value === undefined || value === "") return MAX_KEYS;
  if (!/^\d{1,10}$/.test(value) || Number(value) > 2 ** 31 - 1)
    throw new AwsError(
      "InvalidArgument",
      /^-\d{1,10}$/.test(value)
        ? "Argument maxKeys must be an integer between 0 and 2147483647"
        : "Provided max-keys not an integer or within integer range",
      400,
      { ArgumentName: "max-keys", ArgumentValue: value },
    );
  return Math.min(Number(value), MAX_KEYS);
};

/** Keys may hold what XML cannot; a client may ask for them in URL encoding. */
const encoder = (type: string | undefined): ((key: string) => string) => {
  if (type === undefined || type === "") return (key) => key;
  if (type !== "url")
    throw new AwsError("InvalidArgument", "Invalid Encoding Method specified in Request", 400, {
      ArgumentName: "encoding-type",
      ArgumentValue: type,
    });
  return (key) =>
    encodeURIComponent(key)
      .replaceAll("%2F", "/")
      .replace(/[!'()]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
};

const listContext = (input: {
  readonly prefix?: string | undefined;
  readonly delimiter?: string | undefined;
  readonly "max-keys"?: string | undefined;
}) => ({
  "s3:prefix": input.prefix,
  "s3:delimiter": input.delimiter,
  "s3:max-keys": input["max-keys"],
});

const listObjectsV2 = (state: State) =>
  operation({
    input: z.strictObject({
      ...listInput,
      "continuation-token": text,
      "start-after": text,
      "fetch-owner": z.enum(["true", "false"]).optional(),
    }),
    authorize: (input) => [
      permission(state, "s3:ListBucket", bucketOf(state, input), undefined, listContext(input)),
    ],
    run(input): Answer {
      const bucket = bucketOf(state, input);
      const limit = limitOf(input["max-keys"]);
      const encode = encoder(input["encoding-type"]);
      const { prefix = "", delimiter = "", "start-after": startAfter = "" } = input;
      const token = input["continuation-token"];
      const page = listObjects(bucket, { prefix, delimiter }, { token, startAfter, limit });
      const owner =
        input["fetch-owner"] === "true" ? { ID: ownerId(state.world.account) } : undefined;
      return {
        xml: [
          "ListBucketResult",
          {
            Name: bucket.name,
            Prefix: encode(prefix),
            Delimiter: delimiter === "" ? undefined : encode(delimiter),
            MaxKeys: limit,
            EncodingType: input["encoding-type"],
            KeyCount: page.objects.length + page.folded.length,
            IsTruncated: page.next !== undefined,
            ContinuationToken: token,
            NextContinuationToken: page.next,
            StartAfter: startAfter === "" ? undefined : encode(startAfter),
            Contents: page.objects.map(({ key, object }) => ({
              Key: encode(key),
              LastModified: isoDate(object.modifiedAt),
              ETag: `"${object.etag}"`,
              ...(object.checksum === undefined
                ? {}
                : {
                    ChecksumAlgorithm: object.checksum.algorithm.toUpperCase(),
                    ChecksumType: "FULL_OBJECT",
                  }),
              Size: object.bytes.length,
              StorageClass: "STANDARD",
              Owner: owner,
            })),
            CommonPrefixes: page.folded.map((folded) => ({ Prefix: encode(folded) })),
          },
        ],
      };
    },
  });

const listObjectVersions = (state: State) =>
  operation({
    input: z.strictObject({ ...listInput, "key-marker": text, "version-id-marker": text }),
    authorize: (input) => [
      permission(
        state,
        "s3:ListBucketVersions",
        bucketOf(state, input),
        undefined,
        listContext(input),
      ),
    ],
    run(input): Answer {
      const bucket = bucketOf(state, input);
      const limit = limitOf(input["max-keys"]);
      const encode = encoder(input["encoding-type"]);
      const { prefix = "", delimiter = "", "key-marker": key = "" } = input;
      const versionId = input["version-id-marker"] || undefined;
      if (versionId !== undefined && key === "")
        throw new AwsError(
          "InvalidArgument",
          "A version-id marker cannot be specified without a key marker.",
        );
      const marker = { key, versionId };
      const page = listVersions(bucket, { prefix, delimiter }, { marker, limit });
      const Owner = { ID: ownerId(state.world.account) };
      const common = ({ key: Key, version, latest }: (typeof page.versions)[number]) => ({
        Key: encode(Key),
        VersionId: version.versionId,
        IsLatest: latest,
        LastModified: isoDate(version.modifiedAt),
        Owner,
      });
      return {
        xml: [
          "ListVersionsResult",
          {
            Name: bucket.name,
            Prefix: encode(prefix),
            Delimiter: delimiter === "" ? undefined : encode(delimiter),
            KeyMarker: encode(key),
            VersionIdMarker: versionId ?? "",
            MaxKeys: limit,
            EncodingType: input["encoding-type"],
            IsTruncated: page.next !== undefined,
            NextKeyMarker: page.next === undefined ? undefined : encode(page.next.key),
            NextVersionIdMarker: page.next?.versionId,
            Version: page.versions.flatMap((listed) =>
              listed.version.kind === "marker"
                ? []
                : [
                    {
                      ...common(listed),
                      ETag: `"${listed.version.etag}"`,
                      Size: listed.version.bytes.length,
                      StorageClass: "STANDARD",
                    },
                  ],
            ),
            DeleteMarker: page.versions.flatMap((listed) =>
              listed.version.kind === "marker" ? [common(listed)] : [],
            ),
            CommonPrefixes: page.folded.map((folded) => ({ Prefix: encode(folded) })),
          },
        ],
      };
    },
  });

export const listOperations = (state: State) => ({
  ListObjectsV2: listObjectsV2(state),
  ListObjectVersions: listObjectVersions(state),
});
