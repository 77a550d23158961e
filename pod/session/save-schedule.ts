import { errorText } from '../../lib/errors.ts'
import type { Logger } from '../../lib/log.ts'
import { StaleEpochError } from '../backup/errors.ts'

const FIRST_RETRY_MS = 250
const MAX_RETRY_MS = 10_000
/** A file that is written all the time must not be read all the time. */
const UNSTABLE_RETRY_MS = 2_000

/** What a schedule needs: the save itself, and whom to tell that another owner has written. */
export interface SaveScheduleOptions {
  /** Makes a backup of the session as it stands. `again`: something would not hold still, and another one is wanted soon. */
  readonly save: () => Promise<{ again: boolean }>
  /** From a change to the start of its save; later changes within it share the save. */
  readonly delayMs: number
  /** How long a save may wait at most, now: what was answered must be saved before the lease is over. */
  readonly leftMs: () => number
  /** Called once when the store holds a higher epoch. */
  readonly onStale: (error: StaleEpochError) => void
  readonly log: Logger
}

/**
 * When a session is backed up: at most one save at a time, a change is saved within `delayMs` (sooner where the lease is about to end) plus the time of a save,
 * and a failed save is tried again, slower and slower, as long as the session lives.
 */
export class SaveSchedule {
  readonly #options: SaveScheduleOptions
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> | null = null
  #next: Promise<void> | null = null
  #isDirty = false
  #failures = 0
  #isClosed = false

  constructor(options: SaveScheduleOptions) {
    this.#options = options
  }

  /** True where something has changed that no finished save holds. */
  get isDirty(): boolean {
    return this.#isDirty || this.#running !== null
  }

  /** Says that the session's files have changed. */
  markDirty(): void {
    this.#isDirty = true
    if (this.#timer === undefined && !this.#isClosed) this.#arm(Math.min(this.#options.delayMs, this.#options.leftMs()))
  }

  /** Saves now. Resolves when a save that began after this call is in the store; rejects with that save's error. Callers that wait together share one save. */
  saveNow(): Promise<void> {
    if (this.#running === null) return this.#start()
    this.#next ??= this.#running.then(
      () => this.#startNext(),
      () => this.#startNext()
    )
    return this.#next
  }

  /** Begins no save any more and resolves when a running one has ended. Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    await this.#running?.catch(() => undefined)
  }

  #startNext(): Promise<void> {
    this.#next = null
    return this.#start()
  }

  #arm(delayMs: number): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      // The failure is logged, and the retry armed, where the save ends.
      this.saveNow().catch(() => undefined)
    }, delayMs)
  }

  #start(): Promise<void> {
    if (this.#isClosed) return Promise.reject(new Error('the session has ended'))
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#isDirty = false
    this.#running = this.#run().finally(() => {
      this.#running = null
    })
    return this.#running
  }

  async #run(): Promise<void> {
    try {
      const { again } = await this.#options.save()
      this.#failures = 0
      if (again && this.#timer === undefined && !this.#isClosed) this.#arm(UNSTABLE_RETRY_MS)
    } catch (error) {
      this.#failed(error)
      throw error
    }
  }

  #failed(error: unknown): void {
    this.#isDirty = true
    if (this.#isClosed) return
    if (error instanceof StaleEpochError) {
      this.#isClosed = true
      this.#options.onStale(error)
      return
    }
    const retryMs = Math.min(FIRST_RETRY_MS * 2 ** this.#failures, MAX_RETRY_MS)
    this.#failures += 1
    this.#options.log.error({ reason: errorText(error), retryMs }, 'backup failed')
    if (this.#timer === undefined) this.#arm(retryMs)
  }
}
