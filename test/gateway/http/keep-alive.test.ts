import { setTimeout as delay } from 'node:timers/promises'

import t from 'tap'

import { type ProxyFixture, proxyTest } from '../../fixtures/proxy-fixture.ts'
import { type WireSocket, eventually } from '../../fixtures/wire-socket.ts'

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

/** A client and the upstream connection that has just served it and lies idle. */
async function warm(f: ProxyFixture): Promise<{ client: WireSocket; wire: WireSocket }> {
  const client = await f.client(GET)
  const wire = await f.upstream.accept()
  await wire.until('\r\n\r\n')
  wire.send(OK)
  await client.until('ok')
  wire.take()
  client.take()
  return { client, wire }
}

proxyTest(t, 'sequential requests of many clients share one upstream connection', {}, async (t, f) => {
  f.upstream.serve(() => OK)
  for (let i = 0; i < 20; i++) {
    const client = await f.client(GET)
    await client.until('ok')
    client.take()
    client.send(GET)
    await client.until('ok')
  }
  t.equal(f.upstream.sockets.length, 1)
})

proxyTest(
  t,
  'the pool keeps no more idle connections than its bound',
  { limits: { maxIdlePerUpstream: 3 } },
  async (t, f) => {
    const clients = await Promise.all(Array.from({ length: 10 }, () => f.client(GET)))
    await eventually(() => f.upstream.sockets.length === 10, 'all are dialled')
    for (const wire of f.upstream.sockets) {
      await wire.until('\r\n\r\n')
      wire.send(OK)
    }
    for (const client of clients) await client.until('ok')
    await eventually(() => f.target.connections === 3, 'the others are closed')
    t.equal(f.target.idle.length, 3)
    await eventually(
      () => f.upstream.sockets.filter(wire => wire.ending === 'open').length === 3,
      'the upstream sees it'
    )
  }
)

proxyTest(t, 'a pool of nothing dials every time', { limits: { maxIdlePerUpstream: 0 } }, async (t, f) => {
  f.upstream.serve(() => OK)
  const client = await f.client(GET)
  await client.until('ok')
  client.take()
  client.send(GET)
  await client.until('ok')
  t.equal(f.upstream.sockets.length, 2)
})

proxyTest(
  t,
  'no more connections to an upstream than the limit; the resolver hears of it',
  { limits: { maxConnectionsPerUpstream: 2 } },
  async (t, f) => {
    const busy = [await f.client(GET), await f.client(GET)]
    await eventually(() => f.upstream.sockets.length === 2, 'two are dialled')
    const third = await f.client(GET)
    await third.until('failed: saturated')
    t.match(f.failures, [{ kind: 'saturated', unsent: true, replayable: true }])
    t.equal(f.upstream.sockets.length, 2)
    for (const wire of f.upstream.sockets) {
      await wire.until('\r\n\r\n')
      wire.send(OK)
    }
    for (const client of busy) await client.until('ok')
    third.take()
    third.send(GET)
    await eventually(() => f.upstream.sockets.some(wire => wire.text.split('GET').length === 3), 'an idle one is used')
  }
)

proxyTest(
  t,
  'an idle upstream connection is closed in time',
  { limits: { upstreamIdleTimeoutMs: 40 } },
  async (t, f) => {
    const { wire } = await warm(f)
    await wire.end()
    t.equal(f.target.connections, 0)
  }
)

proxyTest(
  t,
  'an idle upstream connection without time limit stays',
  { limits: { upstreamIdleTimeoutMs: 0 } },
  async (t, f) => {
    const { wire } = await warm(f)
    await delay(80)
    t.equal(f.target.idle.length, 1)
    t.equal(wire.ending, 'open')
  }
)

proxyTest(t, 'a closed upstream leaves the pool at once', {}, async (t, f) => {
  const { client, wire } = await warm(f)
  wire.fin()
  await eventually(() => f.target.connections === 0, 'it is forgotten')
  client.send(GET)
  const next = await f.upstream.accept()
  await next.until('\r\n\r\n')
  next.send(OK)
  await client.until('ok')
  t.equal(f.failures.length, 0)
})

proxyTest(t, 'a pool that is closed keeps nothing', {}, async (t, f) => {
  const first = await f.client(GET)
  const wire = await f.upstream.accept()
  await wire.until('\r\n\r\n')
  f.target.close()
  t.equal(f.target.connections, 1, 'what is under way goes on')
  wire.send(OK)
  await first.until('ok')
  await wire.end()
  t.equal(f.target.connections, 0)
})

/** Requests on a connection that the upstream closes as they come, and whether each may be sent again. */
const RACES: readonly (readonly [request: string, replayed: boolean])[] = [
  [GET, true],
  ['HEAD / HTTP/1.1\r\nHost: a\r\n\r\n', true],
  ['OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n', true],
  ['GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n', true],
  ['GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx', false],
  ['POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody', false],
  ['POST / HTTP/1.1\r\nHost: a\r\n\r\n', false],
  ['DELETE / HTTP/1.1\r\nHost: a\r\n\r\n', false],
  ['PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n', false],
  ['PATCH / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', false]
]

for (const how of ['fin', 'reset'] as const) {
  for (const [request, replayed] of RACES) {
    const name = `${JSON.stringify(request.slice(0, 40))} is ${replayed ? '' : 'not '}sent again after ${how} on a kept connection`
    proxyTest(t, name, {}, async (t, f) => {
      const { client, wire } = await warm(f)
      // The upstream ends the connection only when the request is there: the proxy cannot have known.
      wire.socket.once('data', () => (how === 'fin' ? wire.socket.destroy() : wire.reset()))
      client.send(request)
      if (replayed) {
        const next = await f.upstream.accept()
        await next.until('\r\n\r\n')
        t.ok(next.text.startsWith(request.slice(0, request.indexOf('\r\n'))), 'with the same line')
        next.send('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
        t.match(await client.until('\r\n\r\n'), '200 OK')
        t.equal(f.failures.length, 0, 'the resolver is not asked')
      } else {
        t.match(await client.until(/failed: (reset|closed)$/), '502')
        t.match(f.failures, [{ replayable: false, unsent: false }])
        t.equal(f.upstream.sockets.length, 1, 'nobody dialled again')
      }
    })
  }
}

proxyTest(t, 'a fresh connection that fails is not replayed without asking', {}, async (t, f) => {
  const client = await f.client(GET)
  const wire = await f.upstream.accept()
  await wire.until('\r\n\r\n')
  wire.socket.destroy()
  await client.until('failed:')
  t.match(f.failures, [{ replayable: true, unsent: false }])
  t.equal(f.upstream.sockets.length, 1)
})

proxyTest(t, 'a replay that fails too is not replayed again', {}, async (t, f) => {
  const { client, wire } = await warm(f)
  wire.socket.once('data', () => wire.socket.destroy())
  client.send(GET)
  const next = await f.upstream.accept()
  await next.until('\r\n\r\n')
  next.socket.destroy()
  await client.until('failed:')
  t.equal(f.upstream.sockets.length, 2)
})

proxyTest(t, 'once a byte of a response has come nothing is replayed', {}, async (t, f) => {
  for (const part of ['H', 'HTTP/1.1 200 OK\r\nA: ', 'HTTP/1.1 103 X\r\n\r\n']) {
    const before = f.failures.length
    const { client, wire } = await warm(f)
    const sockets = f.upstream.sockets.length
    wire.socket.once('data', () => wire.socket.end(part))
    client.send(GET)
    await client.until('failed: closed')
    t.match(f.failures[before], { kind: 'closed', replayable: false })
    t.equal(f.upstream.sockets.length, sockets)
  }
})

proxyTest(t, 'a storm of closing upstream connections loses no GET', {}, async (t, f) => {
  f.upstream.onConnection = wire => {
    let served = 0
    wire.socket.on('data', () => {
      if (served++ === 0) wire.send(OK)
      else wire.socket.destroy()
    })
  }
  const clients = await Promise.all(Array.from({ length: 8 }, () => f.client()))
  await Promise.all(
    clients.map(async client => {
      for (let i = 0; i < 60; i++) {
        client.take()
        client.send(GET)
        const text = await client.until('ok')
        if (!text.startsWith('HTTP/1.1 200')) t.fail(text)
      }
    })
  )
  t.equal(f.failures.length, 0)
  t.equal(f.finished.filter(exchange => exchange.status === 200).length, 480)
})

proxyTest(t, 'an upstream that answers before it has read the request does not stop the client', {}, async (t, f) => {
  // The last bytes of the body fill the upstream's queue, the response comes before it drains.
  const body = Buffer.alloc(120_000, 'b')
  for (let size = 2_000_000; size < 8_000_000; size += 1_500_000) {
    const client = await f.client(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n`)
    const wire = await f.upstream.accept()
    await wire.until('\r\n\r\n')
    wire.socket.pause()
    for (let sent = 0; sent < size; sent += body.length)
      client.send(body.subarray(0, Math.min(body.length, size - sent)))
    await delay(60)
    wire.send(OK)
    const text = await client.until('ok')
    if (!text.includes('Connection: close')) {
      client.take()
      client.send(GET)
      const next = f.target.connections === 0 ? await f.upstream.accept() : wire
      next.socket.resume()
      await next.until('GET /')
      next.send(OK)
      await client.until('ok')
    }
    client.socket.destroy()
    for (const each of f.upstream.sockets) each.socket.destroy()
    await eventually(() => f.target.connections === 0, 'the pool is empty again')
  }
  t.pass('each client connection either ended in order or went on')
})
