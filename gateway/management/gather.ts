import { MISSING_MEMBERS_HEADER } from '../../lib/protocol.ts'
import { isObject, parseJson } from './http-io.ts'
import type { MemberEntry } from '../registry/registry.ts'
import type { MemberClient } from './member-client.ts'

/** What all pods said to one question. */
export interface Gathered {
  /** Parsed JSON of the pods that answered 200, with who said it, in the order of member ids. */
  readonly answers: readonly { readonly member: MemberEntry; readonly value: unknown }[]
  /** Pods that answered 404. */
  readonly unknownTo: number
  /** Ids of pods that gave no usable answer in time. */
  readonly missing: readonly string[]
}

/** Asks every pod the same question at the same time; takes no longer than `timeoutMs`, and a pod that fails only misses. */
export async function gather(
  client: MemberClient,
  members: readonly MemberEntry[],
  options: { path: string; timeoutMs: number }
): Promise<Gathered> {
  const inOrder = members.toSorted((a, b) => (a.id < b.id ? -1 : 1))
  const results = await Promise.all(
    inOrder.map(async member => ({ member, result: await client.ask(member, { method: 'GET', ...options }) }))
  )
  const answers = []
  const missing = []
  let unknownTo = 0
  for (const { member, result } of results) {
    const answer = 'answer' in result ? result.answer : null
    const value = answer?.status === 200 ? parseJson(answer.text) : undefined
    if (value !== undefined) answers.push({ member, value })
    else if (answer?.status === 404) unknownTo++
    else missing.push(member.id)
  }
  return { answers, unknownTo, missing }
}

/** The header that names the pods that are missing from an answer; empty where none is. */
export function missingFields({ missing }: Gathered): Record<string, string> {
  return missing.length === 0 ? {} : { [MISSING_MEMBERS_HEADER]: missing.join(',') }
}

/**
 * Joins the lists that pods gave into one, in which each value of `key` stands once. Of two items with the same key the one that `prefers` chooses stays, else the first.
 * Whatever is not an object with a text under `key` is left out.
 */
export function mergeLists(
  { answers }: Gathered,
  options: { key: string; prefers?: (item: Record<string, unknown>, member: MemberEntry) => boolean }
): Record<string, unknown>[] {
  const merged = new Map<string, Record<string, unknown>>()
  for (const { member, value } of answers) {
    for (const item of Array.isArray(value) ? (value as unknown[]) : []) {
      const key = isObject(item) ? item[options.key] : undefined
      if (!isObject(item) || typeof key !== 'string') continue
      if (!merged.has(key) || options.prefers?.(item, member) === true) merged.set(key, item)
    }
  }
  return [...merged.values()]
}
