import { Redis } from 'ioredis'
import { test } from 'tap'
import { RegistryClient } from '../../lib/registry-client.ts'
import { RegistryUnavailableError } from '../../lib/registry-errors.ts'
import { registryKeys } from '../../lib/registry-schema.ts'
import { PREFIX, connectClient, memberRecord } from '../fixtures/registry-harness.ts'
import { startRedis } from '../fixtures/redis-server.ts'
import type { AssertedSession } from '../../lib/registry-client.ts'
import type { MemberRecord } from '../../lib/registry-schema.ts'
import type { Teardown } from '../fixtures/redis-server.ts'

const SETTLE_MS = 5_000
const LEASE_MS = 30_000
const keys = registryKeys(PREFIX)

const one = memberRecord('pod-1')
const two = memberRecord('pod-2')

/** A Redis with two members, a client, and a bare connection to look around with. */
async function setup(t: Teardown, options: { settled?: boolean } = {}) {
  const server = await startRedis(t, options)
  const client = await connectClient(t, server.url)
  const redis = new Redis(server.url)
  t.teardown(async () => redis.disconnect())
  await register(client, one, two)
  return { server, client, redis }
}

async function register(client: RegistryClient, ...members: readonly MemberRecord[]): Promise<void> {
  for (const member of members) await client.heartbeat(member, { leaseMs: LEASE_MS, first: true })
}

const claim = (client: RegistryClient, id: string, member = one, minEpoch = 1) =>
  client.claim({ id, agent: 'shell', minEpoch }, { member, settleMs: SETTLE_MS })
const reassign = (client: RegistryClient, id: string, epoch: number, member = two) =>
  client.reassign({ id, epoch }, { member, settleMs: SETTLE_MS })
const asserted = (id: string, epoch: number, createdAt: number): AssertedSession => {
  return { id, epoch, createdAt, agent: 'shell', state: 'active' }
}

void test('a heartbeat writes the whole record with the lease as its TTL', async t => {
  const { client, redis } = await setup(t)
  await redis.hset(keys.member('pod-1'), 'address', 'somewhere', 'leftover', 'x')
  const { status, existedBefore } = await client.heartbeat(one, { leaseMs: 5_000, first: false })
  t.same([status, existedBefore], ['ok', true])
  const fields = await redis.hgetall(keys.member('pod-1'))
  t.same(fields, { ...one, agents: '["shell"]', load: '0', pid: '1', capacity: '0' })
  const ttlMs = await redis.pttl(keys.member('pod-1'))
  t.ok(ttlMs > 4_000 && ttlMs <= 5_000, `${ttlMs}`)
  t.same((await redis.smembers(keys.members)).toSorted(), ['pod-1', 'pod-2'])
})

void test('a heartbeat brings a record back that expired or was flushed, and says so', async t => {
  const { client, redis } = await setup(t)
  await redis.flushall()
  const { existedBefore } = await client.heartbeat(one, { leaseMs: LEASE_MS, first: false })
  t.equal(existedBefore, false)
  t.equal(await redis.exists(keys.member('pod-1')), 1)
})

void test('a process that slept cannot take its lease back from the one that was started in its place', async t => {
  const { client } = await setup(t)
  const restarted = { ...one, bootId: 'second' }
  await register(client, restarted)
  const { status } = await client.heartbeat(one, { leaseMs: LEASE_MS, first: false })
  t.equal(status, 'superseded')
  const [reading] = await client.readMembers(['pod-1'])
  t.equal(reading?.record?.bootId, 'second')
})

void test('what an earlier boot owned is an orphan as soon as the next boot registers', async t => {
  const { client } = await setup(t)
  await claim(client, 's1')
  await register(client, { ...one, bootId: 'second' })
  t.same(await client.orphans(10), ['s1'])
  t.match(await client.readMembers(['pod-1']), [{ held: { count: 0 } }])
  t.equal((await client.lookup('s1')).owner, null)
})

void test('a lapse of its own lease does not make an orphan of what a member owns', async t => {
  const { client, redis } = await setup(t)
  await claim(client, 's1')
  await redis.del(keys.member('pod-1'))
  await client.heartbeat(one, { leaseMs: LEASE_MS, first: false })
  t.same(await client.orphans(10), [])
  t.match(await client.lookup('s1'), { owner: { id: 'pod-1' } })
})

void test('only a change is announced, not a heartbeat or a load', async t => {
  const { client, redis } = await setup(t)
  const before = await redis.get(keys.sequence)
  await client.heartbeat(one, { leaseMs: LEASE_MS, first: false })
  await client.heartbeat({ ...one, load: 5 }, { leaseMs: LEASE_MS, first: false })
  t.equal(await redis.get(keys.sequence), before)
  await client.heartbeat({ ...one, state: 'draining' }, { leaseMs: LEASE_MS, first: false })
  t.equal(Number(await redis.get(keys.sequence)), Number(before) + 1)
})

void test('a claim binds an id once', async t => {
  const { client } = await setup(t)
  t.match(await claim(client, 's1'), {
    status: 'ok',
    record: { owner: 'pod-1', bootId: one.bootId, epoch: 1, state: 'active' }
  })
  t.match(await claim(client, 's1', two), { status: 'taken', record: { owner: 'pod-1' } })
  t.match(await client.readMembers(['pod-1', 'pod-2']), [{ held: { count: 1 } }, { held: { count: 0 } }])
})

void test('a claim is refused for a member that is gone, was restarted, drains or is full', async t => {
  const { client } = await setup(t)
  const draining = memberRecord('pod-3', { state: 'draining' })
  const small = memberRecord('pod-4', { capacity: 1 })
  await register(client, draining, small)
  t.equal((await claim(client, 's1', { ...one, bootId: 'before' })).status, 'no-member')
  t.equal((await claim(client, 's1', memberRecord('pod-9'))).status, 'no-member')
  t.equal((await claim(client, 's1', draining)).status, 'no-member')
  t.equal((await claim(client, 's1', small)).status, 'ok')
  t.equal((await claim(client, 's2', small)).status, 'no-member')
})

void test('a claim begins at the epoch that a store demands', async t => {
  const { client } = await setup(t)
  t.match(await claim(client, 's1', one, 8), { record: { epoch: 8 } })
})

void test('a chosen id cannot be claimed, and nothing moves, while the data are too young to be known', async t => {
  const { client } = await setup(t, { settled: false })
  t.equal((await claim(client, 's1')).status, 'recovering')
  const random = await client.claim({ id: 's2', agent: 'shell' }, { member: one, settleMs: 0 })
  t.equal(random.status, 'ok', 'a random id cannot be taken')
  await client.endLease(one)
  t.equal((await reassign(client, 's2', 1)).status, 'recovering')
  await client.markSettled()
  t.equal((await claim(client, 's1', two)).status, 'ok')
  t.equal((await reassign(client, 's2', 1)).status, 'ok')
})

void test('an orphan is given away once per epoch', async t => {
  const { client } = await setup(t)
  await claim(client, 's1')
  t.equal((await reassign(client, 's1', 1)).status, 'owned', 'not while its owner lives')
  await client.endLease(one)
  t.match(await reassign(client, 's1', 1), {
    status: 'ok',
    record: { owner: 'pod-2', epoch: 2 },
    owner: { id: 'pod-2' }
  })
  t.match(await reassign(client, 's1', 1), { status: 'moved', record: { owner: 'pod-2', epoch: 2 } })
  t.equal((await reassign(client, 'unheard-of', 1)).status, 'unknown')
  t.match(await client.readMembers(['pod-1', 'pod-2']), [{ held: { count: 0 } }, { held: { count: 1 } }])
})

void test('a decision from an epoch that is over moves nothing, also where the owner since then is gone', async t => {
  const { client } = await setup(t)
  const three = memberRecord('pod-3')
  await register(client, three)
  await claim(client, 's1')
  await client.endLease(one)
  await reassign(client, 's1', 1)
  await client.endLease(two)
  t.match(await reassign(client, 's1', 1, three), {
    status: 'moved',
    record: { owner: 'pod-2', epoch: 2 },
    owner: null
  })
  t.match(await reassign(client, 's1', 2, three), { status: 'ok', record: { owner: 'pod-3', epoch: 3 } })
})

void test('a session is not given to a member that is gone', async t => {
  const { client } = await setup(t)
  await claim(client, 's1')
  await client.endLease(one)
  t.equal((await reassign(client, 's1', 1, { ...two, bootId: 'before' })).status, 'no-member')
  t.equal((await client.lookup('s1')).record?.epoch, 1)
})

void test('writes of an epoch that is over change nothing', async t => {
  const { client } = await setup(t)
  await claim(client, 's1')
  await client.endLease(one)
  await reassign(client, 's1', 1)
  const stale = { id: 's1', epoch: 1 }
  t.equal(await client.release(stale), 'moved')
  t.equal(await client.remove(stale), 'moved')
  t.equal(await client.setState(stale, 'suspended'), 'moved')
  t.match(await client.lookup('s1'), { record: { owner: 'pod-2', epoch: 2, state: 'active' } })
  t.equal(await client.setState({ id: 's1', epoch: 2 }, 'suspended'), 'ok')
  t.equal((await client.lookup('s1')).record?.state, 'suspended')
})

void test('a released session is an orphan at the same epoch', async t => {
  const { client } = await setup(t)
  await claim(client, 's1')
  t.equal(await client.release({ id: 's1', epoch: 1 }), 'ok')
  t.match(await client.lookup('s1'), { record: { owner: '', bootId: '', epoch: 1 }, owner: null })
  t.same(await client.orphans(10), ['s1'])
  t.match(await reassign(client, 's1', 1), { status: 'ok', record: { epoch: 2 } })
  t.same(await client.orphans(10), [])
})

void test('a removed session leaves nothing but the memory of its epoch', async t => {
  const { client, redis } = await setup(t)
  await claim(client, 's1', one, 4)
  t.equal(await client.remove({ id: 's1', epoch: 4 }), 'ok')
  t.equal((await client.lookup('s1')).record, null)
  t.equal(await client.remove({ id: 's1', epoch: 4 }), 'unknown')
  t.match(await client.readMembers(['pod-1']), [{ held: { count: 0 } }])
  t.ok((await redis.pttl(keys.gone('s1'))) > 0)
  t.match(await claim(client, 's1', two), { status: 'ok', record: { epoch: 5 } }, 'the epoch never goes back')
})

void test('a removal that means another session of the same id does nothing', async t => {
  const { client } = await setup(t)
  const reply = await claim(client, 's1')
  const createdAt = 'record' in reply ? reply.record.createdAt : 0
  t.equal(await client.remove({ id: 's1', epoch: 1, createdAt: createdAt - 1 }), 'moved')
  t.equal(await client.remove({ id: 's1', epoch: 1, createdAt }), 'ok')
})

void test('a member that asserts its sessions gets back what was lost and keeps what it has', async t => {
  const { client, redis } = await setup(t)
  const reply = await claim(client, 's1')
  const createdAt = 'record' in reply ? reply.record.createdAt : 0
  const verdicts = await client.assert([asserted('s1', 1, createdAt), asserted('s2', 3, 17)], one)
  t.same(
    [...(verdicts ?? [])],
    [
      ['s1', 'ok'],
      ['s2', 'restored']
    ]
  )
  t.match(await client.lookup('s2'), { record: { owner: 'pod-1', epoch: 3, createdAt: 17 }, owner: { id: 'pod-1' } })
  await redis.flushall()
  await register(client, one)
  const again = await client.assert([asserted('s1', 1, createdAt), asserted('s2', 3, 17)], one)
  t.same(
    [...(again ?? [])],
    [
      ['s1', 'restored'],
      ['s2', 'restored']
    ]
  )
  t.match(await client.readMembers(['pod-1']), [{ held: { count: 2 } }])
})

void test('of two members that assert the same session the one with the higher epoch wins, in either order', async t => {
  for (const order of [
    [one, two],
    [two, one]
  ]) {
    const { client } = await setup(t)
    for (const member of order) await client.assert([asserted('s1', member === one ? 4 : 5, 17)], member)
    t.match(await client.lookup('s1'), { record: { owner: 'pod-2', epoch: 5 } })
    t.match(await client.readMembers(['pod-1', 'pod-2']), [{ held: { count: 0 } }, { held: { count: 1 } }])
  }
})

void test('a member that slept loses what was moved, and what was removed, and what was made anew', async t => {
  const { client } = await setup(t)
  const made = new Map<string, number>()
  for (const id of ['moved', 'removed', 'anew']) {
    const reply = await claim(client, id)
    made.set(id, 'record' in reply ? reply.record.createdAt : 0)
  }
  await client.endLease(one)
  for (const id of made.keys()) await reassign(client, id, 1)
  await client.remove({ id: 'removed', epoch: 2 })
  await client.remove({ id: 'anew', epoch: 2 })
  await claim(client, 'anew', two)
  await client.heartbeat(one, { leaseMs: LEASE_MS, first: false })
  const sessions = [...made].map(([id, createdAt]) => asserted(id, 1, createdAt))
  // Even a wrong epoch cannot bring back a session that was removed.
  const insisting = [...made].map(([id, createdAt]) => asserted(id, 9, createdAt)).slice(1)
  t.same([...((await client.assert(sessions, one))?.values() ?? [])], ['lost', 'lost', 'lost'])
  t.same([...((await client.assert(insisting, one))?.values() ?? [])], ['lost', 'lost'])
  t.equal((await client.lookup('removed')).record, null)
  t.match((await client.lookup('anew')).record, { owner: 'pod-2', epoch: 3 })
})

void test('nothing can be asserted without a lease', async t => {
  const { client } = await setup(t)
  t.equal(await client.assert([asserted('s1', 1, 17)], { ...one, bootId: 'before' }), null)
  t.equal((await client.lookup('s1')).record, null)
})

void test('a lease is ended only by the boot that holds it', async t => {
  const { client } = await setup(t)
  await claim(client, 's1')
  t.equal(await client.endLease({ ...one, bootId: 'before' }), false)
  t.equal(await client.endLease(one), true)
  t.equal(await client.endLease(one), false)
  t.same((await client.overview()).memberIds.toSorted(), ['pod-1', 'pod-2'], 'listed until its sessions are moved')
  t.equal(await client.collect('pod-2', 10), -1, 'nothing is taken from the living')
  t.equal(await client.collect('pod-1', 10), 1)
  t.same((await client.overview()).memberIds, ['pod-2'])
})

void test('a new generation begins with a flush and with a restart, and with nothing else', async t => {
  const { client, redis, server } = await setup(t)
  const first = (await client.overview()).generation
  t.ok(first.ageMs > SETTLE_MS, 'settled')
  t.same((await client.heartbeat(one, { leaseMs: LEASE_MS, first: false })).generation.id, first.id)
  await redis.flushall()
  t.same((await client.lookup('s1')).generation, { id: '', ageMs: 0 })
  const second = (await client.overview()).generation
  t.not(second.id, first.id)
  t.ok(second.ageMs < SETTLE_MS)
  // The same data in another process, as after a restart or a failover that lost the latest writes.
  const [dump, sequence] = [await redis.hgetall(keys.generation), await redis.get(keys.sequence)]
  await server.restart()
  await client.start()
  const fresh = new Redis(server.url)
  t.teardown(async () => fresh.disconnect())
  await fresh.hset(keys.generation, dump)
  await fresh.set(keys.sequence, sequence ?? '0')
  const third = await retry(async () => (await client.overview()).generation)
  t.not(third.id, second.id)
})

async function retry<T>(work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof RegistryUnavailableError)) throw error
      await new Promise(resolve => setTimeout(resolve, 20))
    }
  }
}

void test('a member of another library is a live owner', async t => {
  const { client, redis } = await setup(t)
  await redis.hset(keys.member('foreign'), 'address', '10.0.0.1:80', 'load', '0')
  await redis.sadd(keys.members, 'foreign')
  const [reading] = await client.readMembers(['foreign'])
  t.match(reading?.record, { id: 'foreign', bootId: '', agents: [] })
  t.equal((await claim(client, 's1', memberRecord('foreign', { bootId: '' }))).status, 'ok')
  t.match(await client.lookup('s1'), { owner: { id: 'foreign', address: '10.0.0.1:80' } })
})

void test('a record that somebody spoiled is an unavailable registry, not a missing session', async t => {
  const { client, redis } = await setup(t)
  await redis.hset(keys.session('bad'), 'owner', 'pod-1', 'epoch', 'many')
  await redis.set(keys.session('worse'), 'text')
  await t.rejects(client.lookup('bad'), RegistryUnavailableError)
  await t.rejects(client.lookup('worse'), RegistryUnavailableError)
  await redis.hset(keys.member('pod-1'), 'state', 'asleep')
  t.match(await client.readMembers(['pod-1']), [{ record: null, problem: /state/ }])
})

void test('one key of a wrong type hides no other member', async t => {
  const { client, redis } = await setup(t)
  await redis.set(keys.member('odd'), 'text')
  await redis.set(keys.owned('odd'), 'text')
  t.match(await client.readMembers(['odd', 'pod-1']), [
    { id: 'odd', record: null, problem: /./, held: { count: 0 } },
    { id: 'pod-1', record: { id: 'pod-1' }, problem: null }
  ])
})

void test('while Redis is away every call fails at once', async t => {
  const { client, server } = await setup(t)
  await server.kill()
  await new Promise<void>(resolve => (client.up ? client.once('down', resolve) : resolve()))
  const startedAtMs = performance.now()
  await t.rejects(client.lookup('s1'), RegistryUnavailableError)
  await t.rejects(client.overview(), RegistryUnavailableError)
  await t.rejects(client.scanOwned(null, { cursor: '0', limit: 1 }), RegistryUnavailableError)
  t.ok(performance.now() - startedAtMs < 200)
  await server.start()
  await new Promise<void>(resolve => (client.up ? resolve() : client.once('up', resolve)))
  t.same((await client.overview()).memberIds, [])
})

void test('while Redis is frozen a call fails within its timeout, the next ones at once', async t => {
  const { server } = await setup(t)
  const client = await connectClient(t, server.url, 200)
  server.pause()
  const startedAtMs = performance.now()
  await t.rejects(client.lookup('s1'), RegistryUnavailableError)
  const waitedMs = performance.now() - startedAtMs
  t.ok(waitedMs >= 190 && waitedMs < 900, `${waitedMs}`)
  const againAtMs = performance.now()
  await t.rejects(client.lookup('s1'), RegistryUnavailableError)
  t.ok(performance.now() - againAtMs < 100)
  server.resume()
  await new Promise<void>(resolve => (client.up ? resolve() : client.once('up', resolve)))
  t.equal((await client.lookup('s1')).record, null)
})

void test('a client of a Redis that is not there starts all the same, and closes', async t => {
  const client = new RegistryClient({ url: 'redis://127.0.0.1:1', prefix: PREFIX, commandTimeoutMs: 200 })
  await client.start()
  await t.rejects(client.overview(), RegistryUnavailableError)
  await client.close()
  await client.close()
})

void test('a cluster is refused a prefix without a hash tag', async t => {
  const options = { url: 'redis+cluster://127.0.0.1:1', prefix: 'fairlead' }
  t.throws(() => new RegistryClient(options), RegistryUnavailableError)
})
