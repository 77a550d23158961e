import { CR, IS_HOST, IS_TARGET, IS_TOKEN, LF, SPACE, ascii, startsWith } from './ascii.ts'
import { FieldSection } from './field-section.ts'
import type { FieldTable } from './field-table.ts'
import { HEAD_ERROR } from './head-error.ts'
import { dropFields, dropNominated } from './drop-fields.ts'

const VERSION_PREFIX = ascii(' HTTP/')
const MAX_METHOD_BYTES = 32
/** ` HTTP/1.1` and CR LF. */
const VERSION_BYTES = 11

/** Bounds on what a request head may be; see `Limits`. */
export interface HeadBounds {
  readonly maxTargetBytes: number
  readonly maxHeaderCount: number
}

/**
 * A request head over the bytes it came in. One object is used again for every request of a proxy: what it says is valid
 * only until the next `parse`, and only as long as the bytes are.
 */
export class RequestHead {
  readonly fields: FieldSection
  /** The method, as sent. */
  method = ''
  /** Minor HTTP version: 0 or 1. */
  minorVersion = 1
  /** The method is HEAD: its response has no body. */
  isHead = false
  /** The bytes that all offsets refer to. */
  bytes: Buffer = Buffer.alloc(0)
  /** Range of the target, as sent. */
  pathStart = 0
  pathEnd = 0
  /** Where a request line must be written anew (absolute-form, HTTP/1.0): that line; else empty. */
  rewrittenLine = ''
  /** Authority of an absolute-form target, which replaces Host; else empty. */
  authority = ''
  #fieldsStart = 0
  /** Target of a rewritten line. */
  #rewrittenPath = ''
  readonly #bounds: HeadBounds
  readonly #protectedNames: readonly string[]

  constructor(table: FieldTable, options: { bounds: HeadBounds; capturedFields: readonly string[] }) {
    this.#bounds = options.bounds
    this.#protectedNames = options.capturedFields
    this.fields = new FieldSection(table, { maxFields: options.bounds.maxHeaderCount })
  }

  /** Value of the captured field number `index`, in the order of the proxy's `capturedFields`; null where the request has none. */
  captured(index: number): string | null {
    if (!this.fields.hasCaptured(index)) return null
    return this.bytes.toString('latin1', this.fields.captured[2 * index], this.fields.captured[2 * index + 1])
  }

  /** Tells whether the captured field number `index` is present. */
  hasCaptured(index: number): boolean {
    return this.fields.hasCaptured(index)
  }

  /** Origin-form target with its query, byte for byte. */
  get path(): string {
    return this.rewrittenLine === '' ? this.bytes.toString('latin1', this.pathStart, this.pathEnd) : this.#rewrittenPath
  }

  /** Tells whether the path begins with `prefix`, without making a string. */
  pathStartsWith(prefix: Uint8Array): boolean {
    if (this.rewrittenLine !== '') return this.#rewrittenPath.startsWith(Buffer.from(prefix).toString('latin1'))
    return this.pathEnd - this.pathStart >= prefix.length && startsWith(this.bytes, this.pathStart, prefix)
  }

  /** Parses the head at `start`. Returns the offset after it, 0 where it is incomplete, or a `HEAD_ERROR`. */
  parse(bytes: Buffer, start: number, end: number): number {
    this.bytes = bytes
    const fieldsStart = this.#parseLine(bytes, start, end)
    if (fieldsStart <= 0) return fieldsStart
    const { fields } = this
    this.#fieldsStart = fieldsStart
    const keptFrom = this.rewrittenLine === '' ? start : fieldsStart
    const next = fields.parse(bytes, fieldsStart, end, keptFrom)
    if (next <= 0) return next
    if (this.minorVersion === 0 && fields.chunked) return HEAD_ERROR.encodingInOldVersion
    if (fields.hostCount === 0 && this.minorVersion === 1) return HEAD_ERROR.missingHost
    if (fields.nominates) {
      const options = { fieldsStart, protectedNames: this.#protectedNames }
      if (!dropNominated(bytes, fields, options)) return HEAD_ERROR.badConnection
    }
    return next
  }

  #parseLine(bytes: Buffer, start: number, end: number): number {
    let p = start
    while (p < end && IS_TOKEN[bytes[p]!] === 1) p++
    const methodEnd = p
    if (methodEnd - start > MAX_METHOD_BYTES) return HEAD_ERROR.badMethod
    if (p >= end) return 0
    if (bytes[p] !== SPACE || p === start) return HEAD_ERROR.badMethod
    const target = ++p
    while (p < end && IS_TARGET[bytes[p]!] === 1) p++
    if (p - target > this.#bounds.maxTargetBytes) return HEAD_ERROR.targetTooLong
    if (p >= end) return 0
    if (bytes[p] !== SPACE || p === target) return HEAD_ERROR.badTarget
    if (end - p < VERSION_BYTES) return incompleteVersion(bytes, p, end)
    const version = parseVersion(bytes, p)
    if (version < 0) return version
    this.minorVersion = version
    this.method = methodName(bytes, start, methodEnd)
    this.isHead = this.method === 'HEAD'
    this.pathStart = target
    this.pathEnd = p
    this.rewrittenLine = ''
    this.authority = ''
    const plain = bytes[target] === 47 && version === 1 && this.method !== 'CONNECT'
    return plain ? p + VERSION_BYTES : this.#parseOddTarget(bytes, p + VERSION_BYTES)
  }

  /** Absolute-form, asterisk-form and HTTP/1.0: the line is written anew. */
  #parseOddTarget(bytes: Buffer, fieldsStart: number): number {
    if (this.method === 'CONNECT') return HEAD_ERROR.connectRefused
    let target = this.path
    const absolute = /^https?:\/\/([^/?]*)(.*)$/i.exec(target)
    if (absolute !== null) {
      this.authority = absolute[1]!
      if (!isAuthority(this.authority)) return HEAD_ERROR.badTarget
      target = absolute[2]!
      if (!target.startsWith('/')) target = this.method === 'OPTIONS' && target === '' ? '*' : `/${target}`
    } else if (target !== '*' && !target.startsWith('/')) return HEAD_ERROR.badTarget
    else if (target === '*' && this.method !== 'OPTIONS') return HEAD_ERROR.badTarget
    this.#rewrittenPath = target
    this.rewrittenLine = `${this.method} ${target} HTTP/1.1\r\n`
    return fieldsStart
  }

  /** Takes lines with these (lower-case) names out of what passes on. */
  drop(names: ReadonlySet<string>): void {
    dropFields(this.bytes, this.fields, { fieldsStart: this.#fieldsStart, names })
  }

  /** Tells whether the request asks to switch to one of `protocols` (lower case); answers the first of them that it names. */
  upgradeProtocol(protocols: readonly string[]): string | null {
    const { fields } = this
    if (!fields.connectionUpgrade || fields.upgradeEnd === 0 || this.minorVersion === 0) return null
    if (fields.chunked || fields.contentLength > 0) return null
    const asked = this.bytes
      .toString('latin1', fields.upgradeStart, fields.upgradeEnd)
      .toLowerCase()
      .split(/[ \t]*,[ \t]*/)
    return asked.find(protocol => protocols.includes(protocol)) ?? null
  }
}

function incompleteVersion(bytes: Buffer, p: number, end: number): number {
  const known = Math.min(VERSION_PREFIX.length, end - p)
  for (let i = 0; i < known; i++) if (bytes[p + i] !== VERSION_PREFIX[i]) return HEAD_ERROR.badVersion
  return bytes.includes(LF, p) && bytes.indexOf(LF, p) < end ? HEAD_ERROR.badVersion : 0
}

function parseVersion(bytes: Buffer, p: number): number {
  if (!startsWith(bytes, p, VERSION_PREFIX)) return HEAD_ERROR.badVersion
  const major = bytes[p + 6]! - 48
  const minor = bytes[p + 8]! - 48
  if (major < 0 || major > 9 || minor < 0 || minor > 9 || bytes[p + 7] !== 46) return HEAD_ERROR.badVersion
  if (bytes[p + 9] !== CR || bytes[p + 10] !== LF) {
    return bytes[p + 9] === LF ? HEAD_ERROR.badLineEnd : HEAD_ERROR.badVersion
  }
  return major === 1 && minor <= 1 ? minor : HEAD_ERROR.unsupportedVersion
}

const METHODS = ['GET', 'PUT', 'HEAD', 'POST', 'PATCH', 'DELETE', 'OPTIONS', 'CONNECT'].map(name => ({
  name,
  bytes: ascii(name)
}))

function methodName(bytes: Buffer, start: number, end: number): string {
  for (let i = 0; i < METHODS.length; i++) {
    const method = METHODS[i]!
    if (method.bytes.length === end - start && startsWith(bytes, start, method.bytes)) return method.name
  }
  return bytes.toString('latin1', start, end)
}

function isAuthority(text: string): boolean {
  if (text === '') return false
  for (let i = 0; i < text.length; i++) if (IS_HOST[text.charCodeAt(i)] !== 1) return false
  return true
}
