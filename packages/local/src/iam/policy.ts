/** Policy documents: checked as AWS checks them when they are stored, and prepared for evaluation. */
import { AwsError } from "../service.ts";
import { type Condition, ConditionError, parseCondition } from "./conditions.ts";
import { hasDuplicateKeys } from "./json.ts";
import { type Context, matches, matchesArn, type Pattern, pattern } from "./match.ts";

/** Where a policy rests decides what it must and must not say. */
export type PolicyKind = "identity" | "resource" | "trust";

/** Whom a statement names: ids of one kind each, as written. `*` under `AWS` is everybody. */
export interface Principals {
  readonly aws: ReadonlySet<string>;
  readonly service: ReadonlySet<string>;
  readonly federated: ReadonlySet<string>;
}

export interface Statement {
  readonly sid?: string;
  readonly effect: "Allow" | "Deny";
  readonly principals?: Principals;
  readonly notPrincipals?: Principals;
  readonly appliesTo: (action: string, resource: string, context: Context) => boolean;
}

export interface Policy {
  readonly statements: readonly Statement[];
}

const malformed = (message: string) => new AwsError("MalformedPolicyDocument", message);

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** One string or a list of them. */
const strings = (value: unknown, what: string): readonly string[] => {
  const list = Array.isArray(value) ? value : [value];
  if (list.every((item): item is string => typeof item === "string")) return list;
  throw malformed(`Syntax errors in policy: ${what} must be a string or a list of strings.`);
};

/** Condition values may also be numbers and booleans. */
const scalars = (value: unknown, what: string): readonly string[] => {
  const list = Array.isArray(value) ? value : [value];
  if (list.length === 0) throw malformed(`Syntax errors in policy: ${what} is empty.`);
  return list.map((item) => {
    if (typeof item === "string" || typeof item === "number" || typeof item === "boolean")
      return String(item);
    throw malformed(`Syntax errors in policy: ${what} must hold scalars.`);
  });
};

const only = (object: Record<string, unknown>, known: readonly string[], where: string): void => {
  const unknown = Object.keys(object).find((key) => !known.includes(key));
  if (unknown !== undefined)
    throw malformed(`Syntax errors in policy: unknown element ${unknown} in ${where}.`);
};

const ACTION = /^(\*|[A-Za-z0-9-]+:[A-Za-z0-9*?]+)$/;

const parseActions = (value: unknown, kind: PolicyKind) => {
  const actions = strings(value, "Action");
  if (actions.length === 0) throw malformed("Policy statement must contain actions.");
  for (const action of actions) {
    if (!ACTION.test(action))
      throw malformed("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.");
    if (kind === "trust" && !action.toLowerCase().startsWith("sts:"))
      throw malformed("AssumeRole policy may only specify STS AssumeRole actions.");
  }
  const literal = new Set<string>();
  const globs: Pattern[] = [];
  for (const action of actions) {
    const prepared = pattern(action.toLowerCase(), { wildcards: true, variables: false });
    if (prepared.literal === undefined) globs.push(prepared);
    else literal.add(prepared.literal);
  }
  const none: Context = new Map();
  return (action: string): boolean => {
    const name = action.toLowerCase();
    return literal.has(name) || globs.some((glob) => matches(glob.resolve(none) ?? [], name));
  };
};

const parseResources = (value: unknown, variables: boolean) => {
  const resources = strings(value, "Resource");
  if (resources.length === 0) throw malformed("Policy statement must contain resources.");
  for (const resource of resources) {
    if (resource === "*") continue;
    const parts = resource.split(":");
    const whole = parts.length >= 6 || (parts.length >= 2 && resource.endsWith("*"));
    if (parts[0] !== "arn" || !whole)
      throw malformed(`Resource ${resource} must be in ARN format or "*".`);
  }
  const literal = new Set<string>();
  const globs: Pattern[] = [];
  let everything = false;
  for (const resource of resources) {
    const prepared = pattern(resource, { wildcards: true, variables });
    if (resource === "*") everything = true;
    else if (prepared.literal === undefined) globs.push(prepared);
    else literal.add(prepared.literal);
  }
  return (resource: string, context: Context): boolean => {
    if (everything || literal.has(resource)) return true;
    return globs.some((glob) => {
      const pieces = glob.resolve(context);
      return pieces !== undefined && matchesArn(pieces, resource);
    });
  };
};

const PRINCIPAL =
  /^(\*|\d{12}|arn:[a-z-]+:(iam|sts)::\d{12}:(root|(user|role|assumed-role|federated-user)\/[^*?]+)|A(ID|RO)A[A-Z0-9]{16,})$/;

const parsePrincipals = (value: unknown): Principals => {
  if (value === "*") return { aws: new Set(["*"]), service: new Set(), federated: new Set() };
  if (!isObject(value) || Object.keys(value).length === 0)
    throw malformed('Syntax errors in policy: Principal must be "*" or an object.');
  only(value, ["AWS", "Service", "Federated"], "Principal");
  const list = (key: string) => (value[key] === undefined ? [] : strings(value[key], key));
  const aws = list("AWS");
  const wrong = aws.find((one) => !PRINCIPAL.test(one));
  if (wrong !== undefined) throw malformed(`Invalid principal in policy: "AWS":"${wrong}"`);
  const service = list("Service");
  const odd = service.find((one) => !/^[a-z0-9.-]+\.amazonaws\.com$/.test(one));
  if (odd !== undefined) throw malformed(`Invalid principal in policy: "SERVICE":"${odd}"`);
  return { aws: new Set(aws), service: new Set(service), federated: new Set(list("Federated")) };
};

const parseConditions = (
  value: unknown,
  options: { readonly variables: boolean; readonly allow: boolean },
): readonly Condition[] => {
  if (value === undefined) return [];
  if (!isObject(value)) throw malformed("Syntax errors in policy: Condition must be an object.");
  return Object.entries(value).flatMap(([operator, keys]) => {
    if (!isObject(keys)) throw malformed(`Syntax errors in policy: ${operator} must be an object.`);
    return Object.entries(keys).map(([key, wanted]) => {
      if (!/^[A-Za-z0-9-]+:.+$/.test(key))
        throw malformed(
          "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
        );
      try {
        return parseCondition(operator, key, scalars(wanted, key), options);
      } catch (error) {
        if (error instanceof ConditionError) throw malformed(error.message);
        throw error;
      }
    });
  });
};

const either = (statement: Record<string, unknown>, name: string): boolean => {
  const plain = statement[name] !== undefined;
  const negated = statement[`Not${name}`] !== undefined;
  if (plain && negated)
    throw malformed(`Syntax errors in policy: both ${name} and Not${name} in one statement.`);
  return plain || negated;
};

const KNOWN = [
  "Sid",
  "Effect",
  "Principal",
  "NotPrincipal",
  "Action",
  "NotAction",
  "Resource",
  "NotResource",
  "Condition",
];

const parseStatement = (given: unknown, kind: PolicyKind, variables: boolean): Statement => {
  if (!isObject(given)) throw malformed("Syntax errors in policy: a statement must be an object.");
  only(given, KNOWN, "a statement");
  const { Sid: sid, Effect: effect } = given;
  if (
    sid !== undefined &&
    (typeof sid !== "string" || (kind !== "resource" && !/^[A-Za-z0-9]*$/.test(sid)))
  )
    throw malformed("Statement IDs (SID) must be alpha-numeric.");
  if (effect !== "Allow" && effect !== "Deny")
    throw malformed("Syntax errors in policy: Effect must be Allow or Deny.");
  if (!either(given, "Action")) throw malformed("Policy statement must contain actions.");
  const hasPrincipal = either(given, "Principal");
  if (kind === "identity" && hasPrincipal)
    throw malformed("Policy document should not specify a principal.");
  if (kind !== "identity" && !hasPrincipal) throw malformed("Missing required field Principal");
  if (given.NotPrincipal !== undefined && effect === "Allow")
    throw malformed("Allow with NotPrincipal is not supported.");
  const hasResource = either(given, "Resource");
  if (kind === "trust" && hasResource) throw malformed("Has prohibited field Resource");
  if (kind !== "trust" && !hasResource) throw malformed("Policy statement must contain resources.");

  const negatedAction = given.NotAction !== undefined;
  const action = parseActions(given.Action ?? given.NotAction, kind);
  const negatedResource = given.NotResource !== undefined;
  const resource = hasResource
    ? parseResources(given.Resource ?? given.NotResource, variables)
    : () => true;
  const conditions = parseConditions(given.Condition, { variables, allow: effect === "Allow" });
  return {
    ...(sid === undefined ? {} : { sid }),
    effect,
    ...(given.Principal === undefined ? {} : { principals: parsePrincipals(given.Principal) }),
    ...(given.NotPrincipal === undefined
      ? {}
      : { notPrincipals: parsePrincipals(given.NotPrincipal) }),
    appliesTo: (name, arn, context) =>
      action(name) !== negatedAction &&
      resource(arn, context) !== negatedResource &&
      conditions.every((condition) => condition(context)),
  };
};

/**
 * Reads a policy document.
 * @throws {AwsError} `MalformedPolicyDocument`, as AWS answers when such a document is stored.
 */
export const parsePolicy = (text: string, kind: PolicyKind = "identity"): Policy => {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    throw malformed("This policy contains invalid Json");
  }
  if (!isObject(document)) throw malformed("Syntax errors in policy.");
  if (hasDuplicateKeys(text)) throw malformed("Syntax errors in policy: duplicate elements.");
  only(document, ["Version", "Id", "Statement"], "the policy");
  const { Version: version = "2008-10-17", Id: id, Statement: statement } = document;
  if (version !== "2008-10-17" && version !== "2012-10-17")
    throw malformed("The policy must contain a valid version string");
  if (id !== undefined && typeof id !== "string") throw malformed("Syntax errors in policy: Id.");
  if (statement === undefined) throw malformed("Syntax errors in policy: Statement is missing.");
  const list = Array.isArray(statement) ? statement : [statement];
  if (list.length === 0) throw malformed("Syntax errors in policy: no statement.");
  // Policies of the older version have no variables: `${…}` is text in them.
  const variables = version === "2012-10-17";
  const statements = list.map((one) => parseStatement(one, kind, variables));
  const sids = statements.flatMap(({ sid }) => (sid ? [sid] : []));
  if (new Set(sids).size < sids.length)
    throw malformed("Statement IDs (SID) in a single policy must be unique.");
  return { statements };
};

/** A reader of policies that remembers what it has read, by its text. */
export const createPolicyCache = (limit = 5_000) => {
  const cache = new Map<string, Policy>();
  return (text: string, kind: PolicyKind = "identity"): Policy => {
    const id = `${kind} ${text}`;
    const known = cache.get(id);
    if (known !== undefined) return known;
    const policy = parsePolicy(text, kind);
    // Session policies are each their own: the oldest quarter makes room.
    if (cache.size >= limit)
      for (const old of [...cache.keys()].slice(0, limit / 4)) cache.delete(old);
    cache.set(id, policy);
    return policy;
  };
};
