import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { FairleadError, errorText } from '../../lib/errors.ts'
import type { Fields } from '../fields.ts'
import type { ChildOutput } from './child-output.ts'

const FIRST_RESTART_MS = 1000
const LONGEST_RESTART_MS = 10_000
// A child that was up for this long counts as healthy: its next death is waited for as briefly as its first.
const HEALTHY_MS = 30_000
const START_TIMEOUT_MS = 30_000

/** How to run one child and how to know that it is ready. */
export interface ChildSpec {
  name: string
  output: ChildOutput
  spawn: () => ChildProcess
  /** Resolves with what the child says of itself; is aborted when the child dies or takes too long. */
  whenReady: (child: ChildProcess, signal: AbortSignal) => Promise<Fields>
  onEvent: (event: ChildEvent) => void
}

/** What happened to a child after it had been ready once. */
export type ChildEvent =
  | { event: 'died'; name: string; pid: number | undefined; how: string; restartInMs: number }
  | { event: 'back'; name: string; pid: number | undefined; facts: Fields }

/** A child process that is started again when it dies, until it is stopped. */
export class SupervisedChild {
  readonly #spec: ChildSpec
  readonly #stopping = new AbortController()
  #child: ChildProcess | undefined
  #exited: Promise<string> = Promise.resolve('')
  #watching: Promise<void> = Promise.resolve()
  #facts: Fields = {}

  constructor(spec: ChildSpec) {
    this.#spec = spec
  }

  get name(): string {
    return this.#spec.name
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** What the child said when it became ready: url and so on. */
  get facts(): Fields {
    return this.#facts
  }

  /** Starts the child for the first time; rejects with code `child-start` and the child's last words when it does not become ready. */
  async start(): Promise<void> {
    await this.#startOnce()
    this.#watching = this.#keepAlive()
  }

  /** Asks the child to end, waits for at most `graceMs`, then kills it. Idempotent; never rejects. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping.abort()
    this.#child?.kill('SIGTERM')
    const timer = setTimeout(() => this.#child?.kill('SIGKILL'), graceMs)
    await this.#exited
    clearTimeout(timer)
    await this.#watching
    await this.#spec.output.close()
  }

  /** Kills the child without asking; for the last moment before an exit. */
  kill(): void {
    this.#stopping.abort()
    this.#child?.kill('SIGKILL')
  }

  async #startOnce(): Promise<void> {
    this.#stopping.signal.throwIfAborted()
    const child = this.#spec.spawn()
    this.#child = child
    this.#spec.output.read(child)
    this.#exited = exitOf(child)
    const ended = new AbortController()
    const death = this.#exited.then(how => {
      ended.abort()
      throw new FairleadError('child-start', `${this.name} did not start (${how})\n${this.#spec.output.lastWords}`)
    })
    const signal = AbortSignal.any([ended.signal, AbortSignal.timeout(START_TIMEOUT_MS)])
    try {
      this.#facts = await Promise.race([this.#spec.whenReady(child, signal), death])
    } catch (error) {
      child.kill('SIGKILL')
      await this.#exited
      // Whichever rejected first, the death explains more than an aborted wait.
      await death.catch((reason: unknown) => {
        throw signal.aborted && ended.signal.aborted ? reason : error
      })
    }
    // From here on a death is the watcher's business.
    death.catch(() => undefined)
  }

  async #keepAlive(): Promise<void> {
    let waitMs = FIRST_RESTART_MS
    while (!this.#stopping.signal.aborted) {
      const startedAt = performance.now()
      const { pid } = this
      const how = await this.#exited
      if (this.#stopping.signal.aborted) return
      if (performance.now() - startedAt > HEALTHY_MS) waitMs = FIRST_RESTART_MS
      waitMs = await this.#restart(pid, how, waitMs)
    }
  }

  // Returns how long to wait before the restart after this one.
  async #restart(pid: number | undefined, how: string, waitMs: number): Promise<number> {
    const { name, onEvent } = this.#spec
    onEvent({ event: 'died', name, pid, how, restartInMs: waitMs })
    await delay(waitMs, undefined, { signal: this.#stopping.signal }).catch(ignoreAbort)
    if (this.#stopping.signal.aborted) return waitMs
    try {
      await this.#startOnce()
      onEvent({ event: 'back', name, pid: this.pid, facts: this.#facts })
    } catch (error) {
      process.stderr.write(`${name}  ${errorText(error)}\n`)
    }
    return Math.min(waitMs * 2, LONGEST_RESTART_MS)
  }
}

async function exitOf(child: ChildProcess): Promise<string> {
  if (child.pid === undefined) {
    const [error] = await once(child, 'error')
    return `cannot be run: ${errorText(error)}`
  }
  const { promise, resolve } = Promise.withResolvers<string>()
  child.once('exit', (code, signal) => resolve(signal === null ? `exit code ${code}` : signal))
  // A failed kill or send also comes as 'error'; the exit tells what matters.
  child.on('error', error => process.stderr.write(`child ${child.pid}: ${error.message}\n`))
  return promise
}

function ignoreAbort(error: unknown): void {
  if (!(error instanceof Error) || error.name !== 'AbortError') throw error
}
