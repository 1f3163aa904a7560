/** Local DynamoDB, with its streams. */
import { streamOperations, tableOperations } from "../dynamodb/administration.ts";
import { batchOperations } from "../dynamodb/batches.ts";
import type { Limits } from "../dynamodb/capacity.ts";
import { catalogue } from "../dynamodb/catalogue.ts";
import { itemOperations } from "../dynamodb/items.ts";
import { type Mapping, startMapping } from "../dynamodb/mapping.ts";
import type { Table } from "../dynamodb/table.ts";
import { admitItem, type Item } from "../dynamodb/values.ts";
import { jsonProtocol } from "../protocols.ts";
import { AwsError, type Operation, type Protocol, type Service, type World } from "../service.ts";

const HOUR_MS = 60 * 60 * 1000;

/** What tests, benches and the dev server may do besides calling the API. */
export interface DynamoDb extends Service {
  /** Looks inside. @throws ResourceNotFoundException */
  table(name: string): Table;
  /**
   * Puts many items in without stream records. It takes the items over: they must not be changed afterwards.
   * Binaries may be base64 or bytes.
   */
  load(tableName: string, items: readonly Readonly<Record<string, object>>[]): void;
  /** Feeds a function from a table's stream, as Lambda's event source mapping does. Returns its end. */
  connect(mapping: Mapping): () => void;
  /** Splits the shards of a table's stream in two, as DynamoDB does when they get busy. */
  splitShards(tableName: string): void;
  /** How long after it expired an item is deleted; one hour at first. Holds from the next write on. */
  setTtlLag(ms: number): void;
  /**
   * How long a write stays out of sight of indexes and of reads that do not ask for consistency; 0 at first. Holds for
   * writes from now on.
   */
  setReadLag(ms: number): void;
  /** How long after a write functions read it from the stream, with what was written meanwhile; 0 at first. */
  setStreamLag(ms: number): void;
  /**
   * From how much on requests are throttled, for tables without provisioned capacity and for every partition; nothing at
   * first. A clock that stands still refills nothing.
   */
  setLimits(limits: Limits): void;
}

const STREAMS_TARGET = "DynamoDBStreams_20120810";

/** Two APIs share one endpoint and differ in the target's prefix. */
function protocol(streamNames: ReadonlySet<string>): Protocol {
  const errorNamespace = "com.amazonaws.dynamodb.v20120810";
  const items = jsonProtocol({ version: "1.0", target: "DynamoDB_20120810", errorNamespace });
  const streams = jsonProtocol({ version: "1.0", target: STREAMS_TARGET, errorNamespace });
  return {
    ...items,
    parse(request) {
      const ofStreams = request.headers["x-amz-target"]?.startsWith(`${STREAMS_TARGET}.`) === true;
      const parsed = (ofStreams ? streams : items).parse(request);
      if (streamNames.has(parsed.operation) !== ofStreams)
        throw new AwsError("UnknownOperationException", "");
      return parsed;
    },
    // Answers here are made of JSON values alone, so they need none of the usual conversion.
    render: (output, _, { requestId }) => ({
      status: 200,
      headers: { "content-type": "application/x-amz-json-1.0", "x-amzn-requestid": requestId },
      body: JSON.stringify(output ?? {}),
    }),
  };
}

/** @param options the two lags that can be set later as well: an hour for expired items, none for reads. */
export function dynamodb(
  world: World,
  options: { readonly ttlLagMs?: number; readonly readLagMs?: number } = {},
): DynamoDb {
  let ttlLagMs = options.ttlLagMs ?? HOUR_MS;
  let readLagMs = options.readLagMs ?? 0;
  let streamLagMs = 0;
  let limits: Limits = {};
  const tables = catalogue(world, {
    ttlMs: () => ttlLagMs,
    readMs: () => readLagMs,
    limits: () => limits,
  });
  const ofStreams = streamOperations(tables);
  const operations: Record<string, Operation> = {
    ...tableOperations(tables),
    ...itemOperations(tables),
    ...batchOperations(tables),
    ...ofStreams,
  };
  const streamOf = (tableName: string) => {
    const { stream } = tables.find(tableName);
    if (stream !== undefined) return stream;
    throw new AwsError("ResourceNotFoundException", `Table ${tableName} has no stream`);
  };
  return {
    name: "dynamodb",
    protocol: protocol(new Set(Object.keys(ofStreams))),
    operations,
    table: (name) => tables.find(name).table,
    load(tableName, items) {
      const { table, replica, ttl } = tables.find(tableName);
      const rows = items.map((item) => {
        const size = admitItem(item);
        return table.row(item as Item, size); // `admitItem` has checked it
      });
      table.load(rows);
      replica.reset();
      if (ttl !== undefined) for (const row of rows) ttl.add(row);
    },
    connect: (mapping) => startMapping(world, streamOf(mapping.table), mapping, () => streamLagMs),
    splitShards: (tableName) => streamOf(tableName).split(),
    setTtlLag(ms) {
      ttlLagMs = ms;
    },
    setReadLag(ms) {
      readLagMs = ms;
    },
    setStreamLag(ms) {
      streamLagMs = ms;
    },
    setLimits(wanted) {
      limits = wanted;
    },
  };
}
