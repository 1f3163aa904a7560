/** What IAM says of the roles and policies of the account that the operator's credentials are of. */
import {
  GetPolicyCommand,
  GetPolicyVersionCommand,
  GetRoleCommand,
  GetRolePolicyCommand,
  type IAMClient,
  NoSuchEntityException,
  paginateListRolePolicies,
  SimulatePrincipalPolicyCommand,
} from "@aws-sdk/client-iam";

export interface RoleFacts {
  /** With the path that it really has. */
  readonly arn: string;
  readonly trust: string;
  readonly boundary?: string;
  readonly maxSessionSeconds: number;
  readonly inline: ReadonlyArray<{ readonly name: string; readonly document: string }>;
}

export interface Asked {
  readonly principal: string;
  readonly action: string;
  readonly resource: string;
  readonly context?: Readonly<Record<string, string>>;
}

/** Each answers undefined, or nothing, for what does not exist. */
export interface Account {
  role(name: string): Promise<RoleFacts | undefined>;
  /** The version of a managed policy that is in force. */
  policy(arn: string): Promise<string | undefined>;
  /** Whether IAM would let a role do it; its policies and its boundary count. */
  allows(asked: Asked): Promise<boolean>;
}

export const accountOf = (iam: IAMClient): Account => ({
  role: (RoleName) =>
    orNothing(async () => {
      const { Role } = await iam.send(new GetRoleCommand({ RoleName }));
      const names: string[] = [];
      for await (const page of paginateListRolePolicies({ client: iam }, { RoleName }))
        names.push(...(page.PolicyNames ?? []));
      const inline = await Promise.all(
        names.map(async (PolicyName) => {
          const found = await iam.send(new GetRolePolicyCommand({ RoleName, PolicyName }));
          return { name: PolicyName, document: decoded(found.PolicyDocument) };
        }),
      );
      const boundary = Role?.PermissionsBoundary?.PermissionsBoundaryArn;
      return {
        arn: Role?.Arn ?? "",
        trust: decoded(Role?.AssumeRolePolicyDocument),
        maxSessionSeconds: Role?.MaxSessionDuration ?? 0,
        inline,
        ...(boundary === undefined ? {} : { boundary }),
      };
    }),
  policy: (PolicyArn) =>
    orNothing(async () => {
      const { Policy } = await iam.send(new GetPolicyCommand({ PolicyArn }));
      const { PolicyVersion } = await iam.send(
        new GetPolicyVersionCommand({ PolicyArn, VersionId: Policy?.DefaultVersionId }),
      );
      return decoded(PolicyVersion?.Document);
    }),
  allows: async ({ principal, action, resource, context = {} }) => {
    const { EvaluationResults = [] } = await iam.send(
      new SimulatePrincipalPolicyCommand({
        PolicySourceArn: principal,
        ActionNames: [action],
        ResourceArns: [resource],
        ContextEntries: Object.entries(context).map(([ContextKeyName, value]) => ({
          ContextKeyName,
          ContextKeyType: "string",
          ContextKeyValues: [value],
        })),
      }),
    );
    return (
      EvaluationResults.length > 0 &&
      EvaluationResults.every(({ EvalDecision }) => EvalDecision === "allowed")
    );
  },
});

async function orNothing<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof NoSuchEntityException) return undefined;
    throw error;
  }
}

/** IAM answers documents percent-encoded. */
const decoded = (document: string | undefined): string => decodeURIComponent(document ?? "");
