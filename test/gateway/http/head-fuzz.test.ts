import { once } from 'node:events'
import { type IncomingMessage, type Server, createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'

import t from 'tap'

import type { Exchange } from '../../../gateway/http/exchange.ts'
import { testTransport } from '../../fixtures/test-transport.ts'
import { HttpProxy } from '../../../gateway/http/http-proxy.ts'
import type { RequestHead } from '../../../gateway/http/request-head.ts'
import type { Route } from '../../../gateway/http/resolver.ts'
import { SeededRandom, seedOfRun } from '../../fixtures/seeded-random.ts'
import { split } from './fuzz-plan.ts'

const MESSAGES = process.env['CI'] === undefined ? 3_000 : 30_000
const LANES = 48
const SEED = seedOfRun()
const MAX_REPORTED = 5

t.setTimeout(300_000)
t.comment(`FUZZ_SEED=${SEED}`)

/** What one side takes a request for. */
interface Reading {
  readonly method: string
  readonly target: string
  readonly framing: string
}

/** One request as the engine read it, and what the strict parser of node:http made of it at the upstream. */
interface Passed {
  readonly engine: Reading
  readonly exchange: Exchange
  readonly upstream: Reading[]
  bodyBytes: number
  /** The mutated bytes that it came in. */
  readonly source: string
}

/**
 * The oracle against smuggling: each request that the engine lets through bears a number of its own, so that one that comes out
 * of another's bytes shows at the upstream as having none, or one seen before.
 */
class Oracle {
  readonly passed = new Map<string, Passed>()
  readonly faults: string[] = []
  refused = 0
  #number = 0
  readonly proxy: HttpProxy
  readonly #server: Server
  #upstream: Route['upstream'] | null = null

  constructor() {
    this.#server = createServer({ insecureHTTPParser: false, maxHeaderSize: 65_536, joinDuplicateHeaders: false })
    this.#server.on('request', (request: IncomingMessage, response) => {
      const entry = this.#note(request)
      request.on('data', (bytes: Buffer) => void (entry === undefined ? 0 : (entry.bodyBytes += bytes.length)))
      request.on('end', () => response.end('ok'))
      // The client went away in the middle of a body, and the engine with it.
      request.on('error', () => response.destroy())
    })
    this.#server.on('checkContinue', (request, response) => this.#server.emit('request', request, response))
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      // Any token is a method to the engine, node:http knows a list: that message was refused whole, nothing came of it.
      const harmless = error.code === 'HPE_INVALID_METHOD' || error.code === 'ECONNRESET'
      // The engine closes where its client left in the middle of a body.
      if (!harmless && error.code !== 'HPE_INVALID_EOF_STATE')
        this.#fault(`the upstream refuses: ${error.code} ${rawPacket(error)}`)
      socket.destroy()
    })
    this.proxy = new HttpProxy({
      transport: testTransport(),
      resolver: {
        resolve: (head, exchange) => this.#pass(head, exchange),
        retry: (_exchange, failure) => ({ kind: 'answer', status: 502, fields: '', body: '', outcome: failure.kind }),
        finish: exchange => this.#finish(exchange)
      },
      capturedFields: ['x-sandbox-id'],
      strippedFields: ['x-number'],
      timerResolutionMs: 20,
      limits: {
        requestHeadTimeoutMs: 300,
        keepAliveTimeoutMs: 300,
        bodyIdleTimeoutMs: 300,
        responseHeadTimeoutMs: 2_000,
        lingerTimeoutMs: 300
      }
    })
  }

  async listen(): Promise<number> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    this.#upstream = this.proxy.upstream('127.0.0.1', (this.#server.address() as AddressInfo).port)
    return (await this.proxy.listen({ host: '127.0.0.1', port: 0 })).port
  }

  async close(): Promise<object> {
    await this.proxy.drain(5_000)
    this.#upstream?.close()
    this.#server.close()
    this.#server.closeAllConnections()
    return { ...this.proxy.stats, accepted: 0 }
  }

  #fault(text: string): void {
    if (this.faults.length < MAX_REPORTED) this.faults.push(text)
  }

  #pass(head: RequestHead, exchange: Exchange): Route {
    const { fields, method, path } = head
    const framing = fields.chunked ? 'chunked' : fields.contentLength >= 0 ? `length ${fields.contentLength}` : 'none'
    const number = String(++this.#number)
    const source = JSON.stringify(head.bytes.toString('latin1').slice(0, 600))
    this.passed.set(number, { engine: { method, target: path, framing }, exchange, upstream: [], bodyBytes: 0, source })
    if (this.#upstream === null) throw new Error('not listening')
    return { kind: 'route', upstream: this.#upstream, addedFields: `X-Number: ${number}\r\n` }
  }

  #finish(exchange: Exchange): void {
    if (exchange.attempts === 0) this.refused++
  }

  #note(request: IncomingMessage): Passed | undefined {
    const { headers, method = '', url = '' } = request
    const number = request.headersDistinct['x-number'] ?? []
    const entry = this.passed.get(number[0] ?? '')
    if (entry === undefined || number.length !== 1) {
      this.#fault(`a request that the engine did not send: ${method} ${url}`)
      return undefined
    }
    const length = headers['content-length']
    const encoding = headers['transfer-encoding']?.toLowerCase()
    entry.upstream.push({
      method,
      target: url,
      framing: encoding ?? (length === undefined ? 'none' : `length ${Number(length)}`)
    })
    return entry
  }

  /** Compares what both sides made of each request. */
  check(): void {
    for (const entry of this.passed.values()) this.#compare(entry)
  }

  #compare({ engine, exchange, upstream, bodyBytes, source }: Passed): void {
    const [seen, ...more] = upstream
    // A client that left, or a method that node:http does not know: nothing, or an incomplete request, arrived.
    if (seen === undefined) return
    if (more.length > 0) this.#fault(`one request became ${upstream.length}: ${source}`)
    if (seen.method !== engine.method || seen.framing !== engine.framing || seen.target !== engine.target) {
      this.#fault(`read differently: ${JSON.stringify({ engine, seen })} ${source}`)
    }
    const whole = exchange.outcome === 'ok' && engine.framing.startsWith('length')
    if (whole && bodyBytes !== exchange.requestBytes)
      this.#fault(`body of ${bodyBytes}, not ${exchange.requestBytes}: ${source}`)
  }
}

function rawPacket(error: object): string {
  const bytes: unknown = 'rawPacket' in error ? error.rawPacket : undefined
  return Buffer.isBuffer(bytes) ? JSON.stringify(bytes.toString('latin1').slice(0, 400)) : ''
}

const HEADS = [
  'GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n',
  'GET http://b.test/x?y=1 HTTP/1.1\r\nHost: a.test\r\nAccept: */*\r\n\r\n',
  'HEAD /x HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n',
  'POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 11\r\n\r\nhello world',
  'POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 40\r\nX-A: b\r\n\r\nGET /in HTTP/1.1\r\nHost: a.test\r\nX-A: b\r\n\r\n',
  'POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  'PUT /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: a.test\r\n\r\n5;a="b;c"\r\nhello\r\n1f\r\nGET /in HTTP/1.1\r\nHost: a\r\n\r\nabcd\r\n0;x\r\nX-T: 1\r\n\r\n',
  'PATCH /x HTTP/1.1\r\nHost: a.test\r\nConnection: close, x-hop, te\r\nX-Hop: 1\r\nTE: trailers\r\nContent-Length: 0\r\n\r\n',
  'OPTIONS * HTTP/1.1\r\nHost: a.test\r\nX-Sandbox-ID: sb-1\r\n\r\n',
  'POST /x HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi'
] as const

/** Follows every message: eaten as part of a broken one, or answered, and then the connection ends. */
const CANARY = 'GET /canary HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n'

const FRAGMENTS = [
  '\r',
  '\n',
  '\r\n',
  '\r\n\r\n',
  ' ',
  '\t',
  '\0',
  ':',
  ';',
  ',',
  '"',
  '0',
  '\x0b',
  '\x85',
  '\xff',
  '\r\n ',
  '\n\n',
  '\r\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Transfer-Encoding : chunked\r\n',
  'Transfer-Encoding: identity\r\n',
  'Content-Length: 5\r\n',
  'Content-Length: 0\r\n',
  'Content-Length: 5, 5\r\n',
  'Connection: content-length\r\n',
  'Connection: transfer-encoding, x-number\r\n',
  'X-Number: 1\r\n',
  'Upgrade: websocket\r\nConnection: upgrade\r\n',
  'GET /inner HTTP/1.1\r\nHost: a\r\n\r\n',
  '0\r\n\r\n',
  'HTTP/1.1',
  'chunked'
] as const

/** Flips, inserts, deletes, doubles or replaces something, up to three times. */
function mutate(random: SeededRandom, message: string): string {
  let text = message
  for (let i = 1 + random.below(3); i > 0; i--) {
    const at = random.below(text.length)
    const size = 1 + random.below(random.oneIn(3) ? 20 : 2)
    const [before, from] = [text.slice(0, at), text.slice(at)]
    const lineStart = text.lastIndexOf('\n', at) + 1
    // Thrice, because a field where it must not be is what smuggling is made of.
    const insertLine = (): string => `${text.slice(0, lineStart)}${random.pick(FRAGMENTS)}${text.slice(lineStart)}`
    const edits = [
      () => `${before}${String.fromCharCode(from.charCodeAt(0) ^ (1 << random.below(8)))}${from.slice(1)}`,
      () => `${before}${String.fromCharCode(random.below(256))}${from}`,
      () => `${before}${from.slice(size)}`,
      () => `${before}${from.slice(0, size)}${from}`,
      () => `${before}${random.pick(FRAGMENTS)}${from}`,
      insertLine,
      insertLine,
      insertLine,
      () => `${before}${from.slice(0, 1).toUpperCase()}${from.slice(1)}`
    ] as const
    text = random.pick(edits)()
    if (text === '') return ' '
  }
  return text
}

/** Sends a mutated message and the canary, and waits until the proxy has closed. */
async function exchange(port: number, parts: readonly Buffer[]): Promise<void> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  const closed = new Promise<void>(resolve => socket.once('close', () => resolve()))
  socket.on('error', () => socket.destroy())
  socket.resume()
  for (const part of parts) {
    if (socket.destroyed) break
    socket.write(part)
    if (part !== parts.at(-1)) await new Promise(setImmediate)
  }
  await closed
}

t.test('whatever passes of a mutated request is one request, with the same framing, to a strict parser', async test => {
  const started = performance.now()
  const oracle = new Oracle()
  const port = await oracle.listen()
  const lane = async (_: unknown, index: number): Promise<void> => {
    const random = new SeededRandom(SEED + index)
    for (let sent = 0; sent < MESSAGES / LANES && oracle.faults.length < MAX_REPORTED; sent++) {
      const bytes = Buffer.from(mutate(random, random.pick(HEADS)) + CANARY, 'latin1')
      await exchange(port, split(random, bytes))
    }
  }
  await Promise.all(Array.from({ length: LANES }, lane))
  const left = await oracle.close()
  oracle.check()
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  const canaries = [...oracle.passed.values()].filter(entry => entry.engine.target === '/canary').length
  test.comment(
    `${MESSAGES} messages: ${oracle.passed.size} requests passed, ${canaries} canaries, ${oracle.refused} refused, ${seconds} s`
  )
  test.same(oracle.faults, [], 'no fault')
  test.same(left, { connections: 0, activeRequests: 0, accepted: 0, rejected: 0 }, 'nothing is left open')
  test.ok(oracle.passed.size - canaries > MESSAGES / 10, 'enough mutations pass for the test to mean something')
  test.ok(oracle.refused > MESSAGES / 10, 'enough are refused')
})
