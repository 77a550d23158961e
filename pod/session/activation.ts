import type { Lookup } from '../../lib/registry-replies.ts'
import type { SessionRecord } from '../../lib/registry-schema.ts'
import { StaleEpochError } from '../backup/errors.ts'
import type { SessionBackup } from '../backup/session-backup.ts'
import { PodError, fenced, notOwner, unknownSession } from '../errors.ts'
import { makeBackup, makeSession } from './session-factory.ts'
import type { SessionSurroundings } from './session-factory.ts'
import type { SessionTable } from './session-table.ts'
import type { Session } from './session.ts'

/** What an activation needs to know of this pod. */
export interface ActivationOptions {
  readonly around: SessionSurroundings
  readonly table: SessionTable
  readonly memberId: string
  readonly bootId: string
  /** How old the registry's data must be for "there is no such session" to be believed. */
  readonly settleMs: number
  readonly isDraining: () => boolean
}

/**
 * Brings sessions to this pod that the registry says are its own.
 *
 * What is here of the epoch right before stays, because nobody else owned the session in between and nothing can be newer;
 * anything else is discarded, the store is fenced at the new epoch, and the newest good backup is restored.
 */
export class Activation {
  readonly #options: ActivationOptions

  constructor(options: ActivationOptions) {
    this.#options = options
  }

  /**
   * Makes the session ready at the epoch that the registry names, which must be `wanted` where that is not null.
   * `not-owner`, `unknown-session` (only without `wanted`), `registry-unavailable`, `store-unavailable`, `backup-damaged`, `fenced`.
   */
  async bring(id: string, wanted: number | null): Promise<Session> {
    const { registry, lease } = this.#options.around
    const { term } = lease
    const record = this.#check(id, wanted, await registry.lookup(id))
    if (this.#options.isDraining()) {
      await registry.release(record)
      throw notOwner(id)
    }
    const session = (await this.#keepHeld(record)) ?? (await this.#fromDisk(record, term))
    if (!lease.isGood() || lease.term !== term) throw fenced()
    return session
  }

  #check(id: string, wanted: number | null, found: Lookup): SessionRecord {
    const { record, generation } = found
    if (record === null) {
      if (wanted !== null) throw notOwner(id)
      if (generation.id === '' || generation.ageMs < this.#options.settleMs) {
        throw new PodError('registry-unavailable', 'The registry is too young to know every session.')
      }
      throw unknownSession(id)
    }
    const isMine = record.owner === this.#options.memberId && record.bootId === this.#options.bootId
    if (!isMine) throw notOwner(id)
    if (wanted !== null && record.epoch !== wanted) throw notOwner(id, record.epoch)
    return record
  }

  /** Goes on with the session that is here, if it is of the epoch before; drops it if it is older. */
  async #keepHeld(record: SessionRecord): Promise<Session | null> {
    const { table, around } = this.#options
    const held = table.get(record.id)
    await held?.gone()
    if (held?.isHeld !== true) return null
    if (held.createdAt === record.createdAt && held.epoch === record.epoch) return held
    if (held.createdAt !== record.createdAt || held.epoch !== record.epoch - 1) {
      table.lose(record.id, `it is at epoch ${record.epoch} now`)
      await held.gone()
      return null
    }
    await this.#open(held.backup, record)
    held.adopt(record.epoch)
    await this.#note(record)
    around.log.info({ session: record.id, epoch: record.epoch }, 'session kept at its next epoch')
    held.saves.markDirty()
    return held
  }

  async #fromDisk(record: SessionRecord, term: number): Promise<Session> {
    const { around, table } = this.#options
    const backup = makeBackup(record.id, around)
    await this.#open(backup, record)
    const isKept = await this.#isLocalCurrent(record)
    if (isKept) around.log.info({ session: record.id, epoch: record.epoch }, 'session goes on from local files')
    else await this.#restore(record, backup)
    await this.#note(record)
    if (!around.lease.isGood() || around.lease.term !== term) throw fenced()
    const lose = (id: string, reason: string): void => table.lose(id, reason)
    const session = makeSession(record, { backup, around, lose })
    table.add(session)
    if (isKept) session.saves.markDirty()
    return session
  }

  /**
   * Fences the store. Where that is ahead, the registry has lost its newest writes, and nobody can serve the session at this
   * epoch: it is made an orphan, so that its epoch grows with each request until it has caught up.
   */
  async #open(backup: SessionBackup, record: SessionRecord): Promise<void> {
    try {
      await backup.open(record.epoch)
    } catch (error) {
      if (!(error instanceof StaleEpochError)) throw error
      const { registry, log } = this.#options.around
      log.error(
        { session: record.id, epoch: record.epoch, storeEpoch: error.storeEpoch },
        'the store is ahead of the registry'
      )
      await registry.release(record)
      throw notOwner(record.id)
    }
  }

  async #isLocalCurrent(record: SessionRecord): Promise<boolean> {
    const local = await this.#options.around.data.read(record.id)
    if (local === null || local.createdAt !== record.createdAt) return false
    // Of this epoch only what this run of the pod wrote itself.
    return local.epoch === record.epoch - 1 || (local.epoch === record.epoch && local.bootId === this.#options.bootId)
  }

  async #restore(record: SessionRecord, backup: SessionBackup): Promise<void> {
    const { data, log } = this.#options.around
    await data.makeEmpty(record.id)
    const startedAtMs = performance.now()
    const report = await backup.restore()
    const facts = {
      session: record.id,
      from: report,
      epoch: record.epoch,
      tookMs: Math.round(performance.now() - startedAtMs)
    }
    if (report.skipped.length > 0) log.error(facts, 'session restored from an older backup: newer ones are damaged')
    else if (report.restored) log.info(facts, 'session restored')
    else log.warn(facts, 'session has no backup: it begins empty')
  }

  async #note({ id, epoch, agent, createdAt }: SessionRecord): Promise<void> {
    await this.#options.around.data.write(id, { epoch, agent, createdAt, bootId: this.#options.bootId })
  }
}
