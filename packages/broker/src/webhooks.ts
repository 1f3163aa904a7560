import { jobRecord, type Keeping } from "./deps.ts";
import type { Delivery, JobEnd, Tombstones } from "./ports.ts";

/**
 * What a pipeline reported, by a delivery whose signature holds. The tombstone is written together with the delivery's
 * id; the grants are ended by whoever reads the table's stream, so that no crash in here can leave them.
 */
export async function reportJobs(
  deps: Keeping<Tombstones>,
  ends: readonly JobEnd[],
  delivery: Delivery,
): Promise<void> {
  for (const [i, end] of ends.entries()) {
    const { kind, ...run } = end;
    const job = end.kind === "job.ended" ? end.job : (run as Omit<typeof end, "kind">); // the other member
    const record = jobRecord(
      deps,
      kind,
      job,
      { kind: "webhook", id: `${delivery.pipeline}:${delivery.id}` },
      deps.ambient.now(),
    );
    // One delivery may tell of several jobs; each is written once.
    await deps.store.tombstone(
      end,
      { ...delivery, id: i === 0 ? delivery.id : `${delivery.id}#${i}` },
      record,
    );
  }
}
