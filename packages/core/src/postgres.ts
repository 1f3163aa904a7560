/**
 * Where leases on a PostgreSQL server are made, and everything that ending them needs. It is written into the grant's
 * record before a role exists, so it holds no secret: the admin's password is fetched anew by whoever mints or ends.
 */
export interface PostgresPlace {
  /** The server itself, not a pooler in front of it: ending needs sessions of its own. */
  readonly host: string;
  readonly port: number;
  /** The database that leases log in to, unless each grant has its own; admins always log in to this one. */
  readonly database: string;
  /**
   * The role that Stint acts as: LOGIN and CREATEROLE, not a superuser. Each deployment of Stint needs one of its
   * own, since `strays` tells by it whose roles are whose.
   */
  readonly user: string;
  readonly tls: Tls;
  /** Roles whose privileges a lease has. They must exist. */
  readonly groups: readonly string[];
  /** How many sessions each lease may have at a time. */
  readonly connectionLimit: number;
  readonly own: Own;
  readonly leavings: Leavings;
}

/**
 * `verify`: the certificate must be good for `host`, by the authority in `ca` (PEM; Node's own list without it).
 * `off`: no TLS, for a server on this machine.
 */
export type Tls = { readonly kind: "verify"; readonly ca?: string } | { readonly kind: "off" };

/** What belongs to one grant alone; all its leases share it, and it goes with the grant. */
export type Own =
  | { readonly kind: "nothing" }
  /** A schema in `database`, as the `search_path` of each lease. */
  | { readonly kind: "schema" }
  /** A database made from the template of this name. */
  | { readonly kind: "database"; readonly template: string };

/**
 * What happens to objects that a lease made outside of what is its own: dropped, with what others built upon them,
 * or given to another role. A function that is SECURITY DEFINER then runs as that role: give nothing to a strong one.
 */
export type Leavings =
  | { readonly kind: "drop" }
  | { readonly kind: "reassign"; readonly to: string };

/** Where the admin's password is: a parameter of SSM, a secret of Secrets Manager, or made anew each time by RDS IAM. */
export type AdminSecret =
  | { readonly kind: "parameter"; readonly name: string }
  | { readonly kind: "secret"; readonly name: string }
  | { readonly kind: "iam" };

/** What a caller gets of a Postgres target, once. */
export interface PostgresCredentials {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password: string;
  /** The grant's own schema. */
  readonly schema?: string;
  /** PEM of the authority of the server's certificate. */
  readonly ca?: string;
  /** The lease's end, epoch ms. */
  readonly expiration: number;
}
