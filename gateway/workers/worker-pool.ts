import { AggregatorRegistry, Counter, Gauge, Registry as PromRegistry } from 'prom-client'
import { RegistryUnavailableError } from '../../lib/registry-errors.ts'
import { restartDelay } from './restart-delay.ts'
import { WorkerProcess } from './worker-process.ts'
import type { Logger } from '../../lib/log.ts'
import type { AdminSource, MemberView, Readiness, SessionPage } from '../admin/admin-source.ts'
import type { GatewayConfig } from '../config.ts'
import type { Answers, Question } from './messages.ts'

/** What a worker may take for its drain beyond the time for requests. */
const CLOSE_SLACK_MS = 5_000

interface Slot {
  worker: WorkerProcess | null
  startedAtMs: number
  crashes: number
  timer: NodeJS.Timeout | null
}

/** Keeps the workers running: all of them on one port, each with its own routing table. A worker that crashes is started again, later each time. */
export class WorkerPool implements AdminSource {
  readonly #config: GatewayConfig
  readonly #log: Logger
  readonly #slots: Slot[]
  readonly #prom = new PromRegistry()
  readonly #restarts: Counter
  #port: number
  #closing = false

  constructor(options: { config: GatewayConfig; log: Logger }) {
    this.#config = options.config
    this.#log = options.log
    this.#port = options.config.port
    this.#slots = Array.from({ length: options.config.workers }, () => ({
      worker: null,
      startedAtMs: 0,
      crashes: 0,
      timer: null
    }))
    this.#restarts = new Counter({
      name: 'fairlead_gateway_worker_restarts_total',
      help: 'Workers that were started again after a crash',
      registers: [this.#prom]
    })
    const running = () => this.#running().length
    const workers = new Gauge({
      name: 'fairlead_gateway_workers',
      help: 'Worker processes that run',
      registers: [],
      collect() {
        this.set(running())
      }
    })
    this.#prom.registerMetric(workers)
  }

  /** Process ids of the workers that run. */
  get pids(): readonly number[] {
    return this.#running().flatMap(({ pid }) => (pid === undefined ? [] : [pid]))
  }

  /** Starts all workers and answers the port. The first one chooses it where the config leaves it open. Rejects where one cannot start; none is left behind then. */
  async start(): Promise<number> {
    const [first, ...others] = this.#slots
    try {
      if (first !== undefined) this.#port = await this.#spawn(first).ready()
      await Promise.all(others.map(slot => this.#spawn(slot).ready()))
    } catch (error) {
      await this.close()
      throw error
    }
    return this.#port
  }

  /** Drains all workers; idempotent. */
  async close(): Promise<void> {
    this.#closing = true
    for (const { timer } of this.#slots) if (timer !== null) clearTimeout(timer)
    const { drainDelayMs, shutdownTimeoutMs } = this.#config
    const deadlineMs = drainDelayMs + shutdownTimeoutMs + CLOSE_SLACK_MS
    await Promise.all(this.#running().map(worker => worker.close(deadlineMs)))
  }

  /** Ready when every worker that answers is; a port is shared, so one that is not would get clients too. */
  async readiness(): Promise<Readiness> {
    if (this.#closing) return 'draining'
    const all = await this.#askAll({ what: 'readiness' })
    return all.length > 0 && all.every(readiness => readiness === 'ready') ? 'ready' : 'starting'
  }

  async metrics(): Promise<string> {
    const all = await this.#askAll({ what: 'metrics' })
    const own: object[] = await this.#prom.getMetricsAsJSON()
    const arrays: object[] = [...all, own]
    return await AggregatorRegistry.aggregate(arrays).metrics()
  }

  members(): Promise<readonly MemberView[]> {
    return this.#askOne({ what: 'members' })
  }

  sessions(options: { cursor?: string; limit: number }): Promise<SessionPage> {
    return this.#askOne({ what: 'sessions', ...options })
  }

  #running(): WorkerProcess[] {
    return this.#slots.flatMap(({ worker }) => (worker === null ? [] : [worker]))
  }

  #spawn(slot: Slot): WorkerProcess {
    slot.startedAtMs = performance.now()
    const onExit = (reason: string) => this.#exited(slot, reason)
    slot.worker = new WorkerProcess({ config: this.#config, port: this.#port, onExit })
    return slot.worker
  }

  #exited(slot: Slot, reason: string): void {
    slot.worker = null
    if (this.#closing) return
    const ranMs = performance.now() - slot.startedAtMs
    const { delayMs, crashes } = restartDelay({ ranMs, crashesBefore: slot.crashes })
    slot.crashes = crashes
    this.#log.error({ reason, crashes, delayMs }, 'a worker ended; it is started again')
    this.#restarts.inc()
    slot.timer = setTimeout(() => this.#restart(slot), delayMs)
  }

  #restart(slot: Slot): void {
    slot.timer = null
    this.#spawn(slot)
      .ready()
      .catch((error: unknown) => this.#log.error({ err: error }, 'a worker did not start'))
  }

  async #askAll<Q extends Question>(question: Q): Promise<Answers[Q['what']][]> {
    const settled = await Promise.allSettled(this.#running().map(worker => worker.ask(question)))
    return settled.flatMap(result => (result.status === 'fulfilled' ? [result.value] : []))
  }

  async #askOne<Q extends Question>(question: Q): Promise<Answers[Q['what']]> {
    const [worker] = this.#running()
    if (worker === undefined) throw new RegistryUnavailableError('no worker runs')
    return await worker.ask(question)
  }
}
