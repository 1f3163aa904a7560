/** The table as it is declared: keys, indexes, stream and time to live. `docs/storage.md` says what lies in it. */
export const TABLE = {
  fields: {
    pk: "string",
    sk: "string",
    due: "string",
    dueAt: "number",
    byProfile: "string",
    byPrincipal: "string",
    createdAt: "number",
  },
  primaryIndex: { hashKey: "pk", rangeKey: "sk" },
  globalIndexes: {
    due: { hashKey: "due", rangeKey: "dueAt", projection: [] },
    byProfile: {
      hashKey: "byProfile",
      rangeKey: "createdAt",
      projection: ["grant", "version"],
    },
    byPrincipal: {
      hashKey: "byPrincipal",
      rangeKey: "createdAt",
      projection: ["grant", "version"],
    },
  },
  /** With both images, a reader sees what changed without asking for it. */
  stream: "NEW_AND_OLD_IMAGES",
  ttl: "ttl",
} as const;
