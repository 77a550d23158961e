import type { Exchange } from './exchange.ts'
import type { OutputBuffer } from './output-buffer.ts'
import type { Connection } from './transport.ts'
import type { UpstreamConnection } from './upstream-connection.ts'
import { FrameBoundary, GOING_AWAY_FRAME } from './websocket-frames.ts'

/** The two byte streams of an upgraded connection, with backpressure and half-close in both directions. */
export class Tunnel {
  readonly #client: Connection
  readonly #upstream: UpstreamConnection
  readonly #output: OutputBuffer
  readonly #exchange: Exchange
  readonly #frames: FrameBoundary | null
  readonly #onActivity: () => void
  #clientEnded = false
  #upstreamEnded = false
  /** A close frame is to be sent, or has been: nothing of the upstream follows it. */
  #leaving: 'no' | 'asked' | 'sent' = 'no'

  constructor(options: {
    client: Connection
    upstream: UpstreamConnection
    output: OutputBuffer
    exchange: Exchange
    isWebSocket: boolean
    onActivity: () => void
  }) {
    this.#client = options.client
    this.#upstream = options.upstream
    this.#output = options.output
    this.#exchange = options.exchange
    this.#frames = options.isWebSocket ? new FrameBoundary() : null
    this.#onActivity = options.onActivity
  }

  /** Passes bytes of the client on. */
  fromClient(bytes: Buffer, start: number, end: number): void {
    this.#exchange.requestBytes += end - start
    this.#output.pass(bytes, start, end, this.#upstream.transport)
    if (!this.#output.sendTo(this.#upstream.transport)) this.#client.pause()
    this.#onActivity()
  }

  /** Passes bytes of the upstream on. */
  fromUpstream(bytes: Buffer, start: number, end: number): void {
    if (this.#leaving === 'sent') return
    const boundary = this.#frames === null ? -1 : this.#frames.advance(bytes, start, end)
    const leaves = this.#leaving === 'asked' && boundary >= 0
    const stop = leaves ? boundary : end
    this.#exchange.responseBytes += stop - start
    this.#output.pass(bytes, start, stop, this.#client)
    if (!this.#output.sendTo(this.#client)) this.#upstream.pause()
    if (leaves) this.#sendGoingAway()
    this.#onActivity()
  }

  /** The upstream takes bytes again. */
  upstreamDrained(): void {
    this.#client.resume()
  }

  /** The client sent FIN. Returns true where both sides have. */
  clientEnded(): boolean {
    this.#clientEnded = true
    if (!this.#upstreamEnded) this.#upstream.end()
    return this.#upstreamEnded
  }

  /** The upstream sent FIN. Returns true where both sides have. */
  upstreamEnded(): boolean {
    this.#upstreamEnded = true
    if (!this.#clientEnded) this.#client.end()
    return this.#clientEnded
  }

  /** Tells a WebSocket client that the server is going away, at the next frame boundary; its answer goes to the upstream. */
  goAway(): void {
    if (this.#leaving !== 'no' || this.#frames === null || this.#upstreamEnded) return
    this.#leaving = 'asked'
    if (this.#frames.reached) this.#sendGoingAway()
  }

  #sendGoingAway(): void {
    this.#leaving = 'sent'
    this.#client.write(Buffer.from(GOING_AWAY_FRAME))
  }
}
