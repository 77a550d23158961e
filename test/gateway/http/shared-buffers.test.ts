import t from 'tap'

import { proxyTest } from '../../fixtures/proxy-fixture.ts'
import type { WireSocket } from '../../fixtures/wire-socket.ts'

/** A stream of one tenant: every byte tells whose it is and where it belongs. */
function pattern(tenant: number, from: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length)
  for (let i = 0; i < length; i++) bytes[i] = (tenant << 5) | (((from + i) * 7 + ((from + i) >> 8)) & 31)
  return bytes
}

/** Compares everything that comes with a tenant's pattern; keeps nothing. */
class PatternCheck {
  received = 0
  mixed = -1

  constructor(wire: WireSocket, tenant: number) {
    wire.take()
    wire.socket.on('data', (bytes: Buffer) => {
      if (this.mixed < 0 && !bytes.equals(pattern(tenant, this.received, bytes.length))) this.mixed = this.received
      this.received += bytes.length
      wire.take()
    })
  }
}

const SIZES = [1, 700, 16_384, 65_536, 65_537, 300_000]

/** Sends a tenant's stream in pieces of changing size, as fast as it is taken. */
function send(wire: WireSocket, tenant: number, total: number): void {
  let sent = 0
  let turn = tenant
  const pump = (): void => {
    while (sent < total) {
      const piece = pattern(tenant, sent, Math.min(SIZES[turn++ % SIZES.length]!, total - sent))
      sent += piece.length
      if (!wire.socket.write(piece)) return
    }
  }
  wire.socket.on('drain', pump)
  pump()
}

const TOTAL = 24 * 1024 * 1024

proxyTest(t, 'responses to a stalled client and to busy ones never mix', {}, async (t, f) => {
  const clients: WireSocket[] = []
  const checks: PatternCheck[] = []
  const wires: WireSocket[] = []
  for (let tenant = 1; tenant <= 3; tenant++) {
    const client = await f.client('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    const wire = await f.upstream.accept()
    await wire.until('\r\n\r\n')
    await wire.flush(`HTTP/1.1 200 OK\r\nContent-Length: ${TOTAL}\r\n\r\n`)
    await client.until('\r\n\r\n')
    clients.push(client)
    wires.push(wire)
    checks.push(new PatternCheck(client, tenant))
  }
  clients[0]!.socket.pause()
  for (const [i, wire] of wires.entries()) send(wire, i + 1, TOTAL)
  const flicker = setInterval(() => {
    clients[1]!.socket[clients[1]!.socket.isPaused() ? 'resume' : 'pause']()
  }, 3)
  await clients[2]!.when(() => checks[2]!.received === TOTAL, 'for the busy one')
  clearInterval(flicker)
  clients[1]!.socket.resume()
  clients[0]!.socket.resume()
  for (const [i, client] of clients.entries()) {
    await client.when(() => checks[i]!.received === TOTAL, 'for all of it')
    t.equal(checks[i]!.mixed, -1, `tenant ${i + 1} got its own bytes only`)
  }
})

proxyTest(t, 'request bodies to a stalled upstream and to busy ones never mix', {}, async (t, f) => {
  const wires: WireSocket[] = []
  const clients: WireSocket[] = []
  const checks: PatternCheck[] = []
  for (let tenant = 1; tenant <= 3; tenant++) {
    const client = await f.client(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${TOTAL}\r\n\r\n`)
    const wire = await f.upstream.accept()
    await wire.until('\r\n\r\n')
    wires.push(wire)
    clients.push(client)
    checks.push(new PatternCheck(wire, tenant))
  }
  wires[0]!.socket.pause()
  for (const [i, client] of clients.entries()) send(client, i + 1, TOTAL)
  await wires[1]!.when(() => checks[1]!.received === TOTAL, 'for a busy one')
  await wires[2]!.when(() => checks[2]!.received === TOTAL, 'for a busy one')
  wires[0]!.socket.resume()
  await wires[0]!.when(() => checks[0]!.received === TOTAL, 'for the stalled one')
  t.same(
    checks.map(check => check.mixed),
    [-1, -1, -1]
  )
})

proxyTest(t, 'small responses to clients that read in fits never mix with others', {}, async (t, f) => {
  const body = 90_000
  f.upstream.serve(head => {
    const tenant = Number(/^GET \/(\d)/.exec(head)?.[1])
    return Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${body}\r\n\r\n`), pattern(tenant, 0, body)])
  })
  const rounds = 150
  const work = Array.from({ length: 4 }, async (_, i) => {
    const tenant = i + 1
    const client = await f.client()
    for (let round = 0; round < rounds; round++) {
      if (tenant === 1) client.socket.pause()
      client.send(`GET /${tenant} HTTP/1.1\r\nHost: a\r\n\r\n`)
      if (tenant === 1 && round % 10 !== 9) continue
      client.socket.resume()
      const length = (tenant === 1 ? 10 : 1) * (body + `HTTP/1.1 200 OK\r\nContent-Length: ${body}\r\n\r\n`.length)
      await client.atLeast(length)
      const received = client.take()
      const wrong = received.subarray(-body).equals(pattern(tenant, 0, body)) ? 0 : 1
      if (wrong > 0 || received.length !== length) t.fail(`tenant ${tenant} in round ${round}`)
    }
  })
  await Promise.all(work)
  t.pass('all bytes where they belong')
})

proxyTest(
  t,
  'saved requests of many clients that wait at once never mix',
  {
    resolve: f => new Promise(resolve => setTimeout(() => resolve(f.route()), 20))
  },
  async (t, f) => {
    f.upstream.serve(head => {
      const id = /^X-Id: (.*)\r$/m.exec(head)?.[1] ?? ''
      return `HTTP/1.1 200 OK\r\nContent-Length: ${id.length}\r\n\r\n${id}`
    })
    const work = Array.from({ length: 60 }, async (_, i) => {
      const client = await f.client()
      for (let round = 0; round < 5; round++) {
        const id = `${i}-${round}-${'i'.repeat((i * 37 + round * 911) % 9000)}.`
        client.send(`POST / HTTP/1.1\r\nHost: a\r\nX-Id: ${id}\r\nContent-Length: ${id.length}\r\n\r\n${id}`)
        await client.until(/\r\n\r\n.*\.$/s)
        const text = client.take().toString()
        if (!text.endsWith(`\r\n\r\n${id}`)) t.fail(`client ${i}, round ${round}`)
      }
    })
    await Promise.all(work)
    t.equal(f.finished.length, 300)
  }
)
