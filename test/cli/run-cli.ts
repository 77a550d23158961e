import { spawn } from 'node:child_process'
import type { ChildProcess, SpawnOptions } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

/** The file that `npx fairlead` runs. */
export const CLI = fileURLToPath(new URL('../../cli/bin.js', import.meta.url))

/** How a command ended and what it said. */
export interface CliResult {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

/** Runs `fairlead ...args` to its end. No FAIRLEAD_ variable of the caller reaches it, only those in `env`. */
export async function runCli(args: readonly string[], env: Record<string, string> = {}): Promise<CliResult> {
  const child = startCli(args, { env })
  return endOf(child)
}

/** Starts `fairlead ...args`; the caller ends it. */
export function startCli(
  args: readonly string[],
  options: { env?: Record<string, string>; node?: string } & SpawnOptions = {}
): ChildProcess {
  const { env = {}, node = process.execPath, ...rest } = options
  return spawn(node, [CLI, ...args], {
    ...rest,
    env: { ...cleanEnvironment(), ...env },
    stdio: ['ignore', 'pipe', 'pipe']
  })
}

/** Waits for the end of a child whose output nobody has read yet. */
export async function endOf(child: ChildProcess): Promise<CliResult> {
  if (child.stdout === null || child.stderr === null) throw new Error('the child has no pipes')
  const [stdout, stderr, [code, signal]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close')
  ])
  return { code, signal, stdout, stderr }
}

function cleanEnvironment(): NodeJS.ProcessEnv {
  const foreign = /^(FAIRLEAD_|REDIS_URL$|POD_NAME$|POD_IP$|NODE_OPTIONS$|NODE_V8_COVERAGE$|TAP)/
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name)))
}

/** Tells whether a process is there; a zombie that its parent did not collect yet is not. */
export async function isAlive(pid: number): Promise<boolean> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    return !/\) [ZX] /.test(stat)
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH')) return false
    throw error
  }
}
