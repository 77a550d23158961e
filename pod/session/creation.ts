import { errorText } from '../../lib/errors.ts'
import type { ClaimReply } from '../../lib/registry-client.ts'
import type { SessionRecord } from '../../lib/registry-schema.ts'
import { StaleEpochError } from '../backup/errors.ts'
import { PodError, fenced, notOwner } from '../errors.ts'
import type { Activation, ActivationOptions } from './activation.ts'
import { makeBackup, makeSession } from './session-factory.ts'
import type { Session } from './session.ts'

const MAX_CLAIMS = 3

/** Which session to make. */
export interface NewSession {
  readonly id: string
  /** False: it is random, and nobody can have it. */
  readonly isChosen: boolean
  readonly agent: string
}

/** Makes new sessions, either claimed by a gateway or, for a client that talks to the pod itself, claimed here. */
export class Creation {
  readonly #options: ActivationOptions
  readonly #activation: Activation

  constructor(options: ActivationOptions, activation: Activation) {
    this.#options = options
    this.#activation = activation
  }

  /**
   * Makes the session that a gateway has claimed for this pod at that epoch; the same one again where it is here already.
   * A client can ask for this at any time of a session's life, so what is here of it is kept as an activation keeps it.
   */
  async claimed(id: string, epoch: number): Promise<Session> {
    const held = this.#options.table.get(id)
    if (held?.isHeld === true && held.epoch === epoch) return held
    const { registry, lease } = this.#options.around
    const { term } = lease
    const { record } = await registry.lookup(id)
    if (record === null || !this.#isMine(record) || record.epoch !== epoch) throw notOwner(id, held?.epoch ?? 0)
    if (await this.#isHere(record)) return this.#activation.bring(id, epoch)
    await this.#dropNamesake(id)
    return this.#make(record, term)
  }

  async #isHere({ id, createdAt }: SessionRecord): Promise<boolean> {
    const { table, around } = this.#options
    if (table.get(id)?.createdAt === createdAt) return true
    return (await around.data.read(id))?.createdAt === createdAt
  }

  /** An earlier session of that id ends before another takes its directory. */
  async #dropNamesake(id: string): Promise<void> {
    const { table } = this.#options
    table.lose(id, 'the id is that of another session now')
    await table.get(id)?.gone()
  }

  /** Claims and makes a session. `session-taken`, `full`, `registry-unavailable`. A store that is ahead only raises the epoch. */
  async unclaimed(wanted: NewSession): Promise<Session> {
    const { id, isChosen, agent } = wanted
    let minEpoch = 1
    for (let attempt = 1; ; attempt += 1) {
      const { term } = this.#options.around.lease
      const record = await this.#claim({ id, agent, minEpoch }, isChosen)
      try {
        return await this.#make(record, term)
      } catch (error) {
        await this.#unclaim(record)
        if (!(error instanceof StaleEpochError) || attempt >= MAX_CLAIMS) throw error
        minEpoch = error.storeEpoch + 1
      }
    }
  }

  async #claim(session: { id: string; agent: string; minEpoch: number }, isChosen: boolean): Promise<SessionRecord> {
    const { memberId, bootId, settleMs, around } = this.#options
    const member = { id: memberId, bootId }
    const reply: ClaimReply = await around.registry.claim(session, { member, settleMs: isChosen ? settleMs : 0 })
    switch (reply.status) {
      case 'ok':
        return reply.record
      case 'taken':
        throw new PodError('session-taken', `The id ${session.id} is taken.`)
      case 'no-member':
        throw new PodError('full', 'This pod takes no more sessions at the moment.')
      case 'recovering':
        throw new PodError('registry-unavailable', 'The registry is too young to know every session.')
    }
  }

  async #unclaim(record: SessionRecord): Promise<void> {
    const { registry, log, data } = this.#options.around
    try {
      await data.discard(record.id)
      await registry.remove(record)
    } catch (error) {
      log.error(
        { session: record.id, reason: errorText(error) },
        'cannot undo the claim of a session that was not made'
      )
    }
  }

  /** A session that the store knows although the registry forgot it goes on from its backup: it was never deleted. */
  async #make(record: SessionRecord, term: number): Promise<Session> {
    const { around, table, bootId } = this.#options
    const { id, epoch, agent, createdAt } = record
    const known = await around.store.epochs(id)
    const storeEpoch = known.at(-1) ?? 0
    if (storeEpoch >= epoch) throw new StaleEpochError(id, { epoch, storeEpoch })
    const backup = makeBackup(id, around)
    await around.data.makeEmpty(id)
    await backup.open(epoch)
    const from = known.length === 0 ? null : await backup.restore()
    if (from !== null) around.log.warn({ session: id, epoch, from }, 'new session goes on from a backup of that id')
    await around.data.write(id, { epoch, agent, createdAt, bootId })
    if (!around.lease.isGood() || around.lease.term !== term) throw fenced()
    const session = makeSession(record, { backup, around, lose: (lost, reason) => table.lose(lost, reason) })
    table.add(session)
    session.saves.markDirty()
    around.log.info({ session: id, epoch, agent }, 'session created')
    return session
  }

  #isMine({ owner, bootId }: SessionRecord): boolean {
    return owner === this.#options.memberId && bootId === this.#options.bootId
  }
}
