/** Time for local AWS: real time plus what was advanced, or time that only tests move. */
import type { Clock } from "./service.ts";

/** A clock that can be moved forward; what becomes due runs in order, each at its own time. */
export interface AdvancingClock extends Clock {
  /**
   * Moves time by `ms`, stopping at each due task, which sees exactly its own time. Resolves when everything that
   * became due has run, and so has the background work it caused.
   * @throws {AggregateError} of what the tasks threw, unless `onError` takes errors.
   */
  advance(ms: number): Promise<void>;
  /** `settle` is awaited between the steps of `advance`: it resolves when background work is done. */
  onSettle(settle: () => Promise<void>): void;
  /** Takes what scheduled tasks throw. */
  onError(report: (error: unknown) => void): void;
  /**
   * Resolves when `work` is done, or when nothing moves any more except by this clock: work that sleeps on the
   * clock cannot finish before somebody advances it.
   */
  quiet(work: Promise<unknown>): Promise<void>;
  /** Tells that something moved, so that `quiet` goes on waiting. */
  stir(): void;
  /** Work of another process, whose moves cannot be seen from here: `quiet` waits until it is done. */
  outside<T>(work: Promise<T>): Promise<T>;
}

/** Time that somebody moves, and that never moves by itself. */
export interface VirtualClock extends AdvancingClock {
  /**
   * Moves time by `ms` while work is under way: starts what becomes due, each at its own time, and waits for none of
   * it. For load, under which there is always work, and `advance` would wait for its end.
   */
  drift(ms: number): void;
}

interface Entry {
  readonly at: number;
  readonly order: number;
  readonly task: () => void | Promise<void>;
  /** Cancelled or started: it stays in the heap until its time, and is skipped there. */
  spent: boolean;
}

// A turn is one pass of the event loop. Work inside one process needs a few of them between two visible moves.
const QUIET_TURNS = 25;

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
const pause = () => new Promise<void>((resolve) => setTimeout(resolve, 1));

/** Entries by time, then by order of scheduling: a binary heap. */
const agenda = () => {
  const heap: Entry[] = [];
  const before = (a: Entry, b: Entry) => a.at < b.at || (a.at === b.at && a.order < b.order);
  const at = (index: number): Entry => heap[index] as Entry; // callers stay within the heap's length
  const pop = (): void => {
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = index * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(at(child + 1), at(child))) child += 1;
      if (!before(at(child), last)) break;
      heap[index] = at(child);
      index = child;
    }
    heap[index] = last;
  };
  return {
    push(entry: Entry) {
      let index = heap.push(entry) - 1;
      while (index > 0) {
        const parent = (index - 1) >> 1;
        if (!before(entry, at(parent))) break;
        heap[index] = at(parent);
        index = parent;
      }
      heap[index] = entry;
    },
    peek(): Entry | undefined {
      while (heap[0]?.spent) pop();
      return heap[0];
    },
  };
};

/** What both clocks share: the walk through what is due. `changed` is called when the next due time may differ. */
const timeline = (time: {
  readonly now: () => number;
  readonly moveTo: (at: number) => void;
  readonly changed: () => void;
  readonly walking: (walking: boolean) => void;
}) => {
  const due = agenda();
  const running = new Set<Promise<void>>();
  const settles: Array<() => Promise<void>> = [];
  const reports: Array<(error: unknown) => void> = [];
  let errors: unknown[] = [];
  let order = 0;
  let sleepers = 0;
  let elsewhere = 0;
  let moves = 0;

  const failed = (error: unknown) => {
    if (reports.length === 0) errors.push(error);
    for (const report of reports) report(error);
  };
  /** Starts the first task that is due; the caller decides whether to wait for it. */
  const fire = (): boolean => {
    const first = due.peek();
    if (first === undefined || first.at > time.now()) return false;
    first.spent = true;
    moves += 1;
    const work = (async () => first.task())()
      .catch(failed)
      .finally(() => {
        running.delete(work);
        moves += 1;
      });
    running.add(work);
    return true;
  };
  const schedule = (at: number, task: () => void | Promise<void>) => {
    const entry: Entry = { at, order, task, spent: false };
    order += 1;
    moves += 1;
    due.push(entry);
    time.changed();
    return () => {
      entry.spent = true;
      time.changed();
    };
  };
  const settled = async () => {
    while (running.size > 0) await Promise.all(running);
    for (const settle of settles) await settle();
  };
  const quiet = async (work: Promise<unknown>): Promise<void> => {
    let done = false;
    const finish = () => {
      done = true;
    };
    const ended = work.then(finish, finish);
    let seen = moves;
    const blind = () => sleepers === 0 || elsewhere > 0;
    for (let turns = 0; !done && turns <= QUIET_TURNS; turns = blind() ? 0 : turns + 1) {
      await (blind() ? Promise.race([ended, pause()]) : turn());
      if (moves !== seen) turns = 0;
      seen = moves;
    }
  };
  const walk = async (ms: number): Promise<void> => {
    if (!(ms >= 0)) throw new RangeError("time only moves forward");
    const target = time.now() + ms;
    time.walking(true);
    // What is under way now belongs to the present, not to the first step.
    await quiet(settled());
    for (let first = due.peek(); first && first.at <= target; first = due.peek()) {
      time.moveTo(Math.max(first.at, time.now()));
      if (fire()) await quiet(settled());
    }
    time.moveTo(Math.max(target, time.now()));
    time.walking(false);
    if (errors.length === 0) return;
    const thrown = errors;
    errors = [];
    throw new AggregateError(thrown, "scheduled tasks failed");
  };
  let last: Promise<void> = Promise.resolve();
  return {
    fire,
    next: () => due.peek()?.at,
    quiet,
    schedule,
    sleep: (ms: number) =>
      new Promise<void>((resolve) => {
        sleepers += 1;
        schedule(time.now() + ms, () => {
          sleepers -= 1;
          resolve();
        });
      }),
    stir: () => {
      moves += 1;
    },
    outside: async <T>(work: Promise<T>) => {
      elsewhere += 1;
      try {
        return await work;
      } finally {
        elsewhere -= 1;
        moves += 1;
      }
    },
    onSettle: (settle: () => Promise<void>) => {
      settles.push(settle);
    },
    onError: (report: (error: unknown) => void) => {
      reports.push(report);
    },
    drift(ms: number): void {
      const target = time.now() + ms;
      for (let first = due.peek(); first && first.at <= target; first = due.peek()) {
        time.moveTo(Math.max(first.at, time.now()));
        fire();
      }
      time.moveTo(Math.max(target, time.now()));
    },
    /** One walk at a time, as two would race for the same tasks. */
    advance(ms: number): Promise<void> {
      const mine = last.then(() => walk(ms));
      last = mine.catch(() => {});
      return mine;
    },
  };
};

/** Time that moves only by `advance`: nothing happens by itself, so a run is repeatable. */
export const createVirtualClock = (start: number): VirtualClock => {
  let now = start;
  const line = timeline({
    now: () => now,
    moveTo: (at) => {
      now = at;
    },
    changed: () => {},
    walking: () => {},
  });
  return { now: () => now, ...line };
};

/**
 * Real time plus what was advanced. Its timers do not keep the process alive.
 * @param options `wall` is real time (default `Date.now`), `start` what the clock shows at first (default real time).
 */
export const createClock = (
  options: { readonly start?: number; readonly wall?: () => number } = {},
): AdvancingClock => {
  const wall = options.wall ?? Date.now;
  let ahead = options.start === undefined ? 0 : options.start - wall();
  let timer: NodeJS.Timeout | undefined;
  let armedFor: number | undefined;
  // While somebody advances, only that walk starts tasks: a timer would take them out of order.
  let walking = false;
  const now = () => wall() + ahead;
  const arm = () => {
    const next = walking ? undefined : line.next();
    if (next === armedFor) return;
    armedFor = next;
    clearTimeout(timer);
    if (next === undefined) return;
    // setTimeout overflows after 24.8 days: wake up early and look again.
    const wait = Math.min(Math.max(0, next - now()), 2 ** 31 - 1);
    timer = setTimeout(() => {
      armedFor = undefined;
      while (line.fire());
      arm();
    }, wait).unref();
  };
  const line = timeline({
    now,
    moveTo: (at) => {
      ahead += Math.max(0, at - now());
    },
    changed: () => arm(),
    walking: (is) => {
      walking = is;
      armedFor = Number.NaN;
      arm();
    },
  });
  return {
    ...line,
    now,
    // Here time moves by itself, so that work which sleeps does end.
    quiet: async (work) => void (await Promise.allSettled([work])),
  };
};
