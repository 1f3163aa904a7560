/**
 * The roles of this account that the configuration names: made here, each allowed what the profiles that name it allow
 * together. `STINT_TARGET_ROLES=none` leaves them to who makes them otherwise; those of other accounts are always
 * made there, by `stacks/accounts/`.
 */
import { permissionsDocument, TARGET_PATH } from "@stint/aws/target-role";
import type { AllowStatement, Config } from "@stint/core/profile";
import { chosen, named, place } from "./stage.ts";
import { TargetRole } from "./target-role.ts";

/** IAM's limit for one managed policy. White space is not counted, and there is none. */
const MANAGED_LIMIT = 6_144;

export function targets(
  config: Config,
  of: {
    readonly broker: $util.Input<string>;
    readonly boundary: $util.Input<string>;
    /** IAM wants a principal to exist before a trust policy names it. */
    readonly after: $util.Resource;
  },
): void {
  if (chosen("STINT_TARGET_ROLES", "none")) return;
  place().account.apply((account) => {
    for (const [name, allow] of rolesIn(config, account)) {
      const document = JSON.stringify(permissionsDocument(allow));
      if (document.length > MANAGED_LIMIT)
        throw new Error(
          `the role ${name} would need a policy of ${document.length} characters, and IAM takes ${MANAGED_LIMIT}: make it yourself (STINT_TARGET_ROLES=none), with several`,
        );
      const logical = name.replace(/[^A-Za-z0-9]+/g, "-");
      const policy = new aws.iam.Policy(`Target-${logical}-Profiles`, {
        name: named(`target-${name}`),
        description: `What the profiles of ${name} allow together`,
        policy: document,
      });
      new TargetRole(
        `Target-${logical}`,
        { name, broker: of.broker, boundary: of.boundary, policies: [policy.arn] },
        { dependsOn: [of.after] },
      );
    }
  });
}

/** What is allowed by name of the role, for those under our path in this account. */
function rolesIn(config: Config, account: string): ReadonlyMap<string, readonly AllowStatement[]> {
  const prefix = `arn:aws:iam::${account}:role${TARGET_PATH}`;
  const roles = new Map<string, readonly AllowStatement[]>();
  for (const { targets } of Object.values(config.profiles))
    for (const target of Object.values(targets))
      if (target.kind === "aws" && target.role.startsWith(prefix)) {
        const name = target.role.slice(prefix.length);
        roles.set(name, [...(roles.get(name) ?? []), ...target.allow]);
      }
  return roles;
}
