/** The operations that read an object: get and head. */
import { z } from "zod";
import { AwsError, type Operation, operation } from "../service.ts";
import { type Answer, S3Error } from "./answers.ts";
import { byteRange, checkRead } from "./conditions.ts";
import { checksumHeaders, ENCRYPTED, names, STORED } from "./headers.ts";
import { lockHeaders } from "./retention.ts";
import {
  bucketOf,
  httpDate,
  objectOf,
  onVersion,
  readChecks,
  type State,
  versioned,
  versionHeader,
} from "./state.ts";

const CONDITIONS = [
  "if-match",
  "if-none-match",
  "if-modified-since",
  "if-unmodified-since",
] as const;
const OVERRIDES = [
  "response-content-type",
  "response-cache-control",
  "response-content-disposition",
  "response-content-encoding",
  "response-content-language",
  "response-expires",
] as const;

const readInput = z.strictObject({
  ...onVersion,
  ...names(...CONDITIONS, "range", "x-amz-checksum-mode"),
  ...names(...OVERRIDES),
});

const getObject = (state: State, head: boolean) =>
  operation({
    input: readInput,
    authorize: (input) => readChecks(state, versioned("GetObject", input), input),
    run(input): Answer {
      const bucket = bucketOf(state, input);
      const object = objectOf(bucket, input);
      checkRead(object, input);
      const size = object.bytes.length;
      const range = byteRange(input.range, size);
      const first = range?.first ?? 0;
      const length = range === undefined ? size : range.last - range.first + 1;
      const headers: Record<string, string | undefined> = {
        ...object.headers,
        etag: `"${object.etag}"`,
        "last-modified": httpDate(object.modifiedAt),
        "accept-ranges": "bytes",
        "content-length": String(length),
        ...versionHeader(bucket, object.versionId),
        ...ENCRYPTED,
        ...lockHeaders(object),
      };
      for (const [name, value] of Object.entries(object.metadata))
        headers[`x-amz-meta-${name}`] = value;
      for (const name of STORED) headers[name] = input[`response-${name}`] ?? headers[name];
      if (range !== undefined)
        headers["content-range"] = `bytes ${range.first}-${range.last}/${size}`;
      // A checksum of the whole would be wrong for a part.
      if (input["x-amz-checksum-mode"]?.toUpperCase() === "ENABLED" && length === size)
        Object.assign(headers, checksumHeaders(object));
      return {
        status: range === undefined ? 200 : 206,
        headers,
        ...(head ? {} : { body: object.bytes.slice(first, first + length) }),
      };
    },
  });

/** A HEAD's errors have no body, so that a client knows them by their status alone. */
const headObject = (state: State): Operation => {
  const { run, ...rest } = getObject(state, true);
  return {
    ...rest,
    async run(input, call) {
      try {
        return await run(input, call);
      } catch (error) {
        if (error instanceof AwsError && ["NoSuchKey", "NoSuchVersion"].includes(error.code))
          throw new S3Error(
            "NotFound",
            "Not Found",
            404,
            {},
            error instanceof S3Error ? error.headers : {},
          );
        throw error;
      }
    },
  };
};

export const readOperations = (state: State) => ({
  GetObject: getObject(state, false),
  HeadObject: headObject(state),
});
