import { fork } from 'node:child_process'
import { FairleadError } from '../../lib/errors.ts'
import { RegistryUnavailableError } from '../../lib/registry-errors.ts'
import { isMessage } from './messages.ts'
import type { ChildProcess } from 'node:child_process'
import type { GatewayConfig } from '../config.ts'
import type { Answers, PrimaryMessage, Question, WorkerMessage } from './messages.ts'

/** A worker that is asked and does not answer is stuck. */
const ANSWER_TIMEOUT_MS = 5_000
const START_TIMEOUT_MS = 30_000
const EXTENSION = import.meta.filename.endsWith('.ts') ? '.ts' : '.js'
const ENTRY = new URL(`worker${EXTENSION}`, import.meta.url)

interface Waiting {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
}

/** One worker: a child process that serves the shared port. */
export class WorkerProcess {
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, Waiting>()
  readonly #ready = Promise.withResolvers<number>()
  readonly #exited = Promise.withResolvers<void>()
  #questions = 0

  /** Spawns it; `onExit` is called once when it is gone, whatever the reason. */
  constructor(options: { config: GatewayConfig; port: number; onExit: (reason: string) => void }) {
    this.#child = fork(ENTRY, { serialization: 'advanced' })
    this.#child.on('message', message => this.#receive(message))
    this.#child.on('error', error => this.#ready.reject(error))
    this.#child.once('exit', (code, signal) => {
      this.#gone()
      options.onExit(signal ?? `exit code ${code}`)
    })
    this.#send({ kind: 'start', config: options.config, port: options.port })
  }

  /** Process id; undefined where the process could not be started. */
  get pid(): number | undefined {
    return this.#child.pid
  }

  /** Settles when it listens, with the port; rejects where it cannot, and ends it then. */
  async ready(): Promise<number> {
    const timer = setTimeout(() => this.#ready.reject(new Error('the worker did not start in time')), START_TIMEOUT_MS)
    try {
      return await this.#ready.promise
    } catch (error) {
      this.kill()
      throw error
    } finally {
      clearTimeout(timer)
    }
  }

  /** Asks; rejects where it is gone, does not answer within five seconds or answers with an error. */
  async ask<Q extends Question>(question: Q): Promise<Answers[Q['what']]> {
    const number = ++this.#questions
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    const timer = setTimeout(() => reject(new Error('the worker does not answer')), ANSWER_TIMEOUT_MS)
    this.#waiting.set(number, { resolve, reject })
    try {
      this.#send({ kind: 'ask', number, question })
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the other end of the channel is this program, which answers what it was asked
      return (await promise) as Answers[Q['what']]
    } finally {
      clearTimeout(timer)
      this.#waiting.delete(number)
    }
  }

  /** Has it drain and end; kills it where that takes longer than `deadlineMs`. */
  async close(deadlineMs: number): Promise<void> {
    this.#send({ kind: 'close' })
    const timer = setTimeout(() => this.kill(), deadlineMs)
    await this.#exited.promise
    clearTimeout(timer)
  }

  /** Ends it at once. */
  kill(): void {
    this.#child.kill('SIGKILL')
  }

  #send(message: PrimaryMessage): void {
    // A worker that is going away closes its channel first; its exit says the rest.
    if (this.#child.connected) this.#child.send(message, () => undefined)
  }

  #receive(message: unknown): void {
    if (!isMessage<WorkerMessage>(message, ['ready', 'failed', 'answer', 'refusal'])) return
    if (message.kind === 'ready') this.#ready.resolve(message.port)
    else if (message.kind === 'failed') this.#ready.reject(new FairleadError('worker-failed', message.message))
    else if (message.kind === 'answer') this.#waiting.get(message.number)?.resolve(message.value)
    else this.#waiting.get(message.number)?.reject(refusalError(message.code))
  }

  #gone(): void {
    const error = new Error('the worker is gone')
    this.#ready.reject(error)
    // Nobody may be waiting for it any more.
    this.#ready.promise.catch(() => undefined)
    for (const { reject } of this.#waiting.values()) reject(error)
    this.#exited.resolve()
  }
}

function refusalError(code: string): Error {
  return code === 'registry-unavailable'
    ? new RegistryUnavailableError('a worker could not ask it')
    : new FairleadError(code, `a worker could not answer: ${code}`)
}
