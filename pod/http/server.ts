import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { once } from 'node:events'

/** Longer than gateways keep idle connections, so that it is never the pod that closes one under a request. */
const KEEP_ALIVE_MS = 120_000
const HEADERS_MS = 60_000

type Handle = (request: IncomingMessage, response: ServerResponse) => Promise<void>

/** The pod's HTTP server. `close` is idempotent and bounded. */
export class PodServer {
  readonly #server: Server
  #handle: Handle | null = null
  #closing: Promise<void> | null = null

  constructor() {
    const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
      // Whoever reads a body minds its errors; the body of a refused request may fail unseen.
      request.on('error', () => undefined)
      response.on('error', () => undefined)
      if (this.#handle === null) request.destroy()
      else this.#handle(request, response).catch(() => response.destroy())
    }
    this.#server = createServer(
      // Bodies have limits of their own: a large upload may take longer than any limit for whole requests.
      { keepAliveTimeout: KEEP_ALIVE_MS, headersTimeout: HEADERS_MS, requestTimeout: 0, noDelay: true },
      onRequest
    )
    this.#server.on('checkContinue', onRequest)
  }

  /** Begins to answer; what came before was cut off unanswered. `handle` must not reject. */
  serve(handle: Handle): void {
    this.#handle = handle
  }

  /** Listens and returns the port. */
  async listen(host: string, port: number): Promise<number> {
    this.#server.listen(port, host)
    await once(this.#server, 'listening')
    const address = this.#server.address()
    return typeof address === 'object' && address !== null ? address.port : port
  }

  /** Takes no new connections, lets running responses go on for `graceMs` and then cuts them. */
  close(graceMs: number): Promise<void> {
    this.#closing ??= this.#close(graceMs)
    return this.#closing
  }

  async #close(graceMs: number): Promise<void> {
    const closed = new Promise<void>(resolve => {
      this.#server.close(() => resolve())
    })
    this.#server.closeIdleConnections()
    const timer = setTimeout(() => this.#server.closeAllConnections(), graceMs)
    await closed
    clearTimeout(timer)
  }
}
