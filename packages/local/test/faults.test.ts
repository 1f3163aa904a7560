import { DescribeTableCommand, DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { createFaults, type FaultPlan } from "../src/faults.ts";
import { createAccount, errorName, START } from "./kernel-account.ts";
import { toyDynamodb } from "./kernel-toy.ts";

const account = () => {
  const { aws, client } = createAccount({ services: { dynamodb: toyDynamodb } });
  const table = new DynamoDBClient(client(aws.administrator));
  const call = (TableName = "orders") =>
    errorName(table.send(new DescribeTableCommand({ TableName })));
  return { aws, client, call, effects: aws.services.dynamodb.effects };
};

/** A client signs in its own time: its call must have come before the clock moves. */
const struck = (faults: FaultPlan) =>
  vi.waitFor(() => expect(faults.list()).toMatchObject([{ struck: 1 }]), { interval: 1 });

let { aws, client, call, effects } = account();
beforeEach(() => {
  ({ aws, client, call, effects } = account());
});
const on = { service: "dynamodb", operation: "DescribeTable" };

describe("a fault", () => {
  test("that refuses leaves no effect", async () => {
    aws.faults.add({
      ...on,
      kind: "refuse",
      error: { code: "ThrottlingException", status: 400, message: "slow down" },
    });
    expect(await call()).toBe("ThrottlingException");
    expect(effects).toEqual([]);
    expect(aws.errors).toEqual([]);
  });

  test("that fails after leaves the effect", async () => {
    aws.faults.add({ ...on, kind: "fail-after" });
    expect(await call()).toBe("InternalFailure");
    expect(effects).toEqual(["orders"]);
  });

  test("that duplicates has the effect twice", async () => {
    aws.faults.add({ ...on, kind: "duplicate" });
    expect(await call()).toBe("none");
    expect(effects).toEqual(["orders", "orders"]);
  });

  test("that delays waits on the local clock", async () => {
    aws.faults.add({ ...on, kind: "delay", delayMs: 5_000 });
    const answer = call();
    await struck(aws.faults);
    await aws.advance(4_999);
    expect(effects).toEqual([]);
    await aws.advance(1);
    expect(await answer).toBe("none");
    expect(aws.calls()).toMatchObject([{ at: START + 5_000 }]);
  });

  test("that times out is an error of the connection, before or after the effect", async () => {
    aws.faults.add({ ...on, kind: "refuse", error: "timeout", times: 1 });
    aws.faults.add({ ...on, kind: "fail-after", error: "timeout", skip: 1 });
    expect(await call("one")).toBe("TimeoutError");
    expect(effects).toEqual([]);
    expect(await call("two")).toBe("TimeoutError");
    expect(effects).toEqual(["two"]);
    expect(aws.calls()).toMatchObject([{ status: 0, code: "TimeoutError" }, { status: 0 }]);
  });

  test("strikes the calls that it describes, after those that it skips, as often as it says", async () => {
    const id = aws.faults.add({
      ...on,
      kind: "refuse",
      skip: 1,
      times: 2,
      when: (input) => (input as { TableName: string }).TableName === "mine", // checked by the operation's schema
    });
    const answers: string[] = [];
    for (const name of ["mine", "yours", "mine", "yours", "mine", "mine"])
      answers.push(await call(name));
    expect(answers).toEqual(["none", "none", "InternalFailure", "none", "InternalFailure", "none"]);
    expect(aws.faults.list()).toMatchObject([{ id, matched: 4, struck: 2 }]);
  });

  test("of another service or operation does not strike", async () => {
    aws.faults.add({ service: "sts", kind: "refuse" });
    aws.faults.add({ operation: "PutItem", kind: "refuse" });
    expect(await call()).toBe("none");
  });

  test("is over once it is removed or all are cleared", async () => {
    const id = aws.faults.add({ kind: "refuse" });
    expect(aws.faults.remove(id)).toBe(true);
    aws.faults.add({ kind: "refuse" });
    aws.faults.clear();
    expect(aws.faults.list()).toEqual([]);
    expect(await call()).toBe("none");
  });

  test("is seen and survived by a client that retries", async () => {
    aws.faults.add({ ...on, kind: "fail-after", error: "timeout", times: 1 });
    const patient = new DynamoDBClient({ ...client(aws.administrator), maxAttempts: 2 });
    await patient.send(new DescribeTableCommand({ TableName: "orders" }));
    expect(effects).toEqual(["orders", "orders"]);
  });

  test("ends the connection over HTTP", async () => {
    const server = await aws.listen(0);
    aws.faults.add({ ...on, kind: "refuse", error: "timeout", times: 1 });
    const table = new DynamoDBClient({
      region: "us-east-1",
      endpoint: server.url,
      credentials: aws.administrator,
      maxAttempts: 1,
    });
    const send = () => errorName(table.send(new DescribeTableCommand({ TableName: "orders" })));
    expect(await send()).not.toBe("none");
    expect(effects).toEqual([]);
    expect(await send()).toBe("none");
    table.destroy();
    await server.close();
  });
});

describe("a fault of a function's run", () => {
  const run = { service: "lambda", operation: "Run" };
  const counting = () => {
    let runs = 0;
    aws.functions.set("count", async () => ++runs);
    return () => aws.functions.invoke("count", {});
  };

  test("keeps it from running, or lets it fail when its work is done", async () => {
    const invoke = counting();
    aws.faults.add({ ...run, kind: "refuse", times: 1 });
    aws.faults.add({ ...run, kind: "fail-after", times: 1, skip: 1 });
    await expect(invoke()).rejects.toThrow("Injected fault");
    await expect(invoke()).rejects.toThrow("Injected fault");
    expect(await invoke()).toBe(2);
  });

  test("runs it twice, for what is delivered at least once", async () => {
    const invoke = counting();
    aws.faults.add({
      ...run,
      kind: "duplicate",
      when: (input) => (input as { functionName: string }).functionName === "count", // as the kernel gives it
    });
    expect(await invoke()).toBe(2);
  });
});

describe("a function that crashes", () => {
  const on = { service: "lambda", operation: "Run", kind: "crash" } as const;
  /** Asks for three tables in turn, and says how far it came. */
  const working = (came: string[]) => async () => {
    const names = ["one", "two", "three"];
    for (const name of names) came.push(`${name}: ${await call(name)}`);
    return names.length;
  };

  test("dies while it makes a call: that one has its effect, and nothing follows it", async () => {
    const came: string[] = [];
    aws.functions.set("work", working(came));
    aws.faults.add({ ...on, atCall: 2, times: 1 });
    await expect(aws.functions.invoke("work", {})).rejects.toThrow("Runtime exited");
    await aws.settle();
    expect(came[0]).toBe("one: none");
    expect(effects).toEqual(["one", "two"]);
    expect(await aws.functions.invoke("work", {})).toBe(3);
  });

  test("lives where it makes fewer calls than that", async () => {
    aws.functions.set("work", working([]));
    aws.faults.add({ ...on, atCall: 4 });
    expect(await aws.functions.invoke("work", {})).toBe(3);
  });

  test("begins with an empty memory the next time, as after a time-out", async () => {
    const begin = () => {
      let runs = 0;
      return async ({ hang = false }: { hang?: boolean }) => {
        runs += 1;
        if (hang) await new Promise(() => {});
        else if (runs === 2) await call();
        return runs;
      };
    };
    aws.functions.set("count", begin(), { restart: begin, timeoutMs: 1_000 });
    const invoke = (event = {}) => aws.functions.invoke("count", event);
    aws.faults.add({ ...on, atCall: 1, times: 2, skip: 1 });
    expect(await invoke()).toBe(1);
    await expect(invoke()).rejects.toThrow("Runtime exited");
    expect(await invoke()).toBe(1);
    const hangs = expect(invoke({ hang: true })).rejects.toThrow("timed out");
    await aws.advance(1_000);
    await hangs;
    expect(await invoke()).toBe(1);
  });

  test("does nothing more once its time is over, whatever was under way", async () => {
    const came: string[] = [];
    aws.functions.set("work", working(came), { timeoutMs: 1_000 });
    aws.faults.add({ service: "dynamodb", kind: "delay", delayMs: 2_000, times: 1 });
    const asked = expect(aws.functions.invoke("work", {})).rejects.toThrow("timed out");
    await vi.waitFor(() => expect(aws.faults.list()).toMatchObject([{ struck: 1 }]), {
      interval: 1,
    });
    await aws.advance(1_000);
    await asked;
    await aws.advance(1_000);
    expect(effects).toEqual(["one"]);
    expect(came.filter((line) => line.endsWith("none"))).toEqual([]);
  });

  test("is told at which call, and is nothing but a function", () => {
    expect(() => aws.faults.add({ ...on })).toThrow(RangeError);
    expect(() => aws.faults.add({ kind: "crash", service: "sts", atCall: 1 })).toThrow(RangeError);
  });
});

test("a session that ends during a delay is dead when its call arrives", async () => {
  const { aws, role, assume, client } = createAccount({ services: { dynamodb: toyDynamodb } });
  await role("app");
  const keys = await assume("app", { DurationSeconds: 900 });
  aws.faults.add({ ...on, kind: "delay", delayMs: 900_000 });
  const table = new DynamoDBClient(client(keys));
  const answer = errorName(table.send(new DescribeTableCommand({ TableName: "orders" })));
  await struck(aws.faults);
  await aws.advance(900_000);
  expect(await answer).toBe("ExpiredTokenException");
});

describe("a plan", () => {
  test("adds delays up and refuses only once", () => {
    const faults = createFaults();
    faults.add({ kind: "delay", delayMs: 1 });
    faults.add({ kind: "refuse", error: { code: "A" } });
    faults.add({ kind: "refuse", error: { code: "B" }, times: 1 });
    faults.add({ kind: "delay", delayMs: 2 });
    expect(faults.strike("sts", "AssumeRole", {})).toEqual({
      delayMs: 3,
      runs: 1,
      refuse: { code: "A" },
    });
    expect(faults.list().map(({ struck }) => struck)).toEqual([1, 1, 0, 1]);
  });

  test("loses deliveries and deletions, and nothing that has an answer", () => {
    const faults = createFaults();
    faults.add({ operation: "Deliver", kind: "lose" });
    faults.add({ service: "sqs", operation: "DeleteMessage", kind: "lose" });
    expect(faults.strike("events", "Deliver", {}).runs).toBe(0);
    expect(() => faults.add({ kind: "lose" })).toThrow(RangeError);
    expect(() => faults.add({ operation: "PutItem", kind: "lose" })).toThrow(RangeError);
  });

  test("takes no delay without its length", () => {
    expect(() => createFaults().add({ kind: "delay" })).toThrow(RangeError);
  });
});
