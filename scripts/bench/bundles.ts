/** What a function carries, and what loading it costs beside its SDK clients, without which it could do nothing. */
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { DOORS, type Door } from "@stint/functions/deployment";
import { build, type Metafile } from "esbuild";
import { bundleDoor, bundleOptions, copyCompanions } from "../bundle.ts";
import { type Bench, median, type Row, RUNS, rounded } from "./row.ts";

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const BUDGET_KB = 650;
const BUDGET_IMPORT = 1.5;

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

interface Loading {
  /** From the process's first line to the module being there, in ms. */
  readonly own: number;
  /** The whole life of the process, Node's own start with it. */
  readonly process: number;
}

async function importOnce(file: string): Promise<Loading> {
  const code = `const t=performance.now();await import(${JSON.stringify(file)});console.log(performance.now()-t)`;
  const started = performance.now();
  const { stdout } = await run(process.execPath, ["--input-type=module", "-e", code]);
  return { own: Number(stdout), process: performance.now() - started };
}

async function measure(name: Door, directory: string, runs: number): Promise<readonly Row[]> {
  const file = join(directory, `${name}.cjs`);
  const metafile = await bundleDoor(name, file);
  await copyCompanions(metafile, directory);
  const heavy = weights(metafile);
  const clients = heavy.map(([of]) => of).filter((of) => of.startsWith("@aws-sdk/client-"));
  const theirs = bundleOptions(join(directory, `${name}-clients.cjs`));
  const contents = clients
    .map((of, at) => {
      // Made, so that nothing of it is shaken off.
      const client = `${CLIENTS[of.slice("@aws-sdk/client-".length)] ?? "unknown"}Client`;
      return `import{${client} as C${at}}from"${of}";export const c${at}=()=>new C${at}({});`;
    })
    .join("\n");
  const stdin = { contents, resolveDir: join(ROOT, "functions") };
  const bare = await build({ ...theirs, stdin });
  const nothing = join(directory, "nothing.cjs");
  await writeFile(nothing, "");
  const [own, alone, node]: [Loading[], Loading[], Loading[]] = [[], [], []];
  for (let i = -1; i < runs; i++) {
    const [first, second] = [await importOnce(file), await importOnce(theirs.outfile)];
    const third = await importOnce(nothing);
    if (i < 0) continue;
    own.push(first);
    alone.push(second);
    node.push(third);
  }
  const middle = (of: readonly Loading[], key: keyof Loading) =>
    median(of.map((each) => each[key]));
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
      measured: rounded(median(own.map((each, at) => each.own / (alone[at]?.own ?? Number.NaN)))),
      unit: "×",
      budget: BUDGET_IMPORT,
      parts: {
        "import ms": rounded(middle(own, "own")),
        "clients ms": rounded(middle(alone, "own")),
        "empty module ms": rounded(middle(node, "own")),
        "process / bare node ×": rounded(middle(own, "process") / middle(node, "process")),
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
    const rows: Row[] = [];
    const names = size === "full" ? DOORS : (["expire"] as const);
    for (const name of names) rows.push(...(await measure(name, directory, RUNS[size])));
    return rows;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
};
