import t from 'tap'

import { type ProxyFixture, proxyTest } from '../../fixtures/proxy-fixture.ts'
import type { WireSocket } from '../../fixtures/wire-socket.ts'

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

/** Sends a request, has the upstream send `response` to it, and gives both ends. */
async function exchange(
  f: ProxyFixture,
  request: string,
  response: string
): Promise<{ client: WireSocket; wire: WireSocket }> {
  const before = f.upstream.sockets.length
  const client = await f.client(request)
  const wire = await f.upstream.accept()
  await wire.until('\r\n\r\n')
  if (response !== '') wire.send(response)
  if (f.upstream.sockets.length !== before + 1) throw new Error('one connection was expected')
  return { client, wire }
}

/** Shows that both connections are in step: the next request on them is answered. */
async function inStep(f: ProxyFixture, client: WireSocket, wire: WireSocket): Promise<string> {
  wire.take()
  client.take()
  client.send('GET /next HTTP/1.1\r\nHost: a\r\n\r\n')
  await wire.until(/^GET \/next [^]*\r\n\r\n$/)
  wire.send(OK)
  return client.until('ok')
}

const PASSES: readonly (readonly [name: string, request: string, response: string, expected: string])[] = [
  ['a counted body', GET, OK, OK],
  [
    'an empty body',
    GET,
    'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'
  ],
  [
    'a status without reason',
    GET,
    'HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n',
    'HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n'
  ],
  [
    'a chunked body with extension and trailers',
    GET,
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n'
  ],
  [
    'a response to HEAD with a length',
    'HEAD / HTTP/1.1\r\nHost: a\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n'
  ],
  [
    'a response to HEAD with chunks announced',
    'HEAD / HTTP/1.1\r\nHost: a\r\n\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
  ],
  [
    'a response to HEAD without a length',
    'HEAD / HTTP/1.1\r\nHost: a\r\n\r\n',
    'HTTP/1.1 200 OK\r\n\r\n',
    'HTTP/1.1 200 OK\r\n\r\n'
  ],
  ['204', GET, 'HTTP/1.1 204 No Content\r\nA: b\r\n\r\n', 'HTTP/1.1 204 No Content\r\nA: b\r\n\r\n'],
  [
    '204 that claims a length',
    GET,
    'HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n',
    'HTTP/1.1 204 No Content\r\n\r\n'
  ],
  [
    '304 with the length of what it stands for',
    GET,
    'HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\nETag: "x"\r\n\r\n',
    'HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\nETag: "x"\r\n\r\n'
  ],
  [
    '103 and then 200',
    GET,
    `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${OK}`,
    `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${OK}`
  ],
  [
    'several interim responses',
    GET,
    `HTTP/1.1 102 X\r\n\r\nHTTP/1.1 103 Y\r\nA: b\r\n\r\nHTTP/1.1 100 Z\r\n\r\n${OK}`,
    `HTTP/1.1 102 X\r\n\r\nHTTP/1.1 103 Y\r\nA: b\r\n\r\nHTTP/1.1 100 Z\r\n\r\n${OK}`
  ]
]

for (const [name, request, response, expected] of PASSES) {
  proxyTest(t, `${name} passes, and the connections stay in step`, {}, async (t, f) => {
    const { client, wire } = await exchange(f, request, response)
    t.equal(await client.until(text => text.length >= expected.length), expected)
    t.equal(await inStep(f, client, wire), OK, 'nothing before the next response')
    t.equal(f.upstream.sockets.length, 1, 'both used again')
  })

  proxyTest(t, `${name} passes byte by byte`, {}, async (t, f) => {
    const { client, wire } = await exchange(f, request, '')
    for (const byte of response) {
      await wire.flush(byte)
      await new Promise(setImmediate)
    }
    t.equal(await client.until(text => text.length >= expected.length), expected)
    t.equal(await inStep(f, client, wire), OK)
  })
}

proxyTest(t, 'a body that must not be there does not pass and ends the upstream connection', {}, async (t, f) => {
  const odd = [
    ['HEAD / HTTP/1.1\r\nHost: a\r\n\r\n', 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil'],
    [GET, 'HTTP/1.1 204 No\r\nContent-Length: 4\r\n\r\nevil'],
    [GET, 'HTTP/1.1 304 No\r\n\r\nevil'],
    [GET, `${OK}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`]
  ]
  for (const [request, response] of odd) {
    const { client, wire } = await exchange(f, request!, response!)
    await client.until('\r\n\r\n')
    await wire.end()
    client.send(GET)
    const next = await f.upstream.accept()
    await next.until('\r\n\r\n')
    next.send('HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ngood')
    t.notMatch(await client.until('good'), 'evil')
  }
})

proxyTest(t, 'bytes on an idle upstream connection never become a response', {}, async (t, f) => {
  const { client, wire } = await exchange(f, GET, OK)
  await client.until('ok')
  await wire.flush('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil')
  await wire.end()
  client.take()
  client.send(GET)
  const next = await f.upstream.accept()
  await next.until('\r\n\r\n')
  next.send(OK)
  t.equal(await client.until('ok'), OK)
})

proxyTest(t, '100-continue: the head goes, the upstream answers 100, the body follows', {}, async (t, f) => {
  const request = 'POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n'
  const { client, wire } = await exchange(f, request, 'HTTP/1.1 100 Continue\r\n\r\n')
  t.match(wire.text, 'Expect: 100-continue')
  t.equal(await client.until('\r\n\r\n'), 'HTTP/1.1 100 Continue\r\n\r\n')
  client.send('body')
  await wire.until(/\r\n\r\nbody$/)
  wire.send(OK)
  await client.until('ok')
  t.equal(await inStep(f, client, wire), OK)
})

proxyTest(
  t,
  '100-continue refused with a final response: the client gets it, the body is never sent on',
  {},
  async (t, f) => {
    const request = 'POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n'
    const { client, wire } = await exchange(f, request, 'HTTP/1.1 417 No\r\nContent-Length: 2\r\n\r\nno')
    const { text } = await client.end()
    t.equal(text, 'HTTP/1.1 417 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno')
    await wire.end()
  }
)

proxyTest(
  t,
  'an early final response reaches a client that is still sending, then both connections end',
  {},
  async (t, f) => {
    const { client, wire } = await exchange(f, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\nabc', '')
    const pump = setInterval(() => client.socket.writable && client.socket.write(Buffer.alloc(60_000)), 1)
    wire.send('HTTP/1.1 413 Large\r\nContent-Length: 5\r\n\r\nlarge')
    const { text } = await client.end()
    clearInterval(pump)
    t.equal(text, 'HTTP/1.1 413 Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge')
    await wire.end()
    t.same(await f.outcomes(1), ['ok'])
  }
)

proxyTest(t, 'an early response may stream while the request is still being sent', {}, async (t, f) => {
  const { client, wire } = await exchange(
    f,
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
  )
  await client.until('\r\n\r\n')
  for (let i = 0; i < 5; i++) {
    client.send(`2\r\nq${i}\r\n`)
    await wire.until(`q${i}\r\n`)
    wire.send(`2\r\na${i}\r\n`)
    await client.until(`a${i}\r\n`)
  }
  client.send('0\r\n\r\n')
  await wire.until('0\r\n\r\n')
  wire.send('0\r\n\r\n')
  t.match((await client.end()).text, /^HTTP\/1.1 200 OK[^]*Connection: close\r\n[^]*0\r\n\r\n$/)
})

proxyTest(t, 'a response ended by close goes to the client in chunks and its connection lives on', {}, async (t, f) => {
  for (const version of ['HTTP/1.1', 'HTTP/1.0']) {
    const { client, wire } = await exchange(f, GET, `${version} 200 OK\r\nA: b\r\n\r\nab`)
    await client.until('2\r\nab\r\n')
    wire.send('cde')
    await client.until('3\r\ncde\r\n')
    wire.fin()
    await client.until('0\r\n\r\n')
    t.equal(
      client.text,
      'HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n'
    )
    client.take()
    client.send(GET)
    const next = await f.upstream.accept()
    await next.until('\r\n\r\n')
    next.send(OK.replace('\r\n', '\r\nConnection: close\r\n'))
    t.equal(await client.until('ok'), OK)
  }
})

proxyTest(t, 'an HTTP/1.0 upstream is used again only if it says so', {}, async (t, f) => {
  const first = await exchange(f, GET, 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok')
  t.equal(await first.client.until('ok'), OK, 'the client sees HTTP/1.1 and no Connection')
  t.equal(await inStep(f, first.client, first.wire), OK)
  first.client.take()
  first.wire.take()
  first.client.send(GET)
  await first.wire.until('\r\n\r\n')
  first.wire.send('HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok')
  await first.client.until('ok')
  await first.wire.end()
  t.equal(f.target.connections, 0)
})

proxyTest(
  t,
  'an HTTP/1.0 client gets bodies without chunks, ended by the close, and no interim responses',
  {},
  async (t, f) => {
    const { client } = await exchange(
      f,
      'GET / HTTP/1.0\r\n\r\n',
      'HTTP/1.1 103 X\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3;x\r\ncde\r\n0\r\nT: x\r\n\r\n'
    )
    const { text, ending } = await client.end()
    t.equal(text, 'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcde')
    t.equal(ending, 'fin')
    const close = await exchange(f, 'GET / HTTP/1.0\r\n\r\n', 'HTTP/1.1 200 OK\r\n\r\nabc')
    close.wire.fin()
    t.equal((await close.client.end()).text, 'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc')
  }
)

proxyTest(t, 'an HTTP/1.0 client keeps its connection if it asked to and the body has a length', {}, async (t, f) => {
  const { client, wire } = await exchange(f, 'GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n', OK)
  t.equal(await client.until('ok'), 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok')
  t.equal(await inStep(f, client, wire), OK)
})

proxyTest(
  t,
  'Connection: close of the client is kept, that of the upstream concerns only the upstream',
  {},
  async (t, f) => {
    const closing = await exchange(f, 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n', OK)
    t.equal((await closing.client.end()).text, 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok')
    t.equal(f.target.idle.length, 1, 'the upstream connection is kept')
    const client = await f.client(GET)
    closing.wire.take()
    await closing.wire.until('\r\n\r\n')
    closing.wire.send('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok')
    t.equal(await client.until('ok'), OK)
    await closing.wire.end()
    t.equal(f.target.connections, 0)
  }
)

const BAD: readonly string[] = [
  'SSH-2.0-x\r\n',
  'HTTP/1.1 200 OK\nContent-Length: 2\n\nok',
  'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok',
  'HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nok',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
  'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  'HTTP/1.1 200 OK\r\nA : b\r\n\r\n',
  'HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n',
  'HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n',
  'HTTP/1.1 999 OK\r\n\r\n',
  'HTTP/2 200\r\n\r\n',
  'HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
  `${'HTTP/1.1 103 X\r\n\r\n'.repeat(40)}${OK}`,
  `HTTP/1.1 200 OK\r\nA: ${'b'.repeat(40_000)}\r\n\r\n`,
  `HTTP/1.1 200 OK\r\n${'A: b\r\n'.repeat(200)}\r\n`
]

proxyTest(
  t,
  'every bad response becomes 502, no byte of it passes, the upstream connection ends, the client goes on',
  {},
  async (t, f) => {
    for (const bad of BAD) {
      const { client, wire } = await exchange(f, 'POST / HTTP/1.1\r\nHost: a\r\n\r\n', bad)
      const text = await client.until('bad-response')
      t.match(text.replaceAll(/^HTTP\/1.1 103 X\r\n\r\n/gm, ''), /^HTTP\/1.1 502 /, JSON.stringify(bad.slice(0, 90)))
      await wire.end()
      t.equal(f.target.connections, 0)
      t.equal(client.ending, 'open')
    }
    t.ok(f.failures.every(failure => failure.kind === 'bad-response' && failure.detail !== '' && !failure.unsent))
  }
)

proxyTest(t, 'bad chunks in a response cut it, so that the client can tell', {}, async (t, f) => {
  const { client } = await exchange(f, GET, 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n')
  await client.until('ok\r\n')
  f.upstream.sockets[0]!.send('zz\r\n')
  const { text } = await client.end()
  t.ok(text.endsWith('2\r\nok\r\n'), 'no last chunk')
  t.same(await f.outcomes(1), ['upstream-reset'])
})

proxyTest(t, 'the largest response head passes', {}, async (t, f) => {
  const response = `HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: ${'b'.repeat(32_700)}\r\n\r\n`
  const { client } = await exchange(f, GET, response)
  t.equal(await client.until(text => text.length >= response.length), response)
})
