/** The functions' code, built from the sources with the configuration inside: the configuration is part of a deployment. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { readPrepared } from "@stint/core/config/prepared";
import type { Config } from "@stint/core/profile";
import type { Door } from "@stint/functions/deployment";
import { option } from "./stage.ts";

export interface Bundles {
  readonly config: Config;
  /** Where a function's files are, seen from the root. */
  directory(door: Door): string;
}

export function bundles(): Bundles {
  const file = option("STINT_CONFIG") ?? "stint.yaml";
  if (!existsSync(file))
    throw new Error(
      `there is no ${file}: write one (docs/deploy.md begins with one), or name yours in STINT_CONFIG`,
    );
  const out = join(".sst", "stint", $app.stage);
  // The Node that the functions run under, whatever SST brought.
  execFileSync(
    join("node_modules", ".bin", "node"),
    ["scripts/bundle.ts", "--config", file, "--out", out],
    { stdio: ["ignore", "ignore", "inherit"] },
  );
  return {
    config: readPrepared(readFileSync(join(out, "expire", "stint.json"), "utf8")),
    directory: (door) => join(out, door),
  };
}
