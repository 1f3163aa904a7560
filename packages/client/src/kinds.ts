/** Which kind of target credentials are of. */
import type { AwsCredentials, Credentials, TargetCredentials } from "./types.ts";

/**
 * @example
 * const { aws } = credentials;
 * if (aws !== undefined && isAws(aws)) new S3Client({ credentials: aws });
 */
export const isAws = (of: TargetCredentials): of is AwsCredentials => "accessKeyId" in of;

/** Those of AWS targets, in the order of the profile. */
export const awsOnly = (credentials: Credentials): Readonly<Record<string, AwsCredentials>> =>
  Object.fromEntries(
    Object.entries(credentials).flatMap(([target, of]) => (isAws(of) ? [[target, of]] : [])),
  );
