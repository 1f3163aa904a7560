import { AwsError } from "../service.ts";

/** What DynamoDB answers to a request that is malformed or does not fit the table. */
export const invalid = (message: string): AwsError => new AwsError("ValidationException", message);

/** The commonest family of refusals, by the prefix that AWS gives them. */
export const invalidParameters = (message: string): AwsError =>
  invalid(`One or more parameter values were invalid: ${message}`);

export const notFound = (message = "Requested resource not found"): AwsError =>
  new AwsError("ResourceNotFoundException", message);

export const inUse = (message: string): AwsError => new AwsError("ResourceInUseException", message);
