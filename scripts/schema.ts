import { writeFileSync } from "node:fs";
import { configJsonSchemaText } from "@stint/core/config/json-schema";

// Writes the JSON Schema that editors use for stint.yaml. Run it after a change of the schema: a test compares.
writeFileSync(new URL("../stint.schema.json", import.meta.url), configJsonSchemaText());
