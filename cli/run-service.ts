import { errorText } from '../lib/errors.ts'
import { createLog } from '../lib/log.ts'
import type { Logger, LogLevel } from '../lib/log.ts'
import { onParentGone, onStopSignal } from './stop-signals.ts'

/** What `startGateway` and `startPod` return: something that runs until it is closed. */
export interface Service {
  /** Drains and ends; idempotent. */
  close(): Promise<void>
}

// How long a child that lost its parent may take to say goodbye; nobody waits for it any more.
const ORPHAN_GRACE_MS = 3000

/**
 * Runs a service until a signal ends it: the first one drains and then exits with 0, the second one exits at once.
 * A child of `fairlead dev` also tells its parent when it is ready, and ends when the parent is gone.
 * `facts` says what the parent should know. Rejects when the service does not start.
 */
export async function runService<S extends Service>(
  name: string,
  options: { logLevel: LogLevel; start: () => Promise<S>; facts: (service: S) => object }
): Promise<void> {
  const log = createLog(name, { level: options.logLevel })
  const stopping = new StopOnSignal(log)
  const service = await options.start()
  stopping.attach(service)
  process.send?.({ ready: true, ...options.facts(service) })
}

/** Turns signals and the loss of the parent into one close; signals that arrive before there is a service are kept for it. */
class StopOnSignal {
  readonly #log: Logger
  #service: Service | undefined
  #stopping = false

  constructor(log: Logger) {
    this.#log = log
    onStopSignal((signal, count) => this.#onSignal(signal, count))
    onParentGone(() => this.#onOrphaned())
  }

  attach(service: Service): void {
    this.#service = service
    if (this.#stopping) void this.#close()
  }

  #onSignal(signal: string, count: number): void {
    if (count > 1) this.#exit(1, `${signal}: a second signal ends it at once`)
    this.#stopping = true
    this.#log.info({ signal }, 'draining')
    void this.#close()
  }

  #onOrphaned(): void {
    if (this.#stopping) return
    this.#stopping = true
    setTimeout(() => this.#exit(1, 'parent is gone'), ORPHAN_GRACE_MS)
    void this.#close()
  }

  async #close(): Promise<void> {
    if (this.#service === undefined) return
    try {
      await this.#service.close()
      process.exit(0)
    } catch (error) {
      this.#log.error({ err: error }, 'drain failed')
      this.#exit(1, errorText(error))
    }
  }

  #exit(code: number, reason: string): never {
    this.#log.warn({ reason }, 'exiting')
    process.exit(code)
  }
}
