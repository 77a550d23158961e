type Units = readonly (readonly [name: string, factor: number])[]

const DURATION_UNITS: Units = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1]
]

const BINARY_UNITS: Units = [
  ['Ti', 2 ** 40],
  ['Gi', 2 ** 30],
  ['Mi', 2 ** 20],
  ['Ki', 2 ** 10],
  ['', 1]
]
const DECIMAL_UNITS: Units = [
  ['T', 1e12],
  ['G', 1e9],
  ['M', 1e6],
  ['k', 1e3],
  ['K', 1e3]
]
const BYTE_UNITS = [...BINARY_UNITS, ...DECIMAL_UNITS]

/** What `parseDuration` takes, in words for a message. */
export const DURATION_FORM = 'a duration such as 250ms, 30s, 5m, 1h or 0'

/** What `parseBytes` takes, in words for a message. */
export const BYTES_FORM = 'a size such as 64Ki, 512Mi, 1G or 0 (bytes)'

/** Parses `250ms`, `30s`, `5m`, `1h`, `7d` or `0` into whole milliseconds; anything else, a bare number too, is a RangeError that says what was expected. */
export function parseDuration(text: string): number {
  const ms = text === '0' ? 0 : parseQuantity(text, DURATION_UNITS)
  if (!Number.isSafeInteger(ms)) throw new RangeError(`expected ${DURATION_FORM}, got "${text}"`)
  return ms
}

/** Writes milliseconds the way `parseDuration` reads them, in the largest unit that keeps the number whole: 90000 is `90s`. */
export function formatDuration(ms: number): string {
  return ms === 0 ? '0' : formatQuantity(ms, DURATION_UNITS)
}

/** Parses `512Mi`, `64Ki` (powers of 1024), `1G`, `10k` (powers of 1000) or a plain number of bytes, as Kubernetes writes quantities; anything else is a RangeError that says what was expected. */
export function parseBytes(text: string): number {
  const bytes = parseQuantity(text, BYTE_UNITS)
  if (!Number.isSafeInteger(bytes)) throw new RangeError(`expected ${BYTES_FORM}, got "${text}"`)
  return bytes
}

/** Writes bytes the way `parseBytes` reads them, in the largest binary unit that keeps the number whole: 65536 is `64Ki`, 1000 is `1000`. */
export function formatBytes(bytes: number): string {
  return bytes === 0 ? '0' : formatQuantity(bytes, BINARY_UNITS)
}

function parseQuantity(text: string, units: Units): number {
  const [, amount, name] = /^(\d+(?:\.\d+)?)([a-zA-Z]*)$/.exec(text) ?? []
  const factor = units.find(unit => unit[0] === name)?.[1]
  // 15 digits: 1.001 * 1000 is 1000.9999999999999 in binary floating point, and 1001 to whoever wrote it.
  return factor === undefined ? Number.NaN : Number((Number(amount) * factor).toPrecision(15))
}

function formatQuantity(value: number, units: Units): string {
  const [name, factor] = units.find(unit => value % unit[1] === 0) ?? ['', 1]
  return `${value / factor}${name}`
}
