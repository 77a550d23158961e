import { RegistryUnavailableError } from '../../lib/registry-errors.ts'
import type { RegistryClient } from '../../lib/registry-client.ts'
import type { Logger } from '../../lib/log.ts'
import type { MemberTable } from './member-table.ts'
import type { Trust } from './trust.ts'

/** What a refresher works with. */
export interface RefresherOptions {
  readonly client: RegistryClient
  readonly members: MemberTable
  readonly trust: Trust
  readonly periodMs: number
  /** The registry's data are another generation. */
  readonly onNewGeneration: () => void
  /** A refresh succeeded; so many changes were made so far. */
  readonly onRefreshed: (sequence: number) => void
  readonly log: Logger
}

/** Reads generation and members every `periodMs`: what expires is not announced. */
export class Refresher {
  readonly #options: RefresherOptions
  #timer: NodeJS.Timeout | undefined
  #flight: Promise<boolean> | null = null
  #closed = false

  constructor(options: RefresherOptions) {
    this.#options = options
  }

  /** Begins to refresh every period. */
  start(): void {
    if (this.#closed) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.refresh().finally(() => this.start()), this.#options.periodMs)
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
  }

  /** Refreshes now, or joins the refresh that runs. False where the registry could not be asked. Never rejects. */
  refresh(): Promise<boolean> {
    this.#flight ??= this.#refresh().finally(() => {
      this.#flight = null
    })
    return this.#flight
  }

  async #refresh(): Promise<boolean> {
    const { client, members, trust, onNewGeneration, onRefreshed, log } = this.#options
    try {
      const startedAtMs = performance.now()
      const { generation, sequence, memberIds } = await client.overview()
      if (trust.note(generation)) onNewGeneration()
      const readings = await client.readMembers(memberIds)
      members.apply(readings, { startedAtMs, believeMissing: !trust.leasesDoubted })
      onRefreshed(sequence)
      return true
    } catch (error) {
      if (!(error instanceof RegistryUnavailableError)) log.error({ err: error }, 'refresh of members failed')
      return false
    }
  }
}
