import { test } from 'tap'
import { MemberTable } from '../../../gateway/registry/member-table.ts'
import { idleUpstream, memberRecord, silentLog } from '../../fixtures/registry-harness.ts'
import type { MemberReading } from '../../../lib/registry-client.ts'

function table(allowLoopbackMembers = true): MemberTable {
  return new MemberTable({ allowLoopbackMembers, makeUpstream: idleUpstream, log: silentLog })
}

const missing = (id: string): MemberReading => ({ id, record: null, problem: null, held: { count: 1, atUs: 1 } })
const later = (): number => performance.now() + 1

void test('members are listed in the order of their ids', async t => {
  const members = table()
  for (const id of ['pod-2', 'pod-1', 'pod-3']) members.learn(memberRecord(id))
  t.same(
    members.list().map(({ id }) => id),
    ['pod-1', 'pod-2', 'pod-3']
  )
})

void test('another boot of a member retires the one before and closes its connections', async t => {
  const members = table()
  const first = members.learn(memberRecord('pod-1', { bootId: 'a' }))
  const second = members.learn(memberRecord('pod-1', { bootId: 'b' }))
  t.match(first, { live: false, upstream: { closed: true } })
  t.match(second, { live: true, upstream: { closed: false } })
  t.equal(members.list().length, 1)
})

void test('the late end of an earlier boot does not touch the later one', async t => {
  const members = table()
  members.learn(memberRecord('pod-1', { bootId: 'a' }))
  const second = members.learn(memberRecord('pod-1', { bootId: 'b' }))
  members.end({ id: 'pod-1', bootId: 'a' })
  t.equal(second?.live, true)
  t.ok(members.hasEnded({ id: 'pod-1', bootId: 'a' }))
  t.notOk(members.hasEnded({ id: 'pod-1', bootId: 'b' }))
})

void test('a member without a lease is retired where that is to be believed, and kept where not', async t => {
  const members = table()
  const entry = members.learn(memberRecord('pod-1'))
  members.apply([missing('pod-1')], { startedAtMs: later(), believeMissing: false })
  t.equal(entry?.live, true)
  t.same(members.leaseless, [])
  members.apply([missing('pod-1')], { startedAtMs: later(), believeMissing: true })
  t.equal(entry?.live, false)
  t.same(members.leaseless, ['pod-1'])
})

void test('a member that registered while members were read is not retired for not being among them', async t => {
  const members = table()
  const startedAtMs = performance.now() - 1
  const entry = members.learn(memberRecord('pod-1'))
  members.apply([], { startedAtMs, believeMissing: true })
  t.equal(entry?.live, true)
})

void test('a member whose address must not be dialled is no member', async t => {
  for (const address of ['169.254.169.254:80', 'http://:5007', '127.0.0.1:80']) {
    const members = table(false)
    t.equal(members.learn(memberRecord('pod-1', { address })), null, address)
    t.same(members.list(), [])
  }
  t.ok(table(false).learn(memberRecord('pod-1', { address: '10.0.0.1:80' })))
})

void test('an invalid record neither enters the table nor counts as a missing lease', async t => {
  const members = table()
  const reading: MemberReading = { id: 'pod-1', record: null, problem: 'bad', held: { count: 0, atUs: 1 } }
  members.apply([reading], { startedAtMs: later(), believeMissing: true })
  t.same(members.list(), [])
  t.same(members.leaseless, [])
})

void test('a member takes sessions of the agents it serves while it is ready and not full', async t => {
  const members = table()
  const entry = members.learn(memberRecord('pod-1', { agents: ['shell'], capacity: 2 }))
  t.equal(entry?.takes('shell'), true)
  t.equal(entry?.takes('other'), false)
  entry?.count({ count: 1, atUs: 1 })
  t.equal(entry?.takes('shell'), true)
  if (entry !== null) entry.reserved = 1
  t.equal(entry?.takes('shell'), false, 'full with what is on its way')
  const draining = members.learn(memberRecord('pod-2', { state: 'draining' }))
  t.equal(draining?.takes('shell'), false)
  t.equal(members.learn(memberRecord('pod-3', { agents: [] }))?.takes('any'), true)
})

void test('of two counts the later one by the clock of Redis is right, in whichever order they come', async t => {
  const entry = table().learn(memberRecord('pod-1'))
  entry?.count({ count: 5, atUs: 20 })
  entry?.count({ count: 4, atUs: 10 })
  t.equal(entry?.sessions, 5)
  if (entry !== null) entry.reserved = 1
  entry?.observe({ count: 9, atUs: 30 })
  t.equal(entry?.sessions, 5, 'a number that may hold our own claim is not added to it')
})
