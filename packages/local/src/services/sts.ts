/** STS: AssumeRole and GetCallerIdentity (query API), and roles that AWS's own services take on. */
import { deflateRawSync } from "node:zlib";
import { z } from "zod";
import { type Authorizer, refusal } from "../authorize.ts";
import { integer, list, requestTags, tag } from "../iam/input.ts";
import { parsePolicy } from "../iam/policy.ts";
import { queryProtocol } from "../protocols.ts";
import {
  AwsError,
  type Call,
  type Caller,
  type Check,
  type Delivery,
  operation,
  type RoleSession,
  type Service,
  type World,
} from "../service.ts";
import type { SessionCredentials, Sessions } from "../sessions.ts";
import type { Iam, RoleState } from "./iam.ts";

export interface Sts extends Service {
  /**
   * @param policy the target's own; it decides where no role is given
   * @throws {AwsError} unless the delivery's role trusts the sender and may send this, or an event's target lets it in
   */
  assertMayDeliver(target: Delivery, policy: string | undefined): void;
  /** Whether a role lets a service assume it. */
  trusts(roleArn: string, service: string): boolean;
  /** Credentials of a role for what an AWS service runs under it. */
  assumeForService(roleArn: string, sessionName: string, service: string): SessionCredentials;
}

const SessionName = z.string().regex(/^[A-Za-z0-9_+=,.@-]{2,64}$/);

const AssumeRole = z.strictObject({
  RoleArn: z.string().min(20).max(2048),
  RoleSessionName: SessionName,
  SourceIdentity: SessionName.optional(),
  DurationSeconds: integer.pipe(z.number().min(900).max(43_200)).optional(),
  ExternalId: z
    .string()
    .regex(/^[A-Za-z0-9_+=,.@:/-]{2,1224}$/)
    .optional(),
  Policy: z.string().min(1).max(2_048).optional(),
  PolicyArns: list(z.strictObject({ arn: z.string().min(20).max(2048) })).optional(),
  Tags: list(tag).optional(),
  TransitiveTagKeys: list(z.string().min(1).max(128)).optional(),
});
type AssumeRole = z.output<typeof AssumeRole>;

const POLICY_TEXT_LIMIT = 2_048;
const CHAINED_SECONDS = 3_600;
// AWS packs the policy and the tags into the token by a format of its own. Deflated text against 2,048 bytes is
// near enough to tell a comfortable policy from one that will not fit, not to tell 99 % from 101 %.
const PACKED_LIMIT = 2_048;
// A service renews the role of what it runs without being asked.
const SERVICE_SESSION_MS = 10 * 365 * 24 * 3600_000;

const invalid = (message: string) => new AwsError("ValidationError", message);
const badParameter = (message: string) => new AwsError("InvalidParameterValue", message);

const EVENTS = "events.amazonaws.com";

/** What sending to a service's ARN is called as an action. */
const sendActions: Readonly<Record<string, string>> = {
  lambda: "lambda:InvokeFunction",
  sqs: "sqs:SendMessage",
  events: "events:PutEvents",
};

const lowerKeys = (keys: readonly string[]) => new Set(keys.map((key) => key.toLowerCase()));

const tagsOf = (input: AssumeRole): Record<string, string> => {
  const tags = input.Tags ?? [];
  if (tags.length > 50)
    throw invalid(
      "1 validation error detected: Value at 'tags' failed to satisfy constraint: Member must have length less than or equal to 50",
    );
  const keys = tags.map(({ Key }) => Key);
  if (lowerKeys(keys).size < keys.length)
    throw badParameter("Duplicate tag keys found. Please note that Tag keys are case insensitive.");
  if (keys.some((key) => key.toLowerCase().startsWith("aws:")))
    throw badParameter("Tag keys that start with aws: are reserved.");
  return Object.fromEntries(tags.map(({ Key, Value }) => [Key, Value]));
};

/** Tags that a session hands on to the sessions that it makes. */
const inheritedTags = (session: RoleSession | undefined): Record<string, string> => {
  const keys = lowerKeys(session?.transitiveTagKeys ?? []);
  return Object.fromEntries(
    Object.entries(session?.tags ?? {}).filter(([key]) => keys.has(key.toLowerCase())),
  );
};

const packedSize = (input: AssumeRole): number | undefined => {
  const parts = [
    input.Policy === undefined ? "" : JSON.stringify(JSON.parse(input.Policy)),
    ...(input.PolicyArns ?? []).map(({ arn }) => arn),
    ...(input.Tags ?? []).map(({ Key, Value }) => `${Key}\0${Value}`),
  ];
  const text = parts.filter((part) => part !== "").join("\0");
  if (text === "") return undefined;
  return Math.ceil((deflateRawSync(text).length / PACKED_LIMIT) * 100);
};

const roleTags = (role: RoleState) =>
  Object.fromEntries(
    Object.entries(role.tags).flatMap(([key, value]) => [
      [`aws:ResourceTag/${key}`, value],
      [`iam:ResourceTag/${key}`, value],
    ]),
  );

/** STS over IAM's roles: makes and looks up sessions, and judges trust. */
export const createSts = (
  world: World,
  parts: { readonly iam: Iam; readonly sessions: Sessions; readonly authorizer: Authorizer },
): Sts => {
  const { iam, sessions, authorizer } = parts;

  const deniedRole = ({ caller }: Pick<Call, "caller">, arn: string) =>
    // The same words for a role that does not exist: who asks learns nothing about it.
    new AwsError(
      "AccessDenied",
      `User: ${caller.arn} is not authorized to perform: sts:AssumeRole on resource: ${arn}`,
      403,
    );

  /** The permissions that assuming a role needs; the role's trust policy has the last word on each. */
  const checks = (input: AssumeRole, call: Call): readonly Check[] => {
    const role = iam.roleByArn(input.RoleArn);
    if (role === undefined) throw deniedRole(call, input.RoleArn);
    const { session } = call.caller;
    const tags = tagsOf(input);
    const sourceIdentity = input.SourceIdentity ?? session?.sourceIdentity;
    const context = {
      ...roleTags(role),
      ...requestTags(tags),
      "sts:RoleSessionName": input.RoleSessionName,
      ...(sourceIdentity === undefined ? {} : { "sts:SourceIdentity": sourceIdentity }),
      ...(input.ExternalId === undefined ? {} : { "sts:ExternalId": input.ExternalId }),
      ...(input.TransitiveTagKeys?.length
        ? { "sts:TransitiveTagKeys": input.TransitiveTagKeys }
        : {}),
    };
    const check = (action: string): Check => ({
      action,
      resource: role.arn,
      context,
      resourcePolicy: role.trust,
      resourcePolicyDecides: true,
    });
    const tagged = { ...inheritedTags(session), ...tags };
    return [
      check("sts:AssumeRole"),
      ...(Object.keys(tagged).length > 0 ? [check("sts:TagSession")] : []),
      ...(sourceIdentity === undefined ? [] : [check("sts:SetSourceIdentity")]),
    ];
  };

  const durationOf = (input: AssumeRole, role: RoleState, caller: Caller): number => {
    const seconds = input.DurationSeconds ?? 3_600;
    if (caller.session !== undefined && seconds > CHAINED_SECONDS)
      throw invalid(
        "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
      );
    if (seconds > role.maxSessionSeconds)
      throw invalid(
        "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
      );
    return seconds;
  };

  const sessionPolicies = (input: AssumeRole): readonly string[] => {
    const arns = (input.PolicyArns ?? []).map(({ arn }) => arn);
    if (arns.length > 10) throw invalid("PolicyArns: at most 10 managed policies can be passed.");
    const text = [input.Policy ?? "", ...arns].join("");
    if (text.length > POLICY_TEXT_LIMIT)
      throw invalid(`Policies together must be at most ${POLICY_TEXT_LIMIT} characters long.`);
    if (input.Policy !== undefined) parsePolicy(input.Policy);
    const missing = arns.find((arn) => iam.managedPolicy(arn) === undefined);
    if (missing !== undefined) throw badParameter(`PolicyArn ${missing} is not valid.`);
    return arns;
  };

  /** What a session passes on binds the next one: its source identity for good, its transitive tags too. */
  const assertChain = (input: AssumeRole, caller: Caller): void => {
    const { session } = caller;
    const set = session?.sourceIdentity;
    if (set !== undefined && input.SourceIdentity !== undefined && input.SourceIdentity !== set)
      throw new AwsError(
        "AccessDenied",
        `User: ${caller.arn} is not authorized to perform: sts:SetSourceIdentity on resource: ${input.RoleArn} because the source identity of a session cannot be changed`,
        403,
      );
    const own = lowerKeys((input.Tags ?? []).map(({ Key }) => Key));
    const handedDown = lowerKeys(session?.transitiveTagKeys ?? []);
    if ([...own].some((key) => handedDown.has(key)))
      throw badParameter(
        "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.",
      );
    if ((input.TransitiveTagKeys ?? []).some((key) => !own.has(key.toLowerCase())))
      throw badParameter(
        "The specified transitive tag key must be included in the requested tags.",
      );
  };

  const assume = operation({
    input: AssumeRole,
    authorize: checks,
    run(input, call) {
      const { caller } = call;
      const role = iam.roleByArn(input.RoleArn);
      if (role === undefined) throw deniedRole(call, input.RoleArn);
      assertChain(input, caller);
      const seconds = durationOf(input, role, caller);
      const policyArns = sessionPolicies(input);
      const packed = packedSize(input);
      if (packed !== undefined && packed > 100)
        throw new AwsError(
          "PackedPolicyTooLarge",
          `Packed size of session policies and tags consumes ${packed}% of allotted space.`,
        );
      const sourceIdentity = input.SourceIdentity ?? caller.session?.sourceIdentity;
      const now = world.clock.now();
      const { caller: made, ...credentials } = sessions.mint({
        roleArn: role.arn,
        roleId: role.id,
        sessionName: input.RoleSessionName,
        tags: { ...inheritedTags(caller.session), ...tagsOf(input) },
        transitiveTagKeys: [
          ...(caller.session?.transitiveTagKeys ?? []),
          ...(input.TransitiveTagKeys ?? []),
        ],
        policyArns,
        issuedAt: now,
        // AWS counts in whole seconds: the end that is shown is the end.
        expiresAt: (Math.floor(now / 1000) + seconds) * 1000,
        chained: caller.session !== undefined,
        ...(sourceIdentity === undefined ? {} : { sourceIdentity }),
        ...(input.Policy === undefined ? {} : { policy: input.Policy }),
      });
      return {
        Credentials: {
          AccessKeyId: credentials.accessKeyId,
          SecretAccessKey: credentials.secretAccessKey,
          SessionToken: credentials.sessionToken,
          Expiration: credentials.expiration,
        },
        AssumedRoleUser: { AssumedRoleId: made.userId, Arn: made.arn },
        PackedPolicySize: packed,
        SourceIdentity: sourceIdentity,
      };
    },
  });

  const trustCheck = (role: RoleState): Check => ({
    action: "sts:AssumeRole",
    resource: role.arn,
    context: roleTags(role),
    resourcePolicy: role.trust,
    resourcePolicyDecides: true,
  });

  const trusts = (role: RoleState | undefined, service: string): role is RoleState =>
    role !== undefined && authorizer.decideForService(service, trustCheck(role)).allowed;

  /** The session in which a service acts as a role; refused unless the role trusts that service. */
  const serviceSession = (roleArn: string, sessionName: string, service: string): RoleSession => {
    const role = iam.roleByArn(roleArn);
    if (!trusts(role, service))
      throw new AwsError(
        "AccessDeniedException",
        `${service} must be allowed to assume ${roleArn}.`,
        403,
      );
    const now = world.clock.now();
    return {
      roleArn: role.arn,
      roleId: role.id,
      sessionName,
      tags: {},
      transitiveTagKeys: [],
      policyArns: [],
      issuedAt: now,
      expiresAt: now + SERVICE_SESSION_MS,
      chained: false,
    };
  };

  return {
    name: "sts",
    protocol: queryProtocol({
      xmlns: "https://sts.amazonaws.com/doc/2011-06-15/",
      apiVersion: "2011-06-15",
    }),
    operations: {
      AssumeRole: assume,
      // Needs no permission: AWS answers it even to a session to which everything is denied.
      GetCallerIdentity: operation({
        input: z.strictObject({}),
        authorize: () => [],
        run: (_, { caller }) => ({
          Arn: caller.arn,
          UserId: caller.userId,
          Account: caller.account,
        }),
      }),
    },
    trusts: (roleArn, service) => trusts(iam.roleByArn(roleArn), service),
    assertMayDeliver({ arn, roleArn, sender, sourceArn }, policy) {
      const action = sendActions[arn.split(":")[2] ?? ""];
      if (action === undefined)
        throw new AwsError("ValidationException", `Nothing is known about sending to ${arn}`);
      if (roleArn === undefined) {
        // Lambda sends a function's dead letters under that function's role, which none has here.
        if (sender !== EVENTS) return;
        const check: Check = {
          action,
          resource: arn,
          context: sourceArn === undefined ? {} : { "aws:SourceArn": sourceArn },
          ...(policy === undefined ? {} : { resourcePolicy: policy }),
        };
        const decision = authorizer.decideForService(sender, check);
        if (decision.allowed) return;
        throw new AwsError("AccessDeniedException", refusal(sender, check, decision), 403);
      }
      const session = serviceSession(roleArn, sender.split(".")[0] ?? sender, sender);
      const roleName = roleArn.slice(roleArn.lastIndexOf("/") + 1);
      const caller: Caller = {
        arn: `arn:aws:sts::${world.account}:assumed-role/${roleName}/${session.sessionName}`,
        account: world.account,
        userId: `${session.roleId}:${session.sessionName}`,
        accessKeyId: "",
        session,
      };
      const check: Check = { action, resource: arn };
      const decision = authorizer.decide(caller, check);
      if (!decision.allowed)
        throw new AwsError("AccessDeniedException", refusal(caller.arn, check, decision), 403);
    },
    assumeForService(roleArn, sessionName, service) {
      const { caller: _, ...credentials } = sessions.mint(
        serviceSession(roleArn, sessionName, service),
      );
      return credentials;
    },
  };
};
