import { setTimeout as delay } from 'node:timers/promises'

import t from 'tap'

import { type ProxyFixture, proxyTest } from '../../fixtures/proxy-fixture.ts'
import { type WireSocket, eventually } from '../../fixtures/wire-socket.ts'

const UPGRADE = 'Connection: Upgrade\r\nUpgrade: websocket\r\n'
const SWITCH =
  'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n'
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

function request(fields: string): string {
  return `GET /ws HTTP/1.1\r\nHost: a\r\n${fields}\r\n`
}

/** An upgraded connection, both ends, with empty inboxes. */
async function tunnel(
  f: ProxyFixture,
  fields = UPGRADE
): Promise<{ client: WireSocket; wire: WireSocket; head: string }> {
  const client = await f.client(request(fields))
  const wire = await f.upstream.accept()
  const head = await wire.until('\r\n\r\n')
  wire.send(SWITCH)
  await client.until('\r\n\r\n')
  wire.take()
  return { client, wire, head }
}

proxyTest(t, 'an upgrade passes whatever the form of its token lists', {}, async (t, f) => {
  const forms = [
    UPGRADE,
    'connection: upgrade\r\nupgrade: WebSocket\r\n',
    'CONNECTION: keep-alive, UPGRADE\r\nUPGRADE: WEBSOCKET\r\n',
    'Connection: Upgrade,keep-alive\r\nUpgrade: h2c, websocket\r\n',
    'Connection: ,, upgrade ,\r\nUpgrade: websocket , foo\r\n',
    'Connection: keep-alive\r\nConnection: Upgrade\r\nUpgrade:\twebsocket\t\r\n'
  ]
  for (const form of forms) {
    const { client, wire, head } = await tunnel(f, `Sec-WebSocket-Key: k\r\n${form}`)
    t.equal(head.match(/^Connection: Upgrade\r\nUpgrade: websocket\r$/gim)?.length, 1, JSON.stringify(form))
    t.equal(head.match(/^(connection|upgrade):/gim)?.length, 2)
    t.match(head, 'Sec-WebSocket-Key: k\r\n')
    t.equal(
      client.text,
      'HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'
    )
    client.send('ping')
    await wire.until('ping')
    wire.send('pong')
    await client.until('pong')
    client.fin()
    await wire.end()
    wire.fin()
    await client.end()
  }
  t.ok(
    f.finished.every(exchange => exchange.outcome === 'ok' && exchange.status === 101 && exchange.requestBytes === 4)
  )
})

proxyTest(t, 'what is no upgrade to a known protocol goes on as a plain request', {}, async (t, f) => {
  const forms = [
    'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n',
    'Connection: Upgrade\r\n',
    'Upgrade: websocket\r\n',
    'Connection: close-not, upgrades\r\nUpgrade: websocket\r\n',
    'Connection: Upgrade\r\nUpgrade: websocketx\r\n',
    'Connection: Upgrade\r\nUpgrade: TLS/1.3, HTTP/2.0\r\n'
  ]
  f.upstream.serve(() => OK)
  for (const form of forms) {
    const client = await f.client(request(form))
    t.match(await client.until('ok'), '200 OK', JSON.stringify(form))
  }
  t.notMatch(f.upstream.received, /^(connection|upgrade|http2-settings):/im)
})

proxyTest(
  t,
  'other protocols pass where they are configured, and only they',
  { upgradeProtocols: ['chat/2'] },
  async (t, f) => {
    const client = await f.client(request('Connection: upgrade\r\nUpgrade: websocket, CHAT/2\r\n'))
    const wire = await f.upstream.accept()
    t.match(await wire.until('\r\n\r\n'), 'Connection: Upgrade\r\nUpgrade: chat/2\r\n')
    wire.send('HTTP/1.1 101 X\r\nUpgrade: chat/2\r\nConnection: upgrade\r\n\r\nhi')
    t.match(await client.until('hi'), /^HTTP\/1.1 101 /)
    client.reset()
    await wire.end()
    const plain = await f.client(request(UPGRADE))
    const next = await f.upstream.accept()
    t.notMatch(await next.until('\r\n\r\n'), /upgrade/i)
    plain.reset()
  }
)

proxyTest(t, 'an upgrade with a body, or from HTTP/1.0, is a plain request', {}, async (t, f) => {
  f.upstream.serve(() => OK)
  await (await f.client(`POST / HTTP/1.1\r\nHost: a\r\n${UPGRADE}Content-Length: 2\r\n\r\nab`)).until('ok')
  await (
    await f.client(`POST / HTTP/1.1\r\nHost: a\r\n${UPGRADE}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`)
  ).until('ok')
  await (await f.client(`GET / HTTP/1.0\r\n${UPGRADE}\r\n`)).until('ok')
  t.notMatch(f.upstream.received, /^upgrade:/im)
})

proxyTest(t, 'an upstream may decline; the connections go on', {}, async (t, f) => {
  const client = await f.client(request(UPGRADE))
  const wire = await f.upstream.accept()
  await wire.until('\r\n\r\n')
  wire.send('HTTP/1.1 426 No\r\nContent-Length: 2\r\nUpgrade: websocket\r\n\r\nno')
  t.equal(await client.until(/\r\n\r\nno$/), 'HTTP/1.1 426 No\r\nContent-Length: 2\r\n\r\nno')
  client.take()
  client.send(request(''))
  await wire.until(/\/ws[^]*\/ws[^]*\r\n\r\n$/)
  wire.send(OK)
  await client.until('ok')
})

proxyTest(t, 'a switch to something else than was asked for is a bad response', {}, async (t, f) => {
  for (const to of ['Upgrade: h2c\r\n', '', 'Upgrade: websocket, x\r\n']) {
    const client = await f.client(request(UPGRADE))
    const wire = await f.upstream.accept()
    await wire.until('\r\n\r\n')
    wire.send(`HTTP/1.1 101 X\r\nConnection: Upgrade\r\n${to}\r\nevil`)
    t.match(await client.until('bad-response'), /^HTTP\/1.1 502 /)
    t.notMatch(client.text, 'evil')
    await wire.end()
  }
})

proxyTest(t, 'bytes in the same segment as a head are not lost, in either direction', {}, async (t, f) => {
  const client = await f.client(`${request(UPGRADE)}early client`)
  const wire = await f.upstream.accept()
  await wire.until('\r\n\r\n')
  wire.send(`${SWITCH}early upstream`)
  await client.until(/\r\n\r\nearly upstream$/)
  await wire.until(/\r\n\r\nearly client$/)
  client.reset()
})

proxyTest(t, 'many bytes before the switch are kept and go on in order', {}, async (t, f) => {
  const client = await f.client(request(UPGRADE))
  const wire = await f.upstream.accept()
  await wire.until('\r\n\r\n')
  wire.take()
  const early = Buffer.from(Array.from({ length: 500_000 }, (_, i) => i % 251))
  await client.flush(early.subarray(0, 60_000))
  await delay(20)
  client.send(early.subarray(60_000))
  await delay(20)
  t.equal(wire.length, 0, 'nothing before the switch')
  wire.send(SWITCH)
  await wire.atLeast(early.length)
  t.ok(wire.bytes.equals(early))
  client.reset()
})

proxyTest(t, '64 MB through an upgraded connection, both directions, with slow readers', {}, async (t, f) => {
  const { client, wire } = await tunnel(f)
  client.take()
  const part = Buffer.from(Array.from({ length: 1 << 20 }, (_, i) => i % 253))
  const parts = 24
  client.socket.pause()
  wire.socket.pause()
  for (let i = 0; i < parts; i++) {
    client.send(part)
    wire.send(part)
  }
  await delay(100)
  t.ok(f.exchanges.values().next().value!.requestBytes < parts * part.length, 'backpressure reached the client')
  client.socket.resume()
  wire.socket.resume()
  await client.atLeast(parts * part.length)
  await wire.atLeast(parts * part.length)
  const expected = Buffer.concat(Array<Buffer>(parts).fill(part))
  t.ok(client.bytes.equals(expected))
  t.ok(wire.bytes.equals(expected))
  client.fin()
  wire.fin()
})

for (const first of ['client', 'upstream'] as const) {
  proxyTest(t, `half-close: after FIN of the ${first} the other direction still flows`, {}, async (t, f) => {
    const { client, wire } = await tunnel(f)
    client.take()
    const [near, far] = first === 'client' ? [client, wire] : [wire, client]
    near.send('last')
    near.fin()
    const { text, ending } = await far.end()
    t.same([text, ending], ['last', 'fin'])
    for (let i = 0; i < 3; i++) {
      far.send(`more ${i}`)
      await near.until(`more ${i}`)
    }
    t.equal(f.proxy.stats.activeRequests, 1)
    far.fin()
    t.equal((await near.end()).ending, 'fin')
    t.same(await f.outcomes(1), ['ok'])
  })

  proxyTest(t, `RST of the ${first} ends both`, {}, async (t, f) => {
    const { client, wire } = await tunnel(f)
    const [near, far] = first === 'client' ? [client, wire] : [wire, client]
    near.reset()
    await far.end()
    t.same(await f.outcomes(1), [first === 'client' ? 'client-abort' : 'upstream-reset'])
    await eventually(() => f.target.connections === 0, 'the upstream connection is closed')
  })
}

const stripped = { strippedOnUpgrade: ['origin', 'x-secret'] }

proxyTest(
  t,
  'fields that do not pass with an upgrade are dropped from it, wherever they stand, and from nothing else',
  stripped,
  async (t, f) => {
    const lines = ['ORIGIN: http://evil', 'A: b', 'Origin: null', 'X-Secret: s', 'Originals: kept', 'x-secret:']
    for (const fields of [lines, lines.toReversed()]) {
      for (const text of [`Host: a\r\n${fields.join('\r\n')}\r\n`, `${fields.join('\r\n')}\r\nHost: a\r\n`]) {
        const client = await f.client(`GET /ws HTTP/1.1\r\n${text}${UPGRADE}\r\n`)
        const wire = await f.upstream.accept()
        const head = await wire.until('\r\n\r\n')
        t.notMatch(head, /^(origin|x-secret):/im)
        t.match(head, 'A: b\r\n')
        t.match(head, 'Originals: kept\r\n')
        t.match(head, /^X-Forwarded-Host: a\r$/m)
        client.reset()
        await wire.end()
        const plain = await f.client(`GET /ws HTTP/1.1\r\n${text}\r\n`)
        const next = await f.upstream.accept()
        t.equal((await next.until('\r\n\r\n')).match(/^(origin|x-secret):/gim)?.length, 4, 'a plain request keeps them')
        plain.reset()
        await next.end()
      }
    }
  }
)
