/** What must hold in every run, whatever happens in it. */
import type { Sim } from "../stage.ts";

interface Watching {
  /** After each thing that happens, and each minute once faults have stopped. Cheap. */
  look?(): void;
  /** When everything must be over. */
  end?(): Promise<void> | void;
}

export interface Invariant {
  readonly name: string;
  /** Begins to watch; `broken` says what it saw. */
  watch(sim: Sim, broken: (what: string) => void): Watching;
}
