import { constants } from "node:os";
import type { Io } from "./io.ts";

const CAUGHT = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;

/** What a shell reports for a process that a signal ended. */
export const codeOf = (signal: NodeJS.Signals): number => 128 + (constants.signals[signal] ?? 0);

export interface Caught extends Disposable {
  /** Aborts at the first signal. */
  readonly abort: AbortSignal;
  /** The first signal that came. */
  readonly first: () => NodeJS.Signals | undefined;
  /** Also hands each signal from here on to somebody else. */
  readonly forward: (to: ((signal: NodeJS.Signals) => void) | undefined) => void;
}

/** Catches the signals that would end us, so that nothing is left behind; dispose to let them through again. */
export function catchSignals(io: Io): Caught {
  const controller = new AbortController();
  let first: NodeJS.Signals | undefined;
  let target: ((signal: NodeJS.Signals) => void) | undefined;
  const listener = (signal: NodeJS.Signals) => {
    first ??= signal;
    controller.abort();
    target?.(signal);
  };
  for (const signal of CAUGHT) io.signals.on(signal, listener);
  return {
    abort: controller.signal,
    first: () => first,
    forward: (to) => {
      target = to;
    },
    [Symbol.dispose]: () => {
      for (const signal of CAUGHT) io.signals.off(signal, listener);
    },
  };
}
