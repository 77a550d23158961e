/** Close frame of a server, unmasked, code 1001 "going away" (RFC 6455 sections 5.5.1 and 7.4.1). */
export const GOING_AWAY_FRAME = Buffer.from([0x88, 0x02, 0x03, 0xe9])

/** Longest frame header: 2 bytes, 8 of length, 4 of mask. */
const MAX_HEADER_BYTES = 14

/** Follows the frames of one direction of a WebSocket just closely enough to know where one ends and the next may begin. */
export class FrameBoundary {
  #header = 0
  #needed = 2
  #length = 0
  #lengthBytes = 0
  #payload = 0

  /** Nothing of a frame is outstanding: a frame may be put in here. */
  get reached(): boolean {
    return this.#header === 0 && this.#payload === 0
  }

  /** Takes bytes; returns the offset of the first boundary at or after `start`, or -1 where none is reached by `end`. */
  advance(bytes: Buffer, start: number, end: number): number {
    let p = start
    let boundary = this.reached ? start : -1
    while (p < end) {
      if (this.#payload > 0) {
        const taken = Math.min(this.#payload, end - p)
        this.#payload -= taken
        p += taken
      } else this.#headerByte(bytes[p++]!)
      if (boundary < 0 && this.reached) boundary = p
    }
    return boundary
  }

  #headerByte(byte: number): void {
    this.#header++
    if (this.#header === 2) {
      const short = byte & 0x7f
      this.#lengthBytes = short === 126 ? 2 : short === 127 ? 8 : 0
      this.#length = this.#lengthBytes === 0 ? short : 0
      this.#needed = Math.min(MAX_HEADER_BYTES, 2 + this.#lengthBytes + (byte & 0x80 ? 4 : 0))
    } else if (this.#header > 2 && this.#header <= 2 + this.#lengthBytes) this.#length = this.#length * 256 + byte
    if (this.#header === this.#needed) {
      this.#payload = this.#length
      this.#header = 0
      this.#needed = 2
    }
  }
}
