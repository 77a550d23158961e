import { test } from 'tap'
import { Allocation, pickLeastLoaded, pickNext, pickRandom } from '../../../gateway/registry/allocation.ts'

const members = (...used: number[]): { id: string; used: number }[] =>
  used.map((n, at) => ({ id: `pod-${at}`, used: n }))

void test('the next in the order of ids is taken, also where the last one is gone', async t => {
  const four = members(0, 0, 0, 0)
  t.equal(pickNext(four, '')?.id, 'pod-0')
  t.equal(pickNext(four, 'pod-1')?.id, 'pod-2')
  t.equal(pickNext(four, 'pod-3')?.id, 'pod-0')
  t.equal(pickNext(four.toSpliced(1, 1), 'pod-1')?.id, 'pod-2')
  t.equal(pickNext([], 'pod-1'), null)
})

void test('the one with the fewest sessions is taken, of equals the next', async t => {
  t.equal(pickLeastLoaded(members(3, 1, 2), '')?.id, 'pod-1')
  t.equal(pickLeastLoaded(members(1, 1, 2), 'pod-0')?.id, 'pod-1')
  t.equal(pickLeastLoaded(members(1, 1, 2), 'pod-1')?.id, 'pod-0')
  t.equal(pickLeastLoaded([], ''), null)
})

void test('random takes each with the same chance', async t => {
  const four = members(0, 0, 0, 0)
  t.same(
    [0, 0.25, 0.5, 0.999].map(random => pickRandom(four, random)?.id),
    ['pod-0', 'pod-1', 'pod-2', 'pod-3']
  )
  t.equal(pickRandom([], 0.5), null)
  const counts = new Map<string, number>()
  const allocation = new Allocation('random')
  for (let n = 0; n < 10_000; n++) {
    const id = allocation.pick(four, '')?.id ?? ''
    counts.set(id, (counts.get(id) ?? 0) + 1)
  }
  for (const count of counts.values()) t.ok(Math.abs(count - 2_500) < 300, `${count} of 2,500`)
})

void test('picks for one agent do not move the turn of another', async t => {
  const allocation = new Allocation('round-robin')
  const four = members(0, 0, 0, 0)
  const picked: (string | undefined)[] = []
  for (let n = 0; n < 4; n++) {
    picked.push(allocation.pick(four, 'a')?.id)
    allocation.pick(four, 'b')
    allocation.pick(four.slice(2), 'c')
  }
  t.same(picked, ['pod-0', 'pod-1', 'pod-2', 'pod-3'])
})
