import { RegistryClient } from '../../lib/registry-client.ts'
import { RegistryUnavailableError } from '../../lib/registry-errors.ts'
import { ChangeFeed } from './change-feed.ts'
import { Finder } from './finder.ts'
import { MemberTable } from './member-table.ts'
import { Placement } from './placement.ts'
import { Refresher } from './refresher.ts'
import { Removals } from './removals.ts'
import { RoutingTable } from './routing-table.ts'
import { listSessions } from './session-list.ts'
import { Sweep } from './sweep.ts'
import { Trust } from './trust.ts'
import { Verification } from './verification.ts'
import type { Logger } from '../../lib/log.ts'
import type { Change, MemberRecord, SessionRecord } from '../../lib/registry-schema.ts'
import type { Upstream } from '../http/upstream.ts'
import type { AllocationStrategy } from './allocation.ts'
import type { MemberEntry } from './member-entry.ts'
import type { Orphan, SessionEntry } from './session-entry.ts'
import type { SessionPage } from './session-list.ts'

export type { MemberEntry } from './member-entry.ts'
export type { Orphan, SessionEntry } from './session-entry.ts'

/** What a registry needs; times in milliseconds. */
export interface RegistryOptions {
  /** See `parseRedisUrl`. */
  readonly redisUrl: string
  readonly redisPrefix: string
  /** The pods' heartbeat: how long to wait until each must have said what it owns. */
  readonly heartbeatMs: number
  readonly allocation: AllocationStrategy
  readonly allowLoopbackMembers: boolean
  /** Makes the connections to a member; the registry closes them when its lease ends. */
  readonly makeUpstream: (host: string, port: number) => Upstream
  readonly log: Logger
  /** How long beyond a heartbeat pods may take to say what they own after a loss of the registry's data; 2,000. */
  readonly settleMarginMs?: number
  /** How often members are read; 2,000. */
  readonly memberRefreshMs?: number
  /** Pause between two looks for orphans that nobody asked for; 1,000. */
  readonly sweepIntervalMs?: number
  /** Most routes kept in memory; 1,000,000. */
  readonly maxRoutes?: number
  /** Longest wait for an answer of Redis; 1,000. */
  readonly commandTimeoutMs?: number
}

/** What `Registry.inspect` tells of a session. */
export interface Inspection {
  readonly record: SessionRecord
  readonly ownerLive: boolean
  readonly leaseLeftMs: number
  readonly member: MemberRecord | null
}

/**
 * The gateway's view of the registry: a routing table in memory that a change feed keeps current, and conditional writes.
 * While Redis is away what is cached goes on to be served, and everything else throws RegistryUnavailableError.
 */
export class Registry {
  readonly #log: Logger
  readonly #client: RegistryClient
  readonly #routes: RoutingTable
  readonly #members: MemberTable
  readonly #trust: Trust
  readonly #finder: Finder
  readonly #placement: Placement
  readonly #removals: Removals
  readonly #feed: ChangeFeed
  readonly #verification: Verification
  readonly #refresher: Refresher
  readonly #sweep: Sweep
  readonly #moves = new Map<string, Promise<SessionEntry>>()
  #ready = false
  #missed = false

  constructor(options: RegistryOptions) {
    const { redisUrl, redisPrefix: prefix, log } = options
    this.#log = log
    const timeout = options.commandTimeoutMs === undefined ? {} : { commandTimeoutMs: options.commandTimeoutMs }
    const client = new RegistryClient({ url: redisUrl, prefix, name: 'fairlead-gateway', log, ...timeout })
    const trust = new Trust({ heartbeatMs: options.heartbeatMs, marginMs: options.settleMarginMs ?? 2_000 })
    const members = new MemberTable(options)
    const routes = new RoutingTable(options.maxRoutes ?? 1_000_000)
    const removals = new Removals(client)
    this.#client = client
    this.#trust = trust
    this.#members = members
    this.#routes = routes
    this.#removals = removals
    this.#verification = new Verification({ client, routes, trust, log })
    const onNewGeneration = (): void => this.#verification.start()
    this.#finder = new Finder({ client, routes, members, trust, onNewGeneration })
    this.#placement = new Placement({ client, members, trust, removals, strategy: options.allocation })
    this.#feed = new ChangeFeed({
      redisUrl,
      channel: client.keys.changes,
      onChange: change => this.#apply(change),
      onMissed: () => this.#missedChanges(),
      log
    })
    this.#refresher = new Refresher({
      client,
      members,
      trust,
      periodMs: options.memberRefreshMs ?? 2_000,
      onNewGeneration,
      onRefreshed: sequence => this.#refreshed(sequence),
      log
    })
    this.#sweep = new Sweep({
      client,
      members,
      trust,
      reassign: session => this.#placement.move(session),
      intervalMs: options.sweepIntervalMs ?? 1_000,
      log
    })
    client.on('up', () => void this.#comeUp())
    client.on('down', () => this.#goDown())
  }

  /** Connects and reads the members. Never fails because Redis is away; keeps trying. */
  async start(): Promise<void> {
    this.#feed.start()
    await this.#client.start()
    if (this.#client.up) await this.#comeUp()
    this.#refresher.start()
    this.#sweep.start()
  }

  /** Ends all that runs; what waits for Redis fails. Idempotent. */
  async close(): Promise<void> {
    this.#ready = false
    this.#sweep.close()
    this.#refresher.close()
    this.#verification.close()
    this.#feed.close()
    await this.#client.close()
    this.#members.close()
  }

  /** True while Redis can be asked. */
  get available(): boolean {
    return this.#ready
  }

  /** Routes in memory. */
  get cachedRoutes(): number {
    return this.#routes.size
  }

  /** The route of a session that this gateway knows; no round trip. */
  cached(id: string): SessionEntry | undefined {
    return this.#routes.get(id)
  }

  /** Who owns a session: cached, or asked of Redis (one question per id at a time). Null: Redis says that there is none. Throws RegistryUnavailableError. */
  async find(id: string): Promise<SessionEntry | Orphan | null> {
    const cached = this.#routes.get(id)
    if (cached !== undefined) return cached
    this.#requireAvailable()
    return await this.#finder.find(id)
  }

  /**
   * Makes a session: picks a member and claims the id, a random one where none is given. `minEpoch`: begin no lower, because a store holds backups of earlier epochs.
   * Throws SessionTakenError, NoMemberError, RegistryUnavailableError.
   */
  async place(agent: string, id?: string, options: { minEpoch?: number } = {}): Promise<SessionEntry> {
    this.#requireAvailable()
    const { record, member } = await this.#placement.create({ agent, id, minEpoch: options.minEpoch ?? 1 })
    return this.#routes.put(record, member)
  }

  /** Takes `place` back: the member could not make the session. Where Redis is away it is done later. */
  async unplace(entry: SessionEntry): Promise<void> {
    const { id, epoch, createdAt } = entry.record
    this.#routes.dropEntry(entry)
    await this.#removals.remove({ id, epoch, createdAt })
  }

  /**
   * Gives an orphan a live owner, if it is still at the record's epoch; else finds the owner that somebody else gave it.
   * Throws NoMemberError, SessionGoneError, RegistryUnavailableError.
   */
  reassign(record: SessionRecord): Promise<SessionEntry> {
    const running = this.#moves.get(record.id)
    if (running !== undefined) return running
    const move = this.#reassign(record).finally(() => this.#moves.delete(record.id))
    this.#moves.set(record.id, move)
    return move
  }

  /** Drops a cached route that a pod refused, if it still has that epoch. */
  forget(id: string, epoch: number): void {
    const entry = this.#routes.peek(id)
    if (entry?.record.epoch === epoch) this.#routes.dropEntry(entry)
  }

  /** Ends the lease of a member that was proved dead, if it is still that boot's. False: it had none any more. Throws RegistryUnavailableError. */
  async revoke(member: MemberEntry): Promise<boolean> {
    this.#requireAvailable()
    const ended = await this.#client.endLease(member)
    this.#members.end(member)
    return ended
  }

  /** All live members, sorted by id. */
  members(): MemberEntry[] {
    return [...this.#members.list()]
  }

  /** What the registry says of a session right now. Throws RegistryUnavailableError. */
  async inspect(id: string): Promise<Inspection | null> {
    this.#requireAvailable()
    const { record, owner, leaseLeftMs } = await this.#finder.lookup(id)
    if (record === null) return null
    return { record, ownerLive: owner !== null, leaseLeftMs: owner === null ? 0 : leaseLeftMs, member: owner }
  }

  /** A page of all sessions, see `listSessions`. Throws RegistryUnavailableError. */
  async listSessions(options: { cursor?: string; limit?: number } = {}): Promise<SessionPage> {
    this.#requireAvailable()
    return await listSessions(this.#client, { cursor: options.cursor, limit: options.limit ?? 1_000 })
  }

  async #reassign(session: SessionRecord): Promise<SessionEntry> {
    this.#requireAvailable()
    const { record, member } = await this.#placement.move(session)
    return this.#routes.put(record, member)
  }

  #requireAvailable(): void {
    if (!this.#ready) throw new RegistryUnavailableError('Redis cannot be reached')
  }

  /** A refresh that began with the connection before this one fails; then it takes another. */
  async #comeUp(): Promise<void> {
    if (!(await this.#refresher.refresh()) && this.#client.up) await this.#refresher.refresh()
  }

  /** Only now is the registry available: nothing is believed before the generation was read, because another server may answer to this address by now. */
  #refreshed(sequence: number): void {
    this.#feed.expect(sequence)
    if (this.#missed) this.#verification.start()
    this.#missed = false
    if (this.#ready || !this.#client.up) return
    this.#ready = true
    this.#trust.endOutage()
    this.#removals
      .retry()
      .catch((error: unknown) => this.#log.error({ err: error }, 'could not remove abandoned claims'))
  }

  #goDown(): void {
    if (!this.#ready) return
    this.#ready = false
    this.#trust.beginOutage()
    this.#log.warn('registry is not available; known sessions go on')
  }

  /** The generation is read first: only then is it known what a missing record means. */
  #missedChanges(): void {
    this.#missed = true
    void this.#refresher.refresh()
  }

  #apply(change: Change): void {
    switch (change.kind) {
      case 'session':
        this.#finder.observe(change.record, change.held)
        return
      case 'session-gone':
        this.#finder.observeGone(change.id, change.epoch)
        return
      case 'member':
        this.#members.learn(change.member)
        return
      case 'member-gone':
        this.#members.end(change)
        return
      case 'generation':
        if (this.#trust.note({ id: change.generation, ageMs: 0 })) this.#verification.start()
        return
    }
  }
}
