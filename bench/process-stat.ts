import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

/** Processor time in seconds. */
export interface CpuTime {
  user: number
  system: number
}

interface Stat {
  parent: number
  userTicks: number
  systemTicks: number
}

const TICKS_PER_SECOND = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))

/** Reads /proc/<pid>/stat; null once the process is gone. See proc_pid_stat(5): the fields are counted behind the name's bracket. */
function readStat(pid: number): Stat | null {
  const text = readProcFile(pid, 'stat')
  if (text === null) return null
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return { parent: Number(fields[1]), userTicks: Number(fields[11]), systemTicks: Number(fields[12]) }
}

function readProcFile(pid: number, name: string): string | null {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'latin1')
  } catch (error) {
    // The process ended between being listed and being read, which is no error here.
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH')) return null
    throw error
  }
}

/** The process and all its descendants, as pids. */
export function processTree(rootPid: number): number[] {
  const parents = new Map<number, number>()
  for (const name of readdirSync('/proc')) {
    const stat = /^\d+$/.test(name) ? readStat(Number(name)) : null
    if (stat !== null) parents.set(Number(name), stat.parent)
  }
  const tree = [rootPid]
  for (const ancestor of tree) {
    for (const [pid, parent] of parents) if (parent === ancestor) tree.push(pid)
  }
  return tree
}

/** Processor time that the processes used so far, all threads; in ticks of the kernel's clock (10 ms as a rule). */
export function cpuTime(pids: readonly number[]): CpuTime {
  const total = { user: 0, system: 0 }
  for (const pid of pids) {
    const stat = readStat(pid)
    total.user += (stat?.userTicks ?? 0) / TICKS_PER_SECOND
    total.system += (stat?.systemTicks ?? 0) / TICKS_PER_SECOND
  }
  return total
}

/** Resident memory of the processes in bytes (VmRSS); pages that they share count once for each. */
export function residentBytes(pids: readonly number[]): number {
  let kibibytes = 0
  for (const pid of pids) kibibytes += Number(/^VmRSS:\s+(\d+) kB/m.exec(readProcFile(pid, 'status') ?? '')?.[1] ?? 0)
  return kibibytes * 1024
}

/** Processors that this process may run on, from /proc/self/status; with taskset or cpuset these are fewer than the machine has. */
export function allowedProcessors(): number[] {
  const list = /^Cpus_allowed_list:\s+(\S+)/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '0'
  return list.split(',').flatMap(range => {
    const [first = 0, last = first] = range.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, index) => first + index)
  })
}
