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
        type: column.type === "timestamp" ? ("TIMESTAMP" as const) : ("STRING" as const),
        data: rows.map((row) => cell(column, row)),
        // Nobody looks for whole JSON texts, and they would be twice in the footer.
        statistics: column.type !== "json",
      })),
    }),
  );
}

function cell(column: AuditColumn, row: AuditRow): string | Date | null {
  const value = column.from(row);
  if (value === undefined) return null;
  return typeof value === "number" ? new Date(value) : value;
}
