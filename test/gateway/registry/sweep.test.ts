import { test } from 'tap'
import { MemberTable } from '../../../gateway/registry/member-table.ts'
import { Sweep } from '../../../gateway/registry/sweep.ts'
import { Trust } from '../../../gateway/registry/trust.ts'
import { NoMemberError } from '../../../gateway/registry/errors.ts'
import {
  connectClient,
  idleUpstream,
  memberRecord,
  silentLog,
  startRegistry,
  until
} from '../../fixtures/registry-harness.ts'
import { startRedis } from '../../fixtures/redis-server.ts'
import type { OrphanedSession } from '../../../gateway/registry/sweep.ts'
import type { RegistryClient } from '../../../lib/registry-client.ts'
import type { Teardown } from '../../fixtures/redis-server.ts'

const alive = memberRecord('pod-1')
const dead = memberRecord('pod-2')
const LEASE = { leaseMs: 60_000, first: true }

/** A dead member with that many sessions, beside one that lives. */
async function setup(t: Teardown, count: number) {
  const server = await startRedis(t)
  const client = await connectClient(t, server.url)
  for (const member of [alive, dead]) await client.heartbeat(member, LEASE)
  const ids = Array.from({ length: count }, (_, n) => `s${n}`)
  await Promise.all(ids.map(id => client.claim({ id, agent: 'shell' }, { member: dead, settleMs: 0 })))
  await client.endLease(dead)
  return { url: server.url, client, ids }
}

async function makeSweep(
  t: Teardown,
  client: RegistryClient,
  reassign: (session: OrphanedSession) => Promise<unknown>
) {
  const trust = new Trust({ heartbeatMs: 100, marginMs: 100 })
  trust.note({ id: 'a', ageMs: 10_000 })
  const members = new MemberTable({ allowLoopbackMembers: true, makeUpstream: idleUpstream, log: silentLog })
  members.apply(await client.readMembers(['pod-1', 'pod-2']), { startedAtMs: 0, believeMissing: true })
  const sweep = new Sweep({ client, members, trust, reassign, intervalMs: 60_000, log: silentLog })
  t.teardown(async () => sweep.close())
  return { sweep, trust, members }
}

void test('a step is bounded, and steps come to an end', async t => {
  const { client } = await setup(t, 300)
  const batches: number[] = []
  let moved = 0
  const move = async ({ id, epoch }: OrphanedSession): Promise<void> => {
    moved++
    await client.reassign({ id, epoch }, { member: alive, settleMs: 0 })
  }
  const { sweep, members } = await makeSweep(t, client, move)
  t.same(members.leaseless, ['pod-2'])
  for (let n = 0; n < 4; n++) batches.push(await sweep.step())
  t.same(batches, [128, 128, 44, 0])
  t.equal(moved, 300)
  t.match(await client.readMembers(['pod-1', 'pod-2']), [{ held: { count: 300 } }, { held: { count: 0 } }])
  t.same((await client.overview()).memberIds, ['pod-1'], 'the dead member is forgotten')
})

void test('nothing is swept while leases are doubted', async t => {
  const { client } = await setup(t, 10)
  const { sweep, trust } = await makeSweep(t, client, async () => t.fail('moved'))
  trust.beginOutage()
  t.equal(await sweep.step(), 0)
  t.same(await client.orphans(10), [])
})

void test('where no member takes the orphans they stay, and the sweep is in no hurry', async t => {
  const { client } = await setup(t, 200)
  const { sweep } = await makeSweep(t, client, async () => {
    throw new NoMemberError('shell')
  })
  t.equal(await sweep.step(), 0)
  t.equal((await client.orphans(200)).length, 128)
})

void test('an orphan without a record is struck off', async t => {
  const { url, client, ids } = await setup(t, 3)
  const registry = await startRegistry(t, url, { sweepIntervalMs: 10 })
  for (const id of ids) await client.remove({ id, epoch: 1 })
  await until(async () => (await client.orphans(10)).length === 0, 'none is left')
  t.equal((await registry.listSessions()).sessions.length, 0)
})

void test('several gateways together empty a dead member, each session once', async t => {
  const { url, client, ids } = await setup(t, 1_000)
  const gateways = Array.from({ length: 4 }, () => startRegistry(t, url, { sweepIntervalMs: 20 }))
  await Promise.all(gateways)
  await until(async () => (await client.readMembers(['pod-1']))[0]?.held.count === 1_000, 'all are moved')
  const records = await client.readSessions(ids)
  t.equal(records.filter(({ owner, epoch }) => owner === 'pod-1' && epoch === 2).length, 1_000)
  t.same((await client.overview()).memberIds, ['pod-1'])
})
