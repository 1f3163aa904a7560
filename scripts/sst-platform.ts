/**
 * Unpacks what SST brings to evaluate `sst.config.ts` (`.sst/platform`), without an account and without its own
 * downloads of Pulumi and Bun: npm packages are all that it takes. Does nothing where it is there already.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const MARK = join(ROOT, ".sst", "platform", "stint-installed");

const { version } = JSON.parse(
  readFileSync(join(ROOT, "node_modules", "sst", "package.json"), "utf8"),
) as { version: string }; // every package has one
const provider = /version: "([\d.]+)"/.exec(readFileSync(join(ROOT, "sst.config.ts"), "utf8"))?.[1];
const wanted = `sst ${version}, aws ${provider}\n`;

if (!existsSync(MARK) || readFileSync(MARK, "utf8") !== wanted) {
  console.log(`unpacking ${wanted.trim()} (once, a minute)`);
  const { status, stdout, stderr } = spawnSync(
    join(ROOT, "node_modules", ".bin", "sst"),
    ["install", "--stage", "infra"],
    {
      cwd: ROOT,
      encoding: "utf8",
      env: {
        ...process.env,
        SST_SKIP_DEPENDENCY_CHECK: "1",
        SST_NO_BUN: "1",
        SST_TELEMETRY_DISABLED: "1",
      },
    },
  );
  if (status !== 0) {
    console.error(`sst install failed (${status})\n${stdout}${stderr}`);
    process.exit(1);
  }
  writeFileSync(MARK, wanted);
}
