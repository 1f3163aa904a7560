import { parseArgs } from "node:util";
import { runDev } from "../src/run.ts";

const { values } = parseArgs({ options: { once: { type: "boolean", default: false } } });
process.exitCode = await runDev({ story: true, once: values.once }, process.env, console.log);
