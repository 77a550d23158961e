import { once } from 'node:events'
import { type AddressInfo, type Socket, connect, createServer } from 'node:net'

import t, { type Test } from 'tap'

import { OutputBuffer } from '../../../gateway/http/output-buffer.ts'
import { StreamTransport } from '../../../gateway/http/stream-transport.ts'

const CAPACITY = 106_496

/** A real connection: the proxy's end, and a peer that does not read until it is told to. */
async function pair(t: Test): Promise<{ near: Socket; peer: Socket }> {
  const server = createServer({ pauseOnConnect: true })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const peer = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const [near] = (await once(server, 'connection')) as [Socket]
  await once(peer, 'connect')
  peer.pause()
  t.teardown(() => {
    near.destroy()
    peer.destroy()
    server.close()
  })
  return { near, peer }
}

/** Everything that comes, until there are so many bytes. */
async function receive(peer: Socket, length: number): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const part of peer as AsyncIterable<Buffer>) {
    parts.push(part)
    if (parts.reduce((sum, each) => sum + each.length, 0) >= length) break
  }
  return Buffer.concat(parts)
}

t.test('bytes that wait are not overwritten, and small ones keep no large buffers', async t => {
  const { near, peer } = await pair(t)
  const connection = new StreamTransport().accept(near)
  const output = new OutputBuffer(CAPACITY)
  const block = Buffer.alloc(60_000, 'b')
  let expected = 0
  let flows = true
  while (near.writableLength === 0) {
    output.copy(block, 0, block.length)
    output.sendTo(connection)
    expected += block.length
  }
  const before = process.memoryUsage().arrayBuffers
  let small = 0
  while (flows && small < 3000) {
    const text = `${String(small++).padStart(15, '0')}\n`
    output.text(text)
    flows = output.sendTo(connection)
    expected += text.length
  }
  const grown = process.memoryUsage().arrayBuffers - before
  t.ok(grown < 16 * small + 4 * CAPACITY, `${small} small writes keep ${grown} bytes`)
  const received = await receive(peer, expected)
  const tail = received.subarray(-16 * small).toString()
  t.equal(tail, Array.from({ length: small }, (_, i) => `${String(i).padStart(15, '0')}\n`).join(''))
})

t.test('what does not fit is sent in parts, in order; a head that does not fit is a defect', async t => {
  const { near, peer } = await pair(t)
  const connection = new StreamTransport().accept(near)
  const output = new OutputBuffer(1000)
  const source = Buffer.from(Array.from({ length: 5500 }, (_, i) => i % 251))
  output.text('head ')
  output.pass(source, 100, 5400, connection)
  output.text(' tail')
  t.ok(output.sendTo(connection))
  t.equal(output.length, 0)
  const received = await receive(peer, 5310)
  t.ok(received.equals(Buffer.concat([Buffer.from('head '), source.subarray(100, 5400), Buffer.from(' tail')])))
  t.throws(() => output.copy(source, 0, 1001), RangeError)
  t.throws(() => output.text('x'.repeat(1001)), RangeError)
  output.text('x'.repeat(1000))
  t.equal(output.length, 1000)
})
