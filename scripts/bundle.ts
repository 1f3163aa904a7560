/**
 * Builds the functions as they are deployed: a directory for each, with its code in one file, the checked
 * configuration, and Cedar's WebAssembly where it decides something.
 *
 *     node scripts/bundle.ts --config stint.yaml --out DIRECTORY
 */
import { copyFile, mkdir, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { type BuildOptions, build, type Metafile, type Plugin } from "esbuild";
import { DOORS, type Door } from "../functions/src/deployment.ts";
import { readConfig } from "../functions/src/live.ts";
import { writePrepared } from "../packages/core/src/config/prepared.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

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

/** `pg` has a second half over a library in C, which nobody installs: it is not in a bundle, and nothing looks for it. */
const WITHOUT_NATIVE_PG: Plugin = {
  name: "without-native-pg",
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]pg[\\/]lib[\\/]native[\\/]index\.js$/ }, () => ({ contents: "" }));
  },
};

const DRIVER = "./postgres.cjs";

/** What only grants of databases need lies beside a function and is not even read by its start. */
const DRIVER_BESIDE: Plugin = {
  name: "driver-beside",
  setup({ onResolve }) {
    onResolve({ filter: /^@stint\/targets\/postgres$/ }, ({ kind }) =>
      kind === "dynamic-import" ? { path: DRIVER, external: true } : undefined,
    );
  },
};

/** How every function is built. CommonJS: Node loads it in three quarters of the time (docs/decisions/0013-functions-as-commonjs.md). */
export const bundleOptions = (
  outfile: string,
): BuildOptions & { readonly metafile: true; readonly outfile: string } => ({
  absWorkingDir: ROOT,
  outfile,
  bundle: true,
  minify: true,
  platform: "node",
  target: "node24",
  format: "cjs",
  mainFields: ["module", "main"],
  external: NEVER_ASKED,
  plugins: [WITHOUT_NATIVE_PG, DRIVER_BESIDE],
  metafile: true,
  logLevel: "error",
});

/** One function's code, by the file that it begins with. */
export const bundleDoor = async (door: Door, outfile: string): Promise<Metafile> =>
  (await build({ ...bundleOptions(outfile), entryPoints: [`functions/src/${door}.ts`] })).metafile;

/** The files of which something is in the bundle. */
export const partsOf = ({ outputs }: Metafile): string[] =>
  Object.values(outputs).flatMap(({ inputs }) =>
    Object.entries(inputs).flatMap(([file, { bytesInOutput }]) =>
      bytesInOutput > 0 ? [file] : [],
    ),
  );

/** Files that a bundle loads from beside itself. */
export async function copyCompanions(metafile: Metafile, directory: string): Promise<void> {
  const imports = Object.values(metafile.outputs).flatMap((output) => output.imports);
  if (imports.some(({ path }) => path === DRIVER))
    await build({
      ...bundleOptions(join(directory, DRIVER)),
      entryPoints: ["packages/targets/src/postgres.ts"],
    });
  if (!partsOf(metafile).some((file) => file.includes("cedar-wasm"))) return;
  const cedar = createRequire(join(ROOT, "packages/core/package.json")).resolve(
    "@cedar-policy/cedar-wasm/nodejs",
  );
  const wasm = "cedar_wasm_bg.wasm";
  await copyFile(cedar.replace(/[^/]*$/, wasm), join(directory, wasm));
}

export interface BuildFunctions {
  /** Path of a stint.yaml. */
  readonly config: string;
  readonly out: string;
  readonly doors?: readonly Door[];
  readonly warn?: (line: string) => void;
}

/** `<out>/<door>/index.cjs` and what belongs beside it. @throws Error where the configuration is not valid */
export async function buildFunctions(
  options: BuildFunctions,
): Promise<Readonly<Record<string, Metafile>>> {
  const prepared = writePrepared(readConfig(options.config, options.warn));
  await rm(options.out, { recursive: true, force: true });
  const made: Record<string, Metafile> = {};
  for (const door of options.doors ?? DOORS) {
    const directory = join(options.out, door);
    await mkdir(directory, { recursive: true });
    made[door] = await bundleDoor(door, join(directory, "index.cjs"));
    await copyCompanions(made[door], directory);
    await writeFile(join(directory, "stint.json"), prepared);
  }
  return made;
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      config: { type: "string", default: "stint.yaml" },
      out: { type: "string", default: "dist/functions" },
    },
  });
  try {
    await buildFunctions({ ...values, warn: (line) => console.error(`warning: ${line}`) });
    console.log(`built ${DOORS.length} functions in ${values.out}`);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
