/** Who writes deny lists in an account, and the boundary by which it knows the roles that are its own. */
import {
  BOUNDARY_NAME,
  boundaryDocument,
  REVOKER_NAME,
  revokerDocument,
  revokerTrustDocument,
} from "@stint/aws/target-role";
import type { Account } from "./account.ts";
import { covers, deniesAllOf, type Statement, statementsOf } from "./documents.ts";
import { aws, type Finding } from "./finding.ts";
import { accountIn } from "./role.ts";
import { nameOf } from "./trust.ts";

/** The role that writes in an account: the revoke function's own at home, elsewhere the account's. */
export const revokerIn = (account: string, revoker: string): string =>
  accountIn(revoker) === account ? revoker : `arn:aws:iam::${account}:role/${REVOKER_NAME}`;

/** The boundary that the revoker asks for; the usual one where it asks for none. */
export async function boundaryIn(account: Account, revoker: string): Promise<string> {
  const facts = await account.role(nameOf(revoker));
  const statements = facts?.inline.flatMap(({ document }) => statementsOf(document) ?? []) ?? [];
  return (
    statements.filter(writes).flatMap(asked)[0] ??
    `arn:aws:iam::${accountIn(revoker)}:policy/${BOUNDARY_NAME}`
  );
}

const writes = ({ allows, actions }: Statement) =>
  allows && actions.some((pattern) => covers(pattern, "iam:PutRolePolicy"));

const asked = ({ conditions }: Statement) =>
  conditions.flatMap(({ key, values }) => (key === "iam:permissionsboundary" ? values : []));

export async function examineBoundary(account: Account, boundary: string): Promise<Finding[]> {
  const document = await account.policy(boundary);
  if (document === undefined)
    return [
      {
        code: "boundary.absent",
        subject: boundary,
        message: "the boundary of target roles does not exist",
        fix: aws("create-policy", {
          "policy-name": nameOf(boundary),
          "policy-document": boundaryDocument(),
        }),
      },
    ];
  const has = statementsOf(document) ?? [];
  const must = statementsOf(JSON.stringify(boundaryDocument())) ?? [];
  const open = must
    .filter(({ allows }) => !allows)
    .flatMap(({ actions, resources }) =>
      actions.flatMap((action) =>
        resources
          .filter((resource) => !deniesAllOf(has, action, resource))
          .map((resource) => (action === "*" ? resource : action)),
      ),
    );
  if (open.length === 0) return [];
  return [
    {
      code: "boundary.weak",
      subject: boundary,
      message: `the boundary of target roles does not deny ${open.join(", ")}, by which a role could free itself`,
      fix: aws("create-policy-version", {
        "policy-arn": boundary,
        "policy-document": boundaryDocument(),
        "set-as-default": true,
      }),
    },
  ];
}

/** That there is a revoker and, in another account, that it is Stint's alone. */
export async function examineRevoker(
  account: Account,
  of: { readonly revoker: string; readonly function: string },
): Promise<Finding[]> {
  const name = nameOf(of.revoker);
  const facts = await account.role(name);
  const trust = revokerTrustDocument(of.function);
  const home = of.revoker === of.function;
  if (facts?.arn !== of.revoker)
    return [
      {
        code: "revoker.missing",
        subject: of.revoker,
        message: "the role that writes deny lists in this account does not exist",
        fix: home
          ? "give --revoker as the deployment prints it, or deploy again"
          : aws("create-role", { "role-name": name, "assume-role-policy-document": trust }),
      },
    ];
  if (home) return [];
  const allowing = (statementsOf(facts.trust) ?? []).filter(({ allows }) => allows);
  const principals = new Set(allowing.flatMap((one) => one.principals));
  const actions = new Set(allowing.flatMap((one) => one.actions));
  const alone = principals.size === 1 && principals.has(`AWS:${of.function}`);
  if (alone && actions.has("sts:AssumeRole")) return [];
  return [
    {
      code: "revoker.trust",
      subject: of.revoker,
      message: `it does not let in ${of.function} alone`,
      fix: aws("update-assume-role-policy", { "role-name": name, "policy-document": trust }),
    },
  ];
}

/** That the revoker may write on a role, and could not on the same one without the boundary. */
export async function mayRevoke(
  account: Account,
  of: { readonly revoker: string; readonly role: string; readonly boundary: string },
): Promise<Finding[]> {
  const { revoker, role, boundary } = of;
  const may = (action: string, context: Readonly<Record<string, string>>) =>
    account.allows({ principal: revoker, action: `iam:${action}`, resource: role, context });
  const bounded = { "iam:PermissionsBoundary": boundary };
  const [reads, puts, free] = await Promise.all([
    may("GetRolePolicy", bounded),
    may("PutRolePolicy", bounded),
    may("PutRolePolicy", {}),
  ]);
  const fix = aws("put-role-policy", {
    "role-name": nameOf(revoker),
    "policy-name": "own-deny-lists",
    "policy-document": revokerDocument({ account: accountIn(role), boundary }),
  });
  const missing = [...(reads ? [] : ["iam:GetRolePolicy"]), ...(puts ? [] : ["iam:PutRolePolicy"])];
  return [
    ...(missing.length === 0
      ? []
      : [
          {
            code: "revoker.denied",
            subject: revoker,
            message: `it may not ${missing.join(", ")} on ${role}, so no grant of it can be ended early`,
            fix,
          },
        ]),
    ...(free
      ? [
          {
            code: "revoker.wide",
            subject: revoker,
            message: `it may iam:PutRolePolicy on ${role} even if that had no boundary`,
            fix: `take the statement away that allows it without a condition on iam:PermissionsBoundary, then ${fix}`,
          },
        ]
      : []),
  ];
}
