import { CR, IS_VALUE, LF, SPACE, ascii, startsWith } from './ascii.ts'
import { FieldSection } from './field-section.ts'
import type { FieldTable } from './field-table.ts'
import { HEAD_ERROR } from './head-error.ts'
import { dropNominated } from './drop-fields.ts'

const VERSION_PREFIX = ascii('HTTP/1.')
/** `HTTP/1.1 200` and CR. */
const SHORTEST_LINE = 13

/** A response head over the bytes it came in; used again for every response, like `RequestHead`. */
export class ResponseHead {
  readonly fields: FieldSection
  status = 0
  minorVersion = 1
  bytes: Buffer = Buffer.alloc(0)

  constructor(table: FieldTable, options: { maxHeaderCount: number }) {
    this.fields = new FieldSection(table, { maxFields: options.maxHeaderCount })
  }

  /** Value of the captured field (the refusal), or null. */
  get refusal(): string | null {
    if (!this.fields.hasCaptured(0)) return null
    return this.bytes.toString('latin1', this.fields.captured[0], this.fields.captured[1])
  }

  /** Value of `Upgrade`, lower case; empty where there is none. */
  get upgrade(): string {
    return this.bytes.toString('latin1', this.fields.upgradeStart, this.fields.upgradeEnd).toLowerCase()
  }

  /**
   * Parses the head at `start`. `decode` says that a chunked body will be decoded, so that its Transfer-Encoding must not pass.
   * The kept ranges of an HTTP/1.0 response begin after its version, for the caller to write `HTTP/1.1`. Returns the offset after the head,
   * 0 where it is incomplete, or a `HEAD_ERROR`.
   */
  parse(bytes: Buffer, start: number, end: number, decode: boolean): number {
    this.bytes = bytes
    if (end - start < SHORTEST_LINE) return startsLikeHttp(bytes, start, end) ? 0 : HEAD_ERROR.badStatusLine
    if (!startsWith(bytes, start, VERSION_PREFIX) || bytes[start + 8] !== SPACE) return HEAD_ERROR.badStatusLine
    const minor = bytes[start + 7]! - 48
    if (minor !== 0 && minor !== 1) return HEAD_ERROR.badStatusLine
    const status = parseStatus(bytes, start + 9)
    if (status < 0) return status
    let p = start + 12
    if (bytes[p] !== SPACE && bytes[p] !== CR) return HEAD_ERROR.badStatusLine
    while (p < end && IS_VALUE[bytes[p]!] === 1) p++
    if (p + 1 >= end) return p < end && bytes[p] !== CR ? HEAD_ERROR.badStatusLine : 0
    if (bytes[p] !== CR || bytes[p + 1] !== LF) return HEAD_ERROR.badStatusLine
    this.status = status
    this.minorVersion = minor
    const { fields } = this
    fields.dropFraming = status < 200 || status === 204
    fields.dropEncoding = decode
    const next = fields.parse(bytes, p + 2, end, minor === 1 ? start : start + 8)
    if (next <= 0) return next
    if (minor === 0 && fields.chunked) return HEAD_ERROR.encodingInOldVersion
    if (fields.nominates && !dropNominated(bytes, fields, { fieldsStart: p + 2, protectedNames: [] })) {
      return HEAD_ERROR.badConnection
    }
    return next
  }
}

function startsLikeHttp(bytes: Buffer, start: number, end: number): boolean {
  const known = Math.min(VERSION_PREFIX.length, end - start)
  for (let i = 0; i < known; i++) if (bytes[start + i] !== VERSION_PREFIX[i]) return false
  return true
}

function parseStatus(bytes: Buffer, p: number): number {
  const hundreds = bytes[p]! - 48
  const tens = bytes[p + 1]! - 48
  const ones = bytes[p + 2]! - 48
  if (hundreds < 1 || hundreds > 5 || tens < 0 || tens > 9 || ones < 0 || ones > 9) return HEAD_ERROR.badStatusLine
  return hundreds * 100 + tens * 10 + ones
}
