/** Amazon S3: buckets and objects in memory, with versions, conditional writes and Object Lock. */
import { protocol } from "../s3/answers.ts";
import { bucketOperations, makeBucket } from "../s3/bucket-operations.ts";
import { deleteOperations } from "../s3/deleting.ts";
import { listOperations } from "../s3/list-operations.ts";
import { readOperations } from "../s3/reading.ts";
import { lockOperations } from "../s3/retention.ts";
import type { State } from "../s3/state.ts";
import { writeOperations } from "../s3/writing.ts";
import type { Service, World } from "../service.ts";

/** S3 and what the local world may do with it without signing a request. */
export interface S3Service extends Service {
  /** Makes a bucket where there is none of that name. Object Lock brings versioning with it. */
  readonly ensureBucket: (name: string, options?: { readonly objectLock?: boolean }) => void;
}

/** One account's S3. Everything in it belongs to `world.account`. */
export const s3 = (world: World): S3Service => {
  const state: State = { world, buckets: new Map() };
  return {
    name: "s3",
    protocol,
    operations: {
      ...bucketOperations(state),
      ...listOperations(state),
      ...readOperations(state),
      ...writeOperations(state),
      ...deleteOperations(state),
      ...lockOperations(state),
    },
    ensureBucket(name, options) {
      if (!state.buckets.has(name)) makeBucket(state, name, options);
    },
  };
};
