/**
 * SimulatePrincipalPolicy: what a role's own policies and boundary say of actions, without a request. As in AWS, keys
 * that a request would have are there only where they are given.
 */
import { z } from "zod";
import { AwsError, operation } from "../service.ts";
import { members } from "../xml.ts";
import { evaluate, type Principal, type Question } from "./evaluate.ts";
import { list } from "./input.ts";
import { type Policy, parsePolicy } from "./policy.ts";
import type { RoleState } from "./roles.ts";

const entry = z.strictObject({
  ContextKeyName: z.string().min(5).max(256),
  ContextKeyType: z.templateLiteral([
    z.enum(["string", "numeric", "boolean", "ip", "binary", "date"]),
    z.enum(["", "List"]),
  ]),
  ContextKeyValues: list(z.string()),
});

export const simulation = (parts: {
  readonly account: string;
  /** What IAM's own API sees, whether or not it is in force yet. */
  readonly roleByArn: (arn: string) => RoleState | undefined;
  readonly document: (policyArn: string) => string | undefined;
}) => {
  const { account, roleByArn, document } = parts;
  return {
    SimulatePrincipalPolicy: operation({
      input: z.strictObject({
        PolicySourceArn: z.string().min(20).max(2048),
        ActionNames: list(z.string().min(3).max(128)),
        ResourceArns: list(z.string().min(1).max(2048)).optional(),
        ContextEntries: list(entry).optional(),
      }),
      authorize: (input) => [
        { action: "iam:SimulatePrincipalPolicy", resource: input.PolicySourceArn },
      ],
      run(input) {
        const {
          PolicySourceArn: arn,
          ActionNames: actions,
          ResourceArns: resources = ["*"],
        } = input;
        const role = roleByArn(arn);
        if (role === undefined)
          throw new AwsError("NoSuchEntity", `The role with ARN ${arn} cannot be found.`, 404);
        const texts = (arns: readonly string[]) => arns.flatMap((one) => document(one) ?? []);
        const identity = [...role.inline.values(), ...texts(role.attached)].map((text) =>
          parsePolicy(text),
        );
        // One that is gone allows nothing.
        const [bounds] = role.boundary === undefined ? [] : texts([role.boundary]);
        const boundary: Policy | undefined =
          bounds === undefined
            ? role.boundary === undefined
              ? undefined
              : { statements: [] }
            : parsePolicy(bounds);
        const context = new Map(
          (input.ContextEntries ?? []).map(({ ContextKeyName, ContextKeyValues }) => [
            ContextKeyName.toLowerCase(),
            ContextKeyValues,
          ]),
        );
        const principal: Principal = {
          kind: "session",
          account,
          arn: `arn:aws:sts::${account}:assumed-role/${role.name}/simulated`,
          roleArn: role.arn,
          roleId: role.id,
        };
        const decide = (action: string, resource: string, by: Partial<Question>) =>
          evaluate({ principal, action, resource, context, identity, ...by });
        const results = actions.flatMap((action) =>
          resources.map((resource) => {
            const { reason } = decide(action, resource, boundary === undefined ? {} : { boundary });
            return {
              EvalActionName: action,
              EvalResourceName: resource,
              EvalDecision: reason,
              MatchedStatements: members([]),
              MissingContextValues: members([]),
              ...(boundary === undefined
                ? {}
                : {
                    PermissionsBoundaryDecisionDetail: {
                      AllowedByPermissionsBoundary: decide(action, resource, {
                        identity: [boundary],
                      }).allowed,
                    },
                  }),
            };
          }),
        );
        return { EvaluationResults: members(results), IsTruncated: false };
      },
    }),
  };
};
