import type { SessionRecord } from '../../lib/registry-schema.ts'

/** `starting`: the registry was never reached so far. A registry that is lost later does not make a gateway unready: known sessions keep working. */
export type Readiness = 'ready' | 'starting' | 'draining'

/** A live pod, as `GET /members` of the admin listener shows it. */
export interface MemberView {
  readonly id: string
  readonly bootId: string
  readonly address: string
  readonly state: string
  readonly pid: number
  readonly agents: readonly string[]
  readonly capacity: number
  /** Sessions it owns, by the registry's count. */
  readonly sessions: number
}

/** One page of `GET /sessions`; a null cursor ends the list. */
export interface SessionPage {
  readonly sessions: readonly SessionRecord[]
  readonly cursor: string | null
}

/** Where the admin listener gets what it shows: the gateway in this process, or its workers. Rejections are answered with an error. */
export interface AdminSource {
  readiness(): Promise<Readiness>
  /** The metrics in Prometheus' text format. */
  metrics(): Promise<string>
  members(): Promise<readonly MemberView[]>
  sessions(options: { cursor?: string; limit: number }): Promise<SessionPage>
}
