/** What the configuration and the policies need to know of one pipeline's tokens. */
export interface PipelineClaims {
  /** Claims that a rule may match on. `pipeline` and `issuer` are taken by Stint itself. */
  readonly claims: readonly string[];
  /** Claims that name a repository, project or organization and are never given to another one. */
  readonly ids: readonly string[];
  /** Issuers that are trusted without an entry in the configuration, exactly as in their tokens' `iss`. */
  readonly publicIssuers: readonly string[];
  /** Events in which code of strangers may run with the pipeline's identity: refused unless a rule names them. */
  readonly untrustedEvents?: { readonly claim: string; readonly values: readonly string[] };
}

/** By the name that rules use: `github`. */
export type Pipelines = Readonly<Record<string, PipelineClaims>>;

export const pipelineNamed = (pipelines: Pipelines, name: string): PipelineClaims | undefined =>
  Object.hasOwn(pipelines, name) ? pipelines[name] : undefined;

/** Every issuer whose tokens are the pipeline's, each once: the configuration's and the public ones. */
export const issuersOf = (
  { publicIssuers }: PipelineClaims,
  configured: readonly string[],
): readonly string[] => [...new Set([...configured, ...publicIssuers])];
