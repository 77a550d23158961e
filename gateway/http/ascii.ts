/** Byte classes of RFC 9110 and RFC 9112, as tables: 1 where the byte belongs to the class. */

function table(belongs: (byte: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => (belongs(byte) ? 1 : 0))
}

const TOKEN_CHARACTERS = new Set(
  Buffer.from("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", 'latin1')
)
const HOST_CHARACTERS = new Set(
  Buffer.from("-._~!$&'()*+,;=:[]%0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", 'latin1')
)

/** `token` (RFC 9110 section 5.6.2): methods and field names. */
export const IS_TOKEN = table(byte => TOKEN_CHARACTERS.has(byte))

/** Bytes of a field value: HTAB, SP, visible ASCII and 0x80-0xff; no control, no DEL. */
export const IS_VALUE = table(byte => byte === 9 || (byte >= 0x20 && byte !== 0x7f))

/** Bytes of a request target: visible ASCII. */
export const IS_TARGET = table(byte => byte > 0x20 && byte < 0x7f)

/** Bytes of an authority without user information (RFC 3986 section 3.2.2, and a port). */
export const IS_HOST = table(byte => HOST_CHARACTERS.has(byte))

export const CR = 13
export const LF = 10
export const SPACE = 32
export const TAB = 9

/** Tells whether the bytes from `start` are `lower` in any case. Only for bytes known to be a token; `lower` holds no underscore. */
export function equalsIgnoringCase(bytes: Uint8Array, start: number, lower: Uint8Array): boolean {
  for (let i = 0; i < lower.length; i++) if ((bytes[start + i]! | 0x20) !== lower[i]) return false
  return true
}

/** Tells whether the bytes from `start` are exactly `expected`. */
export function startsWith(bytes: Uint8Array, start: number, expected: Uint8Array): boolean {
  for (let i = 0; i < expected.length; i++) if (bytes[start + i] !== expected[i]) return false
  return true
}

/** The bytes of an ASCII text. */
export function ascii(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'latin1'))
}
