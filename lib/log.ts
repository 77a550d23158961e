import { destination, pino, stdTimeFunctions } from 'pino'
import type { Logger } from 'pino'

export type { Logger } from 'pino'

/** Levels that `logLevel` takes, from the most talkative to none at all. */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const

/** One of `LOG_LEVELS`. */
export type LogLevel = (typeof LOG_LEVELS)[number]

const SECRETS = [
  'authorization',
  'cookie',
  '["set-cookie"]',
  'headers.authorization',
  'headers.cookie',
  '*.headers.authorization',
  '*.headers.cookie'
]

/**
 * Makes a process's log: JSON lines on stderr with `name`, an ISO time and the level as a word.
 * Values under `authorization` and `cookie` are blanked. Writes are synchronous, so that the last lines before an exit are not lost.
 */
export function createLog(name: string, options: { level?: LogLevel } = {}): Logger {
  return pino(
    {
      name,
      level: options.level ?? 'info',
      base: { name, pid: process.pid },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: label => ({ level: label }) },
      redact: SECRETS
    },
    destination({ dest: 2, sync: true })
  )
}
