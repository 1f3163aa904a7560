/**
 * Policy evaluation as AWS documents it: an explicit deny anywhere wins; then a resource's policy may grant by
 * itself; else every layer that is there (identity, boundary, session) must allow.
 */
import type { Context } from "./match.ts";
import type { Policy, Principals, Statement } from "./policy.ts";

/** Where a decision comes from. */
export type Layer = "identity" | "session" | "boundary" | "resource";

/** Whom the request is by. */
export type Principal =
  | { readonly kind: "root"; readonly account: string }
  | { readonly kind: "user"; readonly account: string; readonly arn: string }
  | {
      readonly kind: "session";
      readonly account: string;
      /** `arn:aws:sts::…:assumed-role/…`. */
      readonly arn: string;
      readonly roleArn: string;
      /** `AROA…`. */
      readonly roleId: string;
    }
  | { readonly kind: "service"; readonly service: string };

export interface Question {
  readonly principal: Principal;
  readonly action: string;
  readonly resource: string;
  readonly context: Context;
  /** All of the principal's own policies. The account's root needs none. */
  readonly identity: readonly Policy[];
  readonly boundary?: Policy;
  /** Session policies, when the session was given any: together they are one layer. */
  readonly session?: readonly Policy[];
  readonly resourcePolicy?: Policy;
  /** A key's or a role's policy has the last word: identity counts only where it names the account. */
  readonly resourcePolicyDecides?: boolean;
  /** The account that owns the resource; default: the caller's. */
  readonly resourceAccount?: string;
}

export type Decision =
  | { readonly allowed: true; readonly reason: "allowed"; readonly by: Layer }
  | {
      readonly allowed: false;
      readonly reason: "explicitDeny" | "implicitDeny";
      readonly by: Layer;
      readonly sid?: string;
    };

/**
 * How a statement names the principal: `session` directly (or as anybody), so that nothing but an explicit deny is
 * left to hold it; as its `role`; or as its `account`, which only hands the decision to the account's own policies.
 */
type Naming = "direct" | "role" | "account" | undefined;

const accountOf = (principal: Principal) =>
  principal.kind === "service" ? undefined : principal.account;

const rootArn = (account: string) => `arn:aws:iam::${account}:root`;

const naming = (
  { aws, service }: Principals,
  { principal, action }: Pick<Question, "principal" | "action">,
): Naming => {
  if (principal.kind === "service") {
    // Everybody is also AWS's services, as `aws:PrincipalIsAWSService` is there to tell; a role is not lent to them so.
    const everybody = aws.has("*") && !action.startsWith("sts:");
    return everybody || service.has(principal.service) ? "direct" : undefined;
  }
  if (aws.has("*")) return "direct";
  if (principal.kind !== "root" && aws.has(principal.arn)) return "direct";
  if (principal.kind === "session" && (aws.has(principal.roleArn) || aws.has(principal.roleId)))
    return "role";
  const { account } = principal;
  if (!aws.has(account) && !aws.has(rootArn(account))) return undefined;
  return principal.kind === "root" ? "direct" : "account";
};

/** A Deny with NotPrincipal spares only whom it lists under each of their names: session, role and account. */
const spared = ({ aws, service }: Principals, principal: Principal): boolean => {
  if (principal.kind === "service") return service.has(principal.service);
  if (aws.has("*")) return true;
  const { account } = principal;
  if (!aws.has(account) && !aws.has(rootArn(account))) return false;
  if (principal.kind === "root") return true;
  if (!aws.has(principal.arn)) return false;
  return principal.kind !== "session" || aws.has(principal.roleArn);
};

const concerns = (statement: Statement, question: Question): Naming => {
  const { principal, boundary } = question;
  if (statement.principals !== undefined) return naming(statement.principals, question);
  if (statement.notPrincipals !== undefined)
    // AWS: a Deny with NotPrincipal denies whoever has a boundary, listed or not.
    return spared(statement.notPrincipals, principal) &&
      !(statement.effect === "Deny" && boundary !== undefined)
      ? undefined
      : "direct";
  return "direct";
};

const applies = (statement: Statement, question: Question) =>
  statement.appliesTo(question.action, question.resource, question.context);

const denial = (
  layer: Layer,
  policies: readonly Policy[],
  question: Question,
): Decision | undefined => {
  for (const { statements } of policies)
    for (const statement of statements)
      if (
        statement.effect === "Deny" &&
        concerns(statement, question) !== undefined &&
        applies(statement, question)
      )
        return {
          allowed: false,
          reason: "explicitDeny",
          by: layer,
          ...(statement.sid ? { sid: statement.sid } : {}),
        };
  return undefined;
};

const allows = (policies: readonly Policy[], question: Question): boolean =>
  policies.some(({ statements }) =>
    statements.some((statement) => statement.effect === "Allow" && applies(statement, question)),
  );

/** The strongest way in which the resource's policy grants this. */
const grant = (question: Question): Naming => {
  let found: Naming;
  for (const statement of question.resourcePolicy?.statements ?? []) {
    if (statement.effect !== "Allow") continue;
    const named = concerns(statement, question);
    if (named === undefined || named === found || !applies(statement, question)) continue;
    if (named === "direct") return named;
    if (found === undefined || named === "role") found = named;
  }
  return found;
};

const refused = (by: Layer): Decision => ({ allowed: false, reason: "implicitDeny", by });
const granted = (by: Layer): Decision => ({ allowed: true, reason: "allowed", by });

/** Answers whether the principal may do this. Pure: policies are prepared, the time is in the context. */
export const evaluate = (question: Question): Decision => {
  const { principal, identity, boundary, session, resourcePolicy } = question;
  const layers: ReadonlyArray<readonly [Layer, readonly Policy[]]> = [
    ["identity", identity],
    ["session", session ?? []],
    ["boundary", boundary === undefined ? [] : [boundary]],
    ["resource", resourcePolicy === undefined ? [] : [resourcePolicy]],
  ];
  for (const [layer, policies] of layers) {
    const denied = denial(layer, policies, question);
    if (denied !== undefined) return denied;
  }

  const named = grant(question);
  const account = accountOf(principal);
  // A service has no policies of its own: only the resource can let it in.
  if (account === undefined) return named === undefined ? refused("resource") : granted("resource");

  const sameAccount = account === (question.resourceAccount ?? account);
  const decides = question.resourcePolicyDecides === true;
  if ((decides || !sameAccount) && named === undefined) return refused("resource");

  // Within one account, a policy that names the session itself is bound by no layer's silence; one that names
  // the role, or a user behind a boundary, spares only the identity policies.
  if (sameAccount && named === "direct") return granted("resource");
  if (session !== undefined && !allows(session, question)) return refused("session");
  if (boundary !== undefined && !allows([boundary], question)) return refused("boundary");
  if (sameAccount && named === "role") return granted("resource");
  if (principal.kind === "root") return granted("identity");
  return allows(identity, question) ? granted("identity") : refused("identity");
};
