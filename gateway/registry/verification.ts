import { RegistryUnavailableError } from '../../lib/registry-errors.ts'
import type { Peek } from '../../lib/registry-replies.ts'
import type { RegistryClient } from '../../lib/registry-client.ts'
import type { Logger } from '../../lib/log.ts'
import type { SessionEntry } from './session-entry.ts'
import type { RoutingTable } from './routing-table.ts'
import type { Trust } from './trust.ts'

/** What a verification works with. */
export interface VerificationOptions {
  readonly client: RegistryClient
  readonly routes: RoutingTable
  readonly trust: Trust
  readonly log: Logger
}

/** Routes that one round trip verifies. */
const BATCH = 200
/** Pause before what could not be verified is tried again. */
const RETRY_MS = 250

/**
 * Compares cached routes with the registry after changes may have been missed, a batch at a time. Routes serve meanwhile.
 * One that moved is dropped; one without a record is kept while pods may still have to say what they own, and dropped if nobody has said so by then.
 */
export class Verification {
  readonly #options: VerificationOptions
  #running = false
  #again = false
  #closed = false
  #timer: NodeJS.Timeout | undefined

  constructor(options: VerificationOptions) {
    this.#options = options
  }

  /** Verifies everything that is cached now; where it runs already, it runs once more afterwards. */
  start(): void {
    this.#again = true
    if (!this.#running && !this.#closed) void this.#run()
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
  }

  async #run(): Promise<void> {
    const { routes, log } = this.#options
    this.#running = true
    try {
      while (this.#again && !this.#closed) {
        this.#again = false
        clearTimeout(this.#timer)
        const unconfirmed = await this.#verify(routes.ids())
        if (unconfirmed > 0) this.#later()
      }
    } catch (error) {
      if (!(error instanceof RegistryUnavailableError)) log.error({ err: error }, 'verification of routes failed')
      this.#later()
    } finally {
      this.#running = false
    }
  }

  /** Once more: when every pod must have said what it owns, or Redis may be back. */
  #later(): void {
    if (this.#closed) return
    clearTimeout(this.#timer)
    const delayMs = this.#options.trust.recoveringLeftMs + RETRY_MS
    this.#timer = setTimeout(() => this.start(), delayMs)
  }

  /** Tells how many routes have no record and were kept. */
  async #verify(ids: readonly string[]): Promise<number> {
    const { client, routes, trust } = this.#options
    let unconfirmed = 0
    for (let at = 0; at < ids.length && !this.#closed; at += BATCH) {
      const entries = ids
        .slice(at, at + BATCH)
        .map(id => routes.peek(id))
        .filter(entry => entry !== undefined)
      const { generationId, rows } = await client.peek(entries.map(entry => entry.record.id))
      const believeMissing = generationId === trust.generationId && !trust.recovering
      for (const [index, entry] of entries.entries()) {
        if (this.#judge(entry, { found: rows[index] ?? null, believeMissing }) === 'unconfirmed') unconfirmed++
      }
    }
    return unconfirmed
  }

  #judge(entry: SessionEntry, options: { found: Peek; believeMissing: boolean }): 'kept' | 'dropped' | 'unconfirmed' {
    const { found, believeMissing } = options
    if (found === null && !believeMissing) return 'unconfirmed'
    if (found !== null && (found.epoch < entry.record.epoch || isSame(entry, found))) return 'kept'
    this.#options.routes.dropEntry(entry)
    return 'dropped'
  }
}

function isSame({ record }: SessionEntry, { epoch, owner, bootId }: NonNullable<Peek>): boolean {
  return epoch === record.epoch && owner === record.owner && bootId === record.bootId
}
