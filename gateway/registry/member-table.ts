import { checkAddress } from '../../lib/registry-address.ts'
import { MemberEntry } from './member-entry.ts'
import type { Logger } from '../../lib/log.ts'
import type { MemberBoot, MemberReading } from '../../lib/registry-client.ts'
import type { MemberRecord } from '../../lib/registry-schema.ts'
import type { Upstream } from '../http/upstream.ts'

/** What a member table needs. */
export interface MemberTableOptions {
  readonly allowLoopbackMembers: boolean
  /** The table closes what this makes. */
  readonly makeUpstream: (host: string, port: number) => Upstream
  readonly log: Logger
}

/** Most boots of which it is remembered that their end was announced. */
const MAX_ENDED = 4_096

/** The live members, by id. */
export class MemberTable {
  readonly #options: MemberTableOptions
  readonly #members = new Map<string, MemberEntry>()
  readonly #ended = new Set<string>()
  readonly #complaints = new Map<string, string>()
  #sorted: readonly MemberEntry[] | null = null
  #leaseless: readonly string[] = []

  constructor(options: MemberTableOptions) {
    this.#options = options
  }

  /** All live members, sorted by id. */
  list(): readonly MemberEntry[] {
    this.#sorted ??= [...this.#members.values()].toSorted((a, b) => (a.id < b.id ? -1 : 1))
    return this.#sorted
  }

  /** The live member with that id and boot. */
  get({ id, bootId }: MemberBoot): MemberEntry | undefined {
    const entry = this.#members.get(id)
    return entry?.bootId === bootId ? entry : undefined
  }

  /** Ids in the registry's list that had no lease when it was last read: what they own is to be moved. */
  get leaseless(): readonly string[] {
    return this.#leaseless
  }

  /** Whether the end of that boot's lease was announced, by itself or by a gateway that proved its death; a lease that is only missing is weaker evidence. */
  hasEnded({ id, bootId }: MemberBoot): boolean {
    return this.#ended.has(`${id} ${bootId}`)
  }

  /** Takes over a record that was live a moment ago; another boot of the member is retired. Null where its address must not be dialled. */
  learn(record: MemberRecord): MemberEntry | null {
    const known = this.#members.get(record.id)
    this.#ended.delete(`${record.id} ${record.bootId}`)
    if (known !== undefined && known.bootId === record.bootId && known.address === record.address) {
      known.update(record)
      return known
    }
    if (known !== undefined) this.#retire(known)
    return this.#admit(record)
  }

  /** Takes over what was read of all members; `startedAtMs` is when the reading began. Leases that are missing count only where they are to be believed. */
  apply(readings: readonly MemberReading[], options: { startedAtMs: number; believeMissing: boolean }): void {
    for (const { id, record, problem, held } of readings) {
      if (record !== null) this.learn(record)?.observe(held)
      else if (problem !== null) this.#complain(id, problem)
    }
    if (!options.believeMissing) return
    this.#leaseless = readings.filter(({ record, problem }) => record === null && problem === null).map(({ id }) => id)
    for (const entry of this.list()) {
      if (entry.seenAtMs >= options.startedAtMs) continue
      // Its lease ran out: a frozen pod may hold requests that it will never answer.
      this.#retire(entry)
      entry.upstream.abandon()
    }
  }

  /** The end of a boot's lease was announced. */
  end(boot: MemberBoot): void {
    if (this.#ended.size >= MAX_ENDED) this.#ended.clear()
    this.#ended.add(`${boot.id} ${boot.bootId}`)
    const entry = this.get(boot)
    if (entry !== undefined) this.#retire(entry)
  }

  /** Retires all. */
  close(): void {
    for (const entry of this.list()) this.#retire(entry)
  }

  #admit(record: MemberRecord): MemberEntry | null {
    const { allowLoopbackMembers, makeUpstream } = this.#options
    const { address, problem } = checkAddress(record.address, { allowLoopback: allowLoopbackMembers })
    if (address === null) {
      this.#complain(record.id, `its address ${JSON.stringify(record.address)} is refused: ${problem}`)
      return null
    }
    const entry = new MemberEntry(record, makeUpstream(address.host, address.port))
    this.#members.set(record.id, entry)
    this.#complaints.delete(record.id)
    this.#sorted = null
    return entry
  }

  #retire(entry: MemberEntry): void {
    entry.live = false
    entry.upstream.close()
    if (this.#members.get(entry.id) === entry) this.#members.delete(entry.id)
    this.#sorted = null
  }

  /** Once per problem, not once per reading. */
  #complain(id: string, problem: string): void {
    if (this.#complaints.get(id) === problem) return
    if (this.#complaints.size >= MAX_ENDED) this.#complaints.clear()
    this.#complaints.set(id, problem)
    this.#options.log.warn({ member: id, problem }, 'member ignored')
  }
}
