/** What S3 checks of a bucket policy before it takes it. */
import { parsePolicy } from "../iam/policy.ts";
import { AwsError } from "../service.ts";
import type { Bucket } from "./buckets.ts";

const MAX_BYTES = 20 * 1024;

const refused = (why: string) => new AwsError("MalformedPolicy", why);

const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [value]);

interface Document {
  readonly Statement: unknown;
}

const checkStatement = (statement: Record<string, unknown>, bucket: Bucket): void => {
  for (const action of list(statement.Action ?? statement.NotAction))
    if (typeof action !== "string" || !/^(\*|s3:.+)$/i.test(action))
      throw refused("Policy has invalid action");
  const arn = `arn:aws:s3:::${bucket.name}`;
  for (const resource of list(statement.Resource ?? statement.NotResource)) {
    const fits =
      typeof resource === "string" &&
      (resource === arn || resource.startsWith(`${arn}/`) || resource === `${arn}*`);
    if (!fits) throw refused("Policy has invalid resource");
  }
};

/** @throws {AwsError} MalformedPolicy unless `text` is a policy of statements on this bucket. */
export function checkBucketPolicy(text: string, bucket: Bucket): void {
  if (Buffer.byteLength(text) > MAX_BYTES)
    throw refused("Policy exceeds the maximum allowed document size");
  if (!text.startsWith("{"))
    throw refused("Policies must be valid JSON and the first byte must be '{'");
  try {
    // What is stored can be evaluated: a policy that is not understood must not come to light later.
    parsePolicy(text, "resource");
  } catch (error) {
    throw error instanceof AwsError ? refused(error.message) : error;
  }
  const { Statement } = JSON.parse(text) as Document; // parsePolicy has seen to its form
  for (const statement of list(Statement) as Record<string, unknown>[]) // as above
    checkStatement(statement, bucket);
}
