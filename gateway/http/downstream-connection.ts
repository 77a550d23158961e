import { ClientInput } from './client-input.ts'
import { type ClientFields, clientFields } from './forwarded-head.ts'
import { Forwarding, type ForwardingClient, type RequestEnd } from './forwarding.ts'
import { HeadReader } from './head-reader.ts'
import type { ProxyShared } from './proxy-shared.ts'
import type { Timed } from './timer-wheel.ts'
import type { Connection, ConnectionHandler } from './transport.ts'

/** `lingering`: the last answer is out, what the client still sends is dropped. */
type State = 'open' | 'lingering' | 'closed'

/** One client connection: reads request heads, hands requests on one after the other, and closes in an orderly way. */
export class DownstreamConnection implements ConnectionHandler, ForwardingClient, Timed {
  deadline = 0
  slot = 0
  previous: Timed | null = null
  next: Timed | null = null
  readonly connection: Connection
  readonly input: ClientInput
  readonly fields: ClientFields
  readonly #shared: ProxyShared
  readonly #reader = new HeadReader()
  readonly #forwarding: Forwarding
  #state: State = 'open'
  #clientEnded = false
  #usingInput = false

  constructor(shared: ProxyShared, options: { connection: Connection; clientAddress: string; trusted: boolean }) {
    this.#shared = shared
    this.connection = options.connection
    this.input = new ClientInput(options.connection)
    this.fields = clientFields(options.clientAddress, options.trusted)
    this.#forwarding = new Forwarding(shared, this)
    options.connection.handler = this
    this.arm(shared.ticks.keepAlive)
  }

  // ---- bytes

  onBytes(bytes: Buffer, length: number): void {
    if (this.#state !== 'open') return
    if (this.#forwarding.active) this.#forwarding.onClientBytes(bytes, length)
    else if (this.input.hasPending || this.connection.isFull) this.input.keep(bytes, 0, length)
    else this.#readHead(bytes, length)
    if (this.input.hasPending) this.onInputWanted()
  }

  #readHead(bytes: Buffer, length: number): void {
    const { requestHead, limits, ticks } = this.#shared
    const reader = this.#reader
    const first = !reader.hasPartial
    requestHead.fields.trustForwarded = this.fields.trusted
    const next = reader.read(requestHead, bytes, length, limits.maxHeaderBytes)
    if (next > 0) this.#forwarding.begin(reader.release(), next, reader.end)
    else if (next < 0) this.#forwarding.refuse(next)
    else if (first) this.arm(ticks.requestHead)
  }

  /** Uses kept bytes as far as that goes. A loop, because a client may have sent thousands of requests at once. */
  onInputWanted(): void {
    if (this.#usingInput) return
    this.#usingInput = true
    while (this.input.hasPending && this.#canUseInput()) {
      const bytes = this.input.take()
      if (bytes === null) break
      if (this.#forwarding.active) this.#forwarding.onClientBytes(bytes, bytes.length)
      else this.#readHead(bytes, bytes.length)
    }
    this.#usingInput = false
  }

  /** A client that does not read its responses gets no further requests served. */
  #canUseInput(): boolean {
    if (this.#state !== 'open') return false
    return this.#forwarding.active ? this.#forwarding.takesInput : !this.connection.isFull
  }

  onDrain(): void {
    this.#forwarding.onClientDrain()
    this.onInputWanted()
  }

  // ---- ends

  onRequestEnd(how: RequestEnd): void {
    const last = this.#shared.isDraining() || (this.#clientEnded && !this.input.hasPending)
    if (how === 'reset') this.#close(true)
    else if (how === 'reuse' && !last) {
      this.arm(this.#shared.ticks.keepAlive)
      if (this.input.hasPending) this.onInputWanted()
    } else this.#linger(how === 'linger' || this.input.hasPending)
  }

  onEnd(): void {
    this.#clientEnded = true
    if (this.#forwarding.active) this.#forwarding.onClientEnd()
    else if (this.#state === 'open') this.#linger(false)
    else this.connection.endThenDestroy()
  }

  onError(): void {
    this.destroy('client-abort')
  }

  onClose(): void {
    this.destroy('client-abort')
  }

  /** The proxy is stopping: closes where nothing is under way. */
  drain(): void {
    if (this.#forwarding.active) this.#forwarding.drain()
    else if (this.#state === 'open' && !this.#reader.hasPartial) this.#linger(false)
  }

  /** Ends everything at once; a request under way ends with `outcome`. */
  destroy(outcome: string): void {
    if (this.#forwarding.active) this.#forwarding.abort(outcome, 'reset')
    this.#close(false)
  }

  /**
   * Sends FIN after what is queued. Where the client may still be sending, its bytes are read and dropped for a while: closing
   * at once would make the kernel send RST, which destroys the answer on its way (RFC 9112 section 9.6).
   */
  #linger(stillSending: boolean): void {
    if (this.#state !== 'open') return
    this.#state = 'lingering'
    this.#reader.reset()
    this.input.discard()
    if (stillSending && !this.#clientEnded) this.connection.end()
    else this.connection.endThenDestroy()
    const { wheel, ticks } = this.#shared
    wheel.set(this, wheel.now + Math.max(1, ticks.linger))
  }

  #close(reset: boolean): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#shared.wheel.remove(this)
    this.connection.handler = null
    if (reset) this.connection.reset()
    else this.connection.destroy()
    this.#shared.onClosed(this)
  }

  // ---- time

  arm(ticks: number): void {
    if (this.#state !== 'open') return
    const { wheel } = this.#shared
    const whole = this.#forwarding.deadline
    let deadline = ticks === 0 ? 0 : wheel.now + ticks
    if (whole !== 0 && (deadline === 0 || whole < deadline)) deadline = whole
    wheel.set(this, deadline)
  }

  expire(): void {
    if (this.#state !== 'open') this.#close(false)
    else if (this.#forwarding.active) this.#forwarding.expire()
    else if (this.#reader.hasPartial) this.#forwarding.refuseSlowHead()
    else this.#linger(false)
  }
}
