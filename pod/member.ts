import { errorText } from '../lib/errors.ts'
import type { Logger } from '../lib/log.ts'
import type { AssertedSession, RegistryClient } from '../lib/registry-client.ts'
import type { MemberRecord, MemberState } from '../lib/registry-schema.ts'
import type { Lease } from './lease.ts'

/** Longest wait after a heartbeat that failed. */
const MAX_RETRY_MS = 1_000
/** Part of the lease's margin that stays after the last write; the part before is for the last saves. */
const WRITE_MARGIN_SHARE = 0.5

/** The sessions that stand and fall with the lease. */
export interface OwnedSessions {
  /** What this pod believes to own. */
  owned(): readonly AssertedSession[]
  /** Drops a session that somebody else owns now, with its files; must not throw. */
  lose(id: string, reason: string): void
  /** Drops every session and leaves all files alone: another process works on them. Must not throw. */
  abandonAll(reason: string): void
}

/** What a member is made of. */
export interface MemberOptions {
  readonly registry: RegistryClient
  /** What does not change while the pod runs. */
  readonly identity: Omit<MemberRecord, 'load' | 'state'>
  readonly sessions: OwnedSessions
  readonly leaseMs: number
  readonly heartbeatMs: number
  /** How long before its end the lease counts as over. */
  readonly leaseMarginMs: number
  readonly log: Logger
}

/**
 * The pod as the registry knows it: heartbeats, and the clock of the lease.
 *
 * The lease runs from the moment before a heartbeat was sent, on the monotonic clock, which goes on while the process is
 * stopped. After a heartbeat that found no record, or whose predecessor got no answer, or that met a new generation of the
 * registry, every session is asserted first; where the lease may have been lost it is not good again before that is done.
 * `close` ends the heartbeats; no method rejects on account of Redis.
 */
export class Member implements Lease {
  readonly #options: MemberOptions
  #state: MemberState = 'ready'
  #leaseUntilMs = Number.NEGATIVE_INFINITY
  #term = 0
  #generation = ''
  #isFirst = true
  #isUnsure = false
  #isSuperseded = false
  #isClosed = false
  #running: Promise<void> | null = null
  #again = false
  #timer: NodeJS.Timeout | undefined

  constructor(options: MemberOptions) {
    this.#options = options
  }

  isGood(): boolean {
    return this.leftMs() > 0
  }

  leftMs(): number {
    return Math.max(0, this.#leaseUntilMs - this.#options.leaseMarginMs - performance.now())
  }

  mayWrite(): boolean {
    return performance.now() < this.#leaseUntilMs - this.#options.leaseMarginMs * WRITE_MARGIN_SHARE
  }

  async settled(): Promise<void> {
    await this.#running
  }

  get term(): number {
    return this.#term
  }

  get state(): MemberState {
    return this.#state
  }

  /** True once another process has taken this member's name; this one can never serve again. */
  get isSuperseded(): boolean {
    return this.#isSuperseded
  }

  /** Sends the first heartbeat and goes on until `close`. Resolves when that one is answered or has failed. */
  async start(): Promise<void> {
    this.#options.registry.on('up', this.#beatNow)
    await this.beat()
  }

  /** Sends a heartbeat now, after one that is under way. Never rejects. */
  async beat(): Promise<void> {
    if (this.#isClosed) return
    this.#again = this.#running !== null
    this.#running ??= this.#run()
    await this.#running
  }

  /** Says at once that this pod takes no new sessions. */
  async drain(): Promise<void> {
    this.#state = 'draining'
    await this.beat()
  }

  /** Ends the heartbeats and gives the lease back. Idempotent. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.#options.registry.off('up', this.#beatNow)
    await this.#running
    this.#leaseUntilMs = Number.NEGATIVE_INFINITY
    try {
      await this.#options.registry.endLease(this.#options.identity)
    } catch (error) {
      this.#options.log.warn({ reason: errorText(error) }, 'cannot give the lease back; it ends by itself')
    }
  }

  readonly #beatNow = (): void => {
    void this.beat()
  }

  async #run(): Promise<void> {
    clearTimeout(this.#timer)
    let wasAnswered = false
    try {
      do {
        this.#again = false
        wasAnswered = await this.#heartbeat()
      } while (this.#isAskedAgain())
    } catch (error) {
      this.#isUnsure = true
      this.#options.log.warn({ reason: errorText(error), leaseIsGood: this.isGood() }, 'heartbeat failed')
    } finally {
      this.#running = null
    }
    if (this.#isClosed || this.#isSuperseded) return
    const { heartbeatMs } = this.#options
    this.#timer = setTimeout(this.#beatNow, wasAnswered ? heartbeatMs : Math.min(heartbeatMs, MAX_RETRY_MS))
  }

  #isAskedAgain(): boolean {
    return this.#again && !this.#isClosed && !this.#isSuperseded
  }

  /** One heartbeat; false where the lease could not be had and the next attempt should come soon. */
  async #heartbeat(): Promise<boolean> {
    const { registry, identity, sessions, leaseMs } = this.#options
    const sentAtMs = performance.now()
    const wasGood = this.isGood()
    const record = { ...identity, state: this.#state, load: sessions.owned().length }
    const reply = await registry.heartbeat(record, { leaseMs, first: this.#isFirst })
    if (reply.status === 'superseded') {
      this.#supersede()
      return false
    }
    const isNewGeneration = reply.generation.id !== this.#generation
    const mayBeLost = !wasGood || this.#isUnsure || (!reply.existedBefore && !isNewGeneration)
    if (mayBeLost) this.#fence()
    if ((mayBeLost || isNewGeneration || !reply.existedBefore) && !(await this.#assert())) return false
    if (!wasGood) this.#options.log.info({ first: this.#isFirst, generation: reply.generation.id }, 'lease obtained')
    this.#isFirst = false
    this.#isUnsure = false
    this.#generation = reply.generation.id
    this.#leaseUntilMs = sentAtMs + leaseMs
    return true
  }

  #fence(): void {
    this.#leaseUntilMs = Number.NEGATIVE_INFINITY
    this.#term += 1
  }

  /** Tells the registry what this pod owns and drops what it does not own any more. False: the lease was lost meanwhile. */
  async #assert(): Promise<boolean> {
    const { registry, identity, sessions, log } = this.#options
    const owned = sessions.owned()
    if (owned.length === 0) return true
    const verdicts = await registry.assert(owned, identity)
    if (verdicts === null) return false
    const counts = { ok: 0, restored: 0, lost: 0 }
    for (const [id, verdict] of verdicts) {
      counts[verdict] += 1
      if (verdict === 'lost') sessions.lose(id, 'the registry says that somebody else owns it')
    }
    log.info(counts, 'sessions asserted')
    return true
  }

  #supersede(): void {
    this.#isSuperseded = true
    this.#fence()
    const { identity, sessions, log } = this.#options
    sessions.abandonAll('another process has taken the member id')
    log.fatal({ memberId: identity.id }, 'another process has taken this member id; this one serves nothing any more')
  }
}
