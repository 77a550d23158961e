import type { Readable } from 'node:stream'
import { formatBytes, formatDuration } from '../../../lib/units.ts'
import type { CommandExit, CommandRunner, CommandSpec, RunningCommand } from './command-runner.ts'

/** Exit code of a command that ran into its time limit, as coreutils `timeout` has it. */
export const TIME_LIMIT_EXIT_CODE = 124

/** Exit code of a command that could not start, as agent-sandbox has it. */
export const NOT_STARTED_EXIT_CODE = 1

const SIGKILL_EXIT_CODE = 137
/** How long output may stay silent after the exit while somebody still holds the pipe. */
const PIPE_SILENCE_MS = 300
/** How long a killed process may take to go (it may sit in the kernel). */
const KILL_WAIT_MS = 5_000

/** Why a command ended. */
export type EndReason = 'exited' | 'signaled' | 'not-started' | 'time-limit' | 'output-limit' | 'aborted'

/** How a command ended. */
export interface CommandOutcome {
  readonly reason: EndReason
  /** 128 + signal number for a signal; 124 for the time limit. */
  readonly exitCode: number
  /** For a person: why it did not start or was ended from outside; empty where it ended by itself. */
  readonly message: string
}

/** Which output a chunk comes from. */
export type OutputName = 'stdout' | 'stderr'

/** A command to run, its limits, and who takes its output. */
export interface RunOptions {
  readonly runner: CommandRunner
  readonly spec: CommandSpec
  readonly timeoutMs: number
  /** Ends the command when both outputs together exceed it; `Infinity` for none. */
  readonly maxOutputBytes: number
  /** Ends the command at once. */
  readonly signal: AbortSignal
  /** Takes each chunk; the output is not read on before it settles. */
  readonly onOutput: (name: OutputName, chunk: Buffer) => void | Promise<void>
}

/** Runs a command to its end, whatever that is, and resolves when its process group is dead and its output delivered. Rejects only where `onOutput` does; the group is dead then too. */
export async function runCommand(options: RunOptions): Promise<CommandOutcome> {
  const command = options.runner.start(options.spec)
  const ending = new Ending(command, options)
  try {
    const pumps = Promise.all([pump('stdout', command, ending), pump('stderr', command, ending)])
    const [exit] = await Promise.all([ending.exit, pumps])
    return outcomeOf(exit, ending.cause, options)
  } finally {
    ending.close()
  }
}

type Cause = 'time-limit' | 'output-limit' | 'aborted'

/** Ends a command early for the first cause that comes up, and owns the timers for that. */
class Ending {
  readonly options: RunOptions
  readonly exit: Promise<CommandExit>
  cause: Cause | null = null
  isOver = false
  bytes = 0
  readonly #command: RunningCommand
  readonly #timer: NodeJS.Timeout
  #killTimer: NodeJS.Timeout | undefined
  #giveUp: () => void = () => undefined

  constructor(command: RunningCommand, options: RunOptions) {
    this.options = options
    this.#command = command
    this.#timer = setTimeout(() => this.end('time-limit'), options.timeoutMs)
    const gaveUp = new Promise<CommandExit>(resolve => {
      this.#giveUp = () => resolve({ kind: 'signaled', signal: 'SIGKILL', signalNumber: 9 })
    })
    this.exit = Promise.race([command.exited, gaveUp]).then(exit => {
      this.isOver = true
      return exit
    })
    options.signal.addEventListener('abort', this.#onAbort)
    if (options.signal.aborted) this.end('aborted')
  }

  readonly #onAbort = (): void => this.end('aborted')

  end(cause: Cause): void {
    if (this.cause !== null || this.isOver) return
    this.cause = cause
    this.#command.kill()
    this.#killTimer = setTimeout(this.#giveUp, KILL_WAIT_MS)
  }

  close(): void {
    clearTimeout(this.#timer)
    clearTimeout(this.#killTimer)
    this.options.signal.removeEventListener('abort', this.#onAbort)
    this.#command.kill()
  }
}

async function pump(name: OutputName, command: RunningCommand, ending: Ending): Promise<void> {
  const stream = command[name]
  const watch = new SilenceWatch(stream)
  void ending.exit.then(() => watch.start())
  try {
    for await (const chunk of stream) {
      if (Buffer.isBuffer(chunk)) await watch.during(() => take(name, chunk, ending))
    }
  } catch (error) {
    if (!watch.fired) throw error
  } finally {
    watch.close()
  }
}

async function take(name: OutputName, chunk: Buffer, ending: Ending): Promise<void> {
  ending.bytes += chunk.length
  if (ending.bytes > ending.options.maxOutputBytes) ending.end('output-limit')
  if (ending.cause === 'output-limit') return
  await ending.options.onOutput(name, chunk)
}

/** Closes an output after the exit once it has been silent for a while: a process that left its group may hold the pipe open for ever. */
class SilenceWatch {
  fired = false
  readonly #stream: Readable
  #timer: NodeJS.Timeout | undefined
  #isStarted = false
  #isBusy = false

  constructor(stream: Readable) {
    this.#stream = stream
  }

  start(): void {
    this.#isStarted = true
    this.#arm()
  }

  /** A slow reader is not silence. */
  async during(work: () => Promise<void>): Promise<void> {
    this.#isBusy = true
    clearTimeout(this.#timer)
    await work()
    this.#isBusy = false
    this.#arm()
  }

  #arm(): void {
    if (!this.#isStarted || this.#isBusy || this.#stream.readableEnded) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.fired = true
      this.#stream.destroy()
    }, PIPE_SILENCE_MS)
  }

  close(): void {
    this.#isStarted = false
    clearTimeout(this.#timer)
  }
}

function outcomeOf(exit: CommandExit, cause: Cause | null, options: RunOptions): CommandOutcome {
  if (cause !== null) return { reason: cause, ...ENDED[cause](options) }
  switch (exit.kind) {
    case 'exited':
      return { reason: 'exited', exitCode: exit.code, message: '' }
    case 'signaled':
      return { reason: 'signaled', exitCode: 128 + exit.signalNumber, message: `ended by ${exit.signal}` }
    case 'not-started':
      return { reason: 'not-started', exitCode: NOT_STARTED_EXIT_CODE, message: exit.reason }
  }
}

const ENDED: Readonly<Record<Cause, (options: RunOptions) => { exitCode: number; message: string }>> = {
  'time-limit': options => ({
    exitCode: TIME_LIMIT_EXIT_CODE,
    message: `killed: it ran longer than ${formatDuration(options.timeoutMs)}`
  }),
  'output-limit': options => ({
    exitCode: SIGKILL_EXIT_CODE,
    message: `killed: it wrote more than ${formatBytes(options.maxOutputBytes)}`
  }),
  aborted: () => ({ exitCode: SIGKILL_EXIT_CODE, message: 'killed: nobody waits for it any more' })
}
