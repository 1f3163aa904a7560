/** Functions: what is deployed, what they are told, and what they may do. */
import { readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readPrepared } from "@stint/core/config/prepared";
import { DOORS, type Door, FUNCTION_PATH, roleOf, SIZES } from "@stint/functions/deployment";
import { readConfig } from "@stint/functions/live";
import { build } from "esbuild";
import { beforeAll, describe, expect, test } from "vitest";
import { bundleDoor, bundleOptions } from "../../scripts/bundle.ts";
import { actionsOf } from "./calls.ts";
import { CONFIG, type Declared, declared, statementsOf } from "./declared.ts";

const STAGE = "production";
let all: Declared;
beforeAll(async () => {
  all = await declared(STAGE);
}, 120_000);

const logical = (door: string) => `${door.charAt(0).toUpperCase()}${door.slice(1)}`;
const functionOf = (door: Door) => all.one("function:Function", `${logical(door)}Function`).inputs;
const statements = (door: Door) =>
  statementsOf(all.one("rolePolicy:RolePolicy", `${logical(door)}Policy`).inputs.policy);

/** What AWS does in the function's name, beside what its bundle calls. */
const ON_ITS_BEHALF: Readonly<Record<Door, readonly string[]>> = (() => {
  const logs = ["logs:CreateLogStream", "logs:PutLogEvents"];
  const stream = ["dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"];
  const failures = ["sqs:SendMessage"];
  const queue = ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"];
  return {
    api: logs,
    webhook: logs,
    expire: [...logs, ...failures],
    sweep: [...logs, ...failures],
    relay: [...logs, ...stream, ...failures],
    audit: [...logs, ...stream, ...failures],
    revoke: [...logs, ...queue],
    prove: [...logs, ...queue],
    reconcile: [...logs, ...failures],
    clear: [...logs, ...queue],
    doctor: logs,
  };
})();

const sorted = (values: Iterable<string>) => [...new Set(values)].toSorted();

test("every function in functions/ is deployed, and every deployed function has its source", () => {
  const sources = readdirSync("functions/src")
    .filter((file) => file.endsWith(".ts"))
    .filter((file) =>
      /^export const handler\b/m.test(readFileSync(join("functions/src", file), "utf8")),
    )
    .map((file) => file.slice(0, -".ts".length));
  const deployed = all.of("lambda/function:Function").map(({ inputs }) => inputs.name);
  expect(sorted(deployed)).toEqual(sorted(sources.map((door) => `stint-${STAGE}-${door}`)));
  expect(sorted(DOORS)).toEqual(sorted(sources));
});

describe.each(DOORS)("the function %s", (door) => {
  const file = join(tmpdir(), `stint-infra-${process.pid}-${door}.cjs`);
  let code = "";
  let needed: string[] = [];
  beforeAll(async () => {
    const metafile = await bundleDoor(door, file);
    code = readFileSync(file, "utf8");
    needed = actionsOf(metafile, code);
  });

  test("may do exactly what its bundle calls, and what AWS does on its behalf", () => {
    const allowed = statements(door).flatMap(({ Action }) => Action);
    const owner = roleOf(door);
    // What shares a role adds nothing to it but its own logs, and calls nothing that the role's own function does not.
    const own = owner === door ? needed : [];
    expect(sorted(allowed)).toEqual(sorted([...own, ...ON_ITS_BEHALF[door]]));
    const whole = new Set(statements(owner).flatMap(({ Action }) => Action));
    expect(needed.filter((action) => !whole.has(action))).toEqual([]);
  });

  test("has no wildcard in an action, and resources as narrow as AWS allows", () => {
    const wide = statements(door).flatMap(({ Action, Resource = ["*"] }) =>
      Resource.filter((arn) => arn === "*" || /^arn:aws:[^:]+:[^:]*:[^:]*:\*/.test(arn)).map(
        (arn) => `${Action} on ${arn}`,
      ),
    );
    expect(
      statements(door)
        .flatMap(({ Action }) => Action)
        .filter((action) => action.includes("*")),
    ).toEqual([]);
    // Schedules cannot be listed by anything narrower than all of them.
    expect(wide).toEqual(door === "reconcile" ? ["scheduler:ListSchedules on *"] : []);
    expect(statements(door).every(({ Effect }) => Effect === "Allow")).toBe(true);
  });

  test("is told exactly what its bundle asks for", () => {
    const asked = code.match(/STINT_[A-Z_]+/g) ?? [];
    const told = Object.entries<string>(functionOf(door).environment.variables);
    const own = told.filter(([name]) => !name.startsWith("SST_"));
    // A function's configuration lies beside its code, where it is looked for unless something else is said.
    expect(sorted(own.map(([name]) => name))).toEqual(
      sorted(asked.filter((name) => name !== "STINT_CONFIG")),
    );
    expect(own.filter(([, value]) => value === "" || value === undefined)).toEqual([]);
  });

  test("runs on the supported runtime under its role, with its logs kept and traces off", () => {
    const { runtime, architectures, role, timeout, memorySize, loggingConfig, tracingConfig } =
      functionOf(door);
    expect(runtime).toBe("nodejs24.x");
    expect(architectures).toEqual(["arm64"]);
    expect(role).toBe(
      `arn:aws:iam::123456789012:role${FUNCTION_PATH}stint-${STAGE}-${roleOf(door)}`,
    );
    expect(timeout).toBe(SIZES[door].seconds);
    expect(memorySize).toBe(SIZES[door].megabytes);
    expect(loggingConfig.logGroup).toBe(`/aws/lambda/stint-${STAGE}-${door}`);
    expect(tracingConfig?.mode ?? "PassThrough").toBe("PassThrough");
    const trust = statementsOf(
      all.one("role:Role", `${logical(roleOf(door))}Role`).inputs.assumeRolePolicy,
    );
    expect(trust).toMatchObject([{ Principal: { Service: ["lambda.amazonaws.com"] } }]);
  });

  test("carries the configuration, checked, as policy version and all", () => {
    const directory = join(".sst/stint", STAGE, door);
    const config = readConfig(CONFIG);
    expect(all.outputs.configuration).toBe(config.hash);
    expect(readPrepared(readFileSync(join(directory, "stint.json"), "utf8"))).toEqual(config);
    expect(readdirSync(directory)).toContain("index.cjs");
    expect(readdirSync(directory).includes("cedar_wasm_bg.wasm")).toBe(door === "api");
  });
});

test("a call that nobody wrote a permission for is found", async () => {
  const { metafile, outputFiles } = await build({
    ...bundleOptions("expire.cjs"),
    write: false,
    stdin: {
      contents: `import { DeleteItemCommand, DynamoDBClient } from "@aws-sdk/client-dynamodb";
        export * from "./expire.ts";
        export const more = (key) => new DynamoDBClient({}).send(new DeleteItemCommand({ TableName: "t", Key: key }));`,
      resolveDir: "functions/src",
      loader: "ts",
    },
  });
  expect(() => actionsOf(metafile, outputFiles[0]?.text ?? "")).toThrow("dynamodb/DeleteItem");
  const known = await build({
    ...bundleOptions("expire.cjs"),
    write: false,
    stdin: {
      contents: `import { PutRolePolicyCommand, IAMClient } from "@aws-sdk/client-iam";
        export * from "./expire.ts";
        export const more = (of) => new IAMClient({}).send(new PutRolePolicyCommand(of));`,
      resolveDir: "functions/src",
      loader: "ts",
    },
  });
  const needed = actionsOf(known.metafile, known.outputFiles[0]?.text ?? "");
  const allowed = new Set(statements("expire").flatMap(({ Action }) => Action));
  expect(needed.filter((action) => !allowed.has(action))).toEqual(["iam:PutRolePolicy"]);
});

test("only the broker may assume target roles, only the revoker write on them, nobody sign", () => {
  const who = (action: string) =>
    DOORS.filter((door) => statements(door).some(({ Action }) => Action.includes(action)));
  expect(who("sts:SetSourceIdentity")).toEqual(["api"]);
  // The revoker assumes what another account has for it, which lies outside the path.
  expect(who("sts:AssumeRole")).toEqual(["api", "revoke"]);
  for (const { Action, Resource } of statements("revoke"))
    if (Action.includes("sts:AssumeRole"))
      expect(Resource).toEqual(["arn:aws:iam::*:role/stint-revoker"]);
  expect(who("iam:PutRolePolicy")).toEqual(["revoke"]);
  expect(who("kms:Sign")).toEqual([]);
  for (const { Action, Resource } of statements("api"))
    if (Action.includes("sts:AssumeRole"))
      expect(Resource).toEqual(["arn:aws:iam::*:role/stint/*"]);
  const [writes] = statements("revoke").filter(({ Action }) =>
    Action.includes("iam:PutRolePolicy"),
  );
  expect(writes).toMatchObject({
    Resource: ["arn:aws:iam::123456789012:role/stint/*"],
    Condition: {
      StringEquals: {
        "iam:PermissionsBoundary": [`arn:aws:iam::123456789012:policy/stint-${STAGE}-target`],
      },
    },
  });
});

test("the doctor, which runs as the broker, has no route, no trigger and nobody's permission to invoke it", () => {
  expect(DOORS.filter((door) => roleOf(door) !== door)).toEqual(["prove", "doctor"]);
  const leading = [
    "integration:Integration",
    "permission:Permission",
    "functionUrl:FunctionUrl",
    "eventSourceMapping:EventSourceMapping",
    "eventTarget:EventTarget",
    "schedule:Schedule",
  ].flatMap((type) => all.of(type).map(({ inputs }) => JSON.stringify(inputs)));
  const to = (door: Door) => leading.filter((inputs) => inputs.includes(`stint-${STAGE}-${door}`));
  expect(to("api")).not.toEqual([]);
  expect(to("doctor")).toEqual([]);
});

test("traces are taken where that is said, at the price of the two permissions that they need", async () => {
  const traced = await declared(STAGE, { STINT_TRACES: "on" });
  const made = traced.of("lambda/function:Function");
  expect(made).toHaveLength(DOORS.length);
  for (const { name, inputs } of made)
    expect(inputs.tracingConfig, name).toEqual({ mode: "Active" });
  const actions = (of: Declared, door: Door) =>
    statementsOf(of.one("rolePolicy:RolePolicy", `${logical(door)}Policy`).inputs.policy).flatMap(
      ({ Action }) => Action,
    );
  for (const door of DOORS)
    expect(sorted(actions(traced, door)), door).toEqual(
      sorted([...actions(all, door), "xray:PutTelemetryRecords", "xray:PutTraceSegments"]),
    );
}, 60_000);

test("whatever talks to databases joins their network where one is named, and nothing else does", async () => {
  const joined = await declared(STAGE, {
    STINT_VPC_SUBNETS: "subnet-a, subnet-b",
    STINT_VPC_SECURITY_GROUPS: "sg-a",
  });
  const inside = (of: Declared) =>
    DOORS.filter(
      (door) =>
        of.one("function:Function", `${logical(door)}Function`).inputs.vpcConfig !== undefined,
    );
  expect(sorted(inside(joined))).toEqual(["api", "clear", "doctor", "reconcile"]);
  expect(inside(all)).toEqual([]);
}, 60_000);

test("a switch that is misspelt stops the deployment, and does not pass for unset", async () => {
  for (const wrong of [{ STINT_TRACES: "true" }, { STINT_TARGET_ROLES: "None" }])
    await expect(declared("ada", wrong)).rejects.toThrow(/STINT_\w+ is \w+ or not set, and not /);
}, 60_000);

test("a deployment is the same whenever it is made of the same sources", async () => {
  const again = await declared(STAGE);
  const codes = (one: Declared) =>
    one
      .of("bucketObjectv2:BucketObjectv2")
      .map(({ inputs }) => inputs.key)
      .toSorted();
  expect(codes(again)).toHaveLength(DOORS.length);
  expect(codes(again)).toEqual(codes(all));
}, 60_000);
