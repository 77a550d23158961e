import { setTimeout as delay } from 'node:timers/promises'

import t, { type Test } from 'tap'

import { type Timed, TimerWheel } from '../../../gateway/http/timer-wheel.ts'

class Entry implements Timed {
  deadline = 0
  slot = 0
  previous: Timed | null = null
  next: Timed | null = null
  readonly fired: number[] = []
  onExpire: (() => void) | null = null
  readonly #wheel: TimerWheel

  constructor(wheel: TimerWheel) {
    this.#wheel = wheel
  }

  expire(): void {
    this.fired.push(this.#wheel.now)
    this.onExpire?.()
  }
}

function wheelOf(t: Test, tickMs = 1): TimerWheel {
  const wheel = new TimerWheel(tickMs)
  wheel.start()
  t.teardown(() => wheel.close())
  return wheel
}

t.test('a deadline fires once, never early', async t => {
  const wheel = wheelOf(t)
  const entries = Array.from({ length: 50 }, () => new Entry(wheel))
  const deadlines = entries.map((entry, i) => {
    const deadline = wheel.now + 1 + (i % 25)
    wheel.set(entry, deadline)
    return deadline
  })
  while (entries.some(entry => entry.fired.length === 0)) await delay(1)
  await delay(30)
  for (const [i, entry] of entries.entries()) {
    t.equal(entry.fired.length, 1)
    t.ok(entry.fired[0]! >= deadlines[i]!, 'not early')
  }
})

t.test('a deadline that moves later, earlier or away fires when it should', async t => {
  const wheel = wheelOf(t)
  const [later, earlier, gone, removed, moved] = [1, 2, 3, 4, 5].map(() => new Entry(wheel)) as [
    Entry,
    Entry,
    Entry,
    Entry,
    Entry
  ]
  const start = wheel.now
  wheel.set(later, start + 5)
  wheel.set(later, start + 60)
  wheel.set(earlier, start + 500)
  wheel.set(earlier, start + 5)
  wheel.set(gone, start + 5)
  wheel.set(gone, 0)
  wheel.set(removed, start + 5)
  wheel.remove(removed)
  wheel.set(moved, start + 5)
  wheel.remove(moved)
  wheel.set(moved, start + 30)
  while (later.fired.length === 0) await delay(1)
  t.ok(later.fired[0]! >= start + 60)
  t.ok(earlier.fired[0]! < start + 60, 'well before the later one')
  t.ok(moved.fired[0]! >= start + 30)
  t.same([gone.fired, removed.fired], [[], []])
})

t.test('an entry may set its deadline again while it expires, or end another that is due at once', async t => {
  const wheel = wheelOf(t)
  const again = new Entry(wheel)
  again.onExpire = () => {
    if (again.fired.length < 3) wheel.set(again, wheel.now + 5)
  }
  wheel.set(again, wheel.now + 2)
  const tick = wheel.now + 4
  const pair = [new Entry(wheel), new Entry(wheel)] as const
  pair[0].onExpire = () => wheel.remove(pair[1])
  pair[1].onExpire = () => wheel.remove(pair[0])
  for (const entry of pair) wheel.set(entry, tick)
  while (again.fired.length < 3) await delay(1)
  t.equal(pair[0].fired.length + pair[1].fired.length, 1, 'the first ended the other')
})

t.test('a deadline beyond the wheel waits for its time', async t => {
  const wheel = wheelOf(t)
  const entry = new Entry(wheel)
  const deadline = wheel.now + 1400
  wheel.set(entry, deadline)
  while (entry.fired.length === 0) await delay(5)
  t.ok(entry.fired[0]! >= deadline)
  t.ok(entry.fired[0]! < deadline + 500)
})

t.test('after a stall of the loop nothing is lost, even where it was longer than the wheel', async t => {
  for (const stallMs of [40, 1300]) {
    const wheel = wheelOf(t)
    const entries = Array.from({ length: 30 }, (_, i) => {
      const entry = new Entry(wheel)
      wheel.set(entry, wheel.now + 1 + i)
      return entry
    })
    const end = performance.now() + stallMs
    while (performance.now() < end);
    while (entries.some(entry => entry.fired.length === 0)) await delay(1)
    t.ok(
      entries.every(entry => entry.fired.length === 1),
      `${stallMs} ms`
    )
  }
})

t.test('durations become ticks that are not too short; 0 means never', async t => {
  const wheel = wheelOf(t, 100)
  t.equal(wheel.ticks(0), 0)
  t.ok(wheel.ticks(1) >= 1)
  t.ok(wheel.ticks(1000) >= 10 && wheel.ticks(1000) <= 12)
})

t.test('many entries in one slot come off in any order', async t => {
  const wheel = wheelOf(t)
  const entries = Array.from({ length: 9 }, () => new Entry(wheel))
  const deadline = wheel.now + 20
  for (const entry of entries) wheel.set(entry, deadline)
  for (const i of [0, 8, 4, 3]) wheel.remove(entries[i]!)
  while (entries[1]!.fired.length === 0) await delay(1)
  t.same(
    entries.map(entry => entry.fired.length),
    [0, 1, 1, 0, 0, 1, 1, 1, 0]
  )
})

t.test('a closed wheel fires nothing', async t => {
  const wheel = wheelOf(t)
  const entry = new Entry(wheel)
  wheel.set(entry, wheel.now + 2)
  wheel.close()
  await delay(20)
  t.same(entry.fired, [])
})
