import type { Dialect } from '../errors.ts'
import type { RetryHistory } from '../failover/retry-decision.ts'
import type { SessionEntry } from '../registry/session-entry.ts'

/** How a request was addressed: by X-Sandbox-ID, by `/instances/:id`, to the gateway's own API; `none` where it never came so far. */
export type RouteKind = 'sandbox' | 'instance' | 'management' | 'none'

/** Every route kind, in the order of the metrics' slots. */
export const ROUTE_KINDS = ['sandbox', 'instance', 'management', 'none'] as const satisfies readonly RouteKind[]

/** What the gateway remembers of one request, from its head to its line in the log. */
export class RequestContext implements RetryHistory {
  readonly route: RouteKind
  readonly sessionId: string
  /** Where the latest attempt went. */
  entry: SessionEntry | null
  looks = 0
  dials = 0
  replays = 0
  waits = 0
  /** What X-Sandbox-Timeout allows for the request in milliseconds, from its head on; 0 where it says nothing. */
  budgetMs = 0
  /** Time spent held so far. */
  heldMs = 0
  /** `performance.now()` at which holding ends at the latest; 0 until the request is held for the first time. */
  holdUntilMs = 0
  /** The client's own limit ends the hold, not ours: it is told 504 then. */
  clientLimited = false

  constructor(route: RouteKind, sessionId: string, entry: SessionEntry | null) {
    this.route = route
    this.sessionId = sessionId
    this.entry = entry
  }

  /** The dialect that errors are told in. */
  get dialect(): Dialect {
    return this.route === 'sandbox' ? 'sandbox' : 'regina'
  }
}
