import type { Connection } from './transport.ts'

/**
 * Where outgoing messages are put together: one buffer for all connections of a proxy, because a write is nearly always taken
 * by the kernel at once.
 *
 * Where it is not, the buffer belongs to that write until it completes, and a new one takes its place here: using it again
 * would send one tenant's bytes to another.
 */
export class OutputBuffer {
  #bytes: Buffer
  #length = 0
  readonly #capacity: number

  constructor(capacity: number) {
    this.#capacity = capacity
    this.#bytes = Buffer.allocUnsafeSlow(capacity)
  }

  /** Bytes that were added and not sent. */
  get length(): number {
    return this.#length
  }

  /** Adds text, one byte a character. */
  text(text: string): void {
    const written = this.#bytes.write(text, this.#length, 'latin1')
    if (written !== text.length) throw new RangeError('text does not fit the output buffer')
    this.#length += written
  }

  /** Adds all of `source`, which is short. */
  add(source: Uint8Array): void {
    this.#bytes.set(source, this.#length)
    this.#length += source.length
  }

  /** Adds the bytes from `start` to `end`, which must fit: they are part of a head. */
  copy(source: Buffer, start: number, end: number): void {
    if (end - start > this.#capacity - this.#length) throw new RangeError('a head does not fit the output buffer')
    this.#length += source.copy(this.#bytes, this.#length, start, end)
  }

  /** Adds body bytes, however many; sends what does not fit. */
  pass(source: Buffer, start: number, end: number, connection: Connection): void {
    let from = start
    while (end - from > this.#capacity - this.#length) {
      const part = this.#capacity - this.#length
      this.copy(source, from, from + part)
      from += part
      this.sendTo(connection)
    }
    this.copy(source, from, end)
  }

  /** Forgets what was added. */
  clear(): void {
    this.#length = 0
  }

  /** Copies what was added to the beginning of `target`. */
  copyTo(target: Buffer): void {
    this.#bytes.copy(target, 0, 0, this.#length)
  }

  /** Hands what was added to a connection and is empty again. Returns false where the connection wants no more for now. */
  sendTo(connection: Connection): boolean {
    const length = this.#length
    this.#length = 0
    if (length === 0) return true
    const result = connection.write(this.#bytes.subarray(0, length))
    if (result === 'taken') return true
    if (result === 'kept' || result === 'kept-full') this.#bytes = Buffer.allocUnsafeSlow(this.#capacity)
    return result === 'kept'
  }
}
