import { readFile, readdir } from 'node:fs/promises'
import { MARK_VARIABLE } from './command-runner.ts'

const MAX_ROUNDS = 5

/**
 * Kills every process whose environment carries a session's mark: what a command started in a process group of its own.
 * Looks again until it finds none (a process may fork while the list is read), a bounded number of times.
 * A process that wiped its environment is not found; only a sandbox can hold such a one.
 */
export async function sweepMarked(
  mark: string,
  options: { prefix?: boolean; still?: () => boolean } = {}
): Promise<number> {
  let killed = 0
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    const strays = await findMarked(mark, options.prefix ?? false)
    if (strays.length === 0 || options.still?.() === false) return killed
    for (const pid of strays) if (killOne(pid)) killed += 1
  }
  return killed
}

async function findMarked(mark: string, prefix: boolean): Promise<number[]> {
  const wanted = `\0${MARK_VARIABLE}=${mark}${prefix ? '' : '\0'}`
  const pids = (await readdir('/proc')).filter(name => /^\d+$/.test(name)).map(Number)
  const marked = await Promise.all(pids.map(async pid => (await environmentOf(pid)).includes(wanted)))
  return pids.filter((pid, i) => marked[i] === true && pid !== process.pid)
}

async function environmentOf(pid: number): Promise<string> {
  try {
    return `\0${await readFile(`/proc/${pid}/environ`, 'latin1')}`
  } catch {
    // It ended meanwhile, or belongs to somebody else: not one of ours either way.
    return ''
  }
}

function killOne(pid: number): boolean {
  try {
    process.kill(pid, 'SIGKILL')
    return true
  } catch {
    // It ended by itself between the look and the kill.
    return false
  }
}
