import { AwsError } from "./service.ts";

/**
 * One page of what is sorted by `key`, and the token of the next. The token holds the last key shown, so that
 * items that come and go between two pages are neither repeated nor skipped.
 * @throws {AwsError} `ValidationException` for a token that was not given out here
 */
export function pageOf<T>(
  items: readonly T[],
  key: (item: T) => string,
  token: string | undefined,
  limit: number,
): { readonly page: readonly T[]; readonly nextToken?: string } {
  const after = token === undefined ? "" : Buffer.from(token, "base64url").toString();
  if (token !== undefined && Buffer.from(after).toString("base64url") !== token) {
    throw new AwsError("ValidationException", "Parameter NextToken is not valid.");
  }
  const left = items.filter((item) => key(item) > after).sort((a, b) => (key(a) < key(b) ? -1 : 1));
  const page = left.slice(0, limit);
  const last = page.at(-1);
  return last !== undefined && page.length < left.length
    ? { page, nextToken: Buffer.from(key(last)).toString("base64url") }
    : { page };
}
