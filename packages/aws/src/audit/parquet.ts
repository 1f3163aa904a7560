import { zstdCompressSync } from "node:zlib";
import { AUDIT_COLUMNS, type AuditColumn, type AuditRow } from "@stint/core/audit-columns";
import { parquetWriteBuffer } from "hyparquet-writer";

/** The rows as one Parquet file. The same rows give the same bytes. */
export function toParquet(rows: readonly AuditRow[]): Uint8Array {
  return new Uint8Array(
    parquetWriteBuffer({
      codec: "ZSTD",
      compressors: { ZSTD: (bytes) => zstdCompressSync(bytes) },
      createdBy: "stint",
      // Readers skip an object by a column's smallest and largest value, and only by whole ones.
      statisticsTruncateLength: Number.POSITIVE_INFINITY,
      columnData: AUDIT_COLUMNS.map((column) => ({
        name: column.name,
        type: PARQUET_TYPES[column.type],
        data: rows.map((row) => cell(column, row)),
        // Nobody looks for whole JSON texts, and they would be twice in the footer.
        statistics: column.type !== "json",
      })),
    }),
  );
}

const PARQUET_TYPES = {
  text: "STRING",
  json: "STRING",
  timestamp: "TIMESTAMP",
  number: "INT64",
} as const satisfies Record<AuditColumn["type"], string>;

function cell(column: AuditColumn, row: AuditRow): string | Date | bigint | null {
  const value = column.from(row);
  if (value === undefined) return null;
  if (typeof value === "string") return value;
  return column.type === "timestamp" ? new Date(value) : BigInt(Math.round(value));
}
