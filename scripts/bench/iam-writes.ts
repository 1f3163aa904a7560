/** What a deployment writes to IAM, counted on its way there. */
import { POLICY_NAME } from "@stint/aws/deny-list";
import type { SdkRequestHandler } from "@stint/local/transport";

export interface IamWrites {
  readonly through: (inner: SdkRequestHandler) => SdkRequestHandler;
  /** Deny lists that were written, by the role's name. */
  readonly lists: Map<string, number>;
  /** Characters of the longest of them. */
  longest: number;
}

export function iamWrites(): IamWrites {
  const writes: IamWrites = {
    lists: new Map(),
    longest: 0,
    through: (inner) => ({
      ...inner,
      handle: (...args) => {
        const [{ body, headers }] = args;
        if (/\/iam\/aws4_request/.test(headers.authorization ?? "")) {
          const form = new URLSearchParams(String(body));
          const role = form.get("RoleName") ?? "";
          if (form.get("Action") === "PutRolePolicy" && form.get("PolicyName") === POLICY_NAME) {
            writes.lists.set(role, (writes.lists.get(role) ?? 0) + 1);
            writes.longest = Math.max(writes.longest, (form.get("PolicyDocument") ?? "").length);
          }
        }
        return inner.handle(...args);
      },
    }),
  };
  return writes;
}
