/** The doctor's function: it runs as the broker, and is nobody's way to a session. */
import { DOORS, roleOf } from "@stint/functions/deployment";
import { describe, expect, test } from "vitest";
import { createWorld, inside, type World } from "./world.ts";

interface Asked {
  readonly RoleSessionName: string;
  readonly SourceIdentity?: string;
  readonly DurationSeconds: number;
  readonly Policy: string;
}

/** What is asked of STS, seen by a fault that never strikes. */
function watch({ aws }: World): Asked[] {
  const asked: Asked[] = [];
  aws.faults.add({
    service: "sts",
    operation: "AssumeRole",
    kind: "refuse",
    when: (input) => {
      asked.push(input as Asked); // as local STS has parsed it
      return false;
    },
  });
  return asked;
}

describe("the doctor", () => {
  test("tells how much of a token a profile's sessions take, and that none opens without a source identity", async () => {
    const world = await createWorld();
    const answer = await world.stint.invoke("doctor", { profile: "orders-integration" });
    expect(answer).toEqual({
      policyVersion: world.config.hash,
      targets: [
        {
          target: "aws",
          role: "arn:aws:iam::000000000000:role/stint/orders-integration",
          session: { opened: true, packedPercent: expect.any(Number) },
          anonymous: {
            opened: false,
            error: expect.stringMatching(/^AccessDenied/),
            message: expect.any(String),
          },
        },
      ],
      databases: [],
    });
  });

  // A bundle goes by its process's own clock.
  inside(
    "asks as the broker, for a grant that does not exist, and for an end that is now",
    async () => {
      const world = await createWorld();
      const asked = watch(world);
      await world.stint.invoke("doctor", { profile: "orders-integration" });
      const calls = world.aws.calls().filter(({ operation }) => operation === "AssumeRole");
      expect(calls.map(({ status }) => status).toSorted()).toEqual([200, 403]);
      for (const { caller } of calls)
        expect(caller).toContain("assumed-role/stint-api/stint-doctor");
      const now = new Date(world.aws.clock.now()).toISOString().replace(/\.\d+Z/, "Z");
      for (const { Policy, DurationSeconds } of asked) {
        expect(DurationSeconds).toBe(900);
        expect(JSON.parse(Policy).Statement).toContainEqual({
          Effect: "Deny",
          Action: "*",
          Resource: "*",
          Condition: { DateGreaterThanEquals: { "aws:CurrentTime": now } },
        });
      }
      expect(asked.map(({ SourceIdentity }) => SourceIdentity === undefined)).toContain(true);
      expect(await world.items()).toEqual([]);
    },
  );

  test("asks for as long a policy as a grant of the profile has", async () => {
    const world = await createWorld();
    const asked = watch(world);
    await world.stint.invoke("doctor", { profile: "orders-integration" });
    const token = await world.jobToken();
    await world.call("POST", "/v1/grants", { token, body: { profile: "orders-integration" } });
    const [tried, , granted] = asked;
    expect(granted).toBeDefined();
    expect(tried?.Policy.length).toBe(granted?.Policy.length);
  });

  test("answers no credential, and tells what STS refuses", async () => {
    const world = await createWorld();
    const open = JSON.stringify(
      await world.stint.invoke("doctor", { profile: "orders-integration" }),
    );
    expect(open).not.toMatch(/ASIA|secret|token"/i);
    world.aws.faults.add({
      service: "sts",
      operation: "AssumeRole",
      kind: "refuse",
      error: { code: "PackedPolicyTooLarge", status: 400, message: "131% of allotted space" },
    });
    expect(await world.stint.invoke("doctor", { profile: "orders-integration" })).toMatchObject({
      targets: [
        {
          session: {
            opened: false,
            error: "PackedPolicyTooLargeException",
            message: "131% of allotted space",
          },
        },
      ],
    });
  });

  test("has no targets for a profile that was not deployed", async () => {
    const world = await createWorld();
    for (const profile of ["nothing", "constructor", ""])
      expect(await world.stint.invoke("doctor", { profile })).toEqual({
        policyVersion: world.config.hash,
      });
  });

  test("takes nothing but a profile's name: an HTTP request is none", async () => {
    const world = await createWorld();
    const request = {
      version: "2.0",
      rawPath: "/",
      headers: {},
      requestContext: { requestId: "r", http: { method: "POST", path: "/" } },
      body: JSON.stringify({ profile: "orders-integration" }),
      isBase64Encoded: false,
    };
    for (const event of [
      request,
      { ...request, profile: "orders-integration" },
      {},
      null,
      "orders-integration",
      { profile: 1 },
      { profile: "orders-integration", more: true },
    ])
      await expect(world.stint.invoke("doctor", event), JSON.stringify(event)).rejects.toThrow();
    for (const path of ["/doctor", "/v1/doctor", "/v1/webhooks/doctor"])
      expect(
        (await world.call("POST", path, { body: { profile: "orders-integration" } })).status,
      ).toBe(404);
    expect(world.aws.calls().filter(({ operation }) => operation === "AssumeRole")).toEqual([]);
  });

  test("and the prover are the only functions under a role that is not their own", () => {
    expect(DOORS.filter((door) => roleOf(door) !== door)).toEqual(["prove", "doctor"]);
    expect(roleOf("doctor")).toBe("api");
    expect(roleOf("prove")).toBe("api");
  });
});
