import { errorText } from '../../lib/errors.ts'
import { RedisConnection } from '../../lib/redis-connection.ts'
import { parseChange } from '../../lib/registry-schema.ts'
import type { Logger } from '../../lib/log.ts'
import type { Change } from '../../lib/registry-schema.ts'

/** What a change feed needs. */
export interface ChangeFeedOptions {
  readonly redisUrl: string
  readonly channel: string
  readonly onChange: (change: Change) => void
  /** Changes may have been missed: everything cached is to be verified. */
  readonly onMissed: () => void
  readonly log: Logger
}

/** Subscribes to the registry's changes, again after every loss of the connection. Knows by their numbers when some were missed. */
export class ChangeFeed {
  readonly #options: ChangeFeedOptions
  readonly #connection: RedisConnection
  /** Number of the last change; -1: not known since the subscription began. */
  #sequence = -1
  #expected = -1
  #subscribed = false

  constructor(options: ChangeFeedOptions) {
    this.#options = options
    const { redisUrl: url, log } = options
    this.#connection = new RedisConnection({ url, name: 'fairlead-feed', log })
    this.#connection.on('up', () => void this.#subscribe())
    this.#connection.on('down', () => {
      this.#subscribed = false
    })
    this.#connection.client.on('message', (_channel: string, message: string) => this.#receive(message))
  }

  start(): void {
    this.#connection.start()
  }

  close(): void {
    this.#connection.close()
  }

  /**
   * The registry says that so many changes were made so far. Where the feed has not come to what was said the time before,
   * its connection is dead without knowing it, and begins anew.
   */
  expect(sequence: number): void {
    if (!this.#subscribed) return
    if (this.#sequence < 0) this.#sequence = sequence
    const late = this.#sequence < Math.min(this.#expected, sequence)
    this.#expected = late ? -1 : sequence
    if (late) this.#connection.reset()
  }

  async #subscribe(): Promise<void> {
    this.#sequence = -1
    this.#expected = -1
    try {
      await this.#connection.client.subscribe(this.#options.channel)
      this.#subscribed = true
      this.#options.onMissed()
    } catch (error) {
      this.#options.log.warn({ problem: errorText(error) }, 'cannot subscribe to changes of the registry')
      this.#connection.reset()
    }
  }

  #receive(message: string): void {
    const { value: change, problem } = parseChange(message)
    if (change === null) {
      this.#options.log.debug({ problem }, 'change of the registry ignored')
      return
    }
    const { sequence } = change
    const missed = this.#sequence >= 0 && sequence > this.#sequence + 1
    this.#sequence = sequence
    this.#options.onChange(change)
    if (missed) this.#options.onMissed()
  }
}
