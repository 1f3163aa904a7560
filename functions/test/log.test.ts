import { jsonLog } from "@stint/functions/log";
import { expect, test } from "vitest";

test("a line is one object, and no detail passes for its message or level", () => {
  const lines: string[] = [];
  const log = jsonLog(
    (line) => lines.push(line),
    () => Date.parse("2026-11-22T12:00:00Z"),
  );
  log.info("request", { status: 201, text: 'two\nlines and a "quote"' });
  log.error("end_failed", { message: "forged", level: "INFO", time: "never", grant: "g1" });
  const time = "2026-11-22T12:00:00.000Z";
  expect(lines.map((line) => JSON.parse(line))).toEqual([
    { level: "INFO", message: "request", time, status: 201, text: 'two\nlines and a "quote"' },
    { level: "ERROR", message: "end_failed", time, grant: "g1" },
  ]);
  for (const line of lines) expect(line.indexOf("\n")).toBe(line.length - 1);
});
