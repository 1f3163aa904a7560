import Table from "cli-table3";
import { usage } from "./failure.ts";
import type { Io, Out } from "./io.ts";

export const FORMATS = ["table", "json", "env", "dotenv", "credential-process"] as const;
export type Format = (typeof FORMATS)[number];

export interface FormatOptions {
  readonly format?: string;
  readonly json?: boolean;
}

/** What to print as: `--json`, else `--format`, else `STINT_FORMAT` where the command knows it, else a table. */
export function formatOf<F extends Format>(
  io: Io,
  options: FormatOptions,
  known: readonly F[],
): F | "table" | "json" {
  if (options.json) return "json";
  const isKnown = (text: string): text is F => (known as readonly string[]).includes(text); // widening
  if (options.format !== undefined) {
    if (isKnown(options.format)) return options.format;
    throw usage(`there is no format ${options.format} here`, `formats: ${known.join(", ")}`);
  }
  const preset = io.env.STINT_FORMAT;
  if (!preset) return "table";
  if (isKnown(preset)) return preset;
  if ((FORMATS as readonly string[]).includes(preset)) return "table"; // another command's format
  throw usage(`STINT_FORMAT is ${preset}, which is no format`, `formats: ${FORMATS.join(", ")}`);
}

/** Whether errors are to be JSON, known before the command line is parsed, since that may be what fails. */
export function wantsJson(argv: readonly string[], io: Io): boolean {
  const end = argv.indexOf("--");
  const own = end === -1 ? argv : argv.slice(0, end);
  if (own.includes("--json") || own.includes("--format=json")) return true;
  const at = own.lastIndexOf("--format");
  if (at !== -1) return own[at + 1] === "json";
  return io.env.STINT_FORMAT === "json" && !own.some((arg) => arg.startsWith("--format="));
}

/**
 * Without control characters: claims and names are chosen by others, and an escape sequence in a branch's name must
 * not repaint somebody's terminal. Line ends stay where we write them ourselves.
 */
export const clean = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
  text.replaceAll(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, "");

const cell = (value: unknown): string => {
  if (value === null || value === undefined) return "";
  const text = typeof value === "object" ? JSON.stringify(value, bigintAsText) : String(value);
  return clean(text.replaceAll("\n", " "));
};

/** A 64-bit count has no JSON number that is exact everywhere. */
export const bigintAsText = (_key: string, value: unknown): unknown =>
  typeof value === "bigint" ? String(value) : value;

/** Columns without borders, so that `awk` and eyes both read them. Bold heads only on a terminal without NO_COLOR. */
export function table(
  io: Io,
  out: Out,
  head: readonly string[],
  rows: ReadonlyArray<readonly unknown[]>,
): string {
  const colour = out.isTTY === true && !io.env.NO_COLOR;
  const title = (text: string) =>
    colour ? `\u001b[1m${clean(text).toUpperCase()}\u001b[22m` : clean(text).toUpperCase();
  const made = new Table({
    head: head.map(title),
    chars: NO_BORDERS,
    style: { head: [], border: [], "padding-left": 0, "padding-right": 2 },
  });
  for (const row of rows) made.push(row.map(cell));
  return `${made.toString().replaceAll(/[ ]+$/gm, "")}\n`;
}

const NO_BORDERS = {
  top: "",
  "top-mid": "",
  "top-left": "",
  "top-right": "",
  bottom: "",
  "bottom-mid": "",
  "bottom-left": "",
  "bottom-right": "",
  left: "",
  "left-mid": "",
  mid: "",
  "mid-mid": "",
  right: "",
  "right-mid": "",
  middle: "",
};

/** Name and value, one below the other; those without a value are left out. */
export function facts(pairs: ReadonlyArray<readonly [string, unknown]>): string {
  const shown = pairs.filter(([, value]) => value !== undefined && value !== "");
  const width = Math.max(0, ...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `${name.padEnd(width)}  ${cell(value)}\n`).join("");
}

export const printJson = (io: Io, value: unknown): void => {
  io.stdout.write(`${JSON.stringify(value, bigintAsText, 2)}\n`);
};
