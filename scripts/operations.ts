/** What local AWS answers, as docs/local-aws.md lists it: written anew by `npm run operations`, compared by a test. */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { localAws } from "@stint/local";

export const PAGE = fileURLToPath(new URL("../docs/local-aws.md", import.meta.url));

/** The page with its list as the code has it. */
export function withOperations(page: string): string {
  const aws = localAws();
  const rows = aws.operations().map(({ service, operations }) => {
    return `- **${service}**: ${operations.toSorted().join(", ")}`;
  });
  const list = ["<!-- operations -->", ...rows, "<!-- /operations -->"].join("\n");
  return page.replace(/<!-- operations -->[\s\S]*<!-- \/operations -->/, () => list);
}

if (import.meta.main) writeFileSync(PAGE, withOperations(readFileSync(PAGE, "utf8")));
