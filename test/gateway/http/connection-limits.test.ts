import t from 'tap'

import { proxyTest } from '../../fixtures/proxy-fixture.ts'
import { eventually } from '../../fixtures/wire-socket.ts'

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

for (const limit of ['maxConnections', 'maxConnectionsPerClient'] as const) {
  proxyTest(
    t,
    `${limit}: one connection too many is told 503 and closed, the others are served`,
    { limits: { [limit]: 3 } },
    async (t, f) => {
      f.upstream.serve(() => OK)
      const clients = [await f.client(), await f.client(), await f.client()]
      await eventually(() => f.proxy.stats.connections === 3, 'they are there')
      for (let i = 0; i < 5; i++) {
        const { text, ending } = await f.ask(i % 2 === 0 ? GET : '')
        t.match(text, /^HTTP\/1.1 503 [^]*Retry-After: \d+\r\n[^]*Connection: close\r\n\r\n\{/)
        t.equal(ending, 'fin')
      }
      t.match(f.proxy.stats, { connections: 3, accepted: 8, rejected: 5 })
      t.equal(f.finished.length, 0, 'they were no requests')
      for (const client of clients) {
        client.send(GET)
        await client.until('ok')
      }
      clients[0]!.socket.destroy()
      await eventually(() => f.proxy.stats.connections === 2, 'one has left')
      const next = await f.client(GET)
      await next.until('ok')
    }
  )
}

proxyTest(
  t,
  'the place of a client connection is free again however it ended',
  { limits: { maxConnectionsPerClient: 1, lingerTimeoutMs: 100 } },
  async (t, f) => {
    f.upstream.serve(() => OK)
    const ends = [
      async () => (await f.client()).fin(),
      async () => (await f.client(GET)).reset(),
      async () => f.ask('BAD\x00\r\n\r\n'),
      async () => f.ask(GET.replace('Host', 'Connection: close\r\nHost'))
    ]
    for (const end of ends) {
      await end()
      await eventually(() => f.proxy.stats.connections === 0, 'it is gone')
    }
    await (await f.client(GET)).until('ok')
    t.equal(f.proxy.stats.rejected, 0)
  }
)
