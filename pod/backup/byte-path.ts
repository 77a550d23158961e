import { isUtf8 } from 'node:buffer'

/**
 * A path or name as Linux has it: any bytes. Held as a string with one character per byte (latin1), so that it compares bytewise and is
 * a Map key, without loss. Relative to the session's directory, parts separated by `/`; the empty path is that directory itself.
 */
export type BytePath = string

/** How a path stands in JSON: as text where its bytes are UTF-8, else as base64. */
export type WirePath = string | { base64: string }

/** The bytes of a path, for calls of node:fs. */
export function pathBytes(path: BytePath): Buffer {
  return Buffer.from(path, 'latin1')
}

/** The path that these bytes are. */
export function pathOf(bytes: Buffer): BytePath {
  return bytes.toString('latin1')
}

/** A path for JSON, without loss. */
export function toWirePath(path: BytePath): WirePath {
  const bytes = pathBytes(path)
  return isUtf8(bytes) ? bytes.toString('utf8') : { base64: bytes.toString('base64') }
}

/** Reads what `toWirePath` made; null for anything else. */
export function fromWirePath(wire: unknown): BytePath | null {
  if (typeof wire === 'string') return wire.isWellFormed() ? pathOf(Buffer.from(wire, 'utf8')) : null
  if (typeof wire !== 'object' || wire === null || !('base64' in wire) || typeof wire.base64 !== 'string') return null
  const bytes = Buffer.from(wire.base64, 'base64')
  return bytes.toString('base64') === wire.base64 ? pathOf(bytes) : null
}

/** A path for people: bytes that are not UTF-8 become replacement characters. */
export function showPath(path: BytePath): string {
  return pathBytes(path).toString('utf8')
}

/** The path of the directory that holds it; the empty path for the top. */
export function parentOf(path: BytePath): BytePath {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')))
}

/** True for a path that stays below the directory whatever is there: no empty, `.` or `..` part, no NUL, not absolute, not empty. */
export function isPlainPath(path: BytePath): boolean {
  return !path.includes('\0') && path.split('/').every(part => part !== '' && part !== '.' && part !== '..')
}
