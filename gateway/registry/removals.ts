import { RegistryUnavailableError } from '../../lib/registry-errors.ts'
import type { RegistryClient } from '../../lib/registry-client.ts'

/** A session that is to be removed; `createdAt` 0: whichever has that id and epoch. */
export interface Removal {
  readonly id: string
  readonly epoch: number
  readonly createdAt: number
}

/** Most removals that wait. */
const MAX_WAITING = 10_000

/**
 * Removals of claims that came to nothing. One that fails because the registry is away is done when it is back,
 * so that no session is left behind that nobody was told of.
 */
export class Removals {
  readonly #client: RegistryClient
  #waiting: Removal[] = []

  constructor(client: RegistryClient) {
    this.#client = client
  }

  /** Removes now, or later where the registry is away. */
  async remove(removal: Removal): Promise<void> {
    try {
      await this.#client.remove(removal)
    } catch (error) {
      if (!(error instanceof RegistryUnavailableError)) throw error
      this.defer(removal)
    }
  }

  /** Removes when `retry` is called next. */
  defer(removal: Removal): void {
    if (this.#waiting.length < MAX_WAITING) this.#waiting.push(removal)
  }

  /** Does what waits; to be called when the registry is back. */
  async retry(): Promise<void> {
    const due = this.#waiting
    this.#waiting = []
    for (const removal of due) await this.remove(removal)
  }
}
