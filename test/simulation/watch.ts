/** Puts an onlooker beside local AWS: what it tells is what happened there, not what Stint thinks. */
import type { AttributeValue } from "@aws-sdk/client-dynamodb";
import { unmarshall } from "@aws-sdk/util-dynamodb";
import { NOBODY, POLICY_NAME } from "@stint/aws/deny-list";
import { read } from "@stint/aws/store/context";
import { PROBE_PARAMETER } from "@stint/aws/target-role";
import type { StandardAws } from "@stint/local/local-aws";
import { NAMES } from "@stint/local/roles";
import { recordsOf, type Seen } from "./seen.ts";

type Operations = Readonly<Record<string, { readonly run: unknown }>>;
type Run = (input: never, call: never) => unknown;

/** Listens to one operation: to those calls alone that had their effect. */
function listen(
  operations: Operations,
  name: string,
  listener: (input: unknown, output: unknown) => void,
): void {
  // Casts: the tables are frozen to the compiler only, and each operation has types of its own.
  const table = operations as Record<string, { readonly run: Run }>;
  const operation = table[name];
  if (operation === undefined) throw new Error(`no operation ${name}`);
  table[name] = {
    ...operation,
    run: async (input, call) => {
      const output = await operation.run(input, call);
      listener(input, output);
      return output;
    },
  };
}

interface AssumeRole {
  readonly RoleArn: string;
  readonly Policy?: string;
}
interface Assumed {
  readonly SourceIdentity?: string;
  readonly Credentials: {
    readonly AccessKeyId: string;
    readonly SecretAccessKey: string;
    readonly SessionToken: string;
  };
}
interface PutRolePolicy {
  readonly RoleName: string;
  readonly PolicyName: string;
  readonly PolicyDocument: string;
}

/** Local AWS's own type of DynamoDB's notation, as the SDK's: its binaries are text, and Stint has none. */
const sdk = (item: object) => item as Record<string, AttributeValue>;

export function watch(aws: StandardAws, seen: Seen): void {
  const { dynamodb, scheduler, sqs, events, s3 } = aws.services;
  listen(aws.sts.operations, "AssumeRole", (input, output) => {
    // What this operation takes and answers.
    const { RoleArn, Policy = "" } = input as AssumeRole;
    const { Credentials, SourceIdentity = "" } = output as Assumed;
    seen.tell("secret", Credentials.SecretAccessKey);
    seen.tell("secret", Credentials.SessionToken);
    // It only asks whether it is denied, and is nobody's.
    if (Policy.includes(PROBE_PARAMETER)) return;
    seen.tell("session", {
      grant: SourceIdentity,
      role: RoleArn,
      accessKeyId: Credentials.AccessKeyId,
      secretAccessKey: Credentials.SecretAccessKey,
      sessionToken: Credentials.SessionToken,
      mintedAt: aws.clock.now(),
      handed: false,
    });
  });
  listen(aws.iam.operations, "PutRolePolicy", (input) => {
    const { RoleName, PolicyName, PolicyDocument } = input as PutRolePolicy; // its own input
    if (PolicyName !== POLICY_NAME) return;
    // As our own code writes it; in an empty list one id stands for nobody.
    const ids = [...PolicyDocument.matchAll(/"(g[0-9a-z]{15})"/g)].flatMap(([, id]) => id ?? []);
    seen.tell("denyList", { role: RoleName, ids: ids.filter((id) => id !== NOBODY) });
  });
  listen(scheduler.operations, "CreateSchedule", (input) => {
    const { Name } = input as { readonly Name: string }; // its own input
    seen.tell("schedule", { name: Name });
    seen.tell("text", { where: "schedules", text: JSON.stringify(input) });
  });
  const said = (where: string) => (input: unknown) =>
    seen.tell("text", { where, text: JSON.stringify(input) });
  listen(sqs.operations, "SendMessage", said("queues"));
  listen(events.operations, "PutEvents", said("bus"));

  listen(
    s3.operations,
    "PutObject",
    (input) => seen.tell("object", (input as { readonly Key: string }).Key), // its own input
  );

  dynamodb.table(NAMES.table).watch((before, after) => {
    const row = after ?? before;
    if (row === undefined) return;
    const old = before === undefined ? undefined : unmarshall(sdk(before.item));
    if (after === undefined) {
      seen.tell("item", { key: row.key, before: old, after: undefined });
      return;
    }
    seen.tell("text", { where: "table", text: JSON.stringify(after.item) });
    const item = unmarshall(sdk(after.item));
    if (item.sk === "GRANT")
      seen.tell("grant", {
        before: before === undefined ? undefined : read(sdk(before.item)).grant,
        after: read(sdk(after.item)).grant,
      });
    seen.tell("item", { key: row.key, before: old, after: item });
    for (const record of recordsOf(before?.item, after.item)) seen.tell("record", record);
  });
}
