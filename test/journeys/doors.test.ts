import { CreateRoleCommand, IAMClient } from "@aws-sdk/client-iam";
import { beforeAll, describe, expect, test } from "vitest";
import { createWorld, type World } from "./world.ts";

let world: World;
beforeAll(async () => {
  world = await createWorld();
});

const calls = (operation: string) =>
  world.aws.calls().filter((call) => call.operation === operation).length;

describe("the Scheduler's target", () => {
  test.each([
    ["nothing", null],
    ["no grant", {}],
    ["what is no id", { grant: "../../x" }],
    ["a field more", { grant: "g000000000000000", force: true }],
  ])("given %s does nothing", async (_, event) => {
    const before = calls("TransactWriteItems");
    await expect(world.stint.invoke("expire", event)).rejects.toThrow();
    expect(calls("TransactWriteItems")).toBe(before);
  });

  test("given a grant that does not exist does nothing, and is done", async () => {
    await expect(world.stint.invoke("expire", { grant: "g000000000000000" })).resolves.toBeNull();
  });
});

describe("a schedule of the grant's name", () => {
  const at = () => world.aws.clock.now() + 600_000;

  test("with the right time is taken for our own earlier attempt", async () => {
    const { schedules } = world.stint.app("api").deps;
    const time = at();
    await schedules.create("g000000000000001", time);
    await expect(schedules.create("g000000000000001", time)).resolves.toBeUndefined();
  });

  test("with another time does not count", async () => {
    const { schedules } = world.stint.app("api").deps;
    await schedules.create("g000000000000002", at() + 3_600_000);
    await expect(schedules.create("g000000000000002", at())).rejects.toMatchObject({
      name: "ConflictException",
    });
  });
});

describe("the dirty roles' worker", () => {
  const message = (messageId: string, body: string) => ({
    messageId,
    receiptHandle: messageId,
    attributes: { ApproximateReceiveCount: "1" },
    body,
  });
  const revoke = (...Records: Array<ReturnType<typeof message>>) =>
    world.stint.invoke("revoke", { Records });
  const role = "arn:aws:iam::000000000000:role/stint/orders-integration";

  test("keeps what it cannot do for a retry and does the rest", async () => {
    const answer = await revoke(
      message("no-json", "{"),
      message("no-role", "{}"),
      message("fine", JSON.stringify({ role, look: "check" })),
    );
    expect(answer).toEqual({
      batchItemFailures: [{ itemIdentifier: "no-json" }, { itemIdentifier: "no-role" }],
    });
  });

  test("writes on no role outside /stint/", async () => {
    const { store } = world.stint.app("revoke").deps;
    const foreign = "arn:aws:iam::000000000000:role/admin";
    const before = calls("PutRolePolicy");
    expect(await store.denials(foreign)).toEqual([]);
    expect(await revoke(message("a", JSON.stringify({ role: foreign, look: "check" })))).toEqual({
      batchItemFailures: [{ itemIdentifier: "a" }],
    });
    expect(calls("PutRolePolicy")).toBe(before);
  });

  test("may not write on a role under /stint/ that lacks our boundary", async () => {
    await new IAMClient(world.administrator).send(
      new CreateRoleCommand({
        RoleName: "unbounded",
        Path: "/stint/",
        AssumeRolePolicyDocument: JSON.stringify({
          Version: "2012-10-17",
          Statement: [
            {
              Effect: "Allow",
              Principal: { AWS: "arn:aws:iam::000000000000:root" },
              Action: "sts:AssumeRole",
            },
          ],
        }),
      }),
    );
    world.aws.iam.spread();
    const { denyList } = world.stint.app("revoke").deps;
    await expect(
      denyList.write("arn:aws:iam::000000000000:role/stint/unbounded", {
        ids: ["g000000000000000"],
      }),
    ).rejects.toMatchObject({ name: "AccessDenied" });
    await expect(denyList.write(role, { ids: ["g000000000000000"] })).resolves.toBe(true);
  });
});

describe("the stream's reader that ends access", () => {
  const record = (SequenceNumber: string, NewImage: object) => ({
    eventName: "INSERT",
    dynamodb: { SequenceNumber, NewImage },
  });

  test("says that it cannot read an item, and goes on behind it", async () => {
    const before = calls("SendMessage");
    const answer = await world.stint.invoke("relay", {
      Records: [
        record("1", { sk: { S: "DENY#g000000000000000" } }),
        record("2", { end: { S: "everything" } }),
        record("3", {
          sk: { S: "DENY#g000000000000000" },
          role: { S: "arn:aws:iam::000000000000:role/stint/orders-integration" },
        }),
      ],
    });
    expect(answer).toEqual({ batchItemFailures: [] });
    expect(calls("SendMessage")).toBe(before + 1);
    const alarms = world.logged.filter(({ message }) => message === "relay_unreadable");
    expect(alarms.map(({ details }) => details)).toMatchObject([
      { sequenceNumber: "1" },
      { sequenceNumber: "2" },
    ]);
  });
});
