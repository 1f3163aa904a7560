/** A role that grants are of, for who deploys it with SST. For other accounts: `stacks/accounts/`. */
import { probeDocument, SESSION_SECONDS, TARGET_PATH, trustDocument } from "@stint/aws/target-role";
import { place } from "./stage.ts";

export interface TargetRoleArgs {
  /** Its name under `/stint/`, as the configuration has it. */
  readonly name: string;
  /** The API function's role: it alone may assume this one. */
  readonly broker: $util.Input<string>;
  /** What the role cannot do whatever its policies say; the revoker writes on no role without it. */
  readonly boundary: $util.Input<string>;
  /**
   * What tests may do at most; a grant narrows it to its profile. Managed policies alone: the room for inline ones is
   * the deny list's.
   */
  readonly policies: readonly $util.Input<string>[];
}

/**
 * @example
 * new TargetRole("Orders", {
 *   name: "orders-integration",
 *   broker: "arn:aws:iam::111122223333:role/stint-functions/stint-production-api",
 *   boundary: parts.boundary.arn,
 *   policies: [ordersTests.arn],
 * });
 */
export class TargetRole extends $util.ComponentResource {
  readonly arn: $util.Output<string>;

  constructor(name: string, args: TargetRoleArgs, opts?: $util.ComponentResourceOptions) {
    super("stint:aws:TargetRole", name, {}, opts);
    const role = new aws.iam.Role(
      `${name}Role`,
      {
        name: args.name,
        path: TARGET_PATH,
        maxSessionDuration: SESSION_SECONDS,
        permissionsBoundary: args.boundary,
        // Deny lists are written beside the deployment: IAM deletes no role that still has one.
        forceDetachPolicies: true,
        assumeRolePolicy: $util
          .output(args.broker)
          .apply((arn) => JSON.stringify(trustDocument(arn))),
      },
      { parent: this },
    );
    const probe = new aws.iam.Policy(
      `${name}Probe`,
      {
        path: TARGET_PATH,
        description: "The call by which a session is proved to be dead",
        policy: place().account.apply((account) => JSON.stringify(probeDocument(account))),
      },
      { parent: this },
    );
    for (const [at, policyArn] of [...args.policies, probe.arn].entries())
      new aws.iam.RolePolicyAttachment(
        `${name}Policy${at}`,
        { role: role.name, policyArn },
        { parent: this },
      );
    this.arn = role.arn;
    this.registerOutputs({ arn: role.arn });
  }
}
