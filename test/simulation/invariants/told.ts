/** 4. The log is complete: one record for each transition, all of them in S3 and on the bus, none twice for a reader. */
import { FACTS, factOf } from "@stint/core/audit";
import { objectsOf } from "../objects.ts";
import { rowsOf } from "../parquet.ts";
import type { Invariant } from "./invariant.ts";

const EVENT_ID = "event_id";

export const told: Invariant = {
  name: "told",
  watch(sim, broken) {
    const { seen } = sim;
    const ids = new Set<string>();
    let owed: { readonly id: string; readonly fact: string } | undefined;
    seen.on("record", (record) => {
      if (ids.has(record.id)) broken(`the record ${record.id} is in two changes`);
      ids.add(record.id);
      if (!FACTS.includes(record.fact)) broken(`${record.fact} is no fact`);
      if (owed?.id === record.grant && owed?.fact === record.fact) owed = undefined;
    });
    // Each write is told of in three steps: the grant, its item, its records.
    let next: typeof owed;
    seen.on("grant", ({ before, after }) => {
      if (before?.state !== after.state) next = { id: after.id, fact: factOf(after) };
    });
    seen.on("item", () => {
      if (owed !== undefined) broken(`${owed.id} changed without a record that says ${owed.fact}`);
      owed = next;
      next = undefined;
    });
    const published = new Set<string>();
    seen.on("text", ({ where, text }) => {
      if (where !== "bus") return;
      for (const [, id] of text.matchAll(/\\"id\\":\\"([0-9A-Z]{26})\\"/g))
        if (id !== undefined) published.add(id);
    });
    return {
      async end() {
        if (owed !== undefined)
          broken(`${owed.id} changed without a record that says ${owed.fact}`);
        const logged = new Set<unknown>();
        for (const { body } of objectsOf(sim)) {
          const rows = await rowsOf(body, [EVENT_ID]);
          for (const row of rows) logged.add(row[EVENT_ID]);
        }
        for (const id of ids) {
          if (!logged.has(id)) broken(`the log lacks the record ${id}`);
          if (!published.has(id)) broken(`the bus lacks the fact ${id}`);
        }
      },
    };
  },
};
