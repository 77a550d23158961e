import type { HeldCount, MemberRecord, MemberState } from '../../lib/registry-schema.ts'
import type { Upstream } from '../http/upstream.ts'

/** One boot of a member, as this gateway knows it: its record, its connections, and how many sessions it has. Routes hold on to it. */
export class MemberEntry implements MemberRecord {
  readonly id: string
  readonly bootId: string
  readonly address: string
  readonly upstream: Upstream
  load = 0
  state: MemberState = 'ready'
  pid = 0
  agents: readonly string[] = []
  capacity = 0
  /** False for good once its lease has ended: every route to it is void then. */
  live = true
  /** Sessions that the registry says it owns. */
  sessions = 0
  /** Claims on their way to it. */
  reserved = 0
  /** `performance.now()` when the registry last said that it is live. */
  seenAtMs = 0
  #countedAtUs = 0

  constructor(record: MemberRecord, upstream: Upstream) {
    this.id = record.id
    this.bootId = record.bootId
    this.address = record.address
    this.upstream = upstream
    this.update(record)
  }

  /** Sessions that it has, and those that are on their way to it. */
  get used(): number {
    return this.sessions + this.reserved
  }

  /** Takes over what may change during a boot. */
  update(record: MemberRecord): void {
    this.load = record.load
    this.state = record.state
    this.pid = record.pid
    this.agents = record.agents
    this.capacity = record.capacity
    this.seenAtMs = performance.now()
  }

  /** Whether it takes one more session of that agent. */
  takes(agent: string): boolean {
    if (!this.live || this.state !== 'ready') return false
    if (this.capacity > 0 && this.used >= this.capacity) return false
    return this.agents.length === 0 || this.agents.includes(agent)
  }

  /**
   * Takes over a count that came by the way. While claims of our own are on their way only their answers count,
   * because anybody else's number may or may not have them in it.
   */
  observe(held: HeldCount): void {
    if (this.reserved === 0) this.count(held)
  }

  /** Takes over a count, unless a later one is known. */
  count({ count, atUs }: HeldCount): void {
    if (atUs <= this.#countedAtUs) return
    this.sessions = count
    this.#countedAtUs = atUs
  }
}
