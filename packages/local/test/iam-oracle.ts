/**
 * Another evaluator of IAM's policies, to hold ours against. From tests alone: its licence is not ours. Its engine is
 * called directly, because the function that it exports without validation leaves out the session policy.
 */
import { loadPolicy } from "@cloud-copilot/iam-policy";
import { DiscoveryContextKeyConstraints } from "../../../node_modules/@cloud-copilot/iam-simulate/dist/esm/context_keys/discoveryContextKeyConstraints.js";
import { authorize } from "../../../node_modules/@cloud-copilot/iam-simulate/dist/esm/core_engine/CoreSimulatorEngine.js";
import { AwsRequestImpl } from "../../../node_modules/@cloud-copilot/iam-simulate/dist/esm/request/request.js";
import { RequestContextImpl } from "../../../node_modules/@cloud-copilot/iam-simulate/dist/esm/requestContext.js";
import type { Case, PolicyJson } from "./iam-cases.ts";

export type Verdict = "allowed" | "explicitDeny" | "implicitDeny";

const VERDICTS: Readonly<Record<string, Verdict>> = {
  Allowed: "allowed",
  ExplicitlyDenied: "explicitDeny",
  ImplicitlyDenied: "implicitDeny",
};

const load = (policy: PolicyJson, name: string) => loadPolicy(policy, { name });

/** The organization allows everything, as it does where there is none. */
const EVERYTHING: PolicyJson = {
  Version: "2012-10-17",
  Statement: [{ Effect: "Allow", Action: "*", Resource: "*" }],
};
const organization = [{ orgIdentifier: "root", policies: [load(EVERYTHING, "everything")] }];

export function oracle(of: Case): Verdict {
  const context: Record<string, string | string[]> = {};
  for (const [key, value] of Object.entries(of.context))
    context[key] = typeof value === "string" ? value : [...value];
  const { result } = authorize({
    request: new AwsRequestImpl(
      of.principal.arn,
      { resource: of.resource, accountId: of.owner },
      of.action,
      new RequestContextImpl(context),
    ),
    sessionPolicy: of.session === undefined ? undefined : load(of.session, "session"),
    identityPolicies: of.identity.map((policy, at) => load(policy, `identity${at}`)),
    serviceControlPolicies: organization,
    resourceControlPolicies: organization,
    resourcePolicy:
      of.resourcePolicy === undefined ? undefined : load(of.resourcePolicy, "resource"),
    permissionBoundaries: of.boundary === undefined ? undefined : [load(of.boundary, "boundary")],
    vpcEndpointPolicies: undefined,
    simulationParameters: {
      simulationMode: "Strict",
      discoveryContextKeyConstraints: new DiscoveryContextKeyConstraints([]),
    },
  });
  const verdict = VERDICTS[result];
  if (verdict === undefined) throw new Error(`the oracle answers ${result}`);
  return verdict;
}
