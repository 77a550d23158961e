import type { Generation } from '../../lib/registry-replies.ts'

/**
 * When the registry's silence can be believed. After a loss of its data (a new generation) every pod needs a heartbeat to say again what it owns;
 * after an outage every pod needs one to renew its lease. Until then, "no record" and "no lease" mean nothing.
 */
export class Trust {
  /** A heartbeat and a margin, in milliseconds. */
  readonly settleMs: number
  #generation = ''
  #recoveringUntilMs = 0
  #doubtUntilMs = 0

  constructor(options: { heartbeatMs: number; marginMs: number }) {
    this.settleMs = options.heartbeatMs + options.marginMs
  }

  /** True while a session without a record may still exist. */
  get recovering(): boolean {
    return performance.now() < this.#recoveringUntilMs
  }

  /** True while a member without a lease may still live. */
  get leasesDoubted(): boolean {
    return performance.now() < this.#doubtUntilMs
  }

  /** Id of the generation that was noted last. */
  get generationId(): string {
    return this.#generation
  }

  /** How long until `recovering` ends, in milliseconds. */
  get recoveringLeftMs(): number {
    return Math.max(0, this.#recoveringUntilMs - performance.now())
  }

  /** Takes over the registry's generation. True where it is another than before: what is cached is to be verified. */
  note({ id, ageMs }: Generation): boolean {
    const untilMs = performance.now() + this.settleMs - (id === '' ? 0 : ageMs)
    const changed = id !== this.#generation
    if (changed || id === '') {
      this.#recoveringUntilMs = Math.max(this.#recoveringUntilMs, untilMs)
      this.#doubtUntilMs = Math.max(this.#doubtUntilMs, untilMs)
    }
    const replaced = changed && this.#generation !== ''
    this.#generation = id
    return replaced
  }

  /** The registry cannot be asked, so neither can pods renew their leases. */
  beginOutage(): void {
    this.#doubtUntilMs = Infinity
  }

  /** The registry can be asked again; pods have a heartbeat's time to renew their leases. */
  endOutage(): void {
    if (this.#doubtUntilMs === Infinity) this.#doubtUntilMs = performance.now() + this.settleMs
  }
}
