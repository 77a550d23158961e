import { spawn } from 'node:child_process'
import type { ChildProcessByStdio } from 'node:child_process'
import { constants } from 'node:os'
import { Readable } from 'node:stream'
import { errorText } from '../../../lib/errors.ts'
import type { CommandExit, CommandRunner, CommandSpec, RunningCommand } from './command-runner.ts'
import { sweepMarked } from './strays.ts'

/** Runs commands as plain child processes of the pod, each the leader of its own process group and session; confines nothing. */
export const plainRunner: CommandRunner = { start, sweep: sweepMarked }

type Child = ChildProcessByStdio<null, Readable, Readable>

function start(spec: CommandSpec): RunningCommand {
  const [program, ...rest] = spec.argv
  if (program === undefined || program === '') return notStarted('the command is empty')
  try {
    const child = spawn(program, rest, {
      cwd: spec.directory,
      env: { ...spec.env },
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe']
    })
    return running(child, program)
  } catch (error) {
    // Node throws some failures (an argument with a NUL, too long a list) and emits the others.
    return notStarted(`cannot start ${program}: ${errorText(error)}`)
  }
}

function running(child: Child, program: string): RunningCommand {
  let over = false
  const kill = (): void => {
    if (!over) killGroup(child.pid)
  }
  const exited = new Promise<CommandExit>(resolve => {
    child.once('error', error => {
      over = child.pid === undefined
      resolve({ kind: 'not-started', reason: startFailure(program, error) })
    })
    child.once('exit', (code, signal) => {
      // The leader is gone; its group lives on as long as it has members, and must not outlive the command.
      kill()
      over = true
      resolve(
        signal === null
          ? { kind: 'exited', code: code ?? 0 }
          : { kind: 'signaled', signal, signalNumber: constants.signals[signal] }
      )
    })
  })
  return { stdout: child.stdout, stderr: child.stderr, exited, kill }
}

function startFailure(program: string, error: Error): string {
  const code = 'code' in error ? error.code : ''
  if (code === 'ENOENT') return `cannot start ${program}: no such program`
  if (code === 'EACCES') return `cannot start ${program}: permission denied`
  return `cannot start ${program}: ${errorText(error)}`
}

function notStarted(reason: string): RunningCommand {
  return {
    stdout: Readable.from([]),
    stderr: Readable.from([]),
    exited: Promise.resolve({ kind: 'not-started', reason }),
    kill: () => undefined
  }
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    // ESRCH: nobody is left in the group, which is what was wanted.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}
