/** What a token says, read without believing it: for explaining, never for deciding. */

import { GrantError } from "@stint/core/error";
import type { JobPrincipal, Principal } from "@stint/core/principal";
import type { Config } from "@stint/core/profile";
import { trustedIssuers } from "@stint/pipelines/issuers";
import { claimText, type Pipeline, type TokenClaims } from "@stint/pipelines/pipeline";
import { pipelines } from "@stint/pipelines/registry";
import { usage } from "./failure.ts";

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The claims of a JWT. Nothing is verified. Undefined where it is none. */
export function readClaims(token: string): TokenClaims | undefined {
  const [, payload, ...rest] = token.trim().split(".");
  if (payload === undefined || rest.length !== 1) return undefined;
  try {
    const claims: unknown = JSON.parse(Buffer.from(payload, "base64url").toString("utf8"));
    return isObject(claims) ? claims : undefined;
  } catch {
    return undefined;
  }
}

export interface Supposed {
  readonly principal: Principal;
  /** Why a token with these claims would be turned away at the door, whatever the rules say. */
  readonly flaw?: string;
}

/**
 * Whom these claims would be for, under this configuration. Claims may be written by hand and incomplete, which is
 * how one asks "what if".
 */
export function suppose(claims: TokenClaims, config: Config): Supposed {
  const { iss, login } = claims;
  if (typeof login === "string") return { principal: person(login, claims) };
  const issuers = trustedIssuers(config.issuers);
  if (iss === undefined) return supposeJob(onlyPipeline(claims), claims);
  const issuer = issuers.find(({ url }) => url === iss);
  if (issuer === undefined)
    throw usage(
      `the issuer ${String(iss)} is not trusted by this configuration`,
      `trusted: ${issuers.map(({ url }) => url).join(", ")}; of a local server's token that server knows: --remote`,
    );
  return issuer.kind === "login"
    ? { principal: person(issuer.login, claims) }
    : supposeJob(issuer.pipeline, claims, issuer.url);
}

function onlyPipeline({ pipeline }: TokenClaims): Pipeline {
  const known = Object.values(pipelines);
  const found =
    typeof pipeline === "string" ? known.find(({ name }) => name === pipeline) : known[0];
  if (found === undefined)
    throw usage(
      `there is no pipeline ${String(pipeline)}`,
      `pipelines: ${known.map(({ name }) => name).join(", ")}`,
    );
  return found;
}

function supposeJob(pipeline: Pipeline, claims: TokenClaims, given?: string): Supposed {
  const issuer = given ?? pipeline.publicIssuers[0] ?? "https://issuer.invalid";
  try {
    return { principal: pipeline.principal(claims, issuer) };
  } catch (error) {
    if (!(error instanceof GrantError)) throw error;
    return { principal: incomplete(pipeline, claims, issuer), flaw: error.message };
  }
}

/** As much of a job as the claims name; rules then say which others they miss. */
function incomplete(pipeline: Pipeline, claims: TokenClaims, issuer: string): JobPrincipal {
  const texts: Record<string, string> = {};
  for (const name of pipeline.claims.claims) {
    const value = claims[name];
    if (["string", "number", "boolean"].includes(typeof value))
      texts[name] = claimText(claims, name) ?? "";
  }
  const job = { pipeline: pipeline.name, issuer, run: "?", attempt: "?", job: "?" };
  return { kind: "job", id: `${pipeline.name}:?`, claims: texts, job };
}

function person(login: string, claims: TokenClaims): Principal {
  const { sub, groups = [] } = claims;
  if (typeof sub !== "string") throw usage("a person's claims need sub, the subject");
  if (!Array.isArray(groups) || !groups.every((group) => typeof group === "string"))
    throw usage("groups has to be a list of texts");
  return { kind: "person", id: `person:${login}:${sub}`, claims: { login, sub }, groups };
}
