/** Roles and managed policies as IAM keeps them: what was written last, and what is in force already. */
import type { World } from "../service.ts";

/** A role at one moment. Never changed: every write makes a new one. */
export interface RoleState {
  readonly name: string;
  readonly path: string;
  readonly id: string;
  readonly arn: string;
  readonly createdAt: number;
  readonly description?: string;
  readonly maxSessionSeconds: number;
  readonly trust: string;
  readonly inline: ReadonlyMap<string, string>;
  /** ARNs of managed policies. */
  readonly attached: readonly string[];
  /** ARN of the managed policy that bounds it. */
  readonly boundary?: string;
  readonly tags: Readonly<Record<string, string>>;
}

export interface ManagedPolicy {
  readonly name: string;
  readonly path: string;
  readonly id: string;
  readonly arn: string;
  readonly createdAt: number;
  readonly effectiveAt: number;
  /** Of the default version. */
  readonly document: string;
  /** What is in force until `effectiveAt`, if anything is. */
  readonly before?: string;
  readonly defaultVersion: string;
  readonly versions: ReadonlyMap<string, { readonly document: string; readonly createdAt: number }>;
  readonly description?: string;
}

/** The states of one role in order; `undefined` is: deleted. */
interface History {
  versions: ReadonlyArray<{ readonly at: number; readonly state: RoleState | undefined }>;
}

const allowAll = (effect: "Allow" | "Deny", action: string | readonly string[]) =>
  JSON.stringify({
    Version: "2012-10-17",
    Statement: [{ Effect: effect, Action: action, Resource: "*" }],
  });

/** The few of AWS's own managed policies that exist here. */
const awsManaged: ReadonlyArray<readonly [path: string, name: string, document: string]> = [
  ["/", "AdministratorAccess", allowAll("Allow", "*")],
  ["/", "AWSDenyAll", allowAll("Deny", "*")],
  [
    "/service-role/",
    "AWSLambdaBasicExecutionRole",
    allowAll("Allow", ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"]),
  ],
];

const firstVersion = (document: string, createdAt: number) => ({
  defaultVersion: "v1",
  versions: new Map([["v1", { document, createdAt }]]),
});

/**
 * The state of IAM. A write is read back at once, and is in force `delayMs` later.
 */
export const createRoles = (world: World, options: { readonly delayMs: number }) => {
  const { clock } = world;
  const byName = new Map<string, RoleState>();
  const histories = new Map<string, History>();
  const idsByArn = new Map<string, string[]>();
  const policies = new Map<string, ManagedPolicy>();
  /** Documents of policies that were deleted, for what still looks at them until that has spread. */
  const leaving = new Map<string, { readonly document: string; readonly until: number }>();
  for (const [path, name, document] of awsManaged) {
    const arn = `arn:aws:iam::aws:policy${path}${name}`;
    const times = { createdAt: 0, effectiveAt: Number.NEGATIVE_INFINITY };
    policies.set(arn, {
      ...times,
      name,
      path,
      arn,
      document,
      id: `ANPA${name.toUpperCase()}`,
      ...firstVersion(document, 0),
    });
  }

  const effectiveAt = () => clock.now() + options.delayMs;

  const inForce = (id: string): RoleState | undefined => {
    const history = histories.get(id);
    if (history === undefined) return undefined;
    const now = clock.now();
    const index = history.versions.findLastIndex(({ at }) => at <= now);
    // What a later version has replaced is not needed again: time does not go back.
    if (index > 0) history.versions = history.versions.slice(index);
    const current = index < 0 ? undefined : history.versions[0]?.state;
    if (index >= 0 && current === undefined && history.versions.length === 1) histories.delete(id);
    return current;
  };

  const write = (id: string, state: RoleState | undefined) => {
    inForce(id);
    const history = histories.get(id) ?? { versions: [] };
    history.versions = [...history.versions, { at: effectiveAt(), state }];
    histories.set(id, history);
  };

  return {
    /** The newest state by name, as IAM's own API sees it. */
    newest: (name: string) => byName.get(name),
    all: () => [...byName.values()],
    put(state: RoleState) {
      if (!byName.has(state.name)) {
        const alive = (idsByArn.get(state.arn) ?? []).filter((id) => histories.has(id));
        idsByArn.set(state.arn, [...alive, state.id]);
      }
      byName.set(state.name, state);
      write(state.id, state);
    },
    delete(state: RoleState) {
      byName.delete(state.name);
      write(state.id, undefined);
    },
    inForce,
    /** The role in force under an ARN; of an old and a new one of the same name, the newer that is. */
    inForceByArn(arn: string): RoleState | undefined {
      for (const id of [...(idsByArn.get(arn) ?? [])].reverse()) {
        const state = inForce(id);
        if (state !== undefined) return state;
      }
      return undefined;
    },
    policy: (arn: string) => policies.get(arn),
    policyInForce(arn: string): string | undefined {
      const policy = policies.get(arn);
      if (policy !== undefined && policy.effectiveAt <= clock.now()) return policy.document;
      const left = leaving.get(arn);
      return (
        policy?.before ??
        (left !== undefined && clock.now() < left.until ? left.document : undefined)
      );
    },
    putPolicy(policy: Omit<ManagedPolicy, "effectiveAt" | "defaultVersion" | "versions">) {
      policies.set(policy.arn, {
        ...policy,
        effectiveAt: effectiveAt(),
        ...firstVersion(policy.document, policy.createdAt),
      });
    },
    /** For what changes nothing that is in force. */
    keepPolicy: (policy: ManagedPolicy) => void policies.set(policy.arn, policy),
    setDefault(policy: ManagedPolicy, version: string) {
      const document = policy.versions.get(version)?.document;
      if (document === undefined) throw new RangeError(`${policy.arn} has no ${version}`);
      const { before: _, ...kept } = policy;
      const inForce = policy.effectiveAt <= clock.now() ? policy.document : policy.before;
      policies.set(policy.arn, {
        ...kept,
        ...(inForce === undefined ? {} : { before: inForce }),
        document,
        defaultVersion: version,
        effectiveAt: effectiveAt(),
      });
    },
    deletePolicy({ arn, effectiveAt: at, document, before }: ManagedPolicy) {
      policies.delete(arn);
      const inForce = at <= clock.now() ? document : before;
      if (inForce !== undefined) leaving.set(arn, { document: inForce, until: effectiveAt() });
    },
    /** How many roles it bounds. */
    bounded: (arn: string) =>
      [...byName.values()].filter(({ boundary }) => boundary === arn).length,
    attachments: (arn: string) =>
      [...byName.values()].filter(({ attached }) => attached.includes(arn)).length,
    /** Puts everything written so far in force now. */
    spread() {
      const now = clock.now();
      leaving.clear();
      for (const history of histories.values())
        history.versions = history.versions.map(({ at, state }) => ({
          at: Math.min(at, now),
          state,
        }));
      for (const [arn, policy] of policies)
        policies.set(arn, { ...policy, effectiveAt: Math.min(policy.effectiveAt, now) });
    },
  };
};

export type Roles = ReturnType<typeof createRoles>;
