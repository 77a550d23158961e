import {
  type AddressInfo,
  type BlockList,
  type LookupFunction,
  type Server,
  type Socket,
  createServer,
  isIPv6
} from 'node:net'
import { type Duplex, duplexPair } from 'node:stream'

import { type AnswerFormat, answerText, formatDetail } from './answers.ts'
import { DownstreamConnection } from './downstream-connection.ts'
import { requestFieldTable, responseFieldTable } from './field-table.ts'
import { DEFAULT_LIMITS, type Limits } from './limits.ts'
import { OutputBuffer } from './output-buffer.ts'
import type { LimitTicks, ProxyShared, ProxyStats } from './proxy-shared.ts'
import { RequestHead } from './request-head.ts'
import type { Resolver } from './resolver.ts'
import { ResponseHead } from './response-head.ts'
import { SavedRequestPool } from './saved-request.ts'
import { TimerWheel } from './timer-wheel.ts'
import { StreamTransport, localConnection } from './stream-transport.ts'
import type { Transport } from './transport.ts'
import { UpstreamConnection, type UpstreamShared } from './upstream-connection.ts'
import { Upstream } from './upstream.ts'

/** Options of `HttpProxy`; field names are lower case. */
export interface HttpProxyOptions {
  readonly resolver: Resolver
  readonly limits?: Partial<Limits>
  /** Request fields whose values the resolver reads; a request that repeats one is refused. */
  readonly capturedFields?: readonly string[]
  /** Request fields that clients may not send on. */
  readonly strippedFields?: readonly string[]
  /** Request fields that do not pass with an upgrade. */
  readonly strippedOnUpgrade?: readonly string[]
  /** Response field by which an upstream says, with status 421 or 503, that it did not act upon a request. */
  readonly refusalField?: string
  /** Peers whose X-Forwarded-For, -Host and -Proto are believed. */
  readonly trustedProxies?: BlockList
  /** Protocols that a connection may be upgraded to, lower case. Default: websocket. */
  readonly upgradeProtocols?: readonly string[]
  /** Sets `exchange.target`. Default: true. */
  readonly keepTarget?: boolean
  /** A client that sent FIN after its request still gets the response. Default: false, FIN cancels the request. */
  readonly servesHalfClosed?: boolean
  /** Form of the proxy's own answers. */
  readonly format?: AnswerFormat
  /** Tick of all time limits in milliseconds. Default: 100. */
  readonly timerResolutionMs?: number
  readonly onError?: (error: unknown) => void
  /** How connections are made. Default: `StreamTransport`. */
  readonly transport?: Transport
  /** Resolves names of upstreams; may refuse addresses that must not be dialled. Default: the system's. */
  readonly lookup?: LookupFunction
}

const READ_BUFFER_BYTES = 65_536
const OUTPUT_SLACK_BYTES = 8_192
const BACKLOG = 4_096
const MAX_LINGERING_REJECTS = 256

/** An HTTP/1.1 reverse proxy on plain sockets. It knows where requests go only by asking its resolver. */
export class HttpProxy {
  readonly stats: ProxyStats = { connections: 0, accepted: 0, rejected: 0, activeRequests: 0 }
  readonly limits: Limits
  readonly #server: Server
  readonly #wheel: TimerWheel
  readonly #shared: ProxyShared
  readonly #upstreamShared: UpstreamShared
  readonly #transport: Transport
  readonly #resolution: { lookup?: LookupFunction }
  readonly #connections = new Set<DownstreamConnection>()
  readonly #perClient = new Map<string, number>()
  readonly #trustedProxies: BlockList | null
  readonly #rejected = new Set<Socket>()
  #draining = false
  #onEmpty: (() => void) | null = null

  constructor(options: HttpProxyOptions) {
    this.limits = checkedLimits({ ...DEFAULT_LIMITS, ...options.limits })
    this.#wheel = new TimerWheel(options.timerResolutionMs ?? 100)
    this.#trustedProxies = options.trustedProxies ?? null
    this.#shared = this.#makeShared(options)
    const responseFields = responseFieldTable(options.refusalField ?? null)
    this.#upstreamShared = {
      limits: this.limits,
      wheel: this.#wheel,
      responseFields,
      responseHead: new ResponseHead(responseFields, this.limits),
      upstreamIdleTicks: this.#wheel.ticks(this.limits.upstreamIdleTimeoutMs)
    }
    this.#transport = options.transport ?? new StreamTransport()
    this.#resolution = options.lookup === undefined ? {} : { lookup: options.lookup }
    const pauseOnConnect = this.#transport.acceptsPaused
    this.#server = createServer({ noDelay: true, allowHalfOpen: true, pauseOnConnect }, socket => this.#accept(socket))
  }

  #makeShared(options: HttpProxyOptions): ProxyShared {
    const { limits } = this
    const capturedFields = options.capturedFields ?? []
    const requestFields = requestFieldTable({
      captured: capturedFields,
      stripped: options.strippedFields ?? []
    })
    return {
      resolver: options.resolver,
      limits,
      ticks: this.#limitTicks(),
      wheel: this.#wheel,
      output: new OutputBuffer(READ_BUFFER_BYTES + limits.maxHeaderBytes + OUTPUT_SLACK_BYTES),
      requestHead: new RequestHead(requestFields, { bounds: limits, capturedFields }),
      requestFields,
      savedRequests: new SavedRequestPool(),
      upgradeProtocols: options.upgradeProtocols ?? ['websocket'],
      strippedOnUpgrade: new Set(options.strippedOnUpgrade),
      keepTarget: options.keepTarget ?? true,
      servesHalfClosed: options.servesHalfClosed ?? false,
      format: options.format ?? formatDetail,
      stats: this.stats,
      isDraining: () => this.#draining,
      onClosed: connection => this.#forget(connection),
      onError: options.onError ?? rethrowLater
    }
  }

  #limitTicks(): LimitTicks {
    const ticks = (durationMs: number): number => this.#wheel.ticks(durationMs)
    const { limits } = this
    return {
      requestHead: ticks(limits.requestHeadTimeoutMs),
      keepAlive: ticks(limits.keepAliveTimeoutMs),
      connect: ticks(limits.connectTimeoutMs),
      responseHead: ticks(limits.responseHeadTimeoutMs),
      bodyIdle: ticks(limits.bodyIdleTimeoutMs),
      request: ticks(limits.requestTimeoutMs),
      upgradeIdle: ticks(limits.upgradeIdleTimeoutMs),
      linger: ticks(limits.lingerTimeoutMs)
    }
  }

  /** Begins to accept. Rejects with the system's error, `EADDRINUSE` for instance. */
  listen(options: { host: string; port: number; reusePort?: boolean }): Promise<AddressInfo> {
    this.#wheel.start()
    const { promise, resolve, reject } = Promise.withResolvers<AddressInfo>()
    this.#server.once('error', reject)
    this.#server.listen({ ...options, backlog: BACKLOG }, () => {
      this.#server.removeListener('error', reject)
      this.#server.on('error', this.#shared.onError)
      resolve(this.#server.address() as AddressInfo)
    })
    return promise
  }

  /** Makes an upstream with a pool of its own; the caller keeps it as long as requests go there and closes it. */
  upstream(host: string, port: number): Upstream {
    return new Upstream({ host, port, dial: upstream => this.#dial(upstream) })
  }

  /** Makes an upstream inside this process: each connection is one end of a stream pair, `accept` gets the other. */
  localUpstream(accept: (duplex: Duplex) => void): Upstream {
    return new Upstream({
      host: 'localhost',
      port: 0,
      dial: upstream => {
        const [near, far] = duplexPair()
        near.once('close', () => far.destroy())
        const connection = new UpstreamConnection(upstream, this.#upstreamShared)
        connection.bind(localConnection(near))
        accept(far)
        queueMicrotask(() => connection.onConnected())
        return connection
      }
    })
  }

  #dial(upstream: Upstream): UpstreamConnection {
    const connection = new UpstreamConnection(upstream, this.#upstreamShared)
    const { host, port } = upstream
    const onConnected = (): void => connection.onConnected()
    connection.bind(this.#transport.dial({ host, port, onConnected, ...this.#resolution }))
    return connection
  }

  #accept(socket: Socket): void {
    const clientAddress = plainAddress(socket.remoteAddress ?? '')
    this.stats.accepted++
    if (this.#draining || this.#isOverLimit(clientAddress)) {
      this.#reject(socket)
      return
    }
    this.stats.connections++
    if (this.limits.maxConnectionsPerClient > 0) this.#countClient(clientAddress, 1)
    const connection = this.#transport.accept(socket)
    const trusted = this.#trustedProxies?.check(clientAddress, isIPv6(clientAddress) ? 'ipv6' : 'ipv4') ?? false
    this.#connections.add(new DownstreamConnection(this.#shared, { connection, clientAddress, trusted }))
  }

  #isOverLimit(clientAddress: string): boolean {
    const { maxConnections, maxConnectionsPerClient } = this.limits
    if (maxConnections > 0 && this.stats.connections >= maxConnections) return true
    return maxConnectionsPerClient > 0 && (this.#perClient.get(clientAddress) ?? 0) >= maxConnectionsPerClient
  }

  /** Answers 503. A bounded number of such sockets lingers, so that the answer arrives; the others close at once. */
  #reject(socket: Socket): void {
    this.stats.rejected++
    socket.on('error', () => socket.destroy())
    if (this.#rejected.size >= MAX_LINGERING_REJECTS) {
      socket.destroy()
      return
    }
    this.#rejected.add(socket)
    socket.once('close', () => this.#rejected.delete(socket))
    const { fields, body } = this.#shared.format(503, 'too many connections')
    const answer = { kind: 'answer', status: 503, fields: `${fields}Retry-After: 1\r\n`, body, outcome: '' } as const
    socket.end(answerText(answer, { close: true, keepAlive: false, withBody: true }))
    socket.once('end', () => socket.destroy()).resume()
    socket.setTimeout(this.limits.lingerTimeoutMs, () => socket.destroy())
  }

  #countClient(clientAddress: string, change: number): void {
    const count = (this.#perClient.get(clientAddress) ?? 0) + change
    if (count === 0) this.#perClient.delete(clientAddress)
    else this.#perClient.set(clientAddress, count)
  }

  #forget(connection: DownstreamConnection): void {
    if (!this.#connections.delete(connection)) return
    this.stats.connections--
    if (this.limits.maxConnectionsPerClient > 0) this.#countClient(connection.fields.address, -1)
    if (this.#connections.size === 0) this.#onEmpty?.()
  }

  /**
   * Stops gracefully: accepts nothing new, closes idle connections, sends `Connection: close` with what is under way, a close
   * frame (1001) to WebSockets; after `deadlineMs` ends what is left.
   */
  async drain(deadlineMs: number): Promise<void> {
    this.#draining = true
    if (this.#server.listening) this.#server.close()
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#onEmpty = resolve
    const timer = setTimeout(resolve, deadlineMs)
    for (const connection of this.#connections) connection.drain()
    if (this.#connections.size > 0) await promise
    clearTimeout(timer)
    this.close()
  }

  /** Ends everything at once. Upstreams belong to whoever made them. */
  close(): void {
    this.#draining = true
    if (this.#server.listening) this.#server.close()
    for (const connection of this.#connections) connection.destroy('shutdown')
    for (const socket of this.#rejected) socket.destroy()
    this.#wheel.close()
  }
}

function checkedLimits(limits: Limits): Limits {
  for (const name of ['maxHeaderBytes', 'maxHeaderCount', 'maxTargetBytes'] as const) {
    if (limits[name] < 1) throw new RangeError(`${name} must be at least 1, not ${limits[name]}`)
  }
  return limits
}

/** An IPv4 address that came over an IPv6 socket is shown as what it is. */
function plainAddress(address: string): string {
  return address.startsWith('::ffff:') ? address.slice('::ffff:'.length) : address
}

function rethrowLater(error: unknown): void {
  queueMicrotask(() => {
    throw error
  })
}
