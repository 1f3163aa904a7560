/** What the deployment's own doctor tells: it runs as the broker, which alone can try a session. */
import { InvokeCommand, type LambdaClient } from "@aws-sdk/client-lambda";
import { type Rehearsal, type Rehearsed, rehearsal } from "@stint/aws/rehearsal";
import { EXIT, Failure } from "../failure.ts";
import type { Finding } from "./finding.ts";
import { trustFix } from "./trust.ts";

/** @throws Failure where the function fails, or is no doctor */
export async function rehearse(
  lambda: LambdaClient,
  FunctionName: string,
  profile: string,
): Promise<Rehearsal> {
  const { FunctionError, Payload } = await lambda.send(
    new InvokeCommand({ FunctionName, Payload: JSON.stringify({ profile }) }),
  );
  const text = Payload?.transformToString() ?? "";
  const parsed = FunctionError === undefined ? rehearsal.safeParse(json(text)) : undefined;
  if (parsed?.success) return parsed.data;
  throw new Failure({
    code: "doctor_failed",
    message: `the function ${FunctionName} failed: ${FunctionError ?? "this is no doctor's answer"} ${text.slice(0, 300)}`,
    hint: "its log tells more; it must be of the same version as this command",
    exit: EXIT.remote,
  });
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const DENIED = /^AccessDenied/;

export function judgeSession(profile: string, tried: Rehearsed, broker: string): Finding[] {
  const { role, target, session, anonymous } = tried;
  const findings: Finding[] = [];
  const wrong = (code: string, message: string, fix: string) =>
    void findings.push({ code, subject: role, message, fix });
  const place = `profiles.${profile}.targets.${target}`;
  if (!session.opened) {
    const told = `${session.error}: ${session.message}`;
    if (session.error.startsWith("PackedPolicyTooLarge"))
      wrong(
        "session.too_large",
        `the session policy and tags of ${profile} are too large for STS (${told})`,
        `shorten ${place}.allow: fewer statements and resources, wildcards instead of lists; then deploy`,
      );
    else if (DENIED.test(session.error))
      wrong(
        "session.refused",
        `STS refuses the broker a session for ${profile} (${told})`,
        trustFix(role, broker),
      );
    else
      wrong(
        "session.failed",
        `STS opens no session for ${profile} (${told})`,
        `change what it names in ${place}, then deploy; run this again if it was a passing fault`,
      );
  }
  if (anonymous.opened)
    wrong(
      "session.anonymous",
      `STS opened a session for ${profile} without a source identity`,
      trustFix(role, broker),
    );
  else if (session.opened && !DENIED.test(anonymous.error))
    wrong(
      "session.untold",
      `whether a session without a source identity is refused could not be tried (${anonymous.error}: ${anonymous.message})`,
      "run this again",
    );
  return findings;
}
