import { Redis } from 'ioredis'
import { test } from 'tap'
import { registryKeys } from '../../../lib/registry-schema.ts'
import { RegistryUnavailableError } from '../../../gateway/registry/errors.ts'
import { PREFIX, connectClient, memberRecord, startPod, startRegistry, until } from '../../fixtures/registry-harness.ts'
import { startRedis } from '../../fixtures/redis-server.ts'
import type { Registry } from '../../../gateway/registry/registry.ts'
import type { RegistryPod } from '../../fixtures/registry-harness.ts'
import type { RedisServer, Teardown } from '../../fixtures/redis-server.ts'

const keys = registryKeys(PREFIX)

interface World {
  server: RedisServer
  registry: Registry
  pods: RegistryPod[]
  ids: string[]
}

/** Three pods with 30 sessions, and a gateway that knows them all. */
async function setup(t: Teardown, options: { leaseMs?: number; args?: string[] } = {}): Promise<World> {
  const server = await startRedis(t, { args: options.args ?? [] })
  const start = (id: string): Promise<RegistryPod> => startPod(t, server.url, { id, leaseMs: options.leaseMs ?? 1_000 })
  const pods = await Promise.all(['pod-1', 'pod-2', 'pod-3'].map(start))
  const registry = await startRegistry(t, server.url, { sweepIntervalMs: 50 })
  const world: World = { server, registry, pods, ids: [] }
  for (let n = 0; n < 30; n++) world.ids.push(await place(world))
  return world
}

async function place({ registry, pods }: World): Promise<string> {
  const { record, member } = await registry.place('shell')
  pods.find(pod => pod.record.id === member.id)?.sessions.set(record.id, record)
  return record.id
}

/** Asks for every session all the time until it is stopped; then tells how often one was not known. */
function load({ registry, ids }: World): () => number {
  let missed = 0
  const timer = setInterval(() => {
    for (const id of ids) if (registry.cached(id) === undefined) missed++
  }, 5)
  return () => {
    clearInterval(timer)
    return missed
  }
}

function connect(t: Teardown, { server }: World): Redis {
  const redis = new Redis(server.url)
  redis.on('error', () => undefined)
  t.teardown(async () => redis.disconnect())
  return redis
}

async function outcome(question: Promise<unknown>): Promise<string> {
  try {
    return (await question) === null ? 'unknown' : 'found'
  } catch (error) {
    return error instanceof RegistryUnavailableError ? 'unavailable' : String(error)
  }
}

/** Every session still has the owner and the epoch that its pod holds it at, in Redis and in the gateway. */
async function isWhole({ server, registry, pods, ids }: World, t: Teardown): Promise<boolean> {
  const client = await connectClient(t, server.url)
  const { rows } = await client.peek(ids)
  await client.close()
  return ids.every((id, at) => {
    const pod = pods.find(({ sessions }) => sessions.has(id))
    const epoch = pod?.sessions.get(id)?.epoch
    const cached = registry.cached(id)?.record
    return (
      rows[at]?.owner === pod?.record.id &&
      rows[at]?.epoch === epoch &&
      cached?.owner === pod?.record.id &&
      cached?.epoch === epoch
    )
  })
}

void test('while Redis is down known sessions go on, and unknown ones are unavailable, not unknown', async t => {
  const world = await setup(t)
  const { server, registry } = world
  const stop = load(world)
  t.equal(await outcome(registry.find('nobody')), 'unknown')
  await server.kill()
  await until(() => !registry.available, 'the gateway noticed')
  const startedAtMs = performance.now()
  t.equal(await outcome(registry.find('nobody')), 'unavailable')
  t.equal(await outcome(registry.place('shell')), 'unavailable')
  t.equal(await outcome(registry.place('shell', 'chosen')), 'unavailable')
  t.equal(await outcome(registry.inspect('nobody')), 'unavailable')
  t.equal(await outcome(registry.listSessions()), 'unavailable')
  t.ok(performance.now() - startedAtMs < 100, 'at once')
  await new Promise(resolve => setTimeout(resolve, 1_500))
  t.equal(registry.members().length, 3, 'nobody is taken for dead')
  t.equal(stop(), 0, 'no request for a known session had to ask')
})

for (const [loss, lose] of [
  [
    'FLUSHALL',
    async ({ server }: World) => {
      const redis = new Redis(server.url)
      await redis.flushall()
      redis.disconnect()
    }
  ],
  ['restart of an empty Redis', async ({ server }: World) => await server.restart()]
] as const) {
  void test(`${loss} under load: known sessions go on, all is whole again within a heartbeat, nothing moves`, async t => {
    const world = await setup(t)
    const { registry, pods, ids } = world
    const stop = load(world)
    await lose(world)
    const lostAtMs = performance.now()
    t.equal(await outcome(registry.find('nobody')), 'unavailable')
    await until(() => isWhole(world, t), 'every record is back')
    const wholeAfterMs = performance.now() - lostAtMs
    t.ok(wholeAfterMs < 1_500, `${Math.round(wholeAfterMs)} ms, with a heartbeat of 200 ms`)
    t.equal(await outcome(registry.find('nobody')), 'unavailable', 'another pod may still have it')
    t.equal(await outcome(registry.place('shell', 'chosen')), 'unavailable')
    await until(async () => (await outcome(registry.find('nobody'))) === 'unknown', 'then it is unknown')
    t.equal(await outcome(registry.place('shell', 'chosen')), 'found')
    t.ok(await isWhole(world, t))
    t.equal(stop(), 0)
    t.same(pods.flatMap(({ sessions }) => [...sessions.keys()]).toSorted(), ids.toSorted())
    t.notOk(pods.some(({ verdicts }) => verdicts.includes('lost')))
  })
}

void test('a route that nobody confirms after a flush is kept for a heartbeat, then dropped', async t => {
  const world = await setup(t)
  const { registry, pods } = world
  const [id = ''] = world.ids
  for (const { sessions } of pods) sessions.delete(id)
  await connect(t, world).flushall()
  await until(async () => (await outcome(registry.find('nobody'))) === 'unavailable', 'the flush is known')
  await new Promise(resolve => setTimeout(resolve, 150))
  t.ok(registry.cached(id), 'kept')
  await until(() => registry.cached(id) === undefined, 'dropped')
  t.equal(await registry.find(id), null)
  t.ok(world.ids.slice(1).every(other => registry.cached(other) !== undefined))
})

void test('a frozen Redis longer than the leases kills nobody: no session moves when it wakes up', async t => {
  const world = await setup(t, { leaseMs: 500 })
  const { server, registry } = world
  const stop = load(world)
  server.pause()
  t.equal(await outcome(registry.find('nobody')), 'unavailable')
  await until(() => !registry.available, 'the gateway noticed')
  const startedAtMs = performance.now()
  t.equal(await outcome(registry.find('nobody')), 'unavailable')
  t.ok(performance.now() - startedAtMs < 100, 'the second one does not wait')
  await new Promise(resolve => setTimeout(resolve, 1_000))
  server.resume()
  await until(() => registry.available, 'Redis is back')
  await new Promise(resolve => setTimeout(resolve, 700))
  t.ok(await isWhole(world, t))
  t.equal(stop(), 0)
  t.equal(registry.members().length, 3)
})

void test('a pod that died while Redis was frozen is noticed once leases are believed again', async t => {
  const world = await setup(t, { leaseMs: 500 })
  const { server, registry, pods, ids } = world
  const [dead] = pods
  server.pause()
  await until(() => !registry.available, 'the gateway noticed')
  await dead?.die()
  await new Promise(resolve => setTimeout(resolve, 600))
  server.resume()
  await until(() => registry.members().length === 2, 'its lease is believed to be gone')
  await until(async () => {
    const records = await Promise.all(ids.map(id => registry.find(id)))
    return records.every(found => found?.kind === 'owned' && found.record.owner !== dead?.record.id)
  }, 'the sweep moved its sessions')
})

void test('what was published while the feed was cut is found when it is back', async t => {
  const world = await setup(t)
  const { registry, ids, pods } = world
  const redis = connect(t, world)
  const moved = ids.filter(id => registry.cached(id)?.record.owner === 'pod-1')
  t.equal(moved.length, 10)
  const target = pods[1]?.record ?? memberRecord('none')
  // Nothing is delivered between the cut and the move, because both are one transaction.
  const transaction = redis.multi().call('CLIENT', 'KILL', 'TYPE', 'pubsub')
  for (const id of moved) transaction.hset(keys.session(id), 'owner', target.id, 'bootId', target.bootId, 'epoch', '2')
  await transaction.exec()
  await until(() => moved.every(id => registry.cached(id) === undefined), 'the old routes are gone')
  for (const id of moved) t.match(await registry.find(id), { record: { epoch: 2 }, member: { id: 'pod-2' } })
  t.ok(
    ids.filter(id => !moved.includes(id)).every(id => registry.cached(id)?.record.epoch === 1),
    'the others are kept'
  )
})

void test('a gap in the numbers of the changes, or a feed that falls silent, is noticed', async t => {
  const world = await setup(t)
  const { registry, ids } = world
  const redis = connect(t, world)
  const [first = '', second = ''] = ids
  await redis.del(keys.session(first))
  await redis.incrby(keys.sequence, 2)
  await redis.publish(
    keys.changes,
    JSON.stringify({ t: 'session-gone', id: 'x', epoch: '1', n: await redis.get(keys.sequence) })
  )
  await until(() => registry.cached(first) === undefined, 'the gap was noticed')
  await redis.del(keys.session(second))
  await redis.incr(keys.sequence)
  await until(() => registry.cached(second) === undefined, 'the silence was noticed')
  t.ok(ids.slice(2).every(id => registry.cached(id)))
})

void test('a failover that lost the latest writes gives no session a second owner', async t => {
  const world = await setup(t, { leaseMs: 60_000 })
  const { server, registry, pods } = world
  const redis = connect(t, world)
  const [dead, alive] = pods
  const old = world.ids.filter(id => registry.cached(id)?.record.owner === dead?.record.id)
  await redis.save()
  // All this is lost: ten sessions move, and three are made.
  await dead?.die()
  const client = await connectClient(t, server.url)
  if (dead !== undefined) await client.endLease(dead.record)
  await until(() => old.every(id => registry.cached(id) === undefined), 'their owner is gone')
  for (const id of old) {
    const found = await registry.find(id)
    const entry = found?.kind === 'orphan' ? await registry.reassign(found.record) : found
    t.equal(entry?.record.epoch, 2)
    const pod = pods.find(({ record }) => record.id === entry?.member.id)
    dead?.sessions.delete(id)
    if (entry !== null && entry !== undefined) pod?.sessions.set(id, entry.record)
  }
  for (let n = 0; n < 3; n++) world.ids.push(await place(world))
  const newcomer = await startRegistry(t, server.url)
  await server.restart()
  // A gateway that remembers nothing finds the old owner without a lease, or with one that came back from the dead: it must not act on that.
  const claims = await Promise.all(
    old.map(id =>
      outcome(newcomer.find(id).then(found => (found?.kind === 'orphan' ? newcomer.reassign(found.record) : found)))
    )
  )
  t.notOk(claims.includes('unknown'))
  await until(() => isWhole(world, t), 'what the pods hold stands again')
  t.notOk(alive?.verdicts.includes('lost'))
  await until(async () => (await outcome(newcomer.find('nobody'))) === 'unknown', 'believed again')
  for (const id of world.ids) {
    const pod = pods.find(({ sessions }) => sessions.has(id))
    t.match(await newcomer.find(id), {
      kind: 'owned',
      record: { epoch: pod?.sessions.get(id)?.epoch },
      member: { id: pod?.record.id }
    })
  }
})

void test('a claim whose answer was lost leaves no session behind', async t => {
  const world = await setup(t)
  const { server, registry, ids } = world
  const redis = connect(t, world)
  server.pause()
  t.equal(await outcome(registry.place('shell')), 'unavailable')
  server.resume()
  await until(async () => (await redis.keys(keys.gone('*'))).length === 1, 'the claim is taken back')
  t.equal((await redis.keys(keys.session('*'))).length, ids.length)
  t.ok(Number(await redis.get(keys.sequence)) > ids.length + 3, 'it had been carried out')
})

void test('a gateway that starts while Redis is away becomes available when it comes', async t => {
  const server = await startRedis(t)
  await server.kill()
  const registry = await startRegistry(t, server.url, { commandTimeoutMs: 100 })
  t.equal(registry.available, false)
  t.equal(await outcome(registry.find('s1')), 'unavailable')
  await server.start()
  await until(() => registry.available, 'Redis came')
})

void test('through restarts, flushes and freezes nothing is rejected unhandled', async t => {
  const unhandled: unknown[] = []
  const note = (reason: unknown): void => void unhandled.push(reason)
  process.on('unhandledRejection', note)
  t.teardown(async () => process.off('unhandledRejection', note))
  const world = await setup(t)
  const { server, registry } = world
  const stop = load(world)
  for (let round = 0; round < 3; round++) {
    const questions = Array.from({ length: 50 }, (_, n) => outcome(registry.find(`nobody-${n}`)))
    const creates = Array.from({ length: 20 }, () => outcome(place(world)))
    await server.kill()
    await Promise.all([...questions, ...creates])
    await server.start()
    await until(() => registry.available, 'back')
    server.pause()
    const more = Array.from({ length: 50 }, (_, n) => outcome(registry.find(`nobody-${n}`)))
    await new Promise(resolve => setTimeout(resolve, 300))
    server.resume()
    await Promise.all(more)
  }
  await until(() => isWhole(world, t), 'whole again')
  t.equal(stop(), 0)
  t.same(unhandled, [])
})
