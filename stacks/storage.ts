/** The table that holds grants, and the key under which everything of ours is encrypted. */
import { TABLE } from "@stint/aws/store/table";
import { functionRole, isProduction, named, place } from "./stage.ts";

/** The topic that alarms go to, by the name that the key's policy knows it by before there is one. */
export const ALARMS_TOPIC = "alarms";

export function storage() {
  const { account, region } = place();
  const key = new aws.kms.Key(
    "Key",
    {
      description: `${$app.name} ${$app.stage}: grants, audit log and secrets`,
      enableKeyRotation: true,
      deletionWindowInDays: isProduction() ? 30 : 7,
      policy: aws.iam.getPolicyDocumentOutput({
        statements: [
          {
            sid: "Administration",
            principals: [
              { type: "AWS", identifiers: [$interpolate`arn:aws:iam::${account}:root`] },
            ],
            actions: ["kms:*"],
            resources: ["*"],
          },
          {
            // Through these services alone, and of all roles only the functions': who may read the table is then not
            // yet who may read what is in it. By pattern, because KMS wants a principal that it is told to exist.
            sid: "FunctionsThroughServices",
            principals: [{ type: "AWS", identifiers: ["*"] }],
            actions: [
              "kms:Encrypt",
              "kms:Decrypt",
              "kms:ReEncrypt*",
              "kms:GenerateDataKey*",
              "kms:CreateGrant",
              "kms:DescribeKey",
            ],
            resources: ["*"],
            conditions: [
              {
                test: "StringEquals",
                variable: "kms:ViaService",
                values: ["dynamodb", "s3", "ssm"].map(
                  (service) => $interpolate`${service}.${region}.amazonaws.com`,
                ),
              },
              {
                test: "ArnLike",
                variable: "aws:PrincipalArn",
                values: [functionRole("*")],
              },
            ],
          },
          {
            // Alarms under SNS's own key reach nobody: CloudWatch may not use that one, and its policy is not ours to change.
            // By its context a data key is that topic's, so that nothing else of ours opens with this.
            sid: "AlarmsToTheirTopic",
            principals: [{ type: "Service", identifiers: ["cloudwatch.amazonaws.com"] }],
            actions: ["kms:Decrypt", "kms:GenerateDataKey*"],
            resources: ["*"],
            conditions: [
              {
                test: "StringEquals",
                variable: "kms:EncryptionContext:aws:sns:topicArn",
                values: [$interpolate`arn:aws:sns:${region}:${account}:${named(ALARMS_TOPIC)}`],
              },
            ],
          },
        ],
      }).json,
    },
    // SST keeps table and buckets of production, and nobody could read them without it.
    { retainOnDelete: isProduction() },
  );
  new aws.kms.Alias("KeyAlias", { name: `alias/${named("data")}`, targetKeyId: key.keyId });

  const table = new sst.aws.Dynamo("Table", {
    fields: TABLE.fields,
    primaryIndex: TABLE.primaryIndex,
    globalIndexes: Object.fromEntries(
      Object.entries(TABLE.globalIndexes).map(([name, { projection, ...keys }]) => [
        name,
        { ...keys, projection: projection.length === 0 ? "keys-only" : [...projection] },
      ]),
    ),
    stream: "new-and-old-images",
    ttl: TABLE.ttl,
    deletionProtection: isProduction(),
    transform: {
      table: {
        name: named("grants"),
        serverSideEncryption: { enabled: true, kmsKeyArn: key.arn },
        pointInTimeRecovery: { enabled: true, recoveryPeriodInDays: 35 },
      },
    },
  });
  return { key, table };
}

export type Storage = ReturnType<typeof storage>;
