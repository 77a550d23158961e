import { setTimeout as delay } from 'node:timers/promises'

import t from 'tap'

import { DeafListener } from '../../fixtures/deaf-listener.ts'
import { proxyTest } from '../../fixtures/proxy-fixture.ts'
import { eventually } from '../../fixtures/wire-socket.ts'

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

const deaf = new DeafListener()
await deaf.start()
t.teardown(() => deaf.close())

for (const how of ['fin', 'reset'] as const) {
  proxyTest(t, `${how} of the client before the response ends the upstream connection at once`, {}, async (t, f) => {
    const client = await f.client(GET)
    const wire = await f.upstream.accept()
    await wire.until('\r\n\r\n')
    client[how]()
    await wire.end()
    t.same(await f.outcomes(1), ['client-abort'])
    t.equal(f.target.connections, 0)
    t.equal(f.proxy.stats.activeRequests, 0)
  })

  proxyTest(
    t,
    `${how} of the client in the middle of a response ends the upstream connection at once`,
    {},
    async (t, f) => {
      for (const framing of ['Content-Length: 100', 'Transfer-Encoding: chunked', 'A: b']) {
        const client = await f.client(GET)
        const wire = await f.upstream.accept()
        await wire.until('\r\n\r\n')
        wire.send(`HTTP/1.1 200 OK\r\n${framing}\r\n\r\n4\r\nabcd\r\n`)
        await client.until('abcd')
        client[how]()
        await wire.end()
      }
      t.same(await f.outcomes(3), ['client-abort', 'client-abort', 'client-abort'])
    }
  )

  proxyTest(
    t,
    `${how} of the client in the middle of its request body ends the upstream connection at once`,
    {},
    async (t, f) => {
      for (const framing of ['Content-Length: 100', 'Transfer-Encoding: chunked']) {
        const client = await f.client(`POST / HTTP/1.1\r\nHost: a\r\n${framing}\r\n\r\n4\r\nabcd\r\n`)
        const wire = await f.upstream.accept()
        await wire.until('abcd')
        client[how]()
        const { text } = await wire.end()
        t.notMatch(text, /0\r\n\r\n$/, 'and the body is not made to look complete')
      }
      t.same(await f.outcomes(2), ['client-abort', 'client-abort'])
    }
  )

  proxyTest(t, `${how} of a client that reads nothing in the middle of a response is noticed`, {}, async (t, f) => {
    const client = await f.client(GET)
    const wire = await f.upstream.accept()
    await wire.until('\r\n\r\n')
    client.socket.pause()
    wire.send('HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n')
    const part = Buffer.alloc(1 << 20)
    while (wire.socket.write(part));
    await delay(100)
    client[how]()
    await wire.end()
    t.same(await f.outcomes(1), ['client-abort'])
  })

  proxyTest(
    t,
    `${how} of the client while its request is held calls onAbort once and dials nobody`,
    {
      resolve: (f, _head, exchange) => {
        exchange.onAbort = () => f.errors.push('abort seen')
        const { promise, resolve } = Promise.withResolvers<ReturnType<typeof f.route>>()
        setTimeout(() => resolve(f.route()), 60)
        return promise
      },
      errors: ['abort seen']
    },
    async (t, f) => {
      const client = await f.client(GET)
      await eventually(() => f.exchanges.size === 1, 'the request is held')
      client[how]()
      t.same(await f.outcomes(1), ['client-abort'])
      await delay(100)
      t.equal(f.upstream.sockets.length, 0, 'the late route is not used')
    }
  )

  proxyTest(
    t,
    `${how} of a client whose body is incomplete while its request is held is noticed at once`,
    {
      resolve: (f, _head, exchange) => {
        exchange.onAbort = () => f.errors.push('abort seen')
        const { promise, resolve } = Promise.withResolvers<ReturnType<typeof f.route>>()
        setTimeout(() => resolve(f.route()), 400).unref()
        return promise
      },
      errors: ['abort seen']
    },
    async (t, f) => {
      const client = await f.client('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc')
      await eventually(() => f.exchanges.size === 1, 'the request is held')
      const start = performance.now()
      client[how]()
      t.same(await f.outcomes(1), ['client-abort'])
      t.ok(performance.now() - start < 300, 'before the resolver answered')
    }
  )

  proxyTest(
    t,
    `${how} of the client while its upstream is being dialled gives up dialling`,
    { resolve: f => f.route(f.pool(deaf.port)) },
    async (t, f) => {
      for (const request of [GET, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc']) {
        const client = await f.client(request)
        await eventually(() => f.proxy.stats.activeRequests === 1, 'it is dialled')
        const exchange = [...f.exchanges].at(-1)
        t.equal(exchange?.upstream?.connections, 1)
        client[how]()
        await eventually(() => f.proxy.stats.activeRequests === 0, 'it is given up')
        t.equal(exchange?.outcome, 'client-abort')
        t.equal(exchange?.upstream?.connections, 0)
      }
    }
  )
}

proxyTest(t, 'a client that ends between requests is just closed', {}, async (t, f) => {
  f.upstream.serve(() => OK)
  const client = await f.client(GET)
  await client.until('ok')
  client.fin()
  t.equal((await client.end()).ending, 'fin')
  t.same(await f.outcomes(1), ['ok'])
  t.equal(f.target.idle.length, 1, 'the upstream connection is kept')
})

proxyTest(t, 'a client that ends in the middle of a head is just closed', {}, async (t, f) => {
  const client = await f.client('GET / HTTP/1.1\r\nHos')
  await eventually(() => f.proxy.stats.connections === 1, 'it is there')
  client.fin()
  await client.end()
  t.equal(f.finished.length, 0)
})

const halfClosed = { servesHalfClosed: true }

proxyTest(
  t,
  'with servesHalfClosed a client that sent FIN after its request gets the response, then the end',
  halfClosed,
  async (t, f) => {
    const client = await f.client('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody')
    client.fin()
    const wire = await f.upstream.accept()
    await wire.until('body')
    await delay(20)
    t.equal(wire.ending, 'open')
    wire.send(OK)
    const { text, ending } = await client.end()
    t.match(text, /^HTTP\/1.1 200 OK[^]*ok$/)
    t.equal(ending, 'fin')
  }
)

proxyTest(t, 'with servesHalfClosed all requests before FIN are answered', halfClosed, async (t, f) => {
  f.upstream.serve(() => OK)
  const client = await f.client(GET.repeat(5))
  client.fin()
  const { text } = await client.end()
  t.equal(text.match(/200 OK/g)?.length, 5)
})

proxyTest(t, 'with servesHalfClosed FIN in the middle of a body still cancels', halfClosed, async (t, f) => {
  const client = await f.client('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo')
  const wire = await f.upstream.accept()
  await wire.until('bo')
  client.fin()
  await wire.end()
  t.same(await f.outcomes(1), ['client-abort'])
})

proxyTest(
  t,
  'with servesHalfClosed a client that is gone after FIN is noticed when it is written to',
  halfClosed,
  async (t, f) => {
    const client = await f.client(GET)
    const wire = await f.upstream.accept()
    await wire.until('\r\n\r\n')
    client.fin()
    await delay(10)
    client.reset()
    wire.send('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n')
    const drip = setInterval(() => wire.send('x'), 5)
    await wire.end()
    clearInterval(drip)
    t.same(await f.outcomes(1), ['client-abort'])
  }
)
