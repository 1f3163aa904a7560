/** What a person can do with the servers that stay up, as lines to paste. */
import type { To } from "@stint/core/profile";
import type { Dev } from "./dev.ts";

interface Asker {
  readonly profile: string;
  /** Body of `POST /_local/token`. */
  readonly body: string;
  readonly words: string;
}

/** Claims that a rule takes: its own values, something in place of each wildcard. */
function tokenFor(to: To, { config }: Dev, checkRun: string): Omit<Asker, "profile"> | undefined {
  if (to.kind === "pipeline") {
    const { issuer, claims, pipeline } = to;
    const given = Object.fromEntries(
      Object.entries(claims).map(([name, value]) => [name, value.replaceAll("*", "x")]),
    );
    const body = { pipeline, ...(issuer === undefined ? {} : { issuer }) };
    return {
      body: JSON.stringify({ ...body, claims: { ...given, check_run_id: checkRun } }),
      words: "a job's",
    };
  }
  const login = config.issuers.find((issuer) => issuer.login !== undefined)?.login;
  if (login === undefined || to.kind === "slack") return undefined;
  const claims =
    "group" in to ? { sub: "ann", groups: [to.group] } : { sub: to.subject, groups: [] };
  return { body: JSON.stringify({ pipeline: login, claims }), words: "a person's" };
}

/** The first rule by which somebody gets credentials, best one that waits for nobody. */
function askerOf(dev: Dev, checkRun: string): Asker | undefined {
  const rules = dev.config.rules.filter((rule) => rule.may.includes("request"));
  const now = rules.filter((rule) => rule.approval === undefined);
  for (const rule of [...now, ...rules]) {
    const token = tokenFor(rule.to, dev, checkRun);
    if (token !== undefined) return { profile: rule.profile, ...token };
  }
  return undefined;
}

/** For single quotes in a shell. */
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

const tokenLine = (dev: Dev, body: string): string =>
  `$(curl -s ${dev.url}/_local/token -d ${quoted(body)} | sed 's/.*"token":"\\([^"]*\\)".*/\\1/')`;

/** @param told whether the story was played, whose job this goes on with */
export function tryNext(dev: Dev, told: boolean): string {
  const [first, second] = [askerOf(dev, "2"), askerOf(dev, "3")];
  const asking =
    first === undefined || second === undefined
      ? "# no rule lets anybody request anything yet"
      : `# ${told ? "a token for another job of the same run" : `${first.words} token, made to fit your first rule`}, and a grant for it
TOKEN=${tokenLine(dev, first.body)}
curl -s ${dev.url}/v1/grants -H "authorization: Bearer $TOKEN" -d ${quoted(JSON.stringify({ profile: first.profile }))}

# the same with the command line, around any command
export STINT_URL=${dev.url} AWS_ENDPOINT_URL=${dev.awsUrl} AWS_REGION=${dev.aws.world.region} AWS_DEFAULT_REGION=${dev.aws.world.region}
STINT_TOKEN=${tokenLine(dev, second.body)} npx stint exec ${second.profile} -- env | grep -E '^(AWS|STINT)_'`;
  return `
Try next (Ctrl-C ends it):

${asking}

# who had access to what, read as the local account's administrator, who also makes the buckets that your tests need
AWS_ENDPOINT_URL=${dev.awsUrl} AWS_ACCESS_KEY_ID=${dev.aws.administrator.accessKeyId} AWS_SECRET_ACCESS_KEY=${dev.aws.administrator.secretAccessKey} npx stint audit query --bucket ${dev.stint.settings.STINT_AUDIT_BUCKET}

# let an hour pass
curl -s ${dev.url}/_local/clock -d '{"advance":"1h"}'
`;
}
