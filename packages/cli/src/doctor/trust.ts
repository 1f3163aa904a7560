/** Who may assume a target role: the broker alone, and only with a source identity. */
import { TRUSTED_ACTIONS, trustDocument } from "@stint/aws/target-role";
import { covers, type Statement, statementsOf } from "./documents.ts";
import { aws, type Finding } from "./finding.ts";

export const trustFix = (role: string, broker: string): string =>
  aws("update-assume-role-policy", {
    "role-name": nameOf(role),
    "policy-document": trustDocument(broker),
  });

export const nameOf = (arn: string): string => arn.slice(arn.lastIndexOf("/") + 1);

export function judgeTrust(role: string, document: string, broker: string): readonly Finding[] {
  const finding = (code: string, message: string): Finding => ({
    code: `trust.${code}`,
    subject: role,
    message,
    fix: trustFix(role, broker),
  });
  const statements = statementsOf(document)?.filter(({ allows }) => allows);
  if (statements === undefined)
    return [finding("unreadable", "its trust policy cannot be understood")];

  const own = `AWS:${broker}`;
  const others = new Set(statements.flatMap(({ principals }) => principals));
  others.delete(own);
  const brokers = statements.filter(({ principals }) => principals.includes(own));
  const missing = TRUSTED_ACTIONS.filter((action) => !brokers.some(covering(action)));
  const known = TRUSTED_ACTIONS.map((action) => action.toLowerCase());
  const more = statements
    .flatMap(({ actions }) => actions)
    .filter((action) => !known.includes(action.toLowerCase()));
  return [
    ...(others.size === 0 ? [] : [finding("others", `it lets in ${told([...others])} too`)]),
    ...(brokers.length === 0 ? [finding("broker", `it does not name the broker ${broker}`)] : []),
    ...(brokers.length === 0 || missing.length === 0
      ? []
      : [finding("action", `it does not allow the broker ${missing.join(", ")}`)]),
    ...(more.length === 0
      ? []
      : [finding("more", `its trust policy allows ${[...new Set(more)].join(", ")}`)]),
    ...(statements.filter(covering("sts:AssumeRole")).every(requiresIdentity)
      ? []
      : [finding("identity", "it lets in sessions without a source identity")]),
  ];
}

const covering =
  (action: string) =>
  ({ actions }: Statement): boolean =>
    actions.some((pattern) => covers(pattern, action));

/** A role or user that was deleted stands in a trust policy by its id. */
const told = (principals: readonly string[]): string =>
  principals
    .map((principal) => {
      if (principal === "*") return "everybody (*)";
      const name = principal.slice(principal.indexOf(":") + 1);
      return /^A(ROA|IDA)[A-Z0-9]+$/.test(name) ? `${name}, which has been deleted,` : name;
    })
    .join(" and ");

/** A key that is missing from a request fits no such condition. Their `…IfExists` would fit. */
const PRESENT = /^(ForAnyValue:)?String(Equals|Like|EqualsIgnoreCase)$/i;

const requiresIdentity = ({ conditions }: Statement): boolean =>
  conditions.some(
    ({ operator, key, values }) =>
      key === "sts:sourceidentity" &&
      (PRESENT.test(operator) || (/^Null$/i.test(operator) && values.every((v) => v === "false"))),
  );
