import type { Connection } from './transport.ts'

/** Why nothing is read from a client: bits, because several reasons may hold at once. */
export const PAUSED = { backpressure: 1, pending: 2 } as const

/** Bytes that are kept while they cannot be used: the rest of a request that waits for its upstream, or further requests. */
const MAX_PENDING_BYTES = 65_536

/** What a client sent and nobody could use yet, and whether it is read at all. */
export class ClientInput {
  readonly #connection: Connection
  #pending: Buffer | null = null
  #paused = 0

  constructor(connection: Connection) {
    this.#connection = connection
  }

  get hasPending(): boolean {
    return this.#pending !== null
  }

  /** Keeps bytes for later; reads no more where they are many. */
  keep(bytes: Buffer, start: number, end: number): void {
    if (start >= end) return
    const added = bytes.subarray(start, end)
    this.#pending = this.#pending === null ? Buffer.from(added) : Buffer.concat([this.#pending, added])
    if (this.#pending.length > MAX_PENDING_BYTES) this.pause(PAUSED.pending)
  }

  /** Hands out what was kept. */
  take(): Buffer | null {
    const bytes = this.#pending
    this.#pending = null
    this.resume(PAUSED.pending)
    return bytes
  }

  isPaused(reason: number): boolean {
    return (this.#paused & reason) !== 0
  }

  pause(reason: number): void {
    if (this.#paused === 0) this.#connection.pause()
    this.#paused |= reason
  }

  /** Takes these reasons back; reads again where none is left. */
  resume(reasons: number): void {
    if ((this.#paused & reasons) === 0) return
    this.#paused &= ~reasons
    if (this.#paused === 0) this.#connection.resume()
  }

  /** Forgets everything and reads on: whatever still comes is dropped by the caller. */
  discard(): void {
    this.#pending = null
    this.resume(PAUSED.backpressure | PAUSED.pending)
  }
}
