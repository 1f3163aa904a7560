import { iso } from "@stint/core/time";
import type { Log } from "./app.ts";

/** A line of JSON for each message, as CloudWatch's queries and metric filters read it. */
export function jsonLog(write: (line: string) => void, now: () => number): Log {
  const line = (level: string) => (message: string, details: Readonly<Record<string, unknown>>) => {
    // Details first: none of them can pass for another message or level.
    write(`${JSON.stringify({ ...details, level, message, time: iso(now()) })}\n`);
  };
  return { info: line("INFO"), error: line("ERROR") };
}
