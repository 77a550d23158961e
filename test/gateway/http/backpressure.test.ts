import { setTimeout as delay } from 'node:timers/promises'

import t from 'tap'

import { proxyTest } from '../../fixtures/proxy-fixture.ts'

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
const BYTES = 64 * 1024 * 1024
/** The kernel's socket buffers on the loopback hold this much at most, both directions of both connections. */
const KERNEL_BYTES = 24 * 1024 * 1024
const PART = Buffer.alloc(64 * 1024, 'p')

/** Waits until a count has not moved for a while. */
async function stalls(count: () => number): Promise<number> {
  let last = -1
  while (last !== count()) {
    last = count()
    await delay(120)
  }
  return last
}

proxyTest(
  t,
  'a client that does not read stops the upstream; 64 MB take no memory and arrive whole',
  {},
  async (t, f) => {
    const client = await f.client(GET)
    const wire = await f.upstream.accept()
    await wire.until('\r\n\r\n')
    client.socket.pause()
    const before = process.memoryUsage()
    wire.send(`HTTP/1.1 200 OK\r\nContent-Length: ${BYTES}\r\n\r\n`)
    let written = 0
    const pump = (): void => {
      while (written < BYTES) {
        written += PART.length
        if (!wire.socket.write(PART)) return
      }
    }
    wire.socket.on('drain', pump)
    pump()
    const stalled = await stalls(() => written)
    t.ok(stalled < KERNEL_BYTES, `the upstream was stopped after ${stalled} bytes`)
    const [exchange] = f.exchanges
    t.ok(exchange!.responseBytes < KERNEL_BYTES)
    const after = process.memoryUsage()
    t.ok(after.rss - before.rss < 48 * 1024 * 1024, `RSS grew by ${after.rss - before.rss}`)
    t.ok(after.arrayBuffers - before.arrayBuffers < 4 * 1024 * 1024, 'the proxy holds next to nothing')
    let received = 0
    let wrong = 0
    client.socket.on('data', (bytes: Buffer) => {
      received += bytes.length
      client.take()
      if (bytes.at(-1) !== PART[0]) wrong++
    })
    client.socket.resume()
    await client.when(() => received >= BYTES, 'for all of it')
    t.equal(wrong, 0)
    t.same(await f.outcomes(1), ['ok'])
  }
)

proxyTest(t, 'an upstream that does not read stops the client; the body arrives whole in the end', {}, async (t, f) => {
  const client = await f.client(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${BYTES}\r\n\r\n`)
  const wire = await f.upstream.accept()
  await wire.until('\r\n\r\n')
  wire.take()
  wire.socket.pause()
  let written = 0
  const pump = (): void => {
    while (written < BYTES) {
      written += PART.length
      if (!client.socket.write(PART)) return
    }
  }
  client.socket.on('drain', pump)
  pump()
  const stalled = await stalls(() => written)
  t.ok(stalled < KERNEL_BYTES, `the client was stopped after ${stalled} bytes`)
  let received = 0
  wire.socket.on('data', (bytes: Buffer) => {
    received += bytes.length
    wire.take()
  })
  wire.socket.resume()
  await wire.when(() => received >= BYTES, 'for all of it')
  wire.send('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
  await client.until('ok')
  t.equal(received, BYTES)
})

proxyTest(t, 'a chunked body under backpressure in both directions at once arrives whole', {}, async (t, f) => {
  const client = await f.client('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n')
  const wire = await f.upstream.accept()
  await wire.until('\r\n\r\n')
  wire.take()
  wire.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
  await client.until('\r\n\r\n')
  client.take()
  const chunk = Buffer.concat([Buffer.from('10000\r\n'), PART, Buffer.from('\r\n')])
  const chunks = 200
  client.socket.pause()
  wire.socket.pause()
  for (let i = 0; i < chunks; i++) {
    client.send(chunk)
    wire.send(chunk)
  }
  await delay(100)
  client.socket.resume()
  wire.socket.resume()
  client.send('0\r\n\r\n')
  await wire.atLeast(chunks * chunk.length + 5)
  wire.send('0\r\n\r\n')
  await client.atLeast(chunks * chunk.length + 5)
  const expected = Buffer.concat([...Array<Buffer>(chunks).fill(chunk), Buffer.from('0\r\n\r\n')])
  t.ok(client.bytes.equals(expected))
  t.ok(wire.bytes.equals(expected))
})

proxyTest(t, 'a chunk goes out before the next comes in, in both directions', {}, async (t, f) => {
  for (const head of ['Transfer-Encoding: chunked\r\n', 'Content-Length: 1000\r\n']) {
    const client = await f.client(`POST / HTTP/1.1\r\nHost: a\r\n${head}\r\n`)
    const wire = await f.upstream.accept()
    await wire.until('\r\n\r\n')
    for (let i = 0; i < 20; i++) {
      const part = `5\r\nup${String(i).padStart(3, '0')}\r\n`
      client.send(part)
      await wire.until(part)
    }
    wire.send(`HTTP/1.1 200 OK\r\n${head}\r\n`)
    await client.until('\r\n\r\n')
    for (let i = 0; i < 20; i++) {
      const part = `5\r\ndn${String(i).padStart(3, '0')}\r\n`
      wire.send(part)
      await client.until(part)
    }
    client.reset()
    await wire.end()
  }
})
