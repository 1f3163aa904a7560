import type { Keeping } from "@stint/broker/deps";
import type { Tombstones } from "@stint/broker/ports";
import { reportJobs } from "@stint/broker/webhooks";
import { GrantError } from "@stint/core/error";
import type { TrustedIssuer } from "@stint/pipelines/issuers";
import type { App } from "./app.ts";
import { handlerOf } from "./door.ts";
import { type HttpRequest, http, jsonOf, type Route } from "./edge.ts";
import { reporting, secretsOf, signersOf } from "./live.ts";
import { reply } from "./problem.ts";

const MAX_WEBHOOK = 5_000_000;

type WebhookApp = Pick<App, "issuers" | "secrets" | "log"> & {
  readonly deps: Keeping<Tombstones>;
};

type PipelineIssuer = Extract<TrustedIssuer, { kind: "pipeline" }>;

/** Webhooks of pipelines: they only end things, and their issuer is the one whose secret signed them. */
export const webhookRoute: Route<WebhookApp> = {
  method: "POST",
  path: "/v1/webhooks/{pipeline}",
  maxBytes: MAX_WEBHOOK,
  endpoint: async (request, app) => {
    const { pipeline, url } = await signerOf(request, app);
    const { webhook } = pipeline;
    const body = jsonOf(request.body);
    const id = webhook.deliveryId(request.headers, body);
    const facts = webhook.facts(request.headers, body, url);
    await reportJobs(app.deps, facts, { pipeline: pipeline.name, id });
    return reply(202, { accepted: true });
  },
};

/** The issuer whose secret made the signature. Every secret is tried before anything in the body is believed. */
async function signerOf(request: HttpRequest, app: WebhookApp): Promise<PipelineIssuer> {
  const name = request.path.pipeline ?? "";
  const candidates = app.issuers.filter(
    (issuer): issuer is PipelineIssuer =>
      issuer.kind === "pipeline" && issuer.pipeline.name === name,
  );
  if (candidates.length === 0)
    throw new GrantError("route_not_found", "there is no pipeline of that name");
  for (const issuer of candidates) {
    const { webhookSecret: parameter } = issuer;
    const secret = parameter === undefined ? undefined : await app.secrets.get(parameter);
    // No secret means that nobody can sign, not that anybody may.
    if (secret === undefined || secret === "") continue;
    if (await issuer.pipeline.webhook.verify(request.body, request.headers, secret)) return issuer;
  }
  throw new GrantError("unauthenticated", "the webhook's signature is missing or wrong", {
    hint: `the secret in the pipeline's settings must be the one in Stint's parameter`,
  });
}

export const webhook = (app: WebhookApp) => http(app, [webhookRoute]);

export const handler = handlerOf(webhook, (outside) => ({
  deps: reporting(outside),
  issuers: signersOf(outside),
  secrets: secretsOf(outside),
  log: outside.log,
}));
