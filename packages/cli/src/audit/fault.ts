/** What can be wrong on the way to the audit log, in words that say what to set. */
import { EXIT, Failure, usage } from "../failure.ts";

/** All that a laptop needs, as one line to put before the command. */
const LOCALLY =
  "with the local server: STINT_AUDIT_BUCKET=stint-audit AWS_ENDPOINT_URL=http://127.0.0.1:4011 AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local";

export const noBucket = (): Failure =>
  usage("there is no audit bucket", `set STINT_AUDIT_BUCKET, or give --bucket\n${LOCALLY}`);

const DENIED = new Set([
  "AccessDenied",
  "ExpiredToken",
  "InvalidAccessKeyId",
  "InvalidToken",
  "SignatureDoesNotMatch",
]);

/** The error that the SDK or the network gave, told by what to do about it; any other one as it is. */
export function auditFault(error: unknown, bucket: string, endpoint: string | undefined): unknown {
  if (!(error instanceof Error)) return error;
  const { name, message } = error;
  if (name === "CredentialsProviderError")
    return usage(
      "there are no AWS credentials to read the audit log with",
      `use those of somebody who may read the bucket ${bucket}\n${LOCALLY}`,
    );
  if (message === "Region is missing") return usage("there is no AWS region", "set AWS_REGION");
  if (DENIED.has(name))
    return new Failure({
      code: "audit_denied",
      message: `AWS does not let these credentials read the bucket ${bucket} (${name})`,
      hint: `a grant's own credentials cannot; use those of somebody who may\n${LOCALLY}`,
      exit: EXIT.remote,
    });
  if (name === "NoSuchBucket")
    return usage(`there is no bucket ${bucket}`, `set STINT_AUDIT_BUCKET\n${LOCALLY}`);
  const code = "code" in error ? error.code : undefined;
  if (code === "ECONNREFUSED" || code === "ENOTFOUND")
    return new Failure({
      code: "no_answer",
      message: `no answer from ${endpoint ?? "AWS"} (${code})`,
      hint: "check AWS_ENDPOINT_URL, and that this machine can reach it",
      exit: EXIT.remote,
    });
  return error;
}
