import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, truncateSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { processTree } from './process-stat.ts'

const START_DEADLINE_MS = 10_000
const STOP_DEADLINE_MS = 3_000
const POLL_MS = 25

/** How a child is started. */
export interface ChildOptions {
  /** Names its output files and shows up in errors. */
  name: string
  command: readonly string[]
  /** Processor that it is pinned to. */
  processor: number
  /** Where its output files go. */
  directory: string
  env?: NodeJS.ProcessEnv
}

/** A pinned child process whose output goes to files, so that reading it costs no processor time while something is measured. */
export class Child {
  readonly name: string
  readonly command: readonly string[]
  readonly #process: ChildProcess
  readonly #outputFiles: readonly string[]
  #spawnError: Error | null = null

  /** Starts the process. It gets SIGTERM from the kernel should the benchmark be killed without a chance to clean up. */
  constructor(options: ChildOptions) {
    this.name = options.name
    this.command = options.command
    const path = `${options.directory}/${options.name}`
    this.#outputFiles = [`${path}.out`, `${path}.err`]
    const out = openSync(`${path}.out`, 'a')
    const err = openSync(`${path}.err`, 'a')
    const pinning = ['--pdeathsig', 'TERM', 'taskset', '-c', String(options.processor)]
    this.#process = spawn('setpriv', [...pinning, ...options.command], {
      stdio: ['ignore', out, err],
      env: { ...process.env, ...options.env }
    })
    closeSync(out)
    closeSync(err)
    this.#process.on('error', error => (this.#spawnError = error))
  }

  /** Pid of the command itself, because setpriv and taskset replace themselves by it. */
  get pid(): number {
    if (this.#process.pid === undefined)
      throw new Error(`${this.name} could not be started`, { cause: this.#spawnError })
    return this.#process.pid
  }

  get running(): boolean {
    return this.#process.pid !== undefined && this.#process.exitCode === null && this.#process.signalCode === null
  }

  /** Its pid and those of its descendants. */
  pids(): number[] {
    return processTree(this.pid)
  }

  /** Everything that it has written, standard output first. */
  output(): string {
    return this.#outputFiles.map(path => readFileSync(path, 'utf8')).join('')
  }

  /** Empties the output files, which access logs would let grow without bound. */
  discardOutput(): void {
    for (const path of this.#outputFiles) truncateSync(path)
  }

  /** Throws with the end of the output if it has ended by itself. */
  assertRunning(): void {
    if (this.running) return
    const how = this.#spawnError?.message ?? `code ${this.#process.exitCode}, signal ${this.#process.signalCode}`
    throw new Error(`${this.name} ended (${how}): ${this.command.join(' ')}\n${this.output().slice(-2000)}`)
  }

  /** Waits until the check gives something other than null; throws when the child ends or 10 s have passed. */
  async until<Result>(check: () => Result | null | Promise<Result | null>): Promise<Result> {
    const deadline = performance.now() + START_DEADLINE_MS
    while (performance.now() < deadline) {
      this.assertRunning()
      const result = await check()
      if (result !== null) return result
      await delay(POLL_MS)
    }
    throw new Error(`${this.name} is not ready after ${START_DEADLINE_MS} ms:\n${this.output().slice(-2000)}`)
  }

  /** Waits for its own end and gives its output; throws when it fails or takes longer. */
  async finished(deadlineMs: number): Promise<string> {
    const signal = AbortSignal.timeout(deadlineMs)
    if (this.running) await once(this.#process, 'exit', { signal })
    if (this.#process.exitCode !== 0) this.assertRunning()
    return this.output()
  }

  /** Kills it at once, and whatever it started. */
  kill(): void {
    if (!this.running) return
    for (const pid of this.pids()) killPid(pid)
  }

  /** Ends it: SIGTERM, then SIGKILL for it and its descendants after 3 s. Idempotent. */
  async stop(): Promise<void> {
    if (!this.running) return
    const exited = once(this.#process, 'exit')
    const descendants = this.pids()
    this.#process.kill('SIGTERM')
    const timer = setTimeout(() => this.kill(), STOP_DEADLINE_MS)
    await exited
    clearTimeout(timer)
    for (const pid of descendants.slice(1)) killPid(pid)
  }
}

function killPid(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    // It ended first, which is what was wanted.
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return
    throw error
  }
}
