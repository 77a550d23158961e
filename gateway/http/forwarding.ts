import { answerText } from './answers.ts'
import { BodyFraming, FRAMING } from './body-framing.ts'
import { type ClientInput, PAUSED } from './client-input.ts'
import { Exchange } from './exchange.ts'
import { type ClientFields, writeForwardedHead } from './forwarded-head.ts'
import { headErrorText } from './head-error.ts'
import type { ProxyShared } from './proxy-shared.ts'
import { mayReplay } from './replay-decision.ts'
import type { Answer, Route, UpstreamFailure } from './resolver.ts'
import type { ResponseHead } from './response-head.ts'
import { ResponseWriter } from './response-writer.ts'
import { SavedRequest } from './saved-request.ts'
import type { Connection } from './transport.ts'
import { Tunnel } from './tunnel.ts'
import type { ResponseSink, UpstreamConnection } from './upstream-connection.ts'

type Resolution = Route | Answer

/**
 * How a request leaves its client connection: `reuse` for another request; `close` once what is queued is out; `linger`
 * likewise, but the client may still be sending; `reset` so that the client sees the response is cut.
 */
export type RequestEnd = 'reuse' | 'close' | 'linger' | 'reset'

/** The client connection, as the request on it sees it. */
export interface ForwardingClient {
  readonly connection: Connection
  readonly input: ClientInput
  readonly fields: ClientFields
  /** Sets the time limit of the present step in ticks; 0 for none. */
  arm(ticks: number): void
  onRequestEnd(how: RequestEnd): void
  /** Kept input can be used again. */
  onInputWanted(): void
}

/** `held`: waits for a route or a connection. `sent`: its head is on its way. */
type Phase = 'none' | 'held' | 'sent' | 'tunnel'

/** The request under way on a client connection, from its head to its outcome. One object serves all requests of the connection, one after the other. */
export class Forwarding implements ResponseSink {
  expectsNoBody = false
  decodesChunks = false
  /** Tick at which the whole request must be over; 0 for never. */
  deadline = 0
  readonly #shared: ProxyShared
  readonly #client: ForwardingClient
  readonly #framing: BodyFraming
  readonly #saved: SavedRequest
  readonly #response: ResponseWriter
  #phase: Phase = 'none'
  #exchange: Exchange | null = null
  #route: Route | null = null
  #upstream: UpstreamConnection | null = null
  #tunnel: Tunnel | null = null
  #hasBody = false
  #upgradeTo: string | null = null
  #clientKeepAlive = false
  #closeAfter = false
  #retriedStale = false

  constructor(shared: ProxyShared, client: ForwardingClient) {
    this.#shared = shared
    this.#client = client
    this.#framing = new BodyFraming(shared.requestFields)
    this.#saved = new SavedRequest(shared.savedRequests)
    this.#response = new ResponseWriter(shared.output, client.connection)
  }

  get active(): boolean {
    return this.#exchange !== null
  }

  /** The client has sent all of its request. */
  get requestComplete(): boolean {
    return this.#framing.done
  }

  /** Bytes of the client can be used now. */
  get takesInput(): boolean {
    return this.#phase === 'tunnel' || (this.#phase === 'sent' && !this.#framing.done)
  }

  // ---- a request comes in

  /** Takes the request whose head has just been parsed; its body, as far as it is here, stands at `next` to `end`. */
  begin(bytes: Buffer, next: number, end: number): void {
    const { requestHead: head, resolver } = this.#shared
    const exchange = this.#open(head.method)
    if (this.#shared.keepTarget) exchange.target = head.path
    this.#readHeadOptions()
    const bodyEnd = this.#framing.consume(bytes, next, end)
    if (bodyEnd < 0) {
      this.refuse(bodyEnd)
      return
    }
    exchange.requestBytes = bodyEnd - next
    if (this.#isBodyTooLarge(head.fields.contentLength)) return
    this.#client.input.keep(bytes, bodyEnd, end)
    let resolution: Resolution | Promise<Resolution>
    try {
      resolution = resolver.resolve(head, exchange)
    } catch (error) {
      resolution = this.#internalError(error)
    }
    if (this.#exchange !== exchange) return
    if (!(resolution instanceof Promise) && resolution.kind === 'answer') this.#answer(resolution)
    else this.#start(resolution, bytes, next, bodyEnd)
  }

  #open(method: string): Exchange {
    const exchange = new Exchange(this.#client.fields.address, performance.now())
    exchange.method = method
    this.#exchange = exchange
    this.#phase = 'held'
    this.#response.reset()
    this.#retriedStale = this.expectsNoBody = this.decodesChunks = this.#clientKeepAlive = this.#closeAfter = false
    this.#shared.stats.activeRequests++
    const { request } = this.#shared.ticks
    this.deadline = request === 0 ? 0 : this.#shared.wheel.now + request
    return exchange
  }

  #readHeadOptions(): void {
    const head = this.#shared.requestHead
    const { fields } = head
    const old = head.minorVersion === 0
    this.#clientKeepAlive = old && fields.connectionKeepAlive && !fields.connectionClose
    this.#closeAfter = fields.connectionClose || (old && !fields.connectionKeepAlive)
    this.decodesChunks = old
    this.expectsNoBody = head.isHead
    this.#upgradeTo = fields.connectionUpgrade ? head.upgradeProtocol(this.#shared.upgradeProtocols) : null
    const kind = fields.chunked ? FRAMING.chunked : fields.contentLength > 0 ? FRAMING.length : FRAMING.none
    this.#framing.begin(kind, fields.contentLength)
    this.#hasBody = kind !== FRAMING.none
  }

  #isBodyTooLarge(announced: number): boolean {
    const { maxRequestBodyBytes: most } = this.#shared.limits
    if (most === 0 || (announced <= most && this.#framing.dataBytes <= most)) return false
    this.#fail({ status: 413, reason: `the request body is larger than ${most} bytes`, outcome: 'body-too-large' })
    return true
  }

  /** Puts the forwarded head together, keeps what another attempt would need, and makes the first. */
  #start(resolution: Route | Promise<Resolution>, bytes: Buffer, bodyStart: number, bodyEnd: number): void {
    const { output, limits } = this.#shared
    const head = this.#shared.requestHead
    if (this.#upgradeTo !== null) head.drop(this.#shared.strippedOnUpgrade)
    writeForwardedHead(output, head, { client: this.#client.fields, upgradeTo: this.#upgradeTo })
    const ready = !(resolution instanceof Promise) && resolution.upstream.idle.length > 0
    const keepsBody = !ready || bodyEnd - bodyStart <= limits.maxReplayBytes
    this.#saved.begin(output, keepsBody ? bodyEnd - bodyStart : 0)
    if (keepsBody) this.#saved.append(bytes, bodyStart, bodyEnd)
    else this.#saved.complete = false
    if (!ready) {
      output.clear()
      this.#settle(resolution)
      return
    }
    // A connection is at hand: what is in the output already goes out as it is.
    const upstream = this.#takeIdle(resolution)
    this.#writeTail(resolution)
    output.pass(bytes, bodyStart, bodyEnd, upstream.transport)
    this.#sent(upstream)
  }

  // ---- where it goes

  #settle(resolution: Resolution | Promise<Resolution>): void {
    if (!(resolution instanceof Promise)) {
      if (resolution.kind === 'route') this.#send(resolution)
      else this.#answer(resolution)
      return
    }
    const exchange = this.#exchange
    this.#hold(0)
    resolution
      .catch((error: unknown) => this.#internalError(error))
      .then(settled => {
        if (exchange === null || this.#exchange !== exchange) return
        exchange.onAbort = null
        this.#settle(settled)
        this.#client.onInputWanted()
      })
      .catch(this.#shared.onError)
  }

  #hold(ticks: number): void {
    this.#phase = 'held'
    this.#client.arm(ticks)
  }

  #internalError(error: unknown): Answer {
    this.#shared.onError(error)
    return this.#format(500, 'internal error', 'internal-error')
  }

  #send(route: Route): void {
    if (route.upstream.idle.length === 0) this.#dial(route)
    else this.#transmit(route, this.#takeIdle(route))
  }

  #takeIdle(route: Route): UpstreamConnection {
    const upstream = route.upstream.idle.pop()
    if (upstream === undefined) throw new Error('no idle connection')
    this.#attempt(route)
    this.#upstream = upstream
    upstream.attach(this)
    return upstream
  }

  #attempt(route: Route): void {
    this.#route = route
    const exchange = this.#exchange
    if (exchange === null) return
    exchange.attempts++
    exchange.upstream = route.upstream
  }

  #dial(route: Route): void {
    this.#attempt(route)
    const { maxConnectionsPerUpstream: most } = this.#shared.limits
    this.#hold(this.#shared.ticks.connect)
    if (most > 0 && route.upstream.connections >= most) {
      this.onAttemptFailed('saturated', { detail: `${most} connections`, refusal: '', responded: false })
      return
    }
    this.#upstream = route.upstream.dial(route.upstream)
    this.#upstream.attach(this)
  }

  onUpstreamConnected(): void {
    if (this.#route !== null && this.#upstream !== null) this.#transmit(this.#route, this.#upstream)
    this.#client.onInputWanted()
  }

  /** Sends the saved request. */
  #transmit(route: Route, upstream: UpstreamConnection): void {
    const { output } = this.#shared
    const saved = this.#saved
    output.copy(saved.bytes, 0, saved.headLength)
    this.#writeTail(route)
    output.pass(saved.bytes, saved.headLength, saved.length, upstream.transport)
    if (saved.bodyBytes > this.#shared.limits.maxReplayBytes) saved.complete = false
    this.#sent(upstream)
  }

  #writeTail(route: Route): void {
    const { output } = this.#shared
    output.add(route.upstream.hostField)
    output.text(route.addedFields)
    output.add(this.#client.fields.lastLines)
  }

  #sent(upstream: UpstreamConnection): void {
    this.#phase = 'sent'
    upstream.sent = true
    const flows = this.#shared.output.sendTo(upstream.transport)
    this.#armForResponse()
    if (!flows && !this.#framing.done) this.#client.input.pause(PAUSED.backpressure)
  }

  /** The wait for the rest of the request, or else for the response. */
  #armForResponse(): void {
    const { ticks, wheel } = this.#shared
    const own = this.#exchange?.responseHeadTimeoutMs ?? 0
    if (!this.#framing.done) this.#client.arm(ticks.bodyIdle)
    else this.#client.arm(own === 0 ? ticks.responseHead : wheel.ticks(own))
  }

  // ---- bytes of the client

  /** Takes bytes; what does not belong to the request is kept for later. */
  onClientBytes(bytes: Buffer, length: number): void {
    if (this.#phase === 'tunnel') this.#tunnel?.fromClient(bytes, 0, length)
    else if (this.takesInput) this.#forwardBody(bytes, length)
    else this.#client.input.keep(bytes, 0, length)
  }

  #forwardBody(bytes: Buffer, length: number): void {
    const exchange = this.#exchange
    const upstream = this.#upstream
    if (exchange === null || upstream === null) return
    const stop = this.#framing.consume(bytes, 0, length)
    if (stop < 0) {
      this.refuse(stop)
      return
    }
    exchange.requestBytes += stop
    if (this.#isBodyTooLarge(0)) return
    this.#saveMore(bytes, stop)
    if (!this.#pass(bytes, stop, upstream.transport)) this.#client.input.pause(PAUSED.backpressure)
    if (this.#response.started) this.#client.arm(this.#shared.ticks.bodyIdle)
    else this.#armForResponse()
    this.#client.input.keep(bytes, stop, length)
  }

  /** Sends body bytes of the client; without copying them where their memory is ours. */
  #pass(bytes: Buffer, length: number, to: Connection): boolean {
    if (this.#client.connection.givesReads) {
      const result = to.write(length === bytes.length ? bytes : bytes.subarray(0, length))
      return result === 'taken' || result === 'kept'
    }
    const { output } = this.#shared
    output.pass(bytes, 0, length, to)
    return output.sendTo(to)
  }

  #saveMore(bytes: Buffer, length: number): void {
    const saved = this.#saved
    if (!saved.complete) return
    if (saved.bodyBytes + length > this.#shared.limits.maxReplayBytes) saved.complete = false
    else saved.append(bytes, 0, length)
  }

  onUpstreamDrain(): void {
    if (this.#tunnel !== null) this.#tunnel.upstreamDrained()
    else this.#client.input.resume(PAUSED.backpressure)
  }

  /** The client takes bytes again. */
  onClientDrain(): void {
    this.#upstream?.resume()
  }

  // ---- an attempt fails

  onAttemptFailed(
    kind: UpstreamFailure['kind'],
    options: { detail: string; refusal: string; responded: boolean }
  ): void {
    const exchange = this.#exchange
    const connection = this.#upstream
    const route = this.#route
    if (exchange === null || route === null) return
    this.#upstream = null
    const sent = connection?.sent ?? false
    const replayable = mayReplay({
      sent,
      refused: kind === 'refused',
      responded: options.responded,
      method: exchange.method,
      hasBody: this.#hasBody,
      saved: this.#saved.complete
    })
    const stale = connection?.reused === true && (kind === 'reset' || kind === 'closed')
    if (stale && replayable && !this.#retriedStale && !route.upstream.closed) {
      this.#retriedStale = true
      this.#dial(route)
      return
    }
    const { detail, refusal } = options
    this.#retry(exchange, { kind, upstream: route.upstream, replayable, unsent: !sent, refusal, detail })
  }

  #retry(exchange: Exchange, failure: UpstreamFailure): void {
    let resolution: Resolution | Promise<Resolution>
    try {
      resolution = this.#shared.resolver.retry(exchange, failure)
    } catch (error) {
      resolution = this.#internalError(error)
    }
    if (this.#exchange !== exchange) return
    this.#settle(failure.replayable ? resolution : this.#answersOnly(resolution))
    this.#client.onInputWanted()
  }

  /** A request that must not be sent again gets an answer, whatever the resolver says. */
  #answersOnly(resolution: Resolution | Promise<Resolution>): Answer | Promise<Answer> {
    const answer = (settled: Resolution): Answer =>
      settled.kind === 'answer' ? settled : this.#format(502, 'the upstream failed', 'upstream-failed')
    return resolution instanceof Promise ? resolution.then(answer) : answer(resolution)
  }

  // ---- the response

  onInterimHead(head: ResponseHead): void {
    if (this.decodesChunks) return // HTTP/1.0 knows no interim responses
    this.#response.interim(head)
    this.#armForResponse()
  }

  onResponseHead(head: ResponseHead, framing: number): void {
    const exchange = this.#exchange
    if (exchange === null) return
    this.#saved.release()
    exchange.status = head.status
    exchange.respondedAtMs = performance.now()
    const { decodesChunks } = this
    // A client that is still sending cannot be answered twice on one connection.
    if (!this.#framing.done || this.#shared.isDraining()) this.#closeAfter = true
    if (this.#response.endsWithConnection(framing, decodesChunks)) this.#closeAfter = true
    this.#response.begin(head, { framing, decodesChunks, close: this.#closeAfter, keepAlive: this.#clientKeepAlive })
  }

  onResponseBytes(bytes: Buffer, start: number, end: number): void {
    const exchange = this.#exchange
    if (exchange === null) return
    exchange.responseBytes += end - start
    this.#response.body(bytes, start, end)
  }

  onResponseFlush(): void {
    if (!this.#response.flush()) this.#upstream?.pause()
    this.#client.arm(this.#shared.ticks.bodyIdle)
  }

  onResponseEnd(): void {
    this.#upstream = null
    this.#response.end()
    this.#finish('ok')
    this.#leave()
  }

  onResponseCut(reset: boolean): void {
    this.#upstream = null
    this.#response.flush()
    const how = this.#response.needsResetWhenCut ? 'reset' : 'close'
    this.#finish(reset ? 'upstream-reset' : 'upstream-truncated')
    this.#client.onRequestEnd(how)
  }

  #leave(): void {
    this.#client.input.resume(PAUSED.backpressure)
    if (this.#closeAfter) this.#client.onRequestEnd(this.#framing.done ? 'close' : 'linger')
    else this.#client.onRequestEnd('reuse')
  }

  #finish(outcome: string): void {
    const exchange = this.#exchange
    if (exchange === null) return
    this.#exchange = null
    this.#phase = 'none'
    this.#route = null
    this.#tunnel = null
    this.deadline = 0
    this.#saved.release()
    this.#shared.stats.activeRequests--
    exchange.outcome = outcome
    exchange.onAbort = null
    try {
      this.#shared.resolver.finish(exchange)
    } catch (error) {
      this.#shared.onError(error)
    }
  }

  // ---- answers of our own

  #format(status: number, reason: string, outcome: string): Answer {
    return { kind: 'answer', status, outcome, ...this.#shared.format(status, reason) }
  }

  #answer(answer: Answer): void {
    const exchange = this.#exchange
    if (exchange === null) return
    if (!this.#framing.done || this.#shared.isDraining()) this.#closeAfter = true
    exchange.status = answer.status
    exchange.respondedAtMs = performance.now()
    exchange.responseBytes = this.expectsNoBody ? 0 : Buffer.byteLength(answer.body)
    const options = { close: this.#closeAfter, keepAlive: this.#clientKeepAlive, withBody: !this.expectsNoBody }
    this.#client.connection.write(Buffer.from(answerText(answer, options)))
    this.#finish(answer.outcome)
    this.#leave()
  }

  /** Ends the request with an answer of ours that ends the connection too, or, where the response has begun, by cutting it. */
  #fail(options: { status: number; reason: string; outcome: string }): void {
    this.#abandonUpstream()
    if (this.#response.started) {
      this.#finish(options.outcome)
      this.#client.onRequestEnd('reset')
      return
    }
    const { status, reason, outcome } = options
    this.#framing.done = false // what the client still sends is not read as a request
    this.#answer(this.#format(status, reason, outcome))
  }

  /** Refuses a request for its head or its body. Without one under way it stands for a head that could not be read. */
  refuse(code: number): void {
    const { status, reason } = headErrorText(code)
    if (this.#exchange === null) this.#open('')
    this.#fail({ status: status === 502 ? 400 : status, reason: `bad request: ${reason}`, outcome: 'bad-request' })
  }

  /** The head did not come in time. */
  refuseSlowHead(): void {
    this.#open('')
    this.#fail({ status: 408, reason: 'the request head did not come in time', outcome: 'head-timeout' })
  }

  #abandonUpstream(): void {
    const upstream = this.#upstream
    this.#upstream = null
    upstream?.close()
  }

  // ---- upgrades

  onUpgrade(head: ResponseHead): boolean {
    const exchange = this.#exchange
    const upstream = this.#upstream
    const protocol = this.#upgradeTo
    if (exchange === null || upstream === null || protocol === null || head.upgrade !== protocol) return false
    exchange.status = 101
    exchange.respondedAtMs = performance.now()
    this.#saved.release()
    this.#phase = 'tunnel'
    this.deadline = 0
    this.#response.upgrade(head, protocol)
    const { ticks, output } = this.#shared
    this.#tunnel = new Tunnel({
      client: this.#client.connection,
      upstream,
      output,
      exchange,
      isWebSocket: protocol === 'websocket',
      onActivity: () => this.#client.arm(ticks.upgradeIdle)
    })
    this.#client.arm(ticks.upgradeIdle)
    if (this.#shared.isDraining()) this.#tunnel.goAway()
    this.#client.onInputWanted()
    return true
  }

  onTunnelBytes(bytes: Buffer, start: number, end: number): void {
    this.#tunnel?.fromUpstream(bytes, start, end)
  }

  onTunnelEnd(): void {
    if (this.#tunnel?.upstreamEnded() === true) this.#endTunnel('ok')
  }

  onTunnelClose(): void {
    this.#upstream = null
    this.#endTunnel('upstream-reset')
  }

  #endTunnel(outcome: string): void {
    this.#abandonUpstream()
    this.#finish(outcome)
    this.#client.onRequestEnd('close')
  }

  /** The proxy is stopping: tells a WebSocket. */
  drain(): void {
    this.#tunnel?.goAway()
  }

  // ---- ends

  /** The client sent FIN. */
  onClientEnd(): void {
    if (this.#tunnel !== null) {
      if (this.#tunnel.clientEnded()) this.#endTunnel('ok')
    } else if (!(this.#shared.servesHalfClosed && this.#framing.done)) this.abort('client-abort', 'reset')
  }

  /** Gives the request up: whatever was done for it stops at once. */
  abort(outcome: string, how: RequestEnd): void {
    const exchange = this.#exchange
    if (exchange === null) return
    this.#abandonUpstream()
    this.#callOnAbort(exchange)
    this.#finish(outcome)
    this.#client.onRequestEnd(how)
  }

  #callOnAbort(exchange: Exchange): void {
    const { onAbort } = exchange
    exchange.onAbort = null
    try {
      onAbort?.()
    } catch (error) {
      this.#shared.onError(error)
    }
  }

  /** A time limit has passed. */
  expire(): void {
    const exchange = this.#exchange
    if (exchange === null) return
    if (this.deadline !== 0 && this.deadline <= this.#shared.wheel.now) {
      this.#callOnAbort(exchange)
      this.#fail({ status: 504, reason: 'the request took too long', outcome: 'request-timeout' })
    } else if (this.#phase === 'tunnel') this.#endTunnel('upgrade-idle')
    else if (this.#phase === 'held') this.#failAttempt('connect-timeout', 'no connection in time')
    else if (this.#response.started) this.#fail({ status: 0, reason: '', outcome: 'body-timeout' })
    else if (this.#framing.done) this.#failAttempt('response-timeout', 'no response in time')
    else this.#expireBody()
  }

  #failAttempt(kind: UpstreamFailure['kind'], detail: string): void {
    this.#upstream?.close()
    this.onAttemptFailed(kind, { detail, refusal: '', responded: false })
  }

  #expireBody(): void {
    // Who is slow: an upstream that does not read, or a client that does not send?
    if (this.#client.input.isPaused(PAUSED.backpressure)) {
      this.#fail({ status: 504, reason: 'the upstream does not read the request', outcome: 'upstream-stalled' })
    } else {
      this.#fail({ status: 408, reason: 'the request body did not come in time', outcome: 'request-body-timeout' })
    }
  }
}
