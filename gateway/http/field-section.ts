import { CR, IS_HOST, IS_TOKEN, IS_VALUE, LF, SPACE, TAB, ascii, equalsIgnoringCase } from './ascii.ts'
import { FIELD, type FieldTable, type KnownField } from './field-table.ts'
import { HEAD_ERROR } from './head-error.ts'

const CHUNKED = ascii('chunked')
const CLOSE = ascii('close')
const KEEP_ALIVE = ascii('keep-alive')
const UPGRADE = ascii('upgrade')
const MAX_LENGTH_DIGITS = 15
/** Captured fields have a bit each. */
const MAX_CAPTURES = 30

/** Header section of a message as the parser left it: what it says about framing, and which byte ranges may pass on. One object is used again for every head. */
export class FieldSection {
  /** Byte ranges that pass on: start, end, start, end ... */
  readonly kept: Int32Array
  keptLength = 0
  /** Content-Length, or -1. */
  contentLength = -1
  chunked = false
  connectionClose = false
  connectionKeepAlive = false
  connectionUpgrade = false
  /** `Connection` names fields other than close, keep-alive and upgrade: `dropNominated` must be called. */
  nominates = false
  /** Value of `Upgrade`; an empty range where there is none. */
  upgradeStart = 0
  upgradeEnd = 0
  hostCount = 0
  /** Start of the Host line; -1 where there is none. */
  hostLine = -1
  /** Values of X-Forwarded-For, where it is trusted: start, end for each line. */
  readonly forwardedFor: number[] = []
  hasForwardedHost = false
  hasForwardedProto = false
  /** Values of captured fields: start, end for each; valid where `capturedSeen` has the field's bit. */
  readonly captured: Int32Array
  capturedSeen = 0
  /** Keep what a trusted proxy said of its client. */
  trustForwarded = false
  /** Drop Content-Length and Transfer-Encoding (a response that must have no body). */
  dropFraming = false
  /** Drop Transfer-Encoding only (the body is about to be decoded). */
  dropEncoding = false
  readonly #table: FieldTable
  readonly #maxFields: number
  readonly #connection: number[] = []
  // The line at hand: numbers in fields, because an object for each line would be most of the parser's cost.
  #line = 0
  #value = 0
  #valueEnd = 0

  constructor(table: FieldTable, options: { maxFields: number }) {
    if (table.captures > MAX_CAPTURES) throw new RangeError(`at most ${MAX_CAPTURES} fields can be captured`)
    this.#table = table
    this.#maxFields = options.maxFields
    this.kept = new Int32Array(2 * (options.maxFields + 2))
    this.captured = new Int32Array(2 * table.captures)
  }

  #reset(): void {
    this.keptLength = 0
    this.contentLength = -1
    this.chunked = this.connectionClose = this.connectionKeepAlive = this.connectionUpgrade = this.nominates = false
    this.upgradeStart = this.upgradeEnd = this.hostCount = this.capturedSeen = 0
    this.hostLine = -1
    this.hasForwardedHost = this.hasForwardedProto = false
    if (this.forwardedFor.length > 0) this.forwardedFor.length = 0
    if (this.#connection.length > 0) this.#connection.length = 0
  }

  /**
   * Parses the field lines from `start`; `keptFrom` is where the first kept range begins (the start line before it).
   * Returns the offset after the empty line, 0 where the section is incomplete, or a `HEAD_ERROR`.
   */
  parse(bytes: Uint8Array, start: number, end: number, keptFrom: number): number {
    this.#reset()
    const table = this.#table
    const isToken = IS_TOKEN
    const isValue = IS_VALUE
    let p = start
    // The inner loops do not look at `end`: bytes behind it, if the buffer has any, are in no class for long, and the checks after the
    // loops take a position at or behind `end` for what it is, an incomplete section.
    for (let count = 0; ; count++) {
      if (p >= end) return 0
      if (bytes[p] === CR) {
        if (p + 1 >= end) return 0
        if (bytes[p + 1] !== LF) return HEAD_ERROR.badLineEnd
        if (p > keptFrom) this.#keep(keptFrom, p)
        return this.chunked && this.contentLength >= 0 ? HEAD_ERROR.lengthWithEncoding : p + 2
      }
      if (count === this.#maxFields) return HEAD_ERROR.tooManyFields
      const line = p
      while (isToken[bytes[p]!] === 1) p++
      if (p >= end) return 0
      if (bytes[p] !== 58 || p === line) return nameError(bytes, line, p)
      const nameEnd = p++
      while (p < end && (bytes[p] === SPACE || bytes[p] === TAB)) p++
      const value = p
      while (isValue[bytes[p]!] === 1) p++
      if (p + 1 >= end) return p < end && bytes[p] !== CR ? valueError(bytes[p]!) : 0
      if (bytes[p] !== CR || bytes[p + 1] !== LF) return bytes[p] === CR ? HEAD_ERROR.badLineEnd : valueError(bytes[p]!)
      const known = table.find(bytes, line, nameEnd)
      this.#line = line
      this.#value = value
      this.#valueEnd = p
      p += 2
      if (known === undefined) continue
      const verdict = this.#take(known, bytes)
      if (verdict < 0) return verdict
      if (verdict === DROP) {
        if (line > keptFrom) this.#keep(keptFrom, line)
        keptFrom = p
      }
    }
  }

  #keep(start: number, end: number): void {
    this.kept[this.keptLength++] = start
    this.kept[this.keptLength++] = end
  }

  #take(known: KnownField, bytes: Uint8Array): number {
    const value = this.#value
    const end = trimEnd(bytes, value, this.#valueEnd)
    switch (known.kind) {
      case FIELD.host:
        this.hostLine = this.#line
        return this.#takeHost(bytes, value, end)
      case FIELD.contentLength:
        return this.#takeLength(bytes, value, end)
      case FIELD.transferEncoding:
        return this.#takeEncoding(bytes, value, end)
      case FIELD.connection:
        this.#takeConnection(bytes, value, end)
        return DROP
      case FIELD.upgrade:
        if (this.upgradeEnd > 0) return HEAD_ERROR.badUpgrade
        this.upgradeStart = value
        this.upgradeEnd = end
        return DROP
      case FIELD.hopByHop:
      case FIELD.stripped:
        return DROP
      case FIELD.forwardedFor:
        if (this.trustForwarded) this.forwardedFor.push(value, end)
        return DROP
      case FIELD.forwardedHost:
        this.hasForwardedHost = this.trustForwarded
        return this.trustForwarded ? KEEP : DROP
      case FIELD.forwardedProto:
        this.hasForwardedProto = this.trustForwarded
        return this.trustForwarded ? KEEP : DROP
      case FIELD.captured:
        return this.#takeCaptured(known, value, end)
    }
  }

  #takeHost(bytes: Uint8Array, start: number, end: number): number {
    if (++this.hostCount > 1) return HEAD_ERROR.repeatedHost
    for (let p = start; p < end; p++) if (IS_HOST[bytes[p]!] !== 1) return HEAD_ERROR.badHost
    return KEEP
  }

  #takeLength(bytes: Uint8Array, start: number, end: number): number {
    if (this.contentLength >= 0) return HEAD_ERROR.repeatedLength
    if (end === start || end - start > MAX_LENGTH_DIGITS) return HEAD_ERROR.badLength
    let length = 0
    for (let p = start; p < end; p++) {
      const digit = bytes[p]! - 48
      if (digit < 0 || digit > 9) return HEAD_ERROR.badLength
      length = length * 10 + digit
    }
    this.contentLength = length
    return this.dropFraming ? DROP : KEEP
  }

  #takeEncoding(bytes: Uint8Array, start: number, end: number): number {
    if (this.chunked || end - start !== CHUNKED.length) return HEAD_ERROR.badEncoding
    if (!equalsIgnoringCase(bytes, start, CHUNKED)) return HEAD_ERROR.badEncoding
    this.chunked = true
    return this.dropFraming || this.dropEncoding ? DROP : KEEP
  }

  #takeCaptured(known: KnownField, start: number, end: number): number {
    const index = known.capture
    if ((this.capturedSeen & (1 << index)) !== 0) return HEAD_ERROR.repeatedRoutingField
    this.capturedSeen |= 1 << index
    this.captured[2 * index] = start
    this.captured[2 * index + 1] = end
    return known.dropped ? DROP : KEEP
  }

  /** Tells whether the message has the captured field number `index`. */
  hasCaptured(index: number): boolean {
    return (this.capturedSeen & (1 << index)) !== 0
  }

  #takeConnection(bytes: Uint8Array, start: number, end: number): void {
    for (let p = start; p < end;) {
      while (p < end && isListGap(bytes[p]!)) p++
      const from = p
      while (p < end && !isListGap(bytes[p]!)) p++
      const length = p - from
      if (length === 5 && equalsIgnoringCase(bytes, from, CLOSE)) this.connectionClose = true
      else if (length === 10 && equalsIgnoringCase(bytes, from, KEEP_ALIVE)) this.connectionKeepAlive = true
      else if (length === 7 && equalsIgnoringCase(bytes, from, UPGRADE)) this.connectionUpgrade = true
      else if (length > 0) {
        this.nominates = true
        this.#connection.push(from, p)
      }
    }
  }

  /** Lower-case names of the fields that `Connection` nominates; read only where `nominates` is set. */
  nominated(bytes: Buffer): Set<string> {
    const names = new Set<string>()
    for (let i = 0; i < this.#connection.length; i += 2) {
      names.add(bytes.toString('latin1', this.#connection[i], this.#connection[i + 1]).toLowerCase())
    }
    return names
  }
}

const KEEP = 0
const DROP = 1

function isListGap(byte: number): boolean {
  return byte === 44 || byte === SPACE || byte === TAB
}

function trimEnd(bytes: Uint8Array, start: number, end: number): number {
  while (end > start && (bytes[end - 1] === SPACE || bytes[end - 1] === TAB)) end--
  return end
}

function nameError(bytes: Uint8Array, line: number, p: number): number {
  if (p === line && (bytes[p] === SPACE || bytes[p] === TAB)) return HEAD_ERROR.foldedField
  return bytes[p] === LF ? HEAD_ERROR.badLineEnd : HEAD_ERROR.badFieldName
}

function valueError(byte: number): number {
  return byte === LF ? HEAD_ERROR.badLineEnd : HEAD_ERROR.badFieldValue
}
