import { CR, LF } from './ascii.ts'
import { answerText } from './answers.ts'
import { BodyFraming, FRAMING } from './body-framing.ts'
import { Exchange } from './exchange.ts'
import { HEAD_ERROR, headErrorText } from './head-error.ts'
import type { ProxyShared } from './proxy-shared.ts'
import { mayReplay } from './replay-decision.ts'
import type { Answer, Route, UpstreamFailure } from './resolver.ts'
import type { ResponseHead } from './response-head.ts'
import { SavedRequest } from './saved-request.ts'
import type { Timed } from './timer-wheel.ts'
import type { Connection, ConnectionHandler } from './transport.ts'
import { Tunnel } from './tunnel.ts'
import type { ResponseSink, UpstreamConnection } from './upstream-connection.ts'

/**
 * `head`: waiting for a request or in the middle of its head. `held`: the request waits for a route or a connection.
 * `forwarding`: it is on its way, or its response is. `linger`: the last answer is out, what the client still sends is dropped.
 */
const PHASE = { head: 0, held: 1, forwarding: 2, tunnel: 3, linger: 4, closed: 5 } as const

/** Why nothing is read from the client: bits. */
const PAUSED = { backpressure: 1, pipeline: 2, held: 4 } as const

/** Bytes of further requests that are kept while one is under way. */
const MAX_PIPELINED_BYTES = 65_536

/** Heads that come in so many pieces are parsed again only when they are complete: parsing at every byte would be quadratic. */
const MAX_EARLY_PARSES = 8

const END_OF_HEAD = Buffer.from('\r\n\r\n')

/** One client connection: reads requests, sends them where the resolver says, and writes the responses back. */
export class DownstreamConnection implements ConnectionHandler, ResponseSink, Timed {
  deadline = 0
  slot = 0
  previous: Timed | null = null
  next: Timed | null = null
  expectsNoBody = false
  decodesChunks = false
  readonly clientAddress: string
  readonly #shared: ProxyShared
  readonly #connection: Connection
  readonly #forwardedFor: string
  readonly #trusted: boolean
  readonly #framing: BodyFraming
  readonly #saved: SavedRequest
  #phase: number = PHASE.head
  #paused = 0
  /** Beginning of a head whose end has not come, and how often it was parsed. */
  #partial: Buffer | null = null
  #parses = 0
  /** Bytes of the client that cannot be used yet. */
  #pending: Buffer | null = null
  #looping = false
  #exchange: Exchange | null = null
  #route: Route | null = null
  #upstream: UpstreamConnection | null = null
  #tunnel: Tunnel | null = null
  #hasBody = false
  #upgradeTo: string | null = null
  #clientKeepAlive = false
  #closeAfter = false
  /** The client may still be sending: closing at once would destroy the answer on its way (RFC 9112 section 9.6). */
  #lingers = false
  #clientEnded = false
  #responseStarted = false
  #rechunks = false
  #untilClose = false
  #retriedStale = false
  #requestDeadline = 0

  constructor(shared: ProxyShared, options: { connection: Connection; clientAddress: string; trusted: boolean }) {
    this.#shared = shared
    this.#connection = options.connection
    this.clientAddress = options.clientAddress
    this.#trusted = options.trusted
    this.#forwardedFor = `X-Forwarded-For: ${options.clientAddress}\r\nX-Forwarded-Proto: http\r\n\r\n`
    this.#framing = new BodyFraming(shared.requestFields)
    this.#saved = new SavedRequest(shared.savedRequests)
    options.connection.handler = this
    this.#arm(shared.ticks.keepAlive)
  }

  /** No request is under way. */
  get isIdle(): boolean {
    return this.#phase === PHASE.head && this.#partial === null
  }

  get requestComplete(): boolean {
    return this.#framing.done
  }

  // ---- the client's bytes

  onBytes(bytes: Buffer, length: number): void {
    switch (this.#phase) {
      case PHASE.head:
        this.#readHead(bytes, length)
        this.#continue()
        break
      case PHASE.forwarding:
        if (this.#framing.done) this.#keepPending(bytes, 0, length)
        else this.#forwardBody(bytes, length)
        break
      case PHASE.held:
        this.#keepPending(bytes, 0, length)
        break
      case PHASE.tunnel:
        this.#tunnel?.fromClient(bytes, 0, length)
        break
      default: // lingering: dropped
    }
  }

  #keepPending(bytes: Buffer, start: number, end: number): void {
    if (start >= end) return
    const added = bytes.subarray(start, end)
    this.#pending = this.#pending === null ? Buffer.from(added) : Buffer.concat([this.#pending, added])
    if (this.#pending.length > MAX_PIPELINED_BYTES) this.#pause(PAUSED.pipeline)
  }

  /** Uses kept bytes as far as the phase allows. A loop, because a client may have sent thousands of requests at once. */
  #continue(): void {
    if (this.#looping) return
    this.#looping = true
    while (this.#pending !== null && this.#usesPending()) {
      const bytes = this.#pending
      this.#pending = null
      this.#unpause(PAUSED.pipeline)
      if (this.#phase === PHASE.head) this.#readHead(bytes, bytes.length)
      else if (this.#phase === PHASE.tunnel) this.#tunnel?.fromClient(bytes, 0, bytes.length)
      else this.#forwardBody(bytes, bytes.length)
    }
    this.#looping = false
  }

  #usesPending(): boolean {
    if (this.#phase === PHASE.head || this.#phase === PHASE.tunnel) return true
    return this.#phase === PHASE.forwarding && !this.#framing.done
  }

  #pause(reason: number): void {
    if (this.#paused === 0) this.#connection.pause()
    this.#paused |= reason
  }

  #unpause(reason: number): void {
    if ((this.#paused & reason) === 0) return
    this.#paused &= ~reason
    if (this.#paused === 0 && this.#phase !== PHASE.closed) this.#connection.resume()
  }

  // ---- the head

  #readHead(bytes: Buffer, end: number): void {
    let start = 0
    if (this.#partial !== null) {
      bytes = Buffer.concat([this.#partial, bytes.subarray(0, end)])
      const searched = Math.max(0, this.#partial.length - 3)
      this.#partial = null
      end = bytes.length
      if (this.#parses >= MAX_EARLY_PARSES && bytes.indexOf(END_OF_HEAD, searched) < 0) {
        this.#keepPartial(bytes, 0, end)
        return
      }
    } else {
      this.#parses = 0
      // One empty line before a request is forgiven (RFC 9112 section 2.2).
      if (bytes[0] === CR && bytes[1] === LF && end > 1) start = 2
      if (start === end) return
    }
    const { requestHead } = this.#shared
    requestHead.fields.trustForwarded = this.#trusted
    const next = requestHead.parse(bytes, start, end)
    if (next > 0) this.#begin(bytes, start, next, end)
    else if (next === 0) this.#keepPartial(bytes, start, end)
    else this.#refuse(next)
  }

  #keepPartial(bytes: Buffer, start: number, end: number): void {
    if (end - start > this.#shared.limits.maxHeaderBytes) {
      this.#refuse(HEAD_ERROR.headTooLarge)
      return
    }
    this.#partial = Buffer.from(bytes.subarray(start, end))
    if (this.#parses++ === 0) this.#arm(this.#shared.ticks.requestHead)
  }

  /** A complete head: opens the exchange and asks the resolver. */
  #begin(bytes: Buffer, start: number, next: number, end: number): void {
    const { requestHead: head, limits, resolver } = this.#shared
    if (next - start > limits.maxHeaderBytes) {
      this.#refuse(HEAD_ERROR.headTooLarge)
      return
    }
    const exchange = this.#open(head.method)
    if (this.#shared.keepTarget) exchange.target = head.path
    this.#readConnectionOptions()
    const { fields } = head
    const kind = fields.chunked ? FRAMING.chunked : fields.contentLength > 0 ? FRAMING.length : FRAMING.none
    this.#framing.begin(kind, fields.contentLength)
    this.#hasBody = kind !== FRAMING.none
    const bodyEnd = this.#framing.consume(bytes, next, end)
    if (bodyEnd < 0) {
      this.#refuse(bodyEnd)
      return
    }
    exchange.requestBytes = bodyEnd - next
    if (this.#bodyTooLarge(fields.contentLength)) return
    this.#keepPending(bytes, bodyEnd, end)
    const resolution = this.#ask(() => resolver.resolve(head, exchange))
    if (this.#exchange !== exchange) return
    if (!(resolution instanceof Promise) && resolution.kind === 'answer') {
      this.#answer(resolution)
      return
    }
    this.#writeHead()
    this.#save(bytes, next, bodyEnd, resolution)
  }

  /** Keeps what another attempt would need, and makes the first. */
  #save(bytes: Buffer, bodyStart: number, bodyEnd: number, resolution: Route | Promise<Route | Answer>): void {
    const { output, limits } = this.#shared
    const idle = !(resolution instanceof Promise) && resolution.upstream.idle.length > 0
    const body = { bytes, start: bodyStart, end: bodyEnd }
    const small = this.#framing.done && bodyEnd - bodyStart <= limits.maxReplayBytes
    if (small || !idle) {
      this.#saved.keep(output.bytes, output.length, body)
      output.length = 0
      this.#settle(resolution)
      return
    }
    // A large body on an open connection goes straight through; its bytes could not be sent again.
    this.#route = resolution
    this.#takeIdle(resolution)
    output.text(this.#tail(resolution))
    output.copy(bytes, bodyStart, bodyEnd)
    this.#sent()
  }

  #open(method: string): Exchange {
    const exchange = new Exchange(this.clientAddress, performance.now())
    exchange.method = method
    this.#exchange = exchange
    this.#phase = PHASE.held
    this.#responseStarted = this.#retriedStale = this.#rechunks = this.#untilClose = false
    this.#shared.stats.activeRequests++
    const { request } = this.#shared.ticks
    this.#requestDeadline = request === 0 ? 0 : this.#shared.wheel.now + request
    return exchange
  }

  #readConnectionOptions(): void {
    const head = this.#shared.requestHead
    const { fields } = head
    this.#clientKeepAlive = head.minorVersion === 0 && fields.connectionKeepAlive && !fields.connectionClose
    this.#closeAfter = fields.connectionClose || (head.minorVersion === 0 && !fields.connectionKeepAlive)
    this.decodesChunks = head.minorVersion === 0
    this.expectsNoBody = head.isHead
    this.#upgradeTo = fields.connectionUpgrade ? head.upgradeProtocol(this.#shared.upgradeProtocols) : null
  }

  #bodyTooLarge(contentLength: number): boolean {
    const { maxRequestBodyBytes } = this.#shared.limits
    const bytes = Math.max(contentLength, this.#exchange?.requestBytes ?? 0)
    if (maxRequestBodyBytes === 0 || bytes <= maxRequestBodyBytes) return false
    this.#fail({
      status: 413,
      reason: `the request body is larger than ${maxRequestBodyBytes} bytes`,
      outcome: 'body-too-large'
    })
    return true
  }

  /** Calls the resolver; what it throws ends the request, not the process. */
  #ask(question: () => Route | Answer | Promise<Route | Answer>): Route | Answer | Promise<Route | Answer> {
    try {
      return question()
    } catch (error) {
      this.#shared.onError(error)
      return this.#format(500, 'internal error', 'internal-error')
    }
  }

  #settle(resolution: Route | Answer | Promise<Route | Answer>): void {
    if (!(resolution instanceof Promise)) {
      if (resolution.kind === 'route') this.#send(resolution)
      else this.#answer(resolution)
      return
    }
    const exchange = this.#exchange
    this.#phase = PHASE.held
    this.#arm(0)
    if (!this.#framing.done) this.#pause(PAUSED.held)
    resolution
      .catch((error: unknown) => {
        this.#shared.onError(error)
        return this.#format(500, 'internal error', 'internal-error')
      })
      .then(settled => {
        if (exchange === null || this.#exchange !== exchange || this.#phase !== PHASE.held) return
        exchange.onAbort = null
        this.#settle(settled)
        this.#continue()
      })
      .catch(this.#shared.onError)
  }

  // ---- the request on its way

  /** Puts the part of the head that passes on into the output, Host renamed to X-Forwarded-Host. */
  #writeHead(): void {
    const { output, requestHead: head } = this.#shared
    const { fields } = head
    const { kept } = fields
    if (head.rewrittenLine !== '') output.text(head.rewrittenLine)
    if (head.authority !== '' && !fields.hasForwardedHost) output.text(`X-Forwarded-Host: ${head.authority}\r\n`)
    const dropsHost = fields.hasForwardedHost || head.authority !== ''
    const hostLine = fields.hostLine
    const upgradeOnly = this.#upgradeTo === null ? -1 : fields.upgradeOnlyStart
    for (let i = 0; i < fields.keptLength; i += 2) {
      let start = kept[i]!
      const end = kept[i + 1]!
      if (hostLine >= start && hostLine < end) {
        output.copy(head.bytes, start, hostLine)
        start = hostLine
        if (dropsHost) start = head.bytes.indexOf(LF, hostLine) + 1
        else output.text('X-Forwarded-')
      }
      if (upgradeOnly >= start && upgradeOnly < end) {
        output.copy(head.bytes, start, upgradeOnly)
        start = fields.upgradeOnlyEnd
      }
      output.copy(head.bytes, start, end)
    }
    if (this.#upgradeTo !== null) output.text(`Connection: Upgrade\r\nUpgrade: ${this.#upgradeTo}\r\n`)
    if (this.#trusted) this.#writeTrustedFields()
  }

  /** What a trusted proxy said of its client goes on, with the proxy's own address added. */
  #writeTrustedFields(): void {
    const { output, requestHead: head } = this.#shared
    const { fields } = head
    const before = head.bytes.toString('latin1', fields.forwardedForStart, fields.forwardedForEnd)
    output.text(`X-Forwarded-For: ${before === '' ? '' : `${before}, `}${this.clientAddress}\r\n`)
    if (!fields.hasForwardedProto) output.text('X-Forwarded-Proto: http\r\n')
  }

  #tail(route: Route): string {
    return route.upstream.hostField + route.addedFields + (this.#trusted ? '\r\n' : this.#forwardedFor)
  }

  #send(route: Route): void {
    this.#route = route
    if (route.upstream.idle.length > 0) {
      this.#takeIdle(route)
      this.#transmit()
      return
    }
    this.#dial(route)
  }

  #takeIdle(route: Route): void {
    const upstream = route.upstream.idle.pop()
    if (upstream === undefined) throw new Error('no idle connection')
    this.#countAttempt(route)
    this.#upstream = upstream
    upstream.attach(this)
  }

  #countAttempt(route: Route): void {
    const exchange = this.#exchange
    if (exchange === null) return
    exchange.attempts++
    exchange.upstream = route.upstream
  }

  #dial(route: Route): void {
    this.#countAttempt(route)
    this.#phase = PHASE.held
    if (!this.#framing.done) this.#pause(PAUSED.held)
    const { maxConnectionsPerUpstream } = this.#shared.limits
    if (maxConnectionsPerUpstream > 0 && route.upstream.connections >= maxConnectionsPerUpstream) {
      this.onAttemptFailed('saturated', { detail: `${route.upstream.connections} connections`, refusal: '' })
      return
    }
    this.#arm(this.#shared.ticks.connect)
    this.#upstream = route.upstream.dial(route.upstream)
    this.#upstream.attach(this)
  }

  onUpstreamConnected(): void {
    this.#transmit()
    this.#continue()
  }

  /** Sends the saved request to the connection at hand. */
  #transmit(): void {
    const { output } = this.#shared
    const { bytes, headLength, length } = this.#saved
    const route = this.#route
    if (bytes === null || route === null) throw new Error('a request was sent that was not saved')
    output.copy(bytes, 0, headLength)
    output.text(this.#tail(route))
    output.copy(bytes, headLength, length)
    this.#sent()
  }

  #sent(): void {
    const upstream = this.#upstream
    if (upstream === null) return
    this.#phase = PHASE.forwarding
    upstream.sent = true
    const flows = this.#shared.output.sendTo(upstream.transport)
    this.#arm(this.#framing.done ? this.#responseHeadTicks() : this.#shared.ticks.bodyIdle)
    if (!flows && !this.#framing.done) this.#pause(PAUSED.backpressure)
    this.#unpause(PAUSED.held)
  }

  #responseHeadTicks(): number {
    const { wheel, ticks } = this.#shared
    const own = this.#exchange?.responseHeadTimeoutMs ?? 0
    return own === 0 ? ticks.responseHead : wheel.ticks(own)
  }

  #forwardBody(bytes: Buffer, end: number): void {
    const exchange = this.#exchange
    const upstream = this.#upstream
    if (exchange === null || upstream === null) return
    const stop = this.#framing.consume(bytes, 0, end)
    if (stop < 0) {
      this.#refuse(stop)
      return
    }
    exchange.requestBytes += stop
    if (this.#bodyTooLarge(0)) return
    this.#saved.complete = false
    const { output } = this.#shared
    output.copy(bytes, 0, stop)
    if (!output.sendTo(upstream.transport)) this.#pause(PAUSED.backpressure)
    if (!this.#responseStarted) this.#arm(this.#framing.done ? this.#responseHeadTicks() : this.#shared.ticks.bodyIdle)
    this.#keepPending(bytes, stop, end)
  }

  onUpstreamDrain(): void {
    if (this.#phase === PHASE.tunnel) this.#tunnel?.upstreamDrained()
    else this.#unpause(PAUSED.backpressure)
  }

  onAttemptFailed(kind: UpstreamFailure['kind'], options: { detail: string; refusal: string }): void {
    const exchange = this.#exchange
    const connection = this.#upstream
    const route = this.#route
    if (exchange === null || route === null) return
    this.#upstream = null
    const sent = connection?.sent ?? false
    const refused = kind === 'refused'
    const facts = { sent, refused, method: exchange.method, hasBody: this.#hasBody, saved: this.#saved.complete }
    const replayable = mayReplay(facts)
    const stale = connection?.reused === true && (kind === 'reset' || kind === 'closed')
    if (stale && replayable && !this.#retriedStale) {
      this.#retriedStale = true
      this.#dial(route)
      return
    }
    const failure = { kind, upstream: route.upstream, replayable, unsent: !sent, ...options }
    const resolution = this.#ask(() => this.#shared.resolver.retry(exchange, failure))
    if (this.#exchange !== exchange) return
    this.#settle(replayable ? resolution : this.#answersOnly(resolution))
    this.#continue()
  }

  /** A request that must not be sent again gets an answer, whatever the resolver says. */
  #answersOnly(resolution: Route | Answer | Promise<Route | Answer>): Answer | Promise<Route | Answer> {
    const answer = (settled: Route | Answer): Answer =>
      settled.kind === 'answer' ? settled : this.#format(502, 'the upstream failed', 'upstream-failed')
    return resolution instanceof Promise ? resolution.then(answer) : answer(resolution)
  }

  // ---- the response on its way

  onInterimHead(head: ResponseHead): void {
    if (this.decodesChunks) return // HTTP/1.0 knows no interim responses
    const { output } = this.#shared
    this.#writeResponseHead(head)
    output.text('\r\n')
    output.sendTo(this.#connection)
    this.#arm(this.#framing.done ? this.#responseHeadTicks() : this.#shared.ticks.bodyIdle)
  }

  #writeResponseHead(head: ResponseHead): void {
    const { output } = this.#shared
    const { kept, keptLength } = head.fields
    if (head.minorVersion === 0) output.text('HTTP/1.1')
    for (let i = 0; i < keptLength; i += 2) output.copy(head.bytes, kept[i]!, kept[i + 1]!)
  }

  onResponseHead(head: ResponseHead, framing: number): void {
    const exchange = this.#exchange
    if (exchange === null) return
    this.#responseStarted = true
    this.#saved.release()
    exchange.status = head.status
    exchange.respondedAtMs = performance.now()
    this.#untilClose = framing === FRAMING.untilClose
    this.#rechunks = this.#untilClose && !this.decodesChunks
    const decoded = this.decodesChunks && framing !== FRAMING.length && framing !== FRAMING.none
    // A client that is still sending cannot be answered twice on this connection.
    if (decoded || !this.#framing.done || this.#shared.isDraining()) this.#closeAfter = true
    this.#writeResponseHead(head)
    const { output } = this.#shared
    if (this.#rechunks) output.text('Transfer-Encoding: chunked\r\n')
    if (this.#closeAfter) output.text('Connection: close\r\n\r\n')
    else if (this.#clientKeepAlive) output.text('Connection: keep-alive\r\n\r\n')
    else output.text('\r\n')
  }

  onResponseBytes(bytes: Buffer, start: number, end: number): void {
    const exchange = this.#exchange
    if (exchange === null) return
    exchange.responseBytes += end - start
    const { output } = this.#shared
    if (this.#rechunks) output.text(`${(end - start).toString(16)}\r\n`)
    while (end - start > output.room) {
      const part = output.room
      output.copy(bytes, start, start + part)
      start += part
      this.onResponseFlush()
    }
    output.copy(bytes, start, end)
    if (this.#rechunks) output.text('\r\n')
  }

  onResponseFlush(): void {
    if (!this.#shared.output.sendTo(this.#connection)) this.#upstream?.pause()
    this.#arm(this.#shared.ticks.bodyIdle)
  }

  onResponseEnd(): void {
    const { output } = this.#shared
    this.#upstream = null
    if (this.#rechunks) output.text('0\r\n\r\n')
    output.sendTo(this.#connection)
    this.#finish('ok')
    this.#afterResponse()
  }

  onResponseCut(reset: boolean): void {
    this.#upstream = null
    this.#shared.output.sendTo(this.#connection)
    // Without a length or chunks only a reset tells the client that something is missing.
    if (this.#untilClose && !this.#rechunks) this.#connection.reset()
    this.#finish(reset ? 'upstream-reset' : 'upstream-truncated')
    this.#close('flush')
  }

  /** The next request, or the end of the connection. */
  #afterResponse(): void {
    if (this.#closeAfter || this.#clientEnded || this.#shared.isDraining()) {
      this.#close(this.#lingers || !this.#framing.done || this.#pending !== null ? 'linger' : 'flush')
      return
    }
    this.#phase = PHASE.head
    this.#arm(this.#shared.ticks.keepAlive)
    this.#continue()
  }

  #finish(outcome: string): void {
    const exchange = this.#exchange
    if (exchange === null) return
    this.#exchange = null
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
    this.#connection.write(Buffer.from(answerText(answer, options)))
    this.#finish(answer.outcome)
    this.#unpause(PAUSED.held | PAUSED.backpressure)
    this.#afterResponse()
  }

  /** Ends a request with an answer of ours, or, where the response has begun, by cutting it. */
  #fail(options: { status: number; reason: string; outcome: string }): void {
    this.#abandonUpstream()
    if (this.#exchange === null) this.#open('')
    if (this.#responseStarted) {
      this.#finish(options.outcome)
      this.#close('reset')
      return
    }
    this.#closeAfter = this.#lingers = true
    this.#answer(this.#format(options.status, options.reason, options.outcome))
  }

  #refuse(code: number): void {
    const { status, reason } = headErrorText(code)
    this.#partial = this.#pending = null
    this.#fail({ status: status === 502 ? 400 : status, reason: `bad request: ${reason}`, outcome: 'bad-request' })
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
    this.#responseStarted = true
    this.#saved.release()
    this.#phase = PHASE.tunnel
    this.#requestDeadline = 0
    const { output } = this.#shared
    this.#writeResponseHead(head)
    output.text(`Connection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`)
    output.sendTo(this.#connection)
    this.#tunnel = new Tunnel({
      client: this.#connection,
      upstream,
      output,
      exchange,
      isWebSocket: protocol === 'websocket',
      onActivity: () => this.#arm(this.#shared.ticks.upgradeIdle)
    })
    this.#arm(this.#shared.ticks.upgradeIdle)
    if (this.#shared.isDraining()) this.#tunnel.goAway()
    this.#continue()
    return true
  }

  onTunnelBytes(bytes: Buffer, start: number, end: number): void {
    this.#tunnel?.fromUpstream(bytes, start, end)
  }

  onTunnelEnd(): void {
    if (this.#tunnel?.upstreamEnded() === true) this.#endTunnel('ok')
  }

  onTunnelClose(reset: boolean): void {
    this.#upstream = null
    this.#finish(reset ? 'upstream-reset' : 'ok')
    this.#close('flush')
  }

  #endTunnel(outcome: string): void {
    this.#abandonUpstream()
    this.#finish(outcome)
    this.#close('flush')
  }

  /** The proxy is stopping: ends what is idle, tells a WebSocket, and lets the rest finish. */
  drain(): void {
    if (this.#phase === PHASE.tunnel) this.#tunnel?.goAway()
    else if (this.isIdle) this.#close('flush')
  }

  // ---- ends

  onEnd(): void {
    this.#clientEnded = true
    switch (this.#phase) {
      case PHASE.tunnel:
        if (this.#tunnel?.clientEnded() === true) this.#endTunnel('ok')
        break
      case PHASE.held:
      case PHASE.forwarding:
        if (!(this.#shared.servesHalfClosed && this.#framing.done)) this.#abort()
        break
      default:
        if (this.#phase === PHASE.linger) this.#connection.endThenDestroy()
        else this.#close('flush')
    }
  }

  onDrain(): void {
    if (this.#phase === PHASE.tunnel) this.#tunnel?.clientDrained()
    else this.#upstream?.resume()
  }

  onError(): void {
    this.#abort()
  }

  onClose(): void {
    this.#abort()
  }

  /** The client is gone: so is everything that was done for it. */
  #abort(): void {
    const exchange = this.#exchange
    this.#abandonUpstream()
    exchange?.onAbort?.()
    this.#finish('client-abort')
    this.#close('now')
  }

  /** Ends everything at once. */
  destroy(outcome: string): void {
    this.#abandonUpstream()
    this.#exchange?.onAbort?.()
    this.#finish(outcome)
    this.#close('now')
  }

  #close(how: 'flush' | 'linger' | 'reset' | 'now'): void {
    if (this.#phase === PHASE.closed || (this.#phase === PHASE.linger && how !== 'now')) return
    const { wheel, ticks } = this.#shared
    this.#partial = this.#pending = null
    this.#tunnel = null
    this.#requestDeadline = 0
    if (how === 'linger' || how === 'flush') {
      // 'flush' lingers too, to bound the wait for a client that does not read what is queued for it.
      this.#phase = PHASE.linger
      if (how === 'linger' && !this.#clientEnded) this.#connection.end()
      else this.#connection.endThenDestroy()
      this.#unpause(PAUSED.backpressure | PAUSED.pipeline | PAUSED.held)
      wheel.set(this, wheel.now + Math.max(1, ticks.linger))
      return
    }
    this.#phase = PHASE.closed
    wheel.remove(this)
    this.#connection.handler = null
    if (how === 'reset') this.#connection.reset()
    else this.#connection.destroy()
    this.#shared.onClosed(this)
  }

  // ---- time

  #arm(ticks: number): void {
    const { wheel } = this.#shared
    let deadline = ticks === 0 ? 0 : wheel.now + ticks
    const whole = this.#requestDeadline
    if (whole !== 0 && this.#exchange !== null && (deadline === 0 || whole < deadline)) deadline = whole
    wheel.set(this, deadline)
  }

  expire(): void {
    const whole = this.#requestDeadline !== 0 && this.#requestDeadline <= this.#shared.wheel.now
    switch (this.#phase) {
      case PHASE.head:
        if (this.#partial === null) this.#close('flush')
        else this.#fail({ status: 408, reason: 'the request head did not come in time', outcome: 'head-timeout' })
        break
      case PHASE.held:
        if (whole) this.#failWhole()
        else this.#expireConnect()
        break
      case PHASE.forwarding:
        if (whole) this.#failWhole()
        else this.#expireForwarding()
        break
      case PHASE.tunnel:
        this.#endTunnel('upgrade-idle')
        break
      default:
        this.#close('now')
    }
  }

  #failWhole(): void {
    this.#exchange?.onAbort?.()
    this.#fail({ status: 504, reason: 'the request took too long', outcome: 'request-timeout' })
  }

  #expireConnect(): void {
    const upstream = this.#upstream
    upstream?.close()
    this.onAttemptFailed('connect-timeout', { detail: 'no connection in time', refusal: '' })
  }

  #expireForwarding(): void {
    if (this.#responseStarted) this.#fail({ status: 0, reason: '', outcome: 'body-timeout' })
    else if (!this.#framing.done) {
      this.#fail({ status: 408, reason: 'the request body did not come in time', outcome: 'request-body-timeout' })
    } else {
      this.#upstream?.close()
      this.onAttemptFailed('response-timeout', { detail: 'no response in time', refusal: '' })
    }
  }
}
