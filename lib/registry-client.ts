import { randomBytes } from 'node:crypto'
import { EventEmitter } from 'node:events'
import { errorText } from './errors.ts'
import { RedisConnection } from './redis-connection.ts'
import { RegistryUnavailableError } from './registry-errors.ts'
import * as replies from './registry-replies.ts'
import * as memberScripts from './registry-scripts/member-scripts.ts'
import * as sessionScripts from './registry-scripts/session-scripts.ts'
import { hasHashTag, parseMember, parseSession, registryKeys } from './registry-schema.ts'
import type { Logger } from './log.ts'
import type { Generation, Lookup, Peek, SessionReply } from './registry-replies.ts'
import type { HeldCount, MemberRecord, RegistryKeys, SessionRecord, SessionState } from './registry-schema.ts'
import type { Script } from './registry-scripts/script.ts'

/** Most rows that one call of ASSERT or READ_MEMBERS carries: keeps a script below a millisecond. */
const BATCH = 200

/** What `RegistryClient` needs. */
export interface RegistryClientOptions {
  /** See `parseRedisUrl`. */
  readonly url: string
  readonly prefix: string
  /** Shown by CLIENT LIST. */
  readonly name?: string
  /** Longest wait for an answer in milliseconds; 1,000 where nothing is said. */
  readonly commandTimeoutMs?: number
  readonly log?: Logger | undefined
}

/** Answer of `heartbeat`. `superseded`: another boot of the same member holds the lease; nothing was written and this process has to end. */
export interface HeartbeatReply {
  readonly status: 'ok' | 'superseded'
  /** False: the lease had lapsed or was revoked, or this is the first heartbeat. Assert every session before serving it again. */
  readonly existedBefore: boolean
  readonly generation: Generation
}

/** What a session's owner says of it; see `assert`. */
export type AssertedSession = Pick<SessionRecord, 'id' | 'epoch' | 'agent' | 'state' | 'createdAt'>

/** What became of an asserted session. `restored`: the record was missing or older and was written again. `lost`: it is somebody else's, or was removed. */
export type AssertVerdict = 'ok' | 'restored' | 'lost'

/** Why a conditional write did nothing: the epoch is another by now, or there is no such session. */
export type WriteStatus = 'ok' | 'moved' | 'unknown'

/** Answer of `claim`. `recovering`: the registry's data is too young to know that nobody has this id. */
export type ClaimReply =
  | ({ readonly status: 'ok' | 'taken' } & SessionReply)
  | { readonly status: 'no-member' | 'recovering' }

/** Answer of `reassign`. `moved`: the epoch is another by now; `owned`: its owner is alive. */
export type ReassignReply =
  | ({ readonly status: 'ok' | 'moved' | 'owned' } & SessionReply)
  | { readonly status: 'unknown' | 'no-member' | 'recovering' }

/** A member as `readMembers` finds it; record null: no lease, or not a valid record (then `problem` says why). */
export interface MemberReading {
  readonly id: string
  readonly record: MemberRecord | null
  readonly problem: string | null
  readonly held: HeldCount
}

/** One boot of a member. */
export type MemberBoot = Pick<MemberRecord, 'id' | 'bootId'>

/**
 * The registry's scripts as typed calls; the same for gateway and pod. Emits `up` when Redis can be asked and `down` when not.
 *
 * Every call throws RegistryUnavailableError at once while Redis is down, and after the command timeout at the latest while it does not answer.
 * A call that failed so may still have been carried out.
 */
export class RegistryClient extends EventEmitter<{ up: []; down: [] }> {
  readonly keys: RegistryKeys
  readonly #prefix: string
  readonly #connection: RedisConnection

  constructor(options: RegistryClientOptions) {
    super()
    this.#prefix = options.prefix
    this.keys = registryKeys(options.prefix)
    this.#connection = new RedisConnection(options)
    if (this.#connection.isCluster && !hasHashTag(options.prefix)) {
      throw new RegistryUnavailableError(`a Redis Cluster needs a prefix with a hash tag, like {fairlead}`)
    }
    this.#connection.on('up', () => this.emit('up'))
    this.#connection.on('down', () => this.emit('down'))
  }

  /** True while Redis can be asked. */
  get up(): boolean {
    return this.#connection.up
  }

  /** Begins to connect and resolves when Redis can be asked or the command timeout is over, whichever is first; attempts go on until `close`. */
  async start(): Promise<void> {
    this.#connection.start()
    if (this.up) return
    await new Promise<void>(resolve => {
      const timer = setTimeout(done, this.#connection.commandTimeoutMs)
      const connection = this.#connection
      function done(): void {
        clearTimeout(timer)
        connection.off('up', done)
        resolve()
      }
      connection.once('up', done)
    })
  }

  /** Ends the connection; pending calls fail. Idempotent. */
  async close(): Promise<void> {
    this.#connection.close()
    await Promise.resolve()
  }

  /**
   * Registers a member or renews its lease. `first`: no heartbeat of this boot was answered yet.
   * The lease runs from before the call was sent, by the caller's clock.
   */
  async heartbeat(member: MemberRecord, options: { leaseMs: number; first: boolean }): Promise<HeartbeatReply> {
    const fields = Object.entries({ ...member, agents: JSON.stringify(member.agents) })
      .flat()
      .map(String)
    const lease = [String(options.leaseMs), options.first ? '1' : '0', newGenerationId()]
    const key = this.keys.member(member.id)
    const reply = replies.asTexts(
      await this.#run(memberScripts.HEARTBEAT, key, [member.id, member.bootId, ...lease, ...fields])
    )
    const generation = { id: reply[2] ?? '', ageMs: Number(reply[3]) }
    return { status: reply[0] === 'ok' ? 'ok' : 'superseded', existedBefore: reply[1] === '1', generation }
  }

  /** Ends a member's lease: it leaves, or is proved dead. False: that boot holds no lease. Its sessions become orphans. */
  async endLease({ id, bootId }: MemberBoot): Promise<boolean> {
    return (await this.#run(memberScripts.END_LEASE, this.keys.member(id), [id, bootId])) === 1
  }

  /**
   * Binds a new session to a member, at epoch 1 or `minEpoch` or one more than that of a session of this id that was removed within the hour.
   * `settleMs`: how old the registry's data must be to believe that nobody has the id; 0 for a random one.
   */
  async claim(
    session: { id: string; agent: string; minEpoch?: number },
    options: { member: MemberBoot; settleMs: number }
  ): Promise<ClaimReply> {
    const { id, agent, minEpoch = 1 } = session
    const { member, settleMs } = options
    const args = [id, member.id, member.bootId, agent, String(minEpoch), String(settleMs), newGenerationId()]
    const reply = replies.asList(await this.#run(sessionScripts.CLAIM, this.keys.session(id), args))
    const status = reply[0]
    if (status === 'ok' || status === 'taken') return { status, ...replies.asSessionReply(id, reply) }
    return { status: status === 'no-member' ? status : 'recovering' }
  }

  /** Gives an orphan to a member, one epoch higher than the record it was decided from. Of many that try one gets `ok`, the others `moved`. */
  async reassign(
    session: { id: string; epoch: number },
    options: { member: MemberBoot; settleMs: number }
  ): Promise<ReassignReply> {
    const { id, epoch } = session
    const { member, settleMs } = options
    const args = [id, String(epoch), member.id, member.bootId, String(settleMs), newGenerationId()]
    const reply = replies.asList(await this.#run(sessionScripts.REASSIGN, this.keys.session(id), args))
    const status = reply[0]
    if (status === 'ok' || status === 'moved' || status === 'owned')
      return { status, ...replies.asSessionReply(id, reply) }
    return { status: status === 'unknown' || status === 'no-member' ? status : 'recovering' }
  }

  /** Makes a session an orphan, if it is still at that epoch: its owner drains. */
  async release(session: { id: string; epoch: number }): Promise<WriteStatus> {
    const { id, epoch } = session
    return asWriteStatus(await this.#run(sessionScripts.RELEASE, this.keys.session(id), [id, String(epoch)]))
  }

  /** Removes a session, if it is still at that epoch and, with `createdAt` given, the one made then. */
  async remove(session: { id: string; epoch: number; createdAt?: number }): Promise<WriteStatus> {
    const { id, epoch, createdAt = 0 } = session
    const args = [id, String(epoch), String(createdAt)]
    return asWriteStatus(await this.#run(sessionScripts.REMOVE, this.keys.session(id), args))
  }

  /** Notes what a session does, if it is still at that epoch. */
  async setState(session: { id: string; epoch: number }, state: SessionState): Promise<WriteStatus> {
    const { id, epoch } = session
    return asWriteStatus(await this.#run(sessionScripts.SET_STATE, this.keys.session(id), [id, String(epoch), state]))
  }

  /**
   * Says what a member owns, after its lease had lapsed or a new generation began. Map from session id to what became of it.
   * Null: the member has no live lease at that boot; nothing was done for the rest.
   */
  async assert(sessions: readonly AssertedSession[], member: MemberBoot): Promise<Map<string, AssertVerdict> | null> {
    const verdicts = new Map<string, AssertVerdict>()
    for (const batch of batches(sessions)) {
      const rows = batch.flatMap(s => [s.id, String(s.epoch), s.agent, s.state, String(s.createdAt)])
      const reply = await this.#run(sessionScripts.ASSERT, this.keys.member(member.id), [
        member.id,
        member.bootId,
        ...rows
      ])
      if (reply === 'no-lease') return null
      for (const [at, verdict] of replies.asTexts(reply).entries()) {
        const session = batch[at]
        if (session !== undefined)
          verdicts.set(session.id, verdict === 'ok' || verdict === 'restored' ? verdict : 'lost')
      }
    }
    return verdicts
  }

  /** Who owns a session, and whether that owner is alive. */
  async lookup(id: string): Promise<Lookup> {
    return replies.asLookup(id, await this.#run(sessionScripts.LOOKUP, this.keys.session(id), [id]))
  }

  /** Owner and epoch of up to 1,000 sessions, in the order asked, and the generation they were read in. */
  async peek(ids: readonly string[]): Promise<{ generationId: string; rows: Peek[] }> {
    const reply = replies.asList(await this.#run(sessionScripts.PEEK, this.keys.orphans, ids))
    return { generationId: replies.asText(reply[0]), rows: reply.slice(1).map(replies.asPeek) }
  }

  /** Generation, number of the last change, and the ids of all members, dead ones with sessions included. */
  async overview(): Promise<{ generation: Generation; sequence: number; memberIds: readonly string[] }> {
    const reply = replies.asList(await this.#run(memberScripts.OVERVIEW, this.keys.members, [newGenerationId()]))
    const generation = { id: replies.asText(reply[0]), ageMs: replies.asNumber(reply[1]) }
    return { generation, sequence: replies.asNumber(reply[2]), memberIds: replies.asIds(reply[3]) }
  }

  /** Reads members' records and how many sessions each owns. */
  async readMembers(ids: readonly string[]): Promise<MemberReading[]> {
    const readings: MemberReading[] = []
    for (const batch of batches(ids)) {
      const [at, ...rows] = replies.asList(await this.#run(memberScripts.READ_MEMBERS, this.keys.members, batch))
      const atUs = replies.asNumber(at)
      for (const [index, row] of rows.entries()) readings.push(asReading(batch[index] ?? '', row, atUs))
    }
    return readings
  }

  /** Moves up to `limit` sessions of a member without a lease to the orphans; how many it were. -1: the member is live. */
  async collect(memberId: string, limit: number): Promise<number> {
    const args = [memberId, String(limit)]
    return replies.asNumber(await this.#run(memberScripts.COLLECT, this.keys.member(memberId), args))
  }

  /** Up to `limit` orphans, picked at random so that gateways that ask at the same time rarely work on the same. */
  async orphans(limit: number): Promise<readonly string[]> {
    return replies.asIds(await this.#guard(this.#connection.client.srandmember(this.keys.orphans, limit)))
  }

  /** Some of the session ids that a member owns (null: of the orphans), from an SSCAN cursor on; `0` begins and ends. */
  async scanOwned(
    memberId: string | null,
    options: { cursor: string; limit: number }
  ): Promise<[string, readonly string[]]> {
    const key = memberId === null ? this.keys.orphans : this.keys.owned(memberId)
    const client = this.#connection.client
    const [cursor, ids] = await this.#guard(client.sscan(key, options.cursor, 'COUNT', options.limit))
    return [cursor, replies.asIds(ids)]
  }

  /** Reads sessions' records; those that are missing or not valid are left out. */
  async readSessions(ids: readonly string[]): Promise<SessionRecord[]> {
    const { client } = this.#connection
    const fields = await Promise.all(ids.map(id => this.#guard(client.hgetall(this.keys.session(id)))))
    return ids.map((id, at) => parseSession(id, fields[at] ?? {}).value).filter(record => record !== null)
  }

  /**
   * Begins a generation that nobody waits for. Only where no pod can own anything yet: a private Redis that was just started.
   * Without it, a gateway on an empty Redis answers 503 for unknown sessions until every pod had a heartbeat's time to say what it owns.
   */
  async markSettled(): Promise<void> {
    await this.#run(memberScripts.MARK_SETTLED, this.keys.generation, [newGenerationId()])
  }

  async #run(script: Script, key: string, args: readonly string[]): Promise<unknown> {
    const { client } = this.#connection
    const call = client.evalsha(script.sha, 1, key, this.#prefix, ...args).catch((error: unknown) => {
      if (!errorText(error).startsWith('NOSCRIPT')) throw error
      return client.eval(script.source, 1, key, this.#prefix, ...args)
    })
    return this.#guard(call)
  }

  /** Bounds the wait, and turns whatever went wrong into one error. */
  async #guard<T>(call: Promise<T>): Promise<T> {
    const deadline = Promise.withResolvers<never>()
    const limitMs = this.#connection.commandTimeoutMs + 250
    const timer = setTimeout(() => deadline.reject(new Error('Command timed out')), limitMs)
    try {
      return await Promise.race([call, deadline.promise])
    } catch (cause) {
      const reason = errorText(cause)
      // Whoever comes next shall not wait as long for a server that is frozen.
      if (reason === 'Command timed out') this.#connection.reset()
      throw new RegistryUnavailableError(reason, cause)
    } finally {
      clearTimeout(timer)
    }
  }
}

function newGenerationId(): string {
  return randomBytes(12).toString('hex')
}

function* batches<T>(items: readonly T[]): Generator<readonly T[]> {
  for (let at = 0; at < items.length; at += BATCH) yield items.slice(at, at + BATCH)
}

function asWriteStatus(reply: unknown): WriteStatus {
  return reply === 'ok' || reply === 'moved' ? reply : 'unknown'
}

function asReading(id: string, row: unknown, atUs: number): MemberReading {
  const [flat, count] = replies.asList(row)
  const held = { count: replies.asNumber(count), atUs }
  if (replies.asList(flat).length === 0) return { id, record: null, problem: null, held }
  const { value, problem } = parseMember(id, replies.asFields(flat))
  return { id, record: value, problem, held }
}
