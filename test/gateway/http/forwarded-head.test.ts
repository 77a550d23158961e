import { BlockList } from 'node:net'

import t from 'tap'

import { type ProxyFixture, type ProxyFixtureOptions, proxyTest } from '../../fixtures/proxy-fixture.ts'

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'

/** The head that reaches the upstream for a request. */
async function forwarded(f: ProxyFixture, request: string): Promise<string> {
  const client = await f.client(request)
  const wire = await f.upstream.accept()
  const head = await wire.until('\r\n\r\n')
  wire.send(OK)
  await client.until('\r\n\r\n')
  client.socket.destroy()
  return head.slice(0, head.indexOf('\r\n\r\n') + 4)
}

/** What the proxy adds to every head of an untrusted client. */
function added(f: ProxyFixture): string {
  return `Host: 127.0.0.1:${f.upstream.port}\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n\r\n`
}

proxyTest(t, 'a plain head passes byte for byte, Host becomes X-Forwarded-Host', {}, async (t, f) => {
  const lines = 'Accept: */*\r\nA:b\r\nB: \t c \t\r\nCookie: a=1\r\nCookie: b=2\r\nX-\xc9: no'.replace(
    'X-\xc9: no',
    'D: \xc9\x80'
  )
  t.equal(
    await forwarded(f, `GET /p HTTP/1.1\r\nHost: Example.com:80\r\n${lines}\r\n\r\n`),
    `GET /p HTTP/1.1\r\nX-Forwarded-Host: Example.com:80\r\n${lines}\r\n${added(f)}`
  )
  t.equal(
    await forwarded(f, `GET /p HTTP/1.1\r\n${lines}\r\nhost:a\r\n\r\n`),
    `GET /p HTTP/1.1\r\n${lines}\r\nX-Forwarded-host:a\r\n${added(f)}`
  )
})

proxyTest(t, 'the target passes byte for byte', {}, async (t, f) => {
  const targets = [
    '/',
    '//',
    '/a//b/../c/./d',
    '/%2e%2e/%2F%00',
    '/?',
    '/?a=b&c[]=d|e',
    '/a;b=c,d',
    '/"<>\\^`{}',
    '/a#b',
    "/~!$&'()*+@:"
  ]
  for (const target of targets) {
    const head = await forwarded(f, `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`)
    t.equal(head.slice(0, head.indexOf('\r\n')), `GET ${target} HTTP/1.1`)
  }
})

proxyTest(t, 'odd methods pass as they are', {}, async (t, f) => {
  for (const method of ['OPTIONS', 'PATCH', 'PROPFIND', 'get', 'M-SEARCH', "!#$%&'*+-.^_`|~"]) {
    t.match(
      await forwarded(f, `${method} / HTTP/1.1\r\nHost: a\r\n\r\n`),
      new RegExp(`^${RegExp.escape(method)} / HTTP/1.1\r\n`)
    )
  }
})

proxyTest(t, 'absolute-form goes on as origin-form, its authority is the host', {}, async (t, f) => {
  const cases = [
    ['GET http://other:81/p?q HTTP/1.1', 'GET /p?q HTTP/1.1', 'other:81'],
    ['GET HTTP://OTHER HTTP/1.1', 'GET / HTTP/1.1', 'OTHER'],
    ['GET https://other?q HTTP/1.1', 'GET /?q HTTP/1.1', 'other'],
    ['OPTIONS http://other HTTP/1.1', 'OPTIONS * HTTP/1.1', 'other'],
    ['GET http://other/p HTTP/1.0', 'GET /p HTTP/1.1', 'other']
  ] as const
  for (const [line, out, host] of cases) {
    const head = await forwarded(f, `${line}\r\nHost: a\r\nA: b\r\n\r\n`)
    t.equal(head, `${out}\r\nA: b\r\nX-Forwarded-Host: ${host}\r\n${added(f)}`)
  }
  t.same(
    f.finished.map(exchange => exchange.target),
    ['/p?q', '/', '/?q', '*', '/p'],
    'the resolver saw the target that went on'
  )
})

proxyTest(t, 'OPTIONS * and HTTP/1.0 go on', {}, async (t, f) => {
  t.equal(
    await forwarded(f, 'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n'),
    `OPTIONS * HTTP/1.1\r\nX-Forwarded-Host: a\r\n${added(f)}`
  )
  t.equal(await forwarded(f, 'GET /p HTTP/1.0\r\n\r\n'), `GET /p HTTP/1.1\r\n${added(f)}`)
  t.equal(
    await forwarded(f, 'GET /p HTTP/1.0\r\nHost: a\r\nConnection: x\r\nX: y\r\nZ: z\r\n\r\n'),
    `GET /p HTTP/1.1\r\nX-Forwarded-Host: a\r\nZ: z\r\n${added(f)}`
  )
})

const HOP = [
  'Connection: keep-alive, x-one',
  'Keep-Alive: 5',
  'Proxy-Connection: x',
  'TE: trailers',
  'Trailer: x',
  'Upgrade: h2c',
  'Proxy-Authorization: y',
  'X-One: 1'
]

proxyTest(t, 'hop-by-hop and nominated fields do not reach the upstream, wherever they stand', {}, async (t, f) => {
  const expected = `GET / HTTP/1.1\r\nX-Forwarded-Host: a\r\nA: b\r\n${added(f)}`
  t.equal(await forwarded(f, `GET / HTTP/1.1\r\n${HOP.join('\r\n')}\r\nHost: a\r\nA: b\r\n\r\n`), expected)
  t.equal(await forwarded(f, `GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n${HOP.toReversed().join('\r\n')}\r\n\r\n`), expected)
  const mixed = HOP.map(line => `${line.toUpperCase()}\r\n`).join('')
  t.equal(await forwarded(f, `GET / HTTP/1.1\r\nHost: a\r\n${mixed}A: b\r\n\r\n`), expected)
})

proxyTest(t, 'hop-by-hop and nominated fields do not reach the client', {}, async (t, f) => {
  const client = await f.client('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  const wire = await f.upstream.accept()
  await wire.until('\r\n\r\n')
  const hop = HOP.map(line => line.replace('Proxy-Authorization', 'Proxy-Authenticate')).join('\r\n')
  wire.send(`HTTP/1.1 200 OK\r\n${hop}\r\nA: b\r\nContent-Length: 2\r\nx-ONE: 2\r\n\r\nok`)
  t.equal(await client.until('ok'), 'HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 2\r\n\r\nok')
})

proxyTest(t, 'the body of a request whose Connection nominates fields is framed as ever', {}, async (t, f) => {
  const client = await f.client(
    'POST / HTTP/1.1\r\nHost: a\r\nConnection: x\r\nX: y\r\nContent-Length: 3\r\n\r\nabcGET'
  )
  const wire = await f.upstream.accept()
  t.match(await wire.until('abc'), /Content-Length: 3\r\n[^]*\r\n\r\nabc$/)
  wire.send(OK)
  await client.until('\r\n\r\n')
})

const ROUTED: ProxyFixtureOptions = {
  capturedFields: ['x-sandbox-id'],
  strippedFields: ['x-fairlead-session', 'x-fairlead-epoch'],
  resolve: f => f.route(f.target, 'X-Fairlead-Session: real\r\nX-Fairlead-Epoch: 7\r\n')
}

proxyTest(t, 'fields of the route replace what a client claims; captured fields pass', ROUTED, async (t, f) => {
  t.equal(
    await forwarded(
      f,
      'GET / HTTP/1.1\r\nX-FAIRLEAD-SESSION: fake\r\nHost: a\r\nX-Sandbox-ID: s\r\nx-fairlead-epoch: 9\r\nx-fairlead-epoch: 10\r\n\r\n'
    ),
    `GET / HTTP/1.1\r\nX-Forwarded-Host: a\r\nX-Sandbox-ID: s\r\n${added(f).replace('\r\n', '\r\nX-Fairlead-Session: real\r\nX-Fairlead-Epoch: 7\r\n')}`
  )
})

proxyTest(t, 'a client that is not trusted cannot say where it comes from', {}, async (t, f) => {
  const claims =
    'X-Forwarded-For: 9.9.9.9\r\nx-forwarded-for: 8.8.8.8\r\nX-Forwarded-Host: evil\r\nX-FORWARDED-PROTO: https\r\n'
  t.equal(
    await forwarded(f, `GET / HTTP/1.1\r\n${claims}Host: a\r\n\r\n`),
    `GET / HTTP/1.1\r\nX-Forwarded-Host: a\r\n${added(f)}`
  )
})

const trusted = new BlockList()
trusted.addSubnet('127.0.0.0', 8)

proxyTest(
  t,
  'a trusted proxy is believed, and every hop it names is kept in order',
  { trustedProxies: trusted },
  async (t, f) => {
    const host = `Host: 127.0.0.1:${f.upstream.port}\r\n`
    const claims =
      'X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Host: public\r\nx-forwarded-for: 8.8.8.8, 7.7.7.7\r\nX-Forwarded-Proto: https\r\n'
    const head = await forwarded(f, `GET / HTTP/1.1\r\n${claims}Host: a\r\nA: b\r\n\r\n`)
    t.match(head, /^X-Forwarded-For: 9\.9\.9\.9, 8\.8\.8\.8, 7\.7\.7\.7, 127\.0\.0\.1\r$/m)
    t.match(head, /^X-Forwarded-Host: public\r$/m)
    t.match(head, /^X-Forwarded-Proto: https\r$/m)
    t.equal(head.match(/^x-forwarded-/gim)?.length, 3, 'each of them once')
    t.ok(head.includes(host) && head.includes('\r\nA: b\r\n') && head.endsWith('\r\n\r\n'))
    const bare = await forwarded(f, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    t.match(bare, /^X-Forwarded-For: 127\.0\.0\.1\r$/m)
    t.match(bare, /^X-Forwarded-Host: a\r$/m)
    t.match(bare, /^X-Forwarded-Proto: http\r$/m)
  }
)

proxyTest(
  t,
  'trust does not pass from one connection to the next',
  { trustedProxies: new BlockList() },
  async (t, f) => {
    t.match(
      await forwarded(f, 'GET / HTTP/1.1\r\nX-Forwarded-For: 9.9.9.9\r\nHost: a\r\n\r\n'),
      /For: 127\.0\.0\.1\r\n/
    )
  }
)

proxyTest(t, 'the largest head passes with what is added to it', ROUTED, async (t, f) => {
  const head = `GET /${'p'.repeat(8000)} HTTP/1.1\r\nHost: ${'h'.repeat(200)}\r\nX-Sandbox-ID: s\r\n`
  const full = `${head}A: ${'b'.repeat(32_768 - head.length - 7)}\r\n\r\n`
  t.equal(full.length, 32_768)
  const out = await forwarded(f, full)
  t.ok(out.includes(`A: ${'b'.repeat(32_768 - head.length - 7)}\r\n`) && out.endsWith(added(f).slice(-30)))
})
