/** The demo: one GitHub run from its first webhook to its audit log, each step with what was sent and what came back. */
import { spawn } from "node:child_process";
import { createHmac, randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import * as z from "zod";
import type { Dev } from "./dev.ts";
import { DEMO_CHECK_RUN, demoJobPayload } from "./payloads.ts";
import { webhookSecret } from "./stint.ts";

export interface Stage {
  print(line: string): void;
  /** Command line of `stint`, without its arguments. */
  readonly stint: readonly [string, ...string[]];
}

const demoTest = fileURLToPath(new URL("../demo/orders.test.ts", import.meta.url));
const PROFILE = "orders-integration";

/** Plays the story. Returns whether every step held. */
export async function tell(dev: Dev, stage: Stage): Promise<boolean> {
  const { print } = stage;
  let held = true;
  let number = 0;
  const step = (what: string, ok: boolean, answer: string) => {
    held &&= ok;
    print(`${String(++number).padStart(2)}. ${what}\n    ${ok ? "→" : "✗"} ${answer}`);
  };

  const report = async (action: "queued" | "in_progress" | "completed") => {
    const body = JSON.stringify(demoJobPayload(action));
    const signature = createHmac("sha256", webhookSecret("github")).update(body).digest("hex");
    const answer = await fetch(`${dev.url}/v1/webhooks/github`, {
      method: "POST",
      body,
      headers: {
        "content-type": "application/json",
        "x-github-event": "workflow_job",
        "x-github-delivery": randomUUID(),
        "x-hub-signature-256": `sha256=${signature}`,
      },
    });
    step(
      `GitHub reports the job ${action}: POST /v1/webhooks/github (workflow_job, check run ${DEMO_CHECK_RUN})`,
      answer.status === 202,
      String(answer.status),
    );
  };

  await report("queued");
  await report("in_progress");

  const token = await tokenOf(dev);
  step(
    "The job asks its pipeline for an identity token",
    token !== undefined,
    "a token for repository 186853002, run 2202229078, attempt 1, refs/heads/main",
  );

  const asking = run(stage.stint, ["exec", PROFILE, "--", process.execPath, "--test", demoTest], {
    ...environment(dev),
    STINT_TOKEN: token ?? "",
    STINT_DEMO: "1",
    // Node runs TypeScript as it is; the reporter that a person reads.
    NODE_OPTIONS: "",
  });
  step(
    `stint exec ${PROFILE} -- node --test orders.test.ts`,
    true,
    "started; its tests speak for themselves:",
  );
  let ending: Promise<void> | undefined;
  const { code, output } = await asking((line) => {
    const passed = /^(?:✔|ok \d+ -) (.*?)(?: \([\d.]+ms\))?(?: # .*)?$/.exec(line.trim());
    if (passed !== null) print(`      ✔ ${passed[1]}`);
    if (/holding the credentials/.test(line)) {
      print("      … it still holds its credentials, and uses them");
      ending ??= report("completed");
    }
  });
  await ending;
  step(
    "The same credentials, in the job that still runs, after its end was reported",
    code === 0 && ending !== undefined,
    code === 0 ? "AccessDenied; exit code 0" : `exit code ${code}\n${output}`,
  );

  const grant = await lastGrant(dev);
  step(
    `GET /v1/grants/${grant?.id ?? "?"}`,
    grant?.state === "ended" && grant.why === "job_ended",
    grant === undefined
      ? "no grant"
      : `${grant.state}, because ${grant.why}; denied ${grant.deniedAt}, dead by ${grant.deadBy} at the latest`,
  );

  const query = ["audit", "query", "--grant", grant?.id ?? "none"];
  const audit = await run(stage.stint, query, {
    ...environment(dev),
    ...administrator(dev),
  })(() => {});
  step(
    `stint audit query --grant ${grant?.id ?? "none"}`,
    audit.code === 0 &&
      audit.output.includes("grant.activated") &&
      audit.output.includes("grant.ended"),
    `who had access to what, when and why:\n${audit.output.trimEnd()}`,
  );
  return held;
}

const grantAnswer = z.object({
  grants: z.array(
    z.object({
      id: z.string(),
      state: z.string(),
      why: z.string().optional(),
      deniedAt: z.string().optional(),
      deadBy: z.string().optional(),
    }),
  ),
});

async function lastGrant(dev: Dev) {
  const owner = await dev.issuer.mint("local", { sub: "demo-owner", groups: ["orders-owners"] });
  const answer = await fetch(`${dev.url}/v1/grants?profile=${PROFILE}`, {
    headers: { authorization: `Bearer ${owner}` },
  });
  const parsed = grantAnswer.safeParse(await answer.json());
  return parsed.data?.grants[0];
}

async function tokenOf(dev: Dev): Promise<string | undefined> {
  const answer = await fetch(`${dev.url}/_local/token`, {
    method: "POST",
    body: JSON.stringify({ pipeline: "github" }),
  });
  return z.object({ token: z.string() }).safeParse(await answer.json()).data?.token;
}

const environment = (dev: Dev): NodeJS.ProcessEnv => ({
  PATH: process.env.PATH,
  HOME: process.env.HOME,
  NO_COLOR: "1",
  STINT_URL: dev.url,
  AWS_ENDPOINT_URL: dev.awsUrl,
  AWS_REGION: dev.aws.world.region,
});

const administrator = (dev: Dev) => ({
  AWS_ACCESS_KEY_ID: dev.aws.administrator.accessKeyId,
  AWS_SECRET_ACCESS_KEY: dev.aws.administrator.secretAccessKey,
  STINT_AUDIT_BUCKET: dev.stint.settings.STINT_AUDIT_BUCKET,
});

/** Runs a command; each line of its output is told as it comes. */
function run(
  command: readonly [string, ...string[]],
  args: readonly string[],
  env: NodeJS.ProcessEnv,
) {
  const [program, ...first] = command;
  const child = spawn(program, [...first, ...args], { env, stdio: ["ignore", "pipe", "pipe"] });
  return async (
    onLine: (line: string) => void,
  ): Promise<{ code: number | null; output: string }> => {
    let output = "";
    let rest = "";
    const read = (chunk: Buffer) => {
      output += chunk.toString();
      rest += chunk.toString();
      const lines = rest.split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) onLine(line);
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", resolve);
    });
    return { code, output };
  };
}
