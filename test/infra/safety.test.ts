/** What must hold of the deployment as a whole: nothing is lost, nothing is open, nothing is in the clear, nothing fails unheard. */
import { readdirSync, readFileSync } from "node:fs";
import { ALARMS, METRICS } from "@stint/broker/alarms";
import { AUDIT_COLUMNS } from "@stint/core/audit-columns";
import { DIRTY_VISIBILITY_SECONDS, SIZES } from "@stint/functions/deployment";
import { beforeAll, describe, expect, test } from "vitest";
import { type Declared, declared, type Resource, statementsOf } from "./declared.ts";

const stages: Record<string, Declared> = {};
beforeAll(async () => {
  stages.production = await declared("production");
  stages.ada = await declared("ada");
}, 120_000);

const ARN = /^arn:aws:sqs:/;

/** By namespace and metric, from each service's page on its metrics. With others a metric is a different one, and silent. */
const DIMENSIONS: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  "AWS/SQS": {
    ApproximateNumberOfMessagesVisible: ["QueueName"],
    ApproximateAgeOfOldestMessage: ["QueueName"],
  },
  "AWS/Lambda": {
    Invocations: ["FunctionName"],
    Errors: ["FunctionName"],
    Throttles: ["FunctionName"],
    IteratorAge: ["FunctionName"],
  },
  "AWS/DynamoDB": {
    ReadThrottleEvents: ["TableName", "GlobalSecondaryIndexName,TableName"],
    WriteThrottleEvents: ["TableName", "GlobalSecondaryIndexName,TableName"],
    ThrottledRequests: ["Operation,TableName"],
  },
  "AWS/Events": { PutEventsFailedEntriesCount: [""] },
  "AWS/Scheduler": {
    TargetErrorCount: ["ScheduleGroup"],
    InvocationThrottleCount: ["ScheduleGroup"],
  },
  "AWS/ApiGateway": { "5xx": ["ApiId"] },
};

describe.each(["production", "ada"])("the stage %s", (stage) => {
  const all = (): Declared => {
    const found = stages[stage];
    if (found === undefined) throw new Error(`no stage ${stage}`);
    return found;
  };
  const queueArns = () =>
    new Set(
      all()
        .of("queue:Queue")
        .map(({ inputs }) => `arn:aws:sqs:eu-west-1:123456789012:${inputs.name}`),
    );

  test("sets aside whatever fails for good, and an alarm hangs on each such queue", () => {
    for (const { inputs, name } of all().of("eventSourceMapping:EventSourceMapping")) {
      if (ARN.test(inputs.eventSourceArn)) continue;
      expect(queueArns(), name).toContain(inputs.destinationConfig?.onFailure.destinationArn);
    }
    for (const { inputs, name } of all().of("eventTarget:EventTarget"))
      expect(queueArns(), name).toContain(inputs.deadLetterConfig?.arn);
    const invoked = all().of("functionEventInvokeConfig:FunctionEventInvokeConfig");
    // Whatever is invoked without anybody waiting for the answer: by Scheduler and by rules.
    expect(invoked.map(({ inputs }) => inputs.functionName).toSorted()).toEqual(
      ["expire", "reconcile", "sweep"].map((door) => `stint-${stage}-${door}`),
    );
    for (const { inputs, name } of invoked)
      expect(queueArns(), name).toContain(inputs.destinationConfig.onFailure.destination);

    const queues = all().of("queue:Queue");
    const dead = queues.filter(({ name }) => name.includes("Dead"));
    const worked = queues.filter(({ inputs }) => inputs.redrivePolicy !== undefined);
    expect([...dead, ...worked]).toHaveLength(queues.length);
    for (const { inputs } of worked)
      expect(queueArns()).toContain(JSON.parse(inputs.redrivePolicy).deadLetterTargetArn);
    const watched = new Set(
      all()
        .of("metricAlarm:MetricAlarm")
        .filter(({ inputs }) => inputs.metricName === "ApproximateNumberOfMessagesVisible")
        .map(({ inputs }) => inputs.dimensions.QueueName),
    );
    for (const { inputs } of dead) expect(watched).toContain(inputs.name);
    for (const { inputs } of dead) expect(inputs.messageRetentionSeconds).toBe(14 * 86_400);
  });

  test("gives a role's message to one worker at a time", () => {
    const dirty = all().one("queue:Queue", "DirtyQueue").inputs;
    expect(dirty.fifoQueue).toBe(true);
    expect(dirty.visibilityTimeoutSeconds).toBe(DIRTY_VISIBILITY_SECONDS);
    expect(dirty.visibilityTimeoutSeconds).toBeGreaterThanOrEqual(6 * SIZES.revoke.seconds);
  });

  test("reads the stream from the beginning, for as long as it holds a record: what is logged in order, what ends many at once", () => {
    const readers = all()
      .of("eventSourceMapping:EventSourceMapping")
      .filter(({ inputs }) => inputs.eventSourceArn.includes("/stream/"));
    expect(readers).toHaveLength(2);
    for (const { inputs } of readers)
      expect(inputs).toMatchObject({
        startingPosition: "TRIM_HORIZON",
        parallelizationFactor: inputs.functionResponseTypes ? 10 : 1,
        maximumRetryAttempts: -1,
      });
    expect(
      readers.flatMap(({ name, inputs }) => (inputs.functionResponseTypes ? [name] : [])),
    ).toEqual(["RelayStream"]);
  });

  test("encrypts everything that it keeps", () => {
    const key = "arn:aws:kms:eu-west-1:123456789012:key/Key";
    expect(all().one("key:Key", "Key").inputs.enableKeyRotation).toBe(true);
    for (const { inputs } of all().of("table:Table"))
      expect(inputs.serverSideEncryption).toEqual({ enabled: true, kmsKeyArn: key });
    for (const { inputs } of all().of("queue:Queue"))
      expect(inputs.sqsManagedSseEnabled).toBe(true);
    const encrypted = all().of("BucketServerSideEncryptionConfiguration");
    expect(encrypted.map(({ inputs }) => inputs.bucket).toSorted()).toEqual(
      all()
        .of("bucket:Bucket")
        .map(({ inputs }) => inputs.bucket)
        .toSorted(),
    );
    for (const { inputs } of encrypted)
      expect(inputs.rules[0].applyServerSideEncryptionByDefault).toEqual({
        sseAlgorithm: "aws:kms",
        kmsMasterKeyId: key,
      });
    for (const { inputs } of all().of("parameter:Parameter"))
      expect(inputs).toMatchObject({ type: "SecureString", keyId: key });
    for (const { inputs } of all().of("topic:Topic")) expect(inputs.kmsMasterKeyId).toBe(key);
  });

  test("lets only its own functions use the key, through the services alone", () => {
    const [admin, use, alarm, ...more] = statementsOf(all().one("key:Key", "Key").inputs.policy);
    expect(more).toEqual([]);
    expect(admin).toMatchObject({ Principal: { AWS: ["arn:aws:iam::123456789012:root"] } });
    expect(use?.Condition).toMatchObject({
      StringEquals: {
        "kms:ViaService": expect.arrayContaining(["dynamodb.eu-west-1.amazonaws.com"]),
      },
      ArnLike: {
        "aws:PrincipalArn": [`arn:aws:iam::123456789012:role/stint-functions/stint-${stage}-*`],
      },
    });
    expect(alarm?.Principal).toEqual({ Service: ["cloudwatch.amazonaws.com"] });
  });

  test("lets CloudWatch use the key for the alarms' topic and for nothing else", () => {
    const [topic, ...others] = all().of("topic:Topic");
    expect(others).toEqual([]);
    expect(statementsOf(all().one("key:Key", "Key").inputs.policy)[2]).toMatchObject({
      Action: ["kms:Decrypt", "kms:GenerateDataKey*"],
      Condition: {
        StringEquals: {
          "kms:EncryptionContext:aws:sns:topicArn": [
            `arn:aws:sns:eu-west-1:123456789012:${topic?.inputs.name}`,
          ],
        },
      },
    });
  });

  test("is public at the HTTP API and nowhere else", () => {
    expect(all().of("functionUrl:FunctionUrl")).toEqual([]);
    expect(
      all()
        .of("apigatewayv2/route:Route")
        .map(({ inputs }) => inputs.routeKey)
        .toSorted(),
    ).toEqual(["$default", "POST /v1/webhooks/{pipeline}"]);
    const invoked = all().of("lambda/permission:Permission");
    for (const { inputs } of invoked) {
      expect(["apigateway.amazonaws.com", "events.amazonaws.com"]).toContain(inputs.principal);
      expect(inputs.sourceArn).toMatch(/^arn:aws:(execute-api|events):eu-west-1:123456789012:/);
    }
    const open = all().of("bucketPublicAccessBlock:BucketPublicAccessBlock");
    expect(open).toHaveLength(all().of("bucket:Bucket").length);
    for (const { inputs } of open)
      expect(inputs).toMatchObject({
        blockPublicAcls: true,
        blockPublicPolicy: true,
        ignorePublicAcls: true,
        restrictPublicBuckets: true,
      });
    expect(all().of("bucketCorsConfiguration:BucketCorsConfiguration")).toEqual([]);
    for (const { inputs } of all().of("bucketPolicy:BucketPolicy"))
      expect(statementsOf(inputs.policy).map(({ Effect }) => Effect)).toEqual(["Deny"]);
    for (const { inputs } of all().of("queuePolicy:QueuePolicy"))
      for (const { Principal, Condition } of statementsOf(inputs.policy)) {
        expect(Principal).toEqual({ Service: ["events.amazonaws.com"] });
        expect(Condition?.ArnEquals?.["aws:SourceArn"]).toBeDefined();
      }
    expect(all().one("api:Api", "GatewayApi").inputs.corsConfiguration).toEqual({});
  });

  test("throttles its doors, the one for strangers most", () => {
    const { defaultRouteSettings, routeSettings, accessLogSettings } = all().one(
      "stage:Stage",
      "GatewayStage",
    ).inputs;
    expect(defaultRouteSettings.throttlingRateLimit).toBeGreaterThan(0);
    expect(routeSettings).toMatchObject([{ routeKey: "POST /v1/webhooks/{pipeline}" }]);
    expect(routeSettings[0].throttlingRateLimit).toBeLessThan(
      defaultRouteSettings.throttlingRateLimit,
    );
    expect(accessLogSettings.format).not.toMatch(/header|authorization|body/i);
  });

  test("makes a route before the stage that names it, as AWS demands", () => {
    const made = all().resources.map(({ type, name }) => `${type} ${name}`);
    const at = (type: string, name: string) => made.indexOf(`aws:apigatewayv2/${type} ${name}`);
    const { routeSettings } = all().one("stage:Stage", "GatewayStage").inputs;
    for (const { routeKey } of routeSettings) {
      const route = all()
        .of("apigatewayv2/route:Route")
        .find(({ inputs }) => inputs.routeKey === routeKey);
      expect(at("route:Route", route?.name ?? "none")).toBeGreaterThan(-1);
      expect(at("route:Route", route?.name ?? "none")).toBeLessThan(
        at("stage:Stage", "GatewayStage"),
      );
    }
  });

  test("keeps its logs for a while, and not for ever", () => {
    const groups = all().of("logGroup:LogGroup");
    expect(groups.length).toBeGreaterThan(7);
    for (const { inputs } of groups) expect(inputs.retentionInDays).toBeGreaterThan(0);
  });

  test("has an alarm for everything that the code calls one, and for all that can fail silently", () => {
    const alarms = all().of("metricAlarm:MetricAlarm");
    const named = new Set(alarms.map(({ name }) => name.slice("Alarm-".length)));
    for (const name of Object.keys(ALARMS)) expect(named).toContain(name);
    for (const name of [
      "stuck",
      "sweeper-silent",
      "reconcile-silent",
      "refused",
      "policy_error",
      "bus-failures",
      "table-read-throttles",
      "table-write-throttles",
      "table-due-read-throttles",
      "table-due-write-throttles",
      "relay-lag",
      "audit-lag",
      "dirty-age",
      "schedule-failures",
      "api-faults",
      ...[
        "api",
        "webhook",
        "expire",
        "sweep",
        "reconcile",
        "relay",
        "audit",
        "revoke",
        "prove",
        "clear",
      ].flatMap((door) => [`${door}-errors`, `${door}-throttles`]),
    ])
      expect(named).toContain(name);
    for (const { inputs, name } of alarms) {
      expect(inputs.alarmActions, name).toEqual([
        `arn:aws:sns:eu-west-1:123456789012:stint-${stage}-alarms`,
      ]);
      // What must be heard is missed when it is silent; all else is not.
      expect(inputs.treatMissingData, name).toBe(
        name.endsWith("silent") ? "breaching" : "notBreaching",
      );
    }
    // Each metric that an alarm of our own watches is made by a filter.
    const made = new Set(
      all()
        .of("logMetricFilter:LogMetricFilter")
        .map(({ inputs }) => inputs.metricTransformation.name),
    );
    for (const { inputs } of alarms)
      if (inputs.namespace === "Stint") expect(made).toContain(inputs.metricName);
    const widgets = JSON.parse(
      all().one("dashboard:Dashboard", "Dashboard").inputs.dashboardBody,
    ).widgets;
    // Beside what wakes somebody, what is looked at over time.
    expect(widgets).toHaveLength(alarms.length + Object.keys(METRICS).length);
  });

  test("watches metrics under the dimensions that AWS writes them with", () => {
    for (const { inputs, name } of all().of("metricAlarm:MetricAlarm")) {
      const known = DIMENSIONS[inputs.namespace]?.[inputs.metricName] ?? [];
      const watched = Object.keys(inputs.dimensions).toSorted().join();
      // What we count ourselves is counted without any.
      expect(inputs.namespace === "Stint" ? [""] : known, name).toContain(watched);
    }
  });

  test("acts on nothing that comes out of an archive", () => {
    const archived = new Set(
      all()
        .of("eventArchive:EventArchive")
        .map(({ inputs }) => inputs.eventSourceArn),
    );
    expect(archived.size).toBe(1);
    expect(replayable(all().resources)).toEqual([]);
  });

  test("has one table over the audit log, with its columns, and a limit on what a question reads", () => {
    const { inputs } = all().one("catalogTable:CatalogTable", "AuditTable");
    const columns = inputs.storageDescriptor.columns as ReadonlyArray<{ name: string }>;
    expect(columns.map(({ name }) => name)).toEqual(AUDIT_COLUMNS.map(({ name }) => name));
    const { configuration } = all().one("workgroup:Workgroup", "AuditWorkgroup").inputs;
    expect(configuration.bytesScannedCutoffPerQuery).toBeGreaterThan(10_000_000);
    expect(configuration.enforceWorkgroupConfiguration).toBe(true);
  });
});

/** Rules of a custom bus that invoke something and do not turn replayed events away. */
function replayable(resources: ReadonlyArray<Omit<Resource, "kept">>): string[] {
  return resources
    .filter(({ type }) => type === "aws:cloudwatch/eventRule:EventRule")
    .filter(({ inputs }) => inputs.eventPattern !== undefined)
    .filter(
      ({ inputs }) =>
        !JSON.parse(inputs.eventPattern)["replay-name"]?.some(
          (one: { exists?: boolean }) => one.exists === false,
        ),
    )
    .map(({ name }) => name);
}

test("a rule that would act on a replay is found", () => {
  const rule = (eventPattern: object) => ({
    type: "aws:cloudwatch/eventRule:EventRule",
    name: "Issue",
    inputs: { eventPattern: JSON.stringify(eventPattern) },
  });
  expect(replayable([rule({ source: ["aws.codebuild"] })])).toEqual(["Issue"]);
  expect(
    replayable([rule({ source: ["aws.codebuild"], "replay-name": [{ exists: false }] })]),
  ).toEqual([]);
});

test("production is kept and protected, a personal stage goes without a trace", () => {
  const { production, ada } = stages;
  expect(production?.app).toMatchObject({ removal: "retain", protect: true });
  expect(ada?.app).toMatchObject({ removal: "remove", protect: false });
  const table = (of: Declared | undefined) => of?.one("table:Table", "TableTable").inputs;
  expect(table(production)).toMatchObject({
    deletionProtectionEnabled: true,
    pointInTimeRecovery: { enabled: true, recoveryPeriodInDays: 35 },
  });
  expect(table(ada)).toMatchObject({ deletionProtectionEnabled: false });
  const bucket = (of: Declared | undefined) => of?.one("bucket:Bucket", "AuditBucketBucket").inputs;
  expect(bucket(production)).toMatchObject({ objectLockEnabled: true, forceDestroy: false });
  expect(bucket(ada)).toMatchObject({ objectLockEnabled: false, forceDestroy: true });
  expect(production?.of("BucketObjectLockConfiguration")).toMatchObject([
    { inputs: { rule: { defaultRetention: { mode: "COMPLIANCE", days: 365 } } } },
  ]);
  expect(ada?.of("BucketObjectLockConfiguration")).toEqual([]);
});

test("what production keeps can still be read: its key is kept with it", () => {
  const kept = (of: Declared | undefined) =>
    of?.resources.flatMap((one) => (one.kept ? [one.name] : [])).toSorted();
  expect(kept(stages.production)).toEqual([
    "AuditBucketBucket",
    "AuditResultsBucket",
    "Key",
    "TableTable",
  ]);
  expect(kept(stages.ada)).toEqual([]);
});

/** Names that are unique within what they belong to, and need not be so in an account. */
const WITHIN = /(PreparedStatement|CatalogTable|RolePolicy|Stage)$/;

test("two stages of one account share no name but those of the configuration's target roles", () => {
  const names = (of: Declared | undefined) =>
    (of?.resources ?? []).flatMap(({ type, inputs }) =>
      type.startsWith("aws:") && typeof inputs.name === "string" && !WITHIN.test(type)
        ? [`${type} ${inputs.path ?? ""}${inputs.name}`]
        : [],
    );
  const ours = new Set(names(stages.ada));
  expect(ours.size).toBeGreaterThan(100);
  expect(names(stages.production).filter((name) => ours.has(name))).toEqual([
    "aws:iam/role:Role /stint/orders-integration",
  ]);
});

test("reserves concurrency only where there is enough of it to take from", () => {
  const reserved = (of: Declared | undefined) =>
    of
      ?.of("lambda/function:Function")
      .flatMap(({ name, inputs }) =>
        (inputs.reservedConcurrentExecutions ?? -1) > 0 ? [name] : [],
      );
  expect(reserved(stages.production)).toEqual(["WebhookFunction"]);
  expect(reserved(stages.ada)).toEqual([]);
});

test("a domain of one's own is the only name that answers", async () => {
  const all = await declared("production", { STINT_DOMAIN: "stint.acme.dev" });
  expect(all.one("api:Api", "GatewayApi").inputs.disableExecuteApiEndpoint).toBe(true);
  expect(all.one("domainName:DomainName", "GatewayDomainName").inputs.domainName).toBe(
    "stint.acme.dev",
  );
}, 60_000);

test("docs/deploy.md tells of every output and every option, and docs/operations.md of every alarm", () => {
  const page = readFileSync("docs/deploy.md", "utf8");
  const outputs = Object.keys(stages.production?.outputs ?? {});
  expect(outputs.length).toBeGreaterThan(5);
  // What begins with a line is SST's own.
  for (const output of outputs.filter((name) => !name.startsWith("_")))
    expect(page).toMatch(new RegExp(`^\\| .*\`${output}\``, "m"));
  const options = readdirSync("stacks")
    .filter((file) => file.endsWith(".ts"))
    .flatMap((file) => [
      ...readFileSync(`stacks/${file}`, "utf8").matchAll(/(?:option|chosen)\("(STINT_\w+)"/g),
    ])
    .map(([, name = ""]) => name);
  expect(new Set(options).size).toBeGreaterThan(3);
  for (const name of options) expect(page).toMatch(new RegExp(`^\\| \`${name}[=\`]`, "m"));

  // By pattern where there is one for each function or index.
  const told = [
    ...readFileSync("docs/operations.md", "utf8").matchAll(/^\| ((?:`[^`]+`(?:, )?)+) \|/gm),
  ]
    .flatMap(([, names = ""]) => names.split(", "))
    .map((name) => name.replaceAll("`", ""))
    .map((name) => new RegExp(`^${name.replaceAll(/<\w+>/g, "\\w+").replace("…", "[a-z-]+")}$`));
  const alarms = stages.production?.of("metricAlarm:MetricAlarm") ?? [];
  expect(
    alarms
      .map(({ name }) => name.slice("Alarm-".length))
      .filter((name) => !told.some((pattern) => pattern.test(name))),
  ).toEqual([]);
});

test("alarms reach the address that is named", async () => {
  const all = await declared("ada", { STINT_ALARM_EMAIL: "oncall@acme.dev" });
  expect(all.of("topicSubscription:TopicSubscription")).toMatchObject([
    { inputs: { protocol: "email", endpoint: "oncall@acme.dev" } },
  ]);
}, 60_000);

test("a stage has a name that fits a bucket's, or there is no deployment", async () => {
  for (const stage of ["Ada", "ada-", "feature-branch-1"])
    await expect(declared(stage), stage).rejects.toThrow(`the stage ${stage} needs another name`);
  const longest = await declared("feature-branch1");
  // As it would be in the region with the longest name.
  for (const { inputs } of longest.of("bucket:Bucket"))
    expect(inputs.bucket.length + "ap-southeast-1".length - "eu-west-1".length).toBeLessThan(64);
}, 120_000);

test("a configuration that is missing or wrong stops the deployment, and says which and why", async () => {
  await expect(declared("ada", { STINT_CONFIG: "nowhere/stint.yaml" })).rejects.toThrow(
    /there is no nowhere\/stint\.yaml/,
  );
  await expect(declared("ada", { STINT_CONFIG: "package.json" })).rejects.toThrow(
    /the configuration is not valid/,
  );
}, 60_000);
