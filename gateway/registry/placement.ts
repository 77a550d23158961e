import { newSessionId } from '../../lib/ids.ts'
import { RegistryUnavailableError } from '../../lib/registry-errors.ts'
import { Allocation } from './allocation.ts'
import { NoMemberError, SessionGoneError, SessionTakenError } from './errors.ts'
import type { ClaimReply, ReassignReply, RegistryClient } from '../../lib/registry-client.ts'
import type { SessionReply } from '../../lib/registry-replies.ts'
import type { SessionRecord } from '../../lib/registry-schema.ts'
import type { AllocationStrategy } from './allocation.ts'
import type { MemberEntry } from './member-entry.ts'
import type { MemberTable } from './member-table.ts'
import type { Removals } from './removals.ts'
import type { OrphanedSession } from './sweep.ts'
import type { Trust } from './trust.ts'

/** What placement works with. */
export interface PlacementOptions {
  readonly client: RegistryClient
  readonly members: MemberTable
  readonly trust: Trust
  readonly removals: Removals
  readonly strategy: AllocationStrategy
}

/** A session and its live owner. */
export interface Placed {
  readonly record: SessionRecord
  readonly member: MemberEntry
}

/** How often a session that keeps moving is followed, or another member is tried, before the caller is told to come back later. */
const MAX_ATTEMPTS = 16

/** Picks members for sessions and writes that down, conditionally. Creating and moving have a strategy's state each. */
export class Placement {
  readonly #options: PlacementOptions
  readonly #creates: Allocation
  readonly #moves: Allocation

  constructor(options: PlacementOptions) {
    this.#options = options
    this.#creates = new Allocation(options.strategy)
    this.#moves = new Allocation(options.strategy)
  }

  /** Makes a session; see `Registry.place`. */
  async create(session: { agent: string; id: string | undefined; minEpoch: number }): Promise<Placed> {
    const { agent, minEpoch } = session
    const settleMs = session.id === undefined ? 0 : this.#options.trust.settleMs
    const refused = new Set<MemberEntry>()
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const id = session.id ?? newSessionId()
      const member = this.#pick(this.#creates, agent, refused)
      const reply = await this.#claim({ id, agent, minEpoch }, { member, settleMs })
      if (reply.status === 'ok') return { record: reply.record, member }
      if (reply.status === 'recovering')
        throw new RegistryUnavailableError('its data were lost, pods are writing them again')
      if (reply.status === 'no-member') refused.add(member)
      else if (session.id !== undefined) throw new SessionTakenError(id)
    }
    throw new NoMemberError(agent)
  }

  /** Gives an orphan a live owner, or finds the one that somebody else gave it; see `Registry.reassign`. */
  async move(session: OrphanedSession): Promise<Placed> {
    const { id, agent } = session
    const refused = new Set<MemberEntry>()
    let { epoch } = session
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const member = this.#pick(this.#moves, agent, refused)
      const reply = await this.#reassign({ id, epoch }, member)
      if (reply.status === 'recovering')
        throw new RegistryUnavailableError('its data were lost, pods are writing them again')
      if (reply.status === 'unknown') throw new SessionGoneError(id)
      if ('record' in reply) {
        const owner = this.#ownerOf(reply)
        if (owner !== null) return { record: reply.record, member: owner }
        epoch = reply.record.epoch
      } else refused.add(member)
    }
    throw new RegistryUnavailableError(`session ${id} keeps moving`)
  }

  #pick(allocation: Allocation, agent: string, refused: ReadonlySet<MemberEntry>): MemberEntry {
    const candidates = this.#options.members.list().filter(member => member.takes(agent) && !refused.has(member))
    const member = allocation.pick(candidates, agent)
    if (member === null) throw new NoMemberError(agent)
    return member
  }

  async #claim(
    session: { id: string; agent: string; minEpoch: number },
    options: { member: MemberEntry; settleMs: number }
  ): Promise<ClaimReply> {
    const { client, removals } = this.#options
    try {
      return await reserving(options.member, client.claim(session, options))
    } catch (error) {
      // It may have been carried out all the same. Nobody else can have a random id, so whatever is there is ours.
      if (options.settleMs === 0) removals.defer({ id: session.id, epoch: session.minEpoch, createdAt: 0 })
      throw error
    }
  }

  #reassign(session: { id: string; epoch: number }, member: MemberEntry): Promise<ReassignReply> {
    const { client, trust } = this.#options
    return reserving(member, client.reassign(session, { member, settleMs: trust.settleMs }))
  }

  #ownerOf({ owner, held }: SessionReply): MemberEntry | null {
    const member = owner === null ? null : this.#options.members.learn(owner)
    member?.observe(held)
    return member
  }
}

/** Counts a claim while it is on its way, so that a burst does not see the same numbers; its answer brings the exact one. */
async function reserving<T extends ClaimReply | ReassignReply>(member: MemberEntry, call: Promise<T>): Promise<T> {
  member.reserved++
  try {
    const reply = await call
    if (reply.status === 'ok') member.count(reply.held)
    return reply
  } finally {
    member.reserved--
  }
}
