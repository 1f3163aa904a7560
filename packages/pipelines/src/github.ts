/** GitHub Actions: tokens of github.com, ghe.com and GitHub Enterprise Server, and the webhooks of all three. */
import { createHmac, timingSafeEqual } from "node:crypto";
import { GrantError } from "@stint/core/error";
import type { JobPrincipal } from "@stint/core/principal";
import * as z from "zod/mini";
import {
  claimText,
  type Fact,
  type Headers,
  type Pipeline,
  type TokenClaims,
  unauthenticated,
} from "./pipeline.ts";

const NAME = "github";

/** Besides the standard ones: the reference's table, and what the issuer's own `claims_supported` adds to it. */
const CLAIMS = [
  "base_ref",
  "check_run_id",
  "enterprise",
  "enterprise_id",
  "environment",
  "environment_node_id",
  "event_name",
  "head_ref",
  "issuer_scope",
  "job_workflow_ref",
  "job_workflow_sha",
  "ref",
  "ref_protected",
  "ref_type",
  "repository",
  "repository_id",
  "repository_owner",
  "repository_owner_id",
  "repository_visibility",
  "run_attempt",
  "run_id",
  "run_number",
  "runner_environment",
  "sha",
  "workflow",
  "workflow_ref",
  "workflow_sha",
] as const;

/** The id names the person as surely as the login does. */
const PERSONAL = ["actor", "actor_id"] as const;

const ID = /^[1-9][0-9]{0,19}$/;

export interface Subject {
  readonly owner: string;
  readonly repository: string;
  /** Only in the immutable form, and then both. */
  readonly ids?: { readonly owner: string; readonly repository: string };
  /** What follows the repository, decoded: `["ref", "refs/heads/main"]`, `["pull_request"]`, or a custom template's. */
  readonly context: readonly string[];
}

const REPOSITORY = /^([^/@]+)(?:@([1-9][0-9]*))?\/([^/@]+)(?:@([1-9][0-9]*))?$/;

/**
 * Reads a `sub` that starts with its repository: `repo:O/R:…`, or `repo:O@1/R@2:…` for repositories made or renamed
 * since 2026-07-15. Undefined for any other, since organizations may write templates of their own.
 */
export function parseSubject(sub: string): Subject | undefined {
  const [kind, name, ...rest] = sub.split(":");
  if (kind !== "repo" || name === undefined) return undefined;
  const [, owner, ownerId, repository, repositoryId] = REPOSITORY.exec(name) ?? [];
  if (owner === undefined || repository === undefined) return undefined;
  if ((ownerId === undefined) !== (repositoryId === undefined)) return undefined;
  const context = rest.map((part) => part.replaceAll("%3A", ":"));
  if (ownerId === undefined || repositoryId === undefined) return { owner, repository, context };
  return { owner, repository, ids: { owner: ownerId, repository: repositoryId }, context };
}

/** Whether it is one of GitHub's own contexts, and not a template's, which may name the actor. */
const isDefault = ({ context: [kind, ...values] }: Subject): boolean =>
  kind === "pull_request"
    ? values.length === 0
    : (kind === "ref" || kind === "environment") && values.length === 1;

function requiredId(claims: Readonly<Record<string, string>>, name: string): string {
  const value = claims[name];
  if (value === undefined)
    throw unauthenticated(
      `the token has no claim ${name}`,
      "tokens of GitHub Actions name their job; an old GitHub Enterprise Server may not",
    );
  if (!ID.test(value)) throw unauthenticated(`the token's claim ${name} is not an id`);
  return value;
}

function principal(token: TokenClaims, issuer: string): JobPrincipal {
  const claims: Record<string, string> = {};
  const personal: Record<string, string> = {};
  for (const name of CLAIMS) {
    const value = claimText(token, name);
    if (value !== undefined) claims[name] = value;
  }
  for (const name of PERSONAL) {
    const value = claimText(token, name);
    if (value !== undefined) personal[name] = value;
  }
  const repository = requiredId(claims, "repository_id");
  const owner = requiredId(claims, "repository_owner_id");
  const run = requiredId(claims, "run_id");
  const attempt = requiredId(claims, "run_attempt");
  const job = requiredId(claims, "check_run_id");
  // A token that hides its event could be one of `pull_request_target`.
  if (!claims.event_name) throw unauthenticated("the token has no claim event_name");

  const sub = claimText(token, "sub");
  if (sub !== undefined) {
    const subject = parseSubject(sub);
    if (subject === undefined && sub.startsWith("repo:"))
      throw unauthenticated("the token's claim sub names its repository in an unknown form");
    // Rules match on the id claims alone; a subject that says otherwise is not a token that GitHub makes.
    if (subject?.ids && (subject.ids.owner !== owner || subject.ids.repository !== repository))
      throw unauthenticated("the token's claim sub names other ids than its own claims do");
    (subject && isDefault(subject) ? claims : personal).sub = sub;
  }
  return {
    kind: "job",
    id: [NAME, new URL(issuer).host, repository, run, attempt, job].join(":"),
    claims,
    ...(Object.keys(personal).length === 0 ? {} : { personal }),
    job: { pipeline: NAME, issuer, run, attempt, job },
  };
}

const SIGNATURE = /^sha256=[0-9a-f]{64}$/;

/** Over bytes, not text: decoding would change a body that is not UTF-8, and with it the signature. */
function verify(rawBody: Uint8Array, headers: Headers, secret: string): boolean {
  const signature = headers["x-hub-signature-256"];
  // Everybody can sign with an empty secret, so one that failed to load must not open the door.
  if (secret === "" || signature === undefined || !SIGNATURE.test(signature)) return false;
  const expected = createHmac("sha256", secret).update(rawBody).digest();
  return timingSafeEqual(expected, Buffer.from(signature.slice("sha256=".length), "hex"));
}

function deliveryId(headers: Headers): string {
  const id = headers["x-github-delivery"];
  if (id === undefined || !/^[0-9A-Za-z-]{1,64}$/.test(id))
    throw new GrantError("invalid_request", "the header X-GitHub-Delivery is missing or not an id");
  return id;
}

const Count = z.int().check(z.positive());

const Action = z.object({ action: z.string() });

const WorkflowJob = z.object({
  workflow_job: z.object({
    run_id: Count,
    run_attempt: z.nullish(Count),
    // Only the last segment is looked at: hosts and paths differ between github.com and a server of one's own.
    check_run_url: z.string().check(z.regex(/\/[1-9][0-9]{0,19}$/, "does not end in an id")),
  }),
});

const WorkflowRun = z.object({
  workflow_run: z.object({ id: Count, run_attempt: z.nullish(Count) }),
});

function parse<T>(schema: z.ZodMiniType<T>, event: string, body: unknown): T {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new GrantError(
    "invalid_request",
    `the ${event} payload is malformed: ${issue?.path.join(".") || "body"}: ${issue?.message}`,
  );
}

function facts(headers: Headers, body: unknown, issuer: string): readonly Fact[] {
  const event = headers["x-github-event"];
  if (event === undefined)
    throw new GrantError("invalid_request", "the header X-GitHub-Event is missing");
  if (event !== "workflow_job" && event !== "workflow_run") return [];
  if (parse(Action, event, body).action !== "completed") return [];

  if (event === "workflow_run") {
    const { id, run_attempt } = parse(WorkflowRun, event, body).workflow_run;
    const attempt = String(run_attempt ?? 1);
    return [{ kind: "run.ended", pipeline: NAME, issuer, run: String(id), attempt }];
  }
  const { run_id, run_attempt, check_run_url } = parse(WorkflowJob, event, body).workflow_job;
  const job = check_run_url.slice(check_run_url.lastIndexOf("/") + 1);
  const attempt = String(run_attempt ?? 1);
  return [
    { kind: "job.ended", job: { pipeline: NAME, issuer, run: String(run_id), attempt, job } },
  ];
}

export const github: Pipeline = {
  name: NAME,
  publicIssuers: ["https://token.actions.githubusercontent.com"],
  claims: {
    claims: CLAIMS,
    // Names can be given up and taken by somebody else; these cannot.
    ids: ["repository_id", "repository_owner_id", "enterprise_id"],
    // Both run with the base repository's rights on what a fork proposes.
    untrustedEvents: { claim: "event_name", values: ["pull_request_target", "workflow_run"] },
  },
  personalClaims: PERSONAL,
  tokensOnDemand: true,
  documents: { jti: true, nbf: true },
  principal,
  webhook: { signatureHeader: "x-hub-signature-256", verify, deliveryId, facts },
};
