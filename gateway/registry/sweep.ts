import { RegistryUnavailableError } from '../../lib/registry-errors.ts'
import { NoMemberError, SessionGoneError } from './errors.ts'
import type { RegistryClient } from '../../lib/registry-client.ts'
import type { SessionRecord } from '../../lib/registry-schema.ts'
import type { Logger } from '../../lib/log.ts'
import type { MemberTable } from './member-table.ts'
import type { Trust } from './trust.ts'

/** What a sweep works with. */
export interface SweepOptions {
  readonly client: RegistryClient
  readonly members: MemberTable
  readonly trust: Trust
  /** Gives an orphan to a member. */
  readonly reassign: (session: OrphanedSession) => Promise<unknown>
  /** Average pause between two looks that find nothing. */
  readonly intervalMs: number
  readonly log: Logger
}

/** What is needed of an orphan to move it. Epoch 0: it has no record. */
export type OrphanedSession = Pick<SessionRecord, 'id' | 'epoch' | 'agent'>

/** Sessions that one step moves; a step takes some milliseconds of Redis's time. */
const BATCH = 128
/** Pause between two full steps. */
const BUSY_PAUSE_MS = 100

/**
 * Moves the sessions of dead members that nobody asks for, a bounded batch at a time. Any number of gateways may sweep at once: each takes
 * orphans at random, and of two that take the same one wins. Waits while the registry's silence cannot be believed.
 */
export class Sweep {
  readonly #options: SweepOptions
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(options: SweepOptions) {
    this.#options = options
  }

  /** Begins to sweep, at a random moment so that gateways started together do not sweep together. */
  start(): void {
    this.#schedule(this.#options.intervalMs)
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
  }

  /** Moves one batch. How many orphans were found; fewer than a batch means that none are left for now. Never rejects. */
  async step(): Promise<number> {
    const { client, trust, log } = this.#options
    if (!client.up || trust.recovering || trust.leasesDoubted) return 0
    try {
      await this.#collect()
      return await this.#moveBatch()
    } catch (error) {
      if (!(error instanceof RegistryUnavailableError)) log.error({ err: error }, 'sweep failed')
      return 0
    }
  }

  #schedule(pauseMs: number): void {
    if (this.#closed) return
    const jittered = pauseMs * (0.5 + Math.random())
    this.#timer = setTimeout(() => void this.#tick(), jittered)
  }

  async #tick(): Promise<void> {
    const found = await this.step()
    this.#schedule(found < BATCH ? this.#options.intervalMs : BUSY_PAUSE_MS)
  }

  /** Puts sessions of members without a lease among the orphans, up to a batch in all. */
  async #collect(): Promise<void> {
    let left = BATCH
    for (const id of this.#options.members.leaseless) {
      if (left <= 0) return
      left -= Math.max(0, await this.#options.client.collect(id, left))
    }
  }

  async #moveBatch(): Promise<number> {
    const { client } = this.#options
    const ids = await client.orphans(BATCH)
    if (ids.length === 0) return 0
    const { rows } = await client.peek(ids)
    const moves = ids.map((id, at) => this.#move({ id, epoch: rows[at]?.epoch ?? 0, agent: rows[at]?.agent ?? '' }))
    const moved = await Promise.all(moves)
    // Where nobody takes them there is no hurry.
    return moved.includes(true) ? ids.length : 0
  }

  async #move(session: OrphanedSession): Promise<boolean> {
    try {
      await this.#options.reassign(session)
      return true
    } catch (error) {
      if (error instanceof SessionGoneError) return true
      if (error instanceof NoMemberError) return false
      throw error
    }
  }
}
