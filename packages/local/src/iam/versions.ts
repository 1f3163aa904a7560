/** Versions of managed policies: at most five, one of them in force. */
import { z } from "zod";
import { AwsError, operation } from "../service.ts";
import { members } from "../xml.ts";
import type { ManagedPolicy, Roles } from "./roles.ts";

const VERSIONS = 5;

const PolicyArn = z.string().min(20).max(2048);
const VersionId = z.string().regex(/^v[1-9][0-9]*$/);

export const policyVersions = (parts: {
  readonly roles: Roles;
  readonly now: () => number;
  /** @throws {AwsError} where there is none */
  readonly find: (arn: string) => ManagedPolicy;
  /** @throws {AwsError} for a document that IAM would not take */
  readonly check: (document: string) => void;
}) => {
  const { roles, now, find, check } = parts;
  const show = (policy: ManagedPolicy, id: string, withDocument: boolean) => {
    const version = policy.versions.get(id);
    if (version === undefined)
      throw new AwsError(
        "NoSuchEntity",
        `Policy ${policy.arn} version ${id} does not exist or is not attachable.`,
        404,
      );
    return {
      ...(withDocument ? { Document: encodeURIComponent(version.document) } : {}),
      VersionId: id,
      IsDefaultVersion: id === policy.defaultVersion,
      CreateDate: new Date(version.createdAt),
    };
  };
  const on = (action: string, arn: string) => [{ action: `iam:${action}`, resource: arn }];
  return {
    CreatePolicyVersion: operation({
      input: z.strictObject({
        PolicyArn,
        PolicyDocument: z.string().min(1).max(131_072),
        SetAsDefault: z.stringbool({ truthy: ["true"], falsy: ["false"] }).optional(),
      }),
      authorize: (input) => on("CreatePolicyVersion", input.PolicyArn),
      run(input) {
        const policy = find(input.PolicyArn);
        check(input.PolicyDocument);
        if (policy.versions.size >= VERSIONS)
          throw new AwsError(
            "LimitExceeded",
            `A managed policy can have up to ${VERSIONS} versions. Before you create a new version, you must delete an existing version.`,
            409,
          );
        const last = Math.max(...[...policy.versions.keys()].map((id) => Number(id.slice(1))));
        const id = `v${last + 1}`;
        const versions = new Map(policy.versions).set(id, {
          document: input.PolicyDocument,
          createdAt: now(),
        });
        const changed = { ...policy, versions };
        if (input.SetAsDefault) roles.setDefault(changed, id);
        else roles.keepPolicy(changed);
        return { PolicyVersion: show(find(policy.arn), id, false) };
      },
    }),
    GetPolicyVersion: operation({
      input: z.strictObject({ PolicyArn, VersionId }),
      authorize: (input) => on("GetPolicyVersion", input.PolicyArn),
      run: (input) => ({ PolicyVersion: show(find(input.PolicyArn), input.VersionId, true) }),
    }),
    ListPolicyVersions: operation({
      input: z.strictObject({ PolicyArn }),
      authorize: (input) => on("ListPolicyVersions", input.PolicyArn),
      run(input) {
        const policy = find(input.PolicyArn);
        return {
          Versions: members([...policy.versions.keys()].map((id) => show(policy, id, false))),
          IsTruncated: false,
        };
      },
    }),
  };
};
