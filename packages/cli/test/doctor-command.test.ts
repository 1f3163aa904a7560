/** How the doctor is asked and how it answers: arguments, exit codes, words, and what it leaves out. */
import { DeleteRolePermissionsBoundaryCommand } from "@aws-sdk/client-iam";
import { SESSION_SECONDS, trustDocument } from "@stint/aws/target-role";
import { describe, expect, test } from "vitest";
import { covers } from "../src/doctor/documents.ts";
import { judgeRole } from "../src/doctor/role.ts";
import { judgeSession } from "../src/doctor/sessions.ts";
import { judgeTrust } from "../src/doctor/trust.ts";
import { commandsIn, runAws } from "./aws-cli.ts";
import { BOUNDARY, BROKER, configuration, doctorWorld, REVOKER, ROLE } from "./doctor-world.ts";

describe("the command", () => {
  test("says one line for each finding, and what it looked at", async () => {
    const { iam, doctor, all } = await doctorWorld();
    const well = await doctor(...all);
    expect(well.code).toBe(0);
    expect(well.out).toBe("roles read: 1, sessions opened: 1, nothing wrong\n");
    expect(well.err).toMatch(/orders\.aws: a session takes \d+ % of what STS has/);

    await iam.send(new DeleteRolePermissionsBoundaryCommand({ RoleName: "orders" }));
    const ill = await doctor(...all);
    expect(ill.code).toBe(1);
    expect(ill.out).toBe(
      `${ROLE}: it has no permissions boundary. To do: aws iam put-role-permissions-boundary --role-name orders --permissions-boundary ${BOUNDARY}\nroles read: 1, sessions opened: 1, to do: 1\n`,
    );
  });

  test("says what it did not look at, and how to", async () => {
    const { doctor } = await doctorWorld();
    const { code, err } = await doctor("--broker", BROKER);
    expect(code).toBe(0);
    expect(err).toMatch(/not checked: the revoker: .*--revoker/);
    expect(err).toMatch(/not checked: the sessions and databases: .*--function/);
  });

  test("looks at one profile where one is named, and leaves roles of other accounts to their account", async () => {
    const elsewhere = "arn:aws:iam::111122223333:role/stint/reports";
    const { findings } = await doctorWorld(configuration({ orders: ROLE, reports: elsewhere }));
    const one = await findings("--profile", "orders");
    expect(one).toMatchObject({ code: 0, roles: [ROLE], skipped: [] });
    const both = await findings();
    expect(both.code).toBe(1);
    expect(both.findings).toMatchObject([{ code: "session.refused", subject: elsewhere }]);
    expect(both.skipped).toEqual([expect.stringContaining(`${elsewhere} is not in 000000000000`)]);
  });

  test("finds another account's revoker missing or open, and what it says mends it", async () => {
    const home = "arn:aws:iam::111122223333:role/stint-functions/stint-production-revoke";
    const { doctor, iam } = await doctorWorld();
    const ask = async () => {
      const { out } = await doctor("--broker", BROKER, "--revoker", home, "--json");
      return JSON.parse(out).findings as Array<{ code: string; fix: string; subject: string }>;
    };
    const subject = "arn:aws:iam::000000000000:role/stint-revoker";
    const [missing, ...none] = await ask();
    expect(none).toEqual([]);
    expect(missing).toMatchObject({ code: "revoker.missing", subject });
    await runAws(iam, missing?.fix ?? "");
    const [denied] = await ask();
    expect(denied).toMatchObject({ code: "revoker.denied", subject });
    await runAws(iam, denied?.fix ?? "");
    expect(await ask()).toEqual([]);
    await runAws(
      iam,
      `aws iam update-assume-role-policy --role-name stint-revoker --policy-document '${JSON.stringify(trustDocument(BROKER))}'`,
    );
    const [open] = await ask();
    expect(open).toMatchObject({ code: "revoker.trust", subject });
    await runAws(iam, open?.fix ?? "");
    expect(await ask()).toEqual([]);
  });

  test("has an exit code of its own for not having looked", async () => {
    const { doctor, all, aws } = await doctorWorld();
    for (const wrong of [
      [],
      ["--broker", "stint-api"],
      ["--broker", BROKER, "--revoker", "everybody"],
      ["--nonsense"],
      [...all, "--profile", "nothing"],
      [...all, "--config", "/nonexistent/stint.yaml"],
      [...all, "--format", "env"],
      ["--broker", BROKER, "--function", "nothing"],
    ]) {
      const { code, out, err } = await doctor(...wrong);
      expect(code, wrong.join(" ")).toBe(2);
      expect(out).toBe("");
      expect(err).not.toBe("");
    }
    expect((await doctor("--help")).code).toBe(0);
    aws.faults.add({
      service: "iam",
      operation: "GetRole",
      kind: "refuse",
      error: { code: "AccessDenied", status: 403, message: "no" },
    });
    const denied = await doctor(...all);
    expect(denied).toMatchObject({ code: 2, out: "" });
    expect(denied.err).toMatch(/AccessDenied/);
  });
});

describe("a role's facts", () => {
  const facts = {
    arn: ROLE,
    trust: JSON.stringify(trustDocument(BROKER)),
    boundary: BOUNDARY,
    maxSessionSeconds: SESSION_SECONDS,
    inline: [],
  };
  const expected = { role: ROLE, broker: BROKER, boundary: BOUNDARY };

  test("sessions shorter than a lease are found", () => {
    expect(judgeRole(facts, expected)).toEqual([]);
    expect(judgeRole({ ...facts, maxSessionSeconds: 1_800 }, expected)).toMatchObject([
      {
        code: "role.session",
        message: "its sessions end after 1800 s, and a lease may last 3600 s",
        fix: "aws iam update-role --role-name orders --max-session-duration 3600",
      },
    ]);
  });

  test("the deny list is no inline policy of somebody else's", () => {
    const inline = [{ name: "StintRevoked", document: "{}" }];
    expect(judgeRole({ ...facts, inline }, expected)).toEqual([]);
  });

  test("an inline policy too long for a managed one is to be divided first", () => {
    const inline = [{ name: "team", document: `{"x":"${"y".repeat(7_000)}"}` }];
    expect(judgeRole({ ...facts, inline }, expected)).toMatchObject([
      { code: "inline.others", fix: expect.stringMatching(/^divide team into .* 6144 characters/) },
    ]);
  });

  test.each([
    ["not JSON", "{"],
    ["a list", "[]"],
    ["statements of text", '{"Statement":["Allow"]}'],
  ])("a trust policy that is %s is found", (_, document) => {
    expect(judgeTrust(ROLE, document, BROKER)).toMatchObject([{ code: "trust.unreadable" }]);
  });

  test("a principal that was deleted is told as that", () => {
    const document = JSON.stringify(trustDocument("AROAEXAMPLEEXAMPLE123"));
    expect(judgeTrust(ROLE, document, BROKER).map(({ message }) => message)).toContain(
      "it lets in AROAEXAMPLEEXAMPLE123, which has been deleted, too",
    );
  });

  test("whoever leaves out whom or what is allowed means everybody and everything", () => {
    const document = JSON.stringify({
      Statement: { Effect: "Allow", NotPrincipal: { AWS: OTHER }, NotAction: "sts:TagSession" },
    });
    const codes = judgeTrust(ROLE, document, BROKER).map(({ code }) => code);
    expect(codes).toEqual(["trust.others", "trust.broker", "trust.more", "trust.identity"]);
  });

  const OTHER = "arn:aws:iam::000000000000:role/other";
});

describe("a session that was tried", () => {
  const tried = {
    target: "aws",
    role: ROLE,
    session: { opened: true as const },
    anonymous: { opened: false as const, error: "AccessDenied", message: "no" },
  };
  const failed = (error: string) => ({ opened: false as const, error, message: "told" });

  test("is well when it opens and its nameless twin is refused", () => {
    expect(judgeSession("orders", tried, BROKER)).toEqual([]);
  });

  test.each([
    [
      "a policy that STS cannot read",
      { session: failed("MalformedPolicyDocument") },
      "session.failed",
    ],
    ["a twin that failed otherwise", { anonymous: failed("Throttling") }, "session.untold"],
    ["a twin that opened", { anonymous: { opened: true as const } }, "session.anonymous"],
  ])("has a finding for %s", (_, more, code) => {
    expect(judgeSession("orders", { ...tried, ...more }, BROKER)).toMatchObject([{ code }]);
  });
});

test("patterns cover what IAM's do, and nothing is read as an expression", () => {
  expect(covers("iam:*", "IAM:PutRolePolicy")).toBe(true);
  expect(covers("iam:Create*", "iam:*")).toBe(false);
  expect(covers("s3:Get?bject", "s3:GetObject")).toBe(true);
  expect(covers("arn:aws:s3:::a.b", "arn:aws:s3:::axb")).toBe(false);
  expect(covers("a+(b)[c]|d", "a+(b)[c]|d")).toBe(true);
});

test("a fix can be pasted into a shell whatever is in its document", () => {
  expect(commandsIn(`aws iam x --a '{"b":"it'\\''s"}' && aws iam y`)).toEqual([
    ["aws", "iam", "x", "--a", `{"b":"it's"}`],
    ["aws", "iam", "y"],
  ]);
  expect(REVOKER).toContain("stint-revoke");
});
