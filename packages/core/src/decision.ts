/** What a principal may ask to do with a profile. */
export type Action = "request" | "approve" | "read" | "revoke" | "readAudit" | "breakGlass";

/** One condition of a rule that did not hold. */
export interface FailedClaim {
  readonly claim: string;
  /** Told only to callers that match the rule's ids. */
  readonly expected?: string;
  /** `null` where the caller has no such claim. */
  readonly actual: string | null;
}

/** Why a request was refused, by the rule that came nearest to allowing it. */
export interface Explanation {
  readonly rule?: string;
  readonly failed: readonly FailedClaim[];
  /** How many rules were looked at. */
  readonly considered: number;
}

export interface Approval {
  /** Rule whose `approval` asks for it. */
  readonly rule: string;
  readonly count: number;
  /** How long the request waits for its approvers. */
  readonly withinSeconds: number;
}

export interface Allowed {
  readonly allowed: true;
  /** Id of the rule, or of the hand-written policy, that allows it. */
  readonly rule: string;
  /** The granted length: what was asked for, or the default under the rule's cap. Only for `request`. */
  readonly seconds: number;
  readonly approval?: Approval;
}

export interface Refused {
  readonly allowed: false;
  /** For the audit log: everything. */
  readonly explanation: Explanation;
  /** For the caller: without what its ids do not entitle it to know. */
  readonly told: Explanation;
  /** Evaluation errors of policies: they deny, and are an alarm. */
  readonly errors?: readonly string[];
}

/** A denial is a value, not an error. */
export type Decision = Allowed | Refused;
