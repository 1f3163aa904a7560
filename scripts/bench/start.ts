/** How long a newcomer waits. */
import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type Bench, median, RUNS, rounded } from "./row.ts";

const START = fileURLToPath(new URL("../../packages/local/bin/start.ts", import.meta.url));
const PATIENCE_MS = 30_000;

/** A port that nobody listens on at the moment. */
const freePort = () =>
  new Promise<number>((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });

/** From the command to the first answer, in ms. */
async function startOnce(): Promise<number> {
  const [api, aws, oidc] = await Promise.all([freePort(), freePort(), freePort()]);
  const env = {
    ...process.env,
    STINT_PORT: String(api),
    STINT_AWS_PORT: String(aws),
    STINT_OIDC_PORT: String(oidc),
  };
  const started = performance.now();
  const child = spawn(process.execPath, [START], { env, stdio: "ignore" });
  const closed = new Promise((resolve) => child.once("close", resolve));
  try {
    for (;;) {
      const answer = await fetch(`http://127.0.0.1:${api}/healthz`).catch(() => undefined);
      if (answer?.status === 200) return performance.now() - started;
      if (performance.now() - started > PATIENCE_MS || child.exitCode !== null)
        throw new Error("npm start did not come up");
      await sleep(5);
    }
  } finally {
    child.kill("SIGKILL");
    await closed;
  }
}

/** Node alone, for scale. */
async function nodeOnce(): Promise<number> {
  const started = performance.now();
  const child = spawn(process.execPath, ["-e", ""], { stdio: "ignore" });
  await new Promise((resolve) => child.once("close", resolve));
  return performance.now() - started;
}

export const start: Bench = async (size) => {
  const ours: number[] = [];
  const bare: number[] = [];
  // The first one warms the disk's cache, as an install just has.
  for (let run = size === "full" ? -1 : 0; run < RUNS[size]; run++) {
    const [own, node] = [await startOnce(), await nodeOnce()];
    if (run < 0) continue;
    ours.push(own);
    bare.push(node);
  }
  return [
    {
      name: "npm start to first answer",
      measured: rounded(median(ours) / 1000),
      unit: "s",
      budget: 3,
      parts: { "node -e '' s": rounded(median(bare) / 1000) },
      note: `${RUNS[size]} processes of their own: node packages/local/bin/start.ts until GET /healthz answers 200`,
    },
  ];
};
