import { writeFileSync } from "node:fs";
import { openapiText } from "@stint/functions/openapi/document";

// Writes the API's description. Run it after a change of a route, a request or an answer: a test compares.
writeFileSync(new URL("../functions/openapi.json", import.meta.url), openapiText());
