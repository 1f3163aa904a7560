/**
 * What a process does at its first call of some kind, it does not do again: modules are loaded, clients make themselves
 * ready. That changes which of two calls comes first. So each process plays this story before any other: every function
 * makes its kinds of calls in it.
 */
import { MINUTE, SECOND, type Story } from "./story.ts";

export const WARM_UP: Story = {
  seed: 0,
  surroundings: {
    iamDelayMs: 0,
    readLagMs: 0,
    streamLagMs: 0,
    splitShards: false,
    fireLateMs: 0,
    redeliver: 0,
    latencyMs: 0,
    skewMs: 0,
    everySweep: true,
  },
  jobs: [{ run: 1, attempt: 1, job: 1 }],
  wanted: [
    { owner: { job: 0 }, profile: "orders", key: "released", duration: "20m" },
    { owner: { job: 0 }, profile: "both", key: "job-ended", duration: "20m" },
    { owner: { person: 0 }, profile: "guarded", key: "expired", duration: "2m" },
  ],
  events: [
    { kind: "ask", at: 0, grant: 0, fresh: true },
    { kind: "ask", at: 0, grant: 1, fresh: true },
    { kind: "ask", at: 0, grant: 2, fresh: true },
    { kind: "decide", at: SECOND, grant: 2, by: 0, decision: "approve" },
    { kind: "renew", at: 2 * SECOND, grant: 2 },
    { kind: "renew", at: 2 * SECOND, grant: 1 },
    { kind: "look", at: 2 * SECOND, grant: 1 },
    { kind: "release", at: MINUTE, grant: 0 },
    { kind: "job-report", at: 90 * SECOND, job: 0, delivery: "warm" },
  ],
  troubles: [
    // The sweeper has something to send, and the log something to look at.
    { at: 0, until: 4 * MINUTE, service: "iam", operation: "PutRolePolicy", kind: "refuse" },
    { at: 0, service: "s3", operation: "PutObject", kind: "fail-after", times: 1 },
    { at: 0, service: "scheduler", operation: "CreateSchedule", kind: "duplicate", times: 1 },
  ],
  calmAt: 6 * MINUTE,
};
