import { CR, LF } from './ascii.ts'
import { HEAD_ERROR } from './head-error.ts'
import type { RequestHead } from './request-head.ts'

const NOTHING = Buffer.alloc(0)
const END_OF_HEAD = Buffer.from('\r\n\r\n')

/**
 * A head that comes in many pieces is parsed at each of them, so that a bad one is refused at once, until that has cost this
 * many times its largest size; from then on only when it is complete, because a parse at every byte would be quadratic.
 */
const EAGER_PARSE_FACTOR = 16

/** Collects the bytes of a request head until it is complete. */
export class HeadReader {
  /** End of the bytes that the last `read` result refers to. */
  end = 0
  #bytes: Buffer = NOTHING
  #partial: Buffer | null = null
  #parsedBytes = 0
  #skippedEmptyLine = false

  /** The beginning of a head has come. */
  get hasPartial(): boolean {
    return this.#partial !== null
  }

  /** Takes bytes. Returns the offset after a complete head in what `release` hands out, 0 where it is not complete yet, or a `HEAD_ERROR`. */
  read(head: RequestHead, bytes: Buffer, length: number, maxBytes: number): number {
    let searchFrom = 0
    if (this.#partial !== null) {
      searchFrom = Math.max(0, this.#partial.length - END_OF_HEAD.length + 1)
      bytes = Buffer.concat([this.#partial, bytes.subarray(0, length)])
      length = bytes.length
      this.#partial = null
    }
    const start = this.#skipEmptyLine(bytes, length)
    this.#bytes = bytes
    this.end = length
    if (start < 0 || start === length) return this.#wait(bytes, Math.max(0, start), length, maxBytes)
    const eager = this.#parsedBytes < EAGER_PARSE_FACTOR * maxBytes
    if (!eager && bytes.indexOf(END_OF_HEAD, searchFrom) < 0) return this.#wait(bytes, start, length, maxBytes)
    const next = head.parse(bytes, start, length)
    if (next === 0) {
      this.#parsedBytes += length - start
      return this.#wait(bytes, start, length, maxBytes)
    }
    this.#parsedBytes = 0
    this.#skippedEmptyLine = false
    return next - start > maxBytes ? HEAD_ERROR.headTooLarge : next
  }

  /** Hands out the bytes of the last `read`, and keeps no hold of them. */
  release(): Buffer {
    const bytes = this.#bytes
    this.#bytes = NOTHING
    return bytes
  }

  /** One empty line before a request is forgiven (RFC 9112 section 2.2). Returns where the head begins, -1 where that is not known yet. */
  #skipEmptyLine(bytes: Buffer, length: number): number {
    if (bytes[0] !== CR || this.#skippedEmptyLine) return 0
    if (length === 1) return -1
    if (bytes[1] !== LF) return 0
    this.#skippedEmptyLine = true
    return 2
  }

  #wait(bytes: Buffer, start: number, end: number, maxBytes: number): number {
    if (end - start > maxBytes) return HEAD_ERROR.headTooLarge
    if (end > start) this.#partial = Buffer.from(bytes.subarray(start, end))
    return 0
  }

  reset(): void {
    this.#partial = null
    this.#bytes = NOTHING
    this.#parsedBytes = 0
    this.#skippedEmptyLine = false
  }
}
