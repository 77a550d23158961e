import { setTimeout as sleep } from 'node:timers/promises'
import { probe } from './probe.ts'
import { SessionGoneError, NoMemberError } from '../registry/errors.ts'
import type { Logger } from '../../lib/log.ts'
import type { SessionRecord } from '../../lib/registry-schema.ts'
import type { GatewayMetrics } from '../metrics.ts'
import type { MemberEntry, Registry, SessionEntry } from '../registry/registry.ts'
import type { ProbeResult } from './probe.ts'

/** What a mover works with. */
export interface MoverOptions {
  readonly registry: Registry
  readonly metrics: GatewayMetrics
  readonly probeTimeoutMs: number
  readonly log: Logger
}

/**
 * Finds out where sessions in transition are, and moves those whose owner is gone. One lookup per session and one probe per member at a time,
 * however many requests wait for it.
 */
export class Mover {
  readonly #options: MoverOptions
  readonly #lookups = new Map<string, Promise<SessionEntry | null>>()
  readonly #relooks = new Map<string, Promise<SessionEntry | null>>()
  readonly #probes = new Map<string, Promise<ProbeResult>>()
  readonly #closing = new AbortController()

  constructor(options: MoverOptions) {
    this.#options = options
  }

  /** Finds the session's owner, and gives it a new one where it is an orphan. Null where there is no such session. Rejects with the registry's errors. */
  locate(id: string): Promise<SessionEntry | null> {
    return singleFlight(this.#lookups, id, () => this.#locate(id))
  }

  /** Pauses, forgets what is cached of the session and locates it anew. Callers that come during the pause share it. */
  relocate(entry: SessionEntry, delayMs: number): Promise<SessionEntry | null> {
    const { id, epoch } = entry.record
    return singleFlight(this.#relooks, id, async () => {
      if (delayMs > 0) await this.pause(delayMs)
      this.#options.registry.forget(id, epoch)
      return await this.locate(id)
    })
  }

  /**
   * Dials a member that refused or broke a connection. A second refusal proves that its process is gone: its lease is revoked, conditional on its boot id.
   * Anything else proves nothing and changes nothing. Rejects where the registry is away.
   */
  proveDeath(member: MemberEntry): Promise<ProbeResult> {
    return singleFlight(this.#probes, `${member.id} ${member.bootId}`, () => this.#proveDeath(member))
  }

  /** Waits; rejects with an AbortError when the mover is closed. */
  async pause(delayMs: number): Promise<void> {
    await sleep(delayMs, undefined, { signal: this.#closing.signal })
  }

  /** Ends all pauses. */
  close(): void {
    this.#closing.abort()
  }

  async #locate(id: string): Promise<SessionEntry | null> {
    const found = await this.#options.registry.find(id)
    return found?.kind === 'orphan' ? await this.#reassign(found.record) : found
  }

  async #reassign(record: SessionRecord): Promise<SessionEntry | null> {
    const { registry, metrics, log } = this.#options
    const startedAtMs = performance.now()
    try {
      const entry = await registry.reassign(record)
      metrics.reassigned('moved')
      const { member, record: now } = entry
      const durationMs = Math.round(performance.now() - startedAtMs)
      log.info({ session: now.id, from: record.owner, to: member.id, epoch: now.epoch, durationMs }, 'session moved')
      return entry
    } catch (error) {
      metrics.reassigned(failureOf(error))
      if (error instanceof SessionGoneError) return null
      throw error
    }
  }

  async #proveDeath(member: MemberEntry): Promise<ProbeResult> {
    const { registry, metrics, log, probeTimeoutMs } = this.#options
    // Its lease ended meanwhile: nothing is left to prove.
    if (!member.live) return 'refused'
    const result = await probe(member.upstream, probeTimeoutMs)
    metrics.probed(result)
    if (result === 'refused' && (await registry.revoke(member))) {
      metrics.revoked()
      log.warn(
        { member: member.id, bootId: member.bootId, address: member.address },
        'pod refuses connections: lease revoked'
      )
    }
    return result
  }
}

function failureOf(error: unknown): 'gone' | 'no-member' | 'failed' {
  if (error instanceof SessionGoneError) return 'gone'
  return error instanceof NoMemberError ? 'no-member' : 'failed'
}

function singleFlight<T>(flights: Map<string, Promise<T>>, key: string, start: () => Promise<T>): Promise<T> {
  const running = flights.get(key)
  if (running !== undefined) return running
  const flight = start().finally(() => flights.delete(key))
  flights.set(key, flight)
  return flight
}
