import { createServer } from 'node:http'

import t from 'tap'

import { type ProxyFixture, type ProxyFixtureOptions, proxyTest } from '../../fixtures/proxy-fixture.ts'
import { eventually } from '../../fixtures/wire-socket.ts'
import type { Upstream } from '../../../gateway/http/upstream.ts'

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
const BODY = Buffer.alloc(3_000_000, 'local body ')
const cancelled: string[] = []

/** A server within the process: it answers at once, in the same turn. */
const server = createServer((request, response) => {
  response.on('close', () => {
    if (!response.writableFinished) cancelled.push(request.url ?? '')
  })
  if (request.url === '/never') return
  if (request.url === '/die') {
    request.socket.destroy()
    return
  }
  if (request.url === '/big') response.end(BODY)
  else if (request.method === 'POST') request.pipe(response)
  else response.end(`answer to ${request.url}`)
})

const pools = new WeakMap<ProxyFixture, Upstream>()

function local(f: ProxyFixture): Upstream {
  const pool = pools.get(f) ?? f.own(f.proxy.localUpstream(duplex => server.emit('connection', duplex)))
  pools.set(f, pool)
  return pool
}

const options: ProxyFixtureOptions = { resolve: f => f.route(local(f)) }

proxyTest(
  t,
  'a server within the process answers like any other, on a connection that is kept',
  options,
  async (t, f) => {
    const client = await f.client(GET)
    t.match(await client.until('answer to /'), /^HTTP\/1.1 200 OK/)
    for (let i = 0; i < 5; i++) {
      client.take()
      client.send(GET.replace('/', `/${i}`))
      await client.until(`answer to /${i}`)
    }
    t.equal(local(f).connections, 1, 'one connection for all')
  }
)

proxyTest(t, 'pipelined requests keep their order', options, async (t, f) => {
  const client = await f.client(Array.from({ length: 500 }, (_, i) => GET.replace('/', `/${i}`)).join(''))
  await client.until(text => text.endsWith('answer to /499'))
  t.same(
    client.text.match(/answer to \/\d+/g)?.map(each => Number(each.slice(11))),
    Array.from({ length: 500 }, (_, i) => i)
  )
})

proxyTest(t, 'large bodies pass whole, both ways', options, async (t, f) => {
  const client = await f.client(GET.replace('/', '/big'))
  const head = await client.until('\r\n\r\n')
  const start = head.indexOf('\r\n\r\n') + 4
  await client.atLeast(start + BODY.length)
  t.ok(client.bytes.subarray(start).equals(BODY))
  client.take()
  client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${BODY.length}\r\n\r\n`)
  client.send(BODY)
  await client.until(/0\r\n\r\n$/)
  t.ok(client.length > BODY.length)
  t.equal(f.finished.at(-1)?.requestBytes, BODY.length)
})

proxyTest(t, 'a client that leaves cancels the request within the process', options, async (t, f) => {
  const client = await f.client(GET.replace('/', '/never'))
  await eventually(() => f.exchanges.size === 1 && local(f).connections === 1, 'it is there')
  client.reset()
  await eventually(() => cancelled.includes('/never'), 'the handler hears of it')
  t.same(await f.outcomes(1), ['client-abort'])
})

proxyTest(t, 'a handler that destroys its connection is a failed attempt', options, async (t, f) => {
  const client = await f.client(GET.replace('/', '/die'))
  t.match(await client.until('failed: '), /^HTTP\/1.1 502 /)
  t.match(f.failures, [{ unsent: false }])
})

proxyTest(
  t,
  'an answer within the turn leaves the time limits as they should be',
  { ...options, limits: { keepAliveTimeoutMs: 100, responseHeadTimeoutMs: 60_000 } },
  async (t, f) => {
    const client = await f.client(GET)
    await client.until('answer')
    client.send(GET)
    await client.until(text => text.split('answer').length === 3)
    t.equal((await client.end()).ending, 'fin', 'closed as idle')
  }
)
