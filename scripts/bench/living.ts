/** Grants as they lie in the table, without anybody having asked for them. */
import { grantToItem, type Item } from "@stint/aws/store/write";
import { type Active, lease, toOpening } from "@stint/core/grant";
import { grantId, namespaceOf } from "@stint/core/id";

export const ROLE = "arn:aws:iam::000000000000:role/stint/orders-integration";
const CHUNK = 50_000;

/** A job's grant that began at `startsAt` and lives for `seconds`. */
export function active(number: number, startsAt: number, seconds: number): Active {
  const job = {
    pipeline: "github",
    issuer: "https://token.actions.githubusercontent.com",
    run: String(number),
    attempt: "1",
    job: String(number),
  };
  const principal = {
    kind: "job" as const,
    id: `github:token.actions.githubusercontent.com:186853002:${number}:1:${number}`,
    claims: { repository_id: "186853002", ref: "refs/heads/main", event_name: "push" },
    job,
  };
  const id = grantId(principal.id, "bench");
  const opening = toOpening(
    {
      id,
      profile: "orders-integration",
      principal,
      namespace: namespaceOf(id),
      rule: "orders-main",
      policyVersion: "bench",
      createdAt: startsAt,
      seconds,
      leaseSeconds: seconds,
      claimSeconds: 900,
      targets: {
        aws: {
          kind: "aws",
          role: ROLE,
          revocability: "next-request",
        },
      },
      requestHash: "bench",
      tokenKey: "1",
    },
    "bench",
    seconds,
    startsAt,
  );
  const grant = lease(opening, opening.leases);
  if (grant.state !== "active") throw new Error("a lease makes a grant active");
  return grant;
}

/**
 * Grants with hours to live. Their keys, shards and times are their own; the body, which the sweep never reads of
 * what is not due, is one for all, so that a million of them fit in memory.
 */
export function* living(count: number, now: number): Generator<Item[]> {
  const body = grantToItem(active(0, now, 3600), 1, undefined).grant;
  if (body === undefined) throw new Error("a grant's item has no grant");
  for (let from = 0; from < count; from += CHUNK)
    yield Array.from({ length: Math.min(CHUNK, count - from) }, (_, at) => {
      const grant = active(1_000_000 + from + at, now, 3600 + ((from + at) % 3600));
      return { ...grantToItem(grant, 1, undefined), grant: body };
    });
}
