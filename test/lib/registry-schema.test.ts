import { createRequire } from 'node:module'
import { test } from 'tap'
import {
  KEY_SHAPES,
  hasHashTag,
  isAgentId,
  parseChange,
  parseMember,
  parseSession,
  registryKeys
} from '../../lib/registry-schema.ts'
import type { Fields } from '../../lib/registry-schema.ts'

const slotOf = createRequire(import.meta.url)('cluster-key-slot') as (key: string) => number

const session: Fields = { owner: 'pod-1', bootId: 'b1', epoch: '3', state: 'active', agent: 'shell', createdAt: '17' }
const member: Fields = {
  id: 'pod-1',
  bootId: 'b1',
  address: '10.0.0.1:80',
  load: '2',
  state: 'ready',
  pid: '7',
  agents: '["shell"]',
  capacity: '9'
}

void test('all keys of a registry fall into one slot of a cluster', async t => {
  const keys = registryKeys('{fairlead}')
  const all = [
    keys.members,
    keys.orphans,
    keys.generation,
    keys.sequence,
    keys.changes,
    ...['a', 'b}{c'].flatMap(id => [keys.member(id), keys.owned(id), keys.session(id), keys.gone(id)])
  ]
  t.equal(new Set(all).size, all.length, 'no two keys are the same')
  t.same(new Set(all.map(slotOf)), new Set([slotOf('fairlead')]))
  t.equal(Object.keys(KEY_SHAPES).length, 9, 'this test knows every key')
})

void test('a prefix without a hash tag is told from one with', async t => {
  for (const prefix of ['{fairlead}', 'a{b}c', '{a}{}']) t.ok(hasHashTag(prefix), prefix)
  for (const prefix of ['fairlead', '{}fairlead', '{fairlead', '']) t.notOk(hasHashTag(prefix), prefix)
})

void test("a member's record gets its types", async t => {
  const { value } = parseMember('pod-1', member)
  t.same(value, {
    id: 'pod-1',
    bootId: 'b1',
    address: '10.0.0.1:80',
    load: 2,
    state: 'ready',
    pid: 7,
    agents: ['shell'],
    capacity: 9
  })
})

void test('a record of another library, with address and load alone, is a member', async t => {
  const { value } = parseMember('pod-9', { address: '10.0.0.1:80', load: '0.5' })
  t.match(value, { id: 'pod-9', bootId: '', load: 0.5, state: 'ready', agents: [], capacity: 0, pid: 0 })
})

void test("a member's record with a bad field is refused, and the reason is told", async t => {
  const bad: [Fields, RegExp][] = [
    [{ address: '' }, /address/],
    [{ address: undefined }, /address/],
    [{ id: 'pod-2' }, /id/],
    [{ bootId: 'no spaces' }, /boot id/],
    [{ state: 'asleep' }, /state/],
    [{ load: 'NaN' }, /load/],
    [{ load: '-1' }, /load/],
    [{ pid: '1.5' }, /pid/],
    [{ capacity: '-3' }, /capacity/],
    [{ agents: '{"length":1}' }, /agents/],
    [{ agents: '[1]' }, /agents/],
    [{ agents: '["a\\r\\nb"]' }, /agents/],
    [{ agents: 'shell' }, /agents/]
  ]
  for (const [fields, reason] of bad) t.match(parseMember('pod-1', { ...member, ...fields }).problem, reason)
  t.match(parseMember('../pod', { address: 'a:1' }).problem, /DNS label/)
})

void test("a session's record gets its types, a bad one is refused", async t => {
  t.same(parseSession('s1', session).value, {
    id: 's1',
    owner: 'pod-1',
    bootId: 'b1',
    epoch: 3,
    state: 'active',
    agent: 'shell',
    createdAt: 17
  })
  const bad: [Fields, RegExp][] = [
    [{ epoch: '0' }, /epoch/],
    [{ epoch: '-1' }, /epoch/],
    [{ epoch: '1e3' }, /epoch/],
    [{ epoch: '01' }, /epoch/],
    [{ epoch: '9999999999999999' }, /epoch/],
    [{ epoch: undefined }, /epoch/],
    [{ createdAt: 'yesterday' }, /creation/],
    [{ owner: 'a/b' }, /owner/],
    [{ bootId: 'a/b' }, /boot id/],
    [{ state: '' }, /state/],
    [{ agent: 'a\nb' }, /agent/]
  ]
  for (const [fields, reason] of bad) t.match(parseSession('s1', { ...session, ...fields }).problem, reason)
  t.match(parseSession('../s1', session).problem, /DNS label/)
})

void test('agent ids may be written freely, without control characters', async t => {
  for (const id of ['shell', 'Code Reviewer', 'größe', 'a/b']) t.ok(isAgentId(id), id)
  for (const id of ['', 'a\r\nX-Evil: 1', 'a\u0000', 'x'.repeat(129)]) t.notOk(isAgentId(id), JSON.stringify(id))
})

void test('a change gets its types', async t => {
  const held = { t: 'session', n: '4', id: 's1', at: '1700000000000001', held: '5' }
  t.match(parseChange(JSON.stringify({ ...session, ...held })).value, {
    kind: 'session',
    sequence: 4,
    record: { id: 's1', epoch: 3 },
    held: { count: 5, atUs: 1_700_000_000_000_001 }
  })
  t.match(parseChange(JSON.stringify({ ...member, t: 'member', n: '5' })).value, {
    kind: 'member',
    member: { id: 'pod-1' }
  })
  const texts: [string, object][] = [
    ['{"t":"session-gone","n":"6","id":"s1","epoch":"3"}', { kind: 'session-gone', id: 's1', epoch: 3 }],
    ['{"t":"member-gone","n":"7","id":"pod-1","bootId":"b1"}', { kind: 'member-gone', bootId: 'b1' }],
    ['{"t":"generation","n":"8","id":"abc"}', { kind: 'generation', generation: 'abc', sequence: 8 }]
  ]
  for (const [text, expected] of texts) t.match(parseChange(text).value, expected)
})

void test('a message that is not one of ours is refused', async t => {
  const bad = [
    '',
    'null',
    '[]',
    '"x"',
    '{"t":"session"',
    '{"t":"session","n":1}',
    '{"t":"session-gone","id":"s1","epoch":"3"}',
    '{"t":"session-gone","n":"1","id":"S1","epoch":"3"}',
    '{"t":"session-gone","n":"1","id":"s1"}',
    '{"t":"other","n":"1","id":"s1","epoch":"3"}',
    '{"t":"session","n":"1","id":"s1","epoch":"3"}',
    '{"t":"member","n":"1","id":"pod-1"}'
  ]
  for (const text of bad) t.equal(parseChange(text).value, null, text)
})
