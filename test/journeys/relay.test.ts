/** The stream's reader that takes access away: what one batch asks of it, and what of it comes again. */
import { beforeEach, expect, test } from "vitest";
import { deniedIds, intercept, ROLE, type Witness, watch } from "./witness.ts";
import { createWorld, grantIn, insideSuite, type World } from "./world.ts";

const OTHER = "arn:aws:iam::000000000000:role/stint/other";

let world: World;
let sent: Array<{ readonly role: string; readonly name: string }>;
beforeEach(async () => {
  world = await createWorld({ maxAttempts: 1 });
  sent = [];
  intercept(world.aws.services.sqs.operations, "SendMessage", (next, input) => {
    // As the operation's own schema has it.
    const { MessageBody, MessageDeduplicationId: name } = input as Record<string, string>;
    if (name !== undefined) sent.push({ role: JSON.parse(MessageBody ?? "").role, name });
    return next();
  });
});

const record = (SequenceNumber: string, NewImage: object) => ({
  eventName: "INSERT",
  dynamodb: { SequenceNumber, NewImage },
});
const denial = (sequence: string, role = ROLE) =>
  record(sequence, { sk: { S: `DENY#g${sequence.padStart(15, "0")}` }, role: { S: role } });
const ended = (sequence: string, id: string) =>
  record(sequence, { grant: { M: { id: { S: id }, state: { S: "ended" } } } });
const relay = (...Records: object[]) => world.stint.invoke("relay", { Records });
const names = () => sent.map(({ name }) => name);

insideSuite("a batch of changes", () => {
  test("marks each of its roles once, however many denials it holds", async () => {
    await relay(denial("1"), denial("2", OTHER), denial("3"), denial("4"));
    expect(sent.map(({ role }) => role).toSorted()).toEqual([ROLE, OTHER].toSorted());
  });

  test("is the same message when it comes again, and another when more stands behind it", async () => {
    await relay(denial("1"), denial("2"));
    await relay(denial("1"), denial("2"));
    await relay(denial("1"), denial("2"), denial("3"));
    await relay(denial("1"));
    const [first, again, longer, shorter] = names();
    expect(again).toBe(first);
    expect(longer).not.toBe(first);
    expect([first, longer]).not.toContain(shorter);
  });

  test("is not held up by one change of it that fails, and comes again from that one on", async () => {
    world.aws.faults.add({ service: "scheduler", operation: "DeleteSchedule", kind: "refuse" });
    const answer = await relay(
      denial("1", OTHER),
      ended("2", "g000000000000002"),
      denial("3"),
      ended("4", "g000000000000004"),
    );
    expect(answer).toEqual({ batchItemFailures: [{ itemIdentifier: "2" }] });
    expect(sent.map(({ role }) => role).toSorted()).toEqual([ROLE, OTHER].toSorted());
  });

  test("comes again from its first denial on when the role could not be marked", async () => {
    world.aws.faults.add({ service: "sqs", operation: "SendMessage", kind: "refuse", times: 1 });
    const batch = [ended("1", "g000000000000001"), denial("2"), denial("3")];
    expect(await relay(...batch)).toEqual({ batchItemFailures: [{ itemIdentifier: "2" }] });
    expect(sent).toEqual([]);
    expect(await relay(...batch)).toEqual({ batchItemFailures: [] });
    expect(sent).toHaveLength(1);
  });
});

test("a denial written while the batch before it is worked on is denied like every other", async () => {
  const witness: Witness = await watch(world);
  const open = async (run: number) => {
    const token = await world.jobToken({ run_id: String(run) });
    const answer = await world.call("POST", "/v1/grants", {
      token,
      body: { profile: "orders-integration" },
    });
    return { id: grantIn(await witness.take(answer)).id, token: answer.body.token };
  };
  const grants = await Promise.all(Array.from({ length: 6 }, (_, i) => open(5_000 + i)));
  await world.aws.settle();
  let waiting = grants.slice(1);
  intercept(world.aws.iam.operations, "PutRolePolicy", async (next) => {
    const more = waiting;
    waiting = [];
    const done = await next();
    // The list is written, and its worker does not know yet that there is more to write.
    for (const { id, token } of more) await world.call("DELETE", `/v1/grants/${id}`, { token });
    return done;
  });
  const [first] = grants;
  await world.call("DELETE", `/v1/grants/${first?.id}`, { token: first?.token });
  await world.aws.settle();
  expect((await deniedIds(world)).toSorted()).toEqual(grants.map(({ id }) => id).toSorted());
});
