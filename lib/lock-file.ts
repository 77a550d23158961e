import { readFile, rm, writeFile } from 'node:fs/promises'
import { FairleadError } from './errors.ts'

const MAX_ATTEMPTS = 3

/**
 * Takes a lock file for this process, or throws (code `config`) where a process that still lives, frozen perhaps, has it.
 * A lock whose process has died counts for nothing. Holds within one machine (one PID namespace), which is as far as it is needed.
 * `option` is what a person gave the place by, for the message. The caller calls the returned function once, to give it back.
 */
export async function lockFile(path: string, option: string): Promise<() => Promise<void>> {
  const mine = await processIdentity(process.pid)
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
    if (await create(path, mine)) return () => rm(path, { force: true })
    const holder = await readFile(path, 'utf8').catch(() => '')
    const pid = Number(holder.split(' ', 1)[0])
    if (pid > 0 && (await processIdentity(pid)) === holder) {
      throw new FairleadError('config', `${option}: ${path} says that process ${pid} uses it; one at a time`)
    }
    await rm(path, { force: true })
  }
  throw new FairleadError('config', `${option}: cannot take the lock ${path}`)
}

async function create(path: string, content: string): Promise<boolean> {
  try {
    await writeFile(path, content, { flag: 'wx', mode: 0o600 })
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
    throw error
  }
}

/** `pid start-time`, which no two processes of one machine's run share; empty for a process that is not there, or dead and not waited for. */
async function processIdentity(pid: number): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '')
  // Fields 3 and 22, counted behind the name, which may hold blanks and brackets (proc_pid_stat(5)).
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const [state, start = ''] = [fields[0], fields[19]]
  return start === '' || state === 'Z' || state === 'X' ? '' : `${pid} ${start}`
}
