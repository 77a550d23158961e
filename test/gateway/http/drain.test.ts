import { setTimeout as delay } from 'node:timers/promises'

import t from 'tap'

import { type ProxyFixture, proxyTest } from '../../fixtures/proxy-fixture.ts'
import { type WireSocket, dial, eventually } from '../../fixtures/wire-socket.ts'

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
/** Its connection is not used again, so that every request dials. */
const LAST = OK.replace('\r\n', '\r\nConnection: close\r\n')
const GOING_AWAY = Buffer.from([0x88, 2, 1001 >> 8, 1001 & 255])
/** A text frame of a server with a payload of 5 bytes. */
const FRAME = Buffer.from([0x81, 5, ...Buffer.from('hello')])

async function proxied(f: ProxyFixture, request: string): Promise<{ client: WireSocket; wire: WireSocket }> {
  const client = await f.client(request)
  const wire = await f.upstream.accept()
  await wire.until('\r\n\r\n')
  return { client, wire }
}

async function webSocket(f: ProxyFixture): Promise<{ client: WireSocket; wire: WireSocket }> {
  const request = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'
  const { client, wire } = await proxied(f, request)
  wire.send('HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
  await client.until('\r\n\r\n')
  client.take()
  wire.take()
  return { client, wire }
}

proxyTest(t, 'without connections a drain is over at once, and nobody is let in', {}, async (t, f) => {
  await f.proxy.drain(60_000)
  await t.rejects(dial(f.port), { code: 'ECONNREFUSED' })
  await f.proxy.drain(60_000)
  f.proxy.close()
})

proxyTest(t, 'idle connections are closed at once', {}, async (t, f) => {
  f.upstream.serve(() => OK)
  const fresh = await f.client()
  const used = await f.client(GET)
  await used.until('ok')
  await eventually(() => f.proxy.stats.connections === 2, 'both are there')
  const drained = f.proxy.drain(60_000)
  t.equal((await fresh.end()).ending, 'fin')
  t.equal((await used.end()).ending, 'fin')
  await drained
  t.equal(f.proxy.stats.connections, 0)
})

proxyTest(t, 'what is under way finishes, with Connection: close; then the drain is over', {}, async (t, f) => {
  const before = await proxied(f, GET)
  const within = await proxied(f, GET)
  within.wire.send('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nab')
  await within.client.until('ab')
  const upload = await proxied(f, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab')
  const head = await f.client('GET / HTTP/1.1\r\n')
  const piped = await proxied(f, GET + GET)
  await delay(20)
  let over = false
  const drained = f.proxy.drain(60_000).then(() => (over = true))
  await delay(50)
  t.notOk(over, 'it waits')
  before.wire.send(LAST)
  t.match((await before.client.end()).text, /200 OK[^]*Connection: close\r\n[^]*ok$/)
  within.wire.send('cd')
  t.match((await within.client.end()).text, /abcd$/)
  upload.client.send('cd')
  await upload.wire.until('abcd')
  upload.wire.send(LAST)
  t.match((await upload.client.end()).text, /Connection: close\r\n[^]*ok$/)
  head.send('Host: a\r\n\r\n')
  const late = await f.upstream.accept()
  await late.until('\r\n\r\n')
  late.send(LAST)
  t.match((await head.end()).text, /Connection: close\r\n[^]*ok$/)
  t.notOk(over)
  piped.wire.send(LAST)
  t.equal((await piped.client.end()).text.match(/200 OK/g)?.length, 1)
  for (const { client } of [before, within, upload, piped]) client.fin()
  head.fin()
  await drained
  t.equal(f.proxy.stats.connections, 0)
})

proxyTest(
  t,
  'an answer of the proxy under drain closes too',
  { resolve: f => delay(40).then(() => f.answer(200, 'ok')) },
  async (t, f) => {
    const client = await f.client(GET)
    await eventually(() => f.exchanges.size === 1, 'it is held')
    const drained = f.proxy.drain(60_000)
    t.match((await client.end()).text, /Connection: close\r\n[^]*ok$/)
    client.fin()
    await drained
  }
)

proxyTest(t, 'what does not finish is ended at the deadline, and told apart', {}, async (t, f) => {
  const { wire, client } = await proxied(f, GET)
  const started = performance.now()
  await f.proxy.drain(100)
  const elapsedMs = performance.now() - started
  t.ok(elapsedMs >= 95 && elapsedMs < 1500, `${elapsedMs} ms`)
  await wire.end()
  await client.end()
  t.same(await f.outcomes(1), ['shutdown'])
})

proxyTest(
  t,
  'a client that reads nothing does not hold a drain up',
  { limits: { lingerTimeoutMs: 100 } },
  async (t, f) => {
    const { client, wire } = await proxied(f, GET)
    client.socket.pause()
    wire.send('HTTP/1.1 200 OK\r\nContent-Length: 20000000\r\n\r\n')
    wire.send(Buffer.alloc(20_000_000))
    const started = performance.now()
    await f.proxy.drain(200)
    t.ok(performance.now() - started < 1500)
  }
)

proxyTest(
  t,
  'close ends everything at once: idle, held, dialling, forwarding, upgraded',
  {
    resolve: (f, head) => (head.path === '/held' ? new Promise(() => undefined) : f.route())
  },
  async (t, f) => {
    const idle = await f.client()
    const held = await f.client(GET.replace('/', '/held'))
    const busy = await proxied(f, GET)
    const upgraded = await webSocket(f)
    await eventually(() => f.proxy.stats.connections === 4, 'all are there')
    f.proxy.close()
    t.equal(f.proxy.stats.connections, 0)
    t.equal(f.proxy.stats.activeRequests, 0)
    for (const client of [idle, held, busy.client, upgraded.client]) await client.end()
    await busy.wire.end()
    await upgraded.wire.end()
    t.same(await f.outcomes(3), ['shutdown', 'shutdown', 'shutdown'])
  }
)

proxyTest(
  t,
  'a WebSocket gets 1001 at once between frames; the answer goes to the upstream; then the end',
  {},
  async (t, f) => {
    const { client, wire } = await webSocket(f)
    wire.send(FRAME)
    await client.atLeast(FRAME.length)
    const drained = f.proxy.drain(60_000)
    await client.atLeast(FRAME.length + 4)
    t.same(client.bytes, Buffer.concat([FRAME, GOING_AWAY]))
    const answer = Buffer.from([0x88, 0x82, 1, 2, 3, 4, 0x03 ^ 1, 0xe9 ^ 2])
    client.send(answer)
    await wire.atLeast(answer.length)
    t.same(wire.take(), answer)
    wire.send(FRAME)
    wire.fin()
    t.same((await client.end()).text.length, FRAME.length + 4, 'nothing after the close frame')
    client.fin()
    await drained
    t.same(await f.outcomes(1), ['ok'])
  }
)

proxyTest(t, 'a WebSocket in the middle of a frame gets the frame first, byte by byte, then 1001', {}, async (t, f) => {
  const frames = [
    FRAME,
    Buffer.from([0x82, 126, 0, 200, ...Buffer.alloc(200, 7)]),
    Buffer.from([0x82, 127, 0, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3])
  ]
  const open: { client: WireSocket; wire: WireSocket; frame: Buffer; at: number }[] = []
  for (const frame of frames) {
    for (const at of [1, 2, 3, 5, frame.length - 1]) {
      const { client, wire } = await webSocket(f)
      wire.send(frame.subarray(0, at))
      await client.atLeast(at)
      open.push({ client, wire, frame, at })
    }
  }
  const drained = f.proxy.drain(60_000)
  await delay(30)
  for (const { client, wire, frame, at } of open) {
    t.equal(client.length, at, 'nothing in the middle of a frame')
    wire.send(Buffer.concat([frame.subarray(at), FRAME]))
    await client.atLeast(frame.length + 4)
    t.same(client.bytes, Buffer.concat([frame, GOING_AWAY]), `frame of ${frame.length} cut at ${at}`)
    client.fin()
    wire.fin()
    await client.end()
  }
  await drained
})

proxyTest(t, 'a WebSocket in the middle of a fragmented message gets 1001 between the fragments', {}, async (t, f) => {
  const { client, wire } = await webSocket(f)
  const fragment = Buffer.from([0x01, 3, ...Buffer.from('hel')])
  wire.send(fragment)
  await client.atLeast(fragment.length)
  const drained = f.proxy.drain(60_000)
  await client.atLeast(fragment.length + 4)
  t.same(client.bytes, Buffer.concat([fragment, GOING_AWAY]))
  client.fin()
  wire.fin()
  await client.end()
  await drained
})

proxyTest(t, 'bytes of the client in the middle of a frame still reach the upstream whole', {}, async (t, f) => {
  const { client, wire } = await webSocket(f)
  const masked = Buffer.from([0x82, 0x84, 1, 2, 3, 4, 5, 6, 7, 8])
  client.send(masked.subarray(0, 5))
  await wire.atLeast(5)
  const drained = f.proxy.drain(60_000)
  await client.atLeast(4)
  client.send(masked.subarray(5))
  await wire.atLeast(masked.length)
  t.same(wire.bytes, masked)
  client.fin()
  wire.fin()
  await client.end()
  await drained
})

proxyTest(t, 'WebSockets that ignore 1001 are ended at the deadline', {}, async (t, f) => {
  const whole = await webSocket(f)
  const stuck = await webSocket(f)
  stuck.wire.send(FRAME.subarray(0, 3))
  await stuck.client.atLeast(3)
  const started = performance.now()
  await f.proxy.drain(120)
  t.ok(performance.now() - started < 1500)
  t.same(whole.client.bytes, GOING_AWAY)
  t.equal(stuck.client.length, 3, 'a frame that never ended is not broken by ours')
  t.equal(f.proxy.stats.connections, 0)
})

proxyTest(t, 'a WebSocket whose upstream has sent FIN is not written to', {}, async (t, f) => {
  const { client, wire } = await webSocket(f)
  wire.send(FRAME)
  wire.fin()
  t.equal((await client.end()).text.length, FRAME.length)
  const drained = f.proxy.drain(60_000)
  client.send('x')
  await wire.until('x')
  client.fin()
  await wire.end()
  await drained
  t.same(await f.outcomes(1), ['ok'])
})

proxyTest(t, 'an upgrade that comes about under drain gets 1001 at once', {}, async (t, f) => {
  const request = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'
  const { client, wire } = await proxied(f, request)
  const drained = f.proxy.drain(60_000)
  wire.send('HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
  await client.until(text => text.endsWith(GOING_AWAY.toString('latin1')))
  client.fin()
  wire.fin()
  await drained
  t.equal(f.proxy.stats.connections, 0)
})

proxyTest(
  t,
  'another upgraded protocol is left alone until the deadline',
  { upgradeProtocols: ['chat'] },
  async (t, f) => {
    const { client, wire } = await proxied(
      f,
      'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n'
    )
    wire.send('HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n')
    await client.until('\r\n\r\n')
    client.take()
    await f.proxy.drain(80)
    await client.end()
    t.equal(client.length, 0)
  }
)
