import type { SessionRecord } from '../../lib/registry-schema.ts'
import type { Route } from '../http/resolver.ts'
import type { MemberEntry } from './member-entry.ts'

/** A session whose owner is alive, and the way there. */
export interface SessionEntry {
  readonly kind: 'owned'
  readonly record: SessionRecord
  readonly member: MemberEntry
  readonly route: Route
}

/** A session without a live owner: its lease lapsed, or it released the session. */
export interface Orphan {
  readonly kind: 'orphan'
  readonly record: SessionRecord
}
