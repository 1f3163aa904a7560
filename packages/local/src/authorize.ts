/** Puts an operation's checks to the policies that are in force, and says no in AWS's words. */
import { type Decision, evaluate, type Layer, type Principal } from "./iam/evaluate.ts";
import { createPolicyCache, type Policy } from "./iam/policy.ts";
import { AwsError, type Call, type Caller, type Check, type World } from "./service.ts";
import type { Iam, RoleState } from "./services/iam.ts";
import { familyOf } from "./signature-errors.ts";

/** @throws {AwsError} `AccessDenied` or `AccessDeniedException` for the first check that is not allowed. */
export type Authorize = (service: string, checks: readonly Check[], call: Call) => void;

export interface Authorizer {
  readonly authorize: Authorize;
  /** Whether a service may do something on the strength of a resource's policy alone. */
  readonly decideForService: (service: string, check: Check) => Decision;
  /** Whether a role may do something, without any session policy: for deliveries on its behalf. */
  readonly decide: (caller: Caller, check: Check, request?: Call["request"]) => Decision;
}

const layerNames: Readonly<Record<Layer, string>> = {
  identity: "identity-based policy",
  session: "session policy",
  boundary: "permissions boundary",
  resource: "resource-based policy",
};

const article = (name: string) => (/^[aeiou]/.test(name) ? "an" : "a");

/** AWS's sentence for a refusal. */
export const refusal = (caller: string, check: Check, decision: Decision): string => {
  const name = layerNames[decision.by];
  const why =
    decision.reason === "explicitDeny"
      ? `with an explicit deny in ${article(name)} ${name}`
      : `because no ${name} allows the ${check.action} action`;
  return `User: ${caller} is not authorized to perform: ${check.action} on resource: ${check.resource} ${why}`;
};

const principalOf = (caller: Caller): Principal => {
  const { account, arn, session } = caller;
  if (session !== undefined)
    return { kind: "session", account, arn, roleArn: session.roleArn, roleId: session.roleId };
  return arn.endsWith(":root") ? { kind: "root", account } : { kind: "user", account, arn };
};

const iso = (at: number) => new Date(at).toISOString();

/** The condition keys that AWS itself sets with every request. */
const globalContext = (
  world: World,
  caller: Caller,
  role: RoleState | undefined,
  request: Call["request"] | undefined,
): Map<string, readonly string[]> => {
  const now = world.clock.now();
  const context = new Map<string, readonly string[]>([
    ["aws:currenttime", [iso(now)]],
    ["aws:epochtime", [String(Math.floor(now / 1000))]],
    ["aws:requestedregion", [world.region]],
    ["aws:securetransport", [String(request?.secure ?? true)]],
    ["aws:sourceip", [request?.sourceIp ?? "127.0.0.1"]],
    ["aws:principalaccount", [caller.account]],
    ["aws:userid", [caller.userId]],
    ["aws:principalisawsservice", ["false"]],
    ["aws:viaawsservice", ["false"]],
  ]);
  const agent = request?.headers["user-agent"];
  if (agent !== undefined) context.set("aws:useragent", [agent]);
  const { session } = caller;
  if (session === undefined) {
    context.set("aws:principalarn", [caller.arn]);
    context.set("aws:principaltype", [caller.arn.endsWith(":root") ? "Account" : "User"]);
    return context;
  }
  context.set("aws:principalarn", [session.roleArn]);
  context.set("aws:principaltype", ["AssumedRole"]);
  // AWS knows the issue time to the second.
  context.set("aws:tokenissuetime", [iso(Math.floor(session.issuedAt / 1000) * 1000)]);
  if (session.sourceIdentity !== undefined)
    context.set("aws:sourceidentity", [session.sourceIdentity]);
  // A session's tag hides the role's of the same name, whatever their case.
  for (const tags of [role?.tags ?? {}, session.tags])
    for (const [key, value] of Object.entries(tags))
      context.set(`aws:principaltag/${key.toLowerCase()}`, [value]);
  return context;
};

/** The one place where policies meet a request. */
export const createAuthorizer = (parts: {
  readonly world: World;
  readonly iam: Iam;
}): Authorizer => {
  const { world, iam } = parts;
  const read = createPolicyCache();

  const ownPolicies = (caller: Caller, role: RoleState | undefined) => {
    const { session } = caller;
    const identity: Policy[] =
      role === undefined ? [] : iam.documentsOf(role).map((text) => read(text));
    const boundaryText =
      role?.boundary === undefined ? undefined : iam.managedPolicy(role.boundary);
    const boundary: Policy | undefined =
      role?.boundary === undefined
        ? undefined
        : boundaryText === undefined
          ? { statements: [] }
          : read(boundaryText);
    const given =
      session === undefined
        ? []
        : [
            ...(session.policy === undefined ? [] : [session.policy]),
            ...session.policyArns.map((arn) => iam.managedPolicy(arn)),
          ];
    // A managed policy that is gone allows nothing; the layer itself stays.
    const documents = given.flatMap((text) => (text === undefined ? [] : [read(text)]));
    return {
      identity,
      ...(boundary === undefined ? {} : { boundary }),
      ...(given.length === 0 ? {} : { session: documents }),
    };
  };

  const contextOf = (base: ReadonlyMap<string, readonly string[]>, check: Check) => {
    const context = new Map(base);
    for (const [key, value] of Object.entries(check.context ?? {}))
      context.set(key.toLowerCase(), typeof value === "string" ? [value] : value);
    return context;
  };

  const resourceSide = (check: Check) => {
    const decides = check.resourcePolicyDecides ?? check.action.startsWith("kms:");
    const kind = decides && check.action.startsWith("sts:") ? "trust" : "resource";
    return {
      ...(check.resourcePolicy === undefined
        ? {}
        : { resourcePolicy: read(check.resourcePolicy, kind) }),
      // A key that shows no policy is judged by the caller's own.
      resourcePolicyDecides: decides && check.resourcePolicy !== undefined,
    };
  };

  const decider = (caller: Caller, request?: Call["request"]) => {
    const role = caller.session && iam.roleInForce(caller.session.roleId);
    const own = ownPolicies(caller, role);
    const base = globalContext(world, caller, role, request);
    const principal = principalOf(caller);
    return (check: Check): Decision =>
      evaluate({
        principal,
        action: check.action,
        resource: check.resource,
        context: check.context === undefined ? base : contextOf(base, check),
        ...own,
        ...resourceSide(check),
      });
  };

  return {
    decide: (caller, check, request) => decider(caller, request)(check),
    decideForService: (service, check) =>
      evaluate({
        principal: { kind: "service", service },
        action: check.action,
        resource: check.resource,
        context: contextOf(
          new Map([
            ["aws:currenttime", [iso(world.clock.now())]],
            ["aws:principalisawsservice", ["true"]],
            ["aws:principalservicename", [service]],
            ["aws:sourceaccount", [world.account]],
          ]),
          check,
        ),
        identity: [],
        ...resourceSide(check),
      }),
    authorize(service, checks, { caller, request }) {
      if (checks.length === 0) return;
      const decide = decider(caller, request);
      for (const check of checks) {
        const decision = decide(check);
        if (decision.allowed) continue;
        const family = familyOf(service, request);
        const message = refusal(caller.arn, check, decision);
        if (family === "query" || family === "s3") throw new AwsError("AccessDenied", message, 403);
        throw new AwsError("AccessDeniedException", message, family === "rest" ? 403 : 400);
      }
    },
  };
};
