/** Rows of an object of the audit log. */
import { zstdDecompressSync } from "node:zlib";
import { parquetRead } from "hyparquet";

/** @param columns all of them unless given */
export async function rowsOf(
  file: ArrayBuffer,
  columns?: string[],
): Promise<ReadonlyArray<Readonly<Record<string, unknown>>>> {
  let rows: ReadonlyArray<Readonly<Record<string, unknown>>> = [];
  await parquetRead({
    file,
    ...(columns === undefined ? {} : { columns }),
    rowFormat: "object",
    compressors: { ZSTD: (bytes) => new Uint8Array(zstdDecompressSync(bytes)) },
    onComplete: (all) => {
      rows = all;
    },
  });
  return rows;
}
