import t from 'tap'

import { testTransport } from '../../fixtures/test-transport.ts'
import { HttpProxy } from '../../../gateway/http/http-proxy.ts'
import type { Route } from '../../../gateway/http/resolver.ts'
import { type WireMessage, statusOf } from '../../fixtures/message-reader.ts'
import { RawClient } from '../../fixtures/raw-client.ts'
import { RecordingUpstream, type Respond } from '../../fixtures/recording-upstream.ts'
import { UndiciProxy } from '../../fixtures/undici-proxy.ts'
import { REQUESTS, type RequestCase, RESPONSES, type ResponseCase } from './differential-corpus.ts'
import { REQUEST_DIFFERENCES, RESPONSE_DIFFERENCES, type Difference } from './differential-explained.ts'

/** What can be seen of one case from both ends; two proxies differ where a facet differs. */
type Facet = 'requests' | 'fields' | 'body' | 'broken' | 'statuses' | 'answer' | 'ending'
type Observation = Record<Facet, string>

/** Nothing in so long means that nothing will come: everything is on this machine, and no case takes any work. */
const SILENCE_MS = 2_000
const AT_ONCE = 40

/** Set by each hop for itself, so that they say nothing of what passed. */
const OWN_FIELDS = new Set(['host', 'connection', 'keep-alive', 'date', 'transfer-encoding', 'content-length'])
const ADDED_FIELDS = new Set(['x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-fairlead-session'])

const OWN_ANSWERS = new Set([400, 405, 413, 414, 431, 502, 505])

interface Subject {
  readonly port: number
  close(): Promise<void>
}

async function engineBefore(upstreamPort: number): Promise<Subject> {
  const finished: string[] = []
  let opened = 0
  const proxy = new HttpProxy({
    transport: testTransport(),
    resolver: {
      resolve: () => {
        opened++
        return route
      },
      retry: (_exchange, failure) => ({
        kind: 'answer',
        status: 502,
        fields: '',
        body: 'failed',
        outcome: failure.kind
      }),
      finish: exchange => finished.push(exchange.outcome)
    },
    capturedFields: ['x-sandbox-id'],
    strippedFields: ['x-fairlead-session'],
    limits: { responseHeadTimeoutMs: 1_000, bodyIdleTimeoutMs: 1_000, lingerTimeoutMs: 1_000 }
  })
  const upstream = proxy.upstream('127.0.0.1', upstreamPort)
  const route: Route = { kind: 'route', upstream, addedFields: 'X-Fairlead-Session: s\r\n' }
  const { port } = await proxy.listen({ host: '127.0.0.1', port: 0 })
  const close = async (): Promise<void> => {
    await proxy.drain(1_000)
    upstream.close()
    if (proxy.stats.activeRequests !== 0 || proxy.stats.connections !== 0) throw new Error('something is left open')
    if (finished.length < opened || finished.includes('')) throw new Error('a request did not finish')
  }
  return { port, close }
}

async function referenceBefore(upstreamPort: number): Promise<Subject> {
  const proxy = new UndiciProxy(`http://127.0.0.1:${upstreamPort}`)
  return { port: await proxy.listen(), close: () => proxy.close() }
}

interface Exchanged {
  readonly parts: readonly string[]
  readonly methods: readonly string[]
  readonly answers: number
  readonly respond: Respond
}

async function observe(start: (upstreamPort: number) => Promise<Subject>, exchanged: Exchanged): Promise<Observation> {
  const upstream = new RecordingUpstream(exchanged.respond)
  const subject = await start(await upstream.listen())
  const client = new RawClient(subject.port, exchanged.methods)
  await client.send(exchanged.parts)
  await client.until(() => client.finals.length >= exchanged.answers, SILENCE_MS)
  const last = client.finals.at(-1)
  if (last !== undefined && announcesEnd(last)) await client.until(() => false, SILENCE_MS)
  const { ending } = client
  client.socket.destroy()
  await subject.close()
  upstream.close()
  return describe({ upstream, client, ending })
}

function announcesEnd(response: WireMessage): boolean {
  return response.fields.some(([name, value]) => name === 'connection' && value.toLowerCase() === 'close')
}

function describe(seen: { upstream: RecordingUpstream; client: RawClient; ending: string }): Observation {
  const { upstream, client, ending } = seen
  const { requests } = upstream
  return {
    requests: requests.map(request => request.line).join(' + '),
    fields: requests.map(request => fieldText(request)).join(' + '),
    body: requests.map(request => `${request.body.toString('latin1')}${trailerText(request)}`).join(' + '),
    broken: upstream.broken.length > 0 ? 'yes' : 'no',
    statuses: client.responses.map(response => statusOf(response.line)).join(' '),
    answer: client.responses.map(response => answerText(response)).join(' + '),
    ending: client.inside && ending === 'open' ? 'unfinished' : ending
  }
}

function fieldText(message: WireMessage): string {
  const fields = message.fields.filter(([name]) => !OWN_FIELDS.has(name) && !ADDED_FIELDS.has(name))
  return fields
    .map(([name, value]) => `${name}: ${value}`)
    .toSorted()
    .join(' | ')
}

function trailerText(message: WireMessage): string {
  return message.trailers === '' ? '' : ` trailers ${message.trailers}`
}

/** Of an answer that a proxy made itself only the status and its end are compared. */
function answerText(response: WireMessage): string {
  const status = statusOf(response.line)
  if (OWN_ANSWERS.has(status)) return response.end
  return `${fieldText(response)} / ${response.body.toString('latin1')}${trailerText(response)} / ${response.end}`
}

const respondOk: Respond = (socket, request) => {
  const body = request.line.startsWith('HEAD ') ? '' : 'ok'
  socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Up: 1\r\n\r\n${body}`)
}

function exchangeOfRequest(given: RequestCase): Exchanged {
  return { parts: given.parts, methods: given.methods ?? [], answers: given.answers ?? 1, respond: respondOk }
}

function exchangeOfResponse(given: ResponseCase): Exchanged {
  const method = given.method ?? 'GET'
  const respond: Respond = (socket, _request) => {
    socket.write(given.parts.join(''), 'latin1', () => {
      if (given.then === 'fin') socket.end()
      // The bytes are to arrive before the reset, which overtakes what the proxy has not read.
      if (given.then === 'reset') setTimeout(() => socket.resetAndDestroy(), 50)
    })
  }
  return { parts: [`${method} /x HTTP/1.1\r\nHost: a.test\r\n\r\n`], methods: [method], answers: 1, respond }
}

async function compare(
  test: Tap,
  exchanged: Exchanged,
  named: { name: string; explained: Difference | undefined; mayBeCut: boolean }
) {
  const [engine, reference] = await Promise.all([observe(engineBefore, exchanged), observe(referenceBefore, exchanged)])
  const facets = (Object.keys(engine) as Facet[]).filter(facet => engine[facet] !== reference[facet])
  const expected = named.explained?.facets ?? ''
  const seen = facets.map(facet => ({ facet, engine: short(engine[facet]), reference: short(reference[facet]) }))
  const message = expected === '' ? `${named.name}: the same` : `${named.name}: ${named.explained?.why ?? ''}`
  test.equal(facets.join(' '), expected, message, { seen })
  if (!named.mayBeCut) test.notMatch(engine.answer, /\bcut\b/, `${named.name}: our answer is whole`)
  const { statuses } = engine
  if (named.explained !== undefined) test.equal(statuses, named.explained.engine, `${named.name}: our answer`)
}

type Tap = Pick<typeof t, 'equal' | 'same' | 'notMatch'>

function short(text: string): string {
  return text.length > 300 ? `${text.slice(0, 300)}... (${text.length})` : text
}

async function inBatches<T>(items: readonly T[], run: (item: T) => Promise<void>): Promise<void> {
  for (let from = 0; from < items.length; from += AT_ONCE) await Promise.all(items.slice(from, from + AT_ONCE).map(run))
}

t.test('each difference between this engine and node:http with undici in requests is known', async test => {
  await inBatches(REQUESTS, given =>
    compare(test, exchangeOfRequest(given), {
      name: given.name,
      explained: REQUEST_DIFFERENCES[given.name],
      mayBeCut: false
    })
  )
  const names = new Set(REQUESTS.map(given => given.name))
  test.equal(names.size, REQUESTS.length, 'names are unique')
  test.same(
    Object.keys(REQUEST_DIFFERENCES).filter(name => !names.has(name)),
    [],
    'each explanation has a case'
  )
})

t.test('each difference between this engine and node:http with undici in responses is known', async test => {
  await inBatches(RESPONSES, given =>
    compare(test, exchangeOfResponse(given), {
      name: given.name,
      explained: RESPONSE_DIFFERENCES[given.name],
      mayBeCut: true
    })
  )
  const names = new Set(RESPONSES.map(given => given.name))
  test.equal(names.size, RESPONSES.length, 'names are unique')
  test.same(
    Object.keys(RESPONSE_DIFFERENCES).filter(name => !names.has(name)),
    [],
    'each explanation has a case'
  )
})
