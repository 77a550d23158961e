import { BodyFraming, FRAMING } from './body-framing.ts'
import type { FieldTable } from './field-table.ts'
import { headErrorText } from './head-error.ts'
import type { Limits } from './limits.ts'
import type { UpstreamFailure } from './resolver.ts'
import type { ResponseHead } from './response-head.ts'
import type { Timed, TimerWheel } from './timer-wheel.ts'
import type { Connection, ConnectionHandler, WriteResult } from './transport.ts'
import type { Upstream } from './upstream.ts'

/** Where a response goes: the client's side of the exchange. */
export interface ResponseSink {
  /** The response must have no body, whatever its head says (the method was HEAD). */
  readonly expectsNoBody: boolean
  /** The client is too old for chunks: bodies are handed over without their framing. */
  readonly decodesChunks: boolean
  /** All of the request has been sent, so that the connection can serve another. */
  readonly requestComplete: boolean
  /** The dialled connection stands; now the request may be sent. */
  onUpstreamConnected(): void
  /** A 1xx response other than 101. */
  onInterimHead(head: ResponseHead): void
  /** The final head. Bytes follow, then `onResponseFlush` once a read; last `onResponseEnd` or `onResponseCut`. */
  onResponseHead(head: ResponseHead, framing: number): void
  onResponseBytes(bytes: Buffer, start: number, end: number): void
  onResponseFlush(): void
  onResponseEnd(): void
  /** The response ended before its end; `reset` where the connection failed. */
  onResponseCut(reset: boolean): void
  /** Status 101. Returns false where the client did not ask for it. From here on bytes come by `onTunnelBytes`. */
  onUpgrade(head: ResponseHead): boolean
  onTunnelBytes(bytes: Buffer, start: number, end: number): void
  onTunnelEnd(): void
  /** The upstream's side of an upgraded connection failed. */
  onTunnelClose(): void
  /** Nothing of a final response has come, and nothing will. */
  onAttemptFailed(kind: UpstreamFailure['kind'], options: { detail: string; refusal: string; responded: boolean }): void
  /** The upstream takes bytes again. */
  onUpstreamDrain(): void
}

/** What the connections of one proxy share. */
export interface UpstreamShared {
  readonly limits: Limits
  readonly wheel: TimerWheel
  readonly responseHead: ResponseHead
  readonly responseFields: FieldTable
  readonly upstreamIdleTicks: number
}

const STATE = { connecting: 0, idle: 1, head: 2, body: 3, tunnel: 4, closed: 5 } as const

/** Interim responses that one request may get; more are an attack or a loop. */
const MAX_INTERIM = 32

const CONNECT_FAILURES: Record<string, UpstreamFailure['kind']> = {
  ECONNREFUSED: 'connect-refused',
  ETIMEDOUT: 'connect-timeout'
}

/** One connection to an upstream: reads responses, finds where they end, and goes back to the pool. */
export class UpstreamConnection implements ConnectionHandler, Timed {
  deadline = 0
  slot = 0
  previous: Timed | null = null
  next: Timed | null = null
  /** It has served a request before: a failure may mean no more than that the upstream closed it meanwhile. */
  reused = false
  /** A byte of the present request may have reached the upstream. */
  sent = false
  readonly upstream: Upstream
  readonly #shared: UpstreamShared
  readonly #framing: BodyFraming
  #connection: Connection | null = null
  #sink: ResponseSink | null = null
  #state: number = STATE.connecting
  /** Beginning of a head whose end has not come. */
  #partial: Buffer | null = null
  #interim = 0
  #closeAfter = false
  #paused = false

  constructor(upstream: Upstream, shared: UpstreamShared) {
    this.upstream = upstream
    this.#shared = shared
    this.#framing = new BodyFraming(shared.responseFields)
    upstream.all.add(this)
  }

  /** Binds the byte stream; called once, right after it was opened. */
  bind(connection: Connection): void {
    this.#connection = connection
    connection.handler = this
  }

  /** Gives the connection to a request. */
  attach(sink: ResponseSink): void {
    this.#shared.wheel.set(this, 0)
    this.#sink = sink
    this.#interim = 0
    this.sent = false
    if (this.#state !== STATE.connecting) this.#state = STATE.head
  }

  get connecting(): boolean {
    return this.#state === STATE.connecting
  }

  /** The transport, for an `OutputBuffer` to write to. */
  get transport(): Connection {
    if (this.#connection === null) throw new Error('an upstream connection was used before it was bound')
    return this.#connection
  }

  /** Sends bytes of an upgraded connection. */
  write(bytes: Buffer): WriteResult {
    return this.transport.write(bytes)
  }

  pause(): void {
    this.#paused = true
    this.#connection?.pause()
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#connection?.resume()
  }

  /** Sends FIN: no more bytes will come from the client of an upgraded connection. */
  end(): void {
    this.#connection?.end()
  }

  /** Closes at once; its sink hears nothing more. */
  close(): void {
    if (this.#state === STATE.closed) return
    this.#state = STATE.closed
    this.#sink = null
    this.#shared.wheel.remove(this)
    this.upstream.all.delete(this)
    const { idle } = this.upstream
    const position = idle.indexOf(this)
    if (position >= 0) idle.splice(position, 1)
    if (this.#connection !== null) {
      this.#connection.handler = CLOSED
      this.#connection.destroy()
    }
  }

  /** The upstream is known to be gone. */
  abandon(): void {
    this.#broken('abandoned')
  }

  /** An idle connection has waited too long. */
  expire(): void {
    this.close()
  }

  onConnected(): void {
    if (this.#state !== STATE.connecting) return
    this.#state = STATE.head
    this.#sink?.onUpstreamConnected()
  }

  onBytes(bytes: Buffer, length: number): void {
    if (this.#sink === null) {
      // Bytes that nobody asked for: whatever they are, they must not become part of the next response.
      this.close()
      return
    }
    if (this.#state === STATE.tunnel) {
      this.#sink.onTunnelBytes(bytes, 0, length)
      return
    }
    if (this.#partial !== null) {
      bytes = Buffer.concat([this.#partial, bytes.subarray(0, length)])
      length = bytes.length
      this.#partial = null
    }
    const p = this.#state === STATE.head ? this.#readHead(bytes, length) : 0
    if (p >= 0 && this.#state === STATE.body) this.#readBody(bytes, p, length)
  }

  /** Returns the offset after the final head, or -1 where there is nothing more to do. */
  #readHead(bytes: Buffer, end: number): number {
    const head = this.#shared.responseHead
    let p = 0
    for (;;) {
      const sink = this.#sink
      if (sink === null) return -1
      const next = head.parse(bytes, p, end, sink.decodesChunks)
      if (next === 0) return this.#keepPartial(bytes, p, end)
      if (next < 0) return this.#fail('bad-response', headErrorText(next).reason)
      if (next - p > this.#shared.limits.maxHeaderBytes)
        return this.#fail('bad-response', 'the header section is too large')
      if (head.status === 101) return this.#upgrade(sink, bytes, next, end)
      if (head.status >= 200) return this.#beginResponse(sink, next)
      if (++this.#interim > MAX_INTERIM) return this.#fail('bad-response', 'too many interim responses')
      sink.onInterimHead(head)
      p = next
      if (p === end) return -1
    }
  }

  #keepPartial(bytes: Buffer, p: number, end: number): number {
    if (end - p > this.#shared.limits.maxHeaderBytes)
      return this.#fail('bad-response', 'the header section is too large')
    if (end > p) this.#partial = Buffer.from(bytes.subarray(p, end))
    return -1
  }

  #beginResponse(sink: ResponseSink, next: number): number {
    const head = this.#shared.responseHead
    const refusal = head.refusal
    if (refusal !== null && (head.status === 421 || head.status === 503)) {
      this.#fail('refused', `status ${head.status}`, refusal)
      return -1
    }
    const { fields } = head
    const bodiless = sink.expectsNoBody || head.status === 204 || head.status === 304
    const kind = bodiless
      ? FRAMING.none
      : fields.chunked
        ? FRAMING.chunked
        : fields.contentLength >= 0
          ? FRAMING.length
          : FRAMING.untilClose
    this.#framing.begin(kind, fields.contentLength)
    this.#closeAfter =
      fields.connectionClose || (head.minorVersion === 0 && !fields.connectionKeepAlive) || kind === FRAMING.untilClose
    this.#state = STATE.body
    sink.onResponseHead(head, kind)
    return next
  }

  #readBody(bytes: Buffer, p: number, end: number): void {
    const sink = this.#sink
    if (sink === null) return
    const framing = this.#framing
    if (!framing.done && p < end) {
      const stop = this.#passBody(sink, bytes, p, end)
      if (stop < 0) {
        sink.onResponseFlush()
        this.#cut(true)
        return
      }
      p = stop
    }
    if (framing.done) this.#complete(p < end)
    else sink.onResponseFlush()
  }

  #passBody(sink: ResponseSink, bytes: Buffer, p: number, end: number): number {
    const framing = this.#framing
    if (!(sink.decodesChunks && framing.kind === FRAMING.chunked)) {
      const stop = framing.consume(bytes, p, end)
      if (stop > p) sink.onResponseBytes(bytes, p, stop)
      return stop
    }
    const data: number[] = []
    const stop = framing.decode(bytes, p, end, data)
    for (let i = 0; i < data.length; i += 2) sink.onResponseBytes(bytes, data[i]!, data[i + 1]!)
    return stop
  }

  #complete(surplus: boolean): void {
    const sink = this.#sink
    if (sink === null) return
    if (this.#closeAfter || surplus || !sink.requestComplete) this.close()
    else this.#release()
    sink.onResponseEnd()
  }

  #release(): void {
    const { upstream } = this
    this.#sink = null
    this.reused = true
    this.#state = STATE.idle
    const full = upstream.closed || upstream.idle.length >= this.#shared.limits.maxIdlePerUpstream
    // Bytes of the request still queued: the upstream answered without reading it all.
    if (full || this.transport.hasQueued) {
      this.close()
      return
    }
    this.resume()
    upstream.idle.push(this)
    const { wheel, upstreamIdleTicks } = this.#shared
    if (upstreamIdleTicks > 0) wheel.set(this, wheel.now + upstreamIdleTicks)
  }

  #upgrade(sink: ResponseSink, bytes: Buffer, next: number, end: number): number {
    this.#state = STATE.tunnel
    if (!sink.onUpgrade(this.#shared.responseHead))
      return this.#fail('bad-response', 'an upgrade that was not asked for')
    if (next < end) sink.onTunnelBytes(bytes, next, end)
    return -1
  }

  #fail(kind: UpstreamFailure['kind'], detail: string, refusal = ''): -1 {
    const sink = this.#sink
    const responded = this.#partial !== null || this.#interim > 0
    this.close()
    sink?.onAttemptFailed(kind, { detail, refusal, responded })
    return -1
  }

  #cut(reset: boolean): void {
    const sink = this.#sink
    this.close()
    sink?.onResponseCut(reset)
  }

  onEnd(): void {
    switch (this.#state) {
      case STATE.head:
        this.#fail('closed', this.#partial === null ? 'closed without a response' : 'closed in the middle of a head')
        break
      case STATE.body:
        if (this.#framing.kind === FRAMING.untilClose) this.#complete(false)
        else this.#cut(false)
        break
      case STATE.tunnel:
        this.#sink?.onTunnelEnd()
        break
      default:
        this.close()
    }
  }

  onDrain(): void {
    this.#sink?.onUpstreamDrain()
  }

  onError(error: NodeJS.ErrnoException): void {
    this.#broken(error.code ?? error.message)
  }

  onClose(): void {
    this.#broken('closed')
  }

  #broken(detail: string): void {
    switch (this.#state) {
      case STATE.connecting:
        this.#fail(CONNECT_FAILURES[detail] ?? 'connect-unreachable', detail)
        break
      case STATE.head:
        this.#fail('reset', detail)
        break
      case STATE.body:
        this.#cut(true)
        break
      case STATE.tunnel: {
        const sink = this.#sink
        this.close()
        sink?.onTunnelClose()
        break
      }
      default:
        this.close()
    }
  }
}

/** Handler of a connection that nobody listens to any more. */
const CLOSED: ConnectionHandler = {
  onBytes() {},
  onEnd() {},
  onDrain() {},
  onError() {},
  onClose() {}
}
