/** The runtime itself, and each function's first and last moments in it. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { DOORS, SETTINGS } from "@stint/functions/deployment";
import { demoJobPayload } from "@stint/local/payloads";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createWorld, grantIn } from "../journeys/world.ts";
import { answered, logs, stopAll } from "./functions.ts";
import { type Environment, startEnvironment } from "./lambda.ts";

let directory = "";
let environment: Environment | undefined;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "stint-lambda-"));
});
afterEach(async () => {
  await environment?.stop();
  environment = undefined;
  rmSync(directory, { recursive: true, force: true });
});

const running = async (code: string, timeoutMs = 10_000): Promise<Environment> => {
  writeFileSync(join(directory, "index.cjs"), code);
  environment = await startEnvironment({
    name: "probe",
    directory,
    env: {},
    timeoutMs,
    now: () => 1_800_000_000_000,
  });
  return environment;
};

describe("the runtime", () => {
  test("hands events to one process, one after the other, with the account's time", async () => {
    const probe = await running(
      "let at = 0, n = 0; exports.handler = async (event, context) => { if (at++) throw new Error('two at once'); await new Promise((r) => setTimeout(r, 5)); at--; return { n: ++n, event, now: Date.now(), id: context.awsRequestId, left: context.getRemainingTimeInMillis() }; };",
    );
    const answers = await Promise.all([1, 2, 3].map((event) => probe.invoke(event)));
    expect(answers).toMatchObject([
      { n: 1, event: 1 },
      { n: 2, event: 2 },
      { n: 3, event: 3 },
    ]);
    for (const answer of answers as Array<{ now: number; left: number }>) {
      expect(Math.abs(answer.now - 1_800_000_000_000)).toBeLessThan(60_000);
      expect(answer.left).toBeLessThanOrEqual(10_000);
    }
    expect(probe.starts).toBe(1);
  });

  test("tells what a handler threw, and goes on with the same process", async () => {
    const probe = await running(
      "exports.handler = async (event) => { if (event.fail) throw new RangeError('too far'); return 'fine'; };",
    );
    await expect(probe.invoke({ fail: true })).rejects.toMatchObject({
      type: "RangeError",
      message: "too far",
    });
    expect(await probe.invoke({})).toBe("fine");
    expect(probe.starts).toBe(1);
  });

  test("ends one that takes too long, and begins anew", async () => {
    const probe = await running(
      "exports.handler = async (event) => { if (event.hang) await new Promise((r) => setTimeout(r, 60_000)); return 'fine'; };",
      500,
    );
    await expect(probe.invoke({ hang: true })).rejects.toMatchObject({ type: "Sandbox.Timedout" });
    expect(await probe.invoke({})).toBe("fine");
    expect(probe.starts).toBe(2);
  });

  test("survives a process that dies in the middle", async () => {
    const probe = await running(
      "exports.handler = async (event) => { if (event.die) process.exit(3); return 'fine'; };",
    );
    await expect(probe.invoke({ die: true })).rejects.toMatchObject({ type: "Runtime.ExitError" });
    expect(await probe.invoke({})).toBe("fine");
  });

  test("tells why a function does not even start", async () => {
    const probe = await running("throw new TypeError('no such thing');");
    await expect(probe.invoke({})).rejects.toMatchObject({
      message: expect.stringContaining("no such thing"),
    });
  });
});

describe("a function", () => {
  const TOLD = DOORS.filter((door) => SETTINGS[door].length > 0);
  const BUNDLES = process.env.STINT_TEST_BUNDLES ?? "";

  test.each(TOLD)(
    "%s does not run where the deployment left out what it needs, and says what",
    async (door) => {
      environment = await startEnvironment({
        name: `stint-${door}`,
        directory: resolve(BUNDLES, door),
        env: { AWS_REGION: "us-east-1" },
        timeoutMs: 10_000,
        now: Date.now,
      });
      await expect(environment.invoke({})).rejects.toMatchObject({
        message: expect.stringMatching(/^STINT_[A-Z_]+ is not set$/),
      });
    },
  );

  test("each of them runs, and none fails, over one job's end, another's expiry, a night and a check of the roles", async () => {
    answered.clear();
    const world = await createWorld();
    // On time, so that the sweeper is not first.
    world.aws.services.scheduler.configure({ fireLateMs: 0 });
    const request = async (claims = {}) =>
      world.call("POST", "/v1/grants", {
        token: await world.jobToken(claims),
        body: { profile: "orders-integration", duration: "5m" },
      });
    expect((await request()).status).toBe(201);
    expect((await world.github("workflow_job", demoJobPayload("completed"))).status).toBe(202);
    expect((await request({ check_run_id: "2" })).status).toBe(201);
    await world.advance(6 * 60_000);
    await world.stint.invoke("doctor", { profile: "orders-integration" });
    await world.stint.invoke("reconcile", {});
    // Of a grant that is not there: what clearing takes is the story of a database.
    const body = JSON.stringify({ grant: "g000000000000001" });
    const asked = { messageId: "1", receiptHandle: "1", body, attributes: {} };
    await world.stint.invoke("clear", { Records: [asked] });
    await world.aws.settle();
    expect([...answered].toSorted()).toEqual([...DOORS].toSorted());
    expect(world.aws.errors).toEqual([]);
    await stopAll();
  });

  test("logs nothing that opens anything, in a process of its own as in ours", async () => {
    const world = await createWorld();
    const token = await world.jobToken();
    const answer = await world.call("POST", "/v1/grants", {
      token,
      body: { profile: "orders-integration" },
    });
    const { secretAccessKey, sessionToken } = answer.body.credentials.aws;
    await world.call("DELETE", `/v1/grants/${grantIn(answer).id}`, { token: answer.body.token });
    await world.aws.settle();
    await world.advance(2 * 60_000);
    logs.length = 0;
    await stopAll();
    const written = logs.join("\n");
    expect(written).toContain('"status":201');
    expect(written).toContain('"message":"sweep"');
    const environmentSecrets = ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
    for (const secret of [
      token,
      answer.body.token,
      secretAccessKey,
      sessionToken,
      ...environmentSecrets,
    ])
      expect(written).not.toContain(secret);
  });

  test.each([
    ["missing", (file: string) => rmSync(file)],
    ["cut off", (file: string) => writeFileSync(file, readFileSync(file).subarray(0, 100_000))],
  ])("whose engine of decisions is %s grants nothing", async (_, harm) => {
    cpSync(BUNDLES, directory, { recursive: true });
    harm(join(directory, "api", "cedar_wasm_bg.wasm"));
    const world = await createWorld({ bundles: directory });
    const token = await world.jobToken();
    const ask = () =>
      world.call("POST", "/v1/grants", { token, body: { profile: "orders-integration" } });
    for (const answer of [await ask(), await ask()])
      expect(answer).toMatchObject({ status: 500, body: { code: "internal" } });
    expect(await world.items()).toEqual([]);
    await stopAll();
  });

  test("is what is deployed: no preload, no test is in a bundle", () => {
    for (const door of DOORS) {
      const code = readFileSync(join(BUNDLES, door, "index.cjs"), "utf8");
      expect(code).not.toMatch(/STINT_TEST|stint-clock|rapid-client/);
      expect(code).not.toContain("pg-native");
    }
  });
});
