/** S3's REST-XML: requests by their routes, answers as headers and a document or bytes. */
import { createHash } from "node:crypto";
import { AwsError, type Protocol } from "../service.ts";
import { route } from "./routes.ts";
import { writeXml } from "./xml.ts";

/** What an operation returns; `render` adds the request's ids. */
export interface Answer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string | undefined>>;
  /** The name of the document's root, and what is in it. */
  readonly xml?: readonly [root: string, value: object];
  readonly body?: Uint8Array | string;
}

/** An error that says something by its headers too, as that the key has a delete marker. */
export class S3Error extends AwsError {
  readonly headers: Readonly<Record<string, string>>;
  constructor(
    code: string,
    message: string,
    status: number,
    details: Readonly<Record<string, unknown>> = {},
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(code, message, status, details);
    this.headers = headers;
  }
}

const ids = (requestId: string) => ({
  "x-amz-request-id": requestId,
  "x-amz-id-2": createHash("sha256").update(requestId).digest("base64"),
});

export const protocol: Protocol = {
  validationCode: "InvalidArgument",
  parse: route,
  render(output, operation, { requestId }) {
    const answer = output as Answer; // every operation of the table returns one
    const headers: Record<string, string> = ids(requestId);
    for (const [name, value] of Object.entries(answer.headers ?? {}))
      if (value !== undefined) headers[name] = value;
    const body = answer.xml === undefined ? (answer.body ?? "") : writeXml(...answer.xml);
    if (answer.xml !== undefined) headers["content-type"] = "application/xml";
    // A head tells the length of what it leaves out.
    if (answer.status !== 204 && !operation.startsWith("Head"))
      headers["content-length"] = String(Buffer.byteLength(body));
    return { status: answer.status ?? 200, headers, body };
  },
  renderError(error, requestId) {
    const headers = { ...ids(requestId), ...(error instanceof S3Error ? error.headers : {}) };
    if (error.status === 304) return { status: 304, headers, body: "" };
    const { "x-amz-request-id": RequestId, "x-amz-id-2": HostId } = ids(requestId);
    const body = writeXml(
      "Error",
      { Code: error.code, Message: error.message, ...error.details, RequestId, HostId },
      false,
    );
    return {
      status: error.status,
      headers: { ...headers, "content-type": "application/xml" },
      body,
    };
  },
};
