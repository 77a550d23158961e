import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Dialect } from '../errors.ts'
import type { Session } from '../session/session.ts'

/** One request on its way through the pod. */
export interface Call {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** What the route's `:name` and `*` stand for, still percent-encoded. */
  readonly params: readonly string[]
  readonly dialect: Dialect
  /** Aborts when the client leaves, and when the session ends under the request; the reason is the PodError to answer. */
  readonly signal: AbortSignal
}

/** A request that passed the gate: the session is held here at the right epoch, and the lease is good. */
export interface SessionCall extends Call {
  readonly session: Session
  /** Says that the request has changed the session. Resolves when the change is as durable as the pod's setting asks before an answer; rejects where the pod cannot vouch for it. */
  changed(): Promise<void>
}

/**
 * What a request does to a session's idle time. `use`: wakes it, and it is not suspended while the request runs, unless the
 * client says that the request is no activity. `run`: the same whatever the client says, because a command runs.
 * `look`: neither wakes nor keeps it awake.
 */
export type Access = 'use' | 'run' | 'look'

/** A row of the routing table. `path` has literal segments, `:name` for one segment and a final `*` for all that is left. */
export type Route =
  | {
      readonly kind: 'plain'
      readonly method: string
      readonly path: string
      readonly dialect: Dialect
      readonly handle: (call: Call) => Promise<void>
    }
  | {
      readonly kind: 'session'
      readonly method: string
      readonly path: string
      readonly dialect: Dialect
      readonly access: Access
      /** The first `:name` of the path is the session's id. */
      readonly idInPath: boolean
      readonly handle: (call: SessionCall) => Promise<void>
    }
