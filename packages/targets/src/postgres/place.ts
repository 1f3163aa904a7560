import { GRANT_ID } from "@stint/core/id";

export type { Leavings, Own, PostgresPlace, Tls } from "@stint/core/postgres";

const PREFIX = "stint_";
const SUFFIX = /^[a-z0-9]{1,40}$/;

/**
 * The NOLOGIN role that all leases of a grant act as, so that what one lease made the next one may alter; and the
 * name of the grant's schema or database.
 */
export function ownerOf(grantId: string): string {
  // A shorter id would be a prefix of other grants' roles, and end those too.
  if (!GRANT_ID.test(grantId)) throw new TypeError(`"${grantId}" is no grant id`);
  return `${PREFIX}${grantId}`;
}

/** What the names of a grant's lease roles start with. */
export const leasePrefixOf = (grantId: string): string => `${ownerOf(grantId)}_`;

/** At most 6 + 16 + 1 + 40 = 63 bytes, which is where PostgreSQL cuts names off. */
export function leaseRoleOf(grantId: string, suffix: string): string {
  if (!SUFFIX.test(suffix)) throw new TypeError(`"${suffix}" is no suffix for a role`);
  return `${leasePrefixOf(grantId)}${suffix}`;
}

/** The grant that a role, schema or database of our naming is of. */
export function grantOf(name: string): string | undefined {
  if (!name.startsWith(PREFIX)) return undefined;
  const [id = "", suffix, ...more] = name.slice(PREFIX.length).split("_");
  if (more.length > 0 || (suffix !== undefined && !SUFFIX.test(suffix))) return undefined;
  return GRANT_ID.test(id) ? id : undefined;
}
