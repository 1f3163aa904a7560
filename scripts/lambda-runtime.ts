/**
 * Installs AWS's runtime client for Node beside the tests that run bundles under it, and builds the bundles. Apart from
 * the workspaces, because its install compiles C++ that these tests do without.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildFunctions } from "./bundle.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const RUNTIME = join(ROOT, "test", "bundles", "runtime");

const version = (file: string): string | undefined =>
  existsSync(file) ? JSON.parse(readFileSync(file, "utf8")).version : undefined;
const { dependencies } = JSON.parse(readFileSync(join(RUNTIME, "package.json"), "utf8"));
const [[name, wanted]] = Object.entries<string>(dependencies) as [[string, string]]; // it has one

if (version(join(RUNTIME, "node_modules", name, "package.json")) !== wanted)
  execFileSync("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], {
    cwd: RUNTIME,
    stdio: "inherit",
    // On Windows npm is a script.
    shell: process.platform === "win32",
  });
await buildFunctions({
  config: join(ROOT, "packages/local/demo/stint.yaml"),
  out: join(ROOT, ".sst", "stint", "bundles"),
});
