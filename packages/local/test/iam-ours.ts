/** Our evaluator, asked about a generated case. */
import { evaluate } from "../src/iam/evaluate.ts";
import { type PolicyKind, parsePolicy } from "../src/iam/policy.ts";
import type { Case, PolicyJson } from "./iam-cases.ts";
import type { Verdict } from "./iam-oracle.ts";

const parse = (policy: PolicyJson, kind: PolicyKind) => parsePolicy(JSON.stringify(policy), kind);

/** Reads a case's policies, as the kernel does once for each text. @returns what decides it, as often as wanted */
export function prepare(of: Case): () => Verdict {
  const trust = of.action === "sts:AssumeRole";
  const question = {
    principal: of.principal,
    action: of.action,
    resource: of.resource,
    context: new Map(
      Object.entries(of.context).map(([key, value]) => [key.toLowerCase(), [value].flat()]),
    ),
    identity: of.identity.map((policy) => parse(policy, "identity")),
    ...(of.session === undefined ? {} : { session: [parse(of.session, "identity")] }),
    ...(of.boundary === undefined ? {} : { boundary: parse(of.boundary, "identity") }),
    ...(of.resourcePolicy === undefined
      ? {}
      : { resourcePolicy: parse(of.resourcePolicy, trust ? "trust" : "resource") }),
    ...(trust ? { resourcePolicyDecides: true } : {}),
    resourceAccount: of.owner,
  };
  return () => {
    const decision = evaluate(question);
    return decision.allowed ? "allowed" : decision.reason;
  };
}
