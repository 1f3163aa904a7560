/** What operators must see, and what it means. An alarm hangs on each name, wherever Stint is deployed. */
export const ALARMS = {
  deny_list_changed:
    "Somebody else has changed a role's deny list: it was restored, and until then its sessions worked",
  deny_list_full: "A role's deny list is full: the leases with the least time left lapse instead",
  drift:
    "The nightly reconcile has put something right that nothing of ours should have left as it was",
  end_failed: "A grant could not be ended by its issuer: schedule and sweeper go on trying",
  policy_error: "A policy failed while it was evaluated: what it was about is refused",
  proof_lost: "A denial will not be proved: its grants stay dead by the ends of their leases",
  relay_unreadable: "A change of the table cannot be read: its grant ends by schedule and sweeper",
  stuck: "The end of a grant keeps failing: its credentials may still work",
  target_gone:
    "A role that grants are of is gone: they ended, and nothing of them can be denied any more",
} as const;

export type Alarm = keyof typeof ALARMS;

/** What is measured, in the unit of its name. */
export const METRICS = {
  timeToDeadMs: "From the fact that ended a grant to the proof that its credentials are dead",
} as const;

export type Metric = keyof typeof METRICS;
