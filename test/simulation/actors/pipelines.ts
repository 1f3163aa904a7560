/** Pipelines that report the ends of jobs and runs: twice, late, in any order, before anybody asked, or not at all. */
import { MINUTE, SECOND } from "../story.ts";
import type { Actors } from "./actor.ts";

export type PipelineEvent =
  | {
      readonly kind: "job-report" | "run-report";
      readonly at: number;
      readonly job: number;
      readonly delivery: string;
    }
  /** What says nothing about an end. */
  | { readonly kind: "job-starts"; readonly at: number; readonly job: number };

export const pipelines: Actors<PipelineEvent> = {
  plan({ draw, jobs, near, lengthMs }) {
    return jobs.flatMap(({ startsAt, endsAt }, job): PipelineEvent[] => {
      const events: PipelineEvent[] = [];
      if (draw.chance(0.3)) events.push({ kind: "job-starts", at: startsAt, job });
      const kinds: Array<"job-report" | "run-report"> = [];
      if (draw.chance(0.8)) kinds.push("job-report");
      if (draw.chance(0.25)) kinds.push("run-report");
      for (const kind of kinds) {
        const delivery = `${kind}-${job}`;
        const lateMs = draw.pick([0, 0, 3 * SECOND, 5 * MINUTE]);
        const at = draw.chance(0.08) ? draw.int(0, startsAt) : near(endsAt + lateMs);
        events.push({ kind, at, job, delivery });
        if (draw.chance(0.35))
          events.push({ kind, at: at + draw.pick([0, 1, 700, 10 * MINUTE]), job, delivery });
        // The same end told anew, by a delivery of its own.
        if (draw.chance(0.15))
          events.push({
            kind,
            at: draw.int(0, lengthMs),
            job,
            delivery: `${delivery}-again`,
          });
      }
      return events;
    });
  },
  acts: {
    "job-report": ({ job, delivery }, stage) => {
      const { run, attempt, job: check } = stage.job(job);
      return stage.webhook("workflow_job", delivery, {
        action: "completed",
        workflow_job: {
          run_id: run,
          run_attempt: attempt,
          check_run_url: `https://api.github.com/repos/Codertocat/Hello-World/check-runs/${check}`,
        },
      });
    },
    "run-report": ({ job, delivery }, stage) => {
      const { run, attempt } = stage.job(job);
      return stage.webhook("workflow_run", delivery, {
        action: "completed",
        workflow_run: { id: run, run_attempt: attempt },
      });
    },
    "job-starts": ({ job }, stage) => {
      const { run, attempt, job: check } = stage.job(job);
      return stage.webhook("workflow_job", `starts-${job}`, {
        action: "in_progress",
        workflow_job: {
          run_id: run,
          run_attempt: attempt,
          check_run_url: `https://api.github.com/repos/Codertocat/Hello-World/check-runs/${check}`,
        },
      });
    },
  },
};
