/** The operations that write an object: put and copy. */
import { createHash } from "node:crypto";
import { z } from "zod";
import { AwsError, type Check, operation } from "../service.ts";
import type { Answer } from "./answers.ts";
import { receive } from "./body.ts";
import { type Bucket, put, type StoredObject } from "./buckets.ts";
import { checksumOf, isChecksumAlgorithm } from "./checksums.ts";
import { checkSource, checkWrite } from "./conditions.ts";
import { checksumHeaders, ENCRYPTED, names, STORED } from "./headers.ts";
import { retentionFrom } from "./lock.ts";
import { type LockInput, lockChecks, lockContext, lockOf, lockSchema } from "./retention.ts";
import {
  bucketOf,
  isoDate,
  objectOf,
  onObject,
  permission,
  readChecks,
  type State,
  versioned,
  versionHeader,
} from "./state.ts";

const putInput = z.strictObject({
  ...onObject,
  ...names(...STORED, "if-match", "if-none-match"),
  ...lockSchema,
  metadata: z.record(z.string(), z.string()),
});

const copyInput = z.strictObject({
  ...putInput.shape,
  ...names(
    "x-amz-copy-source-if-match",
    "x-amz-copy-source-if-none-match",
    "x-amz-copy-source-if-modified-since",
    "x-amz-copy-source-if-unmodified-since",
    "x-amz-checksum-algorithm",
  ),
  "x-amz-copy-source": z.string(),
  "x-amz-metadata-directive": z.enum(["COPY", "REPLACE"]).optional(),
});

type Stored = Pick<StoredObject, "headers" | "metadata">;

const META_BYTES = 2048;

/** What was said about the body, to be given back with it. */
const described = (input: z.infer<typeof putInput>): Stored => {
  const headers: Record<string, string> = {};
  for (const name of STORED) {
    const value = input[name];
    // `aws-chunked` is how the body came, not what it is.
    const kept =
      name === "content-encoding"
        ? value
            ?.split(",")
            .map((part) => part.trim())
            .filter((part) => part !== "aws-chunked")
            .join(",")
        : value;
    if (kept) headers[name] = kept;
  }
  const size = Object.entries(input.metadata)
    .flat()
    .reduce((sum, part) => sum + Buffer.byteLength(part), 0);
  if (size > META_BYTES)
    throw new AwsError(
      "MetadataTooLarge",
      "Your metadata headers exceed the maximum allowed metadata size",
      400,
      { Size: size, MaxSizeAllowed: META_BYTES },
    );
  return {
    headers: { "content-type": "binary/octet-stream", ...headers },
    metadata: input.metadata,
  };
};

const checkKey = (key: string): void => {
  const size = Buffer.byteLength(key);
  if (size > 1024)
    throw new AwsError("KeyTooLongError", "Your key is too long", 400, {
      Size: size,
      MaxSizeAllowed: 1024,
    });
};

const newRetention = (state: State, bucket: Bucket, input: LockInput) => {
  const now = state.world.clock.now();
  const { retention, legalHold } = lockOf(bucket, input, now);
  const rule = bucket.defaultRetention;
  const kept = retention ?? (rule === undefined ? undefined : retentionFrom(rule, now));
  return { legalHold, ...(kept === undefined ? {} : { retention: kept }) };
};

const writeChecks = (state: State, input: z.infer<typeof putInput>): readonly Check[] => {
  const bucket = bucketOf(state, input);
  const context = {
    "s3:if-match": input["if-match"],
    "s3:if-none-match": input["if-none-match"],
    ...lockContext(input, state.world.clock.now()),
  };
  return [
    permission(state, "s3:PutObject", bucket, input.Key, context),
    // Who compares ETags learns what is there.
    ...(input["if-match"] === undefined
      ? []
      : [permission(state, "s3:GetObject", bucket, input.Key)]),
    ...lockChecks(state, bucket, input.Key, input),
  ];
};

const putObject = (state: State) =>
  operation({
    input: putInput,
    authorize: (input) => writeChecks(state, input),
    run(input, call): Answer {
      const bucket = bucketOf(state, input);
      checkKey(input.Key);
      const { bytes, checksum, vouched } = receive(call.request);
      const lock = newRetention(state, bucket, input);
      if ((lock.retention !== undefined || lock.legalHold) && !vouched)
        throw new AwsError(
          "InvalidRequest",
          "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters",
        );
      const stored = described(input);
      checkWrite(bucket, input.Key, input);
      const object = put(
        bucket,
        input.Key,
        {
          ...stored,
          ...lock,
          // A caller in the same process may go on using its buffer.
          bytes: Uint8Array.from(bytes),
          etag: createHash("md5").update(bytes).digest("hex"),
          ...(checksum === undefined ? {} : { checksum }),
        },
        state.world,
      );
      return {
        headers: {
          etag: `"${object.etag}"`,
          ...versionHeader(bucket, object.versionId),
          ...checksumHeaders(object),
          ...ENCRYPTED,
        },
      };
    },
  });

const sourceOf = (input: z.infer<typeof copyInput>) => {
  const header = input["x-amz-copy-source"];
  const [, path = "", versionId] = /^\/?([^?]*)(?:\?versionId=([^&]*))?$/.exec(header) ?? [];
  const slash = path.indexOf("/");
  if (slash < 1 || path.startsWith("arn:"))
    throw new AwsError(
      "InvalidArgument",
      "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
      400,
      {
        ArgumentName: "x-amz-copy-source",
        ArgumentValue: header,
      },
    );
  try {
    return {
      Bucket: decodeURIComponent(path.slice(0, slash)),
      Key: decodeURIComponent(path.slice(slash + 1)),
      ...(versionId === undefined ? {} : { versionId: decodeURIComponent(versionId) }),
    };
  } catch {
    throw new AwsError("InvalidArgument", "Copy Source must be URL encoded");
  }
};

const copyObject = (state: State) =>
  operation({
    input: copyInput,
    authorize(input) {
      const source = sourceOf(input);
      return [
        ...readChecks(state, versioned("GetObject", source), source),
        ...writeChecks(state, input).map((check) =>
          check.action === "s3:PutObject"
            ? {
                ...check,
                context: {
                  ...check.context,
                  "s3:x-amz-copy-source": `/${source.Bucket}/${source.Key}`,
                  ...(input["x-amz-metadata-directive"] === undefined
                    ? {}
                    : { "s3:x-amz-metadata-directive": input["x-amz-metadata-directive"] }),
                },
              }
            : check,
        ),
      ];
    },
    run(input): Answer {
      const bucket = bucketOf(state, input);
      checkKey(input.Key);
      const from = sourceOf(input);
      const sourceBucket = bucketOf(state, from);
      const source = objectOf(sourceBucket, from);
      checkSource(source, input);
      const replaces = input["x-amz-metadata-directive"] === "REPLACE";
      if (
        bucket === sourceBucket &&
        input.Key === from.Key &&
        !replaces &&
        from.versionId === undefined
      )
        throw new AwsError(
          "InvalidRequest",
          "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.",
        );
      const algorithm = input["x-amz-checksum-algorithm"]?.toLowerCase();
      if (algorithm !== undefined && !isChecksumAlgorithm(algorithm))
        throw new AwsError("InvalidRequest", "Checksum algorithm provided is unsupported.");
      const lock = newRetention(state, bucket, input);
      const about = replaces ? described(input) : source;
      checkWrite(bucket, input.Key, input);
      const checksum =
        algorithm === undefined
          ? source.checksum
          : { algorithm, value: checksumOf(algorithm, source.bytes) };
      const object = put(
        bucket,
        input.Key,
        {
          headers: about.headers,
          metadata: about.metadata,
          bytes: source.bytes,
          etag: source.etag,
          ...lock,
          ...(checksum === undefined ? {} : { checksum }),
        },
        state.world,
      );
      return {
        headers: {
          ...versionHeader(bucket, object.versionId),
          "x-amz-copy-source-version-id": versionHeader(sourceBucket, source.versionId)[
            "x-amz-version-id"
          ],
          ...ENCRYPTED,
        },
        xml: [
          "CopyObjectResult",
          {
            LastModified: isoDate(object.modifiedAt),
            ETag: `"${object.etag}"`,
            ...(checksum === undefined
              ? {}
              : {
                  ChecksumType: "FULL_OBJECT",
                  [`Checksum${checksum.algorithm.toUpperCase()}`]: checksum.value,
                }),
          },
        ],
      };
    },
  });

export const writeOperations = (state: State) => ({
  PutObject: putObject(state),
  CopyObject: copyObject(state),
});
