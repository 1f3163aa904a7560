import {
  CreatePolicyCommand,
  CreateRoleCommand,
  IAMClient,
  PutRolePolicyCommand,
} from "@aws-sdk/client-iam";
import { STSClient } from "@aws-sdk/client-sts";
import { createDenyList } from "@stint/aws/deny-list";
import { createRevokers } from "@stint/aws/revokers";
import {
  boundaryDocument,
  REVOKER_NAME,
  revokerDocument,
  revokerTrustDocument,
} from "@stint/aws/target-role";
import { createVirtualClock } from "@stint/local/clock";
import { localAws, type StandardAws } from "@stint/local/local-aws";
import { beforeEach, describe, expect, test } from "vitest";

/** The account that the roles are in; Stint is in another. */
const ACCOUNT = "000000000000";
const HOME = "111122223333";
const BOUNDARY = `arn:aws:iam::${ACCOUNT}:policy/stint-target`;
const role = (name: string) => `arn:aws:iam::${ACCOUNT}:role/stint/${name}`;

let aws: StandardAws;
let settings: StandardAws["client"];
beforeEach(async () => {
  // SDK clients hold a session until its end by real time.
  aws = localAws({ clock: createVirtualClock(Date.now()) });
  settings = aws.client;
  const iam = new IAMClient(settings);
  await iam.send(
    new CreatePolicyCommand({
      PolicyName: "stint-target",
      PolicyDocument: JSON.stringify(boundaryDocument()),
    }),
  );
  const trust = JSON.stringify(revokerTrustDocument(`arn:aws:iam::${ACCOUNT}:root`));
  for (const [RoleName, bounded] of [
    ["bounded", true],
    ["unbounded", false],
  ] as const)
    await iam.send(
      new CreateRoleCommand({
        RoleName,
        Path: "/stint/",
        AssumeRolePolicyDocument: trust,
        ...(bounded ? { PermissionsBoundary: BOUNDARY } : {}),
      }),
    );
  await iam.send(
    new CreateRoleCommand({ RoleName: REVOKER_NAME, AssumeRolePolicyDocument: trust }),
  );
  await iam.send(
    new PutRolePolicyCommand({
      RoleName: REVOKER_NAME,
      PolicyName: "own",
      PolicyDocument: JSON.stringify(revokerDocument({ account: ACCOUNT, boundary: BOUNDARY })),
    }),
  );
  aws.iam.spread();
});

const denyListFrom = (account: string) => {
  const made: string[] = [];
  const list = createDenyList(
    createRevokers({
      account,
      sts: new STSClient(settings),
      iam: (session) => {
        made.push(session === undefined ? "own" : "session");
        return new IAMClient(
          session === undefined ? settings : { ...settings, credentials: session },
        );
      },
    }),
  );
  return { list, made };
};

describe("a role of another account", () => {
  test("is written on through the account's own revoker role, by one client", async () => {
    const { list, made } = denyListFrom(HOME);
    expect(await list.read(role("bounded"))).toBeUndefined();
    expect(await list.write(role("bounded"), { ids: ["g0123456789abcde"] })).toBe(true);
    expect(await list.read(role("bounded"))).toEqual({ ids: ["g0123456789abcde"] });
    expect(made).toEqual(["session"]);
    const calls = aws.calls().filter(({ operation }) => operation === "AssumeRole");
    expect(calls).toHaveLength(1);
  });

  test("is not written on where it lacks the boundary", async () => {
    const { list } = denyListFrom(HOME);
    await expect(
      list.write(role("unbounded"), { ids: ["g0123456789abcde"] }),
    ).rejects.toMatchObject({ name: "AccessDenied" });
  });
});

test("a role of Stint's own account is written on by Stint itself", async () => {
  const { list, made } = denyListFrom(ACCOUNT);
  expect(await list.write(role("bounded"), { ids: [], watermark: 1_795_000_000_000 })).toBe(true);
  expect(await list.read(role("bounded"))).toEqual({ ids: [], watermark: 1_795_000_000_000 });
  expect(made).toEqual(["own"]);
});
