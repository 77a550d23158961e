import type { RegistryClient } from '../../lib/registry-client.ts'
import type { SessionRecord } from '../../lib/registry-schema.ts'

/** One page of all sessions; cursor null: there are no more. */
export interface SessionPage {
  readonly sessions: SessionRecord[]
  readonly cursor: string | null
}

interface Position {
  /** Empty: the orphans, which come last. */
  readonly memberId: string
  /** SSCAN's cursor. */
  readonly scan: string
}

/**
 * Lists sessions member by member, then the orphans, in pages of about `limit` (a little more where Redis gives more at a time).
 * A session that moves meanwhile may be missed or come twice. A cursor that is not one of ours begins anew.
 */
export async function listSessions(
  client: RegistryClient,
  options: { cursor: string | undefined; limit: number }
): Promise<SessionPage> {
  const { memberIds } = await client.overview()
  const order = [...memberIds.toSorted(), '']
  const sessions: SessionRecord[] = []
  let position: Position | null = parseCursor(options.cursor) ?? { memberId: order[0] ?? '', scan: '0' }
  while (position !== null && sessions.length < options.limit) {
    const { memberId, scan }: Position = position
    const source = memberId === '' ? null : memberId
    const [next, ids] = await client.scanOwned(source, { cursor: scan, limit: options.limit })
    sessions.push(...(await client.readSessions(ids)))
    position = next === '0' ? following(order, memberId) : { memberId, scan: next }
  }
  return { sessions, cursor: position === null ? null : `${position.memberId}/${position.scan}` }
}

function parseCursor(cursor: string | undefined): Position | null {
  const match = /^([-a-z0-9]{0,63})\/(\d{1,20})$/.exec(cursor ?? '')
  return match === null ? null : { memberId: match[1] ?? '', scan: match[2] ?? '0' }
}

function following(order: readonly string[], memberId: string): Position | null {
  if (memberId === '') return null
  return { memberId: order.find(id => id === '' || id > memberId) ?? '', scan: '0' }
}
