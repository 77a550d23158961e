import { Redis } from 'ioredis'
import { test } from 'tap'
import { registryKeys } from '../../../lib/registry-schema.ts'
import { NoMemberError, SessionGoneError, SessionTakenError } from '../../../gateway/registry/errors.ts'
import { PREFIX, connectClient, memberRecord, startPod, startRegistry, until } from '../../fixtures/registry-harness.ts'
import { startRedis } from '../../fixtures/redis-server.ts'
import type { Registry, SessionEntry } from '../../../gateway/registry/registry.ts'
import type { SessionRecord } from '../../../lib/registry-schema.ts'
import type { Teardown } from '../../fixtures/redis-server.ts'

const keys = registryKeys(PREFIX)
const LONG_LEASE = { leaseMs: 60_000, first: true }

/** A Redis, a client, and that many members `pod-1`, `pod-2` ... that never have to renew their leases. */
async function setup(t: Teardown, count: number) {
  const server = await startRedis(t)
  const client = await connectClient(t, server.url)
  for (let n = 1; n <= count; n++) await client.heartbeat(memberRecord(`pod-${n}`), LONG_LEASE)
  const redis = new Redis(server.url)
  t.teardown(async () => redis.disconnect())
  return { url: server.url, server, client, redis }
}

async function findOwned(registry: Registry, id: string): Promise<SessionEntry> {
  const found = await registry.find(id)
  if (found?.kind !== 'owned') throw new Error(`${id} has no live owner`)
  return found
}

async function findOrphan(registry: Registry, id: string): Promise<SessionRecord> {
  const found = await registry.find(id)
  if (found?.kind !== 'orphan') throw new Error(`${id} is no orphan`)
  return found.record
}

void test('a session that was placed is found by every gateway, and costs the one that knows it no round trip', async t => {
  const { url, server } = await setup(t, 1)
  const [a, b] = [await startRegistry(t, url), await startRegistry(t, url)]
  const placed = await a.place('shell', 's1')
  t.match(placed, { kind: 'owned', record: { id: 's1', epoch: 1, owner: 'pod-1' }, member: { id: 'pod-1' } })
  t.equal(a.cached('s1'), placed)
  t.equal(b.cached('s1'), undefined)
  const found = await findOwned(b, 's1')
  t.equal(found.route.addedFields, 'X-Fairlead-Session: s1\r\nX-Fairlead-Epoch: 1\r\n')
  t.equal(b.cached('s1'), found)
  await server.kill()
  t.equal(await b.find('s1'), found)
})

void test('a session that Redis does not know is unknown', async t => {
  const { url } = await setup(t, 1)
  const registry = await startRegistry(t, url)
  t.equal(await registry.find('nobody'), null)
  t.equal(await registry.inspect('nobody'), null)
})

void test('many lookups of one session at a time are one round trip', async t => {
  const { url, redis, client } = await setup(t, 1)
  const registry = await startRegistry(t, url, { memberRefreshMs: 60_000 })
  await client.claim({ id: 's1', agent: 'shell' }, { member: memberRecord('pod-1'), settleMs: 0 })
  const calls = async (): Promise<number> => {
    const stats = await redis.info('commandstats')
    return Number(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1] ?? '0')
  }
  await registry.find('warm-up')
  const before = await calls()
  const found = await Promise.all(Array.from({ length: 100 }, () => registry.find('s1')))
  t.equal((await calls()) - before, 1)
  t.equal(new Set(found).size, 1)
})

void test('an id that is taken is refused, with its owner left alone', async t => {
  const { url } = await setup(t, 2)
  const [a, b] = [await startRegistry(t, url), await startRegistry(t, url)]
  await a.place('shell', 's1')
  await t.rejects(b.place('shell', 's1'), SessionTakenError)
  const results = await Promise.allSettled([a, b, a, b].map(registry => registry.place('shell', 's2')))
  t.equal(results.filter(({ status }) => status === 'fulfilled').length, 1)
})

void test('a session that could not be made leaves nothing behind', async t => {
  const { url, redis } = await setup(t, 1)
  const registry = await startRegistry(t, url)
  const entry = await registry.place('shell', 's1')
  await registry.unplace(entry)
  t.equal(registry.cached('s1'), undefined)
  t.equal(await registry.find('s1'), null)
  t.equal(await redis.scard(keys.owned('pod-1')), 0)
})

void test('a session begins at the epoch that a store demands', async t => {
  const { url } = await setup(t, 1)
  const registry = await startRegistry(t, url)
  t.equal((await registry.place('shell', 's1', { minEpoch: 6 })).record.epoch, 6)
})

void test('only members that serve the agent, are ready and have room get a session', async t => {
  const { url, client } = await setup(t, 0)
  await client.heartbeat(memberRecord('draining', { state: 'draining' }), LONG_LEASE)
  await client.heartbeat(memberRecord('other', { agents: ['other'] }), LONG_LEASE)
  await client.heartbeat(memberRecord('small', { capacity: 2 }), LONG_LEASE)
  await client.heartbeat(memberRecord('bad', { address: '169.254.169.254:80' }), LONG_LEASE)
  const registry = await startRegistry(t, url)
  t.same(
    registry.members().map(({ id }) => id),
    ['draining', 'other', 'small']
  )
  const results = await Promise.allSettled(Array.from({ length: 5 }, () => registry.place('shell')))
  const placed = results.flatMap(result => (result.status === 'fulfilled' ? [result.value.member.id] : []))
  t.same(placed, ['small', 'small'])
  await t.rejects(registry.place('shell'), NoMemberError)
  t.equal((await registry.place('other')).member.id, 'other')
})

void test('a member with an address that must not be dialled is not dialled for its sessions either', async t => {
  const { url, client } = await setup(t, 1)
  const bad = memberRecord('bad', { address: '[::ffff:169.254.169.254]:80' })
  await client.heartbeat(bad, LONG_LEASE)
  await client.claim({ id: 's1', agent: 'shell' }, { member: bad, settleMs: 0 })
  const registry = await startRegistry(t, url)
  await t.rejects(registry.find('s1'), { code: 'registry-unavailable', message: /address/ })
})

for (const allocation of ['round-robin', 'least-loaded'] as const) {
  void test(`${allocation}: 1,000 creates over 4 equal members are 250 each, whatever happens in between`, async t => {
    const { url, client } = await setup(t, 4)
    const registry = await startRegistry(t, url, { allocation, memberRefreshMs: 20 })
    const gone = memberRecord('pod-9')
    await client.heartbeat(gone, LONG_LEASE)
    for (let n = 0; n < 100; n++) await client.claim({ id: `o${n}`, agent: 'shell' }, { member: gone, settleMs: 0 })
    await client.endLease(gone)
    await until(() => registry.members().length === 4, 'the fifth member is gone')
    const counts = new Map<string, number>()
    for (let n = 0; n < 1_000; n++) {
      const { member, record } = await registry.place('shell')
      counts.set(member.id, (counts.get(member.id) ?? 0) + 1)
      await Promise.all([
        registry.find(record.id),
        registry.find(`nobody-${n}`),
        registry.place('nothing').catch(() => null)
      ])
      if (n % 3 === 2 && n < 300 && allocation === 'round-robin')
        await registry.reassign(await findOrphan(registry, `o${(n - 2) / 3}`))
      registry.members()
      if (n % 7 === 0) await registry.inspect(record.id)
    }
    t.same([...counts.values()], [250, 250, 250, 250])
  })

  void test(`${allocation}: 1,000 creates at once over 4 equal members are 250 each`, async t => {
    const { url } = await setup(t, 4)
    const registry = await startRegistry(t, url, { allocation, memberRefreshMs: 20 })
    const placed = await Promise.all(Array.from({ length: 1_000 }, () => registry.place('shell')))
    const counts = Map.groupBy(placed, ({ member }) => member.id)
    t.same(
      [...counts.values()].map(({ length }) => length),
      [250, 250, 250, 250]
    )
    await until(
      () => registry.members().every(({ sessions, reserved }) => sessions === 250 && reserved === 0),
      'exact counts'
    )
  })
}

void test('least-loaded fills up the emptiest first, also where all come at once', async t => {
  const { url, client } = await setup(t, 3)
  for (const [owner, count] of [
    ['pod-1', 30],
    ['pod-2', 10]
  ] as const) {
    const member = memberRecord(owner)
    for (let n = 0; n < count; n++) await client.claim({ id: `${owner}-${n}`, agent: 'shell' }, { member, settleMs: 0 })
  }
  const registry = await startRegistry(t, url, { allocation: 'least-loaded' })
  await Promise.all(Array.from({ length: 50 }, () => registry.place('shell')))
  t.same(
    registry.members().map(({ sessions }) => sessions),
    [30, 30, 30]
  )
})

void test('random gives every member its share', async t => {
  const { url } = await setup(t, 4)
  const registry = await startRegistry(t, url, { allocation: 'random' })
  const placed = await Promise.all(Array.from({ length: 1_000 }, () => registry.place('shell')))
  const counts = Map.groupBy(placed, ({ member }) => member.id)
  t.equal(counts.size, 4)
  for (const { length } of counts.values()) t.ok(length > 170 && length < 330, `${length} of 250`)
})

void test('many gateways race for 200 orphans: each gets one owner at one epoch, and all gateways agree', async t => {
  const { url, client } = await setup(t, 5)
  const dead = memberRecord('dead')
  await client.heartbeat(dead, LONG_LEASE)
  const ids = Array.from({ length: 200 }, (_, n) => `s${n}`)
  await Promise.all(ids.map(id => client.claim({ id, agent: 'shell' }, { member: dead, settleMs: 0 })))
  await client.endLease(dead)
  const registries = await Promise.all(
    Array.from({ length: 8 }, () => startRegistry(t, url, { allocation: 'random', sweepIntervalMs: 1 }))
  )
  const work = registries.flatMap(registry =>
    ids.map(async id => {
      const found = await registry.find(id)
      if (found === null) throw new Error(`${id} vanished`)
      return found.kind === 'owned' ? found : await registry.reassign(found.record)
    })
  )
  const entries = await Promise.all(work)
  const owners = Map.groupBy(entries, ({ record }) => record.id)
  t.equal(owners.size, 200)
  for (const [id, seen] of owners) {
    const { record } = await client.lookup(id)
    t.equal(record?.epoch, 2, id)
    const verdicts = new Set(seen.map(entry => `${entry.record.owner} ${entry.record.epoch}`))
    if (verdicts.size !== 1 || !verdicts.has(`${record?.owner} 2`)) t.fail(`${id}: ${[...verdicts].join(', ')}`)
  }
  const [first] = registries
  await until(async () => (await client.orphans(10)).length === 0, 'no orphan is left')
  await until(
    () => (first?.members() ?? []).reduce((sum, { sessions }) => sum + sessions, 0) === 200,
    'the indexes add up'
  )
})

void test('an orphan that somebody else has moved is followed, also where that owner died too', async t => {
  const { url, client } = await setup(t, 3)
  const registry = await startRegistry(t, url)
  await client.claim({ id: 's1', agent: 'shell' }, { member: memberRecord('pod-1'), settleMs: 0 })
  await client.endLease(memberRecord('pod-1'))
  const record = await findOrphan(registry, 's1')
  await client.reassign({ id: 's1', epoch: 1 }, { member: memberRecord('pod-2'), settleMs: 0 })
  t.match(await registry.reassign(record), { record: { owner: 'pod-2', epoch: 2 } })
  await client.endLease(memberRecord('pod-2'))
  t.match(await registry.reassign(record), { record: { owner: 'pod-3', epoch: 3 } })
  await client.remove({ id: 's1', epoch: 3 })
  await client.endLease(memberRecord('pod-3'))
  await client.heartbeat(memberRecord('pod-4'), LONG_LEASE)
  await until(() => registry.members().some(({ id }) => id === 'pod-4'), 'a fourth member')
  await t.rejects(registry.reassign(record), SessionGoneError)
})

void test('the feed brings a new owner to every gateway that knows the session, and to no other', async t => {
  const { url, client } = await setup(t, 2)
  const [knows, other] = [await startRegistry(t, url), await startRegistry(t, url)]
  await knows.place('shell', 's1')
  await client.endLease(memberRecord('pod-1'))
  await client.reassign({ id: 's1', epoch: 1 }, { member: memberRecord('pod-2'), settleMs: 0 })
  await until(() => knows.cached('s1')?.record.epoch === 2, 'the new owner is known')
  t.equal(knows.cached('s1')?.member.id, 'pod-2')
  t.equal(other.cachedRoutes, 0)
  await client.remove({ id: 's1', epoch: 2 })
  await until(() => knows.cached('s1') === undefined, 'its removal is known')
  t.equal(await knows.find('s1'), null)
})

void test('a released session is an orphan for every gateway that knew it', async t => {
  const { url, client } = await setup(t, 2)
  const registry = await startRegistry(t, url)
  await registry.place('shell', 's1')
  await client.release({ id: 's1', epoch: 1 })
  await until(() => registry.cached('s1') === undefined, 'the release is known')
  const moved = await registry.reassign(await findOrphan(registry, 's1'))
  t.equal(moved.record.epoch, 2)
})

void test('a late event about the old owner neither deletes nor overwrites the new route', async t => {
  const { url, client, redis } = await setup(t, 3)
  const registry = await startRegistry(t, url, { memberRefreshMs: 60_000 })
  await registry.place('shell', 's1')
  const old = await client.lookup('s1')
  await client.endLease(memberRecord('pod-1'))
  await until(() => registry.cached('s1') === undefined, 'the end of pod-1 is known')
  const moved = await registry.reassign(await findOrphan(registry, 's1'))
  await client.heartbeat(memberRecord('pod-1', { bootId: 'again' }), LONG_LEASE)
  await until(() => registry.members().length === 3, 'pod-1 is back')
  const fields = Object.fromEntries(Object.entries({ ...old.record, held: 0, at: 1 }).map(([k, v]) => [k, String(v)]))
  const late = [
    { ...fields, t: 'session', owner: 'pod-3', bootId: 'boot-pod-3' },
    { ...fields, t: 'session', owner: 'pod-unknown' },
    { ...fields, t: 'session', owner: '', bootId: '' },
    { t: 'session-gone', id: 's1', epoch: '1' },
    { t: 'member-gone', id: moved.member.id, bootId: 'an-earlier-boot' },
    { t: 'member-gone', id: 'pod-1', bootId: 'boot-pod-1' }
  ]
  for (const message of late) {
    const n = String(await redis.incr(keys.sequence))
    await redis.publish(keys.changes, JSON.stringify({ ...message, n }))
  }
  // The last message comes after all the others.
  const n = String(await redis.incr(keys.sequence))
  await redis.publish(keys.changes, JSON.stringify({ t: 'member-gone', id: 'pod-1', bootId: 'again', n }))
  await until(() => registry.members().length === 2, 'the last message arrived')
  t.equal(registry.cached('s1'), moved)
})

void test('messages that are not ours do no harm', async t => {
  const { url, redis, client } = await setup(t, 2)
  const registry = await startRegistry(t, url)
  const entry = await registry.place('shell', 's1')
  for (const message of ['', 'null', '{"t":"session-gone","id":"s1","epoch":"9"}', '[1]', '\u0000']) {
    await redis.publish(keys.changes, message)
  }
  await client.endLease(memberRecord('pod-2'))
  await until(() => registry.members().length === 1, 'a message of ours arrived after them')
  t.equal(registry.cached('s1'), entry)
})

void test('a route that a pod refused is forgotten only if it is still that one', async t => {
  const { url } = await setup(t, 1)
  const registry = await startRegistry(t, url)
  const entry = await registry.place('shell', 's1', { minEpoch: 3 })
  registry.forget('s1', 2)
  t.equal(registry.cached('s1'), entry)
  registry.forget('s1', 3)
  t.equal(registry.cached('s1'), undefined)
  registry.forget('s1', 3)
})

void test('a member that was proved dead loses its lease at once, and only that boot of it', async t => {
  const { url, client } = await setup(t, 2)
  const [a, b] = [await startRegistry(t, url), await startRegistry(t, url)]
  const entry = await a.place('shell', 's1')
  await findOwned(b, 's1')
  t.equal(await a.revoke(entry.member), true)
  t.equal(a.cached('s1'), undefined)
  await until(() => b.cached('s1') === undefined, 'the other gateway knows')
  t.equal((await a.reassign(await findOrphan(a, 's1'))).member.id, 'pod-2')
  await client.heartbeat(memberRecord('pod-1', { bootId: 'again' }), LONG_LEASE)
  t.equal(await a.revoke(entry.member), false)
  t.equal((await client.readMembers(['pod-1']))[0]?.record?.bootId, 'again')
})

void test('a lease that lapses makes orphans without any announcement', async t => {
  const { url } = await setup(t, 1)
  const registry = await startRegistry(t, url)
  const pod = await startPod(t, url, { id: 'mortal', leaseMs: 400, fields: { agents: ['mortal'] } })
  await until(() => registry.members().length === 2, 'the pod is known')
  const { record } = await registry.place('mortal', 's1')
  t.equal(record.owner, 'mortal')
  await pod.die()
  await until(() => registry.cached('s1') === undefined, 'its lease lapsed')
  t.equal((await findOrphan(registry, 's1')).owner, 'mortal')
  t.match(await registry.inspect('s1'), { ownerLive: false, leaseLeftMs: 0, member: null })
})

void test('a session is explained: owner, epoch, lease left', async t => {
  const { url } = await setup(t, 1)
  const registry = await startRegistry(t, url)
  await registry.place('shell', 's1')
  const inspection = await registry.inspect('s1')
  t.match(inspection, {
    ownerLive: true,
    record: { id: 's1', epoch: 1 },
    member: { id: 'pod-1', pid: 1, address: '127.0.0.1:9' }
  })
  t.ok((inspection?.leaseLeftMs ?? 0) > 50_000)
})

void test('all sessions are listed, page by page, each once', async t => {
  const { url, client } = await setup(t, 3)
  const registry = await startRegistry(t, url)
  const placed = await Promise.all(Array.from({ length: 700 }, () => registry.place('shell')))
  for (const { record } of placed.slice(0, 20)) await client.release(record)
  const seen: string[] = []
  let cursor: string | undefined
  let pages = 0
  do {
    const page = await registry.listSessions({ limit: 100, ...(cursor === undefined ? {} : { cursor }) })
    seen.push(...page.sessions.map(({ id }) => id))
    cursor = page.cursor ?? undefined
    pages++
  } while (cursor !== undefined)
  t.ok(pages >= 3, `${pages} pages`)
  t.same([...new Set(seen)].toSorted(), placed.map(({ record }) => record.id).toSorted())
  t.equal((await registry.listSessions({ cursor: 'nonsense', limit: 1 })).sessions.length > 0, true)
})

void test('the table is bounded', async t => {
  const { url } = await setup(t, 1)
  const registry = await startRegistry(t, url, { maxRoutes: 10 })
  const placed = await Promise.all(Array.from({ length: 50 }, () => registry.place('shell')))
  t.equal(registry.cachedRoutes, 10)
  for (const { record } of placed) t.equal((await findOwned(registry, record.id)).record.epoch, 1)
})

void test('closing twice does no harm, and nothing is left that runs', async t => {
  const { url } = await setup(t, 1)
  const registry = await startRegistry(t, url)
  await registry.close()
  await registry.close()
  await t.rejects(registry.find('s1'), { code: 'registry-unavailable' })
})
