/** How many calls local AWS serves, by service: what a test suite on it waits for, beside the SDK's own work. */
import { createServer, type Server } from "node:http";
import {
  CreateTableCommand,
  DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
} from "@aws-sdk/client-dynamodb";
import { EventBridgeClient, PutEventsCommand } from "@aws-sdk/client-eventbridge";
import { CreateRoleCommand, GetRoleCommand, IAMClient } from "@aws-sdk/client-iam";
import { CreateKeyCommand, EncryptCommand, KMSClient } from "@aws-sdk/client-kms";
import {
  CreateBucketCommand,
  GetObjectCommand,
  PutObjectCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { GetScheduleGroupCommand, SchedulerClient } from "@aws-sdk/client-scheduler";
import { CreateQueueCommand, SendMessageCommand, SQSClient } from "@aws-sdk/client-sqs";
import { GetParameterCommand, PutParameterCommand, SSMClient } from "@aws-sdk/client-ssm";
import { AssumeRoleCommand, STSClient } from "@aws-sdk/client-sts";
import { localAws } from "@stint/local";
import type { AwsRequest, AwsResponse } from "@stint/local/service";
import { type SdkRequestHandler, sdkRequestHandler } from "@stint/local/transport";
import { type Bench, collect, median, type Row, RUNS, rounded } from "./row.ts";

type Handle = (request: AwsRequest) => Promise<AwsResponse>;
type Settings = Pick<ReturnType<typeof localAws>["client"], "region" | "credentials"> &
  ({ readonly requestHandler: SdkRequestHandler } | { readonly endpoint: string });
type Call = () => Promise<unknown>;

const ACCOUNT = "000000000000";
const ROLE = `arn:aws:iam::${ACCOUNT}:role/bench`;
const TRUST = JSON.stringify({
  Version: "2012-10-17",
  Statement: [{ Effect: "Allow", Principal: { AWS: ACCOUNT }, Action: "sts:AssumeRole" }],
});

/** What the calls are about; made once. @returns the id of a key */
async function prepare(settings: Settings): Promise<string> {
  const s3 = new S3Client({ ...settings, forcePathStyle: true });
  await new DynamoDBClient(settings).send(
    new CreateTableCommand({
      TableName: "bench",
      BillingMode: "PAY_PER_REQUEST",
      AttributeDefinitions: [{ AttributeName: "id", AttributeType: "S" }],
      KeySchema: [{ AttributeName: "id", KeyType: "HASH" }],
    }),
  );
  await s3.send(new CreateBucketCommand({ Bucket: "bench" }));
  await s3.send(new PutObjectCommand({ Bucket: "bench", Key: "one", Body: "x".repeat(1000) }));
  await new SQSClient(settings).send(new CreateQueueCommand({ QueueName: "bench" }));
  await new IAMClient(settings).send(
    new CreateRoleCommand({ RoleName: "bench", AssumeRolePolicyDocument: TRUST }),
  );
  await new SSMClient(settings).send(
    new PutParameterCommand({ Name: "/bench", Value: "x", Type: "SecureString" }),
  );
  const { KeyMetadata } = await new KMSClient(settings).send(new CreateKeyCommand({}));
  return KeyMetadata?.KeyId ?? "";
}

/** One call of each service that leaves nothing behind which would make the next one slower. */
function calls(settings: Settings, KeyId: string): Readonly<Record<string, Call>> {
  const db = new DynamoDBClient(settings);
  const s3 = new S3Client({ ...settings, forcePathStyle: true });
  const sqs = new SQSClient(settings);
  const iam = new IAMClient(settings);
  const sts = new STSClient(settings);
  const ssm = new SSMClient(settings);
  const kms = new KMSClient(settings);
  const events = new EventBridgeClient(settings);
  const scheduler = new SchedulerClient(settings);
  const Item = { id: { S: "one" }, text: { S: "x".repeat(200) } };
  const QueueUrl = `https://sqs.us-east-1.amazonaws.com/${ACCOUNT}/bench`;
  const Entries = [{ Source: "bench", DetailType: "call", Detail: "{}" }];
  const Plaintext = Buffer.from("secret");
  const session = { RoleArn: ROLE, RoleSessionName: "bench" };
  return {
    "dynamodb PutItem": () => db.send(new PutItemCommand({ TableName: "bench", Item })),
    "dynamodb GetItem": () =>
      db.send(new GetItemCommand({ TableName: "bench", Key: { id: Item.id } })),
    "s3 PutObject": () =>
      s3.send(new PutObjectCommand({ Bucket: "bench", Key: "one", Body: "x".repeat(1000) })),
    "s3 GetObject": async () => {
      const { Body } = await s3.send(new GetObjectCommand({ Bucket: "bench", Key: "one" }));
      return Body?.transformToString();
    },
    "sqs SendMessage": () => sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: "x" })),
    "sts AssumeRole": () => sts.send(new AssumeRoleCommand(session)),
    "iam GetRole": () => iam.send(new GetRoleCommand({ RoleName: "bench" })),
    "ssm GetParameter": () =>
      ssm.send(new GetParameterCommand({ Name: "/bench", WithDecryption: true })),
    "kms Encrypt": () => kms.send(new EncryptCommand({ KeyId, Plaintext })),
    "events PutEvents": () => events.send(new PutEventsCommand({ Entries })),
    "scheduler GetScheduleGroup": () =>
      scheduler.send(new GetScheduleGroupCommand({ Name: "default" })),
  };
}

/** Answers at once what local AWS answered to the same call. */
function empty(handle: Handle) {
  let kept: AwsResponse | undefined;
  const answer = async (request: AwsRequest) => {
    kept ??= await handle(request);
    return kept;
  };
  return {
    answer,
    requestHandler: sdkRequestHandler(answer),
    forget: () => {
      kept = undefined;
    },
    async listen(): Promise<{ server: Server; url: string }> {
      const server = createServer((request, response) => {
        request.resume().once("end", () => {
          const { status = 500, headers = {}, body = "" } = kept ?? {};
          const bytes = Buffer.from(body);
          response.writeHead(status, { "content-length": bytes.length, ...headers }).end(bytes);
        });
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const address = server.address();
      const port = typeof address === "object" ? address?.port : address;
      return { server, url: `http://127.0.0.1:${port}` };
    },
  };
}

/** Milliseconds a call, one after the other. */
async function timeOf(many: number, call: Call): Promise<number> {
  collect();
  const started = performance.now();
  for (let n = 0; n < many; n++) await call();
  return (performance.now() - started) / many;
}

interface Sides {
  readonly own: Call;
  readonly nothing: Call;
}

/** Both sides in turns. @returns medians in ms */
async function compare({ own, nothing }: Sides, many: number, rounds: number) {
  const [mine, theirs]: [number[], number[]] = [[], []];
  for (let round = -1; round < rounds; round++) {
    const [one, other] = [await timeOf(many, own), await timeOf(many, nothing)];
    if (round < 0) continue;
    mine.push(one);
    theirs.push(other);
  }
  const ratio = median(mine.map((ms, at) => ms / (theirs[at] ?? Number.NaN)));
  return { ratio: rounded(ratio), perSecond: Math.round(1000 / median(mine)) };
}

export const localAwsCalls: Bench = async (size) => {
  await using aws = await localAws({ iamDelayMs: 0 });
  const { region, credentials, requestHandler } = aws.client;
  const place = { region, credentials };
  const nothing = empty(aws.handle);
  const [{ url }, other] = [await aws.listen(), await nothing.listen()];
  try {
    const key = await prepare({ ...place, requestHandler });
    const sides = [
      calls({ ...place, requestHandler }, key),
      calls({ ...place, requestHandler: nothing.requestHandler }, key),
      calls({ ...place, endpoint: url }, key),
      calls({ ...place, endpoint: other.url }, key),
    ] as const;
    const many = size === "full" ? 200 : 1;
    const rows: Row[] = [];
    for (const [name, own] of Object.entries(sides[0])) {
      const [, inProcess, overHttp, emptyHttp] = sides.map((side) => side[name]);
      if (!inProcess || !overHttp || !emptyHttp) throw new Error(`no call ${name}`);
      nothing.forget();
      const here = await compare({ own, nothing: inProcess }, many, RUNS[size]);
      const there = await compare({ own: overHttp, nothing: emptyHttp }, many, RUNS[size]);
      rows.push({
        name: `local ${name} / an empty handler`,
        measured: here.ratio,
        unit: "×",
        parts: {
          "calls/s in process": here.perSecond,
          "over HTTP ×": there.ratio,
          "calls/s over HTTP": there.perSecond,
        },
        note: `${RUNS[size]} rounds of ${many} calls one after the other by the real SDK client; the empty handler gives the same bytes at once`,
      });
    }
    return rows;
  } finally {
    other.server.close();
    other.server.closeAllConnections();
  }
};
