import { REFUSAL_REASONS } from '../../lib/protocol.ts'
import { errorAnswer } from '../errors.ts'
import { accessLogLine } from '../access-log-line.ts'
import { RequestContext } from './request-context.ts'
import { routeKeyOf, withoutQuery } from './route-key.ts'
import { SANDBOX_FIELD, sandboxHeaderFault } from './sandbox-headers.ts'
import { parseSandboxTimeout } from './sandbox-timeout.ts'
import type { AccessLog } from '../access-log.ts'
import type { ErrorCode } from '../errors.ts'
import type { Exchange } from '../http/exchange.ts'
import type { RequestHead } from '../http/request-head.ts'
import type { Answer, Resolver, Route, UpstreamFailure } from '../http/resolver.ts'
import type { GatewayMetrics } from '../metrics.ts'
import type { Registry, SessionEntry } from '../registry/registry.ts'
import type { Retrier } from './retrier.ts'
import type { SessionFinder } from './session-finder.ts'

/** What a resolver works with. */
export interface SessionResolverOptions {
  readonly registry: Registry
  readonly finder: SessionFinder
  readonly retrier: Retrier
  readonly metrics: GatewayMetrics
  /** Null where no access log is kept. */
  readonly accessLog: AccessLog | null
  readonly proxyTimeoutMs: number
  readonly allowLoopbackPodIp: boolean
}

const HEALTH_PATH = Buffer.from('/healthz', 'latin1')
const HEALTHY: Answer = {
  kind: 'answer',
  status: 200,
  fields: 'Content-Type: application/json\r\n',
  body: '{"status":"ok"}',
  outcome: 'ok'
}

/** Tells the proxy where requests go: by X-Sandbox-ID, else by path. A session that the routing table knows costs no promise and no round trip. */
export class SessionResolver implements Resolver {
  readonly #options: SessionResolverOptions
  #management: Route | Answer = errorAnswer('route-unknown', 'regina')

  constructor(options: SessionResolverOptions) {
    this.#options = options
  }

  /** Sets where requests for the gateway's own API go; before that they find nothing. */
  serveManagement(route: Route): void {
    this.#management = route
  }

  resolve(head: RequestHead, exchange: Exchange): Route | Answer | Promise<Route | Answer> {
    if (head.pathStartsWith(HEALTH_PATH) && isHealthCheck(head)) return HEALTHY
    const id = head.captured(SANDBOX_FIELD.id)
    return id === null || id === '' ? this.#resolvePath(head, exchange) : this.#resolveHeaders(id, head, exchange)
  }

  async retry(exchange: Exchange, failure: UpstreamFailure): Promise<Route | Answer> {
    const context = contextOf(exchange)
    if (context === null || context.entry === null) return errorAnswer('internal', 'regina')
    const next = await this.#options.retrier.next(context.entry, { context, exchange, failure })
    if (typeof next === 'string') return errorAnswer(next, context.dialect, context.sessionId)
    this.#options.metrics.replayed(replayReason(failure))
    return useEntry(context, exchange, next)
  }

  finish(exchange: Exchange): void {
    const { metrics, accessLog } = this.#options
    const context = contextOf(exchange)
    const endedAtMs = performance.now()
    const { status, outcome } = exchange
    const durationMs = endedAtMs - exchange.startedAtMs
    metrics.requests.observe({ route: context?.route ?? 'none', status, outcome, durationMs })
    accessLog?.add(accessLogLine(exchange, { context, endedAtMs, timeMs: Date.now() }))
  }

  #resolveHeaders(id: string, head: RequestHead, exchange: Exchange): Route | Answer | Promise<Route | Answer> {
    const entry = this.#options.registry.cached(id)
    // A key of the routing table has passed the check before.
    const isChecked = entry !== undefined && !hasOptionalFields(head)
    const fault = isChecked ? null : this.#faultOf(id, head)
    if (fault !== null) return refuse(new RequestContext('sandbox', '', null), exchange, fault)
    return this.#toSession(new RequestContext('sandbox', id, entry ?? null), head, exchange)
  }

  #faultOf(id: string, head: RequestHead): ErrorCode | null {
    const headers = {
      id,
      namespace: head.captured(SANDBOX_FIELD.namespace),
      port: head.captured(SANDBOX_FIELD.port),
      podIp: head.captured(SANDBOX_FIELD.podIp)
    }
    return sandboxHeaderFault(headers, { allowLoopback: this.#options.allowLoopbackPodIp })
  }

  #resolvePath(head: RequestHead, exchange: Exchange): Route | Answer | Promise<Route | Answer> {
    const key = routeKeyOf(head.method, head.path)
    switch (key.kind) {
      case 'management':
        exchange.context = new RequestContext('management', '', null)
        return this.#management
      case 'error': {
        const route = key.code === 'sandbox-id-missing' ? 'sandbox' : 'instance'
        return refuse(new RequestContext(route, '', null), exchange, key.code)
      }
      case 'session': {
        const entry = this.#options.registry.cached(key.id) ?? null
        return this.#toSession(new RequestContext('instance', key.id, entry), head, exchange)
      }
    }
  }

  #toSession(context: RequestContext, head: RequestHead, exchange: Exchange): Route | Promise<Route | Answer> {
    exchange.context = context
    if (head.hasCaptured(SANDBOX_FIELD.timeout)) this.#takeTimeout(context, head, exchange)
    return context.entry === null ? this.#findSession(context, exchange) : context.entry.route
  }

  async #findSession(context: RequestContext, exchange: Exchange): Promise<Route | Answer> {
    const found = await this.#options.finder.find(context, exchange)
    return typeof found === 'string'
      ? errorAnswer(found, context.dialect, context.sessionId)
      : useEntry(context, exchange, found)
  }

  #takeTimeout(context: RequestContext, head: RequestHead, exchange: Exchange): void {
    const text = head.captured(SANDBOX_FIELD.timeout) ?? ''
    const timeoutMs = parseSandboxTimeout(text, this.#options.proxyTimeoutMs)
    if (timeoutMs === null) this.#options.metrics.timeoutIgnored()
    else context.budgetMs = exchange.responseHeadTimeoutMs = timeoutMs
  }
}

/** One of a few words: what a pod writes into its refusal must not make new time series. */
function replayReason({ kind, refusal }: UpstreamFailure): string {
  if (kind !== 'refused') return kind
  return REFUSAL_REASONS.find(reason => reason === refusal) ?? 'refused'
}

function hasOptionalFields(head: RequestHead): boolean {
  const { namespace, port, podIp } = SANDBOX_FIELD
  return head.hasCaptured(namespace) || head.hasCaptured(port) || head.hasCaptured(podIp)
}

function isHealthCheck(head: RequestHead): boolean {
  return (head.method === 'GET' || head.method === 'HEAD') && withoutQuery(head.path) === '/healthz'
}

function contextOf(exchange: Exchange): RequestContext | null {
  return exchange.context instanceof RequestContext ? exchange.context : null
}

/** The route of an entry that was waited for: the client's own limit runs from the request's head, not from here. */
function useEntry(context: RequestContext, exchange: Exchange, entry: SessionEntry): Route {
  context.entry = entry
  const { budgetMs } = context
  if (budgetMs > 0) exchange.responseHeadTimeoutMs = Math.max(1, exchange.startedAtMs + budgetMs - performance.now())
  return entry.route
}

function refuse(context: RequestContext, exchange: Exchange, code: ErrorCode): Answer {
  exchange.context = context
  return errorAnswer(code, context.dialect)
}
