import { setTimeout as delay } from 'node:timers/promises'

import t from 'tap'

import { type ProxyFixtureOptions, proxyTest } from '../../fixtures/proxy-fixture.ts'
import { freePort } from '../../fixtures/redis-server.ts'
import { eventually } from '../../fixtures/wire-socket.ts'

const GET = 'GET /p HTTP/1.1\r\nHost: a\r\n\r\n'
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
const closedPort = await freePort()

function post(body: string, more = ''): string {
  return `POST /p HTTP/1.1\r\nHost: a\r\n${more}Content-Length: ${body.length}\r\n\r\n${body}`
}

proxyTest(
  t,
  'a route that comes later is used, with the body that came meanwhile',
  { resolve: f => delay(30).then(() => f.route(f.target, 'X-Added: 1\r\n')) },
  async (t, f) => {
    const client = await f.client('POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nab')
    await delay(5)
    client.send('cd')
    const wire = await f.upstream.accept()
    await wire.until('abcd')
    client.send('efgh')
    const head = await wire.until(/abcdefgh$/)
    t.match(head, 'X-Added: 1\r\n')
    wire.send(OK)
    await client.until('ok')
    t.match(f.finished[0], {
      attempts: 1,
      outcome: 'ok',
      status: 200,
      method: 'POST',
      target: '/p',
      requestBytes: 8,
      responseBytes: 2
    })
  }
)

proxyTest(
  t,
  'a held request is not read without end',
  { resolve: f => delay(250).then(() => f.route()) },
  async (t, f) => {
    const size = 40_000_000
    const client = await f.client(`POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n`)
    const part = Buffer.alloc(1_000_000, 'x')
    for (let sent = 0; sent < size; sent += part.length) client.send(part)
    await delay(150)
    const [exchange] = f.exchanges
    t.ok(client.socket.writableLength > size / 2, 'most of it waits at the client')
    t.ok(exchange!.requestBytes < 1_000_000)
    const wire = await f.upstream.accept()
    await wire.atLeast(size)
    wire.send(OK)
    await client.until('ok')
    t.equal(exchange!.requestBytes, size)
  }
)

const answers: readonly (readonly [name: string, options: ProxyFixtureOptions, status: number, outcome: string])[] = [
  ['an answer at once', { resolve: f => f.answer(404, 'gone') }, 404, 'answer-404'],
  ['an answer later', { resolve: f => delay(10).then(() => f.answer(404, 'gone')) }, 404, 'answer-404'],
  [
    'a rejected promise',
    { resolve: () => Promise.reject(new Error('boom')), errors: ['boom', 'boom', 'boom'] },
    500,
    'internal-error'
  ],
  [
    'a resolver that throws',
    {
      resolve: () => {
        throw new Error('boom')
      },
      errors: ['boom', 'boom', 'boom']
    },
    500,
    'internal-error'
  ]
]

for (const [name, options, status, outcome] of answers) {
  proxyTest(
    t,
    `${name} reaches the client; a complete request keeps the connection, an incomplete one ends it`,
    options,
    async (t, f) => {
      const client = await f.client(GET)
      const text = await client.until(/\r\n\r\n.+/s)
      t.match(text, new RegExp(`^HTTP/1.1 ${status} `))
      t.notMatch(text, 'Connection: close')
      client.take()
      client.send('HEAD /p HTTP/1.1\r\nHost: a\r\n\r\n')
      t.match(
        await client.until(/\r\n\r\n$/),
        new RegExp(`^HTTP/1.1 ${status} [^]*Content-Length: [1-9]`),
        'no body for HEAD'
      )
      client.take()
      client.send('POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc')
      const last = await client.end()
      t.match(last.text, new RegExp(`^HTTP/1.1 ${status} [^]*Connection: close`))
      t.same(await f.outcomes(3), [outcome, outcome, outcome])
      t.equal(f.upstream.sockets.length, 0)
    }
  )
}

proxyTest(
  t,
  'an answer keeps the body of the request out of the next head',
  { resolve: f => f.answer(200, 'answer') },
  async (t, f) => {
    const client = await f.client(`${post('GET /evil HTTP/1.1\r\nHost: a\r\n\r\n')}${GET}`)
    await client.until(text => text.split('answer').length === 3)
    t.same(
      f.finished.map(exchange => exchange.target),
      ['/p', '/p']
    )
  }
)

proxyTest(
  t,
  'an answer goes to an HTTP/1.0 client in its terms',
  { resolve: f => f.answer(200, 'answer') },
  async (t, f) => {
    t.match((await f.ask('GET / HTTP/1.0\r\n\r\n')).text, /Connection: close\r\n[^]*answer$/)
    const client = await f.client('GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n')
    t.match(await client.until('answer'), 'Connection: keep-alive\r\n')
  }
)

const rerouted: ProxyFixtureOptions = {
  resolve: f => f.route(f.pool(closedPort), 'X-Try: 1\r\n'),
  retry: f => f.route(f.target, 'X-Try: 2\r\n')
}

for (const later of [false, true]) {
  const options: ProxyFixtureOptions = later
    ? { ...rerouted, retry: f => delay(10).then(() => f.route(f.target, 'X-Try: 2\r\n')) }
    : rerouted
  proxyTest(
    t,
    `a refused connection is retried where the resolver says${later ? ', later' : ''}, whatever the method`,
    options,
    async (t, f) => {
      f.upstream.serve(() => OK)
      const big = 'b'.repeat(300_000)
      for (const request of [GET, post('body'), 'DELETE /p HTTP/1.1\r\nHost: a\r\n\r\n', post(big)]) {
        const client = await f.client(request)
        t.match(await client.until(/\r\n\r\nok$/), '200 OK')
      }
      t.ok(
        f.failures.every(
          failure =>
            failure.kind === 'connect-refused' &&
            failure.unsent &&
            failure.replayable &&
            failure.detail === 'ECONNREFUSED'
        )
      )
      t.ok(f.finished.every(exchange => exchange.attempts === 2 && exchange.upstream === f.target))
      await eventually(() => f.upstream.received.length > 300_000, 'the large body is through')
      t.ok(f.upstream.received.includes(`\r\n\r\n${big}`))
      t.notMatch(f.upstream.received, 'X-Try: 1')
    }
  )
}

/** The first answer on each connection is a refusal, later ones are good. */
const REFUSAL = 'HTTP/1.1 421 Misdirected\r\nX-Refused: not-owner\r\nContent-Length: 6\r\n\r\nsecret'

const refusing: ProxyFixtureOptions = {
  refusalField: 'x-refused',
  limits: { maxReplayBytes: 1000 },
  resolve: f => f.route(f.target, 'X-Try: 1\r\n'),
  retry: (f, failure) =>
    failure.kind === 'refused' ? f.route(f.target, 'X-Try: 2\r\n') : f.answer(502, `failed: ${failure.kind}`)
}

for (const status of [421, 503]) {
  proxyTest(
    t,
    `a refusal (${status}) never passes: a request with a body that fits is sent again`,
    refusing,
    async (t, f) => {
      const refusal = REFUSAL.replace('421', String(status))
      f.upstream.onConnection = wire => {
        wire.socket.on('data', () => {
          if (/\r\n\r\n(x{900})?$/.test(wire.text))
            wire.send(wire.take().toString().includes('X-Try: 2') ? OK : refusal)
        })
      }
      const body = 'x'.repeat(900)
      for (const request of [GET, post(body), 'DELETE / HTTP/1.1\r\nHost: a\r\n\r\n']) {
        const client = await f.client(request)
        t.equal(await client.until('ok'), OK)
      }
      t.ok(f.failures.every(failure => failure.refusal === 'not-owner' && failure.replayable && !failure.unsent))
      t.equal(f.failures.length, 3)
    }
  )
}

proxyTest(t, 'a small body in segments of its own is sent again whole', refusing, async (t, f) => {
  const client = await f.client('POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n')
  const wire = await f.upstream.accept()
  await wire.until('\r\n\r\n')
  client.send('abc')
  await wire.until('abc')
  client.send('def')
  await wire.until('abcdef')
  wire.send(REFUSAL)
  const next = await f.upstream.accept()
  t.match(await next.until('abcdef'), /X-Try: 2[^]*\r\n\r\nabcdef$/)
  next.send(OK)
  t.equal(await client.until('ok'), OK)
})

proxyTest(
  t,
  'a refusal in the middle of the body: what is saved is sent again, the rest follows',
  refusing,
  async (t, f) => {
    const client = await f.client('POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc')
    const wire = await f.upstream.accept()
    await wire.until('abc')
    wire.send(REFUSAL)
    const next = await f.upstream.accept()
    await next.until('abc')
    client.send('def')
    t.match(await next.until('abcdef'), 'X-Try: 2')
    next.send(OK)
    t.equal(await client.until('ok'), OK)
  }
)

proxyTest(
  t,
  'a refused request whose body did not fit gets an answer, never a second attempt',
  refusing,
  async (t, f) => {
    const body = 'x'.repeat(1500)
    for (const parts of [[post(body)], [post(body).slice(0, 600), post(body).slice(600)]]) {
      const client = await f.client()
      for (const part of parts) {
        await client.flush(part)
        await delay(5)
      }
      const wire = await f.upstream.accept()
      await wire.until(body)
      wire.send(REFUSAL)
      t.match(await client.until(/\r\n\r\n.+/s), /^HTTP\/1.1 502 /)
      t.notMatch(client.text, /secret|X-Refused/)
    }
    t.ok(f.failures.every(failure => failure.kind === 'refused' && !failure.replayable))
    t.equal(f.upstream.sockets.length, 2)
  }
)

proxyTest(
  t,
  'with maxReplayBytes 0 no body is sent again, a request without one is',
  { ...refusing, limits: { maxReplayBytes: 0 } },
  async (t, f) => {
    const client = await f.client(post('x'))
    const wire = await f.upstream.accept()
    await wire.until(/\r\n\r\nx$/)
    wire.send(REFUSAL)
    t.match(await client.until(/\r\n\r\n.+/s), /^HTTP\/1.1 502 /)
    const bare = await f.client(GET)
    const first = await f.upstream.accept()
    await first.until('\r\n\r\n')
    first.send(REFUSAL)
    const next = await f.upstream.accept()
    await next.until('X-Try: 2')
    next.send(OK)
    t.equal(await bare.until('ok'), OK)
  }
)

proxyTest(t, 'the refusal field on any other status is a response like others', refusing, async (t, f) => {
  for (const status of [200, 404, 500]) {
    const client = await f.client(GET)
    const wire = await f.upstream.accept()
    await wire.until('\r\n\r\n')
    const response = `HTTP/1.1 ${status} X\r\nX-Refused: y\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok`
    wire.send(response)
    t.equal(await client.until('ok'), response.replace('Connection: close\r\n', '').replace('X-Refused: y\r\n', ''))
  }
  for (const status of [421, 503]) {
    const client = await f.client(GET)
    const wire = await f.upstream.accept()
    await wire.until('\r\n\r\n')
    wire.send(`HTTP/1.1 ${status} X\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok`)
    t.match(await client.until('ok'), `HTTP/1.1 ${status} X`, 'nor is a status without the field a refusal')
  }
  t.equal(f.failures.length, 0)
})

for (const [name, retry] of [
  [
    'throws',
    (): never => {
      throw new Error('boom')
    }
  ],
  ['rejects', (): Promise<never> => Promise.reject(new Error('boom'))]
] as const) {
  proxyTest(
    t,
    `a retry that ${name} ends with 500`,
    { resolve: f => f.route(f.pool(closedPort)), retry, errors: ['boom'] },
    async (t, f) => {
      const client = await f.client(GET)
      t.match(await client.until('internal error'), /^HTTP\/1.1 500 /)
      t.same(await f.outcomes(1), ['internal-error'])
    }
  )
}

proxyTest(
  t,
  'a route for what must not be sent again becomes 502, given at once or later',
  {
    retry: (f, failure) => (failure.detail === 'x' ? f.route() : Promise.resolve(f.route()))
  },
  async (t, f) => {
    const client = await f.client(post('body'))
    const wire = await f.upstream.accept()
    await wire.until('body')
    wire.socket.destroy()
    t.match(await client.until(/\r\n\r\n.+/s), /^HTTP\/1.1 502 /)
    t.equal(f.upstream.sockets.length, 1)
  }
)

proxyTest(
  t,
  'a client that leaves while a retry is held: onAbort once, the late route unused',
  {
    resolve: f => f.route(f.pool(closedPort)),
    retry: (f, _failure, exchange) => {
      exchange.onAbort = () => f.errors.push('abort seen')
      return delay(60).then(() => f.route())
    },
    errors: ['abort seen']
  },
  async (t, f) => {
    const client = await f.client(GET)
    await eventually(() => f.failures.length === 1, 'the retry is held')
    client.reset()
    t.same(await f.outcomes(1), ['client-abort'])
    await delay(90)
    t.equal(f.upstream.sockets.length, 0)
  }
)

proxyTest(
  t,
  'onAbort is not called once the resolver has answered',
  {
    resolve: (f, _head, exchange) => {
      exchange.onAbort = () => f.errors.push('abort seen')
      return delay(5).then(() => f.route())
    }
  },
  async (t, f) => {
    const client = await f.client(GET)
    const wire = await f.upstream.accept()
    await wire.until('\r\n\r\n')
    client.reset()
    await wire.end()
    t.same(await f.outcomes(1), ['client-abort'])
  }
)

proxyTest(
  t,
  'an onAbort that throws harms nobody',
  {
    resolve: (_f, _head, exchange) => {
      exchange.onAbort = () => {
        throw new Error('boom')
      }
      return new Promise(() => undefined)
    },
    errors: ['boom']
  },
  async (t, f) => {
    const client = await f.client(GET)
    await eventually(() => f.exchanges.size === 1, 'it is held')
    client.reset()
    t.same(await f.outcomes(1), ['client-abort'])
  }
)

proxyTest(
  t,
  'every attempt of a long chain is counted and asked for',
  {
    resolve: f => f.route(f.pool(closedPort)),
    retry: (f, _failure, exchange) => (exchange.attempts < 20 ? f.route(f.pool(closedPort)) : f.answer(503, 'enough'))
  },
  async (t, f) => {
    const client = await f.client(GET)
    await client.until('enough')
    t.equal(f.finished[0]?.attempts, 20)
  }
)

proxyTest(
  t,
  'a name that does not resolve is a failed attempt',
  { resolve: f => f.route(f.own(f.proxy.upstream('no-such-host.invalid', 80))) },
  async (t, f) => {
    const client = await f.client(GET)
    t.match(await client.until('failed: '), '502')
    t.match(f.failures, [{ kind: 'connect-unreachable', unsent: true, replayable: true }])
  }
)

proxyTest(
  t,
  'the head can be read only in resolve, and says what came',
  {
    capturedFields: ['x-a', 'x-b'],
    resolve: (f, head) => f.answer(200, JSON.stringify([head.method, head.path, head.captured(0), head.captured(1)]))
  },
  async (t, f) => {
    const client = await f.client('PUT /x?y HTTP/1.1\r\nX-B: \t2 3\t\r\nHost: a\r\n\r\n')
    t.match(await client.until(']'), '["PUT","/x?y",null,"2 3"]')
  }
)
