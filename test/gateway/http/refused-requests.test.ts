import t from 'tap'

import { type ProxyFixture, proxyTest } from '../../fixtures/proxy-fixture.ts'
import { dial } from '../../fixtures/wire-socket.ts'

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
const HEAD = 'POST /p HTTP/1.1\r\nHost: a\r\n'
const LIMITS = { maxHeaderBytes: 2048, maxHeaderCount: 20, maxTargetBytes: 512, maxRequestBodyBytes: 100 }

/** Messages that are refused at their head or first bytes, the status, and a twin that passes. */
const REFUSED: readonly (readonly [status: number, bad: string, twin: string])[] = [
  [
    400,
    `${HEAD}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    `${HEAD}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`
  ],
  [
    400,
    `${HEAD}Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n`,
    `${HEAD}Content-Length: 2\r\n\r\n0\r`
  ],
  [400, `${HEAD}Content-Length: 2\r\nContent-Length: 2\r\n\r\nab`, `${HEAD}Content-Length: 2\r\n\r\nab`],
  [400, `${HEAD}Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc`, `${HEAD}Content-Length: 3\r\n\r\nabc`],
  [400, `${HEAD}Content-Length: +2\r\n\r\nab`, `${HEAD}Content-Length: 2\r\n\r\nab`],
  [400, `${HEAD}Content-Length: 2, 2\r\n\r\nab`, `${HEAD}Content-Length: 2\r\n\r\nab`],
  [400, `${HEAD}Content-Length: 2\x00\r\n\r\nab`, `${HEAD}Content-Length: 2\t\r\n\r\nab`],
  [400, `${HEAD}Content-Length : 2\r\n\r\nab`, `${HEAD}Content-Length: 2\r\n\r\nab`],
  [400, `${HEAD}Content-Length:\r\n 2\r\n\r\nab`, `${HEAD}Content-Length: 2\r\n\r\nab`],
  [
    400,
    `${HEAD}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
    `${HEAD}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`
  ],
  [400, `${HEAD}Transfer-Encoding: identity\r\n\r\n`, `${HEAD}\r\n`],
  [400, `${HEAD}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`, `${HEAD}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  [400, `${HEAD}Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n`, `${HEAD}Transfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n`],
  [
    400,
    `${HEAD}Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n`,
    `${HEAD}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`
  ],
  [400, `${HEAD}Transfer-Encoding\r\n : chunked\r\n\r\n0\r\n\r\n`, `${HEAD}X: chunked\r\n\r\n`],
  [
    400,
    'POST /p HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'POST /p HTTP/1.0\r\nHost: a\r\n\r\n'
  ],
  [
    400,
    `${HEAD}Transfer-Encoding: chunked\r\n\r\n0x2\r\nab\r\n0\r\n\r\n`,
    `${HEAD}Transfer-Encoding: chunked\r\n\r\n02\r\nab\r\n0\r\n\r\n`
  ],
  [
    400,
    `${HEAD}Transfer-Encoding: chunked\r\n\r\n2\nab\r\n0\r\n\r\n`,
    `${HEAD}Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n`
  ],
  [
    400,
    `${HEAD}Transfer-Encoding: chunked\r\n\r\n2;a\nb\r\nab\r\n0\r\n\r\n`,
    `${HEAD}Transfer-Encoding: chunked\r\n\r\n2;ab\r\nab\r\n0\r\n\r\n`
  ],
  [
    400,
    `${HEAD}Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n`,
    `${HEAD}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`
  ],
  [
    400,
    `${HEAD}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n`,
    `${HEAD}Transfer-Encoding: chunked\r\n\r\nf\r\n0123456789abcde\r\n0\r\n\r\n`
  ],
  [
    400,
    `${HEAD}Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 9\r\n\r\n`,
    `${HEAD}Transfer-Encoding: chunked\r\n\r\n0\r\nX: 9\r\n\r\n`
  ],
  [400, `${HEAD}A: b\nX: y\r\n\r\n`, `${HEAD}A: b\r\nX: y\r\n\r\n`],
  [400, `${HEAD}A: b\rX: y\r\n\r\n`, `${HEAD}A: b\r\nX: y\r\n\r\n`],
  [400, 'GET / HTTP/1.1\nHost: a\n\n', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'],
  [400, `${HEAD}A: b\x00\r\n\r\n`, `${HEAD}A: b\xff\r\n\r\n`],
  [400, `${HEAD}A: b\r\n c\r\n\r\n`, `${HEAD}A: b c\r\n\r\n`],
  [400, `${HEAD}Host: a\r\n\r\n`, `${HEAD}Hosts: a\r\n\r\n`],
  [400, 'GET / HTTP/1.1\r\nA: b\r\n\r\n', 'GET / HTTP/1.1\r\nHost: b\r\n\r\n'],
  [400, `${HEAD}X-Sandbox-ID: a\r\nX-Sandbox-Id: b\r\n\r\n`, `${HEAD}X-Sandbox-ID: a\r\n\r\n`],
  [
    400,
    `${HEAD}Connection: x-sandbox-id\r\nX-Sandbox-ID: a\r\n\r\n`,
    `${HEAD}Connection: x-other\r\nX-Sandbox-ID: a\r\n\r\n`
  ],
  [400, 'GET /a b HTTP/1.1\r\nHost: a\r\n\r\n', 'GET /ab HTTP/1.1\r\nHost: a\r\n\r\n'],
  [400, '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 'GET /tls HTTP/1.1\r\nHost: a\r\n\r\n'],
  [405, 'CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n', 'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n'],
  [405, 'CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n', 'PROPFIND /x HTTP/1.1\r\nHost: a\r\n\r\n'],
  [505, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'GET /1 HTTP/1.1\r\nHost: a\r\n\r\n'],
  [505, 'GET / HTTP/3.0\r\nHost: a\r\n\r\n', 'GET / HTTP/1.0\r\n\r\n'],
  [414, `GET /${'a'.repeat(512)} HTTP/1.1\r\nHost: a\r\n\r\n`, `GET /${'a'.repeat(511)} HTTP/1.1\r\nHost: a\r\n\r\n`],
  [414, `GET /${'a'.repeat(600)}`, `GET /${'a'.repeat(500)} HTTP/1.1\r\nHost: a\r\n\r\n`],
  [431, `${HEAD}${'A: b\r\n'.repeat(20)}\r\n`, `${HEAD}${'A: b\r\n'.repeat(19)}\r\n`],
  [431, `${HEAD}A: ${'b'.repeat(2048)}\r\n\r\n`, `${HEAD}A: ${'b'.repeat(2048 - HEAD.length - 7)}\r\n\r\n`],
  [431, `${HEAD}A: ${'b'.repeat(2048 - HEAD.length - 6)}\r\n\r\n`, `${HEAD}A: ${'b'.repeat(1000)}\r\n\r\n`],
  [431, `${HEAD}A: ${'b'.repeat(3000)}`, `${HEAD}A: \r\n\r\n`],
  [413, `${HEAD}Content-Length: 101\r\n\r\n`, `${HEAD}Content-Length: 100\r\n\r\n${'a'.repeat(100)}`],
  [413, `${HEAD}Content-Length: 999999999999999\r\n\r\n`, `${HEAD}Content-Length: 1\r\n\r\na`],
  [
    413,
    `${HEAD}Transfer-Encoding: chunked\r\n\r\n80\r\n${'a'.repeat(128)}\r\n0\r\n\r\n`,
    `${HEAD}Transfer-Encoding: chunked\r\n\r\n40\r\n${'a'.repeat(64)}\r\n0\r\n\r\n`
  ]
]

async function answered(fixture: ProxyFixture, request: string): Promise<string> {
  const client = await fixture.client(request)
  const text = await client.until(
    value => value.includes('\r\n\r\n') && (value.endsWith('ok') || client.ending !== 'open')
  )
  client.socket.destroy()
  return text
}

const options = { limits: LIMITS, capturedFields: ['x-sandbox-id'] }

proxyTest(
  t,
  'a refused request is told so, ends the connection, and no byte of it reaches the upstream',
  options,
  async (t, f) => {
    f.upstream.serve(() => OK)
    for (const [status, bad] of REFUSED) {
      const { text, ending } = await f.ask(bad)
      const [head = '', body = ''] = text.split('\r\n\r\n')
      t.match(head, new RegExp(`^HTTP/1.1 ${status} `), `${status} for ${JSON.stringify(bad.slice(0, 120))}`)
      t.match(head, /^Connection: close$/m)
      t.equal(Number(/Content-Length: (\d+)/.exec(head)?.[1]), body.length)
      t.equal(ending, 'fin', 'and is not reset before it could be read')
    }
    t.equal(f.upstream.sockets.length, 0, 'nobody dialled')
    t.equal(f.exchanges.size, 0, 'nobody was asked for a route')
    t.same(
      f.finished.map(exchange => exchange.status),
      REFUSED.map(([status]) => status)
    )
  }
)

proxyTest(t, 'the twin of every refused request passes', options, async (t, f) => {
  f.upstream.serve(() => OK)
  for (const [, , twin] of REFUSED) {
    t.match(await answered(f, twin), /^HTTP\/1.1 200 OK/, JSON.stringify(twin.slice(0, 120)))
  }
})

proxyTest(
  t,
  'a refused request that comes byte by byte is refused with the same status, at once',
  options,
  async (t, f) => {
    for (const [status, bad] of REFUSED) {
      if (bad.length > 200) continue
      const client = await f.client()
      for (const byte of bad) {
        if (client.ending !== 'open') break
        await client.flush(byte)
        await new Promise(setImmediate)
      }
      const { text } = await client.end()
      t.match(text, new RegExp(`^HTTP/1.1 ${status} `), JSON.stringify(bad))
    }
  }
)

proxyTest(t, 'a request hidden in the body of a refused one is never served', options, async (t, f) => {
  f.upstream.serve(() => OK)
  const hidden = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n'
  const carriers = REFUSED.filter(([, bad]) => bad.endsWith('\r\n\r\n')).map(([, bad]) => bad + hidden + hidden)
  for (const carrier of carriers) {
    const { text } = await f.ask(carrier)
    t.equal(text.match(/^HTTP\/1.1 \d/gm)?.length, 1, 'one answer, then the end')
  }
  t.notMatch(f.upstream.received, '/smuggled')
  t.match(await answered(f, hidden), '200 OK')
  t.match(f.upstream.received, '/smuggled', 'sent as a request of its own it is')
})

proxyTest(t, 'bad framing in the middle of a body ends both connections', options, async (t, f) => {
  const client = await f.client(`${HEAD}Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n`)
  const wire = await f.upstream.accept()
  await wire.until('ab\r\n')
  client.send('5\r\nhello!!!GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n')
  t.match((await client.end()).text, /^HTTP\/1.1 400 /)
  const { text } = await wire.end()
  t.ok(text.endsWith('\r\n\r\n2\r\nab\r\n'), 'nothing of the bad read was passed on')
})

proxyTest(t, 'a chunked body that grows too large on the way gets 413', options, async (t, f) => {
  const client = await f.client(`${HEAD}Transfer-Encoding: chunked\r\n\r\n40\r\n${'a'.repeat(64)}\r\n`)
  const wire = await f.upstream.accept()
  await wire.until('aa\r\n')
  client.send(`40\r\n${'b'.repeat(64)}\r\n0\r\n\r\n`)
  t.match((await client.end()).text, /^HTTP\/1.1 413 /)
  t.notMatch((await wire.end()).text, 'bbb')
})

proxyTest(t, 'a chunked body is measured without its framing', options, async (t, f) => {
  f.upstream.serve(() => OK)
  const body = `${'1\r\na\r\n'.repeat(100)}0\r\n\r\n`
  t.match(await answered(f, `${HEAD}Transfer-Encoding: chunked\r\n\r\n${body}`), '200 OK')
})

proxyTest(t, 'the answer survives a client that goes on sending', options, async (t, f) => {
  const client = await f.client(`${HEAD}Content-Length: 50000000\r\n\r\n`)
  const part = Buffer.alloc(65_536, 'x')
  const pump = setInterval(() => client.socket.writable && client.socket.write(part), 1)
  await client.until(/\r\n\r\n.*}$/s)
  t.match(client.text, /^HTTP\/1.1 413 /)
  await client.end()
  clearInterval(pump)
})

proxyTest(t, 'a refusal after a request without response body has its own', options, async (t, f) => {
  f.upstream.serve(() => 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n')
  const client = await f.client('HEAD / HTTP/1.1\r\nHost: a\r\n\r\n')
  await client.until('\r\n\r\n')
  client.take()
  client.send('BAD\x00\r\n\r\n')
  const { text } = await client.end()
  const [head = '', body = ''] = text.split('\r\n\r\n')
  t.equal(body.length, Number(/Content-Length: (\d+)/.exec(head)?.[1]))
})

proxyTest(t, 'empty lines before a request are forgiven, in one piece or two', options, async (t, f) => {
  f.upstream.serve(() => OK)
  t.match(await answered(f, '\r\nGET /1 HTTP/1.1\r\nHost: a\r\n\r\n'), '200 OK')
  const client = await f.client()
  await client.flush('\r')
  await new Promise(setImmediate)
  client.send('\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n')
  t.match(await client.until('ok'), '200 OK')
  t.match(f.upstream.received, /^GET \/1 HTTP\/1.1\r\n/)
})

proxyTest(t, 'a head of exactly the limit passes in any pieces, one byte more does not', options, async (t, f) => {
  f.upstream.serve(() => OK)
  const exact = `${HEAD}A: ${'b'.repeat(2048 - HEAD.length - 7)}\r\n\r\n`
  t.equal(exact.length, 2048)
  for (const at of [1, 40, 1000, 2047]) {
    const client = await f.client()
    await client.flush(exact.slice(0, at))
    await new Promise(setImmediate)
    client.send(exact.slice(at))
    t.match(await client.until('ok'), '200 OK')
    const refused = await f.client()
    await refused.flush(exact.slice(0, at))
    await new Promise(setImmediate)
    refused.send(`B: c${exact.slice(at)}`.replace('B: c', at === 1 ? 'O' : 'bb'))
    const { text } = await refused.end()
    t.match(text, /^HTTP\/1.1 4(00|31) /)
  }
})

t.test('a client that leaves before it asked for anything is no request', async t => {
  const { ProxyFixture } = await import('../../fixtures/proxy-fixture.ts')
  const fixture = new ProxyFixture({})
  await fixture.start()
  const client = await dial(fixture.port)
  client.fin()
  await client.end()
  t.equal(fixture.finished.length, 0)
  await fixture.settle(t)
})
