import {
  CopyObjectCommand,
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Endpoint, endpoint, refusal } from "./endpoint.ts";

let at: Endpoint;
let s3: S3Client;
let Bucket = "";
beforeAll(async () => {
  at = await endpoint();
  s3 = new S3Client({ ...at.client, forcePathStyle: true });
  Bucket = at.unique("bucket");
  await s3.send(new CreateBucketCommand({ Bucket }));
});
afterAll(async () => {
  const { Versions = [], DeleteMarkers = [] } = await s3.send(
    new ListObjectVersionsCommand({ Bucket }),
  );
  for (const { Key, VersionId } of [...Versions, ...DeleteMarkers])
    await s3.send(new DeleteObjectCommand({ Bucket, Key, VersionId }));
  await s3.send(new DeleteBucketCommand({ Bucket }));
  await at.close();
});

const put = (Key: string, Body: string | Uint8Array = Key, more: object = {}) =>
  s3.send(new PutObjectCommand({ Bucket, Key, Body, ...more }));
const text = async (Key: string, more: object = {}) =>
  (await s3.send(new GetObjectCommand({ Bucket, Key, ...more }))).Body?.transformToString();

describe("objects", () => {
  test("come back as they were put, with type, metadata and digest", async () => {
    const { ETag } = await put("a/ä b+c.txt", "hello", {
      ContentType: "text/plain",
      Metadata: { kind: "order" },
    });
    expect(ETag).toBe('"5d41402abc4b2a76b9719d911017c592"');
    expect(await text("a/ä b+c.txt")).toBe("hello");
    const head = await s3.send(new HeadObjectCommand({ Bucket, Key: "a/ä b+c.txt" }));
    expect(head).toMatchObject({
      ContentLength: 5,
      ContentType: "text/plain",
      Metadata: { kind: "order" },
      ETag,
    });
  });

  test("are read in part", async () => {
    await put("range", "0123456789");
    expect(await text("range", { Range: "bytes=2-4" })).toBe("234");
    expect(await text("range", { Range: "bytes=-3" })).toBe("789");
    expect(await refusal(text("range", { Range: "bytes=10-12" }))).toBe("InvalidRange 416");
  });

  test("that are not there are told apart from buckets that are not", async () => {
    expect(await refusal(text("none"))).toBe("NoSuchKey 404");
    const elsewhere = new GetObjectCommand({ Bucket: at.unique("none"), Key: "x" });
    expect(await refusal(s3.send(elsewhere))).toBe("NoSuchBucket 404");
    expect(await refusal(s3.send(new HeadBucketCommand({ Bucket: at.unique("none") })))).toBe(
      "NotFound 404",
    );
  });

  test("are put on condition that there is none, or that it is the one that was read", async () => {
    const once = (Body: string) => refusal(put("once", Body, { IfNoneMatch: "*" }));
    expect(await once("first")).toBe("none");
    expect(await once("second")).toBe("PreconditionFailed 412");
    expect(await text("once")).toBe("first");
    const { ETag = "" } = await s3.send(new HeadObjectCommand({ Bucket, Key: "once" }));
    expect(await refusal(put("once", "third", { IfMatch: ETag }))).toBe("none");
    expect(await refusal(put("once", "fourth", { IfMatch: ETag }))).toBe("PreconditionFailed 412");
    expect(await refusal(text("once", { IfMatch: ETag }))).toMatch(/ 412$/);
  });

  test("with a wrong checksum are refused, with a right one keep it", async () => {
    const { ChecksumSHA256 } = await put("sum", "hello", { ChecksumAlgorithm: "SHA256" });
    expect(ChecksumSHA256).toBe("LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=");
    const wrong = put("sum", "other", { ChecksumSHA256 });
    expect(await refusal(wrong)).toMatch(/^(BadDigest|InvalidRequest) 400$/);
  });

  test("are copied", async () => {
    await put("from", "copied");
    await s3.send(new CopyObjectCommand({ Bucket, Key: "to", CopySource: `${Bucket}/from` }));
    expect(await text("to")).toBe("copied");
  });
});

describe("lists", () => {
  test("are in order, page by page, and fold what has a delimiter", async () => {
    for (const key of ["l/b", "l/a", "l/d/1", "l/d/2"]) await put(key);
    const list = (more: object) =>
      s3.send(new ListObjectsV2Command({ Bucket, Prefix: "l/", ...more }));
    const first = await list({ MaxKeys: 3 });
    expect(first.Contents?.map(({ Key }) => Key)).toEqual(["l/a", "l/b", "l/d/1"]);
    expect(first.IsTruncated).toBe(true);
    const rest = await list({ ContinuationToken: first.NextContinuationToken });
    expect(rest.Contents?.map(({ Key }) => Key)).toEqual(["l/d/2"]);
    const folded = await list({ Delimiter: "/" });
    expect(folded.Contents?.map(({ Key }) => Key)).toEqual(["l/a", "l/b"]);
    expect(folded.CommonPrefixes).toEqual([{ Prefix: "l/d/" }]);
  });

  test("lose what was deleted, many at once, and deleting nothing is no fault", async () => {
    await put("x/1");
    await put("x/2");
    const { Deleted } = await s3.send(
      new DeleteObjectsCommand({
        Bucket,
        Delete: { Objects: ["x/1", "x/2", "x/3"].map((Key) => ({ Key })) },
      }),
    );
    expect(Deleted?.map(({ Key }) => Key).toSorted()).toEqual(["x/1", "x/2", "x/3"]);
    expect((await s3.send(new ListObjectsV2Command({ Bucket, Prefix: "x/" }))).KeyCount).toBe(0);
    expect(await refusal(s3.send(new DeleteObjectCommand({ Bucket, Key: "x/1" })))).toBe("none");
  });
});

describe("buckets", () => {
  test("with objects are not deleted", async () => {
    await put("kept");
    expect(await refusal(s3.send(new DeleteBucketCommand({ Bucket })))).toBe("BucketNotEmpty 409");
  });

  test.each(["Upper-case", "a", "under_score"])("are not called %s", async (name) => {
    const call = new S3Client({ ...at.client, forcePathStyle: true }).send(
      new CreateBucketCommand({ Bucket: name }),
    );
    expect(await refusal(call)).toBe("InvalidBucketName 400");
  });

  test("with versions keep what was overwritten or deleted", async () => {
    await s3.send(
      new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status: "Enabled" } }),
    );
    const { VersionId: first } = await put("v", "one");
    await put("v", "two");
    expect(await text("v")).toBe("two");
    expect(await text("v", { VersionId: first })).toBe("one");
    const { DeleteMarker } = await s3.send(new DeleteObjectCommand({ Bucket, Key: "v" }));
    expect(DeleteMarker).toBe(true);
    expect(await refusal(text("v"))).toBe("NoSuchKey 404");
    expect(await text("v", { VersionId: first })).toBe("one");
  });
});
