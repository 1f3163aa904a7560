/** What bad input must look like from outside, and what it may leave behind inside. */
import { ListSchedulesCommand, SchedulerClient } from "@aws-sdk/client-scheduler";
import { parseConfig } from "@stint/core/config/load";
import type { Config } from "@stint/core/profile";
import { pipelineClaims } from "@stint/pipelines/registry";
import { expect } from "vitest";
import type { Answer, World } from "./world.ts";

/** A problem document and nothing else: RFC 9457 with this status and code, and a detail that says what is wrong. */
export function expectProblem(
  { status, headers, body }: Answer,
  expected: number,
  code: string,
  detail: RegExp = /./,
): void {
  expect(status, JSON.stringify(body)).toBe(expected);
  expect(headers["content-type"]).toBe("application/problem+json");
  expect(headers["cache-control"]).toBe("no-store");
  const { hint, explanation, ...rest } = body;
  expect(rest).toEqual({
    type: `urn:stint:problem:${code}`,
    title: expect.stringMatching(/\w+ \w+/),
    status: expected,
    code,
    detail: expect.stringMatching(detail),
    requestId: "test",
  });
  if (hint !== undefined) expect(hint).toMatch(/\w+ \S+/);
  if (explanation !== undefined) expect(Array.isArray(explanation.failed)).toBe(true);
  // What a fault looked like inside is for the log, never for a caller.
  expect(JSON.stringify(body)).not.toMatch(/\bat .+\.ts:|node_modules|DynamoDB|Exception/);
}

const plain = (_: string, value: unknown) => (value instanceof Set ? [...value] : value);

/** Every row as text by key, the live schedules, and the last call that AWS saw. */
async function snapshot(world: World) {
  await world.aws.settle();
  const rows = new Map(
    (await world.items()).map((item) => [`${item.pk} ${item.sk}`, JSON.stringify(item, plain)]),
  );
  const scheduler = new SchedulerClient(world.administrator);
  const { Schedules = [] } = await scheduler.send(
    new ListSchedulesCommand({ GroupName: "stint", MaxResults: 100 }),
  );
  return { rows, schedules: Schedules.map(({ Name }) => Name) };
}

/** What there is now that was not there, or was otherwise, before: how many of each kind; `{}` is nothing at all. */
export type Left = Readonly<Record<string, number>>;

/** Does something and counts what it left: rows by the kind in their key, schedules, and sessions that STS gave out. */
export async function leaving<T>(
  world: World,
  work: () => Promise<T>,
): Promise<{ readonly answer: T; readonly left: Left }> {
  const before = await snapshot(world);
  const last = world.aws.calls().at(-1);
  const answer = await work();
  const calls = world.aws.calls();
  const since = last === undefined ? calls : calls.slice(calls.indexOf(last) + 1);
  const after = await snapshot(world);
  const left: Record<string, number> = {};
  const count = (kind: string) => {
    left[kind] = (left[kind] ?? 0) + 1;
  };
  for (const [key, row] of after.rows)
    if (before.rows.get(key) !== row) count(key.split("#")[0] ?? "");
  for (const name of after.schedules) if (!before.schedules.includes(name)) count("schedule");
  for (const { operation } of since) if (operation === "AssumeRole") count("session");
  return { answer, left };
}

/** What a grant leaves that was opened for a job: what every refusal must not. */
export const OPENED: Left = { GRANT: 1, ROLE: 1, RUN: 1, TOKEN: 1, schedule: 1, session: 1 };

/** A configuration of the demo's profile and its job, with other rules and lengths. */
export function configWith(rules: string, duration = "{ default: 20m, max: 2h }"): Config {
  const parsed = parseConfig(
    `version: 1
audience: https://stint.local.test
issuers:
  - { login: local, url: https://login.local.test }
profiles:
  orders-integration:
    duration: ${duration}
    targets:
      aws:
        kind: aws
        role: arn:aws:iam::000000000000:role/stint/orders-integration
        allow: [{ actions: [s3:GetObject], resources: ["arn:aws:s3:::orders-it/\${namespace}/*"] }]
rules:
${rules}`,
    {},
    pipelineClaims(),
  );
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  return parsed.config;
}
