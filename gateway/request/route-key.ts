import { isDnsLabel } from '../../lib/ids.ts'
import type { ErrorCode } from '../errors.ts'

/** What a request without X-Sandbox-ID asks for, as its method and path say. */
export type RouteKey =
  | { readonly kind: 'session'; readonly id: string }
  | { readonly kind: 'management' }
  | { readonly kind: 'error'; readonly code: ErrorCode }

const MANAGEMENT: RouteKey = { kind: 'management' }
const SESSION_UNKNOWN: RouteKey = { kind: 'error', code: 'session-unknown' }
const ROUTE_UNKNOWN: RouteKey = { kind: 'error', code: 'route-unknown' }
const NO_KEY: RouteKey = { kind: 'error', code: 'sandbox-id-missing' }
const INSTANCES = '/instances/'

/**
 * Finds the route key of a request in its path, which is split on literal slashes and never decoded: an id must stand there as the DNS label that it is.
 *
 * `/instances/:id` and all below it belong to that session, except `GET /instances/:id`, which the gateway explains itself.
 * `/agents` and all below it are the gateway's own. Any other path is for a session, and lacks the header that would name it.
 */
export function routeKeyOf(method: string, target: string): RouteKey {
  if (target.startsWith(INSTANCES)) return instanceKey(method, target)
  const path = withoutQuery(target)
  if (path === '/agents' || path.startsWith('/agents/')) return MANAGEMENT
  return path === '/instances' ? ROUTE_UNKNOWN : NO_KEY
}

function instanceKey(method: string, target: string): RouteKey {
  let end = INSTANCES.length
  while (end < target.length && target[end] !== '/' && target[end] !== '?') end++
  const id = target.slice(INSTANCES.length, end)
  if (!isDnsLabel(id)) return SESSION_UNKNOWN
  const isWholePath = end === target.length || target[end] === '?'
  return isWholePath && (method === 'GET' || method === 'HEAD') ? MANAGEMENT : { kind: 'session', id }
}

/** The path of an origin-form target. */
export function withoutQuery(target: string): string {
  const question = target.indexOf('?')
  return question < 0 ? target : target.slice(0, question)
}
