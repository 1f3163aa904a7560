/**
 * The account's administrator without the wire: what an SDK client would send is given to the operation as it is. For who
 * sets up one account after another, and is not interested in how that travels.
 */
import type { LocalAws, ServiceFactories } from "./aws.ts";
import type { Call, Service } from "./service.ts";

/** Services of the query protocol, where all values travel as text. */
const IN_TEXT: ReadonlySet<string> = new Set(["iam", "sts"]);

const inText = (value: unknown): unknown => {
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (Array.isArray(value)) return value.map(inText);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, inText(inner)]));
};

interface Command {
  readonly input: unknown;
  readonly constructor: { readonly name: string };
}

/** Stands for a client of one service whose commands answer plain data. */
export const directClient = <C extends { send(...args: never): unknown }>(
  aws: Pick<LocalAws<ServiceFactories>, "administrator" | "world">,
  service: Service,
): C => {
  const call: Call = {
    caller: {
      arn: `arn:aws:iam::${aws.world.account}:root`,
      account: aws.world.account,
      userId: aws.world.account,
      accessKeyId: aws.administrator.accessKeyId,
    },
    request: { method: "POST", path: "/", query: [], headers: {}, body: new Uint8Array() },
    requestId: "direct",
  };
  const send = async (command: Command) => {
    const { name } = command.constructor;
    const operation = service.operations[name.replace(/Command$/, "")];
    if (operation === undefined) throw new Error(`${service.name} has no ${name}`);
    const given = IN_TEXT.has(service.name) ? inText(command.input) : command.input;
    return operation.run(operation.input.parse(given), call);
  };
  // Whoever asks for it sends commands of that service only, and reads what the API documents.
  return { send } as unknown as C;
};
