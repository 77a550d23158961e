import { createServer } from 'node:http'
import { codeOf } from '../request/session-finder.ts'
import { sendError, sendJson, sendText } from '../management/http-io.ts'
import { formatHost } from '../listen-address.ts'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Logger } from '../../lib/log.ts'
import type { AdminSource } from './admin-source.ts'

const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8'
const PLAIN = { 'Content-Type': 'text/plain; charset=utf-8' }
const DEFAULT_PAGE = 100
const MAX_PAGE = 1000
/** A scrape or a probe that takes longer than this is stuck. */
const REQUEST_TIMEOUT_MS = 10_000

/** Health, metrics and inspection on a port of their own, read-only. It is the last to close, so that a drain can be watched. */
export class AdminServer {
  readonly #server: Server
  readonly #source: AdminSource
  readonly #log: Logger

  constructor(options: { source: AdminSource; log: Logger }) {
    this.#source = options.source
    this.#log = options.log
    this.#server = createServer(
      { requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS },
      (request, response) => void this.#serve(request, response)
    )
  }

  /** Begins to listen and answers its URL. Rejects with the system's error. */
  async listen(options: { host: string; port: number }): Promise<string> {
    const listening = Promise.withResolvers<void>()
    this.#server.once('error', listening.reject)
    this.#server.listen(options, listening.resolve)
    await listening.promise
    this.#server.removeListener('error', listening.reject)
    this.#server.on('error', error => this.#log.error({ err: error }, 'admin listener'))
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a TCP server that listens has an address of this form
    const { port } = this.#server.address() as AddressInfo
    return `http://${formatHost(options.host)}:${port}`
  }

  /** Closes the port and all connections; idempotent. */
  async close(): Promise<void> {
    if (!this.#server.listening) return
    const closed = Promise.withResolvers<void>()
    this.#server.close(() => closed.resolve())
    this.#server.closeAllConnections()
    await closed.promise
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await this.#answer(request, response)
    } catch (error) {
      this.#fail(error, response)
    }
  }

  #fail(error: unknown, response: ServerResponse): void {
    try {
      sendError(response, codeOf(error))
    } catch (unforeseen) {
      this.#log.error({ err: unforeseen }, 'admin request failed')
      if (response.headersSent) response.destroy()
      else sendError(response, 'internal')
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      sendError(response, 'method-not-allowed', { fields: { Allow: 'GET' } })
      return
    }
    const url = URL.parse(request.url ?? '', 'http://admin')
    const query = url?.searchParams ?? new URLSearchParams()
    switch (url?.pathname ?? '') {
      case '/healthz':
        return sendJson(response, 200, { value: { status: 'ok' } })
      case '/readyz':
        return await this.#readyz(response)
      case '/metrics':
        return sendText(response, 200, { text: await this.#source.metrics(), fields: { 'Content-Type': METRICS_TYPE } })
      case '/members':
        return sendJson(response, 200, { value: await this.#source.members() })
      case '/sessions':
        return await this.#sessions(query, response)
      default:
        return sendError(response, 'route-unknown')
    }
  }

  async #readyz(response: ServerResponse): Promise<void> {
    const readiness = await this.#source.readiness()
    const isReady = readiness === 'ready'
    sendText(response, isReady ? 200 : 503, { text: isReady ? 'ok' : readiness, fields: PLAIN })
  }

  async #sessions(query: URLSearchParams, response: ServerResponse): Promise<void> {
    const cursor = query.get('cursor')
    const limit = query.get('limit') === null ? DEFAULT_PAGE : Number(query.get('limit'))
    if (!Number.isInteger(limit) || limit < 1 || limit > MAX_PAGE) {
      return sendError(response, 'query-invalid')
    }
    sendJson(response, 200, { value: await this.#source.sessions({ limit, ...(cursor !== null && { cursor }) }) })
  }
}
