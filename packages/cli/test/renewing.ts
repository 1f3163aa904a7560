/**
 * A test as a team would write it, run with credentials that are renewed: AWS's own SDK, which takes all that it needs
 * from its environment. Its arguments are steps; each says on a line of its own what came of it.
 */
import { PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { fromHttp } from "@aws-sdk/credential-provider-http";

const client = () => new S3Client({ forcePathStyle: true, maxAttempts: 1 });
let s3 = client();

const nameOf = (error: unknown) => (error instanceof Error ? error.name : String(error));

async function put(namespace: string) {
  const found = await s3.config.credentials().catch((error: Error) => error);
  if (found instanceof Error) return { came: found.name };
  const key = found.accessKeyId;
  const Key = `${namespace}/invoice`;
  const came = await s3
    .send(new PutObjectCommand({ Bucket: "billing", Key, Body: "paid" }))
    .then(() => "ok", nameOf);
  return { key, came };
}

const local = (path: string, body: object) =>
  fetch(`${process.env.STINT_URL}${path}`, { method: "POST", body: JSON.stringify(body) });

const steps: Readonly<Record<string, (argument: string) => Promise<unknown>>> = {
  put: () => put(process.env.STINT_NAMESPACE ?? ""),
  stray: () => put("it-g000000000000000"),
  /** What a new process would find. */
  restart: async () => {
    s3 = client();
  },
  /** Lets time pass for Stint and AWS. */
  advance: async (advance) => {
    await local("/_local/clock", { advance });
  },
  /** And for this process, so that its SDK finds its credentials too old. */
  age: async (minutes) => {
    const now = Date.now;
    Date.now = () => now() + Number(minutes) * 60_000;
  },
  /** Asks once, where the default chain would try for seconds. */
  ask: () =>
    fromHttp({ maxRetries: 0 })().then(
      ({ accessKeyId: key }) => ({ key }),
      ({ name, Code, Message }) => ({ name, Code, Message }),
    ),
};

for (const step of process.argv.slice(2)) {
  const [name = "", argument = ""] = step.split("=");
  const came = await steps[name]?.(argument);
  if (came !== undefined) console.log(JSON.stringify(came));
}
