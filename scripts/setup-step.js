// How the set-up talks: one short line for a step that takes long, and everything a program said when it failed.

import { spawnSync } from 'node:child_process'

export function step(text) {
  process.stderr.write(`setup: ${text}\n`)
}

export function fail(text) {
  process.stderr.write(`setup: ${text}\n`)
  process.exit(1)
}

/** Runs a program to its end without showing its output, unless it fails; then shows all of it and ends the set-up. */
export function runQuietly(program, args, options) {
  const { status, signal, error, stdout, stderr } = spawnSync(program, args, {
    ...options,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 64 * 1024 * 1024
  })
  if (status === 0) return
  process.stderr.write(`${stdout ?? ''}${stderr ?? ''}`)
  fail(`"${[program, ...args].join(' ')}" failed: ${error?.message ?? signal ?? `exit code ${status}`}`)
}
