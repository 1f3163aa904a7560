/** Everything that the command touches outside itself, so that tests run it whole without a process of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { sleepFor } from "@stint/client/retry";
import type { Fetch } from "@stint/client/send";

export interface Out {
  write(text: string): unknown;
  readonly isTTY?: boolean;
}

export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdout: Out;
  readonly stderr: Out;
  readonly stdin: { readonly isTTY?: boolean };
  /** Asks whoever sits at the terminal for a line; an empty one where they go away. */
  readonly ask: (question: string) => Promise<string>;
  readonly fetch: Fetch;
  /** Epoch ms. */
  readonly now: () => number;
  /** At least 0, less than 1. */
  readonly random: () => number;
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
  /** A fresh idempotency key. */
  readonly newKey: () => string;
  /** A fresh secret that nobody guesses, of characters that every header can have. */
  readonly newSecret: () => string;
  readonly spawn: (
    command: string,
    args: readonly string[],
    options: { readonly env: NodeJS.ProcessEnv; readonly stdio: "inherit" },
  ) => ChildProcess;
  readonly signals: {
    on(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown;
    off(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown;
  };
  readonly readText: (path: string) => Promise<string>;
  /** Names in a directory. */
  readonly list: (path: string) => Promise<readonly string[]>;
}

/** On stderr, since stdout is for data. */
const askLine = (question: string): Promise<string> =>
  new Promise((resolve) => {
    const terminal = createInterface({ input: process.stdin, output: process.stderr });
    // Ctrl-C and Ctrl-D are no answer, and must not leave anybody waiting for one.
    terminal.once("close", () => resolve(""));
    terminal.once("SIGINT", () => terminal.close());
    terminal.question(question, (line) => {
      resolve(line);
      terminal.close();
    });
  });

export const processIo = (): Io => ({
  env: process.env,
  stdout: process.stdout,
  stderr: process.stderr,
  stdin: process.stdin,
  ask: askLine,
  fetch: (url, init) => fetch(url, init),
  now: Date.now,
  random: Math.random,
  sleep: sleepFor,
  newKey: randomUUID,
  newSecret: () => randomBytes(32).toString("base64url"),
  spawn: (command, args, options) => spawn(command, [...args], options),
  signals: process,
  readText: (path) => readFile(path, "utf8"),
  list: (path) => readdir(path),
});
