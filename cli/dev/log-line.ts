import { isFields } from '../fields.ts'
import type { Fields } from '../fields.ts'

/** A line of a process's log as a person reads it: level, message, then what else it says. Lines that are not of our log stay as they are. */
export function readableLogLine(line: string): string {
  const record = parseLogLine(line)
  return (record === null ? undefined : plainText(record)) ?? line
}

/** The fields of a JSON log line; null for anything else. */
export function parseLogLine(line: string): Fields | null {
  if (!line.startsWith('{')) return null
  try {
    const record: unknown = JSON.parse(line)
    return isFields(record) ? record : null
  } catch (error) {
    if (error instanceof SyntaxError) return null
    throw error
  }
}

// Undefined for JSON that has no level and message: the access log.
function plainText(record: Fields): string | undefined {
  const { level, msg, name: _name, pid: _pid, time: _time, err, ...rest } = record
  if (typeof level !== 'string' || typeof msg !== 'string') return undefined
  const reason = isFields(err) && typeof err['message'] === 'string' ? `: ${err['message']}` : ''
  const facts = Object.entries(rest).map(
    ([key, value]) => ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`
  )
  return `${level.padEnd(5)} ${msg}${reason}${facts.join('')}`
}
