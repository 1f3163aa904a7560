/** What is there when a load is over: looked up in the account itself, not asked of Stint. */
import { DynamoDBClient, paginateScan } from "@aws-sdk/client-dynamodb";
import { GetRolePolicyCommand, IAMClient, NoSuchEntityException } from "@aws-sdk/client-iam";
import { S3Client } from "@aws-sdk/client-s3";
import { paginateListSchedules, SchedulerClient } from "@aws-sdk/client-scheduler";
import { GetQueueAttributesCommand, GetQueueUrlCommand, SQSClient } from "@aws-sdk/client-sqs";
import { POLICY_NAME } from "@stint/aws/deny-list";
import { read } from "@stint/aws/store/context";
import { queryAudit } from "@stint/cli/audit/query";
import type { Grant } from "@stint/core/grant";
import { NAMES } from "@stint/local/roles";
import * as z from "zod";
import type { System } from "../bench/system.ts";

/** In the order in which the log is asked for them. */
const fact = z
  .tuple([z.string(), z.nullable(z.string()), z.nullable(z.string()), z.nullable(z.string())])
  .transform(([fact, grant, why, key]) => ({ fact, grant, why, key }));
type LoggedFact = z.infer<typeof fact>;

export interface Evidence {
  /** Every grant in the table. */
  readonly grants: readonly Grant[];
  /** Every record of the audit log, as it lies in S3. */
  readonly log: readonly LoggedFact[];
  readonly schedules: readonly string[];
  /** Messages that were given up, by queue. */
  readonly deadLetters: Readonly<Record<string, number>>;
  /** Characters of each role's deny list, where it has one. */
  readonly lists: Readonly<Record<string, number>>;
}

/** More than one load leaves. */
const LOG_LIMIT = 10_000_000;
const LOG_MINUTES = 10;

export async function gather(system: System, roles: readonly string[]): Promise<Evidence> {
  const client = system.client();
  const grants: Grant[] = [];
  const db = new DynamoDBClient(client);
  const scan = { TableName: NAMES.table, ConsistentRead: true };
  for await (const { Items = [] } of paginateScan({ client: db }, scan))
    for (const item of Items) if (item.sk?.S === "GRANT") grants.push(read(item).grant);

  const schedules: string[] = [];
  const group = { GroupName: NAMES.scheduleGroup };
  for await (const page of paginateListSchedules({ client: new SchedulerClient(client) }, group))
    schedules.push(...(page.Schedules ?? []).flatMap(({ Name }) => Name ?? []));

  const { rows } = await queryAudit({
    s3: new S3Client({ ...client, forcePathStyle: true }),
    bucket: NAMES.auditBucket,
    sql: "SELECT fact, grant_id, why, access_key_id FROM audit",
    limit: LOG_LIMIT,
    signal: AbortSignal.timeout(LOG_MINUTES * 60_000),
  });
  const dead = Object.values(NAMES).filter((name) => /-dead(\.fifo)?$/.test(name));
  const sqs = new SQSClient(client);
  const deadLetters = await Promise.all(dead.map(async (name) => [name, await depth(sqs, name)]));
  const iam = new IAMClient(client);
  const lists = await Promise.all(roles.map(async (role) => [role, await listOf(iam, role)]));
  return {
    grants,
    log: rows.map((row) => fact.parse(row)),
    schedules,
    deadLetters: Object.fromEntries(deadLetters),
    lists: Object.fromEntries(lists),
  };
}

async function depth(sqs: SQSClient, QueueName: string): Promise<number> {
  const { QueueUrl } = await sqs.send(new GetQueueUrlCommand({ QueueName }));
  const { Attributes = {} } = await sqs.send(
    new GetQueueAttributesCommand({
      QueueUrl,
      AttributeNames: ["ApproximateNumberOfMessages"],
    }),
  );
  return Number(Attributes.ApproximateNumberOfMessages);
}

async function listOf(iam: IAMClient, RoleName: string): Promise<number> {
  try {
    const { PolicyDocument = "" } = await iam.send(
      new GetRolePolicyCommand({ RoleName, PolicyName: POLICY_NAME }),
    );
    return decodeURIComponent(PolicyDocument).length;
  } catch (error) {
    if (error instanceof NoSuchEntityException) return 0;
    throw error;
  }
}
