/** A world for orders of revocation: two profiles of one role, one of another, and who may revoke on which of them. */
import { parseConfig } from "@stint/core/config/load";
import type { Config } from "@stint/core/profile";
import { pipelineClaims } from "@stint/pipelines/registry";
import { drive, ROLE, type Session, storedOf, type Witness, watch } from "./witness.ts";
import { type Answer, createWorld, grantIn, type World, type WorldOptions } from "./world.ts";

const OTHER_ROLE = "arn:aws:iam::000000000000:role/stint/billing";

function config(): Config {
  const profile = (role: string) => `
    duration: { default: 20m, max: 2h }
    targets:
      aws:
        kind: aws
        role: ${role}
        allow: [{ actions: [s3:PutObject], resources: ["arn:aws:s3:::orders-it/\${namespace}/*"] }]`;
  const rules = ["orders-integration", "reports", "billing"].map(
    (name) => `
  - { id: ${name}-main, profile: ${name}, to: { pipeline: github, repository_id: "186853002", ref: refs/heads/main } }
  - { id: ${name}-staff, profile: ${name}, to: { person: { group: staff } } }
  - { id: ${name}-owners, profile: ${name}, to: { person: { group: owners } }, may: [read, revoke] }`,
  );
  const parsed = parseConfig(
    `version: 1
audience: https://stint.local.test
issuers: [{ login: local, url: https://login.local.test }]
profiles:
  orders-integration:${profile(ROLE)}
  reports:${profile(ROLE)}
  billing:${profile(OTHER_ROLE)}
rules:${rules.join("")}
  - id: developers
    profile: orders-integration
    to: { person: { group: developers } }
    approval: { from: { person: { group: approvers } }, count: 1 }
  - { id: half, profile: orders-integration, to: { person: { group: half } }, may: [revoke] }
  - { id: readers, profile: orders-integration, to: { person: { group: readers } }, may: [read] }
  - { id: guard, profile: orders-integration, to: { pipeline: github, repository_id: "1" }, may: [revoke] }
`,
    {},
    pipelineClaims(),
  );
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  return parsed.config;
}

export interface Revoking {
  readonly world: World;
  readonly witness: Witness;
  /** A token of a person in these groups. */
  person(name: string, ...groups: string[]): Promise<string>;
  owner(): Promise<string>;
  /** A grant of a job of its own. */
  job(profile?: string): Promise<Answer>;
  asked(token: string, key: string, profile?: string): Promise<Answer>;
  /** Gives an order, and lets the time pass that it waits for the indexes. */
  order(token: string, body?: object): Promise<Answer>;
  stateOf(answer: Answer): Promise<string>;
  /** Why it ended; its state where it has not. */
  whyOf(answer: Answer): Promise<string>;
  /** What the log has of orders, in order. */
  orders(): Witness["records"];
}

export async function revoking(options: WorldOptions = {}): Promise<Revoking> {
  const world = await createWorld({ config: config(), maxAttempts: 1, ...options });
  const witness = await watch(world);
  const person = (name: string, ...groups: string[]) => world.personToken(name, groups);
  let runs = 0;
  const request = async (token: string, profile: string, headers = {}) =>
    witness.take(await world.call("POST", "/v1/grants", { token, body: { profile }, headers }));
  const grantOf = async (answer: Answer) => (await storedOf(world, grantIn(answer).id)).grant;
  return {
    world,
    witness,
    person,
    owner: () => person("olga", "owners"),
    async job(profile = "orders-integration") {
      runs += 1;
      return request(await world.jobToken({ run_id: String(runs) }), profile);
    },
    asked: (token, key, profile = "orders-integration") =>
      request(token, profile, { "idempotency-key": key }),
    async order(token, body = {}) {
      const answer = await drive(world, world.call("POST", "/v1/revocations", { token, body }));
      await world.aws.settle();
      return answer;
    },
    stateOf: async (answer) => (await grantOf(answer)).state,
    async whyOf(answer) {
      const grant = await grantOf(answer);
      return "why" in grant ? grant.why : grant.state;
    },
    orders: () =>
      witness.records.filter(({ why = "" }) => why === "revoke" || why === "revoke_hard"),
  };
}

export const sessionOf = (answer: Answer): Session => ({
  ...answer.body.credentials.aws,
  grant: grantIn(answer).id,
});
