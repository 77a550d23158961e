import type { OutputBuffer } from './output-buffer.ts'

/** Smallest buffer for a saved request: enough for most heads. */
const SMALLEST_BYTES = 2048
/** Buffers kept for reuse, and the largest that is worth keeping. */
const MAX_SPARE = 256
const MAX_SPARE_BYTES = 8192

/** Spare buffers of one proxy, so that saving a request seldom allocates, and an idle connection holds none. */
export class SavedRequestPool {
  readonly #spare: Buffer[] = []

  /** A buffer of at least so many bytes. */
  take(bytes: number): Buffer {
    if (bytes <= MAX_SPARE_BYTES) {
      const spare = this.#spare.pop()
      if (spare !== undefined && spare.length >= bytes) return spare
    }
    return Buffer.allocUnsafeSlow(Math.max(bytes, SMALLEST_BYTES))
  }

  /** Takes a buffer back. */
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
  #bytes: Buffer | null = null
  readonly #pool: SavedRequestPool

  constructor(pool: SavedRequestPool) {
    this.#pool = pool
  }

  /** Begins with the head that was put together in `output`, and makes room for so many body bytes. */
  begin(output: OutputBuffer, bodyBytes: number): void {
    this.release()
    this.#bytes = this.#pool.take(output.length + bodyBytes)
    output.copyTo(this.#bytes)
    this.length = this.headLength = output.length
    this.complete = true
  }

  /** Adds body bytes. */
  append(bytes: Buffer, start: number, end: number): void {
    if (this.#bytes === null || start === end) return
    const length = this.length + end - start
    if (length > this.#bytes.length) {
      const grown = this.#pool.take(Math.max(length, 2 * this.#bytes.length))
      this.#bytes.copy(grown, 0, 0, this.length)
      this.#pool.give(this.#bytes)
      this.#bytes = grown
    }
    bytes.copy(this.#bytes, this.length, start, end)
    this.length = length
  }

  /** Bytes of the body. */
  get bodyBytes(): number {
    return this.length - this.headLength
  }

  /** What was kept. Throws where nothing was: that would be a defect. */
  get bytes(): Buffer {
    if (this.#bytes === null) throw new Error('a request was sent that was not saved')
    return this.#bytes
  }

  release(): void {
    if (this.#bytes !== null) this.#pool.give(this.#bytes)
    this.#bytes = null
    this.complete = false
    this.length = this.headLength = 0
  }
}
