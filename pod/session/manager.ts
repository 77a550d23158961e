import { errorText } from '../../lib/errors.ts'
import { newSessionId } from '../../lib/ids.ts'
import type { SessionRecord } from '../../lib/registry-schema.ts'
import { PodError, notOwner, unknownSession } from '../errors.ts'
import { Activation } from './activation.ts'
import type { ActivationOptions } from './activation.ts'
import { Creation } from './creation.ts'
import { Flights } from './flights.ts'
import { handOverAll } from './handover.ts'
import type { HandoverLimits } from './handover.ts'
import type { Session } from './session.ts'

/** What the manager needs besides what every activation does. */
export interface SessionManagerOptions extends ActivationOptions {
  /** How long a request waits for a session to come; the work goes on after that. */
  readonly restoreTimeoutMs: number
  /** Most sessions; 0 for no bound. */
  readonly capacity: number
}

/** Which session to make. */
export interface WantedSession {
  /** Null: the pod makes one up. */
  readonly id: string | null
  /** Agent definition, which exists. */
  readonly agent: string
}

/** The way to a session: finds it here, brings it here, makes it, deletes it, gives all of them away. */
export class SessionManager {
  readonly #options: SessionManagerOptions
  readonly #activation: Activation
  readonly #creation: Creation
  readonly #flights = new Flights<Session>()

  constructor(options: SessionManagerOptions) {
    this.#options = options
    this.#activation = new Activation(options)
    this.#creation = new Creation(options, this.#activation)
  }

  /** Every session that is on this pod now. */
  list(): Session[] {
    return this.#options.table.held()
  }

  /** The session at that epoch, or at any where it is null; from memory where it is there, else by an activation that requests share. */
  find(id: string, epoch: number | null): Session | Promise<Session> {
    const held = this.#options.table.get(id)
    if (held?.isHeld === true) {
      if (epoch === null || held.epoch === epoch) return held
      if (held.epoch > epoch) throw notOwner(id, held.epoch)
    }
    return this.#fly(id, {
      key: `find ${epoch ?? 'any'}`,
      work: async () => {
        await this.#options.table.get(id)?.gone()
        return this.#activation.bring(id, epoch)
      }
    })
  }

  /** Makes a session; with an epoch, the one that a gateway claimed for this pod. `draining`, `full`, and what `Creation` says. */
  async create(wanted: WantedSession, epoch: number | null): Promise<Session> {
    const { isDraining, capacity, table } = this.#options
    if (isDraining()) throw new PodError('draining', 'This pod takes no new sessions: it is about to stop.')
    if (epoch !== null && wanted.id !== null) return this.#createClaimed(wanted.id, epoch)
    if (capacity > 0 && table.size >= capacity) throw new PodError('full', 'This pod has as many sessions as it takes.')
    if (wanted.id !== null && (table.get(wanted.id)?.isHeld === true || this.#flights.has(wanted.id))) {
      throw new PodError('session-taken', `The id ${wanted.id} is taken.`)
    }
    const id = wanted.id ?? newSessionId()
    const isChosen = wanted.id !== null
    return this.#fly(id, { key: 'create', work: () => this.#creation.unclaimed({ id, isChosen, agent: wanted.agent }) })
  }

  #createClaimed(id: string, epoch: number): Promise<Session> {
    return this.#fly(id, { key: `create at ${epoch}`, work: () => this.#creation.claimed(id, epoch) })
  }

  /** Deletes a session: ends what runs in it, then its backups, its record and its files, in that order, so that a failure leaves it deletable. */
  async delete(session: Session): Promise<void> {
    const { around, table } = this.#options
    const gone = new PodError('session-ended', `Session ${session.id} was deleted.`)
    try {
      await session.end({
        abortWith: gone,
        refuseWith: unknownSession(session.id),
        last: async () => {
          await session.backup.remove()
          const status = await around.registry.remove(session)
          if (status === 'moved') throw notOwner(session.id)
          await around.data.discard(session.id)
        }
      })
      around.log.info({ session: session.id, epoch: session.epoch }, 'session deleted')
    } finally {
      table.remove(session)
    }
  }

  /** Gives every session away; see `handOverAll`. */
  async handOver(limits: HandoverLimits): Promise<void> {
    const { table, around } = this.#options
    await handOverAll(table, { around, limits })
    // What was on its way here when the drain began has arrived by then.
    await this.#flights.settled()
    await handOverAll(table, { around, limits })
    await table.settled()
  }

  /** Removes what earlier runs left on this disk of sessions that are somebody else's by now, or nobody's. Never rejects. */
  async tidy(): Promise<void> {
    const { around } = this.#options
    try {
      for (const id of await around.data.ids()) if (await this.#isLeftover(id)) await around.data.discard(id)
    } catch (error) {
      around.log.warn({ reason: errorText(error) }, 'cannot tidy the data directory')
    }
  }

  async #isLeftover(id: string): Promise<boolean> {
    const { around, table, settleMs } = this.#options
    const local = await around.data.read(id)
    const { record, generation } = await around.registry.lookup(id)
    // Asked after the waits: a session that came here meanwhile is no leftover, nor is one on its way.
    if (table.get(id) !== undefined || this.#flights.has(id)) return false
    if (record === null) return generation.id !== '' && generation.ageMs >= settleMs
    return local === null ? !this.#isMine(record) : record.epoch > local.epoch + 1 || this.#isTaken(record, local.epoch)
  }

  #isTaken(record: SessionRecord, localEpoch: number): boolean {
    return record.epoch > localEpoch && record.owner !== '' && !this.#isMine(record)
  }

  #isMine(record: SessionRecord): boolean {
    return record.owner === this.#options.memberId
  }

  async #fly(id: string, options: { key: string; work: () => Promise<Session> }): Promise<Session> {
    const flight = this.#flights.run(id, options)
    const limit = Promise.withResolvers<never>()
    const timer = setTimeout(() => {
      limit.reject(new PodError('store-unavailable', 'The session is still being brought here.'))
    }, this.#options.restoreTimeoutMs)
    try {
      return await Promise.race([flight, limit.promise])
    } finally {
      clearTimeout(timer)
    }
  }
}
