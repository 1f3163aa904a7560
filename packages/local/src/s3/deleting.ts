/** The operations that delete objects, one or many at a time. */
import { z } from "zod";
import { AwsError, type Call, operation } from "../service.ts";
import type { Answer } from "./answers.ts";
import { receive } from "./body.ts";
import { type Bucket, current, findVersion, remove } from "./buckets.ts";
import { checkDelete } from "./conditions.ts";
import { text } from "./headers.ts";
import { underGovernance } from "./lock.ts";
import {
  bucketOf,
  checkVersionId,
  onBucket,
  onVersion,
  permission,
  type State,
  versioned,
  versionHeader,
} from "./state.ts";
import { one, readXml } from "./xml.ts";

const deleteInput = z.strictObject({
  ...onVersion,
  "if-match": text,
  "x-amz-bypass-governance-retention": z.enum(["true", "false"]).optional(),
});

const deletesInput = z.strictObject({
  ...onBucket,
  "x-amz-bypass-governance-retention": z.enum(["true", "false"]).optional(),
});

interface Target {
  readonly Key: string;
  readonly versionId?: string | undefined;
}

const deleteChecks = (state: State, bucket: Bucket, target: Target, bypass: boolean) => {
  const { Key, versionId } = target;
  const context = { "s3:VersionId": versionId };
  const version = versionId === undefined ? undefined : findVersion(bucket, Key, versionId);
  const action = versioned("DeleteObject", { Bucket: bucket.name, ...target });
  const governed =
    bypass && version?.kind === "object" && underGovernance(version, state.world.clock.now());
  return [
    permission(state, action, bucket, Key, context),
    ...(governed ? [permission(state, "s3:BypassGovernanceRetention", bucket, Key, context)] : []),
  ];
};

const wantsBypass = (input: { "x-amz-bypass-governance-retention"?: string | undefined }) =>
  input["x-amz-bypass-governance-retention"] === "true";

const deleteObject = (state: State) =>
  operation({
    input: deleteInput,
    authorize(input) {
      const bucket = bucketOf(state, input);
      const match = input["if-match"];
      return [
        ...deleteChecks(state, bucket, input, wantsBypass(input)),
        ...(match === undefined || match === "*"
          ? []
          : [permission(state, "s3:GetObject", bucket, input.Key)]),
      ];
    },
    run(input): Answer {
      const bucket = bucketOf(state, input);
      checkVersionId(input.versionId);
      const { Key, versionId } = input;
      const version =
        versionId === undefined ? current(bucket, Key) : findVersion(bucket, Key, versionId);
      checkDelete(version?.kind === "object" ? version : undefined, input["if-match"]);
      const done = remove(bucket, Key, versionId, wantsBypass(input), state.world);
      return {
        status: 204,
        headers: {
          ...versionHeader(bucket, done.versionId),
          "x-amz-delete-marker": done.marker ? "true" : undefined,
        },
      };
    },
  });

const deletesXml = z.strictObject({
  Quiet: one(z.enum(["true", "false"])).optional(),
  Object: z
    .array(z.strictObject({ Key: one(z.string().min(1)), VersionId: one(z.string()).optional() }))
    .max(1000),
});

const deletions = (call: Call) => {
  const { bytes, vouched } = receive(call.request);
  if (!vouched)
    throw new AwsError(
      "InvalidRequest",
      "Missing required header for this request: Content-MD5 OR x-amz-checksum-*",
    );
  const read = readXml(bytes, "Delete", deletesXml);
  const targets: Target[] = read.Object.map(({ Key, VersionId }) => ({
    Key,
    versionId: VersionId,
  }));
  return { quiet: read.Quiet === "true", targets };
};

const deleteObjects = (state: State) =>
  operation({
    input: deletesInput,
    // The kernel refuses the whole where S3 would refuse only the keys that the caller may not delete.
    authorize(input, call) {
      const bucket = bucketOf(state, input);
      const bypass = wantsBypass(input);
      return deletions(call).targets.flatMap((target) =>
        deleteChecks(state, bucket, target, bypass),
      );
    },
    run(input, call): Answer {
      const bucket = bucketOf(state, input);
      const { quiet, targets } = deletions(call);
      const bypass = wantsBypass(input);
      const Deleted: object[] = [];
      const Errors: object[] = [];
      for (const { Key, versionId } of targets) {
        try {
          checkVersionId(versionId);
          const done = remove(bucket, Key, versionId, bypass, state.world);
          Deleted.push({
            Key,
            VersionId: versionId,
            DeleteMarker: done.marker ? true : undefined,
            DeleteMarkerVersionId: done.marker ? done.versionId : undefined,
          });
        } catch (error) {
          if (!(error instanceof AwsError)) throw error;
          Errors.push({ Key, VersionId: versionId, Code: error.code, Message: error.message });
        }
      }
      return { xml: ["DeleteResult", { Deleted: quiet ? [] : Deleted, Error: Errors }] };
    },
  });

export const deleteOperations = (state: State) => ({
  DeleteObject: deleteObject(state),
  DeleteObjects: deleteObjects(state),
});
