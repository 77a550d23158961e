import type { SessionPage, MemberView, Readiness } from '../admin/admin-source.ts'
import type { GatewayConfig } from '../config.ts'

/** What a worker answers to each question of the primary. */
export interface Answers {
  readonly readiness: Readiness
  /** As prom-client's `getMetricsAsJSON` gives them. */
  readonly metrics: readonly object[]
  readonly members: readonly MemberView[]
  readonly sessions: SessionPage
}

/** One question of the primary; a worker answers with `Answers[what]`. */
export type Question =
  | { readonly what: 'readiness' | 'metrics' | 'members' }
  | { readonly what: 'sessions'; readonly cursor?: string; readonly limit: number }

/** From the primary to a worker. */
export type PrimaryMessage =
  | { readonly kind: 'start'; readonly config: GatewayConfig; readonly port: number }
  | { readonly kind: 'ask'; readonly number: number; readonly question: Question }
  | { readonly kind: 'close' }

/** From a worker to the primary. */
export type WorkerMessage =
  | { readonly kind: 'ready'; readonly port: number }
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'answer'; readonly number: number; readonly value: unknown }
  | { readonly kind: 'refusal'; readonly number: number; readonly code: string }

/** Types a message of the channel: both ends are this program, so its kind is enough. */
export function isMessage<T extends PrimaryMessage | WorkerMessage>(
  value: unknown,
  kinds: readonly T['kind'][]
): value is T {
  if (typeof value !== 'object' || value === null || !('kind' in value)) return false
  return (kinds as readonly unknown[]).includes(value.kind)
}
