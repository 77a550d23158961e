import { HoldError } from '../failover/hold-queue.ts'
import { NoMemberError, RegistryUnavailableError } from '../registry/errors.ts'
import type { ErrorCode } from '../errors.ts'
import type { HoldQueue } from '../failover/hold-queue.ts'
import type { Mover } from '../failover/mover.ts'
import type { Exchange } from '../http/exchange.ts'
import type { Orphan, Registry, SessionEntry } from '../registry/registry.ts'
import type { RequestContext } from './request-context.ts'

/** What a finder works with; times in milliseconds. */
export interface SessionFinderOptions {
  readonly registry: Registry
  readonly mover: Mover
  /** Requests that wait for a lookup: healthy sessions too, so sessions in transition never take their room. */
  readonly lookups: HoldQueue
  /** Requests that wait for sessions in transition. */
  readonly moves: HoldQueue
  readonly lookupTimeoutMs: number
  readonly holdTimeoutMs: number
  /** Memory that a held request with a body may take. */
  readonly heldBodyBytes: number
}

/** Memory that a held request takes at least: head and bookkeeping. */
const HELD_HEAD_BYTES = 4096
const BODILESS_METHODS = new Set(['GET', 'HEAD', 'OPTIONS', 'DELETE'])

/** Asks the registry on behalf of held requests; errors come back as codes. */
export class SessionFinder {
  readonly #options: SessionFinderOptions

  constructor(options: SessionFinderOptions) {
    this.#options = options
  }

  /** Finds the session of a request that the routing table does not know. */
  async find(context: RequestContext, exchange: Exchange): Promise<SessionEntry | ErrorCode> {
    const { registry, mover, lookups, lookupTimeoutMs } = this.#options
    const { sessionId } = context
    try {
      const ticket = this.#ticket(context, exchange, lookupTimeoutMs)
      const found: SessionEntry | Orphan | null = await lookups.hold(ticket, () => registry.find(sessionId))
      if (found === null) return 'session-unknown'
      if (found.kind === 'owned') return found
    } catch (error) {
      return error instanceof HoldError && error.result === 'timeout' ? 'registry-unavailable' : codeOf(error)
    }
    return await this.hold(context, exchange, () => mover.locate(sessionId))
  }

  /** Holds a request until `work` says where its session is now, or the request's time is over. */
  async hold(
    context: RequestContext,
    exchange: Exchange,
    work: () => Promise<SessionEntry | null>
  ): Promise<SessionEntry | ErrorCode> {
    const startedAtMs = performance.now()
    this.#startClock(context, exchange, startedAtMs)
    const leftMs = context.holdUntilMs - startedAtMs
    if (leftMs <= 0) return timeoutCode(context)
    try {
      const entry = await this.#options.moves.hold(this.#ticket(context, exchange, leftMs), work)
      return entry ?? 'session-unknown'
    } catch (error) {
      return error instanceof HoldError && error.result === 'timeout' ? timeoutCode(context) : codeOf(error)
    } finally {
      exchange.onAbort = null
      context.heldMs += performance.now() - startedAtMs
    }
  }

  #startClock(context: RequestContext, exchange: Exchange, nowMs: number): void {
    if (context.holdUntilMs !== 0) return
    const ownLimit = nowMs + this.#options.holdTimeoutMs
    const { budgetMs } = context
    const clientLimit = budgetMs === 0 ? Infinity : exchange.startedAtMs + budgetMs
    context.holdUntilMs = Math.min(ownLimit, clientLimit)
    context.clientLimited = clientLimit < ownLimit
  }

  #ticket(context: RequestContext, exchange: Exchange, timeoutMs: number) {
    const bodyBytes = BODILESS_METHODS.has(exchange.method) ? 0 : this.#options.heldBodyBytes
    return {
      sessionId: context.sessionId,
      bytes: HELD_HEAD_BYTES + bodyBytes,
      timeoutMs,
      onAbort: (abort: () => void) => {
        exchange.onAbort = abort
      }
    }
  }
}

function timeoutCode(context: RequestContext): ErrorCode {
  return context.clientLimited ? 'backend-timeout' : 'hold-timeout'
}

/** The error that a client is told; what nobody foresaw is thrown on. */
export function codeOf(error: unknown): ErrorCode {
  if (error instanceof RegistryUnavailableError) return 'registry-unavailable'
  if (error instanceof NoMemberError) return 'no-member'
  if (error instanceof HoldError) return error.result === 'full' ? 'hold-full' : 'hold-timeout'
  // Pauses end like this when the gateway closes.
  if (error instanceof Error && error.name === 'AbortError') return 'session-moving'
  throw error
}
