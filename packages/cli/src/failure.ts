/** What went wrong on this side, and the exit codes that scripts can rely on. */
export const EXIT = {
  ok: 0,
  /** This side's fault: usage, files, configuration. */
  local: 1,
  remote: 2,
  refused: 3,
  unauthenticated: 4,
  /** Nobody approved in time. */
  notApproved: 5,
  interrupted: 130,
} as const;

interface FailureFields {
  readonly code: string;
  readonly message: string;
  readonly exit: number;
  readonly hint?: string;
  readonly grantId?: string;
}

export class Failure extends Error {
  readonly code: string;
  readonly exit: number;
  readonly hint: string | undefined;
  readonly grantId: string | undefined;

  constructor(fields: FailureFields) {
    super(fields.message);
    this.name = "Failure";
    this.code = fields.code;
    this.exit = fields.exit;
    this.hint = fields.hint;
    this.grantId = fields.grantId;
  }
}

/** A command line, file or setting that cannot be meant. */
export const usage = (message: string, hint?: string): Failure =>
  new Failure({
    code: "usage",
    message,
    exit: EXIT.local,
    ...(hint === undefined ? {} : { hint }),
  });
