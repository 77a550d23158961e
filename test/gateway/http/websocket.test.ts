import { once } from 'node:events'
import { type Socket, connect } from 'node:net'
import type { AddressInfo } from 'node:net'
import { type IncomingMessage, createServer } from 'node:http'

import t from 'tap'
import { WebSocket, WebSocketServer } from 'ws'

import { testTransport } from '../../fixtures/test-transport.ts'
import { HttpProxy } from '../../../gateway/http/http-proxy.ts'
import type { Route } from '../../../gateway/http/resolver.ts'
import { SeededRandom } from '../../fixtures/seeded-random.ts'

const MEGABYTE = 1 << 20

t.setTimeout(60_000)

/** A real WebSocket server behind the engine. `serve` gets each connection of the server's side. */
class Bench {
  readonly proxy: HttpProxy
  readonly server: WebSocketServer
  readonly outcomes: string[] = []
  opened = 0
  port = 0
  readonly #http = createServer()
  #upstream: Route['upstream'] | null = null

  constructor(options: { deflate?: boolean } = {}) {
    const perMessageDeflate = options.deflate === true ? { threshold: 0 } : false
    this.server = new WebSocketServer({ server: this.#http, perMessageDeflate, handleProtocols: () => 'second' })
    this.proxy = new HttpProxy({
      transport: testTransport(),
      resolver: {
        resolve: () => {
          this.opened++
          if (this.#upstream === null) throw new Error('not listening')
          return { kind: 'route', upstream: this.#upstream, addedFields: 'X-Fairlead-Session: s\r\n' }
        },
        retry: (_exchange, failure) => ({ kind: 'answer', status: 502, fields: '', body: '', outcome: failure.kind }),
        finish: exchange => void this.outcomes.push(exchange.outcome)
      }
    })
  }

  async start(): Promise<void> {
    this.#http.listen(0, '127.0.0.1')
    await once(this.#http, 'listening')
    this.#upstream = this.proxy.upstream('127.0.0.1', (this.#http.address() as AddressInfo).port)
    this.port = (await this.proxy.listen({ host: '127.0.0.1', port: 0 })).port
  }

  /** A client and the server's end of its connection. */
  async pair(options: { deflate?: boolean; path?: string } = {}): Promise<{ client: WebSocket; server: WebSocket }> {
    const connected = once(this.server, 'connection') as Promise<[WebSocket, IncomingMessage]>
    const client = this.client(options)
    const [[server]] = await Promise.all([connected, once(client, 'open')])
    return { client, server }
  }

  client(options: { deflate?: boolean; path?: string } = {}): WebSocket {
    const perMessageDeflate = options.deflate === true ? { threshold: 0 } : false
    return new WebSocket(`ws://127.0.0.1:${this.port}${options.path ?? '/socket'}`, ['first', 'second'], {
      perMessageDeflate
    })
  }

  /** Ends everything at once. */
  destroy(): void {
    this.proxy.close()
    this.#upstream?.close()
    for (const client of this.server.clients) client.terminate()
    this.server.close()
    this.#http.close()
    this.#http.closeAllConnections()
  }

  /** Closes all; every exchange must have been finished once. */
  async stop(test: Pick<typeof t, 'equal' | 'same'>): Promise<void> {
    await this.proxy.drain(5_000)
    this.destroy()
    test.equal(this.outcomes.length, this.opened, 'every exchange was finished once')
    const { connections, activeRequests } = this.proxy.stats
    test.same({ connections, activeRequests }, { connections: 0, activeRequests: 0 }, 'nothing is left open')
  }
}

/** Starts a bench that ends with its test, even if that fails. */
async function start(test: Pick<typeof t, 'teardown'>, options: { deflate?: boolean } = {}): Promise<Bench> {
  const bench = new Bench(options)
  test.teardown(() => bench.destroy())
  await bench.start()
  return bench
}

async function nextMessage(socket: WebSocket): Promise<{ data: Buffer; isBinary: boolean }> {
  const [data, isBinary] = (await once(socket, 'message')) as [Buffer, boolean]
  return { data, isBinary }
}

async function nextClose(socket: WebSocket): Promise<{ code: number; reason: string }> {
  const [code, reason] = (await once(socket, 'close')) as [number, Buffer]
  return { code, reason: reason.toString() }
}

function randomBytes(length: number, seed: number): Buffer {
  const random = new SeededRandom(seed)
  const bytes = Buffer.alloc(length + 4)
  for (let i = 0; i < length; i += 4) bytes.writeInt32LE(random.below(0x7fff_ffff), i)
  return bytes.subarray(0, length)
}

async function closeBoth(client: WebSocket, server: WebSocket): Promise<void> {
  const closed = Promise.all([nextClose(client), nextClose(server)])
  client.close(1000)
  await closed
}

t.test('text and binary messages pass both ways as what they are', async test => {
  const bench = await start(test)
  const { client, server } = await bench.pair()
  test.equal(client.protocol, 'second', 'the subprotocol is the one that the server chose')
  for (const [from, to] of [
    [client, server],
    [server, client]
  ] as const) {
    const text = nextMessage(to)
    from.send('grüße \u{1f6a2}')
    test.same(await text, { data: Buffer.from('grüße \u{1f6a2}'), isBinary: false })
    const binary = nextMessage(to)
    from.send(Buffer.from([0, 255, 13, 10]))
    test.same(await binary, { data: Buffer.from([0, 255, 13, 10]), isBinary: true })
    const empty = nextMessage(to)
    from.send('')
    test.same(await empty, { data: Buffer.alloc(0), isBinary: false })
  }
  await closeBoth(client, server)
  await bench.stop(test)
  test.same(bench.outcomes, ['ok'])
})

t.test('a message sent with the upgrade response arrives', async test => {
  const bench = await start(test)
  bench.server.on('connection', server => server.send('at once'))
  const client = bench.client()
  const { data } = await nextMessage(client)
  test.equal(data.toString(), 'at once')
  client.close()
  await nextClose(client)
  await bench.stop(test)
})

t.test('fragments stay one message, with a ping between them', async test => {
  const bench = await start(test)
  const { client, server } = await bench.pair()
  for (const [from, to] of [
    [client, server],
    [server, client]
  ] as const) {
    const message = nextMessage(to)
    const pinged = once(to, 'ping')
    from.send('one ', { fin: false })
    from.ping('between')
    for (let i = 0; i < 50; i++) from.send(`${i} `, { fin: false })
    from.send('end', { fin: true })
    const text = (await message).data.toString()
    test.equal(text, `one ${Array.from({ length: 50 }, (_, index) => `${index} `).join('')}end`)
    test.equal(String((await pinged)[0]), 'between')
  }
  await closeBoth(client, server)
  await bench.stop(test)
})

t.test('frames of 1 MB and of all lengths around the limits of the header pass both ways byte for byte', async test => {
  const bench = await start(test)
  const { client, server } = await bench.pair()
  for (const length of [125, 126, 127, 65_535, 65_536, 65_537, MEGABYTE, MEGABYTE + 1]) {
    const bytes = randomBytes(length, length)
    for (const [from, to] of [
      [client, server],
      [server, client]
    ] as const) {
      const message = nextMessage(to)
      from.send(bytes)
      const { data } = await message
      test.ok(data.equals(bytes), `${length} bytes ${from === client ? 'to the server' : 'to the client'}`)
    }
  }
  await closeBoth(client, server)
  await bench.stop(test)
})

t.test('1 MB frames in both directions at once', async test => {
  const bench = await start(test)
  const { client, server } = await bench.pair()
  const bytes = randomBytes(MEGABYTE, 7)
  const receive = async (socket: WebSocket): Promise<boolean[]> => {
    const equal: boolean[] = []
    const { promise, resolve } = Promise.withResolvers<boolean[]>()
    socket.on('message', (data: Buffer) => {
      equal.push(data.equals(bytes))
      if (equal.length === 8) resolve(equal)
    })
    return promise
  }
  const received = Promise.all([receive(client), receive(server)])
  for (let i = 0; i < 8; i++) for (const socket of [client, server]) socket.send(bytes)
  for (const equal of await received)
    test.same(
      equal,
      Array.from({ length: 8 }, () => true)
    )
  await closeBoth(client, server)
  await bench.stop(test)
})

t.test('a reader that pauses loses nothing and stops the sender', async test => {
  const bench = await start(test)
  const { client, server } = await bench.pair()
  const bytes = randomBytes(MEGABYTE, 9)
  const total = 32
  client.pause()
  let delivered = 0
  for (let i = 0; i < total; i++) server.send(bytes, () => delivered++)
  await once(client, 'upgrade', { signal: AbortSignal.timeout(500) }).catch((error: unknown) => {
    test.match(error, { name: 'AbortError' }, 'half a second goes by')
  })
  test.ok(delivered < total, `the sender waits: ${delivered} of ${total} MB have left it`)
  let equal = 0
  const all = new Promise<void>(resolve => {
    client.on('message', (data: Buffer) => {
      if (data.equals(bytes) && ++equal === total) resolve()
    })
  })
  client.resume()
  await all
  test.equal(equal, total)
  await closeBoth(client, server)
  await bench.stop(test)
})

t.test('ping is answered by the other end, with its payload', async test => {
  const bench = await start(test)
  const { client, server } = await bench.pair()
  for (const [from, to] of [
    [client, server],
    [server, client]
  ] as const) {
    const pinged = once(to, 'ping')
    const ponged = once(from, 'pong')
    from.ping('payload')
    test.equal(String((await pinged)[0]), 'payload')
    test.equal(String((await ponged)[0]), 'payload')
  }
  await closeBoth(client, server)
  await bench.stop(test)
})

t.test('close codes and reasons pass both ways', async test => {
  const bench = await start(test)
  for (const code of [1000, 1001, 1008, 1011, 3000, 4999]) {
    for (const side of ['client', 'server'] as const) {
      const { client, server } = await bench.pair()
      const [from, to] = side === 'client' ? [client, server] : [server, client]
      const seen = Promise.all([nextClose(to), nextClose(from)])
      from.close(code, `because ${code}`)
      test.same(
        await seen,
        Array.from({ length: 2 }, () => ({ code, reason: `because ${code}` })),
        `${code} by the ${side}`
      )
    }
  }
  await bench.stop(test)
  test.same(new Set(bench.outcomes), new Set(['ok']))
})

t.test('many connections at once, each with its own messages', async test => {
  const bench = await start(test)
  bench.server.on('connection', server =>
    server.on('message', (data, isBinary) => server.send(data, { binary: isBinary }))
  )
  const run = async (_: unknown, index: number): Promise<boolean> => {
    const client = bench.client({ path: `/${index}` })
    await once(client, 'open')
    let equal = true
    for (let i = 0; i < 10; i++) {
      const bytes = randomBytes(1 + ((index * 37 + i * 501) % 5_000), index * 100 + i)
      const message = nextMessage(client)
      client.send(bytes)
      equal &&= (await message).data.equals(bytes)
    }
    client.close()
    await nextClose(client)
    return equal
  }
  const equal = await Promise.all(Array.from({ length: 200 }, run))
  test.equal(equal.filter(Boolean).length, 200)
  await bench.stop(test)
})

t.test('permessage-deflate is negotiated end to end', async test => {
  const bench = await start(test, { deflate: true })
  const { client, server } = await bench.pair({ deflate: true })
  test.match(client.extensions, /permessage-deflate/)
  test.match(server.extensions, /permessage-deflate/)
  const text = 'compressible '.repeat(80_000)
  for (const [from, to] of [
    [client, server],
    [server, client]
  ] as const) {
    const message = nextMessage(to)
    from.send(text)
    test.ok((await message).data.equals(Buffer.from(text)))
  }
  await closeBoth(client, server)
  const plain = await bench.pair()
  test.equal(plain.client.extensions, '', 'twin: not where the client does not ask')
  await closeBoth(plain.client, plain.server)
  await bench.stop(test)
})

t.test('a client that dies is seen by the server at once', async test => {
  const bench = await start(test)
  const { client, server } = await bench.pair()
  const closed = nextClose(server)
  client.terminate()
  test.equal((await closed).code, 1006)
  const second = await bench.pair()
  const reset = nextClose(second.server)
  second.server.on('error', error => test.match(error, { code: 'ECONNRESET' }))
  const gone = nextClose(second.client)
  second.client.on('error', error => test.match(error, { code: 'ECONNRESET' }))
  socketOf(second.client).resetAndDestroy()
  test.equal((await reset).code, 1006, 'also by reset')
  await gone
  await bench.stop(test)
})

t.test('a server that dies is seen by the client at once', async test => {
  const bench = await start(test)
  for (const kill of [
    (server: WebSocket) => server.terminate(),
    (server: WebSocket) => void socketOf(server).resetAndDestroy(),
    (server: WebSocket) => {
      // In the middle of a frame of which the client has got the beginning.
      socketOf(server).write(Buffer.from([0x82, 0x7e, 0xff, 0xff, 1, 2, 3]), () => server.terminate())
    }
  ]) {
    const { client, server } = await bench.pair()
    client.on('message', () => test.fail('half a message'))
    const closed = nextClose(client)
    kill(server)
    test.equal((await closed).code, 1006)
  }
  await bench.stop(test)
})

t.test('a server that refuses the upgrade is heard', async test => {
  const bench = await start(test)
  bench.server.options.verifyClient = (_info, done) => done(false, 401, 'Who are you')
  const client = bench.client()
  const [error] = (await once(client, 'error')) as [Error]
  test.match(error.message, '401')
  await bench.stop(test)
})

t.test('drain tells each client 1001 and ends', async test => {
  const bench = await start(test)
  const pairs = await Promise.all(
    Array.from({ length: 20 }, async (_, index) => {
      const client = bench.client({ path: `/${index}` })
      await once(client, 'open')
      return client
    })
  )
  const closed = Promise.all(pairs.map(client => nextClose(client)))
  const servers = [...bench.server.clients]
  const serversClosed = Promise.all(servers.map(server => nextClose(server)))
  const started = performance.now()
  await bench.proxy.drain(5_000)
  test.ok(performance.now() - started < 3_000, 'without waiting for the deadline')
  test.same(new Set((await closed).map(close => close.code)), new Set([1001]))
  test.same(
    new Set((await serversClosed).map(close => close.code)),
    new Set([1001]),
    'the servers hear it from their clients'
  )
  await bench.stop(test)
})

t.test('drain in the middle of a large message waits for its end', async test => {
  const bench = await start(test)
  const { client, server } = await bench.pair()
  const bytes = randomBytes(16 * MEGABYTE, 3)
  const message = nextMessage(client)
  const closed = nextClose(client)
  server.send(bytes)
  await once(socketOf(client), 'data')
  const drained = bench.proxy.drain(5_000)
  test.ok((await message).data.equals(bytes), 'the message is whole')
  test.equal((await closed).code, 1001)
  await drained
  await bench.stop(test)
})

t.test('a client that does not answer the close frame is closed at the deadline', async test => {
  const bench = await start(test)
  const socket = connect({ port: bench.port, host: '127.0.0.1' })
  socket.write(
    'GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, UPGRADE\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n'
  )
  const [head] = (await once(socket, 'data')) as [Buffer]
  test.match(head.toString(), /^HTTP\/1\.1 101 /)
  const frame = once(socket, 'data') as Promise<[Buffer]>
  // A reset, because what is cut off is not complete.
  socket.on('error', error => test.match(error, { code: 'ECONNRESET' }))
  const ended = new Promise(resolve => socket.once('close', resolve))
  const drained = bench.proxy.drain(300)
  test.same((await frame)[0], Buffer.from([0x88, 0x02, 0x03, 0xe9]))
  await drained
  await ended
  await bench.stop(test)
})

/** The socket under a WebSocket; its type does not tell. */
function socketOf(socket: WebSocket): Socket {
  return Reflect.get(socket, '_socket') as Socket
}
