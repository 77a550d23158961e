import { BYTES_FORM, DURATION_FORM, formatBytes, formatDuration, parseBytes, parseDuration } from './units.ts'
import type { Option } from './config-table.ts'

/** A value as a process uses it, after parsing. */
export type ConfigValue = string | number | boolean | readonly string[]

/** Parses one value as a flag, an environment variable or YAML gives it; a bad one is a RangeError that says what was expected and what was found. */
export function parseValue(option: Option, raw: unknown): ConfigValue {
  const value = PARSERS[option.type](raw, option)
  if (typeof value === 'number') checkBounds(option, value)
  return value
}

const PARSERS: Record<Option['type'], (raw: unknown, option: Option) => ConfigValue> = {
  port: raw => wholeNumber(raw, 'a port from 0 to 65535', 65_535),
  integer: raw => wholeNumber(raw, 'a whole number', Number.MAX_SAFE_INTEGER),
  duration: raw => withUnit(raw, DURATION_FORM, parseDuration),
  bytes: raw => withUnit(raw, BYTES_FORM, parseBytes),
  string: raw => asText(raw, 'a text'),
  boolean: raw =>
    raw === true || raw === 'true' ? true : raw === false || raw === 'false' ? false : reject('true or false', raw),
  enum: (raw, option) =>
    option.choices?.includes(String(raw)) ? String(raw) : reject(`one of ${option.choices?.join(', ')}`, raw),
  url: asUrl,
  list: asList
}

function wholeNumber(raw: unknown, expected: string, max: number): number {
  const value = typeof raw === 'string' && /^-?\d+$/.test(raw) ? Number(raw) : raw
  const inRange = typeof value === 'number' && Number.isSafeInteger(value) && value <= max
  return inRange ? value : reject(expected, raw)
}

function withUnit(raw: unknown, expected: string, parse: (text: string) => number): number {
  if (typeof raw !== 'string' && typeof raw !== 'number') reject(expected, raw)
  return parse(String(raw))
}

function asText(raw: unknown, expected: string): string {
  if (typeof raw === 'number') return String(raw)
  return typeof raw === 'string' ? raw : reject(expected, raw)
}

function asUrl(raw: unknown): string {
  const value = asText(raw, 'a URL')
  return value.split(',').every(part => URL.canParse(part.includes(':') ? part : `host://${part}`)) &&
    value.includes(':')
    ? value
    : reject('a URL such as redis://127.0.0.1:6379', raw)
}

function asList(raw: unknown): readonly string[] {
  if (Array.isArray(raw)) return raw.map(item => asText(item, 'a list of texts'))
  return asText(raw, 'a list, separated by commas')
    .split(',')
    .map(item => item.trim())
    .filter(item => item !== '')
}

function checkBounds(option: Option, value: number): void {
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = bounds(option)
  if (value < min)
    throw new RangeError(`expected at least ${formatValue(option, min)}, got ${formatValue(option, value)}`)
  if (value > max)
    throw new RangeError(`expected at most ${formatValue(option, max)}, got ${formatValue(option, value)}`)
}

function bounds(option: Option): { min?: number; max?: number } {
  const parse = (raw: Option['min']) => (raw === undefined ? {} : PARSERS[option.type](raw, option))
  const [min, max] = [parse(option.min), parse(option.max)]
  return { ...(typeof min === 'number' && { min }), ...(typeof max === 'number' && { max }) }
}

/** Writes a parsed value the way a person writes it in a flag or a YAML file; the password of a URL is blanked. */
export function formatValue(option: Option, value: ConfigValue | null): string {
  if (value === null) return ''
  if (typeof value === 'object') return value.join(',')
  if (typeof value === 'number' && option.type === 'duration') return formatDuration(value)
  if (typeof value === 'number' && option.type === 'bytes') return formatBytes(value)
  return redactUrl(String(value))
}

/** Blanks passwords in a text: of every `scheme://user:password@host`, and of every query parameter whose name ends in `password`. */
export function redactUrl(text: string): string {
  // Greedy up to the last @: a password may hold @ and / unescaped.
  return text
    .replaceAll(/([a-z][a-z0-9+.-]*:\/\/[^\s/:@]*):[^\s"]*@/gi, '$1:***@')
    .replaceAll(/([?&][a-z]*password=)[^&\s"]*/gi, '$1***')
}

function reject(expected: string, raw: unknown): never {
  throw new RangeError(
    `expected ${expected}, got ${raw === '' ? 'nothing' : redactUrl(JSON.stringify(raw) ?? String(raw))}`
  )
}
