import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'tap'
import { Trust } from '../../../gateway/registry/trust.ts'

const trust = (): Trust => new Trust({ heartbeatMs: 100, marginMs: 50 })

void test('an old generation is believed at once', async t => {
  const it = trust()
  t.equal(it.note({ id: 'a', ageMs: 10_000 }), false, 'the first one is no change')
  t.same([it.recovering, it.leasesDoubted], [false, false])
  t.equal(it.note({ id: 'a', ageMs: 10_000 }), false)
})

void test('a new generation is believed after a heartbeat and a margin, less its age', async t => {
  const it = trust()
  it.note({ id: 'a', ageMs: 10_000 })
  t.equal(it.note({ id: 'b', ageMs: 40 }), true)
  t.same([it.recovering, it.leasesDoubted], [true, true])
  t.ok(it.recoveringLeftMs > 50 && it.recoveringLeftMs <= 110, `${it.recoveringLeftMs}`)
  await sleep(it.recoveringLeftMs + 1)
  t.same([it.recovering, it.leasesDoubted], [false, false])
})

void test('a registry without a generation is never believed', async t => {
  const it = trust()
  it.note({ id: 'a', ageMs: 10_000 })
  t.equal(it.note({ id: '', ageMs: 0 }), true)
  t.equal(it.recovering, true)
  await sleep(100)
  it.note({ id: '', ageMs: 0 })
  await sleep(100)
  t.equal(it.recovering, true)
})

void test('after an outage leases are doubted for a heartbeat and a margin, and during it for as long as it takes', async t => {
  const it = trust()
  it.note({ id: 'a', ageMs: 10_000 })
  it.beginOutage()
  await sleep(200)
  t.equal(it.leasesDoubted, true)
  it.endOutage()
  t.equal(it.leasesDoubted, true)
  t.equal(it.recovering, false, 'but what is not there is not there')
  await sleep(160)
  t.equal(it.leasesDoubted, false)
  it.endOutage()
  t.equal(it.leasesDoubted, false)
})
