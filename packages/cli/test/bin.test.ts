/** The command as a user runs it: a process of its own, with real signals. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { type Api, GRANT, serve, TOKEN } from "./api.ts";

const BIN = fileURLToPath(new URL("../bin/stint.ts", import.meta.url));

function stint(api: Api, argv: readonly string[]): ChildProcess {
  return spawn(process.execPath, [BIN, ...argv], {
    env: { PATH: process.env.PATH, STINT_URL: api.url, STINT_TOKEN: "oidc-token" },
    stdio: ["ignore", "pipe", "pipe"],
  });
}

test("SIGTERM goes through to the child, whose code comes back after the release", async () => {
  await using api = await serve();
  const script =
    "process.on('SIGTERM', () => process.exit(9)); setInterval(() => {}, 1e3); console.log('ready')";
  const command = stint(api, ["exec", "orders-integration", "--", process.execPath, "-e", script]);
  command.stdout?.once("data", () => command.kill("SIGTERM"));
  const [code] = await once(command, "close");
  expect(code).toBe(9);
  expect(api.calls.at(-1)).toMatchObject({
    method: "DELETE",
    path: GRANT,
    headers: { authorization: `Bearer ${TOKEN}` },
  });
});

test("dev serves on the ports that it is given, until it is told to end", async () => {
  const ports = ["--port", "0", "--aws-port", "0", "--oidc-port", "0"];
  const command = spawn(process.execPath, [BIN, "dev", ...ports], {
    env: { PATH: process.env.PATH },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [first] = await once(command.stdout, "data");
  const url = /http:\/\/127\.0\.0\.1:\d+/.exec(String(first))?.[0];
  expect((await fetch(`${url}/healthz`)).status).toBe(200);
  command.stdout.resume();
  command.kill("SIGTERM");
  expect((await once(command, "close"))[0]).toBe(0);
});

test("a reader that stops reading is no fault", async () => {
  await using api = await serve();
  const command = stint(api, ["--help"]);
  command.stdout?.destroy();
  let told = "";
  command.stderr?.on("data", (chunk) => {
    told += chunk;
  });
  const [code] = await once(command, "close");
  expect([code, told]).toEqual([0, ""]);
});
