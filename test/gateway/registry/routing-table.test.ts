import { test } from 'tap'
import { MemberEntry } from '../../../gateway/registry/member-entry.ts'
import { RoutingTable } from '../../../gateway/registry/routing-table.ts'
import { idleUpstream, memberRecord } from '../../fixtures/registry-harness.ts'
import type { SessionRecord } from '../../../lib/registry-schema.ts'

const entry = (id: string): MemberEntry => new MemberEntry(memberRecord(id), idleUpstream('127.0.0.1', 9))

function record(id: string, epoch: number, createdAt = 1): SessionRecord {
  return { id, owner: 'pod-1', bootId: 'boot-pod-1', epoch, state: 'active', agent: 'shell', createdAt }
}

void test('a route carries the fields that the pod checks', async t => {
  const routes = new RoutingTable(10)
  const member = entry('pod-1')
  routes.put(record('s1', 7), member)
  const found = routes.get('s1')
  t.equal(found?.route.addedFields, 'X-Fairlead-Session: s1\r\nX-Fairlead-Epoch: 7\r\n')
  t.equal(found?.route.upstream, member.upstream)
  t.equal(routes.get('s2'), undefined)
})

void test('a later epoch is stored, a late event about an earlier one is not', async t => {
  const routes = new RoutingTable(10)
  const [older, newer] = [entry('pod-1'), entry('pod-2')]
  routes.put(record('s1', 1), older)
  routes.put(record('s1', 2), newer)
  t.equal(routes.put(record('s1', 1), older).member, newer)
  t.equal(routes.get('s1')?.member, newer)
  routes.drop('s1', 1)
  t.equal(routes.get('s1')?.member, newer, 'and the end of the earlier one does not drop it')
  routes.drop('s1', 2)
  t.equal(routes.get('s1'), undefined)
})

void test('the same route is not stored twice', async t => {
  const routes = new RoutingTable(10)
  const member = entry('pod-1')
  t.equal(routes.put(record('s1', 1), member), routes.put(record('s1', 1), member))
})

void test('a route to a member whose lease has ended is void at once, without a look at the table', async t => {
  const routes = new RoutingTable(10)
  const member = entry('pod-1')
  routes.put(record('s1', 1), member)
  member.live = false
  t.equal(routes.get('s1'), undefined)
  t.equal(routes.peek('s1')?.member, member)
})

void test('the answer of a lookup replaces what it was asked about, also with an earlier epoch', async t => {
  const routes = new RoutingTable(10)
  const member = entry('pod-1')
  const before = routes.put(record('s1', 5), member)
  routes.settle(record('s1', 1, 2), { member, before })
  t.equal(routes.get('s1')?.record.epoch, 1)
})

void test('the answer of a lookup does not replace what came meanwhile', async t => {
  const routes = new RoutingTable(10)
  const [older, newer] = [entry('pod-1'), entry('pod-2')]
  const before = routes.peek('s1')
  routes.put(record('s1', 6), newer)
  t.equal(routes.settle(record('s1', 5), { member: older, before }).member, newer)
})

void test('an entry is dropped only if it is still that entry', async t => {
  const routes = new RoutingTable(10)
  const member = entry('pod-1')
  const before = routes.put(record('s1', 1), member)
  routes.put(record('s1', 2), member)
  routes.dropEntry(before)
  t.equal(routes.get('s1')?.record.epoch, 2)
})

void test('the table is bounded: what was not asked for goes first', async t => {
  const routes = new RoutingTable(3)
  const member = entry('pod-1')
  for (const id of ['a', 'b', 'c']) routes.put(record(id, 1), member)
  routes.get('a')
  routes.put(record('d', 1), member)
  t.equal(routes.size, 3)
  t.ok(routes.get('a'), 'used')
  t.equal(routes.get('b'), undefined, 'not used')
  for (let n = 0; n < 1_000; n++) {
    routes.get('a')
    routes.put(record(`x${n}`, 1), member)
  }
  t.equal(routes.size, 3)
  t.ok(routes.get('a'))
})

void test('when everything was used something goes all the same', async t => {
  const routes = new RoutingTable(3)
  const member = entry('pod-1')
  for (const id of ['a', 'b', 'c']) routes.put(record(id, 1), member)
  for (const id of ['a', 'b', 'c']) routes.get(id)
  routes.put(record('d', 1), member)
  t.equal(routes.size, 3)
  t.ok(routes.get('d'))
})
