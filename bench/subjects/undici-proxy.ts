// The proxy that one would build on Node without an engine of one's own: node:http towards the client, undici's dispatch towards the
// backend, which is undici's fastest interface. Header names and values pass as raw lists; one pool per backend, no pipelining.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { Pool, type Dispatcher } from 'undici'
import { announce, readRoutes } from './routes.ts'

const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'expect'
])

const pools = new Map<number, Pool>()
const routes = new Map([...readRoutes()].map(([id, port]) => [id, poolFor(port)]))

function poolFor(port: number): Pool {
  const pool = pools.get(port) ?? new Pool(`http://127.0.0.1:${port}`, { connections: 64, pipelining: 1 })
  pools.set(port, pool)
  return pool
}

/** Names and values in turn, without what belongs to the client's connection. */
function forwardedFields(request: IncomingMessage): string[] {
  const fields: string[] = []
  const raw = request.rawHeaders
  for (let index = 0; index < raw.length; index += 2) {
    const name = raw[index] ?? ''
    if (!HOP_BY_HOP.has(name.toLowerCase())) fields.push(name, raw[index + 1] ?? '')
  }
  fields.push('X-Forwarded-For', request.socket.remoteAddress ?? '')
  fields.push('X-Forwarded-Host', request.headers.host ?? '', 'X-Forwarded-Proto', 'http')
  return fields
}

/** The same for the answer, whose names and values undici gives as buffers. */
function answeredFields(raw: Dispatcher.DispatchController['rawHeaders']): string[] {
  const fields: string[] = []
  if (!Array.isArray(raw)) return fields
  for (let index = 0; index < raw.length; index += 2) {
    const name = String(raw[index])
    if (!HOP_BY_HOP.has(name.toLowerCase())) fields.push(name, String(raw[index + 1]))
  }
  return fields
}

class Relay implements Dispatcher.DispatchHandler {
  readonly #response: ServerResponse
  #controller: Dispatcher.DispatchController | null = null

  constructor(response: ServerResponse) {
    this.#response = response
    response.on('drain', () => this.#controller?.resume())
    response.on('close', () => {
      if (!response.writableFinished) this.#controller?.abort(new Error('the client left'))
    })
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    if (status >= 200) this.#response.writeHead(status, answeredFields(controller.rawHeaders))
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.#response.write(chunk)) controller.pause()
  }

  onResponseEnd(): void {
    this.#response.end()
  }

  onResponseError(): void {
    if (this.#response.headersSent) this.#response.destroy()
    else this.#response.writeHead(502).end()
  }
}

function hasBody(request: IncomingMessage): boolean {
  return request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined
}

const server = createServer((request, response) => {
  const pool = routes.get(String(request.headers['x-sandbox-id']))
  if (pool === undefined) {
    response.writeHead(404).end()
    return
  }
  const options: Dispatcher.DispatchOptions = {
    path: request.url ?? '/',
    method: request.method ?? 'GET',
    headers: forwardedFields(request),
    body: hasBody(request) ? request : null
  }
  pool.dispatch(options, new Relay(response))
})
server.keepAliveTimeout = 300_000
server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () => {
  const address = server.address()
  if (address !== null && typeof address === 'object') announce(address.port)
})
