/**
 * States of a session on the pod that holds it.
 *
 * `active`: serves. `suspending`: nobody uses it, its last processes are ended and a backup is made. `suspended`: only its
 * directory is kept. `resuming`: on the way back, from that directory. `ending`: takes no request any more, because it was
 * deleted, lost or is handed over. `ended`: gone from this pod.
 */
export type SessionPhase = 'active' | 'suspending' | 'suspended' | 'resuming' | 'ending' | 'ended'

/** What can happen to a session. `use` is a request, which calls off a suspension that is under way. */
export type SessionEvent = 'use' | 'suspend' | 'suspended' | 'resumed' | 'failed' | 'end' | 'ended'

const TRANSITIONS: Readonly<Record<SessionPhase, Readonly<Partial<Record<SessionEvent, SessionPhase>>>>> = {
  active: { use: 'active', suspend: 'suspending', end: 'ending' },
  suspending: { use: 'active', suspended: 'suspended', end: 'ending' },
  suspended: { use: 'resuming', end: 'ending' },
  resuming: { use: 'resuming', resumed: 'active', failed: 'suspended', end: 'ending' },
  ending: { ended: 'ended' },
  ended: {}
}

/** The phase that an event leads to, or null where it cannot happen in this phase. Pure. */
export function nextPhase(phase: SessionPhase, event: SessionEvent): SessionPhase | null {
  return TRANSITIONS[phase][event] ?? null
}

/** A session's status in the words of Regina's REST. */
export type SessionStatus = 'started' | 'stopped' | 'suspended'

const STATUSES: Readonly<Record<SessionPhase, SessionStatus>> = {
  active: 'started',
  suspending: 'started',
  suspended: 'suspended',
  resuming: 'started',
  ending: 'stopped',
  ended: 'stopped'
}

/** The status that clients are told for a phase. */
export function statusOf(phase: SessionPhase): SessionStatus {
  return STATUSES[phase]
}
