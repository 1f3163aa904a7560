import { describe, expect, test } from "vitest";
import { createClock, createVirtualClock } from "../src/clock.ts";

const clocks = [
  ["virtual", () => createVirtualClock(1_000)],
  // A real clock whose real time stands still: only `advance` moves it.
  ["real", () => createClock({ start: 1_000, wall: () => 5_000_000 })],
] as const;

describe.each(clocks)("a %s clock", (_, create) => {
  test("runs due tasks in order, each at its own time", async () => {
    const clock = create();
    const seen: Array<[string, number]> = [];
    const note = (name: string) => () => void seen.push([name, clock.now()]);
    clock.schedule(1_030, note("c"));
    clock.schedule(1_010, note("a"));
    clock.schedule(1_010, note("b"));
    clock.schedule(1_031, note("later"));
    await clock.advance(30);
    expect(seen).toEqual([
      ["a", 1_010],
      ["b", 1_010],
      ["c", 1_030],
    ]);
    expect(clock.now()).toBe(1_030);
  });

  test("runs what tasks schedule, if it is due within the same advance", async () => {
    const clock = create();
    const seen: number[] = [];
    const again = () => {
      seen.push(clock.now());
      clock.schedule(clock.now() + 10, again);
    };
    clock.schedule(1_010, again);
    await clock.advance(35);
    expect(seen).toEqual([1_010, 1_020, 1_030]);
  });

  test("awaits a task before the next begins", async () => {
    const clock = create();
    const seen: string[] = [];
    clock.schedule(1_010, async () => {
      for (let turns = 0; turns < 100; turns += 1) await new Promise(setImmediate);
      seen.push("slow");
    });
    clock.schedule(1_011, () => void seen.push("next"));
    await clock.advance(20);
    expect(seen).toEqual(["slow", "next"]);
  });

  test("lets a task sleep", async () => {
    const clock = create();
    const seen: number[] = [];
    clock.schedule(1_010, async () => {
      await clock.sleep(5);
      seen.push(clock.now());
      await clock.sleep(50);
      seen.push(clock.now());
    });
    await clock.advance(20);
    expect(seen).toEqual([1_015]);
    await clock.advance(45);
    expect(seen).toEqual([1_015, 1_065]);
  });

  test("runs at once what is already past, and nothing that was cancelled", async () => {
    const clock = create();
    const seen: string[] = [];
    clock.schedule(500, () => void seen.push("past"));
    const cancel = clock.schedule(1_010, () => void seen.push("cancelled"));
    cancel();
    cancel();
    await clock.advance(100);
    expect(seen).toEqual(["past"]);
  });

  test("waits for what tasks set going, by its settle hook", async () => {
    const clock = create();
    const seen: string[] = [];
    let background = Promise.resolve();
    clock.onSettle(() => background);
    clock.schedule(1_010, () => {
      background = (async () => {
        for (let turns = 0; turns < 50; turns += 1) await new Promise(setImmediate);
        seen.push("background");
      })();
    });
    clock.schedule(1_011, () => void seen.push("next"));
    await clock.advance(20);
    expect(seen).toEqual(["background", "next"]);
  });

  test("says what tasks threw, and still runs the others", async () => {
    const clock = create();
    const seen: string[] = [];
    clock.schedule(1_010, () => {
      throw new Error("broken");
    });
    clock.schedule(1_020, () => void seen.push("other"));
    await expect(clock.advance(30)).rejects.toMatchObject({ errors: [{ message: "broken" }] });
    expect(seen).toEqual(["other"]);
    clock.onError((error) => seen.push(String(error)));
    clock.schedule(1_040, () => Promise.reject(new Error("again")));
    await clock.advance(30);
    expect(seen).toEqual(["other", "Error: again"]);
  });

  test("does not go back", async () => {
    await expect(create().advance(-1)).rejects.toThrow(RangeError);
    await expect(create().advance(Number.NaN)).rejects.toThrow(RangeError);
  });

  test("keeps its order over many tasks", async () => {
    const clock = create();
    const seen: number[] = [];
    const times = Array.from({ length: 500 }, (_, n) => 1_001 + ((n * 7_919) % 500));
    const cancels = times.map((at) => clock.schedule(at, () => void seen.push(at)));
    for (const [n, cancel] of cancels.entries()) if (n % 3 === 0) cancel();
    await clock.advance(600);
    const expected = times.filter((_, n) => n % 3 !== 0).sort((a, b) => a - b);
    expect(seen).toEqual(expected);
  });

  test("two that advance at once go one after the other", async () => {
    const clock = create();
    const seen: number[] = [];
    clock.schedule(1_010, () => void seen.push(clock.now()));
    clock.schedule(1_020, () => void seen.push(clock.now()));
    await Promise.all([clock.advance(10), clock.advance(10)]);
    expect(seen).toEqual([1_010, 1_020]);
    expect(clock.now()).toBe(1_020);
  });
});

test("real time fires tasks by itself", async () => {
  const clock = createClock();
  // Its timers are unref'd: something else must keep the process awake.
  const alive = setInterval(() => {}, 1_000);
  const order: string[] = [];
  await Promise.all([
    clock.sleep(20).then(() => order.push("later")),
    clock.sleep(5).then(() => order.push("sooner")),
    new Promise<void>((resolve) => clock.schedule(0, resolve)).then(() => order.push("past")),
  ]);
  clearInterval(alive);
  expect(order).toEqual(["past", "sooner", "later"]);
});

test("a real clock shows real time plus what was advanced", async () => {
  let wall = 1_000;
  const clock = createClock({ wall: () => wall });
  await clock.advance(500);
  wall += 7;
  expect(clock.now()).toBe(1_507);
});

test("virtual time drifts under work that never ends, and what is due still runs at its own time", async () => {
  const clock = createVirtualClock(1_000);
  const seen: number[] = [];
  const ended = (async () => {
    for (let turns = 0; turns < 3; turns += 1) {
      await clock.sleep(10);
      seen.push(clock.now());
    }
  })();
  clock.schedule(1_005, () => {
    seen.push(clock.now());
    return new Promise(() => {});
  });
  clock.drift(5);
  expect(seen).toEqual([1_005]);
  while (seen.length < 4) {
    clock.drift(5);
    await new Promise(setImmediate);
  }
  await ended;
  expect(seen).toEqual([1_005, 1_010, 1_020, 1_030]);
});
