import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Setting } from './setting.ts'

/** Upstream servers that every proxy distributes the sessions over. */
export const BACKEND_COUNT = 64
/** Sessions that the load goes through, one after the other. */
export const SESSION_COUNT = 10_000

/** A session of the load and the port of the backend that owns it. */
export interface BenchSession {
  readonly id: string
  readonly port: number
}

/** The running backend. */
export interface Backend {
  readonly ports: readonly number[]
  readonly sessions: readonly BenchSession[]
  /** How it was compiled and started. */
  readonly commands: readonly string[]
}

/** Compiles backend.c with gcc and starts it beside the load; the setting ends it. */
export async function startBackend(setting: Setting): Promise<Backend> {
  const compile = ['-O2', '-o', setting.path('backend'), fileURLToPath(new URL('backend.c', import.meta.url))]
  execFileSync('gcc', compile, { stdio: ['ignore', 'ignore', 'inherit'] })
  const command = [setting.path('backend'), String(BACKEND_COUNT)]
  const child = setting.start({ name: 'backend', command, place: 'load' })
  const ports = await child.until(() => readPorts(child.output()))
  const sessions = Array.from({ length: SESSION_COUNT }, (_, index) => makeSession(index, ports))
  return { ports, sessions, commands: [`gcc ${compile.join(' ')}`, command.join(' ')] }
}

function readPorts(output: string): number[] | null {
  const list = /\{"ports":\[([\d,]+)\]\}/.exec(output)?.[1]
  return list === undefined ? null : list.split(',').map(Number)
}

/** Ids that differ in their first characters, as random ones do, and are the same in every run. */
function makeSession(index: number, ports: readonly number[]): BenchSession {
  const scattered = Math.imul(index, 2654435761) >>> 0
  const id = `sb-${scattered.toString(16).padStart(8, '0')}${index.toString(16).padStart(8, '0')}`
  return { id, port: ports[index % ports.length] ?? 0 }
}
