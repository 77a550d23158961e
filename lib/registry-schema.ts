/**
 * The registry's layout in Redis: the only place where a key is spelled or a record from Redis gets its type.
 *
 * All keys carry one hash tag (`{fairlead}`), so that a script may touch several of them on a Redis Cluster.
 */
import { isDnsLabel } from './ids.ts'

/** What a member (a live pod) says of itself; a HASH rewritten whole at each heartbeat. */
export interface MemberRecord {
  /** DNS label, stable over restarts of the same pod. */
  id: string
  /** One run of the member's process; empty for members that are written with another library. */
  bootId: string
  /** `host:port` of the pod's HTTP server, without a scheme. */
  address: string
  /** Sessions that the member hosts, as it counts them. */
  load: number
  /** `draining` takes no new sessions. */
  state: MemberState
  pid: number
  /** Ids of the agent definitions that it serves; empty means any. */
  agents: readonly string[]
  /** Most sessions it takes; 0 means no bound. */
  capacity: number
}

export type MemberState = 'ready' | 'draining'

/** Who owns a session; a HASH without TTL. */
export interface SessionRecord {
  id: string
  /** Member id of the owner; empty when nobody owns it (an orphan that its owner released). */
  owner: string
  /** Boot id of the owner at the time of the claim; empty with `owner`. */
  bootId: string
  /** Fencing number: grows by one with every claim or reassignment, never goes back. */
  epoch: number
  state: SessionState
  /** Agent definition id. */
  agent: string
  /** Unix time in milliseconds by Redis's clock; tells two sessions apart that had the same id one after the other. */
  createdAt: number
}

export type SessionState = 'active' | 'suspended'

/**
 * What follows the prefix in each key; `*` stands for the id. TypeScript and Lua build their keys from this table.
 *
 * `owned`: SET of the session ids that a member owns. `gone`: HASH that remembers a removed session for `TOMBSTONE_MS`.
 * `generation`: HASH that tells one life of the registry's data from the next. `sequence`: counter of the messages on the channel `changes`.
 */
export const KEY_SHAPES = {
  members: ':members',
  member: ':member:*',
  owned: ':member:*:sessions',
  session: ':session:*',
  gone: ':gone:*',
  orphans: ':orphans',
  generation: ':generation',
  sequence: ':sequence',
  changes: ':changes'
} as const

/** How long a removed session is remembered, in milliseconds, so that a pod that slept meanwhile cannot bring it back. */
export const TOMBSTONE_MS = 3_600_000

/** Every key of one registry. */
export interface RegistryKeys {
  readonly members: string
  readonly orphans: string
  readonly generation: string
  readonly sequence: string
  readonly changes: string
  member(id: string): string
  owned(memberId: string): string
  session(id: string): string
  gone(id: string): string
}

/** Builds the keys of the registry with that prefix. */
export function registryKeys(prefix: string): RegistryKeys {
  const shaped = (shape: string) => (id: string) => prefix + shape.replace('*', () => id)
  return {
    members: prefix + KEY_SHAPES.members,
    orphans: prefix + KEY_SHAPES.orphans,
    generation: prefix + KEY_SHAPES.generation,
    sequence: prefix + KEY_SHAPES.sequence,
    changes: prefix + KEY_SHAPES.changes,
    member: shaped(KEY_SHAPES.member),
    owned: shaped(KEY_SHAPES.owned),
    session: shaped(KEY_SHAPES.session),
    gone: shaped(KEY_SHAPES.gone)
  }
}

/** Tells whether every key with that prefix falls into one slot of a Redis Cluster: it holds a hash tag that is not empty. */
export function hasHashTag(prefix: string): boolean {
  return /^[^{]*\{[^}]+\}/.test(prefix)
}

/** What a checker found: the typed value, or why there is none. */
export type Parsed<T> =
  | { readonly value: T; readonly problem: null }
  | { readonly value: null; readonly problem: string }

/** A HASH as Redis gives it. */
export type Fields = Readonly<Record<string, string | undefined>>

/** Tells whether a text may name an agent definition: 1 to 128 characters, none of them a control character. */
export function isAgentId(text: string): boolean {
  return text.length > 0 && text.length <= 128 && !/\p{Cc}/u.test(text)
}

/** A decimal integer from 0 to 999,999,999,999,999 without sign or leading zero, else null. */
export function parseCount(text: string | undefined): number | null {
  return text !== undefined && /^(0|[1-9]\d{0,14})$/.test(text) ? Number(text) : null
}

function problem(text: string): { value: null; problem: string } {
  return { value: null, problem: text }
}

/**
 * Types a member's HASH. A record with nothing but `address` and `load`, as @platformatic/coordinator writes it, is valid.
 * The address is taken as it is: `checkAddress` decides whether it may be dialled.
 */
export function parseMember(id: string, fields: Fields): Parsed<MemberRecord> {
  const { address, bootId = '', state = 'ready' } = fields
  const pid = parseCount(fields['pid'] ?? '0')
  const capacity = parseCount(fields['capacity'] ?? '0')
  const load = Number(fields['load'] ?? '0')
  const agents = parseAgents(fields['agents'] ?? '[]')
  if (!isDnsLabel(id)) return problem('its id is not a DNS label')
  if (fields['id'] !== undefined && fields['id'] !== id) return problem('its id is not that of its key')
  if (address === undefined || address === '') return problem('it has no address')
  if (bootId !== '' && !isDnsLabel(bootId)) return problem('its boot id is not a DNS label')
  if (state !== 'ready' && state !== 'draining') return problem('its state is unknown')
  if (!Number.isFinite(load) || load < 0) return problem('its load is not a number')
  if (pid === null || capacity === null) return problem('its pid or capacity is not an integer')
  if (agents === null) return problem('its agents are not a JSON array of names')
  return { value: { id, bootId, address, load, state, pid, agents, capacity }, problem: null }
}

function parseAgents(text: string): readonly string[] | null {
  const list = parseJson(text)
  if (!Array.isArray(list)) return null
  const names = list.filter((name): name is string => typeof name === 'string' && isAgentId(name))
  return names.length === list.length ? names : null
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Types a session's HASH. */
export function parseSession(id: string, fields: Fields): Parsed<SessionRecord> {
  const { owner = '', bootId = '', state, agent = '' } = fields
  const epoch = parseCount(fields['epoch'])
  const createdAt = parseCount(fields['createdAt'])
  if (!isDnsLabel(id)) return problem('its id is not a DNS label')
  if (epoch === null || epoch === 0) return problem('its epoch is not a positive integer')
  if (createdAt === null) return problem('its time of creation is not an integer')
  if (owner !== '' && !isDnsLabel(owner)) return problem('its owner is not a DNS label')
  if (bootId !== '' && !isDnsLabel(bootId)) return problem('its boot id is not a DNS label')
  if (state !== 'active' && state !== 'suspended') return problem('its state is unknown')
  if (agent !== '' && !isAgentId(agent)) return problem('its agent is not a name')
  return { value: { id, owner, bootId, epoch, state, agent, createdAt }, problem: null }
}

/** A message on the channel `changes`. `sequence` grows by one with each; a gap means that something was missed. */
export type Change =
  | { readonly kind: 'session'; readonly sequence: number; readonly record: SessionRecord; readonly held: HeldCount }
  | { readonly kind: 'session-gone'; readonly sequence: number; readonly id: string; readonly epoch: number }
  | { readonly kind: 'member'; readonly sequence: number; readonly member: MemberRecord }
  | { readonly kind: 'member-gone'; readonly sequence: number; readonly id: string; readonly bootId: string }
  | { readonly kind: 'generation'; readonly sequence: number; readonly generation: string }

/** How many sessions a member owned at a time (microseconds of Redis's clock): of two counts the later one is right. */
export interface HeldCount {
  readonly count: number
  readonly atUs: number
}

/** Types a message of the channel `changes`: a JSON object of strings, `t` names its kind and `n` is its sequence number. */
export function parseChange(message: string): Parsed<Change> {
  const fields = parseJson(message)
  if (!isFields(fields)) return problem('it is not a JSON object of strings')
  const sequence = parseCount(fields['n'])
  if (sequence === null) return problem('it has no sequence number')
  return parseChangeKind(fields, sequence)
}

function parseChangeKind(fields: Fields, sequence: number): Parsed<Change> {
  const { t, id = '', bootId = '' } = fields
  if (t === 'session') return parseSessionChange(fields, sequence)
  if (t === 'generation') return { value: { kind: 'generation', sequence, generation: id }, problem: null }
  if (t === 'member') {
    const member = parseMember(id, fields)
    return member.value === null ? member : { value: { kind: 'member', sequence, member: member.value }, problem: null }
  }
  if (!isDnsLabel(id)) return problem('its id is not a DNS label')
  if (t === 'member-gone') return { value: { kind: 'member-gone', sequence, id, bootId }, problem: null }
  const epoch = parseCount(fields['epoch'])
  if (t !== 'session-gone' || epoch === null) return problem('its kind is unknown or its epoch is missing')
  return { value: { kind: 'session-gone', sequence, id, epoch }, problem: null }
}

function parseSessionChange(fields: Fields, sequence: number): Parsed<Change> {
  const record = parseSession(fields['id'] ?? '', fields)
  if (record.value === null) return record
  const held = { count: parseCount(fields['held']) ?? 0, atUs: Number(fields['at'] ?? '0') }
  return { value: { kind: 'session', sequence, record: record.value, held }, problem: null }
}

function isFields(value: unknown): value is Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  return Object.values(value).every(field => typeof field === 'string')
}
