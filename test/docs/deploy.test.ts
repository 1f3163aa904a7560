/** What docs/deploy.md tells a reader to write and to run, as far as it goes without an account. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "@stint/cli/main";
import { afterAll, beforeAll, expect, test } from "vitest";
import { world } from "../../packages/cli/test/world.ts";

const page = readFileSync("docs/deploy.md", "utf8");
const blocks = (language: string) =>
  [...page.matchAll(new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``, "g"))].map(
    ([, text = ""]) => text,
  );

/** What a deployment prints, and the page leaves open. */
const PRINTED: Readonly<Record<string, string>> = {
  "<broker>": "arn:aws:iam::111122223333:role/stint-functions/stint-production-api",
  "<revoker>": "arn:aws:iam::111122223333:role/stint-functions/stint-production-revoke",
  "<doctor>": "stint-production-doctor",
  "<auditBucket>": "stint-production-audit-111122223333-eu-west-1",
};

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "stint-deploy-"));
  writeFileSync(join(directory, "stint.yaml"), blocks("yaml")[0] ?? "");
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const commands = blocks("sh")
  .flatMap((block) => block.split("\n"))
  .flatMap((line) => (line.startsWith("npx stint ") ? [line.slice("npx stint ".length)] : []));

const told = async (command: string, env: Readonly<Record<string, string>>) => {
  const words = command
    .split(" ")
    .map((word) => PRINTED[word] ?? word.replace(/^stint\.yaml$/, join(directory, "stint.yaml")));
  const { io, out, err } = world({ env });
  return { code: await run(words, io), text: `${out()}${err()}` };
};

test("its configuration is one, and its check says so", async () => {
  expect(commands[0]).toBe("policy check stint.yaml");
  expect(await told(commands[0] ?? "", {})).toMatchObject({
    code: 0,
    text: expect.stringContaining("profiles: 1, rules: 1, nothing wrong"),
  });
});

test("its other commands are complete: nothing keeps them from asking AWS", async () => {
  const others = commands.slice(1);
  expect(others.map((command) => command.split(" ")[0])).toEqual(["doctor", "audit"]);
  // Where nobody answers.
  const env = {
    AWS_ENDPOINT_URL: "http://127.0.0.1:9",
    AWS_REGION: "eu-west-1",
    AWS_ACCESS_KEY_ID: "key",
    AWS_SECRET_ACCESS_KEY: "secret",
  };
  for (const command of others)
    expect((await told(command, env)).text, command).toMatch(/ECONNREFUSED/);
}, 60_000);
