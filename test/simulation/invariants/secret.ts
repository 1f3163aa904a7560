/** 5. No secret in table, logs, bus, queues, schedules or the audit log. */
import { webhookSecret } from "@stint/local/stint";
import { objectsOf } from "../objects.ts";
import { rowsOf } from "../parquet.ts";
import type { Invariant } from "./invariant.ts";

/** Reading whole objects costs more than the rest of a run; what is in them came from the table's items. */
const READ_EVERY = 16;

export const secret: Invariant = {
  name: "secret",
  watch(sim, broken) {
    const { seen, story } = sim;
    const secrets = new Set<string>([webhookSecret("github")]);
    const texts = new Map<string, string[]>();
    const add = (where: string, text: string) => {
      const known = texts.get(where) ?? [];
      known.push(text);
      texts.set(where, known);
    };
    seen.on("secret", (text) => secrets.add(text));
    seen.on("text", ({ where, text }) => add(where, text));
    return {
      async end() {
        for (const { key, metadata, body } of objectsOf(sim)) {
          add("audit", `${key} ${metadata}`);
          if (story.seed % READ_EVERY !== 0) continue;
          const rows = await rowsOf(body);
          add(
            "audit",
            JSON.stringify(rows, (_, value) => (typeof value === "bigint" ? String(value) : value)),
          );
        }
        for (const [where, all] of texts) {
          const text = all.join("\n");
          for (const one of secrets)
            if (text.includes(one)) broken(`a secret (${one.slice(0, 6)}…) is in ${where}`);
        }
      },
    };
  },
};
