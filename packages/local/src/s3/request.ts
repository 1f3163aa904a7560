/** A request's parameters and headers, wherever they were sent. */
import { AwsError, type AwsRequest } from "../service.ts";

const PRESIGNED =
  /^x-amz-(algorithm|credential|date|expires|signedheaders|signature|security-token|content-sha256)$/;

/** Presigning moves `x-amz-` headers into the query; they mean the same there. The signature's own are left out. */
export function unify(request: AwsRequest): {
  readonly query: ReadonlyMap<string, string>;
  readonly headers: ReadonlyMap<string, string>;
} {
  const query = new Map<string, string>();
  const headers = new Map(Object.entries(request.headers));
  for (const [name, value] of request.query) {
    const lower = name.toLowerCase();
    if (PRESIGNED.test(lower)) continue;
    const [store, key] = lower.startsWith("x-amz-") ? [headers, lower] : [query, name];
    // Two values would leave it open which of them counts.
    if (store.has(key)) throw new AwsError("InvalidArgument", `${name} was given twice`);
    store.set(key, value);
  }
  return { query, headers };
}
