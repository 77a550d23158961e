import { CR, IS_TOKEN, IS_VALUE, LF, TAB } from './ascii.ts'
import type { FieldTable } from './field-table.ts'
import { HEAD_ERROR } from './head-error.ts'

/** How the end of a body is known. */
export const FRAMING = { none: 0, length: 1, chunked: 2, untilClose: 3 } as const

const MAX_SIZE_DIGITS = 13
/** Most bytes of chunk extensions in one body: they mean nothing to anybody, and long ones are an attack. */
const MAX_EXTENSION_BYTES = 4096
const MAX_TRAILER_BYTES = 8192

const S = {
  size: 0,
  sizeMore: 1,
  extensionStart: 17,
  extensionName: 2,
  extensionValue: 3,
  extensionToken: 4,
  extensionQuoted: 5,
  extensionEscape: 6,
  extensionAfterQuoted: 7,
  sizeEnd: 8,
  data: 9,
  dataCr: 10,
  dataLf: 11,
  trailerStart: 12,
  trailerName: 13,
  trailerValue: 14,
  trailerLf: 15,
  lastLf: 16
} as const

/** Finds where a message body ends, without keeping it: bytes pass through, this only counts. */
export class BodyFraming {
  kind: (typeof FRAMING)[keyof typeof FRAMING] = FRAMING.none
  /** The whole body has been seen. */
  done = true
  /** Bytes of the body so far, without its framing. */
  dataBytes = 0
  /** Bytes left of a counted body or of the chunk at hand. */
  #left = 0
  #state: number = S.size
  #digits = 0
  #extensionBytes = 0
  #trailerBytes = 0
  #trailerName = ''
  readonly #knownFields: FieldTable

  /** `knownFields`: a trailer must not bear such a name, because framing and routing are decided before it comes. */
  constructor(knownFields: FieldTable) {
    this.#knownFields = knownFields
  }

  /** Begins a body. `length` counts only with `FRAMING.length`. */
  begin(kind: (typeof FRAMING)[keyof typeof FRAMING], length: number): void {
    this.kind = kind
    this.dataBytes = 0
    this.#left = kind === FRAMING.length ? length : 0
    this.#state = S.size
    this.#digits = this.#extensionBytes = this.#trailerBytes = 0
    this.done = kind === FRAMING.none || (kind === FRAMING.length && length === 0)
  }

  /** Takes the bytes from `p` to `end`. Returns the offset after the last byte that belongs to the body, or a `HEAD_ERROR`. */
  consume(bytes: Buffer, p: number, end: number): number {
    switch (this.kind) {
      case FRAMING.length: {
        const taken = Math.min(this.#left, end - p)
        this.#left -= taken
        this.dataBytes += taken
        this.done = this.#left === 0
        return p + taken
      }
      case FRAMING.chunked:
        return this.#scan(bytes, p, end, null)
      case FRAMING.untilClose:
        return end
      case FRAMING.none:
        return p
    }
  }

  /** Like `consume` for a chunked body; adds the ranges of the data without its framing to `data`: start, end, start, end ... */
  decode(bytes: Buffer, p: number, end: number, data: number[]): number {
    return this.#scan(bytes, p, end, data)
  }

  #scan(bytes: Buffer, start: number, end: number, data: number[] | null): number {
    let p = start
    while (p < end) {
      if (this.#state === S.data) {
        const taken = Math.min(this.#left, end - p)
        if (data !== null) data.push(p, p + taken)
        this.#left -= taken
        this.dataBytes += taken
        p += taken
        if (this.#left === 0) this.#state = S.dataCr
        continue
      }
      const error = this.#step(bytes[p++]!)
      if (error < 0) return error
      if (this.done) return p
    }
    return p
  }

  #step(byte: number): number {
    switch (this.#state) {
      case S.size:
      case S.sizeMore:
        return this.#size(byte)
      case S.sizeEnd:
        if (byte !== LF) return HEAD_ERROR.badChunkEnd
        return this.#to(this.#left === 0 ? S.trailerStart : S.data)
      case S.dataCr:
        return byte === CR ? this.#to(S.dataLf) : HEAD_ERROR.badChunkEnd
      case S.dataLf:
        this.#digits = 0
        return byte === LF ? this.#to(S.size) : HEAD_ERROR.badChunkEnd
      case S.trailerStart:
      case S.trailerName:
      case S.trailerValue:
      case S.trailerLf:
      case S.lastLf:
        return this.#trailer(byte)
      default:
        return this.#extension(byte)
    }
  }

  #to(state: number): number {
    this.#state = state
    return 0
  }

  #size(byte: number): number {
    const digit = hexDigit(byte)
    if (digit >= 0) {
      if (++this.#digits > MAX_SIZE_DIGITS) return HEAD_ERROR.badChunkSize
      this.#left = this.#left * 16 + digit
      return this.#to(S.sizeMore)
    }
    if (this.#state === S.size) return HEAD_ERROR.badChunkSize
    if (byte === CR) return this.#to(S.sizeEnd)
    return byte === 59 ? this.#to(S.extensionStart) : HEAD_ERROR.badChunkSize
  }

  /** `;name`, `;name=token` and `;name="quoted"`, without white space. */
  #extension(byte: number): number {
    if (++this.#extensionBytes > MAX_EXTENSION_BYTES) return HEAD_ERROR.badChunkExtension
    switch (this.#state) {
      case S.extensionStart:
        return IS_TOKEN[byte] === 1 ? this.#to(S.extensionName) : HEAD_ERROR.badChunkExtension
      case S.extensionName:
        if (IS_TOKEN[byte] === 1) return 0
        if (byte === 61) return this.#to(S.extensionValue)
        break
      case S.extensionValue:
        if (byte === 34) return this.#to(S.extensionQuoted)
        return IS_TOKEN[byte] === 1 ? this.#to(S.extensionToken) : HEAD_ERROR.badChunkExtension
      case S.extensionToken:
        if (IS_TOKEN[byte] === 1) return 0
        break
      case S.extensionQuoted:
        if (byte === 34) return this.#to(S.extensionAfterQuoted)
        if (byte === 92) return this.#to(S.extensionEscape)
        return IS_VALUE[byte] === 1 ? 0 : HEAD_ERROR.badChunkExtension
      case S.extensionEscape:
        return IS_VALUE[byte] === 1 ? this.#to(S.extensionQuoted) : HEAD_ERROR.badChunkExtension
    }
    if (byte === CR) return this.#to(S.sizeEnd)
    return byte === 59 ? this.#to(S.extensionStart) : HEAD_ERROR.badChunkExtension
  }

  #trailer(byte: number): number {
    if (++this.#trailerBytes > MAX_TRAILER_BYTES) return HEAD_ERROR.trailersTooLarge
    switch (this.#state) {
      case S.trailerStart:
        if (byte === CR) return this.#to(S.lastLf)
        if (IS_TOKEN[byte] !== 1) return HEAD_ERROR.badTrailer
        this.#trailerName = String.fromCharCode(byte)
        return this.#to(S.trailerName)
      case S.trailerName:
        if (byte === 58) return this.#isForbiddenTrailer() ? HEAD_ERROR.badTrailer : this.#to(S.trailerValue)
        if (IS_TOKEN[byte] !== 1) return HEAD_ERROR.badTrailer
        this.#trailerName += String.fromCharCode(byte)
        return 0
      case S.trailerValue:
        if (byte === CR) return this.#to(S.trailerLf)
        return IS_VALUE[byte] === 1 || byte === TAB ? 0 : HEAD_ERROR.badTrailer
      case S.trailerLf:
        return byte === LF ? this.#to(S.trailerStart) : HEAD_ERROR.badTrailer
      default:
        this.done = byte === LF
        return this.done ? 0 : HEAD_ERROR.badTrailer
    }
  }

  #isForbiddenTrailer(): boolean {
    const name = Buffer.from(this.#trailerName, 'latin1')
    return this.#knownFields.find(name, 0, name.length) !== undefined
  }
}

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48
  const lower = byte | 0x20
  return lower >= 97 && lower <= 102 ? lower - 87 : -1
}
