import type { Connection } from './transport.ts'

/**
 * Where outgoing messages are put together: one buffer for all connections of a proxy, because a write is nearly always taken
 * by the kernel at once.
 *
 * Where it is not, the buffer belongs to that write until it completes, and a new one takes its place here: using it again
 * would send one tenant's bytes to another.
 */
export class OutputBuffer {
  bytes: Buffer
  length = 0
  readonly #capacity: number

  constructor(capacity: number) {
    this.#capacity = capacity
    this.bytes = Buffer.allocUnsafeSlow(capacity)
  }

  /** Adds text, one byte a character. */
  text(text: string): void {
    this.length += this.bytes.write(text, this.length, 'latin1')
  }

  /** Adds the bytes from `start` to `end`. */
  copy(source: Buffer, start: number, end: number): void {
    this.length += source.copy(this.bytes, this.length, start, end)
  }

  /** Bytes that still fit. */
  get room(): number {
    return this.#capacity - this.length
  }

  /** Hands what was added to a connection and is empty again. Returns false where the connection wants no more for now. */
  sendTo(connection: Connection): boolean {
    const length = this.length
    this.length = 0
    if (length === 0) return true
    const result = connection.write(this.bytes.subarray(0, length))
    if (result === 'sent') return true
    this.bytes = Buffer.allocUnsafeSlow(this.#capacity)
    return result === 'queued'
  }
}
