import type { ErrorCode } from '../errors.ts'
import type { UpstreamFailure } from '../http/resolver.ts'

/**
 * What to do about a failed attempt. `look-again`: ask the registry who owns the session now. `prove-death`: ask the member's own port whether anything
 * listens there. `dial-again`: the same pod, a little later. `wait`: until the registry's record moves or the pod comes back. `give-up`: answer.
 */
export type RetryStep = 'look-again' | 'prove-death' | 'dial-again' | 'wait' | 'give-up'

/** A step, how long to pause before it, and the error for the client where no route comes of it (or the request cannot be sent again). */
export interface RetryDecision {
  readonly step: RetryStep
  readonly delayMs: number
  readonly code: ErrorCode
}

/** What one request has been through. */
export interface RetryHistory {
  /** `look-again` steps so far. */
  readonly looks: number
  /** `dial-again` and `prove-death` steps after attempts of which nothing was sent. */
  readonly dials: number
  /** Steps after attempts whose bytes may have reached a pod. */
  readonly replays: number
  /** `wait` steps so far. */
  readonly waits: number
}

/** Most times that one request follows a pod's "not mine"; a healthy move needs one. */
export const MAX_LOOKS = 5
/** Dial retries and their first pause, as agent-sandbox's router has them: 200, 400 and 800 ms. */
export const MAX_DIALS = 3
const FIRST_DIAL_DELAY_MS = 200
/** A request that killed one pod may be the reason; it gets one more pod, not all of them. */
export const MAX_REPLAYS = 1
const FIRST_WAIT_MS = 100
const LONGEST_WAIT_MS = 1000
/** The first look is at once: a record that moved is the usual case. */
const FIRST_LOOK_DELAY_MS = 25

/** The part of an `UpstreamFailure` that the decision rests on. */
export type FailureFacts = Pick<UpstreamFailure, 'kind' | 'refusal' | 'unsent'>

/** Decides what to do about a failed attempt; no I/O. Whether the request itself may be sent again is the engine's word (`failure.replayable`), not decided here. */
export function decideRetry(failure: FailureFacts, history: RetryHistory): RetryDecision {
  switch (failure.kind) {
    case 'refused':
      return failure.refusal === 'not-owner' ? lookAgain(history) : waitAgain(history, 'hold-timeout')
    case 'connect-refused':
      return history.dials < MAX_DIALS + 1 ? step('prove-death', 'backend-unreachable') : GIVE_UP_DIALLING
    case 'connect-timeout':
    case 'connect-unreachable':
      return dialAgain(history)
    case 'reset':
    case 'closed':
      return afterBreak(failure, history)
    case 'saturated':
      return step('give-up', 'backend-saturated')
    case 'response-timeout':
      return step('give-up', 'backend-timeout')
    case 'bad-response':
      return step('give-up', 'backend-invalid')
  }
}

/** Pause before dial number `dials` + 1: 200, 400, 800 ms. */
export function dialDelayMs(dials: number): number {
  return FIRST_DIAL_DELAY_MS * 2 ** Math.min(dials, MAX_DIALS - 1)
}

const GIVE_UP_DIALLING: RetryDecision = { step: 'give-up', delayMs: 0, code: 'backend-unreachable' }

function step(name: RetryStep, code: ErrorCode): RetryDecision {
  return { step: name, delayMs: 0, code }
}

function lookAgain({ looks }: RetryHistory): RetryDecision {
  if (looks >= MAX_LOOKS) return step('give-up', 'session-moving')
  const delayMs = looks === 0 ? 0 : FIRST_LOOK_DELAY_MS * 2 ** looks
  return { step: 'look-again', delayMs, code: 'session-moving' }
}

function waitAgain({ waits }: RetryHistory, code: ErrorCode): RetryDecision {
  return { step: 'wait', delayMs: Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** waits), code }
}

/** No answer to a dial does not prove death: after the retries only the lease can end it. */
function dialAgain(history: RetryHistory): RetryDecision {
  if (history.dials >= MAX_DIALS) return waitAgain(history, 'backend-unreachable')
  return { step: 'dial-again', delayMs: dialDelayMs(history.dials), code: 'backend-unreachable' }
}

function afterBreak(failure: FailureFacts, history: RetryHistory): RetryDecision {
  const exhausted = failure.unsent ? history.dials > MAX_DIALS : history.replays >= MAX_REPLAYS
  return step(exhausted ? 'give-up' : 'prove-death', 'backend-lost')
}
