import { parseArgs } from "node:util";
import { runDev } from "../src/run.ts";

function flags(): { readonly once: boolean } | undefined {
  try {
    return parseArgs({ options: { once: { type: "boolean", default: false } } }).values;
  } catch (error) {
    console.error(`stint: ${error instanceof Error ? error.message : String(error)}`);
    console.error("  usage: npm start [-- --once]");
    return undefined;
  }
}

const given = flags();
process.exitCode =
  given === undefined
    ? 1
    : await runDev({ story: true, once: given.once }, process.env, console.log);
