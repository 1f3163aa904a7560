/** Which issuers are believed, and as what. Decided before anything is fetched: a token cannot send us anywhere. */
import type { Issuer } from "@stint/core/profile";
import type { Pipeline } from "./pipeline.ts";
import { pipelines } from "./registry.ts";

interface Place {
  /** The issuer that rules, job keys and principal ids name: exactly its tokens' `iss`, unless another stands in. */
  readonly url: string;
  /** On a laptop: the issuer that signs in its place. Tokens must name exactly this one, and its keys are fetched. */
  readonly standIn?: string;
}

export type TrustedIssuer =
  | (Place & {
      readonly kind: "pipeline";
      readonly pipeline: Pipeline;
      /** Name of the SSM parameter that holds its webhook's secret. */
      readonly webhookSecret?: string;
    })
  | (Place & { readonly kind: "login"; readonly login: string });

/** https, or plain http that does not leave this machine. */
export const isSafe = ({ protocol, hostname }: URL): boolean =>
  protocol === "https:" ||
  (protocol === "http:" && ["127.0.0.1", "[::1]", "localhost"].includes(hostname));

/** Tokens are compared with it byte by byte, so a second spelling of one issuer would be another issuer. */
function checkUrl(text: string): void {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined) throw new Error(`issuer ${text}: not a URL`);
  if (!isSafe(url)) throw new Error(`issuer ${text}: must be https, or http on loopback`);
  if (url.username || url.password || url.search || url.hash || /[?#]/.test(text))
    throw new Error(`issuer ${text}: must have no user, query or fragment`);
  if (url.href !== text && url.href !== `${text}/`)
    throw new Error(`issuer ${text}: write it as ${url.href}, as its tokens do`);
}

const LOGIN = /^[a-z0-9][a-z0-9-]*$/;

function trusted(issuer: Issuer, registry: Readonly<Record<string, Pipeline>>): TrustedIssuer {
  const { url, pipeline: name, login, webhookSecret } = issuer;
  checkUrl(url);
  if ((name === undefined) === (login === undefined))
    throw new Error(`issuer ${url}: must have either a pipeline or a login`);
  if (login !== undefined) {
    // It becomes part of principal ids, between colons.
    if (!LOGIN.test(login)) throw new Error(`issuer ${url}: login ${login} is not a-z, 0-9 and -`);
    if (Object.hasOwn(registry, login))
      throw new Error(`issuer ${url}: login ${login} has the name of a pipeline`);
    if (webhookSecret !== undefined)
      throw new Error(`issuer ${url}: a login has no webhook, so no webhookSecret`);
    return { kind: "login", url, login };
  }
  const pipeline = name !== undefined && Object.hasOwn(registry, name) ? registry[name] : undefined;
  if (pipeline === undefined) throw new Error(`issuer ${url}: pipeline ${name} is unknown`);
  return {
    kind: "pipeline",
    url,
    pipeline,
    ...(webhookSecret === undefined ? {} : { webhookSecret }),
  };
}

/** Under it are the parameters of public issuers' webhook secrets, where the configuration names no other. */
const PUBLIC_SECRETS = "/stint/webhooks/";

/**
 * The configuration's list and the pipelines' public issuers. An entry for a public one may add its webhook's secret
 * but not make it something else. @throws Error where the list cannot be meant
 */
export function trustedIssuers(
  issuers: readonly Issuer[],
  registry: Readonly<Record<string, Pipeline>> = pipelines,
  publicSecrets = PUBLIC_SECRETS,
): readonly TrustedIssuer[] {
  const byUrl = new Map<string, TrustedIssuer>();
  const logins = new Set<string>();
  for (const issuer of issuers) {
    const entry = trusted(issuer, registry);
    if (byUrl.has(entry.url)) throw new Error(`issuer ${entry.url}: is listed twice`);
    if (entry.kind === "login") {
      // Two issuers under one name could each make up the other's subjects.
      if (logins.has(entry.login))
        throw new Error(`issuer ${entry.url}: login ${entry.login} is taken`);
      logins.add(entry.login);
    }
    byUrl.set(entry.url, entry);
  }
  for (const pipeline of Object.values(registry)) {
    for (const url of pipeline.publicIssuers) {
      const entry = byUrl.get(url) ?? { kind: "pipeline", url, pipeline };
      if (entry.kind === "login" || entry.pipeline !== pipeline)
        throw new Error(`issuer ${url}: is the public issuer of ${pipeline.name}`);
      byUrl.set(url, { webhookSecret: `${publicSecrets}${pipeline.name}`, ...entry });
    }
  }
  const all = [...byUrl.values()];
  checkSecrets(all);
  return all;
}

/** A webhook's issuer is the one whose secret signed it, so no two may have the same. */
function checkSecrets(issuers: readonly TrustedIssuer[]): void {
  const names = issuers.flatMap((one) =>
    one.kind === "pipeline" && one.webhookSecret !== undefined ? [one.webhookSecret] : [],
  );
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined) throw new Error(`webhookSecret ${twice}: is two issuers' secret`);
}
