/** Names one job of one pipeline run, as strings: what a token claims and what a webhook reports must be equal. */
export interface JobKey {
  readonly pipeline: string;
  /** The token issuer's URL. */
  readonly issuer: string;
  readonly run: string;
  readonly attempt: string;
  readonly job: string;
}

/** Data that names a human being. Kept apart from everything else so that it can be encrypted and forgotten alone. */
export type Personal = Readonly<Record<string, string>>;

export interface JobPrincipal {
  readonly kind: "job";
  /** `<pipeline>:<issuer host>:<repository or project id>:<run>:<attempt>:<job>` */
  readonly id: string;
  readonly claims: Readonly<Record<string, string>>;
  readonly personal?: Personal;
  readonly job: JobKey;
}

export interface PersonPrincipal {
  readonly kind: "person";
  /** `person:<login>:<subject>` */
  readonly id: string;
  /** `login` (the configuration's name for the issuer) and `sub`. */
  readonly claims: Readonly<Record<string, string>>;
  readonly groups: readonly string[];
  readonly personal?: Personal;
}

/** A verified identity. Nothing in here comes from a body field. */
export type Principal = JobPrincipal | PersonPrincipal;

/** The proof by which a principal came in. */
export interface TokenProof {
  /** The `jti`, or the token's hash where its issuer documents none. */
  readonly id: string;
  /** SHA-256 of the token, hex: what logs and records may hold of it. */
  readonly hash: string;
  /** Epoch ms. */
  readonly expiresAt: number;
  /** True where the pipeline mints tokens on demand, so that one token opens one grant only. */
  readonly once: boolean;
}

/** Who stands at the door. */
export type Caller =
  | { readonly kind: "principal"; readonly principal: Principal; readonly token: TokenProof }
  | { readonly kind: "holder"; readonly grantId: string };
