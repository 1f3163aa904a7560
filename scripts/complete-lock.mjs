#!/usr/bin/env node
// npm leaves other systems' optional binaries out of package-lock.json where it cannot resolve them, and its own
// `npm ci` then refuses the lock. This adds them. Run it after every npm install, as `npm run lock`.
import { readFileSync, writeFileSync } from "node:fs";

const SYSTEMS = "aix android darwin freebsd linux netbsd openbsd openharmony sunos win32".split(
  " ",
);
const CPUS = "arm arm64 ia32 loong64 mips64el mipsel ppc64 riscv64 s390x wasm32 x64".split(" ");

/** What a platform package is for, by the words of its name: `@biomejs/cli-linux-x64-musl`. */
function platform(name) {
  const words = new Set(name.split(/[/-]/));
  const os = SYSTEMS.find((system) => words.has(system));
  const cpu = CPUS.find((one) => words.has(one));
  const musl = [...words].some((word) => word.startsWith("musl"));
  const gnu = [...words].some((word) => word.startsWith("gnu"));
  return {
    ...(cpu === undefined ? {} : { cpu: [cpu] }),
    ...(os === undefined ? {} : { os: [os] }),
    ...(os === "linux" && (musl || gnu) ? { libc: [musl ? "musl" : "glibc"] } : {}),
  };
}

/** Whether `name` is installed where `parent` would find it: beside it, or in a folder above. */
function found(packages, parent, name) {
  let folder = parent;
  for (;;) {
    if (packages[`${folder === "" ? "" : `${folder}/`}node_modules/${name}`] !== undefined)
      return true;
    if (folder === "") return false;
    const up = folder.lastIndexOf("/node_modules/");
    folder = up === -1 ? "" : folder.slice(0, up);
  }
}

const lock = JSON.parse(readFileSync("package-lock.json", "utf8"));
const missing = {};
for (const [parent, { optionalDependencies = {}, dev }] of Object.entries(lock.packages))
  for (const [name, range] of Object.entries(optionalDependencies))
    if (!found(lock.packages, parent, name))
      missing[`node_modules/${name}`] = {
        version: range.replace(/^[\^~=]/, ""),
        ...platform(name),
        ...(dev === true ? { dev } : {}),
        optional: true,
      };
const sorted = Object.entries({ ...lock.packages, ...missing }).sort(([a], [b]) =>
  a < b ? -1 : 1,
);
lock.packages = Object.fromEntries(sorted);
writeFileSync("package-lock.json", `${JSON.stringify(lock, null, 2)}\n`);
console.log(`${Object.keys(missing).length} optional packages added`);
