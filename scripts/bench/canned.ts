/** AWS's answers to the calls of one request, when all is well. Run as a process of its own, it serves them. */
import { createServer } from "node:http";

const SESSION = `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
<AssumedRoleUser><AssumedRoleId>AROA3XFRBF535PLBIFPI4:g000000000000000</AssumedRoleId><Arn>arn:aws:sts::000000000000:assumed-role/orders-integration/g000000000000000</Arn></AssumedRoleUser>
<Credentials><AccessKeyId>ASIAIOSFODNN7EXAMPLE</AccessKeyId><SecretAccessKey>wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXAMPLEKEY</SecretAccessKey><SessionToken>${"t".repeat(700)}</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>
<PackedPolicySize>20</PackedPolicySize></AssumeRoleResult><ResponseMetadata><RequestId>00000000-0000-0000-0000-000000000000</RequestId></ResponseMetadata></AssumeRoleResponse>`;

const ANSWERS: Readonly<Record<string, { readonly type: string; readonly body: string }>> = {
  dynamodb: { type: "application/x-amz-json-1.0", body: "{}" },
  scheduler: {
    type: "application/json",
    body: '{"ScheduleArn":"arn:aws:scheduler:us-east-1:000000000000:schedule/stint/g000000000000000"}',
  },
  sts: { type: "text/xml", body: SESSION },
};


export function answerTo(authorization: string | undefined) {
  const [, service = ""] = /\/([a-z]+)\/aws4_request/.exec(authorization ?? "") ?? [];
  const answer = ANSWERS[service];
  if (answer === undefined) throw new Error(`no answer lies ready for ${service}`);
  return answer;
}

if (import.meta.main) {
  const server = createServer((request, response) => {
    const { type, body } = answerTo(request.headers.authorization);
    request.resume().once("end", () => {
      response.writeHead(200, { "content-type": type, "content-length": Buffer.byteLength(body) });
      response.end(body);
    });
  });
  server.listen(0, "127.0.0.1", () => {
    const address = server.address();
    process.send?.(typeof address === "object" ? address?.port : address);
  });
  process.once("disconnect", () => process.exit());
}
