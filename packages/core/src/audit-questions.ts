/**
 * What auditors ask. Each question is one SELECT over the table `audit`, in the SQL that DuckDB and Trino (Athena)
 * share: no JSON functions, positional parameters, each used once.
 */

interface QuestionParameter {
  readonly name: string;
  readonly type: "text" | "timestamp";
  readonly description: string;
}

export interface SavedQuestion {
  readonly name: string;
  /** The question in words. */
  readonly asks: string;
  /** In the order of the `?` in `sql`. */
  readonly parameters: readonly QuestionParameter[];
  readonly sql: string;
}

export const savedQuestions: readonly SavedQuestion[] = [
  {
    name: "access-at",
    asks: "Who had access to what at a time?",
    parameters: [{ name: "time", type: "timestamp", description: "The time asked about" }],
    // Until dead_by, not until the end: a credential may outlive its grant until its denial is proved.
    sql: `
WITH asked AS (SELECT CAST(? AS timestamp) AS moment),
known AS (
  SELECT grant_id, principal_id, profile, rule, dead_by,
    min(time) OVER (PARTITION BY grant_id) AS opened_at,
    row_number() OVER (PARTITION BY grant_id ORDER BY time DESC, sequence DESC) AS newest
  FROM audit
  WHERE grant_id IS NOT NULL AND dead_by IS NOT NULL
)
SELECT principal_id, profile, grant_id, rule, opened_at, dead_by
FROM known CROSS JOIN asked
WHERE newest = 1 AND opened_at <= moment AND dead_by > moment
ORDER BY profile, principal_id, grant_id`,
  },
  {
    name: "run-got",
    asks: "What did the jobs of this run get?",
    parameters: [{ name: "run", type: "text", description: "The run's id" }],
    sql: `
SELECT time, job, attempt, fact, outcome, profile, grant_id, lease_target, access_key_id, lease_until, rule, why, code
FROM audit
WHERE run = ?
ORDER BY time, sequence`,
  },
  {
    name: "refusals-by-rule",
    asks: "What was refused, and by which rule?",
    parameters: [],
    sql: `
SELECT profile, rule, code, why, count(*) AS refusals, count(DISTINCT actor_id) AS callers,
  min(time) AS first_time, max(time) AS last_time
FROM audit
WHERE outcome = 'refused'
GROUP BY profile, rule, code, why
ORDER BY refusals DESC, profile, rule, code, why`,
  },
  {
    name: "outlived-job",
    asks: "Which grants could be used after their job had ended, and for how long?",
    parameters: [],
    // A run's end is told without a job, and ends the grants of all its jobs.
    sql: `
WITH known AS (
  SELECT grant_id, principal_id, profile, issuer, run, attempt, job, dead_by,
    row_number() OVER (PARTITION BY grant_id ORDER BY time DESC, sequence DESC) AS newest
  FROM audit
  WHERE grant_id IS NOT NULL AND dead_by IS NOT NULL AND run IS NOT NULL
),
job_ends AS (
  SELECT issuer, run, attempt, job, min(time) AS job_ended_at
  FROM audit
  WHERE fact IN ('job.ended', 'run.ended')
  GROUP BY issuer, run, attempt, job
)
SELECT known.grant_id, known.profile, known.principal_id, min(job_ends.job_ended_at) AS job_ended_at, known.dead_by,
  date_diff('second', min(job_ends.job_ended_at), known.dead_by) AS seconds_longer
FROM known
JOIN job_ends ON job_ends.issuer = known.issuer AND job_ends.run = known.run
  AND coalesce(job_ends.attempt, known.attempt) = known.attempt
  AND coalesce(job_ends.job, known.job) = known.job
WHERE known.newest = 1
GROUP BY known.grant_id, known.profile, known.principal_id, known.dead_by
HAVING known.dead_by > min(job_ends.job_ended_at)
ORDER BY seconds_longer DESC, known.grant_id`,
  },
  {
    name: "approvals",
    asks: "Who approved what, for whom, and why?",
    parameters: [],
    sql: `
SELECT time, fact, grant_id, profile, principal_id, actor_id AS decided_by, reason, rule
FROM audit
WHERE fact = 'grant.approved' OR (fact = 'grant.refused' AND why = 'approver')
ORDER BY time, sequence`,
  },
  {
    name: "access-key",
    asks: "Who was given this access key, and until when?",
    parameters: [
      { name: "key", type: "text", description: "The access key id, as CloudTrail shows it" },
    ],
    // Not by access_key_id: that is one of several where a grant has several AWS targets.
    sql: `
SELECT time, grant_id, principal_id, profile, leases, pipeline, run, attempt, job, rule
FROM audit
WHERE strpos(leases, concat('"accessKeyId":"', ?, '"')) > 0
ORDER BY time, sequence`,
  },
  {
    name: "endings",
    asks: "Why do grants end, and how long may their credentials live on?",
    parameters: [],
    sql: `
SELECT profile, why, count(*) AS grants,
  max(date_diff('second', time, dead_by)) AS longest_seconds_left
FROM audit
WHERE fact = 'grant.ended'
GROUP BY profile, why
ORDER BY profile, grants DESC, why`,
  },
  {
    name: "policy-versions",
    asks: "Which configuration decided, and when?",
    parameters: [],
    sql: `
SELECT policy_version, min(time) AS first_time, max(time) AS last_time,
  count(*) FILTER (WHERE outcome = 'allowed') AS allowed,
  count(*) FILTER (WHERE outcome = 'refused') AS refused
FROM audit
WHERE outcome <> 'change'
GROUP BY policy_version
ORDER BY first_time`,
  },
];

/**
 * The values of a question's `?`, in order and as text that both dialects cast: a timestamp, given as epoch ms, is
 * written `2026-01-31 12:00:00.000`. Throws a RangeError that names what is missing or unknown.
 */
export function questionValues(
  question: SavedQuestion,
  given: Readonly<Record<string, string | number>>,
): string[] {
  const unknown = Object.keys(given).filter(
    (name) => !question.parameters.some((parameter) => parameter.name === name),
  );
  if (unknown.length > 0) {
    throw new RangeError(`The question ${question.name} takes no ${unknown.join(", ")}.`);
  }
  return question.parameters.map(({ name, type, description }) => {
    const value = Object.hasOwn(given, name) ? given[name] : undefined;
    if (value === undefined || (type === "timestamp") !== (typeof value === "number")) {
      const shape = type === "timestamp" ? "epoch ms" : "text";
      throw new RangeError(
        `The question ${question.name} needs ${name} as ${shape}: ${description}.`,
      );
    }
    return typeof value === "number"
      ? new Date(value).toISOString().replace("T", " ").replace("Z", "")
      : value;
  });
}
