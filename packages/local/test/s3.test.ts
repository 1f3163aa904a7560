import { createHash, randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import {
  CopyObjectCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketCommand,
  DeleteBucketPolicyCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetBucketPolicyCommand,
  GetBucketVersioningCommand,
  GetObjectCommand,
  GetObjectLockConfigurationCommand,
  GetObjectRetentionCommand,
  GetObjectTaggingCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListBucketsCommand,
  ListObjectsV2Command,
  type ListObjectsV2CommandInput,
  ListObjectVersionsCommand,
  type ListObjectVersionsCommandOutput,
  PutBucketPolicyCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  type PutObjectCommandInput,
  PutObjectLegalHoldCommand,
  PutObjectLockConfigurationCommand,
  PutObjectRetentionCommand,
  S3Client,
  type S3ClientConfig,
} from "@aws-sdk/client-s3";
import { describe, expect, test } from "vitest";
import { s3 as s3Service } from "../src/services/s3.ts";
import type { SdkRequest } from "../src/transport.ts";
import { account, allow, DAY, failure, start } from "./account.ts";

const local = (options: { region?: string } = {}) => {
  const { aws, administrator, role } = account({ s3: s3Service }, options.region);
  const connect = (config: S3ClientConfig = {}) => new S3Client({ ...administrator, ...config });
  const client = connect();
  const put = (Key: string, Body: PutObjectCommandInput["Body"] = "x", more = {}) =>
    client.send(new PutObjectCommand({ Bucket: "bucket", Key, Body, ...more }));
  const get = async (Key: string, more = {}) => {
    const { Body } = await client.send(new GetObjectCommand({ Bucket: "bucket", Key, ...more }));
    return Buffer.from((await Body?.transformToByteArray()) ?? []);
  };
  const list = (more: Partial<ListObjectsV2CommandInput> = {}) =>
    client.send(new ListObjectsV2Command({ Bucket: "bucket", ...more }));
  const versioning = (Status: "Enabled" | "Suspended") =>
    client.send(
      new PutBucketVersioningCommand({ Bucket: "bucket", VersioningConfiguration: { Status } }),
    );
  const as = async (name: string, statements: readonly object[]) =>
    new S3Client(await role(name, statements));
  return { aws, client, connect, put, get, list, versioning, as };
};

const withBucket = (options: { objectLock?: boolean } = {}) => {
  const world = local();
  world.aws.services.s3.ensureBucket("bucket", options);
  return world;
};

/** Sends what a command would, but changed on its way, before it is signed. */
const altered = (
  client: S3Client,
  change: (
    request: SdkRequest & {
      headers: Record<string, string>;
      query: Record<string, string>;
      body: unknown;
    },
  ) => void,
) => {
  client.middlewareStack.add(
    (next) => (args) => {
      change(args.request as Parameters<typeof change>[0]); // an HttpRequest at this step
      return next(args);
    },
    { step: "build", priority: "low", name: "alter" },
  );
  return client;
};

describe("objects", () => {
  const bodies: ReadonlyArray<readonly [string, Buffer]> = [
    ["nothing", Buffer.alloc(0)],
    ["every byte", Buffer.from(Array.from({ length: 256 }, (_, index) => index))],
    ["what looks like chunk framing", Buffer.from("5\r\nhello\r\n0\r\n\r\n")],
    ["three megabytes", randomBytes(3 * 1024 * 1024)],
  ];
  for (const [what, body] of bodies)
    test(`${what} comes back as it was put, in process and over HTTP, buffered and streamed`, async () => {
      const { aws, connect } = withBucket();
      const server = await aws.listen(0);
      const clients = [
        connect(),
        connect({ endpoint: server.url, requestHandler: {} }),
        connect({
          endpoint: server.url.replace("127.0.0.1", "localhost"),
          forcePathStyle: true,
          requestHandler: {},
        }),
      ];
      for (const client of clients)
        for (const Body of [
          body,
          Readable.from(body.length === 0 ? [] : [body], { objectMode: false }),
        ]) {
          const Key = "dir/ünï 🎉+&%?#=.bin";
          await client.send(
            new PutObjectCommand({ Bucket: "bucket", Key, Body, ContentLength: body.length }),
          );
          const answer = await client.send(new GetObjectCommand({ Bucket: "bucket", Key }));
          const read = Buffer.from((await answer.Body?.transformToByteArray()) ?? []);
          expect(read.equals(body)).toBe(true);
          expect(answer.ETag).toBe(`"${createHash("md5").update(body).digest("hex")}"`);
          expect(answer.ContentLength).toBe(body.length);
        }
      expect(aws.errors).toEqual([]);
      await server.close();
    });

  test("virtual-host and path style are the same bucket", async () => {
    const { connect, aws } = withBucket();
    const server = await aws.listen(0);
    const hosts: string[] = [];
    for (const config of [{}, { forcePathStyle: true }, { endpoint: "http://localhost:4011" }]) {
      const client = altered(connect(config), (request) => hosts.push(request.headers.host ?? ""));
      await client.send(new PutObjectCommand({ Bucket: "bucket", Key: "a/b", Body: "1" }));
    }
    expect(hosts).toEqual([
      "bucket.s3.us-east-1.amazonaws.com",
      "s3.us-east-1.amazonaws.com",
      "bucket.localhost:4011",
    ]);
    const { KeyCount } = await connect().send(new ListObjectsV2Command({ Bucket: "bucket" }));
    expect(KeyCount).toBe(1);
    await server.close();
  });

  test("what is said about an object is kept with it", async () => {
    const { client, put, aws } = withBucket();
    await put("a", "text", {
      ContentType: "text/plain; charset=utf-8",
      CacheControl: "no-store",
      ContentEncoding: "identity",
      Metadata: { Grant: "g123", "with-dash": "a b" },
    });
    const server = await aws.listen(0);
    const http = new S3Client({
      region: "us-east-1",
      credentials: aws.administrator,
      endpoint: server.url,
    });
    const head = await http.send(new HeadObjectCommand({ Bucket: "bucket", Key: "a" }));
    expect(head).toMatchObject({
      ContentLength: 4,
      ContentType: "text/plain; charset=utf-8",
      CacheControl: "no-store",
      ContentEncoding: "identity",
      Metadata: { grant: "g123", "with-dash": "a b" },
      LastModified: new Date(start),
      ServerSideEncryption: "AES256",
    });
    const other = await client.send(
      new GetObjectCommand({ Bucket: "bucket", Key: "a", ResponseContentType: "text/html" }),
    );
    expect(other.ContentType).toBe("text/html");
    expect(await failure(put("b", "x", { Metadata: { much: "m".repeat(2048) } }))).toBe(
      "MetadataTooLarge 400",
    );
    await server.close();
  });

  test("the stored bytes are out of reach of a caller in the same process", async () => {
    const { put, get } = withBucket();
    const body = Buffer.from("before");
    await put("a", body);
    body.fill("!");
    (await get("a")).fill("?");
    expect((await get("a")).toString()).toBe("before");
  });

  test("ranges give the bytes they name, and 416 where there are none", async () => {
    const { client, put } = withBucket();
    await put("a", "0123456789");
    await put("empty", "");
    const range = async (Range: string, Key = "a") => {
      const answer = await client.send(new GetObjectCommand({ Bucket: "bucket", Key, Range }));
      return [
        answer.$metadata.httpStatusCode,
        await answer.Body?.transformToString(),
        answer.ContentRange,
      ];
    };
    expect(await range("bytes=2-4")).toEqual([206, "234", "bytes 2-4/10"]);
    expect(await range("bytes=7-")).toEqual([206, "789", "bytes 7-9/10"]);
    expect(await range("bytes=-3")).toEqual([206, "789", "bytes 7-9/10"]);
    expect(await range("bytes=-30")).toEqual([206, "0123456789", "bytes 0-9/10"]);
    expect(await range("bytes=8-100")).toEqual([206, "89", "bytes 8-9/10"]);
    for (const whole of ["bytes=4-2", "bytes=a-b", "bytes=0-1,3-4", "lines=1-2", "bytes=-"])
      expect(await range(whole)).toEqual([200, "0123456789", undefined]);
    expect(await failure(range("bytes=10-"))).toBe("InvalidRange 416");
    expect(await failure(range("bytes=-0"))).toBe("InvalidRange 416");
    expect(await failure(range("bytes=0-0", "empty"))).toBe("InvalidRange 416");
  });

  test("reads go by their conditions", async () => {
    const { client, put } = withBucket();
    const { ETag = "" } = await put("a", "1");
    const read = (more: object) =>
      failure(client.send(new GetObjectCommand({ Bucket: "bucket", Key: "a", ...more })));
    const later = new Date(start + 1000);
    const earlier = new Date(start - 1000);
    expect(await read({ IfMatch: ETag })).toBe("no error");
    expect(await read({ IfMatch: '"other"' })).toBe("PreconditionFailed 412");
    expect(await read({ IfNoneMatch: '"other"' })).toBe("no error");
    expect(await read({ IfNoneMatch: ETag })).toMatch(/304$/);
    expect(await read({ IfModifiedSince: later })).toMatch(/304$/);
    expect(await read({ IfModifiedSince: earlier })).toBe("no error");
    expect(await read({ IfUnmodifiedSince: earlier })).toBe("PreconditionFailed 412");
    expect(await read({ IfUnmodifiedSince: earlier, IfMatch: ETag })).toBe("no error");
  });

  test("a conditional put changes nothing unless its condition holds", async () => {
    const { put, get, versioning, client } = withBucket();
    const { ETag } = await put("a", "1", { IfNoneMatch: "*" });
    expect(await failure(put("a", "2", { IfNoneMatch: "*" }))).toBe("PreconditionFailed 412");
    expect(await failure(put("a", "2", { IfMatch: '"other"' }))).toBe("PreconditionFailed 412");
    expect(await failure(put("b", "2", { IfMatch: ETag }))).toBe("NoSuchKey 404");
    expect(await failure(put("b", "2", { IfNoneMatch: ETag }))).toBe("NotImplemented 501");
    expect((await get("a")).toString()).toBe("1");
    await put("a", "3", { IfMatch: ETag });
    expect((await get("a")).toString()).toBe("3");
    await versioning("Enabled");
    await client.send(new DeleteObjectCommand({ Bucket: "bucket", Key: "a" }));
    // A delete marker on top is as if nothing were there.
    await put("a", "4", { IfNoneMatch: "*" });
    expect(
      await failure(
        client.send(new DeleteObjectCommand({ Bucket: "bucket", Key: "a", IfMatch: '"x"' })),
      ),
    ).toBe("PreconditionFailed 412");
  });

  test("of many conditional puts of one key at once, one wins", async () => {
    const { put } = withBucket();
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        failure(put("a", String(index), { IfNoneMatch: "*" })),
      ),
    );
    expect(outcomes.filter((outcome) => outcome === "no error")).toHaveLength(1);
  });

  test("copies keep or replace metadata and may name a version", async () => {
    const { client, put, get, versioning } = withBucket();
    await versioning("Enabled");
    const { VersionId } = await put("from ü/+a", "one", {
      Metadata: { a: "1" },
      ContentType: "text/plain",
    });
    await put("from ü/+a", "two");
    const copy = (more: object) =>
      client.send(new CopyObjectCommand({ Bucket: "bucket", Key: "to", CopySource: "", ...more }));
    const source = `bucket/${encodeURIComponent("from ü/+a")}`;
    const done = await copy({ CopySource: `${source}?versionId=${VersionId}` });
    expect(done.CopySourceVersionId).toBe(VersionId);
    expect((await get("to")).toString()).toBe("one");
    const { Metadata, ContentType } = await client.send(
      new GetObjectCommand({ Bucket: "bucket", Key: "to" }),
    );
    expect({ Metadata, ContentType }).toEqual({ Metadata: { a: "1" }, ContentType: "text/plain" });
    await copy({ CopySource: source, MetadataDirective: "REPLACE", Metadata: { b: "2" } });
    expect(
      (await client.send(new GetObjectCommand({ Bucket: "bucket", Key: "to" }))).Metadata,
    ).toEqual({ b: "2" });
    expect(await failure(copy({ CopySource: "bucket/none" }))).toBe("NoSuchKey 404");
    expect(await failure(copy({ CopySource: "none/none" }))).toBe("NoSuchBucket 404");
    expect(await failure(copy({ CopySource: "bucket" }))).toBe("InvalidArgument 400");
    expect(await failure(copy({ CopySource: "bucket/to" }))).toBe("InvalidRequest 400");
    expect(await failure(copy({ CopySource: source, CopySourceIfMatch: '"x"' }))).toBe(
      "PreconditionFailed 412",
    );
    expect(await failure(copy({ CopySource: source, TaggingDirective: "REPLACE" }))).toBe(
      "NotImplemented 501",
    );
  });

  test("keys may have any characters, up to 1,024 bytes", async () => {
    const { put, get, list } = withBucket();
    const keys = [
      "a//b",
      "../x",
      "./",
      " ",
      "a b",
      "<&>\"'",
      "%41",
      "\u0001",
      "é\u0301",
      "😀",
      "\uffff",
    ];
    for (const key of keys) await put(key, key);
    for (const key of keys) expect((await get(key)).toString()).toBe(key);
    const { Contents = [] } = await list({ EncodingType: "url" });
    expect(Contents.map(({ Key = "" }) => decodeURIComponent(Key)).toSorted()).toEqual(
      keys.toSorted(),
    );
    const plain = await list({ Prefix: "<" });
    expect(plain.Contents?.map(({ Key }) => Key)).toEqual(["<&>\"'"]);
    await put("k".repeat(1024));
    expect(await failure(put("ü".repeat(513)))).toBe("KeyTooLongError 400");
  });
});

describe("what a body's digests say is checked", () => {
  const body = Buffer.from("123456789");
  // Published check values of these CRCs for "123456789".
  const known = {
    ChecksumCRC32: "y/Q5Jg==",
    ChecksumCRC32C: "4waSgw==",
    ChecksumCRC64NVME: "rosUhgp5mIg=",
    ChecksumSHA1: createHash("sha1").update(body).digest("base64"),
    ChecksumSHA256: createHash("sha256").update(body).digest("base64"),
  };
  for (const [name, value] of Object.entries(known))
    test(`${name} of the body is kept, of another body refused`, async () => {
      const { client, put, list } = withBucket();
      await put("a", body, { [name]: value });
      const read = await client.send(
        new GetObjectCommand({ Bucket: "bucket", Key: "a", ChecksumMode: "ENABLED" }),
      );
      expect(read).toMatchObject({ [name]: value, ChecksumType: "FULL_OBJECT" });
      expect(await failure(put("b", Buffer.from("other"), { [name]: value }))).toBe(
        "BadDigest 400",
      );
      expect(await failure(put("b", body, { [name]: "AAAA" }))).toBe("InvalidRequest 400");
      expect((await list()).KeyCount).toBe(1);
    });

  for (const ChecksumAlgorithm of ["CRC32", "CRC32C", "SHA1", "SHA256"] as const)
    test(`a stream's trailing ${ChecksumAlgorithm} is checked by both sides`, async () => {
      const { put, get } = withBucket();
      const big = randomBytes(200_000);
      const Body = Readable.from([big.subarray(0, 65_536), big.subarray(65_536)]);
      await put("a", Body, { ChecksumAlgorithm, ContentLength: big.length });
      expect((await get("a")).equals(big)).toBe(true);
    });

  const framed = (text: string, headers: Record<string, string> = {}) => {
    const { connect } = withBucket();
    const client = altered(connect(), (request) => {
      for (const name of Object.keys(request.headers))
        if (/checksum|content-length|trailer/i.test(name)) delete request.headers[name];
      request.body = text;
      Object.assign(request.headers, {
        "content-encoding": "aws-chunked",
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-decoded-content-length": "5",
        "x-amz-trailer": "x-amz-checksum-crc32",
        ...headers,
      });
    });
    return failure(
      client.send(new PutObjectCommand({ Bucket: "bucket", Key: "a", Body: "hello" })),
    );
  };
  const trailer = "x-amz-checksum-crc32:NhCmhg==\r\n";

  test("chunked framing is read to the letter", async () => {
    expect(await framed(`5\r\nhello\r\n0\r\n${trailer}\r\n`)).toBe("no error");
    expect(await framed(`5\r\nhellO\r\n0\r\n${trailer}\r\n`)).toBe("BadDigest 400");
    expect(await framed(`5\r\nhello\r\n0\r\n\r\n`)).toBe("MalformedTrailerError 400");
    expect(await framed(`5\r\nhello\r\n0\r\n${trailer}x-amz-meta-a:1\r\n\r\n`)).toBe(
      "MalformedTrailerError 400",
    );
    expect(await framed(`6\r\nhello\r\n0\r\n${trailer}\r\n`)).toBe("IncompleteBody 400");
    expect(await framed("5\r\nhello\r\n")).toBe("IncompleteBody 400");
    expect(await framed("hello")).toBe("IncompleteBody 400");
    expect(await framed(`5;chunk-signature=0\r\nhello\r\n0\r\n${trailer}\r\n`)).toBe(
      "IncompleteBody 400",
    );
    expect(await framed(`2\r\nhe\r\n3\r\nllo\r\n0\r\n${trailer}\r\n`)).toBe(
      "InvalidChunkSizeError 403",
    );
    expect(
      await framed(`5\r\nhello\r\n0\r\n${trailer}\r\n`, { "x-amz-decoded-content-length": "4" }),
    ).toBe("IncompleteBody 400");
    expect(
      await framed(`5\r\nhello\r\n0\r\n${trailer}\r\n`, {
        "x-amz-decoded-content-length": `${5 * 1024 ** 3 + 1}`,
      }),
    ).toBe("EntityTooLarge 400");
    expect(
      await framed("5\r\nhello\r\n0\r\n\r\n", {
        "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
      }),
    ).toBe("NotImplemented 501");
  });

  test("Content-MD5 counts as a digest", async () => {
    const { put } = withBucket({ objectLock: true });
    const ContentMD5 = createHash("md5").update("x").digest("base64");
    await put("a", "x", { ContentMD5 });
    expect(await failure(put("a", "y", { ContentMD5 }))).toBe("BadDigest 400");
    expect(await failure(put("a", "y", { ContentMD5: "nonsense" }))).toBe("InvalidDigest 400");
  });
});

describe("lists", () => {
  test("come in UTF-8 order, by prefix, folded at the delimiter", async () => {
    const { put, list } = withBucket();
    for (const key of ["b", "a/1", "a/2", "a/x/1", "a", "B", "a-", "ab", "\uff00", "😀"])
      await put(key);
    const keys = async (more: Partial<ListObjectsV2CommandInput>) => {
      const { Contents = [], CommonPrefixes = [], KeyCount } = await list(more);
      expect(KeyCount).toBe(Contents.length + CommonPrefixes.length);
      return [Contents.map(({ Key }) => Key), CommonPrefixes.map(({ Prefix }) => Prefix)];
    };
    expect(await keys({})).toEqual([
      ["B", "a", "a-", "a/1", "a/2", "a/x/1", "ab", "b", "\uff00", "😀"],
      [],
    ]);
    expect(await keys({ Delimiter: "/" })).toEqual([
      ["B", "a", "a-", "ab", "b", "\uff00", "😀"],
      ["a/"],
    ]);
    expect(await keys({ Prefix: "a/", Delimiter: "/" })).toEqual([["a/1", "a/2"], ["a/x/"]]);
    expect(await keys({ Prefix: "a", StartAfter: "a/1" })).toEqual([["a/2", "a/x/1", "ab"], []]);
    expect(await keys({ Prefix: "none" })).toEqual([[], []]);
    expect(await keys({ MaxKeys: 0 })).toEqual([[], []]);
  });

  test("go on page by page, neither repeating nor leaving out, while keys come and go", async () => {
    const { put, list, client } = withBucket();
    const names = Array.from(
      { length: 25 },
      (_, index) => `${index % 5}/${String(index).padStart(2, "0")}`,
    );
    for (const key of names) await put(key);
    for (const Delimiter of [undefined, "/"])
      for (const MaxKeys of [1, 3, 24, 25, 26]) {
        const found: string[] = [];
        let ContinuationToken: string | undefined;
        do {
          const page = await list({
            MaxKeys,
            ...(Delimiter && { Delimiter }),
            ...(ContinuationToken && { ContinuationToken }),
          });
          expect(page.KeyCount).toBeLessThanOrEqual(MaxKeys);
          found.push(...(page.Contents ?? []).map(({ Key = "" }) => Key));
          found.push(...(page.CommonPrefixes ?? []).map(({ Prefix = "" }) => Prefix));
          expect(page.IsTruncated).toBe(page.NextContinuationToken !== undefined);
          ContinuationToken = page.NextContinuationToken;
        } while (ContinuationToken !== undefined);
        expect(found).toEqual(Delimiter ? ["0/", "1/", "2/", "3/", "4/"] : names.toSorted());
      }
    const first = await list({ MaxKeys: 2 });
    await client.send(new DeleteObjectCommand({ Bucket: "bucket", Key: "0/05" }));
    const { NextContinuationToken: ContinuationToken = "" } = first;
    expect((await list({ ContinuationToken })).Contents?.[0]?.Key).toBe("0/10");
  });

  test("refuse tokens, limits and encodings that are not theirs", async () => {
    const { list, connect } = withBucket();
    expect(await failure(list({ ContinuationToken: "nonsense" }))).toBe("InvalidArgument 400");
    expect(await failure(list({ MaxKeys: -1 }))).toBe("InvalidArgument 400");
    const odd = altered(connect(), ({ query }) => {
      query["encoding-type"] = "base64";
    });
    expect(await failure(odd.send(new ListObjectsV2Command({ Bucket: "bucket" })))).toBe(
      "InvalidArgument 400",
    );
  });
});

describe("versions", () => {
  test("a delete hides, a delete of a version removes", async () => {
    const { client, put, get, list, versioning } = withBucket();
    const before = await put("a", "0");
    expect(before.VersionId).toBeUndefined();
    await versioning("Enabled");
    const one = await put("a", "1");
    const { VersionId: marker, DeleteMarker } = await client.send(
      new DeleteObjectCommand({ Bucket: "bucket", Key: "a" }),
    );
    expect(DeleteMarker).toBe(true);
    expect(await failure(get("a"))).toBe("NoSuchKey 404");
    expect((await list()).KeyCount).toBe(0);
    expect((await get("a", { VersionId: one.VersionId })).toString()).toBe("1");
    expect((await get("a", { VersionId: "null" })).toString()).toBe("0");
    expect(await failure(get("a", { VersionId: marker }))).toBe("MethodNotAllowed 405");
    expect(await failure(get("a", { VersionId: "0".repeat(32) }))).toBe("NoSuchVersion 404");
    expect(await failure(get("a", { VersionId: "nonsense" }))).toBe("InvalidArgument 400");
    const all = await client.send(new ListObjectVersionsCommand({ Bucket: "bucket" }));
    expect(all.DeleteMarkers).toMatchObject([{ Key: "a", VersionId: marker, IsLatest: true }]);
    expect(all.Versions).toMatchObject([
      { VersionId: one.VersionId, IsLatest: false, Size: 1 },
      { VersionId: "null", IsLatest: false },
    ]);
    await client.send(new DeleteObjectCommand({ Bucket: "bucket", Key: "a", VersionId: marker }));
    expect((await get("a")).toString()).toBe("1");
  });

  test("while versioning is suspended the null version is replaced", async () => {
    const { client, put, versioning } = withBucket();
    await versioning("Enabled");
    const kept = await put("a", "1");
    await versioning("Suspended");
    await put("a", "2");
    await put("a", "3");
    const { Versions = [] } = await client.send(
      new ListObjectVersionsCommand({ Bucket: "bucket" }),
    );
    expect(Versions.map(({ VersionId }) => VersionId)).toEqual(["null", kept.VersionId]);
    const { Status } = await client.send(new GetBucketVersioningCommand({ Bucket: "bucket" }));
    expect(Status).toBe("Suspended");
  });

  test("all versions are listed page by page", async () => {
    const { client, put, versioning } = withBucket();
    await versioning("Enabled");
    for (const key of ["a", "b", "b", "b", "c/1", "c/2", "d"]) await put(key);
    await client.send(new DeleteObjectCommand({ Bucket: "bucket", Key: "b" }));
    for (const MaxKeys of [1, 2, 3, 100]) {
      const found: string[] = [];
      let markers: { KeyMarker?: string; VersionIdMarker?: string } | undefined = {};
      while (markers !== undefined) {
        const page: ListObjectVersionsCommandOutput = await client.send(
          new ListObjectVersionsCommand({ Bucket: "bucket", MaxKeys, Delimiter: "/", ...markers }),
        );
        for (const { Key = "" } of page.Versions ?? []) found.push(Key);
        for (const { Key = "" } of page.DeleteMarkers ?? []) found.push(Key);
        for (const { Prefix = "" } of page.CommonPrefixes ?? []) found.push(Prefix);
        const { NextKeyMarker, NextVersionIdMarker } = page;
        markers = page.IsTruncated
          ? {
              ...(NextKeyMarker && { KeyMarker: NextKeyMarker }),
              ...(NextVersionIdMarker && { VersionIdMarker: NextVersionIdMarker }),
            }
          : undefined;
      }
      expect(found.toSorted()).toEqual(["a", "b", "b", "b", "b", "c/", "d"]);
    }
  });

  test("many keys are deleted at once, each with its own outcome", async () => {
    const { client, put, list } = withBucket();
    await put("a");
    await put("<b>");
    await put("c");
    const { Deleted, Errors } = await client.send(
      new DeleteObjectsCommand({
        Bucket: "bucket",
        Delete: {
          Objects: [
            { Key: "a" },
            { Key: "<b>" },
            { Key: "none" },
            { Key: "c", VersionId: "nonsense" },
          ],
        },
      }),
    );
    expect(Deleted?.map(({ Key }) => Key)).toEqual(["a", "<b>", "none"]);
    expect(Errors).toMatchObject([{ Key: "c", Code: "InvalidArgument" }]);
    expect((await list()).KeyCount).toBe(1);
    const Objects = Array.from({ length: 1001 }, (_, index) => ({ Key: String(index) }));
    expect(
      await failure(
        client.send(new DeleteObjectsCommand({ Bucket: "bucket", Delete: { Objects } })),
      ),
    ).toBe("MalformedXML 400");
  });
});

describe("Object Lock", () => {
  const until = new Date(start + DAY);

  test("a compliance version stays until its date has come on the clock, for everybody", async () => {
    const { aws, client, put, get } = withBucket({ objectLock: true });
    const { VersionId = "" } = await put("a", "1", {
      ObjectLockMode: "COMPLIANCE",
      ObjectLockRetainUntilDate: until,
    });
    const remove = (more = {}) =>
      client.send(new DeleteObjectCommand({ Bucket: "bucket", Key: "a", VersionId, ...more }));
    expect(await failure(remove())).toBe("AccessDenied 403");
    expect(await failure(remove({ BypassGovernanceRetention: true }))).toBe("AccessDenied 403");
    const { Errors } = await client.send(
      new DeleteObjectsCommand({
        Bucket: "bucket",
        Delete: { Objects: [{ Key: "a", VersionId }] },
      }),
    );
    expect(Errors).toMatchObject([{ Code: "AccessDenied", VersionId }]);
    // New versions and delete markers may come: they take nothing away.
    await put("a", "2");
    await client.send(new DeleteObjectCommand({ Bucket: "bucket", Key: "a" }));
    expect((await get("a", { VersionId })).toString()).toBe("1");
    await aws.advance(DAY - 1);
    expect(await failure(remove())).toBe("AccessDenied 403");
    await aws.advance(1);
    expect(await failure(remove())).toBe("no error");
  });

  test("retention under compliance only grows; under governance a bypass may loosen it", async () => {
    const { client, put } = withBucket({ objectLock: true });
    await put("c");
    await put("g");
    const retain = (
      Key: string,
      Mode: "COMPLIANCE" | "GOVERNANCE" | undefined,
      at: number,
      more = {},
    ) =>
      failure(
        client.send(
          new PutObjectRetentionCommand({
            Bucket: "bucket",
            Key,
            Retention: Mode === undefined ? {} : { Mode, RetainUntilDate: new Date(start + at) },
            ...more,
          }),
        ),
      );
    const bypass = { BypassGovernanceRetention: true };
    expect(await retain("c", "COMPLIANCE", -1)).toBe("InvalidArgument 400");
    expect(await retain("c", "COMPLIANCE", DAY)).toBe("no error");
    expect(await retain("c", "COMPLIANCE", 2 * DAY)).toBe("no error");
    expect(await retain("c", "COMPLIANCE", DAY, bypass)).toBe("AccessDenied 403");
    expect(await retain("c", "GOVERNANCE", 3 * DAY, bypass)).toBe("AccessDenied 403");
    expect(await retain("c", undefined, 0, bypass)).toBe("AccessDenied 403");
    expect(await retain("g", "GOVERNANCE", DAY)).toBe("no error");
    expect(await retain("g", "GOVERNANCE", 2 * DAY)).toBe("no error");
    expect(await retain("g", "GOVERNANCE", DAY)).toBe("AccessDenied 403");
    expect(await retain("g", "GOVERNANCE", DAY, bypass)).toBe("no error");
    const { Retention } = await client.send(
      new GetObjectRetentionCommand({ Bucket: "bucket", Key: "g" }),
    );
    expect(Retention).toEqual({ Mode: "GOVERNANCE", RetainUntilDate: new Date(start + DAY) });
    expect(await retain("g", undefined, 0, bypass)).toBe("no error");
  });

  test("the bucket's default retention is given to every new version", async () => {
    const { aws, client, put, versioning } = withBucket();
    const configure = (rule: object) =>
      client.send(
        new PutObjectLockConfigurationCommand({
          Bucket: "bucket",
          ObjectLockConfiguration: {
            ObjectLockEnabled: "Enabled",
            Rule: { DefaultRetention: { Mode: "GOVERNANCE", ...rule } },
          },
        }),
      );
    expect(await failure(configure({ Days: 1 }))).toBe("InvalidBucketState 409");
    await versioning("Enabled");
    expect(await failure(configure({ Days: 0 }))).toBe("InvalidArgument 400");
    expect(await failure(configure({ Days: 1, Years: 1 }))).toBe("MalformedXML 400");
    await configure({ Days: 30 });
    expect(await failure(versioning("Suspended"))).toBe("InvalidBucketState 409");
    const { ObjectLockConfiguration } = await client.send(
      new GetObjectLockConfigurationCommand({ Bucket: "bucket" }),
    );
    expect(ObjectLockConfiguration?.Rule?.DefaultRetention).toEqual({
      Mode: "GOVERNANCE",
      Days: 30,
    });
    await aws.advance(DAY);
    await put("a");
    const { Retention } = await client.send(
      new GetObjectRetentionCommand({ Bucket: "bucket", Key: "a" }),
    );
    expect(Retention?.RetainUntilDate).toEqual(new Date(start + 31 * DAY));
  });

  test("a legal hold keeps a version without a date", async () => {
    const { client, put } = withBucket({ objectLock: true });
    const { VersionId } = await put("a");
    const hold = (Status: "ON" | "OFF") =>
      client.send(
        new PutObjectLegalHoldCommand({ Bucket: "bucket", Key: "a", LegalHold: { Status } }),
      );
    const remove = () =>
      failure(
        client.send(
          new DeleteObjectCommand({
            Bucket: "bucket",
            Key: "a",
            VersionId,
            BypassGovernanceRetention: true,
          }),
        ),
      );
    await hold("ON");
    expect(await remove()).toBe("AccessDenied 403");
    await hold("OFF");
    expect(await remove()).toBe("no error");
  });

  test("a bucket without a lock locks nothing", async () => {
    const { client, put } = withBucket();
    const lock = { ObjectLockMode: "COMPLIANCE", ObjectLockRetainUntilDate: until };
    expect(await failure(put("a", "1", lock))).toBe("InvalidRequest 400");
    expect(await failure(put("a", "1", { ObjectLockMode: "COMPLIANCE" }))).toBe(
      "InvalidRequest 400",
    );
    expect(
      await failure(client.send(new GetObjectLockConfigurationCommand({ Bucket: "bucket" }))),
    ).toBe("ObjectLockConfigurationNotFoundError 404");
    await put("a");
    expect(
      await failure(client.send(new GetObjectRetentionCommand({ Bucket: "bucket", Key: "a" }))),
    ).toBe("InvalidRequest 400");
  });
});

describe("buckets", () => {
  test("are made, found, listed and removed when empty", async () => {
    const { client, aws } = local();
    await client.send(
      new CreateBucketCommand({ Bucket: "one.bucket", ObjectLockEnabledForBucket: true }),
    );
    await client.send(new CreateBucketCommand({ Bucket: "two" }));
    await client.send(new CreateBucketCommand({ Bucket: "two" }));
    const { Buckets } = await client.send(new ListBucketsCommand({}));
    expect(Buckets).toEqual([
      { Name: "one.bucket", CreationDate: new Date(start) },
      { Name: "two", CreationDate: new Date(start) },
    ]);
    await client.send(new HeadBucketCommand({ Bucket: "two" }));
    expect((await client.send(new HeadBucketCommand({ Bucket: "one.bucket" }))).BucketRegion).toBe(
      "us-east-1",
    );
    await client.send(new PutObjectCommand({ Bucket: "two", Key: "a", Body: "" }));
    const remove = () => failure(client.send(new DeleteBucketCommand({ Bucket: "two" })));
    expect(await remove()).toBe("BucketNotEmpty 409");
    await client.send(new DeleteObjectCommand({ Bucket: "two", Key: "a" }));
    expect(await remove()).toBe("no error");
    expect(await remove()).toBe("NoSuchBucket 404");
    expect(
      await failure(client.send(new PutObjectCommand({ Bucket: "two", Key: "a", Body: "" }))),
    ).toBe("NoSuchBucket 404");
    expect(aws.errors).toEqual([]);
  });

  test("need a name and a place that S3 would take", async () => {
    const { connect } = local({ region: "eu-west-1" });
    const client = connect({ forcePathStyle: true });
    const create = (Bucket: string, LocationConstraint?: "us-west-2" | "eu-west-1") =>
      failure(
        client.send(
          new CreateBucketCommand({
            Bucket,
            ...(LocationConstraint && { CreateBucketConfiguration: { LocationConstraint } }),
          }),
        ),
      );
    expect(await create("here", "eu-west-1")).toBe("no error");
    expect(await create("here", "eu-west-1")).toBe("BucketAlreadyOwnedByYou 409");
    expect(await create("there", "us-west-2")).toBe("IllegalLocationConstraintException 400");
    for (const name of ["ab", "Upper", "a..b", "-a-b", "10.0.0.1", "xn--abc", "a".repeat(64)])
      expect(await create(name, "eu-west-1")).toBe("InvalidBucketName 400");
  });

  test("keep the policies that can be evaluated, and no others", async () => {
    const { client } = withBucket();
    const put = (policy: unknown) =>
      failure(
        client.send(
          new PutBucketPolicyCommand({
            Bucket: "bucket",
            Policy: typeof policy === "string" ? policy : JSON.stringify(policy),
          }),
        ),
      );
    const statement = {
      Effect: "Allow",
      Principal: { AWS: "arn:aws:iam::000000000000:role/x" },
      Action: "s3:GetObject",
      Resource: "arn:aws:s3:::bucket/*",
    };
    const policy = { Version: "2012-10-17", Statement: [statement] };
    const read = () => client.send(new GetBucketPolicyCommand({ Bucket: "bucket" }));
    expect(await failure(read())).toBe("NoSuchBucketPolicy 404");
    for (const bad of [
      "{",
      "[]",
      { ...policy, Statement: [{ ...statement, Resource: "arn:aws:s3:::other/*" }] },
      { ...policy, Statement: [{ ...statement, Action: "sqs:SendMessage" }] },
      { ...policy, Statement: [{ ...statement, Principal: undefined }] },
      { ...policy, Statement: [{ ...statement, Extra: 1 }] },
      { ...policy, Statement: [{ ...statement, Sid: "s".repeat(21_000) }] },
    ])
      expect(await put(bad)).toBe("MalformedPolicy 400");
    expect(await put(policy)).toBe("no error");
    expect(JSON.parse((await read()).Policy ?? "")).toEqual(policy);
    await client.send(new DeleteBucketPolicyCommand({ Bucket: "bucket" }));
    expect(await failure(read())).toBe("NoSuchBucketPolicy 404");
  });
});

describe("what is not known is refused", () => {
  test("operations", async () => {
    const { client } = withBucket();
    const Bucket = "bucket";
    expect(await failure(client.send(new CreateMultipartUploadCommand({ Bucket, Key: "a" })))).toBe(
      "NotImplemented 501",
    );
    expect(await failure(client.send(new GetObjectTaggingCommand({ Bucket, Key: "a" })))).toBe(
      "NotImplemented 501",
    );
  });

  test("headers, parameters and values", async () => {
    const { put, connect, list } = withBucket();
    for (const more of [
      { ACL: "private" },
      { Tagging: "a=b" },
      { StorageClass: "GLACIER" },
      { ServerSideEncryption: "aws:kms" },
      { WebsiteRedirectLocation: "/x" },
    ])
      expect(await failure(put("a", "1", more))).toBe("NotImplemented 501");
    await put("a", "1", { StorageClass: "STANDARD", ServerSideEncryption: "AES256" });
    const odd = altered(connect(), ({ query }) => {
      query.partNumber = "1";
    });
    expect(await failure(odd.send(new GetObjectCommand({ Bucket: "bucket", Key: "a" })))).toBe(
      "NotImplemented 501",
    );
    const first = altered(connect(), ({ query }) => {
      delete query["list-type"];
    });
    expect(await failure(first.send(new ListObjectsV2Command({ Bucket: "bucket" })))).toBe(
      "NotImplemented 501",
    );
    expect(await failure(list({ OptionalObjectAttributes: ["RestoreStatus"] }))).toBe(
      "NotImplemented 501",
    );
    expect(await failure(put("a", "1", { ExpectedBucketOwner: "111122223333" }))).toBe(
      "AccessDenied 403",
    );
  });

  test("elements of a document, and documents that are none", async () => {
    const { connect } = withBucket();
    const send = (xml: string) => {
      const client = altered(connect(), (request) => {
        for (const name of Object.keys(request.headers))
          if (/checksum|content-length/i.test(name)) delete request.headers[name];
        request.body = xml;
      });
      return failure(
        client.send(
          new PutBucketVersioningCommand({
            Bucket: "bucket",
            VersioningConfiguration: { Status: "Enabled" },
          }),
        ),
      );
    };
    const status = "<Status>Enabled</Status>";
    const root = (inner: string) => `<VersioningConfiguration>${inner}</VersioningConfiguration>`;
    expect(
      await send(`<?xml version="1.0"?><!-- x -->${root(`<Status><![CDATA[Enabled]]></Status>`)}`),
    ).toBe("no error");
    expect(await send(root(`${status}<MfaDelete>Enabled</MfaDelete>`))).toBe("NotImplemented 501");
    for (const bad of [
      "",
      "{}",
      root(""),
      root(status + status),
      root("<Status>On</Status>"),
      `<Other>${status}</Other>`,
      `<VersioningConfiguration>${status}`,
      root("<Status>Enabled</Other>"),
      root("<Status>&bomb;</Status>"),
      `<!DOCTYPE x [<!ENTITY bomb "x">]>${root(status)}`,
      root("<a>".repeat(100)),
      root(status) + root(status),
    ])
      expect(await send(bad)).toBe("MalformedXML 400");
  });
});

describe("permissions", () => {
  const bucket = "arn:aws:s3:::bucket";
  const Bucket = "bucket";

  test("are asked by exact action and key", async () => {
    const { as, put } = withBucket();
    await put("mine/a");
    await put("other/a");
    const one = await as("one", [
      allow(["s3:GetObject", "s3:PutObject"], `${bucket}/mine/*`),
      allow("s3:ListBucket", bucket, { StringLike: { "s3:prefix": "mine/*" } }),
    ]);
    const outcome = (call: (Key: string) => Promise<unknown>) =>
      Promise.all(["mine/a", "other/a"].map((Key) => failure(call(Key))));
    const denied = "AccessDenied 403";
    expect(await outcome((Key) => one.send(new GetObjectCommand({ Bucket, Key })))).toEqual([
      "no error",
      denied,
    ]);
    expect(
      await outcome((Key) => one.send(new PutObjectCommand({ Bucket, Key, Body: "1" }))),
    ).toEqual(["no error", denied]);
    expect(await outcome((Key) => one.send(new DeleteObjectCommand({ Bucket, Key })))).toEqual([
      denied,
      denied,
    ]);
    expect(
      await outcome((Key) => one.send(new GetObjectCommand({ Bucket, Key, VersionId: "null" }))),
    ).toEqual([denied, denied]);
    expect(
      await outcome((Prefix) => one.send(new ListObjectsV2Command({ Bucket, Prefix }))),
    ).toEqual(["no error", denied]);
    expect(await failure(one.send(new ListObjectsV2Command({ Bucket })))).toBe(denied);
    expect(
      await failure(one.send(new ListObjectVersionsCommand({ Bucket, Prefix: "mine/" }))),
    ).toBe(denied);
    expect(
      await failure(
        one.send(new CopyObjectCommand({ Bucket, Key: "mine/b", CopySource: "bucket/other/a" })),
      ),
    ).toBe(denied);
    expect(
      await failure(
        one.send(new CopyObjectCommand({ Bucket, Key: "mine/b", CopySource: "bucket/mine/a" })),
      ),
    ).toBe("no error");
    expect(await failure(one.send(new ListBucketsCommand({})))).toBe(denied);
    expect(await failure(one.send(new CreateBucketCommand({ Bucket: "new-one" })))).toBe(denied);
  });

  test("who may not list is not told that a key is missing", async () => {
    const { as } = withBucket();
    const blind = await as("blind", [allow("s3:GetObject", `${bucket}/*`)]);
    const seeing = await as("seeing", [
      allow("s3:GetObject", `${bucket}/*`),
      allow("s3:ListBucket", bucket),
    ]);
    const get = (client: S3Client) =>
      failure(client.send(new GetObjectCommand({ Bucket, Key: "none" })));
    expect(await get(blind)).toBe("AccessDenied 403");
    expect(await get(seeing)).toBe("NoSuchKey 404");
  });

  test("a comparing put needs to read, a locking put needs to lock", async () => {
    const { as, put } = withBucket({ objectLock: true });
    const { ETag } = await put("a");
    const one = await as("one", [allow("s3:PutObject", `${bucket}/*`)]);
    const write = (more: Partial<PutObjectCommandInput>) =>
      failure(one.send(new PutObjectCommand({ Bucket, Key: "a", Body: "1", ...more })));
    expect(await write({ IfMatch: ETag })).toBe("AccessDenied 403");
    expect(await write({ IfNoneMatch: "*" })).toBe("PreconditionFailed 412");
    const lock = {
      ObjectLockMode: "GOVERNANCE",
      ObjectLockRetainUntilDate: new Date(start + DAY),
    } as const;
    expect(await write(lock)).toBe("AccessDenied 403");
    expect(await write({ ObjectLockLegalHoldStatus: "ON" })).toBe("AccessDenied 403");
  });

  test("governance yields to who may bypass it and says so, compliance to nobody", async () => {
    const { as, put } = withBucket({ objectLock: true });
    const lock = { ObjectLockMode: "GOVERNANCE", ObjectLockRetainUntilDate: new Date(start + DAY) };
    const { VersionId } = await put("a", "1", lock);
    const may = await as("may", [
      allow(["s3:DeleteObjectVersion", "s3:BypassGovernanceRetention"], `${bucket}/*`),
    ]);
    const mayNot = await as("maynot", [allow("s3:DeleteObjectVersion", `${bucket}/*`)]);
    const remove = (client: S3Client, BypassGovernanceRetention: boolean) =>
      failure(
        client.send(
          new DeleteObjectCommand({ Bucket, Key: "a", VersionId, BypassGovernanceRetention }),
        ),
      );
    expect(await remove(mayNot, true)).toBe("AccessDenied 403");
    expect(await remove(may, false)).toBe("AccessDenied 403");
    expect(await remove(may, true)).toBe("no error");
  });

  test("a bucket's policy grants and denies", async () => {
    const { as, client, put } = withBucket();
    await put("a");
    const one = await as("one", []);
    const get = () => failure(one.send(new GetObjectCommand({ Bucket, Key: "a" })));
    const policy = (Effect: "Allow" | "Deny", Principal: object | string) =>
      client.send(
        new PutBucketPolicyCommand({
          Bucket,
          Policy: JSON.stringify({
            Version: "2012-10-17",
            Statement: [{ Effect, Principal, Action: "s3:*", Resource: `${bucket}/*` }],
          }),
        }),
      );
    expect(await get()).toBe("AccessDenied 403");
    await policy("Allow", { AWS: "arn:aws:iam::000000000000:role/one" });
    expect(await get()).toBe("no error");
    await policy("Deny", "*");
    expect(await get()).toBe("AccessDenied 403");
    expect(await failure(client.send(new GetObjectCommand({ Bucket, Key: "a" })))).toBe(
      "AccessDenied 403",
    );
  });
});
