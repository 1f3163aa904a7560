/** The operations on buckets: their life, versioning, lock, policy. */
import { z } from "zod";
import { AwsError, operation } from "../service.ts";
import type { Answer } from "./answers.ts";
import { receive } from "./body.ts";
import { type Bucket, checkBucketName, sortedKeys } from "./buckets.ts";
import type { DefaultRetention } from "./lock.ts";
import { checkBucketPolicy } from "./policy.ts";
import {
  bucketArn,
  bucketOf,
  isoDate,
  onBucket,
  ownerId,
  permission,
  type State,
} from "./state.ts";
import { one, readXml } from "./xml.ts";

const bucketInput = z.strictObject(onBucket);

/** An operation that needs one permission on its bucket, and gets that bucket. */
const simple = (
  state: State,
  action: string,
  run: (bucket: Bucket, body: () => Uint8Array) => Answer,
) =>
  operation({
    input: bucketInput,
    authorize: (input) => [permission(state, `s3:${action}`, bucketOf(state, input))],
    run: (input, call) => run(bucketOf(state, input), () => receive(call.request).bytes),
  });

/** Makes a bucket. Object Lock brings versioning with it. */
export function makeBucket(
  { buckets, world }: State,
  name: string,
  options: { readonly objectLock?: boolean } = {},
): Bucket {
  checkBucketName(name);
  const known = buckets.get(name);
  // In us-east-1, and there alone, making one's own bucket again is no error.
  if (known !== undefined && world.region === "us-east-1") return known;
  if (known !== undefined)
    throw new AwsError(
      "BucketAlreadyOwnedByYou",
      "Your previous request to create the named bucket succeeded and you already own it.",
      409,
      { BucketName: name },
    );
  const objectLock = options.objectLock ?? false;
  const bucket: Bucket = {
    name,
    createdAt: world.clock.now(),
    keys: sortedKeys(),
    objectLock,
    ...(objectLock ? { versioning: "Enabled" as const } : {}),
  };
  buckets.set(name, bucket);
  return bucket;
}

const createXml = z.strictObject({ LocationConstraint: one(z.string()).optional() });

const checkLocation = (constraint: string | undefined, region: string): void => {
  const valid = region === "us-east-1" ? constraint === undefined : constraint === region;
  if (valid) return;
  if (constraint === "us-east-1")
    throw new AwsError(
      "InvalidLocationConstraint",
      "The specified location-constraint is not valid",
      400,
      {
        LocationConstraint: constraint,
      },
    );
  throw new AwsError(
    "IllegalLocationConstraintException",
    `The ${constraint ?? "unspecified"} location constraint is incompatible for the region specific endpoint this request was sent to.`,
  );
};

const createBucket = (state: State) =>
  operation({
    input: z.strictObject({
      ...onBucket,
      "x-amz-bucket-object-lock-enabled": z
        .stringbool({ truthy: ["true", "True"], falsy: ["false", "False"] })
        .optional(),
    }),
    authorize(input) {
      const resource = bucketArn({ name: input.Bucket });
      const actions = input["x-amz-bucket-object-lock-enabled"]
        ? ["s3:CreateBucket", "s3:PutBucketObjectLockConfiguration", "s3:PutBucketVersioning"]
        : ["s3:CreateBucket"];
      return actions.map((action) => ({ action, resource }));
    },
    run(input, call): Answer {
      const { bytes } = receive(call.request);
      const location =
        bytes.length === 0
          ? undefined
          : readXml(bytes, "CreateBucketConfiguration", createXml).LocationConstraint;
      checkLocation(location, state.world.region);
      const objectLock = input["x-amz-bucket-object-lock-enabled"] ?? false;
      const bucket = makeBucket(state, input.Bucket, { objectLock });
      return { headers: { location: `/${bucket.name}` } };
    },
  });

const listBuckets = (state: State) =>
  operation({
    input: z.strictObject({ "x-amz-expected-bucket-owner": z.never().optional() }),
    authorize: () => [{ action: "s3:ListAllMyBuckets", resource: "*" }],
    run(): Answer {
      const sorted = [...state.buckets.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
      return {
        xml: [
          "ListAllMyBucketsResult",
          {
            Owner: { ID: ownerId(state.world.account) },
            Buckets: {
              Bucket: sorted.map(({ name, createdAt }) => ({
                Name: name,
                CreationDate: isoDate(createdAt),
              })),
            },
          },
        ],
      };
    },
  });

const versioningXml = z.strictObject({ Status: one(z.enum(["Enabled", "Suspended"])) });

const putVersioning = (bucket: Bucket, body: () => Uint8Array): Answer => {
  const { Status } = readXml(body(), "VersioningConfiguration", versioningXml);
  if (Status === "Suspended" && bucket.objectLock)
    throw new AwsError(
      "InvalidBucketState",
      "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed.",
      409,
    );
  bucket.versioning = Status;
  return {};
};

const period = one(
  z
    .string()
    .regex(/^-?\d{1,9}$/)
    .transform(Number),
).optional();

const lockXml = z.strictObject({
  ObjectLockEnabled: one(z.literal("Enabled")),
  Rule: one(
    z.strictObject({
      DefaultRetention: one(
        z.strictObject({
          Mode: one(z.enum(["GOVERNANCE", "COMPLIANCE"])),
          Days: period,
          Years: period,
        }),
      ),
    }),
  ).optional(),
});

const lengthOf = (
  days: number | undefined,
  years: number | undefined,
): DefaultRetention["length"] => {
  const given = days ?? years;
  if (given === undefined || (days !== undefined && years !== undefined))
    throw new AwsError(
      "MalformedXML",
      "The XML you provided was not well-formed or did not validate against our published schema",
    );
  if (given < 1)
    throw new AwsError(
      "InvalidArgument",
      "Default retention period must be a positive integer value.",
    );
  if (given > (days === undefined ? 100 : 36_500))
    throw new AwsError("InvalidArgument", "Default retention period is too large");
  return days === undefined ? { years: given } : { days };
};

const putLock = (bucket: Bucket, body: () => Uint8Array): Answer => {
  const { Rule } = readXml(body(), "ObjectLockConfiguration", lockXml);
  const rule = Rule?.DefaultRetention;
  const retention =
    rule === undefined ? undefined : { mode: rule.Mode, length: lengthOf(rule.Days, rule.Years) };
  if (bucket.versioning !== "Enabled")
    throw new AwsError(
      "InvalidBucketState",
      "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration",
      409,
    );
  bucket.objectLock = true;
  delete bucket.defaultRetention;
  if (retention !== undefined) bucket.defaultRetention = retention;
  return {};
};

const getLock = ({ name, objectLock, defaultRetention }: Bucket): Answer => {
  if (!objectLock)
    throw new AwsError(
      "ObjectLockConfigurationNotFoundError",
      "Object Lock configuration does not exist for this bucket",
      404,
      { BucketName: name },
    );
  const length = defaultRetention?.length;
  const rule = defaultRetention && {
    DefaultRetention: {
      Mode: defaultRetention.mode,
      ...(length !== undefined && "days" in length
        ? { Days: length.days }
        : { Years: length?.years }),
    },
  };
  return { xml: ["ObjectLockConfiguration", { ObjectLockEnabled: "Enabled", Rule: rule }] };
};

const putPolicy = (bucket: Bucket, body: () => Uint8Array): Answer => {
  const policy = Buffer.from(body()).toString("utf8");
  checkBucketPolicy(policy, bucket);
  bucket.policy = policy;
  return { status: 204 };
};

const getPolicy = ({ name, policy }: Bucket): Answer => {
  if (policy === undefined)
    throw new AwsError("NoSuchBucketPolicy", "The bucket policy does not exist", 404, {
      BucketName: name,
    });
  return { headers: { "content-type": "application/json" }, body: policy };
};

export const bucketOperations = (state: State) => ({
  ListBuckets: listBuckets(state),
  CreateBucket: createBucket(state),
  DeleteBucket: simple(state, "DeleteBucket", (bucket) => {
    // Versions and markers count too: a bucket whose keys are all deleted may be far from empty.
    if (bucket.keys.size > 0)
      throw new AwsError(
        "BucketNotEmpty",
        bucket.versioning === undefined
          ? "The bucket you tried to delete is not empty"
          : "The bucket you tried to delete is not empty. You must delete all versions in the bucket.",
        409,
        { BucketName: bucket.name },
      );
    state.buckets.delete(bucket.name);
    return { status: 204 };
  }),
  HeadBucket: simple(state, "ListBucket", () => ({
    headers: { "x-amz-bucket-region": state.world.region, "x-amz-access-point-alias": "false" },
  })),
  PutBucketVersioning: simple(state, "PutBucketVersioning", putVersioning),
  GetBucketVersioning: simple(state, "GetBucketVersioning", ({ versioning }) => ({
    xml: ["VersioningConfiguration", { Status: versioning }],
  })),
  PutObjectLockConfiguration: simple(state, "PutBucketObjectLockConfiguration", putLock),
  GetObjectLockConfiguration: simple(state, "GetBucketObjectLockConfiguration", getLock),
  PutBucketPolicy: simple(state, "PutBucketPolicy", putPolicy),
  GetBucketPolicy: simple(state, "GetBucketPolicy", getPolicy),
  DeleteBucketPolicy: simple(state, "DeleteBucketPolicy", (bucket) => {
    delete bucket.policy;
    return { status: 204 };
  }),
});
