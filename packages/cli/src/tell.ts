/** Tells on stderr what went wrong, in words or as JSON. */
import { StintError } from "@stint/client/error";
import type { Explanation } from "@stint/client/types";
import { CommanderError } from "commander";
import { EXIT, Failure } from "./failure.ts";
import { clean, table } from "./format.ts";
import type { Io, Out } from "./io.ts";

/** As the JSON on stderr. */
interface Report {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
  readonly grantId?: string;
  readonly explanation?: Explanation;
  readonly requestId?: string;
}

interface Told {
  readonly exit: number;
  readonly report: Report;
  readonly title?: string;
}

const LOCAL_CODES = new Set(["bad_url", "no_url"]);

function exitOf({ code, status }: StintError): number {
  if (code === "aborted") return EXIT.interrupted;
  if (code === "no_token" || status === 401) return EXIT.unauthenticated;
  if (code === "refused") return EXIT.refused;
  return LOCAL_CODES.has(code) ? EXIT.local : EXIT.remote;
}

const oneLine = (text: string | undefined): string | undefined => text?.replaceAll(/[\r\n]+/g, " ");

function told(error: unknown, help: string): Told {
  if (error instanceof Failure) {
    const { code, message, hint, grantId, exit } = error;
    return {
      exit,
      report: {
        code,
        message,
        ...(hint === undefined ? {} : { hint }),
        ...(grantId === undefined ? {} : { grantId }),
      },
    };
  }
  if (error instanceof StintError) {
    const { code, detail, explanation, requestId, title } = error;
    // Text from afar stays on its line: CI systems take commands from lines.
    const hint = error.status === 0 ? error.hint : oneLine(error.hint);
    return {
      exit: exitOf(error),
      report: {
        code,
        message: oneLine(detail) ?? "",
        ...(hint === undefined ? {} : { hint }),
        ...(explanation === undefined ? {} : { explanation }),
        ...(requestId === undefined ? {} : { requestId }),
      },
      ...(title === undefined ? {} : { title }),
    };
  }
  if (error instanceof CommanderError) {
    const message = oneLine(error.message.replace(/^error: /, "")) ?? "";
    return {
      exit: EXIT.local,
      report: { code: "usage", message, hint: help },
    };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { exit: EXIT.local, report: { code: "internal", message } };
}

/** Tells on stderr what went wrong and returns the exit code. `help` is the hint for a command line that cannot be meant. */
export function tell(
  io: Io,
  error: unknown,
  json: boolean,
  help = "stint help shows every command",
): number {
  const { exit, report, title } = told(error, help);
  io.stderr.write(json ? `${JSON.stringify(report)}\n` : inWords(io, report, title));
  return exit;
}

function inWords(io: Io, report: Report, title: string | undefined): string {
  const { message, hint, explanation, grantId, requestId } = report;
  const first = title === undefined || title === message ? message : `${title}: ${message}`;
  const lines = [`stint: ${clean(first)}`];
  if (explanation !== undefined) lines.push(...explained(io, io.stderr, explanation));
  if (grantId !== undefined) lines.push(`  grant: ${clean(grantId)}`);
  if (hint !== undefined) lines.push(`  hint: ${clean(hint).replaceAll("\n", "\n  ")}`);
  if (requestId !== undefined) lines.push(`  request: ${clean(requestId)}`);
  return `${lines.join("\n")}\n`;
}

/** The nearest rule and what of it did not hold; nothing where the caller may not know. */
export function explained(io: Io, out: Out, { rule, failed, considered }: Explanation): string[] {
  const lines: string[] = [];
  if (rule !== undefined) lines.push(`  nearest rule: ${clean(rule)} (of ${considered})`);
  if (failed.length === 0) return lines;
  const rows = failed.map(({ claim, expected, actual }) => [
    claim,
    expected ?? "(not told)",
    actual ?? "(none)",
  ]);
  const text = table(io, out, ["claim", "expected", "actual"], rows);
  return [
    ...lines,
    ...text
      .trimEnd()
      .split("\n")
      .map((line) => `  ${line}`),
  ];
}
