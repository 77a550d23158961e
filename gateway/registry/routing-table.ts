import { Buffer } from 'node:buffer'
import type { SessionRecord } from '../../lib/registry-schema.ts'
import type { Route } from '../http/resolver.ts'
import type { MemberEntry } from './member-entry.ts'
import type { SessionEntry } from './session-entry.ts'

/** A cached route. */
class CachedRoute implements SessionEntry {
  readonly kind = 'owned'
  readonly record: SessionRecord
  readonly member: MemberEntry
  readonly route: Route
  /** Looked up since the table last searched for something to evict. */
  used = false

  constructor(record: SessionRecord, member: MemberEntry) {
    this.record = record
    this.member = member
    this.route = { kind: 'route', upstream: member.upstream, addedFields: addedFields(record) }
  }
}

/** The same record with strings that many records share, instead of copies out of a reply. */
function compact(record: SessionRecord, member: MemberEntry): SessionRecord {
  const agent = member.agents.find(name => name === record.agent) ?? record.agent
  const state = record.state === 'active' ? 'active' : 'suspended'
  return { ...record, owner: member.id, bootId: member.bootId, agent, state }
}

/** One flat string: a concatenation would keep its parts, which doubles the memory, and be flattened at its first use. */
function addedFields({ id, epoch }: SessionRecord): string {
  return Buffer.from(`X-Fairlead-Session: ${id}\r\nX-Fairlead-Epoch: ${epoch}\r\n`, 'latin1').toString('latin1')
}

/**
 * What this gateway believes about who owns which session. A cache: everything in it can be lost, and may be stale, because pods check epochs.
 * No event about an earlier owner displaces a later one. Bounded; what was not asked for lately goes first.
 */
export class RoutingTable {
  readonly #routes = new Map<string, CachedRoute>()
  readonly #maxRoutes: number

  constructor(maxRoutes: number) {
    this.#maxRoutes = maxRoutes
  }

  get size(): number {
    return this.#routes.size
  }

  /** The hot path: the route of a session whose owner is alive as far as we know. */
  get(id: string): SessionEntry | undefined {
    const entry = this.#routes.get(id)
    if (entry === undefined || !entry.member.live) return undefined
    entry.used = true
    return entry
  }

  /** What is stored, whether its owner is alive or not. */
  peek(id: string): SessionEntry | undefined {
    return this.#routes.get(id)
  }

  ids(): string[] {
    return [...this.#routes.keys()]
  }

  /** Stores a route, unless a later epoch is known. Returns what is stored now. */
  put(record: SessionRecord, member: MemberEntry): SessionEntry {
    const known = this.#routes.get(record.id)
    if (known !== undefined && known.record.epoch > record.epoch) return known
    return this.#store(record, member, known)
  }

  /**
   * Stores what a lookup found that began when `before` was stored. It may replace `before` even with an earlier epoch (the session was removed and made anew,
   * or Redis lost its latest writes), but not what came meanwhile with a later one. Returns what is stored now.
   */
  settle(record: SessionRecord, options: { member: MemberEntry; before: SessionEntry | undefined }): SessionEntry {
    const known = this.#routes.get(record.id)
    if (known !== options.before) return this.put(record, options.member)
    return this.#store(record, options.member, known)
  }

  /** Drops a route of that epoch or an earlier one. */
  drop(id: string, epoch: number): void {
    const known = this.#routes.get(id)
    if (known !== undefined && known.record.epoch <= epoch) this.#routes.delete(id)
  }

  /** Drops exactly this entry: not what was stored in its place meanwhile. */
  dropEntry(entry: SessionEntry): void {
    if (this.#routes.get(entry.record.id) === entry) this.#routes.delete(entry.record.id)
  }

  #store(record: SessionRecord, member: MemberEntry, known: CachedRoute | undefined): SessionEntry {
    if (
      known?.member === member &&
      known.record.epoch === record.epoch &&
      known.record.createdAt === record.createdAt
    ) {
      return known
    }
    if (known === undefined && this.#routes.size >= this.#maxRoutes) this.#evict()
    const entry = new CachedRoute(compact(record, member), member)
    this.#routes.set(record.id, entry)
    return entry
  }

  /** Second chance: the oldest entry goes unless it was used since it was last looked at; then it goes to the end. */
  #evict(): void {
    for (const [id, entry] of this.#routes) {
      this.#routes.delete(id)
      if (!entry.used || !entry.member.live) return
      entry.used = false
      this.#routes.set(id, entry)
    }
  }
}
