import { CreateRoleCommand, IAMClient, ListRolesCommand } from "@aws-sdk/client-iam";
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import { describe, expect, test } from "vitest";
import { createLocalAws } from "../src/aws.ts";
import type { AwsRequest } from "../src/service.ts";
import { createVerifier, readSignature } from "../src/sigv4.ts";
import type { SdkRequest, SdkRequestHandler } from "../src/transport.ts";
import { errorName, trust } from "./kernel-account.ts";

const EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

const verify = (request: AwsRequest, secret: string, at: string, region = "us-east-1") =>
  createVerifier({ region, wall: () => Date.parse(at) }).verify(
    request,
    readSignature(request),
    secret,
  );

const request = (of: Partial<AwsRequest>): AwsRequest => ({
  method: "GET",
  path: "/",
  query: [],
  headers: {},
  body: new Uint8Array(),
  ...of,
});

describe("signatures that AWS has published", () => {
  const SUITE_SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
  const S3_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
  const suite = (signature: string, of: Partial<AwsRequest> = {}) =>
    request({
      ...of,
      headers: {
        host: "example.amazonaws.com",
        "x-amz-date": "20150830T123600Z",
        authorization: `AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=${signature}`,
      },
    });
  const vanilla = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
  const byName = "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500";

  test("the suite's plain GET", () => {
    verify(suite(vanilla), SUITE_SECRET, "2015-08-30T12:36:00Z");
  });

  test("the suite's query, whose parameters are sorted", () => {
    const query = [
      ["Param2", "value2"],
      ["Param1", "value1"],
    ] as const;
    verify(suite(byName, { query }), SUITE_SECRET, "2015-08-30T12:36:00Z");
  });

  test("the suite's relative path, which is normalized", () => {
    verify(suite(vanilla, { path: "/example/.." }), SUITE_SECRET, "2015-08-30T12:36:00Z");
  });

  const object = request({
    path: "/test.txt",
    headers: {
      host: "examplebucket.s3.amazonaws.com",
      range: "bytes=0-9",
      "x-amz-content-sha256": EMPTY,
      "x-amz-date": "20130524T000000Z",
      authorization:
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    },
  });

  test("S3's GET of an object", () => {
    verify(object, S3_SECRET, "2013-05-24T00:00:00Z");
  });

  const presigned = request({
    path: "/test.txt",
    headers: { host: "examplebucket.s3.amazonaws.com" },
    query: [
      ["X-Amz-Algorithm", "AWS4-HMAC-SHA256"],
      ["X-Amz-Credential", "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request"],
      ["X-Amz-Date", "20130524T000000Z"],
      ["X-Amz-Expires", "86400"],
      ["X-Amz-SignedHeaders", "host"],
      ["X-Amz-Signature", "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"],
    ],
  });

  test("S3's presigned GET, until it expires", () => {
    verify(presigned, S3_SECRET, "2013-05-24T23:59:59Z");
    expect(() => verify(presigned, S3_SECRET, "2013-05-25T00:00:01Z")).toThrow(
      "Request has expired",
    );
  });

  test.each([
    ["another secret", object, "other"],
    ["another method", { ...object, method: "HEAD" }, S3_SECRET],
    ["another path", { ...object, path: "/test.txt2" }, S3_SECRET],
    ["a query more", { ...object, query: [["acl", ""]] as const }, S3_SECRET],
    [
      "another value of a signed header",
      { ...object, headers: { ...object.headers, range: "bytes=0-8" } },
      S3_SECRET,
    ],
    [
      "an amz header that was not signed",
      { ...object, headers: { ...object.headers, "x-amz-acl": "public-read" } },
      S3_SECRET,
    ],
    [
      "a signature cut short",
      {
        ...object,
        headers: {
          ...object.headers,
          authorization: object.headers.authorization?.slice(0, -2) ?? "",
        },
      },
      S3_SECRET,
    ],
  ])("do not cover %s", (_, changed, secret) => {
    expect(() => verify(changed, secret, "2013-05-24T00:00:00Z")).toThrowError(
      expect.objectContaining({ name: "SignatureDoesNotMatch" }),
    );
  });

  test("do not cover another body", () => {
    const body = new TextEncoder().encode("x");
    expect(() => verify({ ...object, body }, S3_SECRET, "2013-05-24T00:00:00Z")).toThrowError(
      expect.objectContaining({ name: "XAmzContentSHA256Mismatch" }),
    );
  });

  test("hold within five minutes of real time", () => {
    verify(object, S3_SECRET, "2013-05-24T00:05:00Z");
    verify(object, S3_SECRET, "2013-05-23T23:55:00Z");
    for (const at of ["2013-05-24T00:05:01Z", "2013-05-23T23:54:59Z"])
      expect(() => verify(object, S3_SECRET, at)).toThrowError(
        expect.objectContaining({ name: "RequestTimeTooSkewed" }),
      );
  });

  test("hold in their own region", () => {
    expect(() => verify(object, S3_SECRET, "2013-05-24T00:00:00Z", "eu-west-1")).toThrow(
      "expecting 'eu-west-1'",
    );
  });
});

describe("what SDK clients sign", () => {
  /** A handler that changes a signed request on its way. */
  const through = (handler: SdkRequestHandler, change: (request: SdkRequest) => SdkRequest) => ({
    ...handler,
    handle: (signed: SdkRequest, options?: object) => handler.handle(change(signed), options),
  });
  const withHeader =
    (name: string, value: string | undefined) =>
    (signed: SdkRequest): SdkRequest => {
      const { [name]: _, ...headers } = signed.headers;
      return { ...signed, headers: value === undefined ? headers : { ...headers, [name]: value } };
    };
  const callThrough = (
    change: (request: SdkRequest) => SdkRequest,
    options: { secret?: string; systemClockOffset?: number } = {},
  ) => {
    const aws = createLocalAws();
    const sts = new STSClient({
      region: "us-east-1",
      maxAttempts: 1,
      systemClockOffset: options.systemClockOffset ?? 0,
      credentials: {
        ...aws.administrator,
        ...(options.secret === undefined ? {} : { secretAccessKey: options.secret }),
      },
      requestHandler: through(aws.requestHandler, change),
    });
    return errorName(sts.send(new GetCallerIdentityCommand({})));
  };
  const same = (signed: SdkRequest) => signed;

  test("is accepted as sent, and whatever is added unsigned beside it", async () => {
    expect(await callThrough(same)).toBe("none");
    expect(await callThrough(withHeader("x-forwarded-for", "10.0.0.1"))).toBe("none");
  });

  const authorization = (edit: (value: string) => string) => (signed: SdkRequest) =>
    withHeader("authorization", edit(signed.headers.authorization ?? ""))(signed);
  test.each([
    ["no signature", withHeader("authorization", undefined), "MissingAuthenticationToken"],
    ["another scheme", authorization(() => "Bearer abc"), "IncompleteSignature"],
    [
      "a signature without its headers",
      authorization((value) => value.replace(/SignedHeaders=[^,]*, /, "")),
      "IncompleteSignature",
    ],
    [
      "a scope with a part missing",
      authorization((value) => value.replace("/us-east-1", "")),
      "IncompleteSignature",
    ],
    ["no date", withHeader("x-amz-date", undefined), "IncompleteSignature"],
    [
      "a key that nobody has",
      authorization((value) => value.replace("Credential=local", "Credential=AKIANOBODY")),
      "InvalidClientTokenId",
    ],
    [
      "a token beside a key that has none",
      withHeader("x-amz-security-token", "abc"),
      "InvalidClientTokenId",
    ],
    [
      "a changed body",
      (signed: SdkRequest) => ({ ...signed, body: `${signed.body}&A=1` }),
      "SignatureDoesNotMatch",
    ],
    [
      "a changed path",
      (signed: SdkRequest) => ({ ...signed, path: "/x" }),
      "SignatureDoesNotMatch",
    ],
    ["another host", withHeader("host", "evil.example"), "SignatureDoesNotMatch"],
    ["a changed date", withHeader("x-amz-date", "20200101T000000Z"), "SignatureDoesNotMatch"],
    [
      "another service in the scope",
      authorization((value) => value.replace("/sts/", "/ec2/")),
      "InvalidSignatureException",
    ],
  ])("%s is refused", async (_, change, code) => {
    expect(await callThrough(change)).toBe(code);
  });

  test("a wrong secret is refused", async () => {
    expect(await callThrough(same, { secret: "wrong" })).toBe("SignatureDoesNotMatch");
  });

  test("a client's clock may be off by less than five minutes", async () => {
    expect(await callThrough(same, { systemClockOffset: -290_000 })).toBe("none");
    expect(await callThrough(same, { systemClockOffset: -310_000 })).toBe("SignatureDoesNotMatch");
    expect(await callThrough(same, { systemClockOffset: 310_000 })).toBe("SignatureDoesNotMatch");
  });

  test("a stream as body is read and checked like any other", async () => {
    const aws = createLocalAws();
    const bodies = [
      (text: string) => Buffer.from(text),
      (text: string) => new Uint8Array([0, ...Buffer.from(text)]).subarray(1),
      (text: string) => new Blob([text]),
      async function* (text: string) {
        yield Buffer.from(text);
      },
    ];
    for (const [n, wrap] of bodies.entries()) {
      const iam = new IAMClient({
        region: "us-east-1",
        credentials: aws.administrator,
        requestHandler: through(aws.requestHandler, (signed) => ({
          ...signed,
          body: wrap(signed.body),
        })),
      });
      const input = { RoleName: `r${n}`, AssumeRolePolicyDocument: trust() };
      expect((await iam.send(new CreateRoleCommand(input))).Role?.RoleName).toBe(`r${n}`);
    }
  });
});

describe("a presigned GetCallerIdentity", () => {
  interface Presigner {
    presign(
      request: object,
      options: object,
    ): Promise<{ query: Record<string, string>; headers: Record<string, string> }>;
  }
  const presign = async (
    expiresIn: number,
    signingDate: Date,
    headers: Record<string, string> = {},
  ) => {
    const aws = createLocalAws();
    const { config } = new STSClient({ region: "us-east-1", credentials: aws.administrator });
    const signer = await config.signer({
      name: "sigv4",
      signingName: "sts",
      signingRegion: "us-east-1",
      properties: {},
    });
    // The SDK's signer presigns too; its declared type tells only of signing.
    const signed = await (signer as unknown as Presigner).presign(
      {
        method: "GET",
        protocol: "https:",
        hostname: "sts.us-east-1.amazonaws.com",
        path: "/",
        headers: { host: "sts.us-east-1.amazonaws.com", ...headers },
        query: { Action: "GetCallerIdentity", Version: "2011-06-15" },
      },
      { expiresIn, signingDate, unhoistableHeaders: new Set(Object.keys(headers)) },
    );
    const answer = (change: { query?: object; headers?: object } = {}) =>
      aws.handle({
        method: "GET",
        path: "/",
        query: Object.entries({ ...signed.query, ...change.query }),
        headers: { ...signed.headers, ...change.headers },
        body: new Uint8Array(),
      });
    return answer;
  };
  const soon = () => new Date();

  test("is answered while it is good", async () => {
    const answer = await presign(60, soon(), { "x-stint-audience": "a" });
    const { status, body } = await answer();
    expect([status, String(body).includes("<Arn>arn:aws:iam::000000000000:root</Arn>")]).toEqual([
      200,
      true,
    ]);
    expect((await answer({ headers: { "x-stint-audience": "b" } })).status).toBe(403);
    expect((await answer({ query: { Extra: "1" } })).status).toBe(403);
  });

  test("is refused when its time is over, or longer than a week", async () => {
    const over = await (await presign(60, new Date(Date.now() - 61_000)))();
    expect(String(over.body)).toContain("<Code>RequestExpired</Code>");
    const answer = await presign(60, soon());
    expect(String((await answer({ query: { "X-Amz-Expires": "604801" } })).body)).toContain(
      "<Code>IncompleteSignature</Code>",
    );
  });
});

test("a request without a signature is told so in its own protocol", async () => {
  const { handle } = createLocalAws();
  const bare = { method: "POST", headers: { host: "h" } };
  const json = { host: "h", "x-amz-target": "DynamoDB_20120810.GetItem" };
  const answer = await handle(request({ ...bare, headers: json }));
  expect(answer.headers["x-amzn-errortype"]).toBe("MissingAuthenticationTokenException");
  const form = { host: "h", "content-type": "application/x-www-form-urlencoded" };
  expect(String((await handle(request({ ...bare, headers: form }))).body)).toContain(
    "<Code>MissingAuthenticationToken</Code>",
  );
});

test("signing keys are remembered, and a role's list is the same for each of many calls", async () => {
  const aws = createLocalAws();
  const iam = new IAMClient({
    region: "us-east-1",
    credentials: aws.administrator,
    requestHandler: aws.requestHandler,
  });
  for (let n = 0; n < 20; n += 1)
    expect((await iam.send(new ListRolesCommand({}))).Roles).toEqual([]);
});
