/** Our evaluation of IAM's policies against another one's, over cases that nobody chose. */
import { beforeAll, describe, expect, test } from "vitest";
import { seededRandom } from "../src/world.ts";
import {
  ACCOUNT,
  type Case,
  caseOf,
  OPERATORS,
  type PolicyJson,
  type StatementJson,
} from "./iam-cases.ts";
import { DIFFERENCES, PLAIN_REQUEST } from "./iam-differences.ts";
import { oracle, type Verdict } from "./iam-oracle.ts";
import { prepare } from "./iam-ours.ts";

const CASES = 20_000;

const ours = (of: Case): Verdict => prepare(of)();

describe("over generated policies and requests", () => {
  const verdicts = new Map<Verdict, number>();
  const features = new Map<string, number>();
  const different: string[] = [];
  beforeAll(() => {
    const random = seededRandom(20_261_123);
    const count = <K>(into: Map<K, number>, key: K) => into.set(key, (into.get(key) ?? 0) + 1);
    for (let n = 0; n < CASES; n += 1) {
      const one = caseOf(random);
      const [mine, theirs] = [ours(one), oracle(one)];
      count(verdicts, mine);
      for (const feature of one.features) count(features, feature);
      if (mine !== theirs)
        different.push(
          `${n}: ours ${mine}, oracle ${theirs} ${JSON.stringify({ ...one, features: [...one.features] })}`,
        );
    }
  }, 120_000);

  test("both decide alike in every one of 20,000 cases", () => {
    expect(different.slice(0, 3)).toEqual([]);
  });

  test("each verdict is a fair share of them", () => {
    for (const verdict of ["allowed", "explicitDeny", "implicitDeny"] as const)
      expect(verdicts.get(verdict) ?? 0, verdict).toBeGreaterThan(CASES / 8);
  });

  test("every operator, quantifier, kind of policy and negated element is in hundreds of them", () => {
    const wanted = [
      ...OPERATORS,
      "IfExists",
      "ForAllValues:",
      "ForAnyValue:",
      "missing key",
      "several values",
      "variable",
      "variable with default",
      "NotAction",
      "NotResource",
      "NotPrincipal",
      "session",
      "boundary",
      "resource",
      "trust",
      "user",
      "cross-account",
    ];
    for (const feature of wanted) expect(features.get(feature) ?? 0, feature).toBeGreaterThan(200);
  });
});

describe("where they part", () => {
  const policy = (Statement: readonly StatementJson[]): PolicyJson => ({
    Version: "2012-10-17",
    Statement,
  });

  test.each(DIFFERENCES)("$about", ({ of, ours: mine, oracle: theirs }) => {
    const { identity, session, resourcePolicy, ...request } = of;
    const one: Case = {
      principal: {
        kind: "session",
        account: ACCOUNT,
        arn: `arn:aws:sts::${ACCOUNT}:assumed-role/app/one`,
        roleArn: `arn:aws:iam::${ACCOUNT}:role/app`,
        roleId: "AROAEXAMPLEEXAMPLE12",
      },
      ...PLAIN_REQUEST,
      owner: ACCOUNT,
      context: {},
      ...request,
      identity: identity === undefined ? [] : [policy(identity)],
      ...(session === undefined ? {} : { session: policy(session) }),
      ...(resourcePolicy === undefined ? {} : { resourcePolicy: policy(resourcePolicy) }),
      features: new Set(),
    };
    expect(ours(one)).toBe(mine);
    expect(oracle(one)).toBe(theirs);
  });
});
