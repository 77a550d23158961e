import { checkedLookup } from '../lib/registry-address.ts'
import { EPOCH_HEADER, REFUSED_HEADER, SESSION_HEADER } from '../lib/protocol.ts'
import { HoldQueue } from './failover/hold-queue.ts'
import { Mover } from './failover/mover.ts'
import { handleTransport } from './http/handle-transport.ts'
import { HttpProxy } from './http/http-proxy.ts'
import { StreamTransport } from './http/stream-transport.ts'
import { ManagementServer } from './management/management-server.ts'
import { MemberClient } from './management/member-client.ts'
import { SessionCreator } from './management/session-creator.ts'
import { GatewayMetrics } from './metrics.ts'
import { Registry } from './registry/registry.ts'
import { Retrier } from './request/retrier.ts'
import { CAPTURED_FIELDS } from './request/sandbox-headers.ts'
import { SessionFinder } from './request/session-finder.ts'
import { SessionResolver } from './request/session-resolver.ts'
import { trustedProxyList } from './trusted-proxies.ts'
import type { Logger } from '../lib/log.ts'
import type { AccessLog } from './access-log.ts'
import type { GatewayConfig } from './config.ts'
import type { Limits } from './http/limits.ts'
import type { Transport } from './http/transport.ts'
import type { Upstream } from './http/upstream.ts'

/** The parts of one gateway that have a lifecycle. */
export interface GatewayParts {
  readonly registry: Registry
  readonly proxy: HttpProxy
  readonly mover: Mover
  readonly client: MemberClient
  readonly management: ManagementServer
  readonly managementUpstream: Upstream
  readonly metrics: GatewayMetrics
}

/** What a gateway is made from. */
export interface GatewayIngredients {
  readonly config: GatewayConfig
  readonly log: Logger
  readonly accessLog: AccessLog | null
}

/** Builds a gateway's parts and ties them together. Does no I/O. */
export function assembleGateway(ingredients: GatewayIngredients): GatewayParts {
  const { config, log, accessLog } = ingredients
  const metrics = new GatewayMetrics()
  // Members come up only after the start, when the proxy below exists.
  const registry: Registry = makeRegistry(config, log, (host, port) => proxy.upstream(host, port))
  const mover = new Mover({ registry, metrics, probeTimeoutMs: config.probeTimeoutMs, log })
  const queues = makeQueues(config, metrics)
  const { lookupTimeoutMs, holdTimeoutMs, maxReplayBytes, proxyTimeoutMs } = config
  const finder = new SessionFinder({
    registry,
    mover,
    ...queues,
    lookupTimeoutMs,
    holdTimeoutMs,
    heldBodyBytes: maxReplayBytes
  })
  const retrier = new Retrier({ finder, mover, log })
  const resolver = new SessionResolver({
    registry,
    finder,
    retrier,
    metrics,
    accessLog,
    proxyTimeoutMs,
    allowLoopbackPodIp: config.allowLoopbackMembers
  })
  const proxy = makeProxy(ingredients, resolver)
  const { client, management } = makeManagement(ingredients, { registry, mover, metrics })
  const managementUpstream = proxy.localUpstream(duplex => management.connect(duplex))
  resolver.serveManagement({ kind: 'route', upstream: managementUpstream, addedFields: '' })
  metrics.addGauges(gaugeSources({ registry, proxy, ...queues, accessLog }))
  return { registry, proxy, mover, client, management, managementUpstream, metrics }
}

function makeRegistry(config: GatewayConfig, log: Logger, makeUpstream: (host: string, port: number) => Upstream) {
  const { redisUrl, redisPrefix, heartbeatMs, allocation, allowLoopbackMembers } = config
  return new Registry({
    redisUrl,
    redisPrefix,
    heartbeatMs,
    allocation,
    allowLoopbackMembers,
    makeUpstream,
    log
  })
}

function makeQueues(config: GatewayConfig, metrics: GatewayMetrics): { lookups: HoldQueue; moves: HoldQueue } {
  const { maxLookups, maxHeldRequests, maxHeldPerSession, maxHeldBytes } = config
  // A lookup takes milliseconds and any session may need one: only their number is bounded.
  const lookupLimits = { maxRequests: maxLookups, maxRequestsPerSession: maxLookups, maxBytes: Infinity }
  const moveLimits = { maxRequests: maxHeldRequests, maxRequestsPerSession: maxHeldPerSession, maxBytes: maxHeldBytes }
  return {
    lookups: new HoldQueue(lookupLimits, result => metrics.held('lookup', result)),
    moves: new HoldQueue(moveLimits, result => metrics.held('move', result))
  }
}

function makeProxy({ config, log, accessLog }: GatewayIngredients, resolver: SessionResolver): HttpProxy {
  return new HttpProxy({
    resolver,
    limits: limitsOf(config),
    capturedFields: CAPTURED_FIELDS,
    strippedFields: [SESSION_HEADER, EPOCH_HEADER, REFUSED_HEADER],
    // A browser's origin means nothing to the pod, and agent-sandbox's router drops it too.
    strippedOnUpgrade: ['origin'],
    refusalField: REFUSED_HEADER,
    trustedProxies: trustedProxyList(config.trustedProxies),
    keepTarget: accessLog !== null,
    lookup: checkedLookup({ allowLoopback: config.allowLoopbackMembers }),
    transport: makeTransport(config, log),
    onError: error => log.error({ err: error }, 'request failed')
  })
}

function makeTransport(config: GatewayConfig, log: Logger): Transport {
  if (config.transport === 'stream') return new StreamTransport()
  const transport = handleTransport()
  if (transport === null) log.warn('this Node has no usable internal handles; transport "stream" is used instead')
  return transport ?? new StreamTransport()
}

function limitsOf(config: GatewayConfig): Limits {
  const { maxHeaderBytes, maxTargetBytes, maxRequestBodyBytes, maxReplayBytes } = config
  return {
    ...config,
    maxHeaderBytes,
    maxTargetBytes,
    maxRequestBodyBytes,
    maxReplayBytes,
    responseHeadTimeoutMs: config.proxyTimeoutMs
  }
}

function makeManagement(
  { config, log }: GatewayIngredients,
  parts: { registry: Registry; mover: Mover; metrics: GatewayMetrics }
): { client: MemberClient; management: ManagementServer } {
  const { connectTimeoutMs, createTimeoutMs, gatherTimeoutMs } = config
  const client = new MemberClient({ connectTimeoutMs })
  const creator = new SessionCreator({ ...parts, client, createTimeoutMs, log })
  return { client, management: new ManagementServer({ ...parts, creator, client, gatherTimeoutMs, log }) }
}

function gaugeSources(parts: {
  registry: Registry
  proxy: HttpProxy
  lookups: HoldQueue
  moves: HoldQueue
  accessLog: AccessLog | null
}) {
  const { registry, proxy, lookups, moves, accessLog } = parts
  return {
    connections: () => proxy.stats.connections,
    acceptedConnections: () => proxy.stats.accepted,
    rejectedConnections: () => proxy.stats.rejected,
    activeRequests: () => proxy.stats.activeRequests,
    heldRequests: () => moves.requests,
    heldBytes: () => moves.bytes,
    pendingLookups: () => lookups.requests,
    registryAvailable: () => registry.available,
    cachedRoutes: () => registry.cachedRoutes,
    liveMembers: () => registry.members().length,
    accessLogLines: () => accessLog?.lines ?? 0,
    accessLogDropped: () => accessLog?.dropped ?? 0
  }
}
