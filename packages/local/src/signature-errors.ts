/** How each family of AWS services spells the errors of signatures and sessions. */
import { AwsError, type AwsRequest } from "./service.ts";

/**
 * How a service spells its errors: `query` (IAM, STS), `json` (JSON RPC), `rest` (REST JSON), `s3`.
 */
export type ErrorFamily = "query" | "json" | "rest" | "s3";

const names = {
  missing: {
    query: ["MissingAuthenticationToken", 403],
    json: ["MissingAuthenticationTokenException", 400],
    rest: ["MissingAuthenticationTokenException", 403],
    s3: ["AccessDenied", 403],
  },
  incomplete: {
    query: ["IncompleteSignature", 400],
    json: ["IncompleteSignatureException", 400],
    rest: ["IncompleteSignatureException", 400],
    s3: ["AuthorizationHeaderMalformed", 400],
  },
  unknownKey: {
    query: ["InvalidClientTokenId", 403],
    json: ["UnrecognizedClientException", 400],
    rest: ["UnrecognizedClientException", 403],
    s3: ["InvalidAccessKeyId", 403],
  },
  badToken: {
    query: ["InvalidClientTokenId", 403],
    json: ["UnrecognizedClientException", 400],
    rest: ["UnrecognizedClientException", 403],
    s3: ["InvalidToken", 400],
  },
  mismatch: {
    query: ["SignatureDoesNotMatch", 403],
    json: ["InvalidSignatureException", 400],
    rest: ["InvalidSignatureException", 403],
    s3: ["SignatureDoesNotMatch", 403],
  },
  skewed: {
    query: ["SignatureDoesNotMatch", 403],
    json: ["InvalidSignatureException", 400],
    rest: ["InvalidSignatureException", 403],
    s3: ["RequestTimeTooSkewed", 403],
  },
  presignedOver: {
    query: ["RequestExpired", 400],
    json: ["RequestExpired", 400],
    rest: ["RequestExpired", 400],
    s3: ["AccessDenied", 403],
  },
  expiredToken: {
    query: ["ExpiredToken", 403],
    json: ["ExpiredTokenException", 400],
    rest: ["ExpiredTokenException", 403],
    s3: ["ExpiredToken", 400],
  },
  wrongScope: {
    query: ["SignatureDoesNotMatch", 403],
    json: ["InvalidSignatureException", 400],
    rest: ["InvalidSignatureException", 403],
    s3: ["AuthorizationHeaderMalformed", 400],
  },
  payload: {
    query: ["SignatureDoesNotMatch", 403],
    json: ["InvalidSignatureException", 400],
    rest: ["InvalidSignatureException", 403],
    s3: ["XAmzContentSHA256Mismatch", 400],
  },
} as const satisfies Record<string, Record<ErrorFamily, readonly [string, number]>>;

/** The error of one kind as a service family spells it. */
export const signatureError = (
  kind: keyof typeof names,
  family: ErrorFamily,
  message: string,
): AwsError => {
  const [code, status] = names[kind][family];
  return new AwsError(code, message, status);
};

/** Which family speaks to a request whose service is not known (yet): judged by the request's own form. */
export const familyOf = (service: string | undefined, request: AwsRequest): ErrorFamily => {
  if (service === "s3") return "s3";
  if (service === "sts" || service === "iam") return "query";
  if (service === "scheduler") return "rest";
  if (service !== undefined || request.headers["x-amz-target"] !== undefined) return "json";
  const type = request.headers["content-type"] ?? "";
  const form = type.startsWith("application/x-www-form-urlencoded");
  return form || request.query.some(([name]) => name === "Action") ? "query" : "s3";
};
