/** Header names that gateway and pod speak between themselves; the gateway strips them from what clients send. */

/** Request: the session that the gateway routed by; the pod serves this session and no other. */
export const SESSION_HEADER = 'x-fairlead-session'

/** Request: the epoch that the gateway believes current. Answer with 421: the epoch that the pod knows, 0 for none. */
export const EPOCH_HEADER = 'x-fairlead-epoch'

/** Answer of a pod that refuses a request before it touched any state (status 421 or 503): why, one of `RefusalReason`. The gateway may send such a request again. */
export const REFUSED_HEADER = 'x-fairlead-refused'

/**
 * `not-owner`: this pod does not own that session at that epoch. `fenced`: its lease has run out.
 * `draining`: it takes no new sessions. Sent only when nothing of the request was acted upon.
 */
export type RefusalReason = (typeof REFUSAL_REASONS)[number]

/** Every `RefusalReason`. */
export const REFUSAL_REASONS = ['not-owner', 'fenced', 'draining'] as const

/** Answer of the gateway's fan-out: member ids that did not answer in time, separated by commas. */
export const MISSING_MEMBERS_HEADER = 'x-fairlead-missing-members'
