/** Smallest buffer for a saved request: enough for most heads. */
const SMALLEST_BYTES = 2048
/** Buffers kept for reuse, and the largest that is worth keeping. */
const MAX_SPARE = 256
const MAX_SPARE_BYTES = 8192

/** Spare buffers of one proxy, so that saving a request seldom allocates, and an idle connection holds none. */
export class SavedRequestPool {
  readonly #spare: Buffer[] = []

  take(bytes: number): Buffer {
    if (bytes <= MAX_SPARE_BYTES) {
      const spare = this.#spare.pop()
      if (spare !== undefined && spare.length >= bytes) return spare
    }
    return Buffer.allocUnsafeSlow(Math.max(bytes, SMALLEST_BYTES))
  }

  give(buffer: Buffer): void {
    if (buffer.length <= MAX_SPARE_BYTES && this.#spare.length < MAX_SPARE) this.#spare.push(buffer)
  }
}

/**
 * What was taken from the client of one request: the part of its head that passes on, and the first bytes of its body.
 * It is what an attempt sends, and what makes another attempt possible.
 */
export class SavedRequest {
  /** Everything that was taken from the client so far is in here. */
  complete = false
  headLength = 0
  length = 0
  bytes: Buffer | null = null
  readonly #pool: SavedRequestPool

  constructor(pool: SavedRequestPool) {
    this.#pool = pool
  }

  /** Keeps a head that was put together at the beginning of `source`, and body bytes of another buffer. */
  keep(source: Buffer, headLength: number, body: { bytes: Buffer; start: number; end: number }): void {
    this.release()
    const length = headLength + body.end - body.start
    const bytes = this.#pool.take(length)
    source.copy(bytes, 0, 0, headLength)
    if (body.end > body.start) body.bytes.copy(bytes, headLength, body.start, body.end)
    this.bytes = bytes
    this.headLength = headLength
    this.length = length
    this.complete = true
  }

  /** Bytes that it holds; what a hold costs in memory. */
  get heldBytes(): number {
    return this.bytes === null ? 0 : this.length
  }

  release(): void {
    if (this.bytes !== null) this.#pool.give(this.bytes)
    this.bytes = null
    this.complete = false
    this.length = this.headLength = 0
  }
}
