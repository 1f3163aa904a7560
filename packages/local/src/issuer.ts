/**
 * The local OIDC issuer: stands for every pipeline's and login's own, each under its name. What it signs is verified
 * by the same code, with keys fetched the same way, as what GitHub signs.
 */
import { GrantError } from "@stint/core/error";
import type { Pipeline } from "@stint/pipelines/pipeline";
import {
  CompactSign,
  type CryptoKey,
  calculateJwkThumbprint,
  exportJWK,
  generateKeyPair,
  type JWK,
} from "jose";

type Claims = Readonly<Record<string, unknown>>;

export interface LocalIssuerOptions {
  /** Epoch ms. */
  readonly now: () => number;
  /** Uniform in [0, 1): what `jti`s are drawn from. */
  readonly random?: () => number;
  readonly audience: string;
  /** Where it listens, without a slash at the end; asked late, since a port may be chosen while starting. */
  readonly baseUrl: () => string;
  readonly pipelines: Readonly<Record<string, Pipeline>>;
  /** Names of the login issuers that it stands for. */
  readonly logins?: readonly string[];
}

export interface IssuerResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface LocalIssuer {
  /** `iss` of the tokens made under `name`, to be put among the trusted issuers. */
  url(name: string): string;
  /**
   * A token of the pipeline or login `name`: standard and documented claims are filled in, those given replace them,
   * sensible or not. @throws GrantError invalid_request
   */
  mint(name: string, claims?: Claims): Promise<string>;
  handle(request: { readonly method: string; readonly path: string }): IssuerResponse;
  /** Signs with a new key from now on. The old ones stay published unless `forget` says otherwise. Returns its `kid`. */
  rotate(options?: { readonly forget?: boolean }): Promise<string>;
}

interface SigningKey {
  readonly kid: string;
  readonly privateKey: CryptoKey;
  readonly jwk: JWK;
}

async function makeKey(): Promise<SigningKey> {
  const { publicKey, privateKey } = await generateKeyPair("RS256", { modulusLength: 2048 });
  const jwk = await exportJWK(publicKey);
  const kid = await calculateJwkThumbprint(jwk);
  return { kid, privateKey, jwk: { ...jwk, kid, alg: "RS256", use: "sig" } };
}

/**
 * One push to the demo's repository: the run, job and commit are those of the `workflow_job` payloads of
 * Codertocat/Hello-World in @octokit/webhooks-examples, so that tokens and webhooks speak of the same job.
 */
const HELLO_WORLD = {
  repository: "Codertocat/Hello-World",
  repository_id: "186853002",
  repository_owner: "Codertocat",
  repository_owner_id: "21031067",
  repository_visibility: "public",
  run_id: "2202229078",
  run_number: "1",
  run_attempt: "1",
  check_run_id: "1291536064",
  actor: "Codertocat",
  actor_id: "21031067",
  event_name: "push",
  ref: "refs/heads/main",
  ref_protected: "false",
  base_ref: "",
  head_ref: "",
  sha: "3484a3fb816e0859fd6e1cea078d76385ff50625",
  workflow: "CodeQL",
  runner_environment: "github-hosted",
};

function githubClaims(given: Claims): Claims {
  const claims: Claims = { ...HELLO_WORLD, ...given };
  const { repository, ref, sha, environment, event_name } = claims;
  const workflow = `${repository}/.github/workflows/codeql-analysis.yml@${ref}`;
  // GitHub's order: an environment hides the event, and the event hides the ref.
  const context =
    environment !== undefined
      ? `environment:${String(environment).replaceAll(":", "%3A")}`
      : event_name === "pull_request"
        ? "pull_request"
        : `ref:${ref}`;
  return {
    sub: `repo:${repository}:${context}`,
    ref_type: String(ref).startsWith("refs/tags/") ? "tag" : "branch",
    workflow_ref: workflow,
    workflow_sha: sha,
    job_workflow_ref: workflow,
    job_workflow_sha: sha,
    ...claims,
  };
}

/** What a pipeline documents beyond the standard claims, given what the caller wants said. */
const DOCUMENTED: Readonly<Record<string, (given: Claims) => Claims>> = { github: githubClaims };

const PERSON: Claims = { sub: "local-person", groups: [], name: "Local Person" };

const PIPELINE_SECONDS = 5 * 60;
const PERSON_SECONDS = 3600;
/** GitHub dates its tokens back, for relying parties whose clocks are behind. */
const BACKDATED_SECONDS = 10 * 60;

const answer = (status: number, document: unknown): IssuerResponse => ({
  status,
  headers: { "content-type": "application/json", "cache-control": "no-store" },
  body: JSON.stringify(document),
});

/** Makes its first key before it resolves, so that no request waits for one. */
export async function createLocalIssuer(options: LocalIssuerOptions): Promise<LocalIssuer> {
  const { now, random = Math.random, audience, baseUrl, pipelines, logins = [] } = options;
  let keys: readonly [SigningKey, ...SigningKey[]] = [await makeKey()];

  // `github.2` is the second issuer of github.
  const pipelineOf = (name: string): string => name.replace(/\.[1-9][0-9]?$/, "");
  const isPipeline = (name: string): boolean => Object.hasOwn(pipelines, pipelineOf(name));
  const isKnown = (name: string): boolean => isPipeline(name) || logins.includes(name);
  const url = (name: string): string => `${baseUrl()}/${name}`;
  const jwks = (): IssuerResponse => answer(200, { keys: keys.map(({ jwk }) => jwk) });

  /** Not secret and not unguessable: with a seeded `random` a simulation repeats itself. */
  const uuid = (): string => {
    const hex = Array.from({ length: 32 }, () => Math.floor(random() * 16).toString(16)).join("");
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  };

  return {
    url,
    async mint(name, claims = {}) {
      if (!isKnown(name))
        throw new GrantError("invalid_request", "no pipeline or login has that name", {
          hint: `known are ${[...Object.keys(pipelines), ...logins].join(", ")}`,
        });
      const iat = Math.floor(now() / 1000);
      const seconds = isPipeline(name) ? PIPELINE_SECONDS : PERSON_SECONDS;
      const documented = isPipeline(name) ? DOCUMENTED[pipelineOf(name)]?.(claims) : PERSON;
      const payload = {
        iss: url(name),
        aud: audience,
        iat,
        nbf: iat - BACKDATED_SECONDS,
        exp: iat + seconds,
        jti: uuid(),
        ...documented,
        ...claims,
      };
      const [{ kid, privateKey }] = keys;
      // Signed as bytes: jose's own JWT builder would refuse the wrong claims that tests ask for.
      return new CompactSign(Buffer.from(JSON.stringify(payload)))
        .setProtectedHeader({ alg: "RS256", kid, typ: "JWT" })
        .sign(privateKey);
    },

    handle({ method, path }) {
      const [plain = ""] = path.split("?");
      const [, name, file] =
        /^(?:\/([^/]+))?\/\.well-known\/(openid-configuration|jwks\.json)$/.exec(plain) ?? [];
      const keysOfAll = name === undefined && file === "jwks.json";
      if (!keysOfAll && (name === undefined || !isKnown(name)))
        return answer(404, { error: "not_found" });
      if (method !== "GET" && method !== "HEAD") {
        const refused = answer(405, { error: "method_not_allowed" });
        return { ...refused, headers: { ...refused.headers, allow: "GET, HEAD" } };
      }
      if (file === "jwks.json" || name === undefined) return jwks();
      return answer(200, {
        issuer: url(name),
        jwks_uri: `${url(name)}/.well-known/jwks.json`,
        response_types_supported: ["id_token"],
        subject_types_supported: ["public"],
        id_token_signing_alg_values_supported: ["RS256"],
        scopes_supported: ["openid"],
      });
    },

    async rotate({ forget = false } = {}) {
      const key = await makeKey();
      keys = forget ? [key] : [key, ...keys];
      return key.kid;
    },
  };
}
