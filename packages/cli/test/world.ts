/** A world for the command that is real where it matters: real children, real HTTP, nothing of this process's own. */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { EventEmitter } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import type { Io } from "../src/io.ts";

export interface World {
  readonly io: Io;
  readonly out: () => string;
  readonly err: () => string;
  /** Sends the command a signal, as the system would. */
  readonly signal: (signal: NodeJS.Signals) => void;
  /** How many signal listeners are left. */
  readonly listeners: () => number;
  /** Waits that were asked for, ms. */
  readonly waits: number[];
}

export interface WorldOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly tty?: boolean;
  /** What whoever sits at the terminal answers. */
  readonly answer?: string;
  readonly now?: number | (() => number);
  /** Instead of a random one. */
  readonly secret?: string;
  readonly onSpawn?: (child: ReturnType<Io["spawn"]>) => void;
  /** What happens instead of waiting. */
  readonly onSleep?: () => void;
}

export function world(options: WorldOptions = {}): World {
  const { env = {}, tty = false, now = Date.parse("2026-11-22T10:00:00Z") } = options;
  const out: string[] = [];
  const err: string[] = [];
  const waits: number[] = [];
  const signals = new EventEmitter();
  let keys = 0;
  return {
    out: () => out.join(""),
    err: () => err.join(""),
    signal: (signal) => void signals.emit(signal, signal),
    listeners: () => signals.eventNames().length,
    waits,
    io: {
      env,
      stdout: { write: (text) => out.push(text), isTTY: tty },
      stderr: { write: (text) => err.push(text), isTTY: tty },
      stdin: { isTTY: tty },
      ask: async (question) => {
        err.push(question);
        if (options.answer === undefined) throw new Error(`nobody was to be asked: ${question}`);
        return options.answer;
      },
      fetch: (url, init) => fetch(url, init),
      now: typeof now === "number" ? () => now : now,
      random: () => 0.5,
      sleep: async (ms) => {
        waits.push(ms);
        options.onSleep?.();
      },
      newKey: () => `key-${++keys}`,
      newSecret: () => options.secret ?? randomBytes(32).toString("base64url"),
      spawn: (command, args, given) => {
        // The command's own choice is to inherit; here its output is ours to look at.
        const child = spawn(command, [...args], { ...given, stdio: ["ignore", "pipe", "pipe"] });
        child.stdout.on("data", (chunk) => out.push(String(chunk)));
        child.stderr.on("data", (chunk) => err.push(String(chunk)));
        options.onSpawn?.(child);
        return child;
      },
      signals,
      readText: (path) => readFile(path, "utf8"),
      list: (path) => readdir(path),
    },
  };
}
