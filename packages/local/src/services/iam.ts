/** IAM: roles, their policies and boundaries (query API). */
import { z } from "zod";
import { integer, list, mergeTags, requestTags, tag, tagRecord } from "../iam/input.ts";
import { parsePolicy } from "../iam/policy.ts";
import { createRoles, type ManagedPolicy, type RoleState } from "../iam/roles.ts";
import { simulation } from "../iam/simulate.ts";
import { policyVersions } from "../iam/versions.ts";
import { queryProtocol } from "../protocols.ts";
import { AwsError, type Check, operation, type Service, type World } from "../service.ts";
import { awsId } from "../sessions.ts";
import { members } from "../xml.ts";

export type { RoleState } from "../iam/roles.ts";

/** What the kernel and STS ask of IAM besides its API. All of it is what is in force now. */
export interface Iam extends Service {
  roleInForce(roleId: string): RoleState | undefined;
  roleByArn(arn: string): RoleState | undefined;
  /** The policies of a role, inline and attached, as JSON text. */
  documentsOf(role: RoleState): readonly string[];
  managedPolicy(arn: string): string | undefined;
  /** Puts everything written so far in force now: for setting an account up. */
  spread(): void;
}

const INLINE_LIMIT = 10_240;
const MANAGED_LIMIT = 6_144;
const TRUST_LIMIT = 2_048;
const ATTACHED_LIMIT = 10;

const RoleName = z.string().regex(/^[\w+=,.@-]{1,64}$/);
const PolicyName = z.string().regex(/^[\w+=,.@-]{1,128}$/);
const PolicyArn = z.string().min(20).max(2048);
const PolicyDocument = z.string().min(1).max(131_072);
const Path = z
  .string()
  .max(512)
  .regex(/^(\/|\/[!-~]+\/)$/);
const Description = z.string().max(1_000);
const MaxSessionDuration = integer.pipe(z.number().min(3_600).max(43_200)).optional();
const paging = {
  Marker: z.string().optional(),
  MaxItems: integer.pipe(z.number().min(1).max(1_000)).optional(),
};

/** Sizes of policies do not count white space. */
const sizeOf = (document: string) => document.replace(/\s/g, "").length;

const noSuchRole = (name: string) =>
  new AwsError("NoSuchEntity", `The role with name ${name} cannot be found.`, 404);
const noSuchPolicy = (arn: string) =>
  new AwsError("NoSuchEntity", `Policy ${arn} does not exist or is not attachable.`, 404);
const limitExceeded = (message: string) => new AwsError("LimitExceeded", message, 409);

/** One page of a list in order of `keyOf`; the marker is the last key that was shown. */
const page = <T>(
  items: readonly T[],
  keyOf: (item: T) => string,
  input: { readonly Marker?: string | undefined; readonly MaxItems?: number | undefined },
) => {
  const after = input.Marker === undefined ? "" : Buffer.from(input.Marker, "base64url").toString();
  const sorted = [...items].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
  const rest = sorted.filter((item) => input.Marker === undefined || keyOf(item) > after);
  const shown = rest.slice(0, input.MaxItems ?? 100);
  const last = shown.at(-1);
  const more = shown.length < rest.length && last !== undefined;
  return {
    shown,
    more: {
      IsTruncated: more,
      ...(more ? { Marker: Buffer.from(keyOf(last)).toString("base64url") } : {}),
    },
  };
};

const showTags = (tags: Readonly<Record<string, string>>) =>
  members(Object.entries(tags).map(([Key, Value]) => ({ Key, Value })));

const showRole = (role: RoleState, withTags = true) => ({
  Path: role.path,
  RoleName: role.name,
  RoleId: role.id,
  Arn: role.arn,
  CreateDate: new Date(role.createdAt),
  AssumeRolePolicyDocument: encodeURIComponent(role.trust),
  Description: role.description,
  MaxSessionDuration: role.maxSessionSeconds,
  // Lists leave out tags and boundary, as AWS does.
  PermissionsBoundary:
    role.boundary === undefined || !withTags
      ? undefined
      : { PermissionsBoundaryType: "Policy", PermissionsBoundaryArn: role.boundary },
  Tags: withTags ? showTags(role.tags) : undefined,
});

/** IAM over `world`. Changes are in force `delayMs` after they were made, on the local clock. */
export const createIam = (world: World, options: { readonly delayMs: number }): Iam => {
  const roles = createRoles(world, options);
  const { account } = world;

  const roleArn = (path: string, name: string) => `arn:aws:iam::${account}:role${path}${name}`;
  const policyArn = (path: string, name: string) => `arn:aws:iam::${account}:policy${path}${name}`;
  const find = (name: string): RoleState => {
    const role = roles.newest(name);
    if (role === undefined) throw noSuchRole(name);
    return role;
  };
  const change = (name: string, of: (role: RoleState) => Partial<RoleState>): void => {
    const role = find(name);
    roles.put({ ...role, ...of(role) });
  };

  /** A check on a role by name, with the condition keys that IAM sets for it. */
  const onRole = (
    action: string,
    name: string,
    context: Check["context"] = {},
  ): readonly Check[] => {
    const role = roles.newest(name);
    const tags = Object.entries(role?.tags ?? {}).flatMap(([key, value]) => [
      [`aws:ResourceTag/${key}`, value],
      [`iam:ResourceTag/${key}`, value],
    ]);
    return [
      {
        action: `iam:${action}`,
        resource: role?.arn ?? roleArn("/", name),
        context: { ...Object.fromEntries(tags), ...context },
      },
    ];
  };
  /** As `onRole`, for actions that a boundary on the role can open or close. */
  const onBounded = (action: string, name: string, context: Check["context"] = {}) => {
    const boundary = roles.newest(name)?.boundary;
    return onRole(action, name, {
      ...(boundary === undefined ? {} : { "iam:PermissionsBoundary": boundary }),
      ...context,
    });
  };

  const assertTrust = (document: string): void => {
    parsePolicy(document, "trust");
    if (sizeOf(document) > TRUST_LIMIT)
      throw limitExceeded(`Cannot exceed quota for ACLSizePerRole: ${TRUST_LIMIT}`);
    // AWS resolves the principals of its own accounts when the policy is stored.
    const here = new RegExp(`"arn:aws:iam::${account}:(role|user)(/[^"]*)"`, "g");
    for (const [quoted, kind, path = ""] of document.matchAll(here)) {
      const name = path.slice(path.lastIndexOf("/") + 1);
      const arn = JSON.parse(quoted) as string; // it was matched as a JSON string
      if (kind === "user" || roles.newest(name)?.arn !== arn)
        throw new AwsError(
          "MalformedPolicyDocument",
          `Invalid principal in policy: "AWS":"${arn}"`,
        );
    }
  };
  const assertManaged = (document: string): void => {
    parsePolicy(document);
    if (sizeOf(document) > MANAGED_LIMIT)
      throw limitExceeded(`Cannot exceed quota for PolicySize: ${MANAGED_LIMIT}`);
  };
  const assertPolicy = (arn: string): ManagedPolicy => {
    const policy = roles.policy(arn);
    if (policy === undefined) throw noSuchPolicy(arn);
    return policy;
  };
  const showPolicy = (policy: ManagedPolicy) => ({
    PolicyName: policy.name,
    PolicyId: policy.id,
    Arn: policy.arn,
    Path: policy.path,
    DefaultVersionId: policy.defaultVersion,
    AttachmentCount: roles.attachments(policy.arn),
    IsAttachable: true,
    Description: policy.description,
    CreateDate: new Date(policy.createdAt),
    UpdateDate: new Date(policy.createdAt),
  });

  const roleOnly = z.strictObject({ RoleName });
  const named = z.strictObject({ RoleName, PolicyName });
  const attachment = z.strictObject({ RoleName, PolicyArn });

  const operations = {
    CreateRole: operation({
      input: z.strictObject({
        RoleName,
        Path: Path.optional(),
        AssumeRolePolicyDocument: PolicyDocument,
        Description: Description.optional(),
        MaxSessionDuration,
        PermissionsBoundary: PolicyArn.optional(),
        Tags: list(tag).optional(),
      }),
      authorize: (input) => [
        {
          action: "iam:CreateRole",
          resource: roleArn(input.Path ?? "/", input.RoleName),
          context: {
            ...requestTags(tagRecord(input.Tags ?? [])),
            ...(input.PermissionsBoundary === undefined
              ? {}
              : { "iam:PermissionsBoundary": input.PermissionsBoundary }),
          },
        },
      ],
      run(input) {
        const { RoleName: name, Path: path = "/", PermissionsBoundary: boundary } = input;
        if (roles.newest(name) !== undefined)
          throw new AwsError("EntityAlreadyExists", `Role with name ${name} already exists.`, 409);
        assertTrust(input.AssumeRolePolicyDocument);
        if (boundary !== undefined) assertPolicy(boundary);
        const role: RoleState = {
          name,
          path,
          id: awsId("AROA", 21, world.random),
          arn: roleArn(path, name),
          createdAt: world.clock.now(),
          maxSessionSeconds: input.MaxSessionDuration ?? 3_600,
          trust: input.AssumeRolePolicyDocument,
          inline: new Map(),
          attached: [],
          tags: tagRecord(input.Tags ?? []),
          ...(input.Description === undefined ? {} : { description: input.Description }),
          ...(boundary === undefined ? {} : { boundary }),
        };
        roles.put(role);
        return { Role: showRole(role) };
      },
    }),
    GetRole: operation({
      input: roleOnly,
      authorize: (input) => onRole("GetRole", input.RoleName),
      run: (input) => ({ Role: showRole(find(input.RoleName)) }),
    }),
    UpdateRole: operation({
      input: z.strictObject({
        RoleName,
        Description: Description.optional(),
        MaxSessionDuration,
      }),
      authorize: (input) => onRole("UpdateRole", input.RoleName),
      run: ({ RoleName: name, Description: description, MaxSessionDuration: seconds }) =>
        change(name, () => ({
          ...(description === undefined ? {} : { description }),
          ...(seconds === undefined ? {} : { maxSessionSeconds: seconds }),
        })),
    }),
    DeleteRole: operation({
      input: roleOnly,
      authorize: (input) => onRole("DeleteRole", input.RoleName),
      run(input) {
        const role = find(input.RoleName);
        const conflict = (what: string) =>
          new AwsError("DeleteConflict", `Cannot delete entity, must ${what} first.`, 409);
        if (role.attached.length > 0) throw conflict("detach all policies");
        if (role.inline.size > 0) throw conflict("delete policies");
        roles.delete(role);
      },
    }),
    ListRoles: operation({
      input: z.strictObject({ PathPrefix: z.string().optional(), ...paging }),
      authorize: () => [{ action: "iam:ListRoles", resource: "*" }],
      run(input) {
        const { PathPrefix: prefix = "/" } = input;
        const below = roles.all().filter(({ path }) => path.startsWith(prefix));
        const { shown, more } = page(below, ({ name }) => name, input);
        return { Roles: members(shown.map((role) => showRole(role, false))), ...more };
      },
    }),
    UpdateAssumeRolePolicy: operation({
      input: z.strictObject({ RoleName, PolicyDocument }),
      authorize: (input) => onRole("UpdateAssumeRolePolicy", input.RoleName),
      run(input) {
        find(input.RoleName);
        assertTrust(input.PolicyDocument);
        change(input.RoleName, () => ({ trust: input.PolicyDocument }));
      },
    }),
    PutRolePolicy: operation({
      input: z.strictObject({ RoleName, PolicyName, PolicyDocument }),
      authorize: (input) => onBounded("PutRolePolicy", input.RoleName),
      run(input) {
        const role = find(input.RoleName);
        parsePolicy(input.PolicyDocument);
        const inline = new Map(role.inline).set(input.PolicyName, input.PolicyDocument);
        const size = [...inline.values()].reduce((sum, document) => sum + sizeOf(document), 0);
        if (size > INLINE_LIMIT)
          throw limitExceeded(
            `Maximum policy size of ${INLINE_LIMIT} bytes exceeded for role ${role.name}`,
          );
        roles.put({ ...role, inline });
      },
    }),
    GetRolePolicy: operation({
      input: named,
      authorize: (input) => onRole("GetRolePolicy", input.RoleName),
      run(input) {
        const document = find(input.RoleName).inline.get(input.PolicyName);
        if (document === undefined)
          throw new AwsError(
            "NoSuchEntity",
            `The role policy with name ${input.PolicyName} cannot be found.`,
            404,
          );
        return { ...input, PolicyDocument: encodeURIComponent(document) };
      },
    }),
    DeleteRolePolicy: operation({
      input: named,
      authorize: (input) => onBounded("DeleteRolePolicy", input.RoleName),
      run(input) {
        const role = find(input.RoleName);
        const inline = new Map(role.inline);
        if (!inline.delete(input.PolicyName))
          throw new AwsError(
            "NoSuchEntity",
            `The role policy with name ${input.PolicyName} cannot be found.`,
            404,
          );
        roles.put({ ...role, inline });
      },
    }),
    ListRolePolicies: operation({
      input: z.strictObject({ RoleName, ...paging }),
      authorize: (input) => onRole("ListRolePolicies", input.RoleName),
      run(input) {
        const names = [...find(input.RoleName).inline.keys()];
        const { shown, more } = page(names, (name) => name, input);
        return { PolicyNames: members(shown), ...more };
      },
    }),
    CreatePolicy: operation({
      input: z.strictObject({
        PolicyName,
        PolicyDocument,
        Path: Path.optional(),
        Description: Description.optional(),
      }),
      authorize: (input) => [
        { action: "iam:CreatePolicy", resource: policyArn(input.Path ?? "/", input.PolicyName) },
      ],
      run(input) {
        const { PolicyName: name, Path: path = "/", PolicyDocument: document } = input;
        const arn = policyArn(path, name);
        if (roles.policy(arn) !== undefined)
          throw new AwsError(
            "EntityAlreadyExists",
            `A policy called ${name} already exists. Duplicate names are not allowed.`,
            409,
          );
        assertManaged(document);
        const policy = {
          name,
          path,
          arn,
          document,
          id: awsId("ANPA", 21, world.random),
          createdAt: world.clock.now(),
          ...(input.Description === undefined ? {} : { description: input.Description }),
        };
        roles.putPolicy(policy);
        return { Policy: showPolicy(assertPolicy(arn)) };
      },
    }),
    ...simulation({
      account,
      roleByArn: (arn) => roles.all().find((role) => role.arn === arn),
      document: (arn) => roles.policy(arn)?.document,
    }),
    ...policyVersions({
      roles,
      now: () => world.clock.now(),
      find: assertPolicy,
      check: assertManaged,
    }),
    GetPolicy: operation({
      input: z.strictObject({ PolicyArn }),
      authorize: (input) => [{ action: "iam:GetPolicy", resource: input.PolicyArn }],
      run: (input) => ({ Policy: showPolicy(assertPolicy(input.PolicyArn)) }),
    }),
    DeletePolicy: operation({
      input: z.strictObject({ PolicyArn }),
      authorize: (input) => [{ action: "iam:DeletePolicy", resource: input.PolicyArn }],
      run(input) {
        const policy = assertPolicy(input.PolicyArn);
        const conflict = (why: string) => new AwsError("DeleteConflict", why, 409);
        if (policy.arn.startsWith("arn:aws:iam::aws:"))
          throw new AwsError("AccessDenied", `Policy ${policy.arn} is AWS's own.`, 403);
        if (roles.attachments(policy.arn) + roles.bounded(policy.arn) > 0)
          throw conflict("Cannot delete a policy attached to entities.");
        if (policy.versions.size > 1)
          throw conflict(
            "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.",
          );
        roles.deletePolicy(policy);
      },
    }),
    AttachRolePolicy: operation({
      input: attachment,
      authorize: (input) =>
        onBounded("AttachRolePolicy", input.RoleName, { "iam:PolicyARN": input.PolicyArn }),
      run(input) {
        const role = find(input.RoleName);
        assertPolicy(input.PolicyArn);
        if (role.attached.includes(input.PolicyArn)) return;
        if (role.attached.length >= ATTACHED_LIMIT)
          throw limitExceeded(`Cannot exceed quota for PoliciesPerRole: ${ATTACHED_LIMIT}`);
        roles.put({ ...role, attached: [...role.attached, input.PolicyArn] });
      },
    }),
    DetachRolePolicy: operation({
      input: attachment,
      authorize: (input) =>
        onBounded("DetachRolePolicy", input.RoleName, { "iam:PolicyARN": input.PolicyArn }),
      run(input) {
        const role = find(input.RoleName);
        if (!role.attached.includes(input.PolicyArn))
          throw new AwsError("NoSuchEntity", `Policy ${input.PolicyArn} was not found.`, 404);
        roles.put({ ...role, attached: role.attached.filter((arn) => arn !== input.PolicyArn) });
      },
    }),
    ListAttachedRolePolicies: operation({
      input: z.strictObject({ RoleName, PathPrefix: z.string().optional(), ...paging }),
      authorize: (input) => onRole("ListAttachedRolePolicies", input.RoleName),
      run(input) {
        const { PathPrefix: prefix = "/" } = input;
        const attached = find(input.RoleName)
          .attached.map(assertPolicy)
          .filter(({ path }) => path.startsWith(prefix));
        const { shown, more } = page(attached, ({ arn }) => arn, input);
        const list = shown.map(({ name, arn }) => ({ PolicyName: name, PolicyArn: arn }));
        return { AttachedPolicies: members(list), ...more };
      },
    }),
    PutRolePermissionsBoundary: operation({
      input: z.strictObject({ RoleName, PermissionsBoundary: PolicyArn }),
      authorize: (input) =>
        onRole("PutRolePermissionsBoundary", input.RoleName, {
          "iam:PermissionsBoundary": input.PermissionsBoundary,
        }),
      run(input) {
        find(input.RoleName);
        assertPolicy(input.PermissionsBoundary);
        change(input.RoleName, () => ({ boundary: input.PermissionsBoundary }));
      },
    }),
    DeleteRolePermissionsBoundary: operation({
      input: roleOnly,
      authorize: (input) => onBounded("DeleteRolePermissionsBoundary", input.RoleName),
      run(input) {
        const { boundary, ...role } = find(input.RoleName);
        if (boundary === undefined)
          throw new AwsError("NoSuchEntity", `The role ${role.name} has no boundary.`, 404);
        roles.put(role);
      },
    }),
    TagRole: operation({
      input: z.strictObject({ RoleName, Tags: list(tag) }),
      authorize: (input) => onRole("TagRole", input.RoleName, requestTags(tagRecord(input.Tags))),
      run: (input) =>
        change(input.RoleName, ({ tags }) => {
          const merged = mergeTags(tags, tagRecord(input.Tags));
          if (Object.keys(merged).length > 50)
            throw limitExceeded("The number of tags has reached the maximum limit.");
          return { tags: merged };
        }),
    }),
  };

  return {
    name: "iam",
    protocol: queryProtocol({
      xmlns: "https://iam.amazonaws.com/doc/2010-05-08/",
      apiVersion: "2010-05-08",
    }),
    operations,
    roleInForce: roles.inForce,
    roleByArn: roles.inForceByArn,
    documentsOf: (role) => [
      ...role.inline.values(),
      ...role.attached.flatMap((arn) => roles.policyInForce(arn) ?? []),
    ],
    managedPolicy: roles.policyInForce,
    spread: roles.spread,
  };
};
