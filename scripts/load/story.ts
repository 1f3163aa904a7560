/** One grant's story: a job asks, refreshes a few times, and somebody or something ends it. */
import { createHmac } from "node:crypto";
import { webhookSecret } from "@stint/local/stint";
import type * as z from "zod";
import { type Credential, credentialIn, issued, opened, works } from "../bench/credential.ts";
import type { Answer, System } from "../bench/system.ts";
import { BUCKET, OWNERS, profileName } from "./configuration.ts";

export const ENDINGS = ["release", "webhook", "revoke", "expiry"] as const;
export type Ending = (typeof ENDINGS)[number];

/** What a call is counted as. */
export type Kind = "open" | "refresh" | Exclude<Ending, "expiry">;

export interface Plan {
  readonly number: number;
  readonly profile: string;
  readonly ending: Ending;
  readonly refreshes: number;
  readonly lease: string;
  readonly duration: string;
  /** Its credentials are tried. */
  readonly sampled: boolean;
}

/** What is left of a story: what its caller knows. */
export interface Told {
  readonly plan: Plan;
  id: string;
  /** When its last lease was asked for, by local time. */
  askedAt: number;
  readonly credentials: Credential[];
  /** When its end was answered, by local time; undefined where nobody asked for one. */
  endAskedAt?: number;
  /** Whether its first credential worked when it was handed out; undefined where nobody tried. */
  worked?: boolean;
}

/** Plans of `count` grants, in turns over the roles; every hundredth is sampled, and always some. */
export function plans(count: number, roles: number, random: () => number): Plan[] {
  const sampleEvery = Math.max(1, Math.min(100, Math.floor(count / 20)));
  const oneOf = <T>(choices: readonly [T, ...T[]]): T =>
    choices[Math.floor(random() * choices.length)] ?? choices[0];
  return Array.from({ length: count }, (_, number) => {
    const ending = oneOf(ENDINGS);
    return {
      number,
      profile: profileName(number % roles),
      ending,
      refreshes: Math.floor(random() * 4),
      lease: oneOf(["60s", "2m", "5m"]),
      // The others end long before.
      duration: ending === "expiry" ? oneOf(["2m", "3m", "4m"]) : "30m",
      sampled: number % sampleEvery === 0,
    };
  });
}

/** Calls one after the other; each yields what it is, and is made by whoever goes on. */
export async function* story(
  system: System,
  told: Told,
): AsyncGenerator<{ readonly kind: Kind; readonly call: () => Promise<Answer> }, void, Answer> {
  const { plan } = told;
  const run = String(1_000_000 + plan.number);
  const job = String(9_000_000 + plan.number);
  const claims = { run_id: run, run_attempt: "1", check_run_id: job };
  const { profile, duration, lease } = plan;
  const jobToken = await system.issuer.mint("github", claims);
  const asked = JSON.stringify({ profile, duration, lease });
  const first = yield {
    kind: "open",
    call: () => system.call("POST", "/v1/grants", { token: jobToken, body: asked }),
  };
  const { grant, token } = take(opened, told, first, 201);
  told.id = grant.id;
  keep(told, first);
  const [own] = told.credentials;
  if (plan.sampled && own !== undefined) told.worked = await works(system, BUCKET, own);

  for (let left = plan.refreshes; left > 0; left--) {
    const again = yield {
      kind: "refresh",
      call: () => {
        told.askedAt = system.aws.clock.now();
        const path = `/v1/grants/${grant.id}/credentials`;
        return system.call("POST", path, { token, body: JSON.stringify({ lease }) });
      },
    };
    take(issued, told, again, 200);
    keep(told, again);
  }

  const end = (answer: Answer) => {
    expectStatus(told, answer, 202);
    told.endAskedAt = system.aws.clock.now();
  };
  if (plan.ending === "release") {
    const call = () => system.call("DELETE", `/v1/grants/${grant.id}`, { token });
    end(yield { kind: "release", call });
  } else if (plan.ending === "revoke") {
    const owner = await system.issuer.mint("local", { sub: "load-owner", groups: [OWNERS] });
    const call = () => system.call("DELETE", `/v1/grants/${grant.id}`, { token: owner });
    end(yield { kind: "revoke", call });
  } else if (plan.ending === "webhook") {
    const call = () => system.call("POST", "/v1/webhooks/github", jobEnd(run, job));
    end(yield { kind: "webhook", call });
  }
}

/** GitHub's report, as far as it is read, signed. */
function jobEnd(run: string, job: string) {
  const body = JSON.stringify({
    action: "completed",
    workflow_job: {
      run_id: Number(run),
      run_attempt: 1,
      check_run_url: `https://api.github.com/repos/Codertocat/Hello-World/check-runs/${job}`,
    },
  });
  const signature = createHmac("sha256", webhookSecret("github")).update(body).digest("hex");
  return {
    body,
    headers: {
      "x-github-event": "workflow_job",
      "x-github-delivery": `load-${job}`,
      "x-hub-signature-256": `sha256=${signature}`,
    },
  };
}

/** A story that is answered otherwise is at its end, and the run has failed. */
function expectStatus({ plan }: Told, { status, body }: Answer, expected: number): void {
  if (status !== expected)
    throw new Error(`grant ${plan.number} was answered ${status} ${JSON.stringify(body)}`);
}

function take<T>(schema: z.ZodType<T>, told: Told, answer: Answer, status: number): T {
  expectStatus(told, answer, status);
  return schema.parse(answer.body);
}

const keep = (told: Told, { body }: Answer): void => {
  told.credentials.push(credentialIn(body));
};
