import { isDnsLabel } from './ids.ts'
import { parseCount, parseMember, parseSession } from './registry-schema.ts'
import { RegistryUnavailableError } from './registry-errors.ts'
import type { Fields, HeldCount, MemberRecord, SessionRecord } from './registry-schema.ts'

/** One life of the registry's data, and how long it lasts already in milliseconds. Empty id: there is none yet. */
export interface Generation {
  readonly id: string
  readonly ageMs: number
}

/** What an ownership script found or did. */
export interface SessionReply {
  readonly record: SessionRecord
  /** The owner's record while its lease is live at the record's boot, else null. */
  readonly owner: MemberRecord | null
  /** How many sessions the owner has now. */
  readonly held: HeldCount
}

/** Answer of `lookup`. */
export interface Lookup {
  readonly generation: Generation
  readonly record: SessionRecord | null
  /** The owner's record while its lease is live at the record's boot, else null. */
  readonly owner: MemberRecord | null
  readonly leaseLeftMs: number
  readonly held: HeldCount
}

/** The part of a session's record that tells whether a cached route still holds; null where there is no record. */
export type Peek = Pick<SessionRecord, 'owner' | 'bootId' | 'epoch' | 'agent'> | null

/** A reply that is not what the script returns: somebody else writes to these keys. */
function malformed(what: string): RegistryUnavailableError {
  return new RegistryUnavailableError(`Redis holds something else than expected: ${what}`)
}

/** A reply that is a list. */
export function asList(reply: unknown): readonly unknown[] {
  if (!Array.isArray(reply)) throw malformed('not a list')
  return reply
}

/** A reply that is text. */
export function asText(reply: unknown): string {
  if (typeof reply !== 'string') throw malformed('not text')
  return reply
}

/** A reply that is a list of text. */
export function asTexts(reply: unknown): readonly string[] {
  return asList(reply).map(asText)
}

/** A number, sent as text or as an integer. */
export function asNumber(reply: unknown): number {
  const value = Number(reply)
  if ((typeof reply !== 'string' && typeof reply !== 'number') || !Number.isFinite(value))
    throw malformed('not a number')
  return value
}

/** A HASH, sent as field, value, field, value. */
export function asFields(reply: unknown): Fields {
  const flat = asTexts(reply)
  const fields: Record<string, string> = Object.create(null)
  for (let at = 0; at + 1 < flat.length; at += 2) fields[flat[at] ?? ''] = flat[at + 1] ?? ''
  return fields
}

/** Ids out of a SET; what is not a DNS label is left out, because it cannot be one of ours. */
export function asIds(reply: unknown): readonly string[] {
  return asTexts(reply).filter(isDnsLabel)
}

/** A session's HASH; null where there is none. Throws RegistryUnavailableError where it is not a valid record. */
export function asSession(id: string, reply: unknown): SessionRecord | null {
  const flat = asList(reply)
  if (flat.length === 0) return null
  const { value, problem } = parseSession(id, asFields(flat))
  if (value === null) throw malformed(`session ${id}: ${problem}`)
  return value
}

/** The owner's HASH, if it is a valid record of the boot that the session names. */
function asOwner(record: SessionRecord | null, reply: unknown): MemberRecord | null {
  if (record === null || record.owner === '' || asList(reply).length === 0) return null
  const { value } = parseMember(record.owner, asFields(reply))
  return value !== null && value.bootId === record.bootId ? value : null
}

/** Takes the reply of an ownership script apart: status, session, member, held, time. */
export function asSessionReply(id: string, reply: readonly unknown[]): SessionReply {
  const record = asSession(id, reply[1])
  if (record === null) throw malformed(`session ${id} vanished`)
  const held = { count: asNumber(reply[3]), atUs: asNumber(reply[4]) }
  return { record, owner: asOwner(record, reply[2]), held }
}

/** Takes the reply of LOOKUP apart. */
export function asLookup(id: string, reply: unknown): Lookup {
  const [generationId, ageMs, session, member, leaseLeftMs, held, atUs] = asList(reply)
  const record = asSession(id, session)
  return {
    generation: { id: asText(generationId), ageMs: asNumber(ageMs) },
    record,
    owner: asOwner(record, member),
    leaseLeftMs: asNumber(leaseLeftMs),
    held: { count: asNumber(held), atUs: asNumber(atUs) }
  }
}

/** Takes one row of PEEK apart. */
export function asPeek(reply: unknown): Peek {
  const [owner, bootId, epochText, agent] = asList(reply)
  const epoch = typeof epochText === 'string' ? parseCount(epochText) : null
  if (epoch === null) return null
  return { owner: textOrEmpty(owner), bootId: textOrEmpty(bootId), epoch, agent: textOrEmpty(agent) }
}

function textOrEmpty(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
