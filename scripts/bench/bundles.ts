/** What a function carries, and what loading it costs beside its SDK clients, without which it could do nothing. */
import { execFile } from "node:child_process";
import { copyFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { type BuildOptions, build, type Metafile } from "esbuild";
import { type Bench, median, type Row, RUNS, rounded } from "./row.ts";

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const FUNCTIONS = ["api", "webhook", "expire", "sweep", "relay", "audit", "revoke"] as const;
const BUDGET_KB = 650;
const BUDGET_IMPORT = 1.5;

/** CommonJS parts ask for these. Long names: minified ones are short. */
const BANNER = `import{createRequire as __stintRequire}from"node:module";import{fileURLToPath as __stintPath}from"node:url";const require=__stintRequire(import.meta.url),__dirname=__stintPath(new URL(".",import.meta.url));`;

/**
 * Ways to credentials that a function never takes: its own stand in its environment, where the SDK looks first. They
 * are imported only when it finds none there, and a fifth of a bundle.
 */
const NEVER_ASKED = [
  ...["http", "ini", "login", "process", "sso", "web-identity"].map(
    (of) => `@aws-sdk/credential-provider-${of}`,
  ),
  "@smithy/credential-provider-imds",
];

const options = (outfile: string): BuildOptions & { metafile: true; outfile: string } => ({
  absWorkingDir: ROOT,
  outfile,
  bundle: true,
  minify: true,
  platform: "node",
  target: "node24",
  format: "esm",
  mainFields: ["module", "main"],
  external: NEVER_ASKED,
  metafile: true,
  logLevel: "error",
  banner: { js: BANNER },
});

const packageOf = (file: string): string =>
  /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1] ?? file.split("/").slice(0, 2).join("/");

/** Bytes by package, the heaviest first. */
function weights({ outputs }: Metafile): ReadonlyArray<readonly [string, number]> {
  const by = new Map<string, number>();
  for (const { inputs } of Object.values(outputs))
    for (const [file, { bytesInOutput }] of Object.entries(inputs))
      by.set(packageOf(file), (by.get(packageOf(file)) ?? 0) + bytesInOutput);
  return [...by].toSorted(([, a], [, b]) => b - a);
}

const bytesOf = ({ outputs }: Metafile): number =>
  Object.values(outputs).reduce((sum, { bytes }) => sum + bytes, 0);

/** From a process's first line to the module being there, in ms. */
async function importOnce(file: string): Promise<number> {
  const code = `const t=performance.now();await import(${JSON.stringify(file)});console.log(performance.now()-t)`;
  const { stdout } = await run(process.execPath, ["--input-type=module", "-e", code]);
  return Number(stdout);
}

async function measure(name: string, directory: string, runs: number): Promise<readonly Row[]> {
  const ours = options(join(directory, `${name}.mjs`));
  const { metafile } = await build({ ...ours, entryPoints: [`functions/src/${name}.ts`] });
  const heavy = weights(metafile);
  const clients = heavy.map(([of]) => of).filter((of) => of.startsWith("@aws-sdk/client-"));
  const theirs = options(join(directory, `${name}-clients.mjs`));
  const contents = clients
    .map((of, at) => {
      // Made, so that nothing of it is shaken off.
      const client = `${CLIENTS[of.slice("@aws-sdk/client-".length)] ?? "unknown"}Client`;
      return `import{${client} as C${at}}from"${of}";export const c${at}=()=>new C${at}({});`;
    })
    .join("\n");
  const stdin = { contents, resolveDir: join(ROOT, "functions") };
  const bare = await build({ ...theirs, stdin });
  const [own, alone]: [number[], number[]] = [[], []];
  for (let i = -1; i < runs; i++) {
    const [first, second] = [await importOnce(ours.outfile), await importOnce(theirs.outfile)];
    if (i < 0) continue;
    own.push(first);
    alone.push(second);
  }
  const kb = bytesOf(metafile) / 1000;
  return [
    {
      name: `bundle of ${name}`,
      measured: rounded(kb),
      unit: "KB",
      budget: BUDGET_KB,
      parts: Object.fromEntries(heavy.slice(0, 6).map(([of, n]) => [of, rounded(n / 1000)])),
      note: "minified, without Cedar's wasm; beside it what weighs most, in KB",
    },
    {
      name: `import of ${name} / of its clients alone`,
      measured: rounded(median(own) / median(alone)),
      unit: "×",
      budget: BUDGET_IMPORT,
      parts: {
        "import ms": rounded(median(own)),
        "clients ms": rounded(median(alone)),
        "clients KB": rounded(bytesOf(bare.metafile) / 1000),
      },
      note: `${runs} processes each, in turns; clients: ${clients.map((of) => of.slice("@aws-sdk/client-".length)).join(", ")}`,
    },
  ];
}

/** What each package calls its client. */
const CLIENTS: Readonly<Record<string, string>> = {
  dynamodb: "DynamoDB",
  eventbridge: "EventBridge",
  iam: "IAM",
  s3: "S3",
  scheduler: "Scheduler",
  sqs: "SQS",
  ssm: "SSM",
  sts: "STS",
};

export const bundles: Bench = async (size) => {
  const directory = await mkdtemp(join(tmpdir(), "stint-bundles-"));
  try {
    // It is read from beside the bundle.
    const cedar = createRequire(join(ROOT, "packages/core/package.json")).resolve(
      "@cedar-policy/cedar-wasm/nodejs",
    );
    await copyFile(
      cedar.replace(/[^/]*$/, "cedar_wasm_bg.wasm"),
      join(directory, "cedar_wasm_bg.wasm"),
    );
    await writeFile(join(directory, "package.json"), '{"type":"module"}');
    const rows: Row[] = [];
    const names = size === "full" ? FUNCTIONS : (["expire"] as const);
    for (const name of names) rows.push(...(await measure(name, directory, RUNS[size])));
    return rows;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
};
