import { existsSync, readFileSync } from 'node:fs'
import type { Finding } from './finding.ts'

const OLDEST_NODE = 24
// Two descriptors per proxied connection, and some thousand connections are an ordinary day.
const ENOUGH_FILES = 16_384

/** The Node that runs this command, which is the one that gateway and pods would run on. */
export function nodeFinding(): Finding {
  const found = `${process.version} at ${process.execPath}`
  if (Number(process.versions.node.split('.')[0]) >= OLDEST_NODE) return { check: 'Node', result: 'ok', found }
  return { check: 'Node', result: 'fail', found, fix: `install Node ${OLDEST_NODE} or later` }
}

/** The soft limit of open files; each client connection takes two. */
export function openFilesFinding(): Finding {
  const check = 'open files'
  const limit = readIfThere('/proc/self/limits')
    ?.split('\n')
    .find(line => line.startsWith('Max open files'))
  const soft = limit?.split(/\s{2,}/)[1]
  if (soft === undefined) return { check, result: 'info', found: 'unknown on this system' }
  const enough = soft === 'unlimited' || Number(soft) >= ENOUGH_FILES
  return enough
    ? { check, result: 'ok', found: soft }
    : { check, result: 'warn', found: soft, fix: `ulimit -n ${ENOUGH_FILES}, or LimitNOFILE= of the service` }
}

/** Whether /proc is there: the pod looks into it to find and end the processes of a session. */
export function procFinding(): Finding {
  if (existsSync('/proc/self/stat')) return { check: '/proc', result: 'ok', found: 'mounted' }
  return {
    check: '/proc',
    result: 'warn',
    found: 'not mounted',
    fix: 'mount -t proc proc /proc; pods need it on Linux'
  }
}

/** Whether cgroup v2 is there, for the confinement of commands; not needed to route sessions. */
export function cgroupFinding(): Finding {
  const controllers = readIfThere('/sys/fs/cgroup/cgroup.controllers')
  return controllers === undefined
    ? { check: 'cgroup v2', result: 'info', found: 'not there; not needed without confinement' }
    : { check: 'cgroup v2', result: 'info', found: controllers.trim() || 'no controllers' }
}

/** Whether the kernel describes its types (BTF), which portable eBPF programs need; not needed to route sessions. */
export function bpfFinding(): Finding {
  const found = existsSync('/sys/kernel/btf/vmlinux')
    ? 'kernel types (BTF) are there'
    : 'no kernel types (BTF); not needed without confinement'
  return { check: 'eBPF', result: 'info', found }
}

function readIfThere(file: string): string | undefined {
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined
}
