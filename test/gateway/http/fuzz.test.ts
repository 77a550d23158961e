import type { Socket } from 'node:net'

import t from 'tap'

import type { Exchange } from '../../../gateway/http/exchange.ts'
import { testTransport } from '../../fixtures/test-transport.ts'
import { HttpProxy } from '../../../gateway/http/http-proxy.ts'
import type { Route } from '../../../gateway/http/resolver.ts'
import { type WireMessage, fieldOf, statusOf } from '../../fixtures/message-reader.ts'
import { RawClient } from '../../fixtures/raw-client.ts'
import { RecordingUpstream, type Respond } from '../../fixtures/recording-upstream.ts'
import { SeededRandom, seedOfRun } from '../../fixtures/seeded-random.ts'
import { type PlannedRequest, bodyPool, planRequest, planResponse, split } from './fuzz-plan.ts'

const REQUESTS = process.env['CI'] === undefined ? 5_000 : 100_000
const STALE_REQUESTS = process.env['CI'] === undefined ? 500 : 5_000
const LANES = 16
const SILENCE_MS = 10_000
const SEED = seedOfRun()

t.setTimeout(300_000)
t.comment(`FUZZ_SEED=${SEED}`)

/** A proxy whose every exchange must be finished exactly once. */
class CheckedProxy {
  readonly proxy: HttpProxy
  opened = 0
  finished = 0
  readonly faults: string[] = []
  readonly #open = new Set<Exchange>()
  #route: Route | null = null

  constructor() {
    this.proxy = new HttpProxy({
      transport: testTransport(),
      resolver: {
        resolve: (_head, exchange) => this.#resolve(exchange),
        retry: (_exchange, failure) => ({ kind: 'answer', status: 502, fields: '', body: '', outcome: failure.kind }),
        finish: exchange => this.#finish(exchange)
      }
    })
  }

  async listen(upstreamPort: number): Promise<number> {
    this.#route = { kind: 'route', upstream: this.proxy.upstream('127.0.0.1', upstreamPort), addedFields: '' }
    return (await this.proxy.listen({ host: '127.0.0.1', port: 0 })).port
  }

  /** Drains; returns what is left open, which should be nothing. */
  async close(): Promise<object> {
    await this.proxy.drain(10_000)
    const upstream = this.#route?.upstream
    upstream?.close()
    const { connections, activeRequests } = this.proxy.stats
    return { connections, activeRequests, open: this.#open.size, upstream: upstream?.connections }
  }

  #resolve(exchange: Exchange): Route | Promise<Route> {
    this.opened++
    this.#open.add(exchange)
    const route = this.#route
    if (route === null) throw new Error('not listening')
    // Now and then the answer takes a turn of the loop, as a look into the registry would.
    return this.opened % 5 === 0 ? new Promise(resolve => setImmediate(resolve, route)) : route
  }

  #finish(exchange: Exchange): void {
    this.finished++
    if (!this.#open.delete(exchange)) this.faults.push(`finished twice, or never opened: ${exchange.outcome}`)
    if (exchange.outcome === '') this.faults.push('finished without an outcome')
  }
}

const NOTHING_LEFT = { connections: 0, activeRequests: 0, open: 0, upstream: 0 }

async function write(socket: Socket, parts: readonly Buffer[]): Promise<void> {
  for (const part of parts) {
    if (socket.destroyed) return
    socket.write(part)
    if (part !== parts.at(-1)) await new Promise(setImmediate)
  }
}

async function respondAsPlanned(socket: Socket, request: WireMessage): Promise<void> {
  const plan = planResponse(Number(fieldOf(request, 'x-plan')), request.line.split(' ')[0] ?? '', request.body)
  await write(socket, plan.parts)
  // A reset, because a FIN would be the regular end of a response without a length.
  if (plan.cut) socket.resetAndDestroy()
  else if (plan.close) socket.end()
}

/** Why a response is not what was planned; empty where it is. */
function mismatch(planned: PlannedRequest, response: WireMessage | undefined): string {
  const { response: plan } = planned
  if (response === undefined) return plan.cut ? '' : 'no response'
  const status = statusOf(response.line)
  if (plan.cut) return status === 502 || isCutOf(plan.body, response) ? '' : 'a cut response came out whole'
  if (response.end !== 'complete') return 'cut'
  if (status !== plan.status) return `status ${status}, not ${plan.status}`
  if (!response.body.equals(plan.body)) return `body of ${response.body.length} bytes, not the ${plan.body.length} sent`
  return response.trailers === plan.trailers ? '' : `trailers ${response.trailers}, not ${plan.trailers}`
}

function isCutOf(whole: Buffer, response: WireMessage): boolean {
  return response.end === 'cut' && whole.subarray(0, response.body.length).equals(response.body)
}

/** One client after another, each with some batches of pipelined requests, some leaving in the middle. */
class Lane {
  readonly mismatches: string[] = []
  requests = 0
  aborted = 0
  cut = 0
  readonly #random: SeededRandom
  readonly #pool: Buffer
  readonly #port: number

  constructor(options: { seed: number; pool: Buffer; port: number }) {
    this.#random = new SeededRandom(options.seed)
    this.#pool = options.pool
    this.#port = options.port
  }

  async run(requests: number): Promise<void> {
    while (this.requests < requests && this.mismatches.length === 0) {
      const batches = Array.from({ length: 1 + this.#random.below(8) }, () => this.#planBatch())
      const methods = batches.flat().map(planned => planned.method)
      const client = new RawClient(this.#port, methods)
      for (const batch of batches) if (!(await this.#exchange(client, batch))) break
      client.socket.destroy()
    }
  }

  #planBatch(): PlannedRequest[] {
    const size = this.#random.oneIn(2) ? 1 : 1 + this.#random.below(5)
    return Array.from({ length: size }, () => planRequest(this.#random, this.#pool))
  }

  /** Returns whether the connection can serve another batch. */
  async #exchange(client: RawClient, batch: readonly PlannedRequest[]): Promise<boolean> {
    this.requests += batch.length
    const wire = Buffer.concat(batch.map(planned => planned.wire))
    const before = client.finals.length
    const expected = before + batch.length
    if (this.#random.oneIn(60)) {
      await this.#abort(client, wire)
      return false
    }
    await client.send(split(this.#random, wire))
    const answered = await client.until(() => client.finals.length >= expected, SILENCE_MS)
    if (!answered) this.mismatches.push(`silence: ${client.finals.length} of ${expected}, ${wire.length} bytes sent`)
    return this.#check(client, batch, before) && answered && client.ending === 'open'
  }

  async #abort(client: RawClient, wire: Buffer): Promise<void> {
    this.aborted++
    await client.send(split(this.#random, wire.subarray(0, this.#random.below(wire.length))))
    if (this.#random.oneIn(2)) client.socket.resetAndDestroy()
  }

  #check(client: RawClient, batch: readonly PlannedRequest[], before: number): boolean {
    const finals = client.finals.slice(before)
    for (const [index, planned] of batch.entries()) {
      const response = finals[index]
      const fault = mismatch(planned, response)
      if (fault !== '') this.mismatches.push(`${planned.method} ${index + 1} of ${batch.length}: ${fault}`)
      // What is behind a cut response is not answered: the connection ends there.
      if (response === undefined || response.end === 'cut') {
        this.cut++
        return false
      }
    }
    if (finals.length > batch.length) this.mismatches.push('a response that nobody asked for')
    return true
  }
}

t.test('random bodies, splits, pipelines, aborts and cuts come through byte for byte', async test => {
  const started = performance.now()
  const upstream: RecordingUpstream = new RecordingUpstream((socket, request) => {
    upstream.requests.length = upstream.broken.length = 0
    respondAsPlanned(socket, request).catch(error => test.error(error))
  })
  const checked = new CheckedProxy()
  const port = await checked.listen(await upstream.listen())
  const pool = bodyPool(new SeededRandom(SEED))
  const lanes = Array.from({ length: LANES }, (_, index) => new Lane({ seed: SEED + index + 1, pool, port }))
  await Promise.all(lanes.map(lane => lane.run(REQUESTS / LANES)))
  const sum = (pick: (lane: Lane) => number): number => lanes.reduce((total, lane) => total + pick(lane), 0)
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  test.comment(
    `${sum(lane => lane.requests)} requests, ${sum(lane => lane.aborted)} aborts, ${sum(lane => lane.cut)} cuts, ${seconds} s`
  )
  test.same(
    lanes.flatMap(lane => lane.mismatches),
    [],
    'no mismatch'
  )
  test.same(await checked.close(), NOTHING_LEFT, 'nothing is left open')
  test.same(checked.faults, [], 'each exchange was finished once')
  test.equal(checked.finished, checked.opened, 'every exchange was finished')
  upstream.close()
})

t.test('readers that pause get their own bytes, while others are served from the same buffers', async test => {
  const size = 12 << 20
  const slow = 4
  const upstream: RecordingUpstream = new RecordingUpstream((socket, request) => {
    upstream.requests.length = 0
    const number = Number(/^GET \/(\d+) /.exec(request.line)?.[1] ?? 255)
    const length = number < slow ? size : 100
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n`)
    socket.write(Buffer.alloc(length, number))
  })
  const checked = new CheckedProxy()
  const port = await checked.listen(await upstream.listen())
  const paused = Array.from({ length: slow }, () => new RawClient(port))
  for (const [index, client] of paused.entries()) {
    client.socket.pause()
    await client.send([`GET /${index} HTTP/1.1\r\nHost: a\r\n\r\n`])
  }
  const busy = new RawClient(port)
  for (let sent = 0; sent < 300; sent++) {
    await busy.send([`GET /200 HTTP/1.1\r\nHost: a\r\nX-Long: ${'v'.repeat(5_000)}\r\n\r\n`])
    await busy.until(() => busy.finals.length > sent, SILENCE_MS)
  }
  test.ok(
    busy.finals.every(response => response.body.equals(Buffer.alloc(100, 200))),
    'the quick client gets its own'
  )
  for (const [index, client] of paused.entries()) {
    // Between the resumption of one and the next, buffers of the others are in the kernel's hands.
    client.socket.resume()
    await client.until(() => client.finals.length > 0, SILENCE_MS)
    test.ok(client.finals[0]?.body.equals(Buffer.alloc(size, index)), `slow client ${index} gets its own`)
  }
  for (const client of [busy, ...paused]) client.socket.destroy()
  test.same(await checked.close(), NOTHING_LEFT, 'nothing is left open')
  upstream.close()
})

t.test('an upstream that closes idle connections at any moment costs no safe request', async test => {
  const random = new SeededRandom(SEED)
  const respond: Respond = socket => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
    const end = (): void => void (random.oneIn(2) ? socket.end() : socket.destroy())
    if (random.oneIn(3)) setTimeout(end, random.below(3))
    else if (random.oneIn(2)) setImmediate(end)
  }
  const upstream: RecordingUpstream = new RecordingUpstream((socket, request) => {
    upstream.requests.length = upstream.broken.length = 0
    respond(socket, request)
  })
  const checked = new CheckedProxy()
  const port = await checked.listen(await upstream.listen())
  const statuses = new Map<string, number>()
  const lane = async (): Promise<void> => {
    const client = new RawClient(port)
    for (let sent = 0; sent < STALE_REQUESTS / LANES && client.ending === 'open'; sent++) {
      await client.send(['GET / HTTP/1.1\r\nHost: a\r\n\r\n'])
      await client.until(() => client.responses.length > 0, SILENCE_MS)
      const line = client.responses.pop()?.line ?? `silence or end: ${client.ending}`
      statuses.set(line, (statuses.get(line) ?? 0) + 1)
    }
    client.socket.destroy()
  }
  await Promise.all(Array.from({ length: LANES }, lane))
  test.same([...statuses.keys()], ['HTTP/1.1 200 OK'])
  test.same(await checked.close(), NOTHING_LEFT, 'nothing is left open')
  test.equal(checked.finished, checked.opened, 'every exchange was finished')
  upstream.close()
})
