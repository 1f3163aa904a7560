/**
 * Builds local AWS as a package for other people's tests: `dist/local/`, JavaScript with types, and the file that npm
 * installs beside it.
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const SOURCE = join(ROOT, "packages", "local");

/** What npm reads of a package. */
interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  readonly dependencies: Readonly<Record<string, string>>;
}

function run(command: string, args: readonly string[], cwd: string): string {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: "utf8" });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${stdout}${stderr}`);
  return stdout;
}

/** Other packages that the built files import. */
function imported(directory: string): ReadonlySet<string> {
  const names = new Set<string>();
  for (const file of readdirSync(directory, { recursive: true, encoding: "utf8" })) {
    if (!file.endsWith(".js")) continue;
    const text = readFileSync(join(directory, file), "utf8");
    for (const [, name = ""] of text.matchAll(/ from "([^".][^"]*)"/g))
      if (!name.startsWith("node:")) names.add(name);
  }
  return names;
}

/** @returns the directory of the package. */
export function buildLocal(out: string): string {
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  const config = join(out, "tsconfig.json");
  const compilerOptions = {
    noEmit: false,
    allowImportingTsExtensions: false,
    rewriteRelativeImportExtensions: true,
    declaration: true,
    target: "ES2022",
    rootDir: join(SOURCE, "src"),
    outDir: join(out, "lib"),
    typeRoots: [join(ROOT, "node_modules", "@types")],
  };
  const project = { extends: join(ROOT, "tsconfig.json"), compilerOptions, include: [] };
  const files = [join(SOURCE, "src", "local-aws.ts")];
  writeFileSync(config, JSON.stringify({ ...project, files }));
  run(join(ROOT, "node_modules", ".bin", "tsc"), ["-p", config], out);
  rmSync(config);
  const own = JSON.parse(readFileSync(join(SOURCE, "package.json"), "utf8")) as Manifest; // it is one
  const needed = imported(join(out, "lib"));
  const dependencies = Object.entries(own.dependencies).filter(([name]) => needed.has(name));
  if (dependencies.length < needed.size)
    throw new Error(`not among the dependencies: one of ${[...needed].join(", ")}`);
  const manifest = {
    name: own.name,
    version: own.version,
    description: "An AWS account inside a test's process, as strict as AWS",
    license: own.license,
    type: "module",
    engines: { node: ">=20" },
    exports: { ".": { types: "./lib/local-aws.d.ts", default: "./lib/local-aws.js" } },
    files: ["lib"],
    dependencies: Object.fromEntries(dependencies),
  };
  writeFileSync(join(out, "package.json"), `${JSON.stringify(manifest, undefined, 2)}\n`);
  cpSync(join(ROOT, "docs", "local-aws.md"), join(out, "README.md"));
  cpSync(join(ROOT, "LICENSE"), join(out, "LICENSE"));
  return out;
}

if (import.meta.main) {
  const out = buildLocal(join(ROOT, "dist", "local"));
  const file = run("npm", ["pack", "--pack-destination", join(ROOT, "dist")], out).trim();
  console.log(`dist/${file.split("\n").at(-1)}`);
}
