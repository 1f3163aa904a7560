import type { Command } from "commander";
import type { Io } from "../io.ts";

/** What a command group is given, and where it leaves the exit code. */
export interface Context {
  readonly io: Io;
  /** Whether stderr carries JSON. */
  readonly json: boolean;
  /** Everything after `--`, verbatim; undefined where there is no `--`. */
  readonly verbatim: readonly string[] | undefined;
  code: number;
}

/** Adds one group of commands to the program. */
export type Register = (program: Command, context: Context) => void;

export const formatted = (command: Command, formats: string): Command =>
  command
    .option("--format <format>", `${formats} (STINT_FORMAT)`)
    .option("--json", "the same as --format json");
