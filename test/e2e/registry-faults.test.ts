import { rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { RegistryUnavailableError } from '../../lib/registry-errors.ts'
import type { SessionRecord } from '../../lib/registry-schema.ts'
import { call } from '../pod/fixtures/http-call.ts'
import { Cluster, until } from './fixtures/cluster.ts'
import { Load } from './fixtures/load.ts'
import { OwnerWatch } from './fixtures/owner-watch.ts'

const HEARTBEAT_MS = 1000
/** For noticing that Redis is back, and for a busy machine. */
const SLACK_MS = 1500
const SESSIONS = 20
/** For each fault some that the second gateway has never been asked for. */
const COLD_SESSIONS = 4

const cluster = await Cluster.start(t, {
  gateways: 2,
  // Longer than any of the outages.
  shared: { lease: '9s', heartbeat: '1s' },
  redisArgs: ['--appendonly', 'yes', '--appendfsync', 'always']
})
const sessions = await Promise.all(Array.from({ length: SESSIONS }, () => cluster.create()))
const cold = await Promise.all(Array.from({ length: 4 * COLD_SESSIONS }, () => cluster.create()))
const ids = [...sessions, ...cold].map(session => session.id)
await until('every session has a record', async () => (await records()).size === ids.length)
const original = await records()

async function records(): Promise<Map<string, SessionRecord>> {
  try {
    const list = await cluster.registry.readSessions(ids)
    return new Map(list.map(record => [record.id, record]))
  } catch (error) {
    if (error instanceof RegistryUnavailableError) return new Map()
    throw error
  }
}

/** Runs a fault under load, waits until the registry is whole again, and checks what must hold whatever the fault. */
async function under(t: Test, fault: () => Promise<void>): Promise<void> {
  const load = new Load(
    sessions.map(({ id }) => cluster.session(id)),
    4
  )
  const watch = new OwnerWatch(cluster, ids)
  await until('the load runs', () => load.requests > 40)
  await fault()
  const startedAtMs = performance.now()
  const answers = Promise.all(cold.splice(0, COLD_SESSIONS).map(({ id }) => askUntilFound(id)))
  await until('the registry is whole again', async () => (await records()).size === ids.length)
  const tookMs = performance.now() - startedAtMs
  t.comment(`whole again after ${Math.round(tookMs)} ms`)
  t.ok(tookMs < HEARTBEAT_MS + SLACK_MS, 'whole again within a heartbeat')
  await until('unknown is 404 again', async () => (await unknown()).status === 404)
  await load.stop()
  await watch.stop()
  t.comment(`${load.requests} requests, slowest ${Math.round(load.slowestMs)} ms; ${watch.looks} looks`)
  t.same(load.failures, [], 'known sessions flow')
  t.same(watch.problems, [], 'one owner each, and no epoch went back')
  t.same(await records(), original, 'nothing has moved')
  for (const statuses of await answers) {
    t.ok(
      statuses.every(status => status === 200 || status === 503),
      'a session that a gateway does not know is not "unknown"'
    )
  }
}

/** Asks the second gateway for a session that it does not know, again and again, and tells the answers up to the first 200. */
async function askUntilFound(id: string): Promise<number[]> {
  const statuses: number[] = []
  await until(`${id} is found`, async () => {
    const { status } = await cluster.session(id, cluster.gateways[1]).send('GET /')
    statuses.push(status)
    return status === 200
  })
  return statuses
}

function unknown() {
  return call(cluster.url, 'GET /', { headers: { 'x-sandbox-id': `nobody-${Math.random().toString(36).slice(2)}` } })
}

async function expectUnavailable(t: Test): Promise<void> {
  await until('the outage is noticed', async () => (await unknown()).status === 503)
  const answer = await unknown()
  t.equal(answer.status, 503)
  t.equal(answer.headers['retry-after'], '1')
  t.same(answer.json(), { detail: 'The session registry is not available, try again' })
  t.equal((await call(cluster.url, 'POST /agents/shell/instances')).status, 503)
}

t.equal((await unknown()).status, 404)

t.test('Redis is killed and comes back empty', t =>
  under(t, async () => {
    await cluster.redis.kill()
    await expectUnavailable(t)
    await rm(join(cluster.redis.directory, 'appendonlydir'), { recursive: true })
    await cluster.redis.start()
  })
)

t.test('FLUSHALL', t =>
  under(t, async () => {
    await flushAll(cluster.redis.port)
    t.equal((await unknown()).status, 503, 'a registry without data does not say "unknown"')
  })
)

t.test('Redis is frozen for five seconds', t =>
  under(t, async () => {
    cluster.redis.pause()
    const frozenAtMs = performance.now()
    await expectUnavailable(t)
    await until('five seconds are over', () => performance.now() - frozenAtMs > 5000)
    cluster.redis.resume()
  })
)

t.test('Redis is killed and comes back with its data', t =>
  under(t, async () => {
    await cluster.redis.kill()
    await expectUnavailable(t)
    await cluster.redis.start()
  })
)

async function flushAll(port: number): Promise<void> {
  const socket = connect(port, '127.0.0.1')
  socket.write('FLUSHALL\r\n')
  await new Promise<void>((resolve, reject) => {
    socket.once('data', data => (data.toString().startsWith('+OK') ? resolve() : reject(new Error(data.toString()))))
    socket.once('error', reject)
  })
  socket.destroy()
}

t.test('a pod dies while Redis is away: its sessions go on when Redis is back', async t => {
  const [session] = sessions
  await session!.shell('echo kept > kept')
  await until('the promised second is over', async () => (await delay(1000)) === undefined)
  const owner = await cluster.ownerOf(session!)
  await cluster.redis.kill()
  await expectUnavailable(t)
  await owner.kill()
  const answer = await session!.tryRun('cat kept')
  t.match(answer.status, /^50[23]$/, 'told, not left waiting')
  await cluster.redis.start()
  let status = 0
  await until('it goes on', async () => {
    const again = await session!.tryRun('cat kept')
    status = again.status
    return status === 200 && Object(again.json()).stdout === 'kept\n'
  })
  t.equal((await session!.explain()).epoch, original.get(session!.id)!.epoch + 1)
})
