import { dirname, join } from "node:path";
import { type ParsedConfig, type Problem, parseConfig } from "@stint/core/config/load";
import { pipelineClaims } from "@stint/pipelines/registry";
import { usage } from "./failure.ts";
import type { Io } from "./io.ts";

export interface Loaded {
  readonly file: string;
  readonly parsed: ParsedConfig;
}

/** The configuration that was named, or that `STINT_CONFIG` names, or `stint.yaml` here. */
export const configFile = (io: Io, named: string | undefined): string =>
  named ?? (io.env.STINT_CONFIG || "stint.yaml");

/** Reads a configuration and the Cedar files beside it, just as the server does. */
export async function loadConfiguration(io: Io, file: string): Promise<Loaded> {
  const folder = dirname(file);
  const text = await read(io, file);
  const names = await io.list(folder).catch(() => []);
  const cedar = names.filter((name) => name.endsWith(".cedar")).sort();
  const files = await Promise.all(
    cedar.map(
      async (name): Promise<[string, string]> => [name, await read(io, join(folder, name))],
    ),
  );
  return { file, parsed: parseConfig(text, Object.fromEntries(files), pipelineClaims()) };
}

export async function read(io: Io, file: string): Promise<string> {
  try {
    return await io.readText(file);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unreadable";
    throw usage(
      code === "ENOENT" ? `there is no file ${file}` : `${file} cannot be read (${code})`,
    );
  }
}

/** A problem in the form that editors and people jump to: `file:line:column path: message`. */
export function located(file: string, { path, message, hint, line, column }: Problem): string {
  const cedar = /^([^#]+\.cedar)(?:#|:|$)/.exec(path)?.[1];
  const where = cedar === undefined ? file : join(dirname(file), cedar);
  const place = [where, line, column].filter((part) => part !== undefined).join(":");
  const first = `${place}${path === "" ? "" : ` ${path}`}: ${message}`;
  return hint === undefined ? `${first}\n` : `${first}\n  hint: ${hint}\n`;
}
