import * as z from "zod";
import { ConfigSchema } from "./schema.ts";

/** The JSON Schema of stint.yaml, as editors want it: of what is written, not of what it is read as. */
export const configJsonSchema = (): object => z.toJSONSchema(ConfigSchema, { io: "input" });

/** The text of stint.schema.json. */
export const configJsonSchemaText = (): string =>
  `${JSON.stringify(configJsonSchema(), null, 2)}\n`;
