/** What operators must see, and what it means. An alarm hangs on each name, wherever Stint is deployed. */
export const ALARMS = {
  deny_list_full: "A role's deny list is full: the leases with the least time left lapse instead",
  end_failed: "A grant could not be ended by its issuer: schedule and sweeper go on trying",
  policy_error: "A policy failed while it was evaluated: what it was about is refused",
  relay_unreadable: "A change of the table cannot be read: its grant ends by schedule and sweeper",
  stuck: "The end of a grant has been failing for minutes: its credentials may still work",
} as const;

export type Alarm = keyof typeof ALARMS;
