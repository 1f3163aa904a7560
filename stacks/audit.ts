/** The audit log: objects that nobody can change, and the table over them that Athena asks. */
import { AUDIT_COLUMNS, SQL_TYPES } from "@stint/core/audit-columns";
import { savedQuestions } from "@stint/core/audit-questions";
import type { Declare } from "./functions.ts";
import { deadLetters } from "./queues.ts";
import { streamReader } from "./revocation.ts";
import { isProduction, named, place } from "./stage.ts";
import type { Storage } from "./storage.ts";

/** Where the records are in the bucket. */
export const AUDIT_PREFIX = "audit/";
const RETENTION_DAYS = 365;
/** What one question may read. Beyond it Athena stops, before it costs. */
const SCAN_LIMIT_BYTES = 10 * 1024 ** 3;

export function auditBucket({ key }: Storage) {
  const bucket = locked(encryptedBucket("AuditBucket", "audit", key, isProduction()));
  const results = encryptedBucket("AuditResults", "audit-results", key, false);
  return { bucket, results };
}

function encryptedBucket(name: string, part: string, key: aws.kms.Key, kept: boolean) {
  const { account, region } = place();
  const bucket = new sst.aws.Bucket(name, {
    cors: false,
    enforceHttps: true,
    versioning: kept,
    ...(kept ? {} : { lifecycle: [{ expiresIn: "30 days" }] }),
    transform: {
      bucket: {
        // Bucket names are all the world's.
        bucket: $interpolate`${named(part)}-${account}-${region}`,
        forceDestroy: !kept,
        objectLockEnabled: kept,
      },
    },
  });
  new aws.s3.BucketServerSideEncryptionConfiguration(`${name}Encryption`, {
    bucket: bucket.name,
    rules: [
      {
        applyServerSideEncryptionByDefault: { sseAlgorithm: "aws:kms", kmsMasterKeyId: key.arn },
        bucketKeyEnabled: true,
      },
    ],
  });
  return bucket;
}

/** In production nobody deletes a record before its time, the account's root included. */
function locked(bucket: sst.aws.Bucket): sst.aws.Bucket {
  if (isProduction())
    new aws.s3.BucketObjectLockConfiguration("AuditLock", {
      bucket: bucket.name,
      rule: { defaultRetention: { mode: "COMPLIANCE", days: RETENTION_DAYS } },
    });
  return bucket;
}

export type AuditBuckets = ReturnType<typeof auditBucket>;

export function audit(
  declare: Declare,
  { table }: Storage,
  { bucket, results }: AuditBuckets,
  bus: sst.aws.Bus,
) {
  const dead = deadLetters("AuditDead", "audit-dead");
  const stream = table.nodes.table.streamArn;
  const writer = declare("audit", {
    settings: { STINT_AUDIT_BUCKET: bucket.name, STINT_BUS: bus.name },
    source: { kind: "stream", arn: stream },
    failures: dead.arn,
  });
  streamReader("AuditStream", { stream, function: writer, failures: dead.arn, reports: false });

  const sqlName = named("audit").replaceAll("-", "_");
  const database = new aws.glue.CatalogDatabase("AuditDatabase", { name: sqlName });
  const location = $interpolate`s3://${bucket.name}/${AUDIT_PREFIX}`;
  new aws.glue.CatalogTable("AuditTable", {
    databaseName: database.name,
    name: "audit",
    tableType: "EXTERNAL_TABLE",
    // Days are told by the paths alone: no crawler, and a question about a day reads that day.
    partitionKeys: [{ name: "day", type: "string" }],
    parameters: {
      classification: "parquet",
      "projection.enabled": "true",
      "projection.day.type": "date",
      "projection.day.format": "yyyy-MM-dd",
      "projection.day.range": "2026-01-01,NOW",
      "storage.location.template": $interpolate`${location}day=\${day}`,
    },
    storageDescriptor: {
      location,
      inputFormat: "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
      outputFormat: "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
      serDeInfo: {
        serializationLibrary: "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
      },
      columns: AUDIT_COLUMNS.map(({ name, type, description }) => ({
        name,
        type: SQL_TYPES[type].glue,
        comment: description.slice(0, 255),
      })),
    },
  });
  const workgroup = new aws.athena.Workgroup("AuditWorkgroup", {
    name: named("audit"),
    forceDestroy: !isProduction(),
    configuration: {
      enforceWorkgroupConfiguration: true,
      bytesScannedCutoffPerQuery: SCAN_LIMIT_BYTES,
      publishCloudwatchMetricsEnabled: true,
      resultConfiguration: { outputLocation: $interpolate`s3://${results.name}/` },
    },
  });
  for (const { name, asks, sql } of savedQuestions)
    new aws.athena.PreparedStatement(`Question-${name}`, {
      name: name.replaceAll("-", "_"),
      description: asks,
      workgroup: workgroup.name,
      queryStatement: sql.trim(),
    });
  return { writer, dead, workgroup };
}
