import { once } from 'node:events'
import { EventEmitter } from 'node:events'
import t from 'tap'
import { createLog } from '../../../lib/log.ts'
import { StaleEpochError } from '../../../pod/backup/errors.ts'
import { SaveSchedule } from '../../../pod/session/save-schedule.ts'
import { until } from '../fixtures/ground.ts'

/** A schedule whose saves end when the test says so. */
function controlled(
  delayMs: number,
  leftMs: () => number = () => Infinity
): {
  schedule: SaveSchedule
  saves: PromiseWithResolvers<{ again: boolean }>[]
  begun: EventEmitter
  stale: unknown[]
} {
  const saves: PromiseWithResolvers<{ again: boolean }>[] = []
  const begun = new EventEmitter()
  const stale: unknown[] = []
  const schedule = new SaveSchedule({
    save: () => {
      const save = Promise.withResolvers<{ again: boolean }>()
      saves.push(save)
      begun.emit('save')
      return save.promise
    },
    delayMs,
    leftMs,
    onStale: error => stale.push(error),
    log: createLog('test', { level: 'silent' })
  })
  return { schedule, saves, begun, stale }
}

const DONE = { again: false }

t.test('a change is not left waiting beyond the time that there is', async t => {
  const { schedule, saves, begun } = controlled(60_000, () => 10)
  const first = once(begun, 'save')
  schedule.markDirty()
  await first
  saves[0]?.resolve(DONE)
  t.equal(saves.length, 1)
  await schedule.close()
})

t.test('changes within the delay share one save, and it does not wait for the last of them', async t => {
  const { schedule, saves, begun } = controlled(60)
  const first = once(begun, 'save')
  const atMs = performance.now()
  const timer = setInterval(() => schedule.markDirty(), 5)
  schedule.markDirty()
  await first
  clearInterval(timer)
  t.ok(performance.now() - atMs < 500)
  t.equal(saves.length, 1)
  saves[0]?.resolve(DONE)
  await schedule.close()
})

t.test('one save at a time; a change during a save is followed by another', async t => {
  const { schedule, saves } = controlled(0)
  const first = schedule.saveNow()
  schedule.markDirty()
  const second = schedule.saveNow()
  t.equal(schedule.saveNow(), second, 'who waits together shares a save')
  t.equal(saves.length, 1)
  saves[0]?.resolve(DONE)
  await first
  await until('the second save begins', () => saves.length === 2)
  t.ok(schedule.isDirty)
  saves[1]?.resolve(DONE)
  await second
  t.notOk(schedule.isDirty)
  await schedule.close()
})

t.test('a failed save is tried again by itself', async t => {
  const { schedule, saves } = controlled(0)
  const first = schedule.saveNow()
  saves[0]?.reject(new Error('store is away'))
  await t.rejects(first, { message: 'store is away' })
  t.ok(schedule.isDirty)
  await until('it is tried again', () => saves.length === 2)
  saves[1]?.resolve(DONE)
  await until('it is clean', () => !schedule.isDirty)
  await schedule.close()
})

t.test('a newer epoch in the store ends the schedule and is told once', async t => {
  const { schedule, saves, stale } = controlled(0)
  const first = schedule.saveNow()
  saves[0]?.reject(new StaleEpochError('a', { epoch: 1, storeEpoch: 2 }))
  await t.rejects(first)
  await t.rejects(schedule.saveNow())
  schedule.markDirty()
  t.equal(stale.length, 1)
  t.equal(saves.length, 1)
  await schedule.close()
})

t.test('close waits for the running save and begins none', async t => {
  const { schedule, saves } = controlled(5)
  const running = schedule.saveNow()
  schedule.markDirty()
  let isClosed = false
  const closing = schedule.close().then(() => {
    isClosed = true
  })
  await new Promise(resolve => setTimeout(resolve, 30))
  t.notOk(isClosed)
  saves[0]?.resolve(DONE)
  await Promise.all([closing, running])
  t.equal(saves.length, 1)
})
