import t from 'tap'
import { HoldError, HoldQueue } from '../../../gateway/failover/hold-queue.ts'
import type { HoldResult, HoldTicket } from '../../../gateway/failover/hold-queue.ts'

function queueOf(limits: { maxRequests?: number; maxRequestsPerSession?: number; maxBytes?: number } = {}) {
  const results: HoldResult[] = []
  const all = { maxRequests: 100, maxRequestsPerSession: 100, maxBytes: 1e9, ...limits }
  return { queue: new HoldQueue(all, result => results.push(result)), results }
}

function ticket(more: Partial<HoldTicket> = {}): HoldTicket {
  return { sessionId: 's', bytes: 1, timeoutMs: 10_000, onAbort: () => undefined, ...more }
}

const never = () => new Promise<never>(() => undefined)
const full = { code: 'hold-full' }

t.test('a held request gets what its work gives, and leaves no trace', async t => {
  const { queue, results } = queueOf()
  t.equal(await queue.hold(ticket(), async () => 'found'), 'found')
  await t.rejects(
    queue.hold(ticket(), () => Promise.reject(new Error('broken'))),
    { message: 'broken' }
  )
  t.same(results, ['released', 'failed'])
  t.equal(queue.requests, 0)
  t.equal(queue.bytes, 0)
})

t.test('the number of requests is bounded, and refused work never starts', async t => {
  const { queue, results } = queueOf({ maxRequests: 2 })
  const aborts: (() => void)[] = []
  const held = [1, 2].map(() => queue.hold(ticket({ onAbort: abort => aborts.push(abort) }), never))
  await t.rejects(
    queue.hold(ticket({ sessionId: 'other' }), async () => t.fail('must not start')),
    full
  )
  for (const abort of aborts) abort()
  for (const request of held) await t.rejects(request, { code: 'hold-aborted' })
  t.equal(await queue.hold(ticket(), async () => 'room again'), 'room again')
  t.same(results, ['full', 'aborted', 'aborted', 'released'])
})

t.test('one session cannot take the room of the others', async t => {
  const { queue } = queueOf({ maxRequestsPerSession: 1 })
  const aborts: (() => void)[] = []
  const held = queue.hold(ticket({ sessionId: 'a', onAbort: abort => aborts.push(abort) }), never)
  await t.rejects(queue.hold(ticket({ sessionId: 'a' }), never), full)
  t.equal(await queue.hold(ticket({ sessionId: 'b' }), async () => 1), 1)
  aborts[0]?.()
  await t.rejects(held)
  t.equal(await queue.hold(ticket({ sessionId: 'a' }), async () => 2), 2)
})

t.test('the bytes of all held requests are bounded', async t => {
  const { queue } = queueOf({ maxBytes: 10 })
  const first = Promise.withResolvers<string>()
  const held = queue.hold(ticket({ bytes: 8 }), () => first.promise)
  t.equal(queue.bytes, 8)
  await t.rejects(queue.hold(ticket({ bytes: 3 }), never), full)
  t.equal(await queue.hold(ticket({ bytes: 2 }), async () => 'fits'), 'fits')
  first.resolve('done')
  t.equal(await held, 'done')
})

t.test('nothing waits longer than its time', async t => {
  const { queue, results } = queueOf()
  await t.rejects(queue.hold(ticket({ timeoutMs: 5 }), never), { code: 'hold-timeout' })
  t.same(results, ['timeout'])
  t.equal(queue.requests, 0)
})

t.test('work goes on for the others when one waiter leaves', async t => {
  const { queue } = queueOf()
  const work = Promise.withResolvers<string>()
  const aborts: (() => void)[] = []
  const gone = queue.hold(ticket({ onAbort: abort => aborts.push(abort) }), () => work.promise)
  const stays = queue.hold(ticket(), () => work.promise)
  aborts[0]?.()
  await t.rejects(gone, HoldError)
  work.resolve('shared')
  t.equal(await stays, 'shared')
})
