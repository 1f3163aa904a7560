/**
 * Evaluates `sst.config.ts` for one stage under Pulumi's mocks and prints every resource as JSON. A process of its own,
 * because Pulumi's runtime is one for each process. No account, no network: what an account would have made up is
 * made up here. The calls that SST's components make to its command line are answered as that answers them.
 *
 *     node test/infra/evaluator.ts <stage>
 */
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { BuildOptions, Plugin } from "esbuild";

const ROOT = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");
const PLATFORM = join(ROOT, ".sst", "platform");
const ACCOUNT = "123456789012";
const REGION = "eu-west-1";

const stage = process.argv[2] ?? "test";
const { build } = createRequire(join(PLATFORM, "package.json"))(
  "esbuild",
) as typeof import("esbuild"); // SST's own copy

interface App {
  readonly name: string;
  readonly removal: string;
  readonly protect: boolean;
  readonly providers: Readonly<Record<string, unknown>>;
}

/** As SST bundles a configuration. */
const common = (outfile: string): BuildOptions => ({
  bundle: true,
  platform: "node",
  format: "esm",
  mainFields: ["module", "main"],
  nodePaths: [join(PLATFORM, "node_modules")],
  absWorkingDir: ROOT,
  logLevel: "error",
  outfile,
  external: [
    "@pulumi/*",
    "undici",
    "@pulumiverse/*",
    "@sst-provider/*",
    "@aws-sdk/*",
    "esbuild",
    "archiver",
    "glob",
    "vite",
  ],
  banner: {
    js: `import { createRequire as __evalRequire } from "node:module"; import { fileURLToPath as __evalPath } from "node:url"; const require = __evalRequire(import.meta.url); const __filename = __evalPath(import.meta.url); const __dirname = __evalPath(new URL(".", import.meta.url));`,
  },
});

async function load<T>(name: string, contents: string, extra: BuildOptions = {}): Promise<T> {
  // Beside the platform's packages, which stay outside of the bundle.
  const file = join(PLATFORM, `infra-${name}-${process.pid}.mjs`);
  await build({
    ...common(file),
    ...extra,
    stdin: { contents, resolveDir: ROOT, loader: "ts", sourcefile: `${name}.ts` },
  });
  try {
    return (await import(pathToFileURL(file).href)) as T; // its maker, above, says what is in it
  } finally {
    rmSync(file, { force: true });
  }
}

/** SST's command line, as far as components ask it. A function's code is built already: it is taken as it is. */
function commandLine() {
  const answers: Record<string, (input: { handler: string; bundle?: string }) => unknown> = {
    "Provider.Aws.Bootstrap": () => ({
      asset: "sst-asset",
      assetEcrRegistryId: ACCOUNT,
      assetEcrUrl: "ecr",
      state: "sst-state",
    }),
    "Runtime.AddTarget": () => true,
    "Runtime.Build": ({ handler, bundle }) => {
      if (bundle === undefined) throw new Error(`${handler} comes without a bundle of ours`);
      return { handler, out: bundle, errors: [], sourcemaps: [] };
    },
  };
  return createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const { method, params } = JSON.parse(Buffer.concat(chunks).toString());
    const answer = answers[method];
    try {
      if (answer === undefined) throw new Error(`rpc: can't find ${method}`);
      response.end(JSON.stringify({ result: answer(params[0]) }));
    } catch (error) {
      response.end(JSON.stringify({ error: String(error) }));
    }
  });
}

interface Registered {
  readonly type: string;
  readonly name: string;
  readonly inputs: Readonly<Record<string, unknown>>;
}

/** The ARN that AWS would give it. */
function arnOf(type: string, name: string): string {
  const at = (service: string, resource: string) =>
    `arn:aws:${service}:${REGION}:${ACCOUNT}:${resource}`;
  const known: Record<string, string> = {
    "aws:dynamodb/table:Table": at("dynamodb", `table/${name}`),
    "aws:lambda/function:Function": at("lambda", `function:${name}`),
    "aws:iam/policy:Policy": `arn:aws:iam::${ACCOUNT}:policy/${name}`,
    "aws:s3/bucket:Bucket": `arn:aws:s3:::${name}`,
    "aws:sqs/queue:Queue": at("sqs", name),
    "aws:cloudwatch/eventBus:EventBus": at("events", `event-bus/${name}`),
    "aws:cloudwatch/eventRule:EventRule": at("events", `rule/${name}`),
    "aws:cloudwatch/logGroup:LogGroup": at("logs", `log-group:${name}`),
    "aws:scheduler/scheduleGroup:ScheduleGroup": at("scheduler", `schedule-group/${name}`),
    "aws:ssm/parameter:Parameter": at("ssm", `parameter${name}`),
    "aws:kms/key:Key": at("kms", `key/${name}`),
    "aws:sns/topic:Topic": at("sns", name),
  };
  return known[type] ?? at("mock", `${type.split(":").at(-1)}/${name}`);
}

/** What only an account knows of a resource. */
function outputs({ type, name: logical, inputs }: Registered) {
  const text = (key: string) =>
    typeof inputs[key] === "string" ? (inputs[key] as string) : undefined; // checked in the line
  const name = text("name") ?? text("bucket") ?? logical;
  const arn =
    type === "aws:iam/role:Role"
      ? `arn:aws:iam::${ACCOUNT}:role${text("path") ?? "/"}${name}`
      : arnOf(type, name);
  const url = `https://sqs.${REGION}.amazonaws.com/${ACCOUNT}/${name}`;
  return {
    id: type === "aws:sqs/queue:Queue" ? url : name,
    state: {
      ...inputs,
      name,
      arn,
      keyId: name,
      bucket: text("bucket") ?? name,
      streamArn: `${arn}/stream/2026-01-01T00:00:00.000`,
      apiEndpoint: `https://${name}.execute-api.${REGION}.amazonaws.com`,
      executionArn: `arn:aws:execute-api:${REGION}:${ACCOUNT}:${name}`,
      url,
      base64: Buffer.alloc(32).toString("base64"),
      hex: "00",
      // What a certificate asks of DNS.
      domainValidationOptions: [
        {
          domainName: text("domainName") ?? name,
          resourceRecordName: "_proof",
          resourceRecordType: "CNAME",
          resourceRecordValue: "_answer",
        },
      ],
      result: "abcdefgh",
    },
  };
}

interface Statement {
  readonly sid?: string;
  readonly effect?: string;
  readonly actions?: readonly string[];
  readonly resources?: readonly string[];
  readonly principals?: ReadonlyArray<{
    readonly type: string;
    readonly identifiers: readonly string[];
  }>;
  readonly conditions?: ReadonlyArray<{
    readonly test: string;
    readonly variable: string;
    readonly values: readonly string[];
  }>;
}

/** The provider's own rendering of a policy. */
const policyDocument = (statements: readonly Statement[]): string =>
  JSON.stringify({
    Version: "2012-10-17",
    Statement: statements.map(
      ({ sid, effect = "Allow", actions, resources, principals, conditions }) => {
        const Condition: Record<string, Record<string, readonly string[]>> = {};
        for (const { test, variable, values } of conditions ?? [])
          Condition[test] = { ...Condition[test], [variable]: values };
        return {
          ...(sid === undefined ? {} : { Sid: sid }),
          Effect: effect,
          Action: actions,
          ...(resources === undefined ? {} : { Resource: resources }),
          ...(principals === undefined
            ? {}
            : {
                Principal: Object.fromEntries(
                  principals.map(({ type, identifiers }) => [type, identifiers]),
                ),
              }),
          ...(conditions === undefined || conditions.length === 0 ? {} : { Condition }),
        };
      },
    ),
  });

const resources: Registered[] = [];
/** What is left in the account when the deployment, or the stage, goes. */
const kept = new Set<string>();
const keep = ({
  type,
  name,
  opts,
}: {
  type: string;
  name: string;
  opts: Record<string, unknown>;
}) => (opts.retainOnDelete === true ? void kept.add(`${type} ${name}`) : undefined);
const mocks = {
  newResource(given: Registered) {
    resources.push({ type: given.type, name: given.name, inputs: given.inputs });
    return outputs(given);
  },
  call({ token, inputs }: { token: string; inputs: Record<string, unknown> }) {
    switch (token) {
      case "aws:index/getRegion:getRegion":
        return { region: REGION, name: REGION, id: REGION };
      case "aws:index/getCallerIdentity:getCallerIdentity":
        return { accountId: ACCOUNT, arn: `arn:aws:iam::${ACCOUNT}:root`, userId: ACCOUNT };
      case "aws:index/getPartition:getPartition":
        return { partition: "aws", dnsSuffix: "amazonaws.com" };
      case "aws:iam/getPolicyDocument:getPolicyDocument":
        // Statements come as the provider's arguments.
        return { ...inputs, json: policyDocument((inputs.statements ?? []) as Statement[]) };
      default:
        return inputs;
    }
  },
};

const config = await load<{ default: { app(input: { stage: string }): Promise<App> | App } }>(
  "config",
  `globalThis.$config = (config) => config; const made = await import(${JSON.stringify(join(ROOT, "sst.config.ts"))}); export default made.default;`,
);
const app = { ...(await config.default.app({ stage })), stage };

mkdirSync(join(ROOT, ".sst", "artifacts"), { recursive: true });
const server = commandLine();
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
const address = server.address();
if (address === null || typeof address === "string") throw new Error("no port");
process.env.SST_SERVER = `http://127.0.0.1:${address.port}`;

/** SST puts the providers and its components before every file of ours, as names that need no import. */
const globals: Plugin = {
  name: "globals",
  setup({ onLoad }) {
    const imports = [
      ...Object.keys(app.providers).map((name) => `import * as ${name} from "@pulumi/${name}";`),
      `import * as sst from ${JSON.stringify(join(PLATFORM, "src/components"))};`,
    ].join("");
    onLoad({ filter: /\.ts$/ }, ({ path }) =>
      /\/(\.sst|node_modules|packages|functions)\//.test(path)
        ? undefined
        : { contents: `${imports}\n${readFileSync(path, "utf8")}`, loader: "ts" },
    );
  },
};
const cli = {
  command: "deploy",
  dev: false,
  paths: {
    home: join(ROOT, ".sst/home"),
    root: ROOT,
    work: join(ROOT, ".sst"),
    platform: PLATFORM,
  },
  state: { version: {} },
};
// How the bundle gets at this process's mocks.
Object.assign(globalThis, { infraMocks: mocks, infraKeep: keep });
const run = await load<{ settled: unknown }>(
  "run",
  `import * as pulumi from "@pulumi/pulumi";
   pulumi.runtime.setMocks(globalThis.infraMocks, $app.name, $app.stage, false);
   import { run } from ${JSON.stringify(join(PLATFORM, "src/auto/run.ts"))};
   import config from ${JSON.stringify(join(ROOT, "sst.config.ts"))};
   const looking = () => {
     // After SST's own, which decides what a stage keeps.
     pulumi.runtime.registerStackTransformation(globalThis.infraKeep);
     return config.run();
   };
   const outputs = await pulumi.runtime.runInPulumiStack(() => run(looking));
   await pulumi.runtime.disconnect();
   export const settled = await new Promise((resolve) => pulumi.output(outputs).apply((all) => resolve(all)));`,
  {
    inject: [join(PLATFORM, "src/shim/run.js")],
    define: { $app: JSON.stringify(app), $cli: JSON.stringify(cli), $dev: "false" },
    plugins: [globals],
  },
);
server.close();
process.stdout.write(
  JSON.stringify({
    app,
    outputs: run.settled,
    resources: resources.map((one) => ({ ...one, kept: kept.has(`${one.type} ${one.name}`) })),
  }),
  () => process.exit(0),
);
