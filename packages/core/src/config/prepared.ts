import { sha256 } from "../id.ts";
import type { Config } from "../profile.ts";

/**
 * The configuration as functions carry it: checked and resolved when it was deployed, and since then as it was. Their
 * start neither parses YAML nor validates it again, and refuses a file that somebody changed or that was cut off.
 */
export const writePrepared = (config: Config): string => {
  const text = JSON.stringify(config);
  return JSON.stringify({ sha256: sha256(text), config: text });
};

/** @throws Error for what `writePrepared` has not written */
export function readPrepared(json: string): Config {
  const file: unknown = JSON.parse(json);
  if (typeof file === "object" && file !== null && "sha256" in file && "config" in file) {
    const { sha256: sum, config } = file;
    // What has the sum is what was checked.
    if (typeof config === "string" && sha256(config) === sum) return JSON.parse(config) as Config;
  }
  throw new Error("the configuration is not as it was deployed: deploy again");
}
