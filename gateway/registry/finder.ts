import { RegistryUnavailableError } from '../../lib/registry-errors.ts'
import type { RegistryClient } from '../../lib/registry-client.ts'
import type { Lookup } from '../../lib/registry-replies.ts'
import type { HeldCount, SessionRecord } from '../../lib/registry-schema.ts'
import type { MemberEntry } from './member-entry.ts'
import type { MemberTable } from './member-table.ts'
import type { RoutingTable } from './routing-table.ts'
import type { Orphan, SessionEntry } from './session-entry.ts'
import type { Trust } from './trust.ts'

/** What a finder works with. */
export interface FinderOptions {
  readonly client: RegistryClient
  readonly routes: RoutingTable
  readonly members: MemberTable
  readonly trust: Trust
  /** A lookup came upon another generation of the registry's data. */
  readonly onNewGeneration: () => void
}

/** A lookup on its way. */
interface Flight {
  readonly found: Promise<SessionEntry | Orphan | null>
  /** Epoch of the session that was removed meanwhile. */
  goneEpoch: number
}

/** Fills the routing table: with what Redis answers and with what the change feed says, each without undoing what the other knows better. */
export class Finder {
  readonly #options: FinderOptions
  readonly #flights = new Map<string, Flight>()

  constructor(options: FinderOptions) {
    this.#options = options
  }

  /** Asks Redis who owns a session; callers that ask for the same one meanwhile share the answer. */
  find(id: string): Promise<SessionEntry | Orphan | null> {
    const running = this.#flights.get(id)
    if (running !== undefined) return running.found
    const found = this.#find(id).finally(() => this.#flights.delete(id))
    this.#flights.set(id, { found, goneEpoch: 0 })
    return found
  }

  /** Asks Redis. Throws RegistryUnavailableError where a missing record means nothing. */
  async lookup(id: string): Promise<Lookup> {
    const { client, trust, onNewGeneration } = this.#options
    const answer = await client.lookup(id)
    if (trust.note(answer.generation)) onNewGeneration()
    if (answer.record === null && trust.recovering) {
      throw new RegistryUnavailableError('its data were lost, pods are writing them again')
    }
    return answer
  }

  /** The feed says who owns a session. Only what was asked for before is kept: the feed tells of every session there is. */
  observe(record: SessionRecord, held: HeldCount): void {
    const { routes, members } = this.#options
    const { id, epoch, owner, bootId } = record
    const member = members.get({ id: owner, bootId })
    member?.observe(held)
    if (owner === '') routes.drop(id, epoch)
    else if (member === undefined) routes.drop(id, epoch - 1)
    else if (routes.peek(id) !== undefined || this.#flights.has(id)) routes.put(record, member)
  }

  /** The feed says that a session was removed. */
  observeGone(id: string, epoch: number): void {
    this.#options.routes.drop(id, epoch)
    const flight = this.#flights.get(id)
    if (flight !== undefined) flight.goneEpoch = Math.max(flight.goneEpoch, epoch)
  }

  async #find(id: string): Promise<SessionEntry | Orphan | null> {
    const { routes } = this.#options
    const before = routes.peek(id)
    const answer = await this.lookup(id)
    const { record } = answer
    if (record === null || record.epoch <= (this.#flights.get(id)?.goneEpoch ?? 0)) {
      if (before !== undefined) routes.dropEntry(before)
      return null
    }
    const member = this.#ownerOf(record, answer)
    return member === null ? { kind: 'orphan', record } : routes.settle(record, { member, before })
  }

  /** The live owner; null where the session is an orphan. */
  #ownerOf(record: SessionRecord, { owner, held }: Lookup): MemberEntry | null {
    const { members, trust } = this.#options
    const boot = { id: record.owner, bootId: record.bootId }
    if (owner !== null) {
      const member = members.learn(owner)
      if (member === null) throw new RegistryUnavailableError(`the address of ${owner.id} is refused`)
      member.observe(held)
      return member
    }
    // A lease that is missing after an outage proves nothing yet: the pod may be about to renew it.
    if (record.owner === '' || !trust.leasesDoubted || members.hasEnded(boot)) return null
    const known = members.get(boot)
    if (known === undefined) throw new RegistryUnavailableError(`${record.owner} may be about to renew its lease`)
    return known
  }
}
