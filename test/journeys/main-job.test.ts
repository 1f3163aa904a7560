import {
  CreateBucketCommand,
  GetObjectCommand,
  PutObjectCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import { demoJobPayload } from "@stint/local/payloads";
import { beforeEach, describe, expect, test } from "vitest";
import { createWorld, grantIn, holding, s3Of, type World } from "./world.ts";

let world: World;
beforeEach(async () => {
  world = await createWorld();
  await new S3Client({ ...world.administrator, forcePathStyle: true }).send(
    new CreateBucketCommand({ Bucket: "orders-it" }),
  );
});

const requestGrant = async (claims = {}, body = {}, headers = {}) =>
  world.call("POST", "/v1/grants", {
    token: await world.jobToken(claims),
    body: { profile: "orders-integration", ...body },
    headers,
  });

describe("a job's access", () => {
  test("works in its namespace, is denied outside it, and dies with the job", async () => {
    const answer = await requestGrant();
    expect(answer.status).toBe(201);
    const grant = grantIn(answer);
    expect(grant.state).toBe("active");
    expect(grant.rule).toBe("orders-main");
    expect(grant.namespace).toBe(`it-${grant.id}`);
    expect(answer.body.token).toMatch(/^stint_g/);
    const s3 = s3Of(world, answer.body.credentials.aws);
    const key = `${grant.namespace}/order.json`;
    await s3.send(new PutObjectCommand({ Bucket: "orders-it", Key: key, Body: "{}" }));
    const read = await s3.send(new GetObjectCommand({ Bucket: "orders-it", Key: key }));
    expect(await read.Body?.transformToString()).toBe("{}");
    await expect(
      s3.send(new PutObjectCommand({ Bucket: "orders-it", Key: "it-other/x", Body: "x" })),
    ).rejects.toMatchObject({ name: "AccessDenied" });

    const reported = await world.github("workflow_job", demoJobPayload("completed"));
    expect(reported.status).toBe(202);
    const { body } = await world.call("GET", `/v1/grants/${grant.id}`, {
      token: answer.body.token,
    });
    expect(body.grant).toMatchObject({ state: "ended", why: "job_ended" });
    expect(body.grant.deniedAt).toBeDefined();
    // IAM spreads a change after a second.
    await world.advance(1_000);
    await expect(
      s3.send(new GetObjectCommand({ Bucket: "orders-it", Key: key })),
    ).rejects.toMatchObject({ name: "AccessDenied" });
    // The one call that AWS answers to a dead session.
    const sts = new STSClient(holding(world, answer.body.credentials.aws));
    const who = await sts.send(new GetCallerIdentityCommand({}));
    expect(who.Arn).toContain(`/orders-integration/${grant.id}`);
    expect(world.aws.errors).toEqual([]);
  });

  test("ends at its lease's end without anybody's doing", async () => {
    const answer = await requestGrant({}, { lease: "60s" });
    const s3 = s3Of(world, answer.body.credentials.aws);
    const put = () =>
      s3.send(
        new PutObjectCommand({
          Bucket: "orders-it",
          Key: `${grantIn(answer).namespace}/x`,
          Body: "x",
        }),
      );
    const until = Date.parse(answer.body.credentials.aws.expiration);
    world.aws.faults.add({ service: "iam", kind: "refuse", error: { code: "ServiceFailure" } });
    await world.advance(until - world.aws.clock.now() - 1);
    await put();
    await world.advance(1_001);
    await expect(put()).rejects.toMatchObject({ name: "AccessDenied" });
  });

  test("is scheduled to end, and ends by its schedule at its end", async () => {
    const answer = await requestGrant({}, { duration: "5m" });
    expect(grantIn(answer).endsAt).toBe(
      new Date(Math.floor((world.aws.clock.now() + 300_000) / 1000) * 1000).toISOString(),
    );
    await world.advance(301_000);
    const { body } = await world.call("GET", `/v1/grants/${grantIn(answer).id}`, {
      token: answer.body.token,
    });
    expect(body.grant).toMatchObject({ state: "ended", why: "expired" });
  });
});
