#!/usr/bin/env node
import { processIo } from "../src/io.ts";
import { run } from "../src/main.ts";

// Whoever reads our output may stop reading, as `head` does; that is no fault.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
});

process.exitCode = await run(process.argv.slice(2), processIo());
