import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import { Limiter, forEachParallel } from '../../../pod/backup/limiter.ts'
import { SerialQueue } from '../../../pod/backup/serial-queue.ts'

/** Work that counts how much of it runs at once. */
function counted() {
  const count = { now: 0, most: 0, done: 0 }
  const work = async () => {
    count.most = Math.max(count.most, ++count.now)
    await nextTurn()
    count.now--
    count.done++
  }
  return { count, work }
}

t.test('a limiter runs no more at once than it has slots, and failures give theirs back', async t => {
  const { count, work } = counted()
  const limiter = new Limiter(3)
  const fail = () => limiter.run(() => Promise.reject(new Error('no')))
  await Promise.all([t.rejects(fail()), t.rejects(fail()), t.rejects(fail()), t.rejects(fail())])
  await Promise.all(Array.from({ length: 20 }, () => limiter.run(work)))
  t.strictSame(count, { now: 0, most: 3, done: 20 })
})

t.test('forEachParallel takes no further items after a failure, and throws when all begun work has ended', async t => {
  const { count, work } = counted()
  await forEachParallel(Array.from({ length: 10 }).keys(), 4, work)
  t.strictSame(count, { now: 0, most: 4, done: 10 })
  const begun: number[] = []
  const failing = forEachParallel(Array.from({ length: 10 }).keys(), 2, async item => {
    begun.push(item)
    if (item === 1) throw new Error('no')
    await work()
  })
  await t.rejects(failing, { message: 'no' })
  t.equal(count.now, 0)
  t.strictSame(begun, [0, 1])
})

t.test('a queue runs one after the other, and goes on after a failure', async t => {
  const queue = new SerialQueue()
  const { count, work } = counted()
  const failing = queue.run(() => Promise.reject(new Error('no')))
  void queue.run(work)
  void queue.run(work)
  await t.rejects(failing, { message: 'no' })
  await queue.idle()
  t.strictSame(count, { now: 0, most: 1, done: 2 })
})
