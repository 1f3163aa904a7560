/** AWS's answers to the calls of one request, when all is well. Run as a process of its own, it serves them. */
import { createServer } from "node:http";
import { Readable } from "node:stream";
import type { SdkRequestHandler } from "@stint/local/transport";

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

/** No SDK takes this for an answer. */
const UNKNOWN = { type: "text/plain", body: "?" };

/** The service for which a request is signed. */
export const serviceOf = (authorization: string | undefined): string =>
  /\/([a-z0-9-]+)\/aws4_request/.exec(authorization ?? "")?.[1] ?? "unknown";

/** Answers in this process, at the same small cost whatever it is asked; `inner` gives what a request asks once. */
export const canned = (inner: SdkRequestHandler): SdkRequestHandler => ({
  ...inner,
  handle: async (request, options) => {
    const answer = ANSWERS[serviceOf(request.headers.authorization)];
    if (answer === undefined) return inner.handle(request, options);
    const bytes = Buffer.from(answer.body);
    const headers = { "content-type": answer.type, "content-length": String(bytes.length) };
    const stream = Readable.from([bytes], { objectMode: false });
    return { response: { statusCode: 200, headers, body: stream } };
  },
});

if (import.meta.main) {
  const server = createServer((request, response) => {
    const { type, body } = ANSWERS[serviceOf(request.headers.authorization)] ?? UNKNOWN;
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
