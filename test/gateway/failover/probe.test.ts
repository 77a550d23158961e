import t from 'tap'
import { createServer } from 'node:net'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { Blackhole } from '../fixtures/blackhole.ts'
import { probe } from '../../../gateway/failover/probe.ts'

t.test('a listening port accepts, a closed one refuses', async t => {
  const server = createServer(socket => socket.on('error', () => undefined)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  t.equal(await probe({ host: '127.0.0.1', port }, 1000), 'accepted')
  await new Promise(resolve => server.close(resolve))
  t.equal(await probe({ host: '127.0.0.1', port }, 1000), 'refused')
})

t.test('no answer proves nothing', async t => {
  const hole = await Blackhole.open()
  t.teardown(() => hole.close())
  t.equal(await probe({ host: '127.0.0.1', port: hole.port }, 100), 'unknown')
})
