import { FairleadError } from '../../lib/errors.ts'

/** How a held request left the queue; `full` never entered it. */
export type HoldResult = 'released' | 'failed' | 'timeout' | 'aborted' | 'full'

/** Codes `hold-full`, `hold-timeout` and `hold-aborted` (the client left). */
export class HoldError extends FairleadError {
  readonly result: HoldResult

  constructor(result: 'full' | 'timeout' | 'aborted') {
    super(`hold-${result}`, `held request: ${result}`)
    this.result = result
  }
}

/** Bounds of a hold queue. */
export interface HoldLimits {
  readonly maxRequests: number
  readonly maxRequestsPerSession: number
  /** Of all held requests together, as their tickets declare them. */
  readonly maxBytes: number
}

/** One request that waits. */
export interface HoldTicket {
  readonly sessionId: string
  /** Memory that the request may take while it is held. */
  readonly bytes: number
  readonly timeoutMs: number
  /** Hands over the function that ends the wait because the client left. */
  readonly onAbort: (abort: () => void) => void
}

/**
 * Bounds how many requests wait for something, for how long and with how much memory. A request that finds no room is refused at once,
 * so that nothing waits for room; requests that need not wait never come here.
 */
export class HoldQueue {
  readonly #limits: HoldLimits
  readonly #bySession = new Map<string, number>()
  readonly #onResult: (result: HoldResult) => void
  #requests = 0
  #bytes = 0

  constructor(limits: HoldLimits, onResult: (result: HoldResult) => void) {
    this.#limits = limits
    this.#onResult = onResult
  }

  /** Requests held now. */
  get requests(): number {
    return this.#requests
  }

  /** Bytes that the held requests may take. */
  get bytes(): number {
    return this.#bytes
  }

  /** Waits for `work`, which is started only where there is room and goes on when a waiter leaves. Rejects with HoldError, or as `work` does. */
  async hold<T>(ticket: HoldTicket, work: () => Promise<T>): Promise<T> {
    if (!this.#hasRoom(ticket)) {
      this.#onResult('full')
      throw new HoldError('full')
    }
    this.#enter(ticket)
    let result: HoldResult = 'failed'
    try {
      const value = await firstOf(ticket, work())
      result = 'released'
      return value
    } catch (error) {
      if (error instanceof HoldError) result = error.result
      throw error
    } finally {
      this.#leave(ticket)
      this.#onResult(result)
    }
  }

  #hasRoom({ sessionId, bytes }: HoldTicket): boolean {
    const { maxRequests, maxRequestsPerSession, maxBytes } = this.#limits
    if (this.#requests >= maxRequests || this.#bytes + bytes > maxBytes) return false
    return (this.#bySession.get(sessionId) ?? 0) < maxRequestsPerSession
  }

  #enter({ sessionId, bytes }: HoldTicket): void {
    this.#requests++
    this.#bytes += bytes
    this.#bySession.set(sessionId, (this.#bySession.get(sessionId) ?? 0) + 1)
  }

  #leave({ sessionId, bytes }: HoldTicket): void {
    this.#requests--
    this.#bytes -= bytes
    const left = (this.#bySession.get(sessionId) ?? 1) - 1
    if (left === 0) this.#bySession.delete(sessionId)
    else this.#bySession.set(sessionId, left)
  }
}

function firstOf<T>(ticket: HoldTicket, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new HoldError('timeout')), ticket.timeoutMs)
    ticket.onAbort(() => {
      clearTimeout(timer)
      reject(new HoldError('aborted'))
    })
    void work.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
