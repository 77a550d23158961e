import t from 'tap'

import { DeafListener } from '../../fixtures/deaf-listener.ts'
import { type ProxyFixture, type ProxyFixtureOptions, proxyTest } from '../../fixtures/proxy-fixture.ts'
import { type WireSocket, eventually } from '../../fixtures/wire-socket.ts'

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
const LIMIT_MS = 120
/** For what must not be ended: longer than a busy machine may pause, shorter than what is sent takes. */
const STEADY_MS = 350
const STEADY_BYTES = 60

/** Sends so many bytes, one at a time, for longer than `STEADY_MS` in all. */
async function sendSteadily(wire: WireSocket): Promise<void> {
  for (let i = 0; i < STEADY_BYTES; i++) {
    wire.send('b')
    await new Promise(resolve => setTimeout(resolve, 8))
  }
}

/** A proxy whose one time limit is short. */
function limited(limits: ProxyFixtureOptions['limits'], more: ProxyFixtureOptions = {}): ProxyFixtureOptions {
  return { limits: limits!, ...more }
}

/** Runs `slow` and checks that it took about the limit: not less, and not the time of any other limit. */
async function timed<T>(t: { ok(value: boolean, name: string): unknown }, slow: () => Promise<T>): Promise<T> {
  const start = performance.now()
  const result = await slow()
  const elapsedMs = performance.now() - start
  t.ok(elapsedMs > LIMIT_MS * 0.5 && elapsedMs < 3000, `ended after ${Math.round(elapsedMs)} ms`)
  return result
}

/** Sends a text a byte at a time until the connection ends. */
function drip(wire: WireSocket, text: string, everyMs = 10): () => void {
  let at = 0
  const timer = setInterval(() => {
    if (wire.ending === 'open' && wire.socket.writable) wire.send(text[at++ % text.length]!)
  }, everyMs)
  return () => clearInterval(timer)
}

async function proxied(f: ProxyFixture, request: string): Promise<{ client: WireSocket; wire: WireSocket }> {
  const client = await f.client(request)
  const wire = await f.upstream.accept()
  await wire.until('\r\n\r\n')
  return { client, wire }
}

proxyTest(t, 'a head that does not end in time gets 408', limited({ requestHeadTimeoutMs: LIMIT_MS }), async (t, f) => {
  const client = await f.client('GET / HTTP/1.1\r\n')
  const { text } = await timed(t, () => client.end())
  t.match(text, /^HTTP\/1.1 408 [^]*Connection: close/)
  t.same(await f.outcomes(1), ['head-timeout'])
})

proxyTest(
  t,
  'a head that drips is ended too, however steadily',
  limited({ requestHeadTimeoutMs: LIMIT_MS }),
  async (t, f) => {
    const client = await f.client('GET / HTTP/1.1\r\nA: ')
    const stop = drip(client, 'x')
    const { text } = await timed(t, () => client.end())
    stop()
    t.match(text, /^HTTP\/1.1 408 /)
  }
)

proxyTest(
  t,
  'a head in time is served, though the limit passes later',
  limited({ requestHeadTimeoutMs: LIMIT_MS }),
  async (t, f) => {
    const client = await f.client('GET / HTTP/1.1\r\n')
    await new Promise(resolve => setTimeout(resolve, 40))
    client.send('Host: a\r\n\r\n')
    const wire = await f.upstream.accept()
    await wire.until('\r\n\r\n')
    await new Promise(resolve => setTimeout(resolve, LIMIT_MS * 2))
    wire.send(OK)
    t.match(await client.until('ok'), '200')
  }
)

proxyTest(
  t,
  'the second head on a connection has its own time',
  limited({ requestHeadTimeoutMs: LIMIT_MS }),
  async (t, f) => {
    f.upstream.serve(() => OK)
    const client = await f.client(`${GET}GET /2 HT`)
    await client.until('ok')
    t.match((await timed(t, () => client.end())).text, /ok.*408 /s)
  }
)

proxyTest(t, 'a connection without a request is closed', limited({ keepAliveTimeoutMs: LIMIT_MS }), async (t, f) => {
  const fresh = await f.client()
  t.same(await timed(t, () => fresh.end()), { text: '', ending: 'fin' })
  f.upstream.serve(() => OK)
  const used = await f.client(GET)
  await used.until('ok')
  t.equal((await timed(t, () => used.end())).ending, 'fin')
  t.same(await f.outcomes(1), ['ok'])
})

proxyTest(
  t,
  'empty lines do not keep a connection',
  limited({ keepAliveTimeoutMs: LIMIT_MS, requestHeadTimeoutMs: LIMIT_MS }),
  async (t, f) => {
    const client = await f.client('\r\n')
    const { text } = await timed(t, () => client.end())
    t.match(text, /^$|^HTTP\/1.1 4/)
  }
)

t.test('an upstream that does not accept in time is a failed attempt, sent nowhere', async t => {
  const deaf = new DeafListener()
  await deaf.start()
  t.teardown(() => deaf.close())
  const options = limited({ connectTimeoutMs: LIMIT_MS }, { resolve: f => f.route(f.pool(deaf.port)) })
  await proxyTest(t, 'connect', options, async (t, f) => {
    for (const request of [GET, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc']) {
      const client = await f.client(request)
      t.match(await timed(t, () => client.until('failed: connect-timeout')), '502')
    }
    t.match(f.failures, [
      { kind: 'connect-timeout', unsent: true, replayable: true },
      { kind: 'connect-timeout', unsent: true, replayable: true }
    ])
  })
})

proxyTest(
  t,
  'an upstream that does not answer in time is a failed attempt',
  limited({ responseHeadTimeoutMs: LIMIT_MS }),
  async (t, f) => {
    for (const request of [GET, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc']) {
      const { client, wire } = await proxied(f, request)
      t.match(await timed(t, () => client.until('failed: response-timeout')), '502')
      await wire.end()
    }
    t.match(f.failures, [
      { kind: 'response-timeout', unsent: false, replayable: true },
      { kind: 'response-timeout', unsent: false, replayable: false }
    ])
  }
)

proxyTest(t, 'a response head that drips is ended too', limited({ responseHeadTimeoutMs: LIMIT_MS }), async (t, f) => {
  const { client, wire } = await proxied(f, GET)
  wire.send('HTTP/1.1 200 OK\r\nA: ')
  const stop = drip(wire, 'x')
  await timed(t, () => client.until('failed: response-timeout'))
  stop()
})

proxyTest(
  t,
  'the resolver may set a shorter wait for one request',
  limited(
    { responseHeadTimeoutMs: 60_000 },
    {
      resolve: (f, head, exchange) => {
        if (head.path === '/short') exchange.responseHeadTimeoutMs = LIMIT_MS
        return f.route()
      }
    }
  ),
  async (t, f) => {
    const { client } = await proxied(f, GET.replace('/', '/short'))
    await timed(t, () => client.until('failed: response-timeout'))
    const long = await proxied(f, GET)
    await new Promise(resolve => setTimeout(resolve, LIMIT_MS * 2))
    long.wire.send(OK)
    await long.client.until('ok')
  }
)

proxyTest(
  t,
  'the response may take long once the request took long',
  limited({ responseHeadTimeoutMs: STEADY_MS }),
  async (t, f) => {
    const { client, wire } = await proxied(f, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60\r\n\r\n')
    await sendSteadily(client)
    await wire.until(/b{60}$/)
    wire.send(OK)
    t.match(await client.until('ok'), '200', 'the wait begins when the request is complete')
  }
)

const bodyIdle = limited({ bodyIdleTimeoutMs: LIMIT_MS })
const steadyBodyIdle = limited({ bodyIdleTimeoutMs: STEADY_MS })

proxyTest(t, 'a request body that stops gets 408, and the upstream connection ends', bodyIdle, async (t, f) => {
  for (const framing of ['Content-Length: 10', 'Transfer-Encoding: chunked']) {
    const { client, wire } = await proxied(f, `POST / HTTP/1.1\r\nHost: a\r\n${framing}\r\n\r\n5\r\nabc`)
    const { text } = await timed(t, () => client.end())
    t.match(text, /^HTTP\/1.1 408 /)
    await wire.end()
  }
  t.same(await f.outcomes(2), ['request-body-timeout', 'request-body-timeout'])
})

proxyTest(t, 'a request body that keeps coming may take its time', steadyBodyIdle, async (t, f) => {
  const { client, wire } = await proxied(f, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60\r\n\r\n')
  await sendSteadily(client)
  await wire.until(/b{60}$/)
  wire.send(OK)
  t.match(await client.until('ok'), '200')
})

proxyTest(
  t,
  'a request body that keeps coming after the response has begun may take its time',
  steadyBodyIdle,
  async (t, f) => {
    const { client, wire } = await proxied(f, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60\r\n\r\n')
    wire.send('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n')
    await sendSteadily(client)
    await wire.until(/b{60}$/)
    wire.send('done')
    t.match(await client.until('done'), '200')
  }
)

proxyTest(t, 'a response body that stops is cut, so that the client can tell', bodyIdle, async (t, f) => {
  for (const framing of ['Content-Length: 10', 'Transfer-Encoding: chunked', 'A: b']) {
    const { client, wire } = await proxied(f, GET)
    wire.send(`HTTP/1.1 200 OK\r\n${framing}\r\n\r\n3\r\nabc\r\n`)
    await client.until('abc')
    const { text } = await timed(t, () => client.end())
    t.notMatch(text, /0\r\n\r\n$/)
    await wire.end()
  }
  t.same(await f.outcomes(3), ['body-timeout', 'body-timeout', 'body-timeout'])
})

proxyTest(t, 'a response body that keeps coming may take its time', steadyBodyIdle, async (t, f) => {
  const { client, wire } = await proxied(f, GET)
  wire.send('HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n')
  await sendSteadily(wire)
  await client.until(/b{60}$/)
  t.same(await f.outcomes(1), ['ok'])
})

proxyTest(
  t,
  'a client that does not read its response is ended',
  limited({ bodyIdleTimeoutMs: LIMIT_MS * 3 }),
  async (t, f) => {
    const { client, wire } = await proxied(f, GET)
    client.socket.pause()
    wire.send('HTTP/1.1 200 OK\r\nContent-Length: 900000000\r\n\r\n')
    const part = Buffer.alloc(1 << 20)
    const pump = (): void => {
      while (wire.socket.writable && wire.socket.write(part));
    }
    wire.socket.on('drain', pump)
    pump()
    await timed(t, () => wire.end())
    t.same(await f.outcomes(1), ['body-timeout'])
  }
)

proxyTest(
  t,
  'a client that asks on and does not read its answers is ended as idle',
  {
    limits: { keepAliveTimeoutMs: LIMIT_MS, lingerTimeoutMs: LIMIT_MS },
    resolve: f => f.answer(200, 'x'.repeat(100_000))
  },
  async (t, f) => {
    const client = await f.client()
    client.socket.pause()
    client.send(GET.repeat(1000))
    await eventually(() => f.finished.length > 10, 'answers are given')
    await timed(t, () => eventually(() => f.proxy.stats.connections === 0, 'it is closed'))
    t.ok(f.finished.length < 1000, `${f.finished.length} answers were given`)
  }
)

proxyTest(
  t,
  'an upstream that does not read the request is ended, and the fault is its own',
  limited({ bodyIdleTimeoutMs: LIMIT_MS * 3 }),
  async (t, f) => {
    const { client, wire } = await proxied(f, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900000000\r\n\r\n')
    wire.socket.pause()
    const part = Buffer.alloc(1 << 20)
    const pump = (): void => {
      while (client.socket.writable && client.socket.write(part));
    }
    client.socket.on('drain', pump)
    pump()
    const text = await timed(t, () => client.until(/\r\n\r\n.+/s))
    t.match(text, /^HTTP\/1.1 504 /)
    t.same(await f.outcomes(1), ['upstream-stalled'])
  }
)

const whole = limited({ requestTimeoutMs: LIMIT_MS })
const steadyWhole = limited({ requestTimeoutMs: STEADY_MS })

proxyTest(t, 'a request as a whole has its time: before the response 504', whole, async (t, f) => {
  const { client, wire } = await proxied(f, GET)
  t.match((await timed(t, () => client.end())).text, /^HTTP\/1.1 504 /)
  await wire.end()
  t.same(await f.outcomes(1), ['request-timeout'])
})

proxyTest(
  t,
  'a request as a whole has its time: in the response a cut, though bytes keep coming',
  whole,
  async (t, f) => {
    const { client, wire } = await proxied(f, GET)
    wire.send('HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n')
    const stop = drip(wire, 'x')
    await timed(t, () => client.end())
    stop()
    t.same(await f.outcomes(1), ['request-timeout'])
  }
)

proxyTest(t, 'a request as a whole has its time: in a dripping body too', whole, async (t, f) => {
  const { client, wire } = await proxied(f, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\n')
  const stop = drip(client, 'x')
  t.match((await timed(t, () => client.end())).text, /^HTTP\/1.1 504 /)
  stop()
  await wire.end()
})

proxyTest(
  t,
  'a request as a whole has its time: while the resolver holds it, who is told',
  limited(
    { requestTimeoutMs: LIMIT_MS },
    {
      resolve: (f, _head, exchange) => {
        exchange.onAbort = () => f.errors.push('abort seen')
        return new Promise(() => undefined)
      },
      errors: ['abort seen']
    }
  ),
  async (t, f) => {
    const client = await f.client(GET)
    t.match((await timed(t, () => client.end())).text, /^HTTP\/1.1 504 /)
    t.same(await f.outcomes(1), ['request-timeout'])
  }
)

proxyTest(t, 'the next request has its own time', steadyWhole, async (t, f) => {
  f.upstream.serve(() => OK)
  const client = await f.client()
  for (let i = 0; i < 10; i++) {
    client.take()
    client.send(GET)
    await client.until('ok')
    await new Promise(resolve => setTimeout(resolve, 40))
  }
  t.equal(f.finished.length, 10)
})

const UPGRADE = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'
const SWITCH = 'HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'

proxyTest(
  t,
  'an upgraded connection on which nothing moves is ended; one direction is enough to keep it',
  limited({ upgradeIdleTimeoutMs: STEADY_MS, requestTimeoutMs: STEADY_MS * 2 }),
  async (t, f) => {
    const { client, wire } = await proxied(f, UPGRADE)
    wire.send(SWITCH)
    await client.until('\r\n\r\n')
    await sendSteadily(client)
    await sendSteadily(wire)
    t.same([client.ending, wire.ending], ['open', 'open'])
    await timed(t, () => client.end())
    await wire.end()
    t.same(await f.outcomes(1), ['upgrade-idle'])
  }
)

proxyTest(
  t,
  'a refused client that goes on sending is not read for ever',
  limited({ lingerTimeoutMs: LIMIT_MS }),
  async (t, f) => {
    const client = await f.client('BAD\x00\r\n\r\n')
    await client.end()
    const stop = drip(client, 'x')
    await timed(t, () => eventually(() => f.proxy.stats.connections === 0, 'it is closed'))
    stop()
    t.equal(f.proxy.stats.connections, 0)
  }
)

proxyTest(
  t,
  'a limit of 0 is no limit',
  limited({
    requestHeadTimeoutMs: 0,
    keepAliveTimeoutMs: 0,
    responseHeadTimeoutMs: 0,
    bodyIdleTimeoutMs: 0,
    requestTimeoutMs: 0
  }),
  async (t, f) => {
    const idle = await f.client()
    const head = await f.client('GET / HT')
    const { client, wire } = await proxied(f, GET)
    await new Promise(resolve => setTimeout(resolve, LIMIT_MS * 2))
    wire.send(OK)
    await client.until('ok')
    t.same([idle.ending, head.ending], ['open', 'open'])
  }
)
